"""Segment objects through a video, given by a mask of its first frame (a PNG with an id a pixel, 0 for background).

Example:
    python tools/segment.py CONFIG CHECKPOINT video.mp4 first.png --masks masks --video drawn.mp4
    python tools/segment.py CONFIG CHECKPOINT frames_folder first.png --later 40 fourth_object.png --masks masks
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if (ROOT / 'mmvidmae').is_dir():  # run from a checkout, from wherever: use its package
    sys.path.insert(0, str(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file of the model')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('source', metavar='video', help='video file, folder of images, or number of a camera')
    parser.add_argument('mask', help='mask of the first frame')
    parser.add_argument(
        '--later', nargs=2, action='append', default=[], metavar=('FRAME', 'MASK'), help='objects that appear later'
    )
    parser.add_argument('--masks', type=Path, help='folder for a PNG a frame')
    parser.add_argument('--video', dest='drawn', type=Path, help='video with the masks laid over')
    parser.add_argument('--fps', type=float, default=25, help='of the drawn video (default: %(default)s)')
    parser.add_argument('--short-side', type=int, default=480, help='of the input, in pixels (default: %(default)s)')
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU if there is one)')
    args = parser.parse_args()

    from mmvidmae.apis import VideoSegmenter, get_model  # these take seconds
    from mmvidmae.datasets import UnreadableClip

    try:
        masks = {0: args.mask} | {int(frame): mask for frame, mask in args.later}
        segmenter = VideoSegmenter(get_model(args.config, args.checkpoint, device=args.device), args.short_side)
        video = int(args.source) if args.source.isdecimal() else args.source
        count = segmenter(video, masks, args.masks, args.drawn, args.fps)
    except (OSError, ValueError, UnreadableClip) as error:
        parser.error(str(error))
    print(f'{count} frames: {", ".join(str(path) for path in (args.masks, args.drawn) if path)}')


if __name__ == '__main__':
    main()
