"""Correspondence accuracy of features and cross-frame attention, measured with known motion."""

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


def feature_accuracy(model: PairMAE, motion: KnownMotion, layers: Sequence[int] | None = None) -> MatchAccuracy:
    """Measure the accuracy of matching patches by the cosine similarity of encoder features of single frames.

    Args:
        model: A pair model.
        motion: Known motion.
        layers: Layers of the encoder, from 0; by default all.
    """
    backbone = model.backbone
    layers = range(backbone.num_layers) if layers is None else layers
    extract = FeatureInferencer(model, show_progress=False)
    pairs = zip(*(extract(frames, layers)['predictions'] for frames in (motion.frames, motion.warped)))
    results = []
    for frame, warped in pairs:
        grid = tuple(frame.shape[-2:])
        frame, warped = (F.normalize(x.flatten(2), dim=1) for x in (frame, warped))
        keys = torch.ones(len(frame), frame.shape[-1], dtype=torch.bool)
        results.append(match_accuracy(warped.mT @ frame, motion, grid, keys))
    return MatchAccuracy([accuracy for accuracy, _ in results], results[0][1])


@torch.no_grad()
def attention_accuracy(model: PairMAE, motion: KnownMotion, seed: int = 0) -> MatchAccuracy | None:
    """Measure the accuracy of the decoder's cross-frame attention in each layer.

    The frame is the earlier and the warped frame the later frame of a pair. Patches are masked as in training, and no
    attention is dropped. Attention from hidden patches of the warped frame to visible patches of the frame is averaged
    over heads.

    Args:
        model: A pair model. It is put into evaluation mode.
        motion: Known motion.
        seed: Seed of the masks.

    Returns:
        Accuracy by layer, or None if the decoder does not attend to the other frame.
    """
    grid = tuple(side // model.backbone.patch_size for side in motion.frames.shape[-2:])
    num = grid[0] * grid[1]
    # a joint decoder removes class tokens; others have one before the tokens of the past and of the future frame
    extra = 0 if isinstance(model.neck, JointPairDecoder) else model.neck.num_extra_tokens
    layers: list[Tensor] = []

    def watch(attn: nn.Module, args: tuple[Tensor, ...]) -> None:
        cross = isinstance(attn, CrossAttention)
        weights = attention_weights(attn, *args[: 1 + cross]).mean(1)
        past = weights.shape[-1] - extra - (0 if cross else extra + num)  # number of past patches
        if past > 0:  # otherwise it is self-attention within the later frame
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
    if layers[0].shape[-1] < num:  # the decoder has only the visible patches of the past, in rank order
        rank = output.ids_restore[0].cpu()[:, None].expand(-1, num, -1)
        layers = [weights.gather(2, rank.clamp(max=weights.shape[-1] - 1)) for weights in layers]
    motion = motion._replace(moved=motion.moved & hidden[:, num:])
    results = [match_accuracy(weights, motion, grid, ~hidden[:, :num]) for weights in layers]
    return MatchAccuracy([accuracy for accuracy, _ in results], results[0][1])
