"""Memory for time: activations computed again in the backward pass."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


def maybe_checkpoint(block: Callable, *args: Any, with_cp: bool = False) -> Any:
    """Call a block; with gradient checkpointing only its inputs are kept, and the backward pass runs it again.

    The second run draws the same random numbers as the first, so dropout and attention dropout repeat.

    Args:
        block: Module or function.
        *args: Its arguments.
        with_cp: Whether to checkpoint where gradients are wanted, named as in OpenMMLab's backbones.
    """
    if with_cp and torch.is_grad_enabled():
        return checkpoint(block, *args, use_reentrant=False)
    return block(*args)
