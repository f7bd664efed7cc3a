"""Mixed precision on CPUs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mmvidmae.registry import OPTIM_WRAPPERS


class AttentionInFloat32(TorchFunctionMode):
    """Computes ``scaled_dot_product_attention`` in float32 within autocast, and returns the type of the query.

    PyTorch's bfloat16 attention for CPUs is slower (``tools/benchmarks/scaling.py --parts precision``).
    """

    def __torch_function__(self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: dict | None = None):
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        with torch.autocast('cpu', enabled=False):
            out = func(*map(_to_float32, args), **{name: _to_float32(value) for name, value in kwargs.items()})
        return out.to(args[0].dtype)


def _to_float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Optimizer wrapper that runs the forward pass in bfloat16 on a CPU. MMEngine's ``AmpOptimWrapper`` refuses CPUs.

    Parameters, gradients and the optimizer's state stay in float32, and attention is computed in it. It is faster only
    on CPUs with bfloat16 instructions (``avx512_bf16`` or ``amx_bf16`` in ``lscpu``).
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the block with automatic mixed precision."""
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16), AttentionInFloat32():
            yield
