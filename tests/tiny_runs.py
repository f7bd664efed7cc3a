"""Tiny but real training runs, and hooks that watch and break them; the processes that tests start import it too."""

import json
import os
import signal
from itertools import count
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

import mmvidmae.registry  # noqa: F401 (lets the tests read MMEngine's checkpoints)

_NUMBERS = count()
TCORE = dict(
    backbone=dict(
        arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
        img_size=32,
        patch_size=4,
        num_registers=2,
        drop_path_rate=0.0,
    ),
    neck=dict(num_heads=3),
    head=dict(num_prototypes=16, hidden_dims=32, bottleneck_dims=8),
)
"""Parts of a tiny T-CoRe."""


def tiny_config(video_dir: Path, work_dir: Path, model: str = 'DropMAE', **changes) -> Config:
    """Config of a run: 32 x 32 pairs, 8 clips of which an epoch samples 4, one an iteration, with 2 pairs each.

    Args:
        video_dir: Folder with at least one clip.
        work_dir: Work dir; a list of the clips is written beside it.
        model: Type of the model.
        **changes: Keys to set, with ``__`` for dots: ``train_cfg__max_epochs=3``.
    """
    clips = sorted(path.name for path in video_dir.iterdir())
    ann_file = work_dir.parent / 'clips.txt'
    ann_file.write_bytes(os.fsencode(''.join(f'{clips[i % len(clips)]}\n' for i in range(8))))  # as names are
    crop = dict(type='mmvidmae.PairRandomResizedCrop', size=32, scale=(0.5, 1.0), shared=True)
    loader = dict(
        batch_size=1,
        num_workers=0,
        persistent_workers=False,
        sampler=dict(type='mmvidmae.PairSampler', shuffle=True),
        collate_fn=dict(type='mmvidmae.pair_collate'),
        dataset=dict(
            type='mmvidmae.VideoPairDataset',
            ann_file=str(ann_file),
            data_prefix=dict(video=str(video_dir)),
            repeated_sampling=2,
            serialize_data=False,
            pipeline=[
                dict(type='mmvidmae.SampleFramePairs', gap=(1, 9), draw_first='gap'),
                dict(type='mmvidmae.LoadFramePairs'),
                crop,
                dict(type='mmvidmae.PackPairs'),
            ],
        ),
    )
    held_out = dict(loader, batch_size=4, sampler=dict(type='mmvidmae.PairSampler', shuffle=False))
    held_out['dataset'] = dict(loader['dataset'], repeated_sampling=1)
    arch = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96)
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            work_dir=str(work_dir),
            model=dict(
                type=f'mmvidmae.{model}',
                backbone=dict(arch=arch, img_size=32, patch_size=8),
                neck=dict(decoder_dims=48, depth=1, num_heads=3),
            ),
            train_dataloader=loader,
            val_dataloader=held_out,
            val_cfg=dict(),
            val_evaluator=dict(type='mmvidmae.ReconstructionMetric'),
            test_dataloader=held_out,
            test_cfg=dict(),
            test_evaluator=dict(type='mmvidmae.ReconstructionMetric'),
            train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=100),
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
            param_scheduler=dict(
                type='mmvidmae.LinearLR', start_factor=0.01, end=3, by_epoch=True, convert_to_iter_based=True
            ),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                param_scheduler=dict(type='mmvidmae.ScheduleHook'),
                checkpoint=dict(type='mmvidmae.AtomicCheckpointHook', interval=1, max_keep_ckpts=2),
            ),
            custom_hooks=[
                dict(type='mmvidmae.StepSeedHook'),
                dict(type='mmvidmae.NonFiniteLossHook'),
                dict(type='mmvidmae.SkippedVideoHook'),
                dict(type='mmvidmae.ReconstructionVisHook', num_pairs=2),
            ],
            visualizer=dict(
                type='Visualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
            ),
            randomness=dict(seed=7),
        )
    )
    if model == 'SiamMAE':  # of 16 patches, 5 % is none
        cfg.model.masking = dict(mask_ratio=(0.0, 0.75))
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
    return cfg


def tcore_config(video_dir: Path, work_dir: Path, **changes) -> Config:
    """Config of a run of T-CoRe on the clips of :func:`tiny_config`, two an iteration."""
    config = tiny_config(video_dir, work_dir, 'TCoRe')
    config.model = dict(type='mmvidmae.TCoRe', **TCORE)
    loader = config.train_dataloader
    loader.batch_size = 2
    loader.dataset.pipeline = [
        dict(
            type='mmvidmae.SampleFrames',
            gap=(0.15, 0.25),
            draw_first='middle',
            middle=(0.3, 0.7),
            num_frames=3,
            short='same',
        ),
        dict(type='mmvidmae.LoadFramePairs'),
        dict(type='mmvidmae.SandwichViews', size=32, local_size=16, num_local=2),
        dict(type='mmvidmae.PackPairs'),
    ]
    for split in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            config.pop(f'{split}_{part}')
    config.optim_wrapper = dict(
        constructor='mmvidmae.PartwiseOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.04),
        paramwise_cfg=dict(layer_decay_rate=0.9, lr_mults={'neck': 0.1}, flat_decay_mult=0, clip_norm=3.0),
    )
    config.param_scheduler = [
        dict(type='mmvidmae.LinearLR', start_factor=0.0, end=1, convert_to_iter_based=True),
        dict(type='CosineAnnealingParamScheduler', param_name='weight_decay', eta_min_ratio=10.0, by_epoch=False),
    ]
    config.custom_hooks = [
        dict(type='mmvidmae.StepSeedHook'),
        dict(type='mmvidmae.TeacherHook', temperature_epochs=2),
        dict(type='TraceHook'),
    ]
    config.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
    return config


