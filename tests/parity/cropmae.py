"""Parity of CropMAE with the authors' implementation: views of a picture, and the model."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmvidmae.datasets import PictureViews
from mmvidmae.datasets.transforms.geometry import draw_box
from mmvidmae.models.selfsup import CropMAE

from .pretrain import LOSS_RTOL, _build, compare_cropmae
from .report import Arrays, Report, tensor

ATOL = 2e-5
VIEW_ATOL = 0.02  # one gray level
RATIO = (3 / 4, 4 / 3)  # alexandre-eymael/CropMAE@5d0dab2:scripts/train_cropmae_in.sh:85-88
_MEAN, _STD = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def check_crop_views(arrays: Arrays) -> Report:
    """CropMAE from a uint8 picture to the loss: the views of all strategies given their draws, the boxes given theirs,
    both encoder passes, the decoder's streams, prediction, losses, gradient norms, and the reversed task."""
    report = Report()
    size, scale = int(arrays['cfg/img_size']), ((0.1, 1.0), (0.3, 0.6))  # the boxes are given
    nested, reverse = (PictureViews(size, scale, reverse=reverse) for reverse in (False, True))
    boxes = np.stack((arrays['g2l/box_global'], arrays['g2l/box_local']), axis=1)
    views = _views(nested, arrays['picture'], boxes, arrays['g2l/flip'])
    report.compare('g2l/views', views, arrays['g2l/views'], atol=VIEW_ATOL)
    swapped = _views(reverse, arrays['picture'], boxes, arrays['g2l/flip'])
    report.compare('g2l/views reversed', swapped, arrays['g2l/views'][:, ::-1], atol=VIEW_ATOL)

    independent = PictureViews(size, scale[:1] * 2, crops='independent')
    views = _views(independent, arrays['picture'], arrays['random/box'], arrays['random/flip'])
    report.compare('random/views', views[..., ::3, ::3], arrays['random/views'], atol=VIEW_ATOL)
    same = PictureViews(size, scale[:1] * 2, crops='same')
    twice = [np.repeat(arrays[f'same/{name}'][:, None], 2, axis=1) for name in ('box', 'flip')]
    for view in _views(same, arrays['picture'], *twice).unbind(1):
        report.compare('same/view', view[..., ::3, ::3], arrays['same/view'], atol=VIEW_ATOL)
    _compare_boxes(report, arrays)

    ratio = int(arrays['mask_permille']) / 1000
    model = _build(CropMAE, arrays, 'cropmae', mask_ratio=(0.0, ratio), neck={})
    frames = tensor(arrays['g2l/views'])
    report.compare('target_is', model.neck.branches[0].targets[0], arrays['target_is'])
    compare_cropmae(report, model, frames, arrays, ATOL)
    noise = tensor(arrays['noise'])
    out = model.forward_pretrain(frames.flip(1), torch.cat((torch.zeros_like(noise), noise), dim=1))
    report.compare('l2g/loss', out.loss, arrays['l2g/loss'], rtol=LOSS_RTOL)
    report.compare('l2g/pred_mean', out.pred.mean((1, 2)), arrays['l2g/pred_mean'], atol=1e-5)
    return report


def _views(transform: PictureViews, pictures: np.ndarray, boxes: np.ndarray, coins: np.ndarray) -> Tensor:
    views = [transform.make(*args) for args in zip(tensor(pictures), boxes, coins, strict=True)]
    return (torch.stack(views) / 255 - _MEAN) / _STD


class _RecordedBox:
    """Stands for a generator: answers the draws of one box from the record."""

    def __init__(self, areas: Sequence[float], log_ratios: Sequence[float], place: Sequence[int]) -> None:
        # The authors' exponential is in single precision.
        ratios = [math.log(np.exp(np.float32(value))) for value in log_ratios]
        self.shapes = [draw for pair in zip(areas, ratios, strict=True) for draw in pair]
        self.place = [*place]
        self.attempts = 0

    def uniform(self, low: float, high: float) -> float:
        value = float(self.shapes.pop(0))
        assert low - 1e-6 <= value <= high + 1e-6
        self.attempts += len(self.shapes) % 2 == 0
        return value

    def integers(self, end: int) -> int:
        value = int(self.place.pop(0))
        assert 0 <= value < end
        return value


def _compare_boxes(report: Report, arrays: Arrays) -> None:
    """Attempts, fallback and box of each row, given its draws."""
    boxes, attempts, fallbacks = [], [], []
    names = ('size', 'scale_permille', 'area', 'log_ratio', 'box')
    for (height, width), scale, areas, log_ratios, box in zip(*(arrays[f'crop/{name}'] for name in names), strict=True):
        rng = _RecordedBox(areas, log_ratios, box[:2])
        low, high = (int(permille) / 1000 for permille in scale)
        boxes.append(draw_box(int(height), int(width), (low, high), RATIO, rng))
        attempts.append(rng.attempts)
        fallbacks.append(len(rng.place) == 2)
    report.compare('crop/attempts', attempts, arrays['crop/attempts'])
    report.compare('crop/fallback', fallbacks, arrays['crop/fallback'])
    report.compare('crop/box', boxes, arrays['crop/box'])
