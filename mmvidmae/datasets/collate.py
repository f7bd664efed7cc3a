"""Batch collation of frame pairs."""

from collections.abc import Sequence

import torch

from mmvidmae.registry import FUNCTIONS


@FUNCTIONS.register_module()
def pair_collate(items: Sequence[dict]) -> dict:
    """Collate the pairs of several dataset items into one batch.

    The batch holds the first pair of every item, then the second pair of every item, and so on. With this order, the
    ranks of a distributed run together hold the same pairs as a single process with the total batch size.

    Args:
        items: B items of ``PackPairs``, each with one or more pairs, n pairs in total. All frames have one size.

    Returns:
        A dict with ``inputs``, uint8 of shape (n, T, 3, H, W), and ``data_samples``, a list of length n in the same
        order. With local crops, ``inputs`` is a list: the frames and the local crops.
    """
    most = max(len(item['data_samples']) for item in items)
    order = [(item, pair) for pair in range(most) for item in items if pair < len(item['data_samples'])]
    inputs = [item['inputs'][pair] for item, pair in order]
    several = isinstance(inputs[0], tuple)
    return dict(
        inputs=[torch.stack(part) for part in zip(*inputs, strict=True)] if several else torch.stack(inputs),
        data_samples=[item['data_samples'][pair] for item, pair in order],
    )
