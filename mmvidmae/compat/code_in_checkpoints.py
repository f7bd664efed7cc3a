"""OneDL's MMEngine refuses checkpoints with code, too.

What: ``Runner.resume``, ``load_from`` and ``init_cfg=dict(type='Pretrained')`` run the code in a checkpoint.

Why: OneDL's MMEngine (0.10.12, ``runner/checkpoint.py``, ``_safe_torch_load``) first loads with ``weights_only=True``.
What torch refuses, it loads again with ``weights_only=False``. Its allow-list also holds the plain ``getattr``, which
reaches anything from an allowed object.

Until: the fork neither loads again nor allows ``getattr``.
"""

import torch
from mmengine.runner import checkpoint


def refuse_code_in_checkpoints() -> None:
    """Let ``torch.load`` decide, as with the original MMEngine. Repeated calls have no further effect.

    MMEngine's own types are allow-listed by :mod:`mmvidmae.compat.checkpoint_globals`.
    """
    if hasattr(checkpoint, '_safe_torch_load'):
        checkpoint._safe_torch_load = torch.load
