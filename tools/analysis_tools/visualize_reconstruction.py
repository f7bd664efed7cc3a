"""Draw reconstructions of a video: original, masked image and reconstruction for both frames of pairs.

Writes an image of all pairs (OUT_DIR/vis/NAME.png) and their errors (OUT_DIR/preds/NAME.json).

Example:
    python tools/analysis_tools/visualize_reconstruction.py CONFIG CHECKPOINT a.mp4 --num 4 --out-dir results
    python tools/analysis_tools/visualize_reconstruction.py CONFIG CHECKPOINT a.mp4 --all --gap 8 8 --vis-format .mp4

Ctrl-C completes all files with the pairs so far; the exit code is then 130.
"""

from mmvidmae.utils.inference_arguments import make_parser, model_options, output_options


def main() -> None:
    parser = make_parser(__doc__, vis_format='.png')
    parser.add_argument('video', help='video file, or folder of images')
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument('--num', type=int, default=4, help='number of random pairs (default: %(default)s)')
    chosen.add_argument(
        '--frames', nargs=2, type=int, metavar=('PAST', 'FUTURE'), help='frame numbers of one pair, instead'
    )
    chosen.add_argument('--all', action='store_true', help='pair each frame with the one MIN frames later, instead')
    parser.add_argument(
        '--gap', nargs=2, type=int, metavar=('MIN', 'MAX'), default=(4, 48), help='frames between them (default: 4 48)'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the random pairs and the masks')
    parser.add_argument(
        '--mask-ratio',
        nargs=2,
        type=float,
        metavar=('PAST', 'FUTURE'),
        help='hidden share of each frame (default: as in training)',
    )
    args = parser.parse_args()
    from mmvidmae.apis import ReconstructionInferencer  # these take seconds
    from mmvidmae.apis.programs import one_message

    with one_message(parser, args.out_dir):
        pairs = None if args.all else [tuple(args.frames)] if args.frames else args.num
        options = dict(gap=tuple(args.gap), seed=args.seed, mask_ratio=args.mask_ratio, **output_options(args))
        results = ReconstructionInferencer(**model_options(args))(args.video, pairs, **options)
    errors = results['predictions']['errors']
    print(f'{args.out_dir}: {len(errors)} pairs, mean error {sum(errors) / len(errors):.3f}')


if __name__ == '__main__':
    main()
