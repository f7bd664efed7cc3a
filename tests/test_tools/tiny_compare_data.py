"""The program compare_data.py with a tiny DropMAE and two clips a step.

It runs in a process of its own: it forks its jobs, and a process whose autograd has started threads cannot be forked.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / 'tools/experiments'), str(ROOT / 'tests')]

import compare_data  # noqa: E402
import measures  # noqa: E402
from mmengine.config import Config  # noqa: E402
from tiny_runs import shrink_loaders  # noqa: E402

TINY = dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48)
configure = measures.configure


def smaller(*args, **options) -> Config:
    config = configure(*args, **options)
    config.model.backbone.update(arch=TINY, img_size=32, patch_size=4)
    config.model.neck.update(decoder_dims=24, depth=1, num_heads=2)
    shrink_loaders(config)
    return config


if __name__ == '__main__':
    measures.configure = smaller
    compare_data.main()
