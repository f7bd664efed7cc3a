"""Draw original, masked picture and reconstruction of both frames of pairs of a video."""

import argparse
from pathlib import Path

from mmvidmae.utils.interrupt import leave_on_interrupt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file of the model, or its name in the model index')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('video', help='video file, or folder of frames')
    parser.add_argument(
        '-o',
        '--out',
        default='reconstruction.png',
        help='picture to write, or video (.mp4) that pairs each frame with the one MIN frames later '
        '(default: %(default)s)',
    )
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
    parser.add_argument('--seed', type=int, default=0, help='seed of the random pairs and the masks')
    args = parser.parse_args()
    with leave_on_interrupt('Nothing was written: run the same command again.'):
        draw(parser, args)


def draw(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    from mmvidmae.apis import PairReconstructor, get_model
    from mmvidmae.datasets import VideoReadError
    from mmvidmae.datasets.sources import VIDEO_SUFFIXES

    try:
        reconstructor = PairReconstructor(get_model(args.config, args.checkpoint), seed=args.seed)
        if Path(args.out).suffix.lower() in VIDEO_SUFFIXES:
            errors = reconstructor.write_video(args.video, args.out, gap=args.gap[0])
        else:
            pairs = [tuple(args.frames)] if args.frames else args.num
            errors = reconstructor.write_picture(args.video, args.out, pairs, tuple(args.gap))
    except (OSError, ValueError, VideoReadError) as error:
        parser.error(str(error))
    print(f'{args.out}: {len(errors)} pairs, mean error {sum(errors) / len(errors):.3f}')


if __name__ == '__main__':
    main()
