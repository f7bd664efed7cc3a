"""Safe reading of checkpoints from any source, and writing of checkpoints with only tensors and strings.

A pickle can run code. ``torch.load(weights_only=True)`` allows only harmless operations. It refuses files with objects
of their authors' training code, such as DropTrack's settings and statistics. Such files are read again with an
unpickler that rebuilds tensors and replaces everything else by an inert placeholder. Nothing outside this file and
torch is imported, looked up or called.
"""

import argparse
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmvidmae.compat.safetensors import SUFFIX as SAFETENSORS
from mmvidmae.compat.safetensors import read_safetensors
from mmvidmae.utils.files import atomic_write

from .key_maps import StateDict

NUMPY = '.npz'
CONTAINERS = ('state_dict', 'model', 'net', 'network', 'teacher')
"""Where checkpoints keep their parameters: OpenMMLab, MAE and descendants, DropTrack, DropSeg, DINO (whose teacher is
the model to use)."""

_INNER_WRAPPERS = re.compile(r'(?:(?<=\.)|^)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.')
_OUTER_WRAPPERS = {'module', 'model', 'encoder'}
_REBUILT: dict[str, Callable] = {
    'torch._utils._rebuild_tensor': torch._utils._rebuild_tensor,
    'torch._utils._rebuild_tensor_v2': torch._utils._rebuild_tensor_v2,
    'torch._utils._rebuild_parameter': torch._utils._rebuild_parameter,
}
# What is not in _REBUILT is inert in any case; these serve no other purpose than an attack, and are refused aloud.
# Pickles of protocol 2, which torch writes, use the names of Python 2: commands, __builtin__.
_REFUSED_MODULES = {'commands', 'nt', 'os', 'posix', 'subprocess', 'sys'}
_REFUSED_BUILTINS = {
    f'{module}.{name}'
    for module in ('builtins', '__builtin__')
    for name in ('__import__', 'compile', 'eval', 'exec', 'open')
}


class CheckpointError(ValueError):
    """A file from which no parameters can be read."""


class _Inert:
    """Stands for any object that is not rebuilt: takes whatever a pickle does to it, and does nothing."""

    def __init__(self, *args, **kwargs) -> None:
        pass

    def __setstate__(self, state) -> None:
        pass

    def __call__(self, *args, **kwargs) -> '_Inert':
        return self

    def __setitem__(self, key, value) -> None:
        pass

    append = extend = add = update = __call__


class _TensorUnpickler(pickle.Unpickler):
    """Rebuilds tensors; see the top of this file."""

    def find_class(self, module: str, name: str) -> Any:
        """Look up a global in a table of what is harmless; never import it.

        Raises:
            pickle.UnpicklingError: For a global that has no other purpose than to run something.
        """
        path = f'{module}.{name}'
        if path == 'collections.OrderedDict':
            return OrderedDict
        if path in _REBUILT:
            rebuild = _REBUILT[path]
            # A pickle can set attributes of what it is given, so it gets neither torch's function nor our class itself.
            return lambda *args: rebuild(*args)
        if module.partition('.')[0] in _REFUSED_MODULES or path in _REFUSED_BUILTINS:
            raise pickle.UnpicklingError(f'the file asks to run {path}: it is not a mere checkpoint')
        return type('Inert', (_Inert,), {})


_TENSORS_ONLY = SimpleNamespace(
    __name__='mmvidmae tensors only',
    Unpickler=_TensorUnpickler,
    load=lambda file, **kwargs: _TensorUnpickler(file, **kwargs).load(),
)
"""Pickle module for ``torch.load(pickle_module=...)``."""


