"""Recorded behavior: losses of seeded trainings, scores of label propagation, the boxes of a tracked video.

A change that only moves or renames must leave all of them as they are. After a change that is meant to alter them,
record them anew and say why in the commit:

    python tests/traces.py tests/assets/traces.json
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner, set_random_seed
from PIL import Image
from samples import make_davis, make_frames, make_sequences

from mmvidmae.apis import TrackingInferencer, get_model
from mmvidmae.compat.mmtrack import enable
from mmvidmae.compat.no_gpu import adapt_to_cpu

ROOT = Path(__file__).resolve().parents[1]
STEPS = 20
ARCH = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96)
_NUMBERS = count()


def train(cfg: Config) -> list[float]:
    """Losses of the first steps of a run."""
    for name in ('val', 'test'):
        cfg.update({f'{name}_cfg': None, f'{name}_dataloader': None, f'{name}_evaluator': None})
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False, pin_memory=False)
    cfg.train_cfg = dict(by_epoch=False, max_iters=STEPS)
    cfg.param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=STEPS)]
    cfg.default_hooks.logger.interval = 1
    cfg.custom_hooks = [hook for hook in cfg.get('custom_hooks', []) if 'Vis' not in hook.type]
    cfg.randomness, cfg.log_level = dict(seed=3), 'ERROR'
    cfg.vis_backends = [dict(type='LocalVisBackend')]
    cfg.visualizer.vis_backends = cfg.vis_backends
    cfg.visualizer.pop('name', None)  # mmseg has one name, so one visualizer and folder, for all runs of a process
    cfg.experiment_name = f'trace{next(_NUMBERS)}'
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        adapt_to_cpu(cfg)
        runner = Runner.from_cfg(cfg)
        batches = runner.train_loop.dataloader_iterator
        if hasattr(batches, '_ensure_iterator'):  # OneDL's MMEngine would draw its seed after the weights
            batches._ensure_iterator()
        runner.train()
    return np.asarray(runner.message_hub.get_scalar('train/loss').data[0])[-STEPS:].tolist()


def pretrain(folder: Path, method: str, masking: dict | None = None) -> list[float]:
    """Losses of a small pre-training on frame folders."""
    clips = folder / 'clips'
    if not clips.exists():
        for clip in range(8):
            for number, frame in enumerate(make_frames(20, seed=clip)):
                path = clips / f'{clip}/{number:03d}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(frame).save(path)
    cfg = Config.fromfile(ROOT / f'configs/small/{method}_vit-tiny6-p8_1xb8-coslr-20e_clips.py')
    cfg.model.backbone.update(arch=ARCH, img_size=32, patch_size=4)
    cfg.model.neck.update(decoder_dims=48, depth=2, num_heads=3)
    dataset = cfg.train_dataloader.dataset
    dataset.pipeline[2].size = 32
    dataset.update(type='mmvidmae.FramePairDataset', data_root=str(clips), ann_file='', repeated_sampling=2)
    dataset.data_prefix = dict(img='')
    cfg.train_dataloader.batch_size = 2
    if masking:
        cfg.model.masking = masking
    return train(cfg)


def track(folder: Path) -> list[float]:
    """Losses of a small tracker."""
    enable()
    cfg = tracker_config()
    sequences = folder / 'sequences'
    if not sequences.exists():
        make_sequences(sequences)
    cfg.train_dataloader.update(batch_size=2)
    cfg.train_dataloader.sampler.samples_per_epoch = 2 * STEPS
    cfg.train_dataloader.dataset.data_root = str(sequences)
    (crop,) = (step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'mmvidmae.OSTrackCrop')
    crop.sizes = (32, 64)
    return train(cfg)


def tracker_config() -> Config:
    cfg = Config.fromfile(ROOT / 'configs/small/droptrack_vit-tiny6-p8-96_1xb16-1e_sequences.py')
    cfg.model.update(template_size=32, search_size=64)
    cfg.model.backbone.update(arch=ARCH, ce_loc=(1,), ce_keep_ratio=(0.7,))
    cfg.model.head.channels = 16
    return cfg


def segment(folder: Path) -> list[float]:
    """Losses of a small DropSeg."""
    cfg = Config.fromfile(ROOT / 'configs/small/dropseg_vit-tiny6-p8-128_1xb8-400i_davis2017.py')
    cfg.model.backbone.update(arch=ARCH, img_size=32)
    cfg.model.neck.channels = cfg.model.decode_head.channels = (16, 8)
    cfg.train_dataloader.batch_size = 2
    cfg.train_dataloader.dataset.videos.update(data_root=str(davis(folder)), split='val')
    cfg.train_dataloader.dataset.pipeline[0].size = 32
    return train(cfg)


def davis(folder: Path) -> Path:
    root = folder / 'davis'
    if not root.exists():
        make_davis(root, dict(a=5, b=6, c=7))
        (root / 'ImageSets/2017').mkdir(parents=True)
        (root / 'ImageSets/2017/val.txt').write_text('a\nb\nc\n')
    return root


def segment_with_mmseg(folder: Path) -> list[float]:
    """Losses of a small segmentor of mmseg."""
    cfg = Config.fromfile(ROOT / 'configs/small/fcn_dropmae-vit-tiny6-p8_1xb8-300i_davis2016-128x128.py')
    cfg.model.backbone.update(arch=ARCH, out_indices=(0, 1))
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        head.update(in_channels=48, channels=8)
    cfg.optim_wrapper.paramwise_cfg.num_layers = 2
    cfg.train_dataloader.update(batch_size=2)
    cfg.train_dataloader.dataset.update(data_root=str(davis(folder)), sequences=['a', 'b'])
    return train(cfg)


def linear_probe(folder: Path) -> list[float]:
    """Losses of a linear probe of mmpretrain."""
    cfg = Config.fromfile(ROOT / 'configs/dropmae/benchmarks/linear_dropmae-vit-base-p16_8xb2048-coslr-90e_in1k.py')
    cfg.model.backbone.update(arch=ARCH, img_size=32, patch_size=4, frozen_stages=2, init_cfg=None)
    cfg.model.head.update(in_channels=48, num_classes=3)
    if cfg.model.get('neck'):
        cfg.model.neck.update({key: 48 for key in ('input_features', 'num_features') if key in cfg.model.neck})
    if 'data_preprocessor' in cfg:
        cfg.data_preprocessor.num_classes = 3
    pictures = folder / 'pictures'
    if not pictures.exists():
        for label in range(3):
            for number, frame in enumerate(make_frames(8, seed=label)):
                path = pictures / f'{label}/{number}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(frame).save(path)
    pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(32, 32)), dict(type='PackInputs')]
    cfg.train_dataloader.batch_size = 4
    cfg.train_dataloader.dataset = dict(type='CustomDataset', data_root=str(pictures), pipeline=pipeline)
    cfg.train_dataloader.pop('batch_sampler', None)
    return train(cfg)


def propagate(folder: Path) -> dict[str, float]:
    """Scores of a random encoder in label propagation."""
    cfg = Config.fromfile(ROOT / 'configs/propagation/vit-micro-p8_cropmae_davis2017.py')
    for name in ('train', 'val'):
        cfg.update({f'{name}_cfg': None, f'{name}_dataloader': None, f'{name}_evaluator': None})
    cfg.test_dataloader.dataset.data_root = str(davis(folder))
    cfg.test_dataloader.dataset.pipeline[0].size = (96, 176)
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.randomness, cfg.log_level = dict(seed=3), 'ERROR'
    cfg.experiment_name = f'trace{next(_NUMBERS)}'
    with tempfile.TemporaryDirectory() as work_dir:
        cfg.work_dir = work_dir
        cfg.test_evaluator.update({'out_dir': work_dir} if 'out_dir' in cfg.test_evaluator else {})
        scores = Runner.from_cfg(cfg).test()
    return {name: float(value) for name, value in scores.items()}


def follow(folder: Path) -> list[list[float]]:
    """Boxes of a random tracker on a video."""
    set_random_seed(3)
    model = get_model(tracker_config(), device='cpu')
    model.init_weights()
    frames = iter(make_frames(12, 96, 128, seed=1))
    boxes = TrackingInferencer(model, show_progress=False)(frames, (40, 30, 24, 20))['predictions']['boxes_xywh']
    return np.round(boxes, 3).tolist()


def masking(kind: str, method: str = 'mae', **options: Any) -> Callable[[Path], Any]:
    """A pre-training with another masking."""
    return lambda folder: pretrain(folder, method, dict(type=f'mmvidmae.{kind}', **options))


TRACES: dict[str, Callable[[Path], Any]] = {
    'dropmae': lambda folder: pretrain(folder, 'dropmae'),
    'twinmae': lambda folder: pretrain(folder, 'twinmae'),
    'siammae': lambda folder: pretrain(folder, 'siammae'),
    'mae, per frame': masking('PerFrameRandomMasking', mask_ratio=0.75),
    'siammae, grid': masking('GridMasking', 'siammae'),
    'siammae, asymmetric .5': masking('AsymmetricMasking', 'siammae', mask_ratio=(0.25, 0.75)),
    'dropmae, joint .5': masking('JointRandomMasking', 'dropmae', mask_ratio=0.5),
    'droptrack': track,
    'dropseg': segment,
    'linear probe': linear_probe,
    'mmseg fcn': segment_with_mmseg,
    'label propagation': propagate,
    'tracked video': follow,
}


def main(path: str, *names: str) -> None:
    torch.set_num_threads(1)
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    with tempfile.TemporaryDirectory() as folder:
        results = {name: TRACES[name](Path(folder)) for name in names or TRACES}
    Path(path).write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__':
    main(*sys.argv[1:])
