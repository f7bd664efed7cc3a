"""Write the features of videos, folders of images and images to a .npy file.

The file, OUT_DIR/preds/NAME_layerNUMBER.npy, holds an array (frames, channels, rows, columns). Frames are read and
encoded in batches, and features are written as they come: neither has to fit into memory. numpy.load(FILE,
mmap_mode='r') opens the file without reading it.

Example:
    python tools/extract_features.py CONFIG CHECKPOINT video.mp4 --out-dir results
    python tools/extract_features.py CONFIG CHECKPOINT a.jpg b.jpg --short-side 480 --layer 5
"""

from mmvidmae.utils.inference_arguments import make_parser, model_options, output_options


def main() -> None:
    parser = make_parser(__doc__, save_vis=False)
    parser.add_argument('frames', nargs='+', help='videos, folders of images, images; one after the other')
    parser.add_argument(
        '--short-side', type=int, default=224, help='in pixels, 0 keeps the size (default: %(default)s)'
    )
    parser.add_argument('--layer', type=int, default=-1, help='from 0, or negative from the last (default: the last)')
    parser.add_argument('--tokens', action='store_true', help='write (frames, tokens, channels), with the class token')
    parser.add_argument('--half', action='store_true', help='write float16, half the size')
    parser.add_argument('--batch-size', type=int, default=16, help='frames at a time (default: %(default)s)')
    args = parser.parse_args()
    import torch  # these take seconds

    from mmvidmae.apis import FeatureInferencer
    from mmvidmae.apis.programs import one_message

    with one_message(parser, args.out_dir, partial=False):
        (features,) = FeatureInferencer(**model_options(args))(
            args.frames,
            layers=[args.layer],
            out_type='raw' if args.tokens else 'featmap',
            short_side=args.short_side or None,
            dtype=torch.float16 if args.half else torch.float32,
            batch_size=args.batch_size,
            **output_options(args),
        )['predictions']
    print(f'{args.out_dir}: {len(features)} frames, {features.dtype} {tuple(features.shape)}')


if __name__ == '__main__':
    main()
