"""Correspondence of features and cross-frame attention: of a point, and its accuracy, measured with known motion."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvidmae.models import PairMAE, PairMAEViT

from .attention import decoder_attention, reads_first_frame
from .features import FeatureInferencer


class KnownMotion(NamedTuple):
    """Frames and warped copies of them.

    Attributes:
        frames: Frames ``(N, 3, H, W)``, uint8 RGB.
        warped: Warped frames of the same shape. Frames are mirrored beyond their borders.
        places: Origin ``(N, L, 2)`` of each patch of ``warped``: (row, column) of its center in ``frames``, in patches.
            Integers are the centers of patches.
        moved: Mask ``(N, L)`` bool of patches whose origin is inside the frame and more than one patch away. A model
            that only matches positions finds none of them.
    """

    frames: Tensor
    warped: Tensor
    places: Tensor
    moved: Tensor


class MatchAccuracy(NamedTuple):
    """Shares of moved patches that are matched within one patch of the true position. ``chance`` is the share of a
    random guess."""

    accuracy: list[float]
    chance: float


def warp_frames(
    frames: Tensor,
    grid: tuple[int, int],
    shift: float = 0.25,
    zoom: float = 1.25,
    turn: float = 15.0,
    seed: int = 0,
) -> KnownMotion:
    """Warp each frame with a random similarity transform.

    Args:
        frames: uint8 frames ``(N, 3, H, W)``.
        grid: Patch grid of a frame (rows, columns).
        shift: Largest translation along each axis, as a share of the side.
        zoom: Largest scale factor, up or down.
        turn: Largest rotation in degrees.
        seed: Seed of the transforms.
    """
    rng = np.random.default_rng(seed)
    num = len(frames)
    scale = torch.tensor(np.exp(rng.uniform(-1, 1, num) * np.log(zoom)))
    angle = torch.tensor(np.deg2rad(rng.uniform(-turn, turn, num)))
    offset = torch.tensor(rng.uniform(-2 * shift, 2 * shift, (num, 2)))  # in coordinates from -1 to 1
    aspect = frames.shape[-1] / frames.shape[-2]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = (torch.stack((cos, -sin / aspect, offset[:, 0])), torch.stack((sin * aspect, cos, offset[:, 1])))
    theta = torch.stack(rows).permute(2, 0, 1).float()  # (N, 2, 3): from positions (x, y) in the copy to the frame

    sampling = F.affine_grid(theta, list(frames.shape), align_corners=False)
    warped = F.grid_sample(frames.float(), sampling, padding_mode='reflection', align_corners=False)
    places = F.affine_grid(theta, [num, 3, *grid], align_corners=False).flatten(1, 2).flip(-1)
    inside = (places.abs() <= 1).all(-1)
    places = ((places + 1) * torch.tensor(grid) - 1) / 2
    own = torch.cartesian_prod(torch.arange(grid[0]), torch.arange(grid[1]))
    moved = inside & ((places - own).norm(dim=-1) > 1)
    return KnownMotion(frames, warped.round().to(torch.uint8), places, moved)


def match_accuracy(similarity: Tensor, motion: KnownMotion, grid: tuple[int, int], keys: Tensor) -> tuple[float, float]:
    """Compute the accuracy of the most similar patch, and that of a random guess.

    Args:
        similarity: Similarity ``(N, L, L)`` of each patch of the warped frame to all patches of the frame.
        motion: Known motion. Only ``moved`` patches with a true match among the keys count.
        grid: Patch grid of a frame (rows, columns).
        keys: Candidate patches of the frame, ``(N, L)`` bool.

    Raises:
        ValueError: If no patch counts.
    """
    cells = torch.cartesian_prod(torch.arange(grid[0]), torch.arange(grid[1]))
    near = torch.cdist(motion.places, cells.float().expand(len(keys), -1, -1)) <= 1
    right = near & keys[:, None]
    counts = motion.moved & right.any(-1)
    if not counts.any():
        raise ValueError('no patch has moved and can be found: there is nothing to measure')
    best = similarity.cpu().masked_fill(~keys[:, None], -torch.inf).argmax(-1, keepdim=True)
    found = right.gather(2, best)[..., 0][counts]
    chance = (right.sum(-1) / keys.sum(-1, keepdim=True))[counts]
    return float(found.double().mean()), float(chance.double().mean())


def feature_accuracy(model: nn.Module, motion: KnownMotion, layers: Sequence[int] | None = None) -> MatchAccuracy:
    """Measure the accuracy of matching patches by the cosine similarity of encoder features of single frames.

    Args:
        model: A model with a ``backbone`` that gives feature maps ``(N, D, h, w)`` of single frames, and with a
            ``data_preprocessor``. It is put into evaluation mode.
        motion: Known motion.
        layers: Layers of a :class:`PairMAEViT`, from 0; by default all. Of other encoders the last output is measured.
    """
    results = []
    for frame, warped in zip(*(_feature_maps(model, frames, layers) for frames in (motion.frames, motion.warped))):
        grid = tuple(frame.shape[-2:])
        frame, warped = (F.normalize(x.flatten(2), dim=1) for x in (frame, warped))
        keys = torch.ones(len(frame), frame.shape[-1], dtype=torch.bool)
        results.append(match_accuracy(warped.mT @ frame, motion, grid, keys))
    return MatchAccuracy([accuracy for accuracy, _ in results], results[0][1])


@torch.no_grad()
def _feature_maps(model: nn.Module, frames: Tensor, layers: Sequence[int] | None) -> Sequence[Tensor]:
    """Feature maps ``(N, D, h, w)`` of uint8 frames ``(N, 3, H, W)`` on the CPU, one for each layer."""
    backbone: Any = model.eval().backbone
    data_preprocessor: Any = model.data_preprocessor
    if type(backbone).forward is PairMAEViT.forward:
        layers = range(backbone.num_layers) if layers is None else layers
        return FeatureInferencer(model, show_progress=False)(frames, layers)['predictions']
    maps = []
    for batch in frames.split(32):
        inputs = data_preprocessor(dict(inputs=batch[:, None], data_samples=None))['inputs'][:, 0]
        maps.append(backbone(inputs)[-1].float().cpu())
    return [torch.cat(maps)]


def attention_accuracy(model: PairMAE, motion: KnownMotion, seed: int = 0) -> MatchAccuracy | None:
    """Measure the accuracy of the decoder's cross-frame attention in each layer.

    The frame is frame 0 and the warped frame is frame 1 of a clip, and all later ones. Attention is that of
    :func:`decoder_attention`, from hidden patches of frame 1 to visible patches of frame 0, averaged over heads.

    Args:
        model: A pair model. It is put into evaluation mode.
        motion: Known motion.
        seed: Seed of the masks and other draws.

    Returns:
        Accuracy by layer, or None if no branch of the decoder reads frame 0 and predicts frame 1.
    """
    if not reads_first_frame(model):
        return None
    clips = torch.stack((motion.frames, *[motion.warped] * (model.num_frames - 1)), dim=1)
    attention = decoder_attention(model, clips, range(seed, seed + len(clips)), mean_heads=True)
    past, future = attention.hidden.unbind(1)
    motion = motion._replace(moved=motion.moved & future)
    grid = tuple(side // model.backbone.patch_size for side in motion.frames.shape[-2:])
    results = [match_accuracy(weights[:, 0, :, 0], motion, grid, ~past) for weights in attention.layers]
    return MatchAccuracy([accuracy for accuracy, _ in results], results[0][1])


class PointMatches(NamedTuple):
    """The patches of a frame that are most similar to a point of another frame.

    Attributes:
        similarity: Cosine similarity ``(h, w)`` of the point's patch and each patch of the frame.
        places: Centers (x, y) of the most similar patches, best first, in 0..1 of the frame.
        values: Their similarity.
    """

    similarity: np.ndarray
    places: list[tuple[float, float]]
    values: list[float]


def match_point(
    source: Tensor, target: Tensor, point: tuple[float, float], number: int = 1, apart: float = 0.05
) -> PointMatches:
    """Find the patches of a frame that are most similar to a point of another frame.

    Args:
        source: Features ``(D, h, w)`` of the frame of the point.
        target: Features ``(D, h', w')`` of the frame to search.
        point: Position (x, y) in 0..1 of the frame.
        number: Number of patches to find.
        apart: Least distance of two of them along an axis, in units of the side of the frame.

    Raises:
        ValueError: If the point lies outside the frame.
    """
    x, y = point
    if not (0 <= x < 1 and 0 <= y < 1):
        raise ValueError(f'the point ({x:g}, {y:g}) lies outside the frame: x and y are at least 0 and below 1')
    rows, columns = source.shape[1:]
    cell = F.normalize(source[:, int(y * rows), int(x * columns)], dim=0)
    similarity = torch.einsum('c,chw->hw', cell, F.normalize(target, dim=0)).float().cpu()
    rows, columns = similarity.shape
    rest = similarity.clone()
    places: list[tuple[float, float]] = []
    values: list[float] = []
    while len(places) < number and rest.max() > -torch.inf:
        row, column = divmod(int(rest.argmax()), columns)
        places.append(((column + 0.5) / columns, (row + 0.5) / rows))
        values.append(float(rest[row, column]))
        down, right = max(1, round(apart * rows)), max(1, round(apart * columns))
        rest[max(0, row - down + 1) : row + down, max(0, column - right + 1) : column + right] = -torch.inf
    return PointMatches(similarity.numpy(), places, values)