def shrink_loaders(cfg: Config) -> None:
    """Lets a config load two clips at a time in this process, one pair of each, and validate on two."""
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.update(repeated_sampling=1)
    cfg.val_dataloader.dataset.indices = 2


def dump_config(cfg: Config, folder: Path, changes: dict) -> Path:
    """Write a config with changes by dotted keys to ``folder/config.py``, which is returned."""
    cfg.merge_from_dict(changes)
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(str(folder / 'config.py'))
    return folder / 'config.py'


def build(cfg: Config) -> Runner:
    """A runner for a config, whose name is unique in this process (MMEngine shares loggers between equal names)."""
    return Runner.from_cfg(Config(dict(cfg.to_dict(), experiment_name=f'run{next(_NUMBERS)}')))


def read_trace(folder: Path, rank: int = 0) -> dict[int, tuple[float, float]]:
    """What :class:`TraceHook` wrote: (loss, learning rate) by iteration, the last entry of each."""
    lines = (folder / f'trace_{rank}.jsonl').read_text().splitlines()
    return {step: (loss, lr) for step, loss, lr in map(json.loads, lines)}


@HOOKS.register_module()
class TraceHook(Hook):
    """Appends (iteration, loss, learning rate) of every iteration to ``trace_<rank>.jsonl`` in the work dir."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        line = json.dumps([runner.iter, outputs['loss'].item(), runner.optim_wrapper.get_lr()['lr'][0]])
        with Path(runner.work_dir, f'trace_{get_rank()}.jsonl').open('a') as file:
            file.write(line + '\n')


@HOOKS.register_module()
class KillHook(Hook):
    """Kills its own process with SIGKILL before an iteration, or in a save, when the file is written but not renamed.

    Args:
        before_iter: The iteration, from 0.
        in_save: The number of the save in this process, from 0.
    """

    def __init__(self, before_iter: int = -1, in_save: int = -1) -> None:
        self.before_iter = before_iter
        self.in_save = in_save

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.before_iter:
            os.kill(os.getpid(), signal.SIGKILL)

    def before_save_checkpoint(self, runner, checkpoint) -> None:
        if self.in_save == 0:
            os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
        self.in_save -= 1


@HOOKS.register_module()
class InterruptHook(Hook):
    """Sends a signal before an iteration. SIGINT goes to the whole process group of a program of its own, as Ctrl-C.

    Args:
        before_iter: The iteration, from 0.
        number: The signal.
        rank: The rank that gets it.
    """

    def __init__(self, before_iter: int, number: int = signal.SIGINT, rank: int = 0) -> None:
        self.before_iter = before_iter
        self.number = number
        self.rank = rank

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.before_iter and get_rank() == self.rank:
            if self.number == signal.SIGINT and os.getpgrp() == os.getpid():
                os.killpg(os.getpgrp(), signal.SIGINT)
            else:
                signal.raise_signal(self.number)


@HOOKS.register_module()
class NodeDeathHook(Hook):
    """Kills its own process and torchrun's agent above it with SIGKILL before an iteration, as when a node dies.

    Args:
        before_iter: The iteration, from 0.
        rank: The rank whose node dies.
    """

    def __init__(self, before_iter: int = -1, rank: int = 1) -> None:
        self.before_iter = before_iter
        self.rank = rank

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.before_iter and get_rank() == self.rank:
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)


@HOOKS.register_module()
class PoisonHook(Hook):
    """Makes a weight NaN on one rank, so that the loss of this rank is NaN from then on.

    Args:
        before_iter: The iteration, from 0.
        rank: The rank.
    """

    def __init__(self, before_iter: int, rank: int = 0) -> None:
        self.before_iter = before_iter
        self.rank = rank

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.before_iter and get_rank() == self.rank:
            with torch.no_grad():
                next(runner.model.parameters()).fill_(torch.nan)


@HOOKS.register_module()
class ShareHook(Hook):
    """Writes how many weights this rank holds to ``share_<rank>.txt`` in the work dir."""

    def before_train_epoch(self, runner) -> None:
        weights = sum(parameter.numel() for parameter in runner.model.parameters())
        Path(runner.work_dir, f'share_{get_rank()}.txt').write_text(str(weights))


@HOOKS.register_module()
class CentersHook(Hook):
    """Writes the teacher's centers at the end of a run to ``centers_<rank>.pth`` in the work dir."""

    def after_train(self, runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        torch.save(model.teacher.centers, Path(runner.work_dir, f'centers_{get_rank()}.pth'))
