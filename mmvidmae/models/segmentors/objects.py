"""Masks of single objects and of all objects together."""

import torch
from torch import Tensor

EPS = 1e-7
"""Probabilities are kept this far from 0 and 1."""


def aggregate_objects(prob: Tensor) -> Tensor:
    """Bring the objects of a frame, each predicted by itself, together (soft aggregation, STM, arXiv:1904.00607).

    The background is where no object is. Each takes part with its log-odds, so a softmax gives the probabilities.

    Args:
        prob: ``(..., K, H, W)``, 0 to 1. An object that is not there is zero everywhere.

    Returns:
        Logits ``(..., 1 + K, H, W)``, the background first.
    """
    background = (1 - prob).prod(-3, keepdim=True)
    prob = torch.cat((background, prob), dim=-3).clamp(EPS, 1 - EPS)
    return (prob / (1 - prob)).log()


def intersection_and_union(prob: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels in both and in either of the masks ``prob > 0.5`` and ``target``, over the last two axes."""
    pred, target = prob > 0.5, target > 0.5
    return (pred & target).sum((-2, -1)), (pred | target).sum((-2, -1))
