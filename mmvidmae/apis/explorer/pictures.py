"""Pictures of the explorer's views."""

from collections.abc import Sequence

import cv2
import numpy as np

from mmvidmae.visualization import contact_sheet, draw_box, draw_heat, draw_masks, mark_point

from ..correspondence import PointMatches
from .explorer import HiddenPatches
from .prompts import Region

GRAY = 128


def draw_matches(frame: np.ndarray, found: PointMatches) -> np.ndarray:
    """Lay the similarity over a frame ``(H, W, 3)`` and number the best matches."""
    height, width = frame.shape[:2]
    drawn = draw_heat(frame, found.similarity)
    for number, (x, y) in reversed(list(enumerate(found.places, 1))):
        center = (round(x * width), round(y * height))
        if number == 1:
            drawn = mark_point(drawn, *center)
        place = (center[0] + 7, center[1] - 7)
        for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.circle(drawn, center, 3, color, thickness, cv2.LINE_AA)
            cv2.putText(drawn, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, thickness, cv2.LINE_AA)
    return drawn


def describe_matches(found: PointMatches, size: tuple[int, int]) -> str:
    """Words for the best matches in a frame of size ``(H, W)``."""
    best = ', '.join(
        f'{number}: ({x * size[1]:.0f}, {y * size[0]:.0f}) {value:.3f}'
        for number, ((x, y), value) in enumerate(zip(found.places, found.values), 1)
    )
    return f'cosine {found.similarity.min():.2f} to {found.similarity.max():.2f}. Best at {best}'


def draw_regions(frame: np.ndarray, regions: Sequence[Region], ids: np.ndarray | None = None) -> np.ndarray:
    """Lay drawn regions over a frame ``(H, W, 3)``, over a label map of it, if any."""
    ids = np.zeros(frame.shape[:2], np.uint8) if ids is None else ids.copy()
    for region in regions:
        ids[region.mask(ids.shape)] = region.object
    return draw_masks(frame, ids) if ids.any() else frame


def draw_tracked(frame: np.ndarray, box: Sequence[float], number: int, score: float) -> np.ndarray:
    """Draw a tracked box, with the frame number and the score."""
    return draw_box(frame, box, f'{number}  {score:.2f}')


def draw_corners(frame: np.ndarray, numbers: Sequence[float]) -> np.ndarray:
    """Draw a box (x, y, w, h), or its first corner (x, y)."""
    if len(numbers) == 4:
        return draw_box(frame, numbers)
    return mark_point(frame, *numbers) if len(numbers) == 2 else frame


def draw_hidden(pair: HiddenPatches, patch: int | None, side: int = 384) -> np.ndarray:
    """The future frame with its hidden patches gray, and one of them framed; enlarged to ``side`` pixels."""
    return _framed(pair, _enlarge(_hide(pair, 1), side), patch)


def draw_attention(pair: HiddenPatches, patch: int, weights: np.ndarray, side: int = 384) -> np.ndarray:
    """Lay the attention ``(F, h, w)`` of a patch over the frames that are read."""
    images, captions = [], []
    for number, heat in enumerate(weights):
        # the strongest weights would hide all others: the scale is that of the square root
        image = draw_heat(_enlarge(_hide(pair, number), side), np.sqrt(heat))
        images.append(_framed(pair, image, patch) if number else image)
        captions.append(f'{("past", "future")[number]}: {100 * heat.sum():.0f} % of the attention')
    return contact_sheet(images, captions)


def _hide(pair: HiddenPatches, number: int) -> np.ndarray:
    frame = pair.frames[number]
    hidden = pair.attention.hidden[0, number].unflatten(0, pair.grid).numpy()
    hidden = np.kron(hidden, np.ones((frame.shape[0] // pair.grid[0], frame.shape[1] // pair.grid[1]), bool))
    return np.where(hidden[..., None], np.uint8(GRAY), frame)


def _enlarge(image: np.ndarray, side: int) -> np.ndarray:
    factor = max(1, round(side / max(image.shape[:2])))
    return image.repeat(factor, 0).repeat(factor, 1)


def _framed(pair: HiddenPatches, image: np.ndarray, patch: int | None) -> np.ndarray:
    if patch is None:
        return image
    height, width = image.shape[0] / pair.grid[0], image.shape[1] / pair.grid[1]
    row, column = divmod(patch, pair.grid[1])
    first, last = ((round(c * width), round(r * height)) for r, c in ((row, column), (row + 1, column + 1)))
    return cv2.rectangle(image.copy(), first, last, (255, 0, 0), 2)
