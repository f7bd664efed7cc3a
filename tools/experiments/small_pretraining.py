"""Pre-train the small models of configs/small on a folder of videos, with the same encoder, steps and pairs.

Clips are re-encoded first, and listed once for every 40 frames that they have, at most 20 times. A run that was stopped
goes on from its last checkpoint. Each method's last checkpoint is then in ``OUT/<method>-<seed>``.

Example:
    python tools/experiments/small_pretraining.py data/videos work_dirs/small --methods dropmae twinmae --epochs 20
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if (ROOT / 'mmvidmae').is_dir():  # run from a checkout, from wherever: use its package
    sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

from mmvidmae.apis import open_clip  # noqa: E402
from mmvidmae.datasets.sources import scan  # noqa: E402
from mmvidmae.utils.files import whole_file  # noqa: E402

METHODS = ('dropmae', 'twinmae', 'siammae')


def prepare(videos: Path, out: Path) -> None:
    """Re-encode the clips and list them."""
    clips = out / 'clips'
    tool = ROOT / 'tools/dataset_converters/resize_videos.py'
    subprocess.run([sys.executable, tool, videos, clips, '--short-side', '112'], check=True)
    names = scan(str(clips), 'video')
    lines = [f'{name}\n' * min(max(len(open_clip(clips / name)) // 40, 1), 20) for name in names]
    with whole_file(out / 'clips.txt') as part:
        part.write_text(''.join(lines), 'utf-8')


def pretrain(args: argparse.Namespace, method: str) -> None:
    """One method."""
    config = Config.fromfile(ROOT / f'configs/small/{method}.py')
    config.work_dir = str(args.out / f'{method}-{args.seed}')
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.data_root = str(args.out)
    warmup, cosine = config.param_scheduler
    config.train_cfg.max_epochs = cosine.end = args.epochs
    cosine.T_max = args.epochs - warmup.end
    config.randomness = dict(seed=args.seed)
    config.resume = True
    Runner.from_cfg(config).train()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('videos', type=Path, help='folder of videos, at any depth')
    parser.add_argument('out', type=Path)
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=METHODS)
    parser.add_argument('--epochs', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    prepare(args.videos, args.out)
    for method in args.methods:
        pretrain(args, method)


if __name__ == '__main__':
    main()
