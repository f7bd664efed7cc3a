"""Fine-tune the small DropSeg, or the small FCN on single frames, from several encoders, to see whether pre-training
helps. All runs have the same schedule and seeds. They train on some sequences of DAVIS and are scored on others.

Example:
    python tools/experiments/small_segmentation.py work_dirs/small_dropseg --model dropseg --davis data/DAVIS \\
        --train blackswan car-shadow dog --test drift-chicane libby --init random --init dropmae=dropmae.pth
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from initializations import compare, make_parser

from mmvidmae.utils.interrupt import leave_on_interrupt

if TYPE_CHECKING:
    from mmengine.config import Config

CONFIGS = dict(
    dropseg='dropseg_vit-tiny6-p8-128_1xb8-400i_davis2017.py',
    fcn='fcn_dropmae-vit-tiny6-p8_1xb8-300i_davis2016-128x128.py',
)
"""Of configs/small."""


ROOT = Path(__file__).resolve().parents[2]


def make_config(model: str, davis: str, train: Sequence[str], test: Sequence[str], iters: int) -> 'Config':
    """The small ``'dropseg'`` or ``'fcn'``, trained and tested on these sequences of DAVIS."""
    from mmengine.config import Config

    config = Config.fromfile(ROOT / f'configs/small/{CONFIGS[model]}')
    dataset = config.train_dataloader.dataset
    dataset = dataset.videos if model == 'dropseg' else dataset
    dataset.update(data_root=str(davis), sequences=list(train))
    config.test_dataloader.dataset.update(data_root=str(davis), sequences=list(test))
    config.train_cfg.max_iters = iters
    if model == 'fcn':
        config.val_dataloader = config.val_cfg = config.val_evaluator = None
        config.train_cfg.pop('val_interval')
    return config


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('--model', choices=CONFIGS, required=True)
    parser.add_argument('--davis', required=True, help='folder in the layout of DAVIS')
    parser.add_argument('--train', nargs='+', required=True, help='sequences to train on')
    parser.add_argument('--test', nargs='+', required=True, help='sequences to test on')
    args = parser.parse_args()
    compare(args, lambda: make_config(args.model, args.davis, args.train, args.test, args.iters))


if __name__ == '__main__':
    with leave_on_interrupt('The scores so far are in table.json; the same command begins anew.'):
        main()
