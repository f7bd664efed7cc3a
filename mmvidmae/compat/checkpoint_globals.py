"""Checkpoints on torch >= 2.6 with ``weights_only``: MMEngine's can be read, and ours can be read by any code.

What: ``Runner.resume``, ``load_from`` and ``init_cfg=dict(type='Pretrained')`` refuse the checkpoints that MMEngine
itself has written.

Why: since 2.6 ``torch.load`` rebuilds only what is allow-listed. MMEngine (0.10.7) calls it without arguments, but
stores the log history as ``HistoryBuffer`` objects with NumPy arrays and bound statistics, whose globals are not on
torch's list.

Until: an MMEngine release stores plain data or allow-lists its own types. (Its development branch turns
``weights_only`` off instead, which lets any checkpoint run any code.)
"""

import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.utils import digit_version

_STATISTICS = ('min', 'max', 'mean', 'current')
"""The methods that every ``HistoryBuffer`` carries, pickled as ``getattr(HistoryBuffer, name)``."""


_HISTORY = ('log_history', 'count_history', 'max_length')


def _statistic(owner: type, name: str):
    """Replacement of ``getattr`` in a checkpoint: returns only statistics of ``HistoryBuffer``.

    The plain ``getattr`` would reach any object from an allowed one and bypass the allow-list.

    Raises:
        pickle.UnpicklingError: For any other object or name.
    """
    if owner is HistoryBuffer and isinstance(name, str) and name in _STATISTICS:
        return vars(HistoryBuffer)[name]
    raise pickle.UnpicklingError(f'refused: a checkpoint must not access attribute {name!r} of {owner!r}')


def to_plain(value: Any) -> Any:
    """Copy a value of a checkpoint so that ``torch.load(weights_only=True)`` reads it without an allow-list.

    Log histories become dicts of tensors (see :func:`restore_histories`), NumPy arrays tensors, NumPy scalars numbers.
    Containers are copied, tensors are not.
    """
    if isinstance(value, HistoryBuffer):
        logs, counts = (torch.from_numpy(np.asarray(part, np.float64)) for part in value.data)
        return dict(zip(_HISTORY, (logs, counts, value.max_length)))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value) if value.dtype.kind in 'biuf' else to_plain(value.tolist())
    if type(value) in (dict, OrderedDict):
        return type(value)((key, to_plain(item)) for key, item in value.items())
    if type(value) in (list, tuple):
        return type(value)(map(to_plain, value))
    return value


def restore_histories(message_hub: dict) -> None:
    """Make the log histories of a message hub's state :class:`HistoryBuffer` objects again, in place."""
    for name, value in message_hub['log_scalars'].items():
        if isinstance(value, dict) and value.keys() == set(_HISTORY):
            logs, counts, max_length = (value[key] for key in _HISTORY)
            message_hub['log_scalars'][name] = HistoryBuffer(logs.cpu().numpy(), counts.cpu().numpy(), max_length)


def allow_checkpoint_globals() -> None:
    """Allow-list the globals of MMEngine's checkpoints for ``torch.load(weights_only=True)``.

    These are ``HistoryBuffer``, NumPy's rebuilding functions under their names in NumPy 1 and 2 (a checkpoint may
    come from either), ``dtype`` with the two kinds that a history holds, and :func:`_statistic` in the place of
    ``getattr``. Before torch 2.6 nothing is needed, as ``torch.load`` does not check there.
    """
    if digit_version(torch.__version__) < digit_version('2.6.0'):
        return
    reconstruct, scalar = np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    modules = ('numpy.core.multiarray', 'numpy._core.multiarray')
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (_statistic, 'builtins.getattr'),
            *((reconstruct, f'{module}._reconstruct') for module in modules),
            *((scalar, f'{module}.scalar') for module in modules),
            np.ndarray,
            np.dtype,
            type(np.dtype(np.float64)),
            type(np.dtype(np.int64)),
        ]
    )
