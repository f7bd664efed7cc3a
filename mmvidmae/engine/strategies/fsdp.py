"""Fully sharded training (FSDP) with the same parameter groups and checkpoints as unsharded training, on GPUs and CPUs.

What: with MMEngine's own ``FSDPStrategy`` (0.10.7, ``_strategy/fsdp.py``)

- every weight loses its decay under ``paramwise_cfg=dict(flat_decay_mult=0)``;
- a run cannot be resumed, nor started or saved on a machine without a GPU;
- a kill in a save leaves a broken file under the name of the checkpoint, and so nothing to resume from;
- checkpoints hold the optimizer's state by parameter names, which an unsharded run cannot load, and no loss scale.

Why: parameter groups are made after sharding, which flattens all parameters to one dimension;
``optim_state_dict_to_load`` gets its arguments in the order of torch 2.0, which 2.1 changed; the device is given as the
number of a GPU, and weights are copied "to the CPU" to be saved, which torch does not expect to be a no-op; files are
written in place, without the hook's file backend; and what FSDP returns is stored as it is.

Until: MMEngine makes the groups before sharding and follows torch's signature.
"""

import os
from collections.abc import Iterator
from contextlib import nullcontext

import torch
from mmengine._strategy.fsdp import FSDPStrategy as _FSDPStrategy
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.optim import BaseOptimWrapper
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

from mmvidmae.models.backbones import RegisterViT
from mmvidmae.models.heads import PrototypeHead
from mmvidmae.models.layers import CrossBlock
from mmvidmae.registry import STRATEGIES
from mmvidmae.utils.files import atomic_write


def _wrapper() -> dict:
    """Arguments of FSDP."""
    # Encoder and head of T-CoRe too, so that student and teacher have the same shards.
    policy = ModuleWrapPolicy({TransformerEncoderLayer, CrossBlock, RegisterViT, PrototypeHead})
    device = torch.device('cpu') if get_device() == 'cpu' else int(os.environ.get('LOCAL_RANK', 0))
    return dict(use_orig_params=True, auto_wrap_policy=policy, device_id=device)  # groups need the original parameters


def shard(model: nn.Module) -> FSDP:
    """Shard a model as :class:`FSDPStrategy` does."""
    return FSDP(model, **_wrapper())


@STRATEGIES.register_module()
class FSDPStrategy(_FSDPStrategy):
    """MMEngine's strategy of the same name, for transformers of mmpretrain and ours. Each block is a unit of sharding.

    Checkpoints equal those of an unsharded run: one file, written by rank 0. Any tool reads it, and any number of
    processes can resume from it, sharded or not.

    Args:
        model_wrapper: Options that replace those of the default wrapper, such as
            ``dict(sharding_strategy='SHARD_GRAD_OP')`` or ``dict(cpu_offload=True)``; see MMEngine's
            ``MMFullyShardedDataParallel``.
        **kwargs: Further arguments of MMEngine's ``FSDPStrategy``.
    """

    def __init__(self, *, model_wrapper: dict | None = None, **kwargs) -> None:
        super().__init__(model_wrapper={**_wrapper(), **(model_wrapper or {})}, state_dict_cfg='full', **kwargs)
        if get_device() == 'cpu':
            # torch frees the originals after the copy, but here they are the same tensors
            self.state_dict_config.offload_to_cpu = self.optim_state_dict_config.offload_to_cpu = False

    def build_optim_wrapper(self, optim_wrapper: BaseOptimWrapper | dict, model: nn.Module) -> BaseOptimWrapper:
        """Build the optimizer with groups of unsharded parameters."""
        with FSDP.summon_full_params(model, writeback=False):
            return super().build_optim_wrapper(optim_wrapper, model)

    def save_checkpoint(self, filename: str, **kwargs) -> None:
        """Save as MMEngine does, with :func:`atomic_write`. Rank 0 writes; all ranks must call this."""
        with atomic_write(filename, sync=True) if is_main_process() else nullcontext() as part:
            super().save_checkpoint(str(part), **kwargs)

    def optim_state_dict(self) -> dict:
        """State of the optimizer as without sharding. All ranks must call this; only rank 0 gets the state."""
        state = FSDP.optim_state_dict(self.model, self.optim_wrapper.optimizer)
        if not is_main_process():
            return {}
        numbers = {name: number for number, name in enumerate(self._names())}
        plain = self.optim_wrapper.state_dict()  # also what the wrapper adds, such as a loss scale
        plain['state'] = {numbers[name]: values for name, values in state['state'].items()}
        return plain

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load the unsharded state of an optimizer on all ranks."""
        names = list(self._names())
        by_name = dict(
            state={names[number]: values for number, values in state_dict['state'].items()},
            param_groups=[
                {**group, 'params': [names[number] for number in group['params']]}
                for group in state_dict['param_groups']
            ],
        )
        sharded = FSDP.optim_state_dict_to_load(self.model, self.optim_wrapper.optimizer, by_name)
        self.optim_wrapper.load_state_dict({**state_dict, **sharded})

    def _names(self) -> Iterator[str]:
        """Unsharded names of the optimizer's parameters, in its order."""
        names = {param: name.replace('_fsdp_wrapped_module.', '') for name, param in self.model.named_parameters()}
        for group in self.optim_wrapper.optimizer.param_groups:
            yield from (names[param] for param in group['params'])
