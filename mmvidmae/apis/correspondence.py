"""Correspondence accuracy of features and cross-frame attention, measured with known motion."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmpretrain.models.utils import MultiheadAttention
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvidmae.models import PairMAE, PairMAEViT
from mmvidmae.models.layers import CrossAttention, attention_weights
from mmvidmae.models.necks import DecoderBranch, JointPairDecoder, PairDecoder
from mmvidmae.models.selfsup.pair_mae import PairMAEOutput

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


@torch.no_grad()
def attention_accuracy(model: PairMAE, motion: KnownMotion, seed: int = 0) -> MatchAccuracy | None:
    """Measure the accuracy of the decoder's cross-frame attention in each layer.

    The frame is frame 0 and the warped frame is frame 1 of a clip, and all later ones. Patches are masked as in
    training, and no attention is dropped. Attention from hidden patches of frame 1 to visible patches of frame 0 is
    averaged over heads. With several branches, it is that of the first one that reads frame 0 and predicts frame 1.

    Args:
        model: A pair model. It is put into evaluation mode.
        motion: Known motion.
        seed: Seed of the masks and other draws.

    Returns:
        Accuracy by layer, or None if no branch of the decoder reads frame 0 and predicts frame 1.
    """
    neck = model.neck
    joint = isinstance(neck, JointPairDecoder)
    branch = next((b for b in neck.branches if 1 in b.targets and (joint or 0 in b.memory)), None)
    if branch is None:
        return None
    grid = tuple(side // model.backbone.patch_size for side in motion.frames.shape[-2:])
    num = grid[0] * grid[1]
    # an order without cross-attention has self-attention over memory and queries
    attentions = [module for module in neck.modules() if isinstance(module, CrossAttention)] or [
        module for module in neck.modules() if isinstance(module, MultiheadAttention)
    ]
    layers: list[Tensor] = []

    def watch(attn: nn.Module, args: tuple[Tensor, ...]) -> None:
        weights = attention_weights(attn, *args[: 1 + isinstance(attn, CrossAttention)]).mean(1)
        layers.append((weights[:, num : 2 * num] if joint else weights[:, -num:]).cpu())

    clips = torch.stack((motion.frames, *[motion.warped] * (model.num_frames - 1)), dim=1)
    clips = model.data_preprocessor(dict(inputs=clips, data_samples=None))['inputs']
    samples = [DataSample(metainfo=dict(seed=seed + number)) for number in range(len(clips))]
    handles = [attn.register_forward_pre_hook(watch) for attn in attentions]
    branches, neck.branches = neck.branches, (branch,)  # the others would be watched, too
    try:
        output = model.eval().forward_pretrain(clips, **model._draws(clips, samples))
    finally:
        neck.branches = branches
        for handle in handles:
            handle.remove()
    hidden = output.mask.bool().cpu()
    past, future = hidden[:, :num], hidden[:, num : 2 * num]
    if joint:
        layers = [weights[..., :num] for weights in layers]
    else:
        start, visible = _place_of_first_frame(neck, branch, output)
        layers = [weights[..., start : start + visible] for weights in layers]
        if visible < num:  # the visible patches of the past, in rank order
            rank = output.ids_restore[0].cpu()[:, None].expand(-1, num, -1)
            layers = [weights.gather(2, rank.clamp(max=visible - 1)) for weights in layers]
    motion = motion._replace(moved=motion.moved & future)
    results = [match_accuracy(weights, motion, grid, ~past) for weights in layers]
    return MatchAccuracy([accuracy for accuracy, _ in results], results[0][1])


def _place_of_first_frame(neck: PairDecoder, branch: DecoderBranch, output: PairMAEOutput) -> tuple[int, int]:
    """Begin and number of the patch tokens of frame 0 in the memory of a branch."""
    extra = neck.num_extra_tokens
    restored = branch.memory_tokens == 'restored'
    counts = {
        frame: output.ids_restore[frame].shape[1] if restored else output.latent[frame].shape[1] - extra
        for frame in branch.memory
    }
    before = branch.memory[: branch.memory.index(0)]
    return branch.sampled_token + sum(extra + counts[frame] for frame in before) + extra, counts[0]
