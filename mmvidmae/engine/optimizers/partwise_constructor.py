"""Learning rates by layer and by part of a model, and clipping of each part by itself."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch
from mmengine.dist import all_reduce
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

from mmvidmae.registry import OPTIM_WRAPPER_CONSTRUCTORS

from .optim_wrapper_constructor import SummarizingOptimWrapperConstructor, true_names

OPTIONS = ('layer_decay_rate', 'lr_mults', 'flat_decay_mult', 'clip_norm')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PartwiseOptimWrapperConstructor(SummarizingOptimWrapperConstructor):
    """Constructor with layer-wise decay of the learning rate, factors by name, and one gradient norm for each part.

    The part of a parameter is the first word of its name, such as ``backbone``, ``neck`` or ``head``. Parameters with
    the same options are one group. A group keeps its ``part`` and whether it is the ``last_layer`` of a prototype head.

    Options of ``paramwise_cfg``:

    - ``layer_decay_rate``: factor of the learning rate from one layer of the model to the one below; see the model's
      ``get_layer_depth``. 1 by default.
    - ``lr_mults``: further factors, by the beginning of a name. All that match apply.
    - ``flat_decay_mult``: factor of the weight decay of one-dimensional parameters (biases, norms, LayerScale). 1 by
      default.
    - ``clip_norm``: largest gradient norm of a part. It works with any wrapper, and under FSDP. Not clipped by default.

    Raises:
        ValueError: For another option, or a beginning of a name that no parameter has.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer and its wrapper for a model."""
        self.paramwise_cfg = self.paramwise_cfg or {}
        if unknown := sorted({*self.paramwise_cfg} - {*OPTIONS}):
            raise ValueError(f'paramwise_cfg has {", ".join(unknown)}; it may have {", ".join(OPTIONS)}')
        optim_wrapper = super().__call__(model)
        if max_norm := self.paramwise_cfg.get('clip_norm'):
            sharded = any(isinstance(module, FSDP) for module in model.modules())

            def clip(optimizer: torch.optim.Optimizer, *_) -> None:
                parts = defaultdict(list)
                for group in optimizer.param_groups:
                    parts[group['part']] += group['params']
                for parameters in parts.values():
                    clip_grad_norm(parameters, max_norm, sharded)

            # The step's own hook runs after gradients are unscaled, with any wrapper.
            optim_wrapper.optimizer.register_step_pre_hook(clip)
        return optim_wrapper

    def add_params(self, params: list[dict], module: nn.Module, **_) -> None:
        """Append the parameter groups of a model to ``params``."""
        names = true_names(module)
        mults = self.paramwise_cfg.get('lr_mults', {})
        for prefix in mults:
            if not any(name.startswith(prefix) for name in names.values()):
                raise ValueError(f'paramwise_cfg.lr_mults: no parameter begins with {prefix!r}')
        groups: dict[tuple, dict] = {}
        for parameter in module.parameters():
            if not parameter.requires_grad:
                continue
            name = names[parameter]
            lr, weight_decay = self.base_lr, self.base_wd or 0.0
            if rate := self.paramwise_cfg.get('layer_decay_rate'):
                depth, num_depths = module.get_layer_depth(name)
                lr *= rate ** (num_depths - 1 - depth)
            for prefix, mult in mults.items():
                lr *= mult if name.startswith(prefix) else 1
            if parameter.ndim <= 1:
                weight_decay *= self.paramwise_cfg.get('flat_decay_mult', 1)
            options = dict(
                lr=lr, weight_decay=weight_decay, part=name.partition('.')[0], last_layer='.last_layer.' in name
            )
            groups.setdefault(tuple(options.values()), dict(params=[], **options))['params'].append(parameter)
        params.extend(groups.values())


def clip_grad_norm(parameters: Iterable[nn.Parameter], max_norm: float, sharded: bool = False) -> Tensor | None:
    """Scale the gradients of parameters down to a common norm, as ``torch.nn.utils.clip_grad_norm_`` does.

    Args:
        parameters: Parameters, some of which may have no gradient.
        max_norm: Largest norm.
        sharded: Whether each process has a part of each gradient. All processes must then call this.

    Returns:
        Norm before scaling, or None without gradients.
    """
    parameters = list(parameters)
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not grads and not sharded:
        return None
    total = _squares(grads, parameters[0].device)
    if sharded:
        all_reduce(total)
    norm = total.sqrt()
    if grads:
        torch._foreach_mul_(grads, (max_norm / (norm + 1e-6)).clamp(max=1.0))
    return norm


def _squares(grads: Sequence[Tensor], device: torch.device) -> Tensor:
    if not grads:
        return torch.zeros((), device=device)
    return torch.stack([norm.float() for norm in torch._foreach_norm(grads)]).square().sum()
