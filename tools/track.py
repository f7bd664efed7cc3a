"""Track targets through a video, a folder of images or a camera, given their boxes in the first frame.

Writes boxes (OUT_DIR/preds/NAME.txt: ``x,y,w,h`` in each line), boxes and scores (NAME.json), and a video with drawn
boxes (OUT_DIR/vis/NAME.mp4). For several targets (``--box`` repeated), each has a file of boxes (NAME_1.txt, ...).

Example:
    python tools/track.py CONFIG CHECKPOINT video.mp4 --box 120 80 64 48 --out-dir results
    python tools/track.py CONFIG CHECKPOINT visible.mp4 --thermal infrared.mp4 --box 120 80 64 48       # BAT
    python tools/track.py CONFIG CHECKPOINT video.mp4 --box 120 80 64 48 --box 10 20 30 40 --out-dir results
    python tools/track.py CONFIG CHECKPOINT video.mp4 --box 120 80 64 48 --online-template
    python tools/track.py CONFIG CHECKPOINT 0 --box 200 150 100 100     # camera 0; Ctrl-C ends it
    python tools/track.py tracker.onnx video.mp4 --box 120 80 64 48     # of tools/deployment/export.py

Ctrl-C completes all files with the frames so far; for a video file or folder, the exit code is then 130.
"""

from mmvidmae.utils.inference_arguments import make_parser, model_options, output_options


def main() -> None:
    parser = make_parser(__doc__, or_onnx=True)
    parser.add_argument('video', help='video file, folder of images, or number of a camera')
    parser.add_argument(
        '--box',
        nargs=4,
        type=float,
        action='append',
        required=True,
        metavar=('X', 'Y', 'W', 'H'),
        help='in pixels of the first frame; repeat it for several targets',
    )
    parser.add_argument(
        '--thermal', metavar='VIDEO', help='aligned thermal video, for a tracker of two modalities (BAT)'
    )
    parser.add_argument(
        '--online-template',
        action='store_true',
        help='add a second template, which is replaced every 25 frames where the score is above 0.5; '
        'model.test_cfg.online_template of the config sets other values',
    )
    args = parser.parse_args()
    exported = args.config.lower().endswith('.onnx')
    if args.checkpoint is None and not exported:
        parser.error(f'the checkpoint of {args.config} is missing; only an .onnx file needs none')
    if exported and args.online_template:
        parser.error(f'{args.config} has one template: --online-template needs a config and its checkpoint')
    from mmvidmae.apis import TrackingInferencer  # these take seconds
    from mmvidmae.apis.model_zoo import get_config
    from mmvidmae.apis.programs import one_message, parse_video

    with one_message(parser, args.out_dir):
        options = model_options(args)
        if args.online_template:
            options['model'] = config = get_config(args.config)
            policy = dict(type='mmvidmae.IntervalScorePolicy')
            config.model.test_cfg = dict(online_template=policy) | config.model.get('test_cfg', {})
        inferencer = TrackingInferencer(**options)
        thermal = None if args.thermal is None else parse_video(args.thermal)
        box = args.box if len(args.box) > 1 else args.box[0]
        tracked = inferencer(parse_video(args.video), box, thermal, **output_options(args))['predictions']
    scores = tracked['scores']
    mean = sum(map(sum, scores)) / len(args.box) if len(args.box) > 1 else sum(scores)
    print(f'{len(scores)} frames, mean score {mean / max(1, len(scores)):.2f}: {args.out_dir}')


if __name__ == '__main__':
    main()
