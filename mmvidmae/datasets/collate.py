"""From items to a batch."""

from collections.abc import Sequence

import torch

from mmvidmae.registry import FUNCTIONS


@FUNCTIONS.register_module()
def pair_collate(items: Sequence[dict]) -> dict:
    """Joins the pairs of several visits into one batch.

    First come the first pairs of all visits, then the second ones: ranks, each with a part of the visits, then hold
    the same pairs as one process with all of them.

    Args:
        items: B items of ``PackPairs``, each with k pairs; frames of one size.

    Returns:
        ``inputs``, uint8 of shape (k * B, 2, 3, H, W), and ``data_samples``, a list of k * B, in this order.
    """
    inputs = torch.stack([item['inputs'] for item in items], dim=1).flatten(0, 1)
    data_samples = [
        sample for samples in zip(*(item['data_samples'] for item in items), strict=True) for sample in samples
    ]
    return dict(inputs=inputs, data_samples=data_samples)
