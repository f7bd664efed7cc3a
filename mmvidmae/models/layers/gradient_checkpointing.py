"""Gradient checkpointing: less memory for a second forward pass of each block."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch.overrides import _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint

from mmvidmae.compat.compiling import is_compiling


def maybe_checkpoint(block: Callable, *args: Any, with_cp: bool = False) -> Any:
    """Call a block, optionally with gradient checkpointing.

    With checkpointing only the block's inputs are kept, and the backward pass runs the block again. The second run
    draws the same random numbers, so dropout and attention dropout are identical, and has the same torch function
    modes, such as the one of :class:`CPUAmpOptimWrapper`, which ``checkpoint`` does not restore.

    Args:
        block: Module or function.
        *args: Arguments of the block.
        with_cp: Whether to checkpoint if gradients are enabled. The name is that of OpenMMLab's backbones.
    """
    if with_cp and torch.is_grad_enabled():
        modes = [] if is_compiling() else _get_current_function_mode_stack()
        options: dict[str, Any] = dict(context_fn=lambda: (nullcontext(), _entered(modes))) if modes else {}
        return checkpoint(block, *args, use_reentrant=False, **options)
    return block(*args)


@contextmanager
def _entered(modes: list) -> Iterator[None]:
    with ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        yield
