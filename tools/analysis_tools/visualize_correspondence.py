"""Draw how similar the features of a frame are to those of a point in another frame.

Frames are image files, or VIDEO:NUMBER. Their sides after resizing to --short-side must be multiples of the patch size.

Example:
    python tools/analysis_tools/visualize_correspondence.py CONFIG CHECKPOINT a.mp4:0 a.mp4:20 --point 120 80
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmvidmae.utils.interrupt import leave_on_interrupt

if TYPE_CHECKING:
    import numpy as np


def read_frame(text: str) -> 'np.ndarray':
    """An image file, or frame NUMBER of VIDEO: uint8 RGB ``(H, W, 3)``."""
    from mmvidmae.apis import open_clip
    from mmvidmae.datasets.readers import read_image

    video, colon, number = text.rpartition(':')
    if colon and number.isdigit():
        reader = open_clip(video)
        if int(number) >= len(reader):
            raise ValueError(f'{text}: the video has frames 0 to {len(reader) - 1}')
        return reader.get_batch([int(number)])[0]
    return read_image(str(Path(text).parent), Path(text).name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file of the model, or its name in the model index')
    parser.add_argument('checkpoint', help="its checkpoint, or 'none' for random weights")
    parser.add_argument('frame_a', help='frame of the point: an image, or VIDEO:NUMBER')
    parser.add_argument('frame_b', help='frame to search')
    parser.add_argument('--point', nargs=2, type=float, required=True, metavar=('X', 'Y'), help='in pixels of frame a')
    parser.add_argument('--short-side', type=int, default=480, help='of the input, in pixels (default: %(default)s)')
    parser.add_argument('-o', '--out', default='correspondence.png', help='(default: %(default)s)')
    args = parser.parse_args()
    with leave_on_interrupt('Nothing was written: run the same command again.'):
        draw(parser, args)


def draw(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    import cv2
    import torch

    from mmvidmae.apis import FeatureInferencer, get_model, match_point
    from mmvidmae.apis.features import resize_to_patches
    from mmvidmae.datasets import VideoReadError
    from mmvidmae.visualization import contact_sheet, draw_heat, mark_point

    try:
        model = get_model(args.config, None if args.checkpoint == 'none' else args.checkpoint)
        frames = [read_frame(text) for text in (args.frame_a, args.frame_b)]
        height, width = frames[0].shape[:2]
        x, y = args.point
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(f'--point {x:g} {y:g} lies outside frame a, which is {width} x {height}')
        frames[1] = cv2.resize(frames[1], (width, height))  # of one size, that of frame a
        inputs = [
            resize_to_patches(torch.from_numpy(frame).permute(2, 0, 1), args.short_side, model.backbone.patch_size)
            for frame in frames
        ]
        features = FeatureInferencer(model)(inputs)['predictions']
        found = match_point(features[0], features[1], (x / width, y / height))
    except (OSError, ValueError, VideoReadError) as error:
        parser.error(str(error))

    low, best = found.similarity.min(), found.values[0]
    best_x, best_y = found.places[0][0] * width, found.places[0][1] * height
    images = [
        mark_point(frames[0], x, y),
        mark_point(draw_heat(frames[1], found.similarity), best_x, best_y),
        mark_point(frames[1], best_x, best_y),
    ]
    captions = ['point', f'cosine {low:.2f} to {best:.2f}', f'best: {best_x:.0f} {best_y:.0f}']
    cv2.imwrite(args.out, contact_sheet(images, captions, columns=3)[..., ::-1])
    print(f'{args.out}: most similar at {best_x:.0f} {best_y:.0f} (cosine {best:.3f})')


if __name__ == '__main__':
    main()
