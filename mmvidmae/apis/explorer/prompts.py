"""Regions that a user draws, as text that fits into a link."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

NUM_OBJECTS = 3
"""Number of objects that a user can tell apart. Their ids are 1, 2 and 3."""

LONGEST = 300
"""Number of corners of an outline that a link still holds."""

NOTHING = 'nothing is drawn: draw over the object with the brush'

Point = tuple[float, float]


class Region(NamedTuple):
    """A drawn region of an object in a frame. Coordinates are pixels of the clip's frames, whatever size is shown.

    Attributes:
        frame: Number of the frame.
        object: Id of the object, from 1.
        outlines: Corners (x, y) of each outline. Two corners are those of a box. Outlines inside others are holes.
    """

    frame: int
    object: int
    outlines: tuple[tuple[Point, ...], ...]

    def mask(self, size: tuple[int, int]) -> np.ndarray:
        """Draw the region as a mask ``(H, W)`` bool.

        Raises:
            ValueError: If the region lies outside the frame.
        """
        canvas = np.zeros(size, np.uint8)
        polygons = []
        for outline in self.outlines:
            corners = np.array(outline)
            if len(corners) == 2:  # pixels whose center the box contains
                (x1, y1), (x2, y2) = np.rint(corners.min(0)), np.rint(corners.max(0)) - 1
                corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
            polygons.append(np.rint(corners).astype(np.int32))
        cv2.fillPoly(canvas, polygons, 1)
        if not canvas.any():
            raise ValueError(f'what is drawn in frame {self.frame} lies outside the frame: draw inside the picture')
        return canvas > 0

    def __str__(self) -> str:
        outlines = ('_'.join(f'{value:.5g}' for point in outline for value in point) for outline in self.outlines)
        return f'{self.frame}:{self.object}:{"/".join(outlines)}'


def outlines_of(mask: np.ndarray, scale: Point = (1.0, 1.0)) -> tuple[tuple[Point, ...], ...]:
    """Find the outlines of a mask ``(h, w)`` bool, simplified to fit into a link.

    Args:
        mask: Mask of a picture of the frame.
        scale: Pixels (x, y) of the frame for each pixel of the picture.

    Raises:
        ValueError: If the mask is empty.
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    tolerance = 0.5
    outlines: list[np.ndarray] = []
    while not outlines or sum(len(outline) for outline in outlines) > LONGEST:
        tolerance *= 2
        outlines = [cv2.approxPolyDP(contour, tolerance, True)[:, 0] for contour in contours]
        outlines = [outline for outline in outlines if len(outline) > 2]
        if not outlines:
            raise ValueError(NOTHING)
    place = np.array(scale)
    return tuple(
        tuple((float(x), float(y)) for x, y in (outline + 0.5) * place - 0.5)  # the middle of a pixel stays there
        for outline in outlines
    )


def bounds_of(mask: np.ndarray, scale: Point = (1.0, 1.0)) -> tuple[Point, Point]:
    """Find the upper left and lower right corner of a mask; see :func:`outlines_of`."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        raise ValueError(NOTHING)
    x, y = scale
    return (float(columns.min()) * x, float(rows.min()) * y), ((columns.max() + 1.0) * x, (rows.max() + 1.0) * y)


def format_regions(regions: Sequence[Region]) -> str:
    """Text of regions, ``FRAME:OBJECT:x_y_x_y`` for each, separated by semicolons."""
    return ';'.join(map(str, regions))


def parse_regions(text: str) -> list[Region]:
    """Read the text of :func:`format_regions`. Regions are sorted by frame, those of a frame stay in their order.

    Raises:
        ValueError: If the text is damaged.
    """
    regions = []
    for part in filter(None, text.strip().split(';')):
        if not re.fullmatch(rf'\d+:[1-{NUM_OBJECTS}]:-?[\d.]+(?:[_/]-?[\d.]+)+', part):
            raise ValueError(f'drawn regions: expected FRAME:OBJECT:x_y_x_y, got {part[:80]!r}: clear them, draw again')
        frame, number, outlines = part.split(':')
        corners = [[float(value) for value in outline.split('_')] for outline in outlines.split('/')]
        if any(len(values) % 2 or len(values) < 4 for values in corners):
            raise ValueError(f'drawn regions: {part[:80]!r} has an odd number of coordinates: clear them, draw again')
        pairs = tuple(tuple(zip(values[::2], values[1::2])) for values in corners)
        regions.append(Region(int(frame), int(number), pairs))
    return sorted(regions, key=lambda region: region.frame)