def read_state_dict(path: str | os.PathLike) -> StateDict:
    """Read the parameters of a checkpoint from an untrusted source.

    Args:
        path: A ``.safetensors`` file, an ``.npz`` file of arrays (RVM), or a file of ``torch.save`` in the zip or the
            older format. The parameters are at the top level or in one of :data:`CONTAINERS`. :func:`strip_wrappers`
            cleans their names.

    Returns:
        Tensors on the CPU by name.

    Raises:
        CheckpointError: If the file does not exist, is damaged, would run code, or has no parameters.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f'{path} is not a file')
    try:
        read = {SAFETENSORS: read_safetensors, NUMPY: _read_numpy}.get(path.suffix.lower(), _read_torch)
        tree = read(path)
    except Exception as error:  # a damaged or malicious file can make the parsers raise anything
        raise CheckpointError(f'{path} cannot be read as a checkpoint: {error}') from error
    return _find_state_dict(tree, path)


def strip_wrappers(state: Mapping[str, Tensor]) -> StateDict:
    """Remove the prefixes of model wrappers from parameter names, nested in any order.

    ``torch.compile``, FSDP and activation checkpointing add a module anywhere in a name. ``module.`` (data parallel),
    ``model.`` and ``encoder.`` are removed from the front, and only if all names begin with the prefix. Otherwise these
    names distinguish parts of one model.

    Raises:
        ValueError: If two parameters would get the same name.
    """
    names = {name: _INNER_WRAPPERS.sub('', name) for name in state}
    while all('.' in name for name in names.values()):
        outer = {name.partition('.')[0] for name in names.values()}
        if len(outer) != 1 or not outer <= _OUTER_WRAPPERS:
            break
        names = {name: stripped.partition('.')[2] for name, stripped in names.items()}
    if len(set(names.values())) < len(names):
        raise ValueError('some parameters occur twice, with and without the prefix of a wrapper')
    return {names[name]: value for name, value in state.items()}


def compact(state: Mapping[str, Tensor]) -> StateDict:
    """Copy parameters for saving. A view would be saved with its whole storage, and safetensors refuses shared
    memory."""
    return {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in state.items()}


def write_state_dict(
    state: Mapping[str, Tensor], path: str | Path, meta: Mapping[str, str], container: str = 'state_dict'
) -> None:
    """Write parameters to a file with :func:`atomic_write`.

    Args:
        state: Parameters by name.
        path: Path of the file. The suffix ``.safetensors`` selects that format, with ``meta`` as its metadata, and
            ``.npz`` arrays without ``meta``. Any other file is written with ``torch.save`` as
            ``{container: state, 'meta': meta}``, which ``weights_only=True`` accepts.
        meta: Metadata of the file.
        container: Key of the parameters.
    """
    state = compact(state)
    with atomic_write(path) as part:
        if Path(path).suffix == SAFETENSORS:
            from safetensors.torch import save_file

            save_file(state, part, dict(meta))
        elif Path(path).suffix == NUMPY:
            with Path(part).open('wb') as file:
                np.savez(file, **{name: value.numpy() for name, value in state.items()})  # type: ignore[arg-type]
        else:
            torch.save({container: state, 'meta': dict(meta)}, part)


def _read_numpy(path: Path) -> StateDict:
    with np.load(path, allow_pickle=False) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


def _read_torch(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # torch.load would pass such a file to torch.jit.load.
            if any(name.endswith('/constants.pkl') for name in archive.namelist()):
                raise CheckpointError('it is a TorchScript program; save its state_dict() instead')
    # The authors' files contain their command line. Before torch 2.5 it cannot be allowed: the fallback reads them.
    safe_globals = getattr(torch.serialization, 'safe_globals', nullcontext)
    try:
        with safe_globals([argparse.Namespace]):
            return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError:
        return torch.load(path, map_location='cpu', weights_only=False, pickle_module=_TENSORS_ONLY)


def _find_state_dict(tree: Any, path: Path) -> StateDict:
    while isinstance(tree, Mapping) and (
        inner := [tree[key] for key in CONTAINERS if isinstance(tree.get(key), Mapping)]
    ):
        tree = inner[0]
    if not isinstance(tree, Mapping) or not any(isinstance(value, Tensor) for value in tree.values()):
        raise CheckpointError(f'{path} has no parameters, neither at the top level nor under {", ".join(CONTAINERS)}')
    if others := [str(key) for key, value in tree.items() if not isinstance(value, Tensor)]:
        raise CheckpointError(f'{path}: {len(others)} parameters are not tensors: {", ".join(others)}')
    if not all(isinstance(key, str) for key in tree):
        raise CheckpointError(f'{path}: parameters are not named by strings')
    # A Parameter's detached tensor carries neither gradients nor hooks.
    state = {key: value.detach() for key, value in tree.items()}
    try:
        return strip_wrappers(state)
    except ValueError as error:
        raise CheckpointError(f'{path}: {error}') from error
