"""Gradient checkpointing: less memory for a second forward pass of each block."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


def maybe_checkpoint(block: Callable, *args: Any, with_cp: bool = False) -> Any:
    """Call a block, optionally with gradient checkpointing.

    With checkpointing only the block's inputs are kept, and the backward pass runs the block again. The second run
    draws the same random numbers, so dropout and attention dropout are identical.

    Args:
        block: Module or function.
        *args: Arguments of the block.
        with_cp: Whether to checkpoint if gradients are enabled. The name is that of OpenMMLab's backbones.
    """
    if with_cp and torch.is_grad_enabled():
        return checkpoint(block, *args, use_reentrant=False)
    return block(*args)
