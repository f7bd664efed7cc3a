"""Segment objects through a video, given by a mask of the first frame: a PNG of object ids, 0 for background.

Writes a PNG for each frame (OUT_DIR/preds/NAME/00000.png and so on) and a video with overlaid masks
(OUT_DIR/vis/NAME.mp4).

Example:
    python tools/segment.py CONFIG CHECKPOINT video.mp4 first.png --out-dir results
    python tools/segment.py CONFIG CHECKPOINT frames_folder first.png --later 40 fourth_object.png

Ctrl-C completes all files with the frames so far; for a video file or folder, the exit code is then 130.
"""

from mmvidmae.utils.inference_arguments import make_parser, model_options, output_options


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('video', help='video file, folder of images, or number of a camera')
    parser.add_argument('mask', help='mask of the first frame')
    parser.add_argument(
        '--later', nargs=2, action='append', default=[], metavar=('FRAME', 'MASK'), help='objects that appear later'
    )
    parser.add_argument('--short-side', type=int, default=480, help='of the input, in pixels (default: %(default)s)')
    parser.add_argument(
        '--merge-objects', action='store_true', help='all nonzero values of a mask, also 255, are one object'
    )
    args = parser.parse_args()
    for frame, _ in args.later:
        if not frame.removeprefix('-').isdecimal():
            parser.error(f'--later {frame}: not the number of a frame')
    masks = {0: args.mask} | {int(frame): mask for frame, mask in args.later}
    from mmvidmae.apis import VideoSegmentationInferencer  # these take seconds
    from mmvidmae.apis.programs import one_message, parse_video

    with one_message(parser, args.out_dir):
        inferencer = VideoSegmentationInferencer(**model_options(args))
        options = dict(short_side=args.short_side, merge_objects=args.merge_objects, **output_options(args))
        segmented = inferencer(parse_video(args.video), masks, **options)['predictions']
    print(f'{segmented["num_frames"]} frames: {args.out_dir}')


if __name__ == '__main__':
    main()
