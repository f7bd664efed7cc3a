"""Aggregation of object masks, and their intersection over union."""

import torch
from torch import Tensor

EPS = 1e-7
"""Smallest distance of probabilities from 0 and 1."""


def aggregate_objects(prob: Tensor) -> Tensor:
    """Combine the separately predicted objects of a frame (soft aggregation, STM, arXiv:1904.00607).

    The background probability is that of no object. The result holds the log-odds of background and objects, so a
    softmax gives the probabilities.

    Args:
        prob: Object probabilities ``(..., K, H, W)``, 0 to 1. An absent object is zero everywhere.

    Returns:
        Logits ``(..., 1 + K, H, W)``, background first.
    """
    background = (1 - prob).prod(-3, keepdim=True)
    prob = torch.cat((background, prob), dim=-3).clamp(EPS, 1 - EPS)
    return (prob / (1 - prob)).log()


def intersection_and_union(prob: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Count pixels in the intersection and union of ``prob > 0.5`` and ``target``, over the last two axes."""
    pred, target = prob > 0.5, target > 0.5
    return (pred & target).sum((-2, -1)), (pred | target).sum((-2, -1))
