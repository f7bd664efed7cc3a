"""Where a joint decoder looks: at its own frame or at the other one."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from mmvidmae.models import PairMAE
from mmvidmae.models.layers import SpatialDropAttention, attention_weights


class AttentionShare(NamedTuple):
    """Shares of attention by layer of the decoder, mean over pairs, heads and queries; the three sum to 1.

    Attributes:
        own: ``(depth,)``: to other tokens of the query's own frame.
        itself: ``(depth,)``: to the query itself.
        other: ``(depth,)``: to tokens of the other frame.
    """

    own: Tensor
    itself: Tensor
    other: Tensor


@torch.no_grad()
def attention_share(model: PairMAE, batches: Iterable[dict]) -> AttentionShare:
    """Measure within-frame against between-frame attention of a joint decoder (DropMAE, TwinMAE), nothing dropped.

    DropMAE's point is that a plain decoder reconstructs a frame mostly from that frame itself, and learns to look at
    the other one when within-frame attention is dropped in training. Pairs are masked as in training.

    Args:
        model: A model with :class:`JointPairDecoder`, as from :func:`get_model`; it is put into evaluation mode.
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
            half = weights.shape[-1] // 2
            within = weights[:, :half, :half].sum() + weights[:, half:, half:].sum()
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
