"""Does a model find a patch again? Accuracy of features and of cross-frame attention where the motion is known."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn

from mmvidmae.models import PairMAE
from mmvidmae.models.layers import CrossAttention, attention_weights
from mmvidmae.models.masking import seeded_uniform
from mmvidmae.models.necks import JointPairDecoder

from .features import extract_features


class KnownMotion(NamedTuple):
    """Frames and warped copies of them.

    Attributes:
        frames: ``(N, 3, H, W)`` uint8 RGB.
        warped: The same, warped; beyond its border a frame is mirrored.
        places: ``(N, L, 2)``: where each patch of ``warped`` comes from: (row, column) of its center in ``frames``, in
            patches; whole numbers are the centers of patches.
        moved: ``(N, L)`` bool: patches that come from inside the frame, and from more than one patch away. A model that
            only knows positions, and looks at the same place, finds none of them.
    """

    frames: Tensor
    warped: Tensor
    places: Tensor
    moved: Tensor


class MatchAccuracy(NamedTuple):
    """Shares of moved patches whose match lies within one patch of the true place; ``chance`` is that of a blind
    guess."""

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
    """Warp each frame by a random similarity.

    Args:
        frames: ``(N, 3, H, W)`` uint8.
        grid: Patches of a frame (rows, columns).
        shift: Largest translation along each axis, as a share of the side.
        zoom: Largest change of scale, up or down.
        turn: Largest rotation in degrees.
        seed: Of the warps.
    """
    rng = np.random.default_rng(seed)
    num = len(frames)
    scale = torch.tensor(np.exp(rng.uniform(-1, 1, num) * np.log(zoom)))
    angle = torch.tensor(np.deg2rad(rng.uniform(-turn, turn, num)))
    offset = torch.tensor(rng.uniform(-2 * shift, 2 * shift, (num, 2)))  # of coordinates from -1 to 1
    aspect = frames.shape[-1] / frames.shape[-2]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = (torch.stack((cos, -sin / aspect, offset[:, 0])), torch.stack((sin * aspect, cos, offset[:, 1])))
    theta = torch.stack(rows).permute(2, 0, 1).float()  # (N, 2, 3): from places (x, y) in the copy to the frame

    sampling = F.affine_grid(theta, list(frames.shape), align_corners=False)
    warped = F.grid_sample(frames.float(), sampling, padding_mode='reflection', align_corners=False)
    places = F.affine_grid(theta, [num, 3, *grid], align_corners=False).flatten(1, 2).flip(-1)
    inside = (places.abs() <= 1).all(-1)
    places = ((places + 1) * torch.tensor(grid) - 1) / 2
    own = torch.cartesian_prod(torch.arange(grid[0]), torch.arange(grid[1]))
    moved = inside & ((places - own).norm(dim=-1) > 1)
    return KnownMotion(frames, warped.round().to(torch.uint8), places, moved)


def match_accuracy(similarity: Tensor, motion: KnownMotion, grid: tuple[int, int], keys: Tensor) -> tuple[float, float]:
    """Accuracy of the most similar patch, and that of a guess.

    Args:
        similarity: ``(N, L, L)``, of each patch of the warped frame to all of the frame.
        motion: What is true; only ``moved`` patches count, and of them those with a true match among the keys.
        grid: Patches of a frame (rows, columns).
        keys: ``(N, L)`` bool, the patches of the frame to choose from.

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


def feature_accuracy(model: PairMAE, motion: KnownMotion, layers: Sequence[int] | None = None) -> MatchAccuracy:
    """Accuracy of matching patches by the cosine of the encoder's features, each frame encoded by itself.

    Args:
        model: A pair model.
        motion: Known motion.
        layers: Of the encoder, from 0; by default all.
    """
    backbone = model.backbone
    layers = range(backbone.num_layers) if layers is None else layers
    pairs = zip(*(extract_features(model, frames, layers, progress=False) for frames in (motion.frames, motion.warped)))
    results = []
    for frame, warped in pairs:
        grid = tuple(frame.shape[-2:])
        frame, warped = (F.normalize(x.flatten(2), dim=1) for x in (frame, warped))
        keys = torch.ones(len(frame), frame.shape[-1], dtype=torch.bool)
        results.append(match_accuracy(warped.mT @ frame, motion, grid, keys))
    return MatchAccuracy([accuracy for accuracy, _ in results], results[0][1])


@torch.no_grad()
def attention_accuracy(model: PairMAE, motion: KnownMotion, seed: int = 0) -> MatchAccuracy | None:
    """Accuracy of the decoder's attention, mean over heads, from hidden patches of the warped frame (as the later one)
    to the visible patches of the frame (as the earlier one), by layer.

    Patches are hidden as in training, nothing is dropped.

    Args:
        model: A pair model; it is put into evaluation mode.
        motion: Known motion.
        seed: Of the masks.

    Returns:
        None if the decoder does not look at the other frame.
    """
    grid = tuple(side // model.backbone.patch_size for side in motion.frames.shape[-2:])
    num = grid[0] * grid[1]
    # a joint decoder drops class tokens; others have one in front of the past's tokens, and of the future's
    extra = 0 if isinstance(model.neck, JointPairDecoder) else model.neck.num_extra_tokens
    layers: list[Tensor] = []

    def watch(attn: nn.Module, args: tuple[Tensor, ...]) -> None:
        cross = isinstance(attn, CrossAttention)
        weights = attention_weights(attn, *args[: 1 + cross]).mean(1)
        past = weights.shape[-1] - extra - (0 if cross else extra + num)  # its patches
        if past > 0:  # else it is self-attention within the later frame
            layers.append(weights[:, -num:, extra : extra + past].cpu())

    pairs = torch.stack((motion.frames, motion.warped), dim=1)
    pairs = model.data_preprocessor(dict(inputs=pairs, data_samples=None))['inputs']
    noise = seeded_uniform(torch.arange(len(pairs), device=pairs.device) + seed, 2 * num)
    handles = [
        attn.register_forward_pre_hook(watch)
        for attn in model.neck.modules()
        if isinstance(attn, CrossAttention | MultiheadAttention)
    ]
    try:
        output = model.eval().forward_pretrain(pairs, noise)
    finally:
        for handle in handles:
            handle.remove()
    if not layers:
        return None
    hidden = output.mask.bool().cpu()
    if layers[0].shape[-1] < num:  # the decoder has the visible patches of the past alone, in their order of rank
        rank = output.ids_restore[0].cpu()[:, None].expand(-1, num, -1)
        layers = [weights.gather(2, rank.clamp(max=weights.shape[-1] - 1)) for weights in layers]
    motion = motion._replace(moved=motion.moved & hidden[:, num:])
    results = [match_accuracy(weights, motion, grid, ~hidden[:, :num]) for weights in layers]
    return MatchAccuracy([accuracy for accuracy, _ in results], results[0][1])
