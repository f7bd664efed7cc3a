"""Shared code of ``tools/train.py`` and ``tools/test.py``: OpenMMLab's usual flags and clear messages for mistakes."""

import argparse
import gc
import os
import signal
import sys
from collections.abc import Sized
from difflib import get_close_matches
from pathlib import Path
from types import FrameType

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmvidmae.compat.no_gpu import adapt_to_cpu
from mmvidmae.registry import MODELS
from mmvidmae.utils.arguments import make_parser, require_file

from .check_config import CONFIG_KEYS, ConfigError, check_config

__all__ = [
    'build_runner',
    'close_distributed',
    'load_config',
    'make_parser',
    'require_batches',
    'require_file',
    'resume_latest',
    'train',
]


def load_config(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Config:
    """Load ``args.config`` and merge the shared arguments. A mistake of the user ends the program with one message.

    For configs with mmpretrain's default scope, the loaders get the defaults of mmpretrain's own tools
    (``default_collate``, pinned memory, persistent workers). For configs of mmtrack, the bridge to mmtrack is enabled.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    require_file(parser, args.config, 'config')
    try:
        cfg = Config.fromfile(args.config)
    except (SyntaxError, FileNotFoundError) as error:
        parser.error(f'{args.config}: {error}')
    if cfg.get('default_scope') == 'mmtrack':
        try:
            from mmvidmae.compat.mmtrack import enable

            enable()
        except ImportError as error:
            parser.error(f'{args.config} is a config of mmtrack: {error}')

    for key in args.cfg_options or {}:
        top = key.split('.')[0]
        if top not in cfg and top not in CONFIG_KEYS:
            close = get_close_matches(top, [*cfg, *CONFIG_KEYS], n=1)
            hint = f'; did you mean {close[0]}?' if close else ''
            parser.error(f'--cfg-options {key}: {args.config} has no {top}{hint}')
    try:
        cfg.merge_from_dict(args.cfg_options or {})
    except (KeyError, TypeError) as error:
        parser.error(f'--cfg-options: {error.args[0]}')

    try:
        check_config(cfg)
    except ConfigError as error:
        parser.error(f'{args.config}: {error}')

    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', Path(args.config).stem))
    if cfg.get('default_scope') == 'mmpretrain':
        for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            loader = cfg.get(name)
            if isinstance(loader, dict):
                loader.setdefault('collate_fn', dict(type='default_collate'))
                loader.setdefault('pin_memory', torch.cuda.is_available())
                loader.setdefault('persistent_workers', True)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if isinstance(loader, dict) and not loader.get('num_workers', 0):  # PyTorch refuses options of workers
            loader['persistent_workers'] = False
            loader.pop('prefetch_factor', None)
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config, also on a machine without a GPU."""
    adapt_to_cpu(cfg)
    if cfg.get('strategy'):  # the plain runner would ignore it
        cfg.setdefault('runner_type', 'FlexibleRunner')
        cfg.setdefault('env_cfg', {})  # that runner has no default of its own
    if cfg.get('compile') and _is_pair_model(cfg.model):
        # MMEngine would compile train_step: many small graphs around its Python, and the optimizer group by group
        cfg.model.compile = cfg.pop('compile')
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def resume_latest(parser: argparse.ArgumentParser, cfg: Config) -> None:
    """Let a config resume from the latest checkpoint of its work dir. Without one, training starts from scratch.

    If ``last_checkpoint`` names a missing file, the program ends with a message.
    """
    from mmvidmae.engine.hooks import latest_checkpoint  # takes seconds

    try:
        latest = latest_checkpoint(cfg.work_dir)
    except FileNotFoundError as error:
        parser.error(f'--resume: {error}')
    cfg.resume = latest is not None
    if latest is not None:
        cfg.load_from = latest
    else:
        print_log(
            f'--resume: there is no checkpoint in {cfg.work_dir}, so training starts from scratch. To resume from '
            'elsewhere, use --work-dir FOLDER or --resume CHECKPOINT',
            'current',
        )


def train(parser: argparse.ArgumentParser, runner: Runner) -> int:
    """Train. Ctrl-C and a checkpoint that cannot be resumed end the program with a message.

    Returns:
        The exit code: 0, or that of :class:`Preempted` on the main process of a preempted run.
    """
    from mmvidmae.engine.hooks import CannotResume, Preempted

    own = os.getpid()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if os.getpid() == own:  # the loaders' processes end with this one
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        runner.train()
    except CannotResume as error:
        parser.error(f'--resume: {error}')
    except Preempted as stop:
        if runner.rank:
            return 0  # a launcher would end the others at the first code that is not 0
        print(f'\nA signal asked the run to stop ({stop}); {_how_to_continue(runner)}', file=sys.stderr)
        return Preempted.EXIT_CODE
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if runner.rank == 0:
            at = f'in epoch {runner.epoch + 1}, ' if runner.max_epochs > 1 else ''
            print(f'\nStopped {at}after {runner.iter} iterations; {_how_to_continue(runner)}', file=sys.stderr)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, before)
    return 0


def _how_to_continue(runner: Runner) -> str:
    from mmvidmae.engine.hooks import latest_checkpoint

    latest = latest_checkpoint(runner.work_dir)
    saved = f'the latest checkpoint is {latest}' if latest else 'no checkpoint was saved so far'
    onwards = 'To continue, run the same command with --resume' if latest else 'Run it again to start over'
    return f'{saved}. {onwards}.'


def require_batches(parser: argparse.ArgumentParser, runner: Runner) -> None:
    """End the program with a clear message if the training data do not fill a batch."""
    loader = runner.train_dataloader
    if isinstance(loader.sampler, Sized) and not len(loader):
        per_sample = getattr(loader.sampler, 'pairs_per_sample', 1)
        part = f', of which an epoch uses 1/{per_sample:g} (repeated_sampling)' if per_sample > 1 else ''
        parser.error(
            f'the training data do not fill a batch: {len(loader.dataset)} items{part} give {len(loader.sampler)} '
            f'per process, and train_dataloader.batch_size is {loader.batch_sampler.batch_size}. Add data or lower it'
        )


def _is_pair_model(model: Config) -> bool:
    from mmvidmae.models import PairMAE  # takes seconds

    kind = MODELS.get(model.type) if isinstance(model.type, str) else model.type
    return isinstance(kind, type) and issubclass(kind, PairMAE)


def close_distributed() -> None:
    """Destroy the process group after a successful run. No model or runner may be in use any more.

    The threads of gloo release tensors and abort the process if the interpreter is already shutting down (torch 2.11).
    They end with the process group, which a model wrapped by DDP keeps alive. Unused models are therefore freed first.
    """
    gc.collect()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
