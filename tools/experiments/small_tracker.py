"""Does pre-training help a tracker? Fine-tune the small tracker from several encoders, with the same schedule and
seeds, and score it on sequences that it did not train on.

Example:
    python tools/experiments/small_tracker.py work_dirs/small_tracker --train data/sequences/train \\
        --test data/sequences/test --start random --start dropmae=dropmae.pth --start twinmae=twinmae.pth --seeds 0 1
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if (ROOT / 'mmvidmae').is_dir():  # run from a checkout, from wherever: use its package
    sys.path.insert(0, str(ROOT))

from mmengine.config import Config  # noqa: E402
from starts import compare, make_parser  # noqa: E402

from mmvidmae.compat.mmtrack import enable  # noqa: E402


def make_config(train: str, test: str, iters: int, names: str = '') -> Config:
    """The small tracker on folders of sequences, trained on those in the list ``names`` if it is given."""
    enable()
    config = Config.fromfile(ROOT / 'configs/small/droptrack.py')
    loader = config.train_dataloader
    loader.dataset.update(data_root=str(train), ann_file=names)
    loader.sampler.samples_per_epoch = iters * loader.batch_size
    config.test_dataloader.dataset.data_root = str(test)
    return config


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('--train', required=True, help='folder of sequences (docs/tracking_data.md)')
    parser.add_argument('--list', default='', help='names of those to train on, one a line; some may be repeated')
    parser.add_argument('--test', required=True, help='folder of other sequences, for the scores')
    args = parser.parse_args()
    compare(args, lambda: make_config(args.train, args.test, args.iters, args.list))


if __name__ == '__main__':
    main()
