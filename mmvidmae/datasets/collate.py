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
        items: B items of ``PackPairs``, each with one or more pairs, n of them together; frames of one size.

    Returns:
        ``inputs``, uint8 of shape (n, 2, 3, H, W), and ``data_samples``, a list of n, in this order.
    """
    most = max(len(item['data_samples']) for item in items)
    order = [(item, pair) for pair in range(most) for item in items if pair < len(item['data_samples'])]
    return dict(
        inputs=torch.stack([item['inputs'][pair] for item, pair in order]),
        data_samples=[item['data_samples'][pair] for item, pair in order],
    )
