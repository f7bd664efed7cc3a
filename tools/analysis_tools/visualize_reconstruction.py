"""Draw what a model reconstructs of a video: original, masked picture and reconstruction for both frames of pairs."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if (ROOT / 'mmvidmae').is_dir():  # run from a checkout, from wherever: use its package
    sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.dataset import Compose  # noqa: E402
from mmengine.device import get_device  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from mmengine.runner import load_checkpoint  # noqa: E402

from mmvidmae.datasets import DecordReader, FrameFolderReader, UnreadableClip, pair_collate  # noqa: E402
from mmvidmae.registry import MODELS  # noqa: E402
from mmvidmae.utils.cli import require_file  # noqa: E402
from mmvidmae.visualization import draw_reconstructions  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file of the model')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('video', help='video file, or folder of frames')
    parser.add_argument('-o', '--out', default='reconstruction.png', help='picture to write (default: %(default)s)')
    parser.add_argument(
        '--frames',
        nargs=2,
        type=int,
        metavar=('PAST', 'FUTURE'),
        help='frame numbers of one pair (default: random pairs)',
    )
    parser.add_argument('--num', type=int, default=4, help='number of random pairs (default: %(default)s)')
    parser.add_argument(
        '--gap', nargs=2, type=int, metavar=('MIN', 'MAX'), default=(4, 48), help='frames between them (default: 4 48)'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the random pairs and of the masks')
    args = parser.parse_args()
    require_file(parser, args.config, 'config')
    require_file(parser, args.checkpoint, 'checkpoint')
    try:
        reader = (FrameFolderReader if Path(args.video).is_dir() else DecordReader)(args.video)
    except UnreadableClip as error:
        parser.error(str(error))
    if args.frames and not 0 <= args.frames[0] <= args.frames[1] < len(reader):
        parser.error(f'--frames: expected 0 <= PAST <= FUTURE < {len(reader)}, the number of frames of {args.video}')

    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = MODELS.build(cfg.model)
    load_checkpoint(model, args.checkpoint, map_location='cpu', strict=True)
    model = model.to(get_device()).eval()

    size = tuple(side * model.backbone.patch_size for side in model.backbone.patch_resolution)
    pair = dict(reader=reader, num_pairs=args.num, rng=np.random.default_rng(args.seed), video_path=args.video)
    steps = [
        dict(type='mmvidmae.LoadFramePairs'),
        dict(type='mmvidmae.PairResize', size=size),
        dict(type='mmvidmae.PairCenterCrop', size=size),
        dict(type='mmvidmae.PackPairs'),
    ]
    if args.frames:
        pair['frame_ids'] = np.array([args.frames])
    else:
        steps.insert(0, dict(type='mmvidmae.SampleFramePairs', gap=tuple(args.gap), draw_first='gap'))
    samples = model.test_step(pair_collate([Compose(steps)(pair)]))

    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(args.out, draw_reconstructions(samples)[..., ::-1]):  # OpenCV writes BGR
        parser.error(f'-o {args.out}: cannot write a picture of this name')
    errors = [float(sample.error) for sample in samples]
    print(f'{args.out}: {len(samples)} pairs, mean error {np.mean(errors):.3f}')


if __name__ == '__main__':
    main()
