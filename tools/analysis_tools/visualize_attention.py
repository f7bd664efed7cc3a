"""Draw the attention maps of an encoder's last block over an image: from the class token, or from a point.

Example:
    python tools/analysis_tools/visualize_attention.py CONFIG CHECKPOINT image.jpg
    python tools/analysis_tools/visualize_attention.py CONFIG CHECKPOINT image.jpg --point 120 80
"""

import argparse
from pathlib import Path

from mmvidmae.utils.interrupt import leave_on_interrupt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file of the model, or its name in the model index')
    parser.add_argument('checkpoint', help="its checkpoint, or 'none' for random weights")
    parser.add_argument('image', help='image file')
    parser.add_argument(
        '--point', nargs=2, type=float, metavar=('X', 'Y'), help='query, in pixels (default: the class token)'
    )
    parser.add_argument('--short-side', type=int, default=224, help='of the input, in pixels (default: %(default)s)')
    parser.add_argument('-o', '--out', default='attention.png', help='(default: %(default)s)')
    args = parser.parse_args()
    with leave_on_interrupt('Nothing was written: run the same command again.'):
        draw(parser, args)


def draw(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    import cv2

    from mmvidmae.apis import FeatureInferencer, get_model
    from mmvidmae.datasets import VideoReadError
    from mmvidmae.datasets.readers import read_image
    from mmvidmae.models.layers import attention_weights
    from mmvidmae.visualization import contact_sheet, draw_heat, mark_point

    try:
        model = get_model(args.config, None if args.checkpoint == 'none' else args.checkpoint)
        image = read_image(str(Path(args.image).parent), Path(args.image).name)
        height, width = image.shape[:2]
        backbone = model.backbone
        if args.point is None and backbone.cls_token is None:
            raise ValueError(f'{args.config} has no class token: choose a query with --point X Y')
        if args.point and not (0 <= args.point[0] < width and 0 <= args.point[1] < height):
            raise ValueError(f'--point {args.point[0]:g} {args.point[1]:g} lies outside the {width} x {height} image')
        scale = args.short_side / min(height, width)
        rows, columns = (max(1, round(side * scale / backbone.patch_size)) for side in (height, width))
        resized = cv2.resize(image, (columns * backbone.patch_size, rows * backbone.patch_size))
        seen = []
        with backbone.layers[-1].attn.register_forward_pre_hook(
            lambda attn, x: seen.append(attention_weights(attn, x[0]))
        ):
            FeatureInferencer(model)([resized])
    except (OSError, ValueError, VideoReadError) as error:
        parser.error(str(error))

    weights = seen[0][0]  # (heads, tokens, tokens)
    query = 0
    if args.point:
        x, y = args.point
        query = backbone.num_extra_tokens + int(y / height * rows) * columns + int(x / width * columns)
        image = mark_point(image, x, y)
    maps = weights[:, query, backbone.num_extra_tokens :].unflatten(1, (rows, columns)).cpu().numpy()
    images = [image, *(draw_heat(image, heat) for heat in maps), draw_heat(image, maps.mean(0))]
    captions = [
        'query: ' + ('point' if args.point else 'class token'),
        *(f'head {i}' for i in range(len(maps))),
        'mean',
    ]
    cv2.imwrite(args.out, contact_sheet(images, captions)[..., ::-1])
    print(f'{args.out}: {len(maps)} heads')


if __name__ == '__main__':
    main()
