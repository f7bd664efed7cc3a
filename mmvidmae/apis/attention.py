"""Attention of decoders: from hidden patches to the frames that are read, and within-frame and cross-frame share."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from mmpretrain.models.utils import MultiheadAttention
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvidmae.models import PairMAE
from mmvidmae.models.layers import CrossAttention, SpatialDropAttention, attention_weights
from mmvidmae.models.necks import DecoderBranch, JointPairDecoder, PairDecoder
from mmvidmae.models.selfsup.pair_mae import PairMAEOutput


class AttentionShare(NamedTuple):
    """Attention shares of each decoder layer, averaged over pairs, heads and queries. The three shares sum to 1.

    Attributes:
        own: Share ``(depth,)`` of other tokens of the query's own frame.
        itself: Share ``(depth,)`` of the query itself.
        other: Share ``(depth,)`` of tokens of other frames.
    """

    own: Tensor
    itself: Tensor
    other: Tensor


@torch.no_grad()
def attention_share(model: PairMAE, batches: Iterable[dict]) -> AttentionShare:
    """Measure the within-frame and cross-frame attention share of a joint decoder (DropMAE, TwinMAE).

    DropMAE is motivated by the observation that a plain decoder reconstructs a frame mostly from that frame itself.
    With within-frame attention dropped in training, the decoder learns to attend to the other frame. For the
    measurement, pairs are masked as in training and no attention is dropped.

    Args:
        model: A model with :class:`JointPairDecoder`, as from :func:`get_model`. It is put into evaluation mode.
        batches: Batches of pairs, as from :class:`PairBatches`.

    Raises:
        ValueError: If the decoder has no joint self-attention, or there are no pairs.
    """
    attentions = [block.attn for block in getattr(model.neck, 'decoder_blocks', ()) if hasattr(block, 'attn')]
    if not attentions or not all(isinstance(attn, SpatialDropAttention) for attn in attentions):
        raise ValueError(
            f'{type(model.neck).__name__} has no self-attention over both frames: attention share is for DropMAE and '
            'TwinMAE (JointPairDecoder)'
        )
    sums = torch.zeros(3, len(attentions), dtype=torch.float64)
    queries = 0

    def watch(layer: int):
        def add(attn: SpatialDropAttention, args: tuple[Tensor, ...]) -> None:
            weights = attention_weights(attn, args[0]).mean(1).double()  # over heads
            length = weights.shape[-1] // model.num_frames
            blocks = weights.unflatten(2, (-1, length)).unflatten(1, (-1, length))  # (N, frame, L, other frame, L)
            within = blocks.sum((0, 2, 4)).trace()
            itself = weights.diagonal(dim1=-2, dim2=-1).sum()
            sums[:, layer] += torch.stack((within - itself, itself, weights.sum() - within)).cpu()

        return add

    handles = [attn.register_forward_pre_hook(watch(layer)) for layer, attn in enumerate(attentions)]
    try:
        model.eval()
        for batch in batches:
            samples = model.test_step(batch)
            queries += len(samples) * samples[0].mask.numel() // model.backbone.patch_size**2
    finally:
        for handle in handles:
            handle.remove()
    if not queries:
        raise ValueError('there are no pairs to measure')
    return AttentionShare(*(sums / queries))


class DecoderAttention(NamedTuple):
    """Attention of a decoder from the patches of frame 1.

    Attributes:
        layers: Weights ``(N, heads, L, F, L)`` of each layer: from each patch of frame 1 to each patch of the F frames
            that are read. F is 2 if the decoder attends to both frames in one sequence, and 1 (frame 0) otherwise.
            Hidden patches that are no tokens of the memory have weight 0. Where other frames or a class token are
            read, too, the weights of a patch sum to less than 1.
        hidden: Mask ``(N, 2, L)`` bool of the hidden patches of frames 0 and 1.
    """

    layers: list[Tensor]
    hidden: Tensor


def reads_first_frame(model: PairMAE) -> bool:
    """Whether a branch of the decoder reads frame 0 and predicts frame 1."""
    return _branch(model.neck) is not None


@torch.no_grad()
def decoder_attention(
    model: PairMAE, clips: Tensor, seeds: Sequence[int], mean_heads: bool = False
) -> DecoderAttention:
    """Compute the attention of a decoder from the patches of frame 1, in each layer.

    Patches are masked as in training, and no attention is dropped. With several branches, it is that of the first one
    that reads frame 0 and predicts frame 1.

    Args:
        model: A pair model. It is put into evaluation mode.
        clips: uint8 RGB clips ``(N, T, 3, H, W)``.
        seeds: Seed of the masks and other draws of each clip.
        mean_heads: Whether to average over heads. The results then have one head.

    Raises:
        ValueError: If no branch of the decoder reads frame 0 and predicts frame 1.
    """
    neck = model.neck
    joint = isinstance(neck, JointPairDecoder)
    branch = _branch(neck)
    if branch is None:
        raise ValueError(f'{type(neck).__name__} does not predict frame 1 from frame 0: it has no attention to show')
    num = clips.shape[-2] * clips.shape[-1] // model.backbone.patch_size**2
    # an order without cross-attention has self-attention over memory and queries
    attentions = [module for module in neck.modules() if isinstance(module, CrossAttention)] or [
        module for module in neck.modules() if isinstance(module, MultiheadAttention)
    ]
    layers: list[Tensor] = []

    def watch(attn: nn.Module, args: tuple[Tensor, ...]) -> None:
        weights = attention_weights(attn, *args[: 1 + isinstance(attn, CrossAttention)])
        weights = weights.mean(1, keepdim=True) if mean_heads else weights
        layers.append((weights[:, :, num : 2 * num] if joint else weights[:, :, -num:]).cpu())

    inputs = model.data_preprocessor(dict(inputs=clips, data_samples=None))['inputs']
    samples = [DataSample(metainfo=dict(seed=seed)) for seed in seeds]
    handles = [attn.register_forward_pre_hook(watch) for attn in attentions]
    branches, neck.branches = neck.branches, (branch,)  # the others would be watched, too
    try:
        output = model.eval().forward_pretrain(inputs, **model._draws(inputs, samples))
    finally:
        neck.branches = branches
        for handle in handles:
            handle.remove()
    if joint:
        layers = [weights[..., : 2 * num].unflatten(3, (2, num)) for weights in layers]
    else:
        start, visible = _place_of_first_frame(neck, branch, output)
        layers = [weights[..., start : start + visible] for weights in layers]
        if visible < num:  # the visible patches of the past, in rank order
            rank = output.ids_restore[0].cpu()
            index = rank.clamp(max=visible - 1)[:, None, None]
            layers = [
                weights.gather(3, index.expand(*weights.shape[:3], -1)) * (rank < visible)[:, None, None]
                for weights in layers
            ]
        layers = [weights[:, :, :, None] for weights in layers]
    hidden = output.mask.bool().cpu()[:, : 2 * num]
    return DecoderAttention(layers, hidden.unflatten(1, (2, num)))


def _branch(neck: PairDecoder) -> DecoderBranch | None:
    """The first branch that reads frame 0 and predicts frame 1."""
    joint = isinstance(neck, JointPairDecoder)
    return next((b for b in getattr(neck, 'branches', ()) if 1 in b.targets and (joint or 0 in b.memory)), None)


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
