"""Within-frame and cross-frame attention share of a joint decoder."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from mmvidmae.models import PairMAE
from mmvidmae.models.layers import SpatialDropAttention, attention_weights


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
