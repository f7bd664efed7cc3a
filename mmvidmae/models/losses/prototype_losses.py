"""Losses of self-distillation with prototypes: DINO's, iBOT's, KoLeo, and the difference of T-CoRe's branches."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mmvidmae.registry import MODELS

from ..layers import require

_EPS = 1e-8


class Predictions(NamedTuple):
    """What the losses compare, for N clips with V global and k local crops, K prototypes and P hidden patches.

    Attributes:
        cls_tokens: Student's class tokens of the global crops ``(V, N, D)``.
        cls_global: Student's logits of these class tokens ``(V, N, K)``.
        cls_local: Student's logits of the class tokens of the local crops ``(k, N, K)``.
        patches: Student's logits of the hidden patches by branch, each ``(P, K)``.
        patch_weights: Weight of each hidden patch ``(P,)``, 1 / hidden patches of its crop.
        branch_weights: Weight of each branch.
        cls_targets: Teacher's probabilities of the global crops ``(V, N, K)``, or None.
        patch_targets: Teacher's probabilities of the hidden patches ``(P, K)``, or None.
    """

    cls_tokens: Tensor
    cls_global: Tensor
    cls_local: Tensor
    patches: Mapping[str, Tensor]
    patch_weights: Tensor
    branch_weights: Mapping[str, float]
    cls_targets: Tensor | None
    patch_targets: Tensor | None


def cross_entropy(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Cross-entropy ``(...)`` of logits ``(..., K)`` at a temperature with target probabilities of the same shape."""
    return -(targets * F.log_softmax(logits / temperature, dim=-1)).sum(-1)


class PrototypeLoss(BaseModule):
    """Base class of losses on :class:`Predictions`.

    Args:
        weight: Weight of the loss.

    Attributes:
        needs_teacher: Whether the loss compares with the targets of a teacher.
        min_branches: Number of decoder branches that the loss needs.
    """

    needs_teacher = False
    min_branches = 0

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        require(weight > 0, self, 'weight', weight, 'above 0: remove the loss from the list to leave it out')
        self.weight = weight

    def forward(self, preds: Predictions) -> dict[str, Tensor]:
        """Compute the weighted losses by name."""
        raise NotImplementedError


class _TemperedLoss(PrototypeLoss):
    needs_teacher = True

    def __init__(self, weight: float = 1.0, temperature: float = 0.1) -> None:
        super().__init__(weight)
        require(temperature > 0, self, 'temperature', temperature, 'above 0')
        self.temperature = temperature


@MODELS.register_module()
class ClassPrototypeLoss(_TemperedLoss):
    """Cross-entropy of class tokens (DINO): each local crop with the targets of all global crops, each global crop with
    those of the others. The mean over clips of each pair is summed and divided by the number of pairs.

    Args:
        weight: Weight of the loss.
        temperature: Temperature of the student.
    """

    def forward(self, preds: Predictions) -> dict[str, Tensor]:
        """Compute ``loss_global`` and ``loss_local``, the latter if there are local crops."""
        targets = preds.cls_targets
        everything = targets.sum(0)
        views, local = len(preds.cls_global), len(preds.cls_local)
        scale = self.weight / (views * (views - 1 + local))
        crops = zip(preds.cls_global, targets)
        losses = {
            'loss_global': sum(
                cross_entropy(logits, everything - target, self.temperature).mean() for logits, target in crops
            )
        }
        if local:
            losses['loss_local'] = sum(
                cross_entropy(logits, everything, self.temperature).mean() for logits in preds.cls_local
            )
        return {name: scale * loss for name, loss in losses.items()}


@MODELS.register_module()
class PatchPrototypeLoss(_TemperedLoss):
    """Cross-entropy of hidden patches (iBOT) for each branch of the decoder: mean over the patches of a crop, mean over
    all crops, with the weight of the branch.

    Args:
        weight: Weight of the loss.
        temperature: Temperature of the student.
    """

    min_branches = 1

    def forward(self, preds: Predictions) -> dict[str, Tensor]:
        """Compute ``loss_<name>`` of each branch. Crops without hidden patches count as 0."""
        num_crops = preds.cls_global.shape[0] * preds.cls_global.shape[1]
        losses = {}
        for name, logits in preds.patches.items():
            loss = (cross_entropy(logits, preds.patch_targets, self.temperature) * preds.patch_weights).sum()
            losses[f'loss_{name}'] = self.weight * preds.branch_weights[name] / num_crops * loss
        return losses


@MODELS.register_module()
class BranchDifferenceLoss(PrototypeLoss):
    """Mean squared difference of the logits of two branches, with gradient through both (T-CoRe).

    Args:
        weight: Weight of the loss.
    """

    min_branches = 2

    def forward(self, preds: Predictions) -> dict[str, Tensor]:
        """Compute ``loss_difference``."""
        first, second = preds.patches.values()
        return {'loss_difference': self.weight * F.mse_loss(first, second)}


@MODELS.register_module()
class KoLeoLoss(PrototypeLoss):
    """Entropy estimate of Kozachenko and Leonenko (DINOv2), which spreads the class tokens: minus the mean logarithm of
    the distance of a unit class token to the nearest one of another clip, summed over global crops.

    Args:
        weight: Weight of the loss.
    """

    def forward(self, preds: Predictions) -> dict[str, Tensor]:
        """Compute ``loss_koleo``. A single clip has no neighbor, and its loss is 0."""
        tokens = preds.cls_tokens.float()
        if tokens.shape[1] < 2:
            return {'loss_koleo': 0 * tokens.sum()}
        tokens = F.normalize(tokens, dim=-1, eps=_EPS)
        with torch.no_grad(), torch.autocast(tokens.device.type, enabled=False):
            similarity = tokens @ tokens.mT
            similarity.diagonal(dim1=1, dim2=2).fill_(-1)
            nearest = similarity.argmax(-1, keepdim=True).expand_as(tokens)
        distances = F.pairwise_distance(tokens, tokens.gather(1, nearest), eps=_EPS)
        return {'loss_koleo': -self.weight * (distances + _EPS).log().mean(1).sum()}
