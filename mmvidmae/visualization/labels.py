"""Images of labels: masks, poses, boxes."""

from collections.abc import Sequence

import cv2
import numpy as np

from mmvidmae.structures.label_maps import id_palette

LIMBS = (
    (0, 2),
    (0, 1),
    (0, 3),
    (3, 7),
    (7, 11),
    (0, 4),
    (4, 8),
    (8, 12),
    (1, 5),
    (5, 9),
    (9, 13),
    (1, 6),
    (6, 10),
    (10, 14),
)
"""Joints that are connected, in JHMDB's order."""

GAP, LINE = 4, 18
"""In pixels: space between images, height of a caption."""


def draw_masks(frame: np.ndarray, ids: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """Lay a label map over a frame: each id in its DAVIS color, with a bright contour; the background stays as it is.

    Args:
        frame: uint8 RGB ``(H, W, 3)``.
        ids: uint8 ``(h, w)``, 0 background; enlarged or reduced to the frame if the sizes differ.
        alpha: Share of the color, 0 to 1.

    Returns:
        uint8 RGB ``(H, W, 3)``.
    """
    if ids.shape != frame.shape[:2]:
        ids = cv2.resize(ids, frame.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    colors = id_palette()[ids]
    mixed = np.rint((1 - alpha) * frame + alpha * colors).astype(np.uint8)
    drawn = np.where(ids[..., None] > 0, mixed, frame)
    # a pixel of the contour has a neighbor with another id
    low, high = (operation(ids, np.ones((3, 3), np.uint8)) for operation in (cv2.erode, cv2.dilate))
    contour = (low != high) & (ids > 0)
    drawn[contour] = 128 + colors[contour] // 2
    return drawn


def draw_pose(frame: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Draw a person's joints and limbs.

    Args:
        frame: uint8 RGB ``(H, W, 3)``.
        joints: ``(J, 2)``, ``(x, y)`` in pixels; joints with x below 0 are invisible and not drawn, nor their limbs.
            15 joints, as in JHMDB, are connected.

    Returns:
        uint8 RGB ``(H, W, 3)``.
    """
    drawn = np.ascontiguousarray(frame.copy())
    size = max(2, round(min(frame.shape[:2]) / 80))
    palette = id_palette()
    points = [None if x < 0 else (round(float(x)), round(float(y))) for x, y in joints]
    for start, end in LIMBS if len(joints) == 15 else ():
        if (a := points[start]) is not None and (b := points[end]) is not None:
            cv2.line(drawn, a, b, (255, 255, 255), max(1, size // 2), cv2.LINE_AA)
    for number, point in enumerate(points):
        if point is not None:
            cv2.circle(drawn, point, size, palette[number + 1].tolist(), -1, cv2.LINE_AA)
            cv2.circle(drawn, point, size, (255, 255, 255), 1, cv2.LINE_AA)
    return drawn


def draw_box(frame: np.ndarray, box: Sequence[float], caption: str = '', color: int = 2) -> np.ndarray:
    """Draw a box.

    Args:
        frame: uint8 RGB ``(H, W, 3)``.
        box: (x, y, w, h) in pixels; what lies outside the frame is not drawn.
        caption: Words above it.
        color: Number of its color in the DAVIS palette.

    Returns:
        uint8 RGB ``(H, W, 3)``.
    """
    drawn = np.ascontiguousarray(frame.copy())
    color = id_palette()[color].tolist()
    thickness = max(1, round(min(frame.shape[:2]) / 160))
    x1, y1, x2, y2 = (round(float(value)) for value in (*box[:2], box[0] + box[2], box[1] + box[3]))
    cv2.rectangle(drawn, (x1, y1), (x2, y2), color, thickness, cv2.LINE_AA)
    place = (max(x1, 0), max(y1 - 2 * thickness, 12))
    cv2.putText(drawn, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, color, 1, cv2.LINE_AA)
    return drawn


def contact_sheet(images: Sequence[np.ndarray], captions: Sequence[str], columns: int = 4) -> np.ndarray:
    """Arrange images of one size in rows, each above its caption.

    Args:
        images: At least one, uint8 RGB ``(H, W, 3)``.
        captions: One for each.
        columns: Images a row.

    Returns:
        uint8 RGB ``(height, width, 3)``.

    Raises:
        ValueError: If there are no images, or their sizes differ.
    """
    sizes = {image.shape for image in images}
    if len(sizes) != 1:
        raise ValueError(f'a contact sheet needs images of one size, got {sorted(sizes)}')
    height, width = images[0].shape[:2]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + LINE + GAP) + GAP, columns * (width + GAP) + GAP, 3), 255, np.uint8)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        top = GAP + number // columns * (height + LINE + GAP)
        left = GAP + number % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = image
        cv2.putText(
            sheet, caption, (left, top + height + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA
        )
    return sheet


def draw_heat(image: np.ndarray, heat: np.ndarray, alpha: float = 0.6) -> np.ndarray:
    """Lay a map of values over an image, from blue (least) to red (largest).

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        heat: Any finite values ``(h, w)``; enlarged bilinearly.
        alpha: Share of the color, 0 to 1.

    Returns:
        uint8 RGB ``(H, W, 3)``.
    """
    heat = heat.astype(np.float32)
    span = heat.max() - heat.min()
    heat = (heat - heat.min()) / span if span > 0 else np.zeros_like(heat)
    heat = cv2.resize(heat, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    colors = cv2.applyColorMap(np.rint(255 * heat).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    return np.rint((1 - alpha) * image + alpha * colors).astype(np.uint8)


def mark_point(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """Mark a point ``(x, y)``, in pixels, with a ring and a cross; returns a copy."""
    drawn = np.ascontiguousarray(image.copy())
    center = (round(x), round(y))
    size = max(5, round(min(image.shape[:2]) / 40))
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.circle(drawn, center, size, color, thickness, cv2.LINE_AA)
        cv2.drawMarker(drawn, center, color, cv2.MARKER_CROSS, size, thickness, cv2.LINE_AA)
    return drawn
