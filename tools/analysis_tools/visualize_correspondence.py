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
    import numpy as np
    import torch

    from mmvidmae.apis import FeatureInferencer, get_model
    from mmvidmae.datasets import VideoReadError
    from mmvidmae.visualization import contact_sheet, draw_heat, mark_point

    try:
        model = get_model(args.config, None if args.checkpoint == 'none' else args.checkpoint)
        frames = [read_frame(text) for text in (args.frame_a, args.frame_b)]
        height, width = frames[0].shape[:2]
        x, y = args.point
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(f'--point {x:g} {y:g} lies outside frame a, which is {width} x {height}')
        patch = model.backbone.patch_size
        scale = args.short_side / min(height, width)
        size = tuple(max(1, round(side * scale / patch)) * patch for side in (height, width))
        inputs = [cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA) for frame in frames]
        features = torch.nn.functional.normalize(FeatureInferencer(model)(inputs)['predictions'], dim=1)
    except (OSError, ValueError, VideoReadError) as error:
        parser.error(str(error))

    rows, columns = features.shape[2:]
    cell = features[0, :, int(y / height * rows), int(x / width * columns)]
    similarity = torch.einsum('c,chw->hw', cell, features[1]).cpu().numpy()
    row, column = np.unravel_index(similarity.argmax(), similarity.shape)
    inputs = [cv2.resize(frame, frames[0].shape[1::-1]) for frame in frames]
    best_x, best_y = (column + 0.5) / columns * width, (row + 0.5) / rows * height
    images = [
        mark_point(inputs[0], x, y),
        mark_point(draw_heat(inputs[1], similarity), best_x, best_y),
        mark_point(inputs[1], best_x, best_y),
    ]
    captions = ['point', f'cosine {similarity.min():.2f} to {similarity.max():.2f}', f'best: {best_x:.0f} {best_y:.0f}']
    cv2.imwrite(args.out, contact_sheet(images, captions, columns=3)[..., ::-1])
    print(f'{args.out}: most similar at {best_x:.0f} {best_y:.0f} (cosine {similarity.max():.3f})')


if __name__ == '__main__':
    main()
