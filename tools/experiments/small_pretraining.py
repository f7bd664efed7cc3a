"""Pre-train the small models of configs/small on a folder of videos, with the same encoder and number of pictures.

Clips are re-encoded first, and listed once per 40 frames, at most 20 times. A stopped run resumes from its last
checkpoint. The checkpoints of a method are in ``OUT/<method>-<seed>``.

Example:
    python tools/experiments/small_pretraining.py data/videos work_dirs/small --methods dropmae twinmae --epochs 20
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmvidmae.utils.interrupt import leave_on_interrupt

if TYPE_CHECKING:
    from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]


class Method(NamedTuple):
    """A method of configs/small.

    Attributes:
        title: Name in tables and plots.
        frames: Frames or views of a clip that enter the model.
        starts_from: Method whose encoder it starts from, at ``model.backbone.encoder``.
        fine_tunes: Whether the tracker and DropSeg can start from its encoder.
        random: Method whose random weights stand for it where the decoder counts: one with the same layers. Empty for
            its own.
        random_encoder: The same for the encoder alone.
        step_seconds: CPU seconds of a step of 32 clips, for the first estimate, which adapts as the work goes on.
    """

    title: str
    frames: int = 2
    starts_from: str = ''
    fine_tunes: bool = True
    random: str = ''
    random_encoder: str = 'mae'
    step_seconds: float = 2.4


METHODS = dict(
    mae=Method('MAE', step_seconds=1.8),
    twinmae=Method('TwinMAE', random='dropmae', random_encoder='dropmae', step_seconds=1.8),
    dropmae=Method('DropMAE', random_encoder=''),
    siammae=Method('SiamMAE'),
    cropmae=Method('CropMAE'),
    tobo=Method('ToBo', step_seconds=3.5),
    catmae=Method('CatMAE', frames=3, step_seconds=3.5),
    rsp=Method('RSP', step_seconds=4.5),
    rvm=Method('RVM', frames=4, fine_tunes=False, random_encoder='', step_seconds=3.5),
    cosettle=Method('Co-Settle', starts_from='mae', fine_tunes=False, random_encoder='', step_seconds=2.5),
    # three frames with two crops, and four crops of a quarter of their area
    tcore=Method('T-CoRe', frames=7, fine_tunes=False, random_encoder='', step_seconds=5.0),
)
"""Methods of configs/small. ``mae`` is the baseline on single frames."""


def epochs_of(method: str, epochs: int) -> int:
    """Epochs of a method that has as many pictures as ``epochs`` epochs of pairs, at least 2. An epoch has each clip of
    the list once, whatever the number of its frames."""
    return max(round(epochs * 2 / METHODS[method].frames), 2)


def prepare(videos: Path, out: Path, short_side: int = 112) -> None:
    """Re-encode the clips to ``out/clips``, with this short side, and list them in ``out/clips.txt``."""
    from mmvidmae.apis import open_clip
    from mmvidmae.datasets.sources import scan
    from mmvidmae.utils.files import atomic_write

    clips = out / 'clips'
    tool = ROOT / 'tools/dataset_converters/resize_videos.py'
    subprocess.run([sys.executable, tool, videos, clips, '--short-side', str(short_side)], check=True)
    names = scan(str(clips), 'video')
    lines = [f'{name}\n' * min(max(len(open_clip(clips / name)) // 40, 1), 20) for name in names]
    with atomic_write(out / 'clips.txt') as part:
        part.write_text(''.join(lines), 'utf-8')


def configure(
    method: str,
    data: Path,
    epochs: int = 2,
    seed: int = 0,
    saves: int = 4,
    seconds: float | None = None,
    model: str = 'vit-tiny6-p8',
) -> Config:
    """Config of a run on the output of :func:`prepare` in ``data``.

    Args:
        method: One of :data:`METHODS`.
        data: Folder with ``clips`` and ``clips.txt``.
        epochs: Number of epochs, at least 2. The first one is warm-up.
        seed: Seed of the run.
        saves: Number of validations and saves, the last at the end.
        seconds: CPU seconds of the run in place of epochs, see :class:`TimedTrainLoop`.
        model: Model in the name of the config.
    """
    from mmengine.config import Config

    config = Config.fromfile(ROOT / f'configs/small/{method}_{model}_1xb8-coslr-20e_clips.py')
    for loader in filter(None, (config.train_dataloader, config.val_dataloader, config.test_dataloader)):
        loader.dataset.data_root = str(data)
    if seconds is None:
        config.train_cfg.max_epochs = config.param_scheduler[1].end = epochs
        config.train_cfg.val_interval = config.default_hooks.checkpoint.interval = max(epochs // saves, 1)
    else:
        import time_budget  # noqa: F401 (registers the loop)

        config.train_cfg = dict(type='TimedTrainLoop', seconds=seconds, saves=saves)
        config.param_scheduler = None
        config.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=1)  # to resume from
    config.randomness = dict(seed=seed)
    config.resume = True
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('videos', type=Path, help='folder of videos, at any depth')
    parser.add_argument('out', type=Path)
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=[*METHODS])
    parser.add_argument('--epochs', type=int, default=20, help='of pairs; other clips have as many pictures')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, help="(default: torch's choice)")
    args = parser.parse_args()

    import torch
    from mmengine.runner import Runner

    if args.threads:
        torch.set_num_threads(args.threads)
    prepare(args.videos, args.out)
    for method in args.methods:
        config = configure(method, args.out, epochs_of(method, args.epochs), args.seed)
        config.work_dir = str(args.out / f'{method}-{args.seed}')
        if start := METHODS[method].starts_from:
            last = args.out / f'{start}-{args.seed}/epoch_{epochs_of(start, args.epochs)}.pth'
            if not last.exists():
                parser.error(f'{method} starts from {last}, which is not there: train {start} first')
            config.model.backbone.encoder.init_cfg.checkpoint = str(last)
        Runner.from_cfg(config).train()


if __name__ == '__main__':
    with leave_on_interrupt('The same command continues from the last checkpoints.'):
        main()
