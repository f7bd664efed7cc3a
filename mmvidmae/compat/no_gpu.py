"""Training and testing on a machine without a GPU, with several processes too.

What: ``--launcher pytorch`` fails without CUDA, and so does a config with ``AmpOptimWrapper``.

Why: MMEngine's launcher (0.10.7, ``dist/utils.py``) selects a CUDA device before it starts the process group,
``Runner.wrap_model`` passes ``device_ids`` to DDP, which accepts them only for GPU modules, and ``AmpOptimWrapper``
asserts that there is a GPU.

Until: MMEngine chooses by the devices that it finds.
"""

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log


def adapt_to_cpu(cfg: Config) -> None:
    """Change a config so that it runs on a machine without an accelerator. Otherwise it does nothing.

    For ``launcher='pytorch'`` the process group is started here, with gloo (MMEngine keeps an existing one),
    and the model is wrapped without device ids. Mixed precision is replaced by float32.

    Args:
        cfg: Config of a run, changed in place.
    """
    if get_device() != 'cpu':
        return
    optim_wrapper = cfg.get('optim_wrapper') or {}
    if optim_wrapper.get('type') in ('AmpOptimWrapper', 'mmengine.AmpOptimWrapper'):
        print_log('No GPU: mixed precision (AmpOptimWrapper) is off, the run uses float32.', 'current')
        optim_wrapper['type'] = 'OptimWrapper'
        for name in ('loss_scale', 'dtype', 'use_fsdp'):
            optim_wrapper.pop(name, None)
    if cfg.get('launcher', 'none') == 'pytorch':
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group('gloo')
        cfg.model_wrapper_cfg = {
            'type': 'MMDistributedDataParallel',
            'broadcast_buffers': False,
            'find_unused_parameters': cfg.get('find_unused_parameters', False),
            **(cfg.get('model_wrapper_cfg') or {}),
            'device_ids': None,
        }
