"""Follow a target through a video, a folder of images or a camera, given its box in the first frame.

Writes boxes as they come (``-o boxes.txt``: ``x,y,w,h`` a line), boxes and scores (``.json``), and a video with the
boxes drawn in (``.mp4``, ``.avi``, ...), by the suffix of each ``-o``.

Example:
    python tools/track.py CONFIG CHECKPOINT video.mp4 --box 120 80 64 48 -o boxes.txt -o drawn.mp4
    python tools/track.py CONFIG CHECKPOINT 0 --box 200 150 100 100 -o drawn.mp4     # camera 0; Ctrl-C ends it

Ctrl-C finishes all files with the frames so far; a video file or folder then gives the exit code 130.
"""

import argparse
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file of the tracker')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('video', help='video file, folder of images, or number of a camera')
    parser.add_argument(
        '--box', nargs=4, type=float, required=True, metavar=('X', 'Y', 'W', 'H'), help='in pixels of the first frame'
    )
    parser.add_argument('-o', '--out', type=Path, action='append', required=True, help='.txt, .json or a video')
    parser.add_argument('--fps', type=float, help="of the drawn video (default: the source's)")
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU if there is one)')
    args = parser.parse_args()

    from mmvidmae.apis import Tracker, get_model  # these take seconds
    from mmvidmae.apis.videos import Interrupted, parse_video
    from mmvidmae.datasets import VideoReadError
    from mmvidmae.datasets.sources import VIDEO_SUFFIXES

    outputs = {}
    for path in args.out:
        suffix = path.suffix.lower()
        kind = {'.txt': 'txt', '.json': 'json_file'}.get(suffix, 'video_file' if suffix in VIDEO_SUFFIXES else None)
        if kind is None or kind in outputs:
            parser.error(f'-o {path}: {"given twice" if kind else "neither .txt, .json nor the name of a video"}')
        outputs[kind] = path
    files = ', '.join(map(str, args.out))
    try:
        tracker = Tracker(get_model(args.config, args.checkpoint, device=args.device))
        boxes, scores = tracker(parse_video(args.video), args.box, fps=args.fps, **outputs)
    except (OSError, ValueError, VideoReadError) as error:
        parser.error(str(error))
    except KeyboardInterrupt as error:
        frames = error.frames if isinstance(error, Interrupted) else 0
        print(f'interrupted after {frames} frames: {files if frames else "nothing was written"}')
        sys.exit(130)
    print(f'{len(boxes)} frames, mean score {scores.mean():.2f}: {files}' if len(boxes) else 'no frames')


if __name__ == '__main__':
    main()
