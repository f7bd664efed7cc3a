"""Segment objects through a video, given by a mask of its first frame (a PNG with an id a pixel, 0 for background).

Example:
    python tools/segment.py CONFIG CHECKPOINT video.mp4 first.png --masks masks --video drawn.mp4
    python tools/segment.py CONFIG CHECKPOINT frames_folder first.png --later 40 fourth_object.png --masks masks

Ctrl-C finishes all files with the frames so far; a video file or folder then gives the exit code 130.
"""

import argparse
import sys
from pathlib import Path


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
    parser.add_argument('--fps', type=float, help="of the drawn video (default: the source's)")
    parser.add_argument('--short-side', type=int, default=480, help='of the input, in pixels (default: %(default)s)')
    parser.add_argument(
        '--merge-objects', action='store_true', help='all that is not 0 in a mask, 255 too, is one object'
    )
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU if there is one)')
    args = parser.parse_args()

    from mmvidmae.apis import VideoSegmenter, get_model  # these take seconds
    from mmvidmae.apis.videos import Interrupted, parse_video
    from mmvidmae.datasets import VideoReadError

    for frame, _ in args.later:
        if not frame.removeprefix('-').isdecimal():
            parser.error(f'--later {frame}: not the number of a frame')
    files = ', '.join(str(path) for path in (args.masks, args.drawn) if path)
    try:
        masks = {0: args.mask} | {int(frame): mask for frame, mask in args.later}
        model = get_model(args.config, args.checkpoint, device=args.device)
        segmenter = VideoSegmenter(model, args.short_side, args.merge_objects)
        count = segmenter(parse_video(args.source), masks, args.masks, args.drawn, args.fps)
    except (OSError, ValueError, VideoReadError) as error:
        parser.error(str(error))
    except KeyboardInterrupt as error:
        frames = error.frames if isinstance(error, Interrupted) else 0
        print(f'interrupted after {frames} frames: {files if frames else "nothing was written"}')
        sys.exit(130)
    print(f'{count} frames: {files}')


if __name__ == '__main__':
    main()
