"""Fine-tune the small tracker from several encoders, to see whether pre-training helps.

All runs have the same schedule and seeds, and are scored on sequences that are not in the training data.

Example:
    python tools/experiments/small_tracker.py work_dirs/small_tracker --train data/sequences/train \\
        --test data/sequences/test --init random --init dropmae=dropmae.pth --init twinmae=twinmae.pth --seeds 0 1
"""

import argparse
from pathlib import Path

from initializations import compare, make_parser

from mmvidmae.utils.interrupt import leave_on_interrupt

ROOT = Path(__file__).resolve().parents[2]


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('--train', required=True, help='folder of sequences (docs/tracking_data.md)')
    parser.add_argument(
        '--list',
        default='',
        help='file in the folder of --train: names of those to use, one a line',
    )
    parser.add_argument('--test', required=True, help='folder of other sequences, for the scores')
    return parser.parse_args()


if __name__ == '__main__':
    parse_arguments()  # answers --help and refuses mistakes before the imports below, which take seconds

import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.runner import Runner, set_random_seed  # noqa: E402

from mmvidmae.compat.mmtrack import enable  # noqa: E402


def make_config(train: str, test: str, iters: int, names: str = '') -> Config:
    """The small tracker on folders of sequences, trained on those in the list ``names`` if it is given."""
    enable()
    config = Config.fromfile(ROOT / 'configs/small/droptrack_vit-tiny6-p8-96_1xb16-1e_sequences.py')
    loader = config.train_dataloader
    loader.dataset.update(data_root=str(train), ann_file=names)
    loader.sampler.samples_per_epoch = iters * loader.batch_size
    config.test_dataloader.dataset.data_root = str(test)
    return config


@torch.no_grad()
def score_pairs(runner: Runner, count: int = 512, seed: int = 0) -> dict[str, float]:
    """Single-frame localization: mean IoU and loss on pairs of the test sequences, sampled as in training.

    A tracker that loses every target has an uninformative success score. This score does not depend on earlier frames.

    Args:
        runner: Runner after training.
        count: Number of pairs, the same for every model.
        seed: Seed of the sampling.
    """
    config = runner.cfg
    loader = Config(dict(config.train_dataloader, num_workers=0, persistent_workers=False))
    loader.dataset.update(data_root=config.test_dataloader.dataset.data_root, ann_file='')
    loader.sampler.samples_per_epoch = count
    set_random_seed(seed)
    model = runner.model.eval()
    totals = dict.fromkeys(('pairs/iou', 'pairs/loss'), 0.0)
    for batch in Runner.build_dataloader(loader, seed=seed):
        data = model.data_preprocessor(batch, training=True)
        losses = {name: value.item() for name, value in model.loss(**data).items()}
        size = len(data['data_samples'])
        totals['pairs/iou'] += 100 * size * losses.pop('iou')
        totals['pairs/loss'] += size * sum(losses.values())
    return {name: total / count for name, total in totals.items()}


def main() -> None:
    args = parse_arguments()
    compare(args, lambda: make_config(args.train, args.test, args.iters, args.list), score_pairs)


if __name__ == '__main__':
    with leave_on_interrupt('The scores so far are in table.json. The same command starts over.'):
        main()
