"""Teacher of self-distillation: a moving average of the student that gives target probabilities."""

from copy import deepcopy
from typing import NamedTuple

import torch
from mmengine.dist import all_reduce
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..layers import require_share


class Targets(NamedTuple):
    """Targets of a batch with C crops, P hidden patches and K prototypes.

    Attributes:
        cls_probs: Probabilities of the class tokens ``(C, K)``.
        patch_probs: Probabilities of the hidden patches ``(P, K)``.
        cls_tokens: Class tokens ``(C, D)`` that they are computed from.
        patch_tokens: Patch tokens ``(C, L, D)``.
        sums: Sums of the logits over class tokens and over hidden patches ``(2, K)``.
        counts: Numbers of class tokens and hidden patches ``(2, 1)``.
    """

    cls_probs: Tensor
    patch_probs: Tensor
    cls_tokens: Tensor
    patch_tokens: Tensor
    sums: Tensor
    counts: Tensor


@MODELS.register_module()
class EMATeacher(BaseModule):
    """Exponential moving average of encoder and head, with centered target probabilities.

    Targets are ``softmax((logits - center) / temperature)``. Class tokens and patches have centers of their own, which
    are moving averages of the mean logits of a batch over all processes. They are updated after a batch, so a batch
    does not affect its own targets.

    :class:`TeacherHook` calls :meth:`update` after each step of the optimizer, so the first update averages already.
    (MMEngine's averaged models copy the student in the first update.) It also sets :attr:`temperature`.

    Args:
        backbone: Encoder of the student, which is copied.
        head: Head of the student, which is copied.
        center_momentum: Share that centers keep in an update.

    Attributes:
        centers: Centers of class tokens and of patches ``(2, K)``.
        temperature: Temperature of the targets. None until it is set.

    Raises:
        ValueError: If a value is out of range.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, center_momentum: float = 0.9) -> None:
        super().__init__()
        require_share(self, center_momentum=center_momentum)
        self.backbone = deepcopy(backbone)
        self.head = deepcopy(head)
        self.requires_grad_(False)
        self.temperature: float | None = None
        self.center_momentum = center_momentum
        self.register_buffer('centers', torch.zeros(2, head.num_prototypes))
        self.train()

    def train(self, mode: bool = True) -> 'EMATeacher':
        """Stay in evaluation mode: the teacher has no stochastic depth."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, crops: Tensor, hidden: Tensor) -> Targets:
        """Compute the targets of crops ``(C, 3, H, W)``, which the teacher sees whole, and of their hidden patches
        (boolean ``(C, L)``).

        Raises:
            RuntimeError: If no temperature is set.
        """
        if self.temperature is None:
            raise RuntimeError(
                "the teacher has no temperature, and nothing updates it: add dict(type='mmvidmae.TeacherHook') to "
                'custom_hooks'
            )
        (tokens,) = self.backbone(crops, torch.zeros_like(hidden))
        cls_tokens, patch_tokens = tokens[:, 0], tokens[:, 1:]
        logits = self.head(torch.cat((cls_tokens, patch_tokens[hidden])))
        logits = (logits[: len(crops)], logits[len(crops) :])
        probs = [((part - center) / self.temperature).softmax(-1) for part, center in zip(logits, self.centers)]
        counts = logits[0].new_tensor([[len(part)] for part in logits])
        sums = torch.stack([part.sum(0) for part in logits])
        return Targets(*probs, cls_tokens, patch_tokens, sums, counts)

    @torch.no_grad()
    def update_centers(self, targets: Targets) -> None:
        """Update the centers by the mean logits of a batch. All processes must call this."""
        sums, counts = targets.sums.clone(), targets.counts.clone()
        all_reduce(sums)
        all_reduce(counts)
        means = torch.where(counts > 0, sums / counts.clamp(min=1), self.centers)
        self.centers.lerp_(means, 1 - self.center_momentum)

    @torch.no_grad()
    def update(self, backbone: nn.Module, head: nn.Module, momentum: float) -> None:
        """Average the parameters: ``teacher = momentum teacher + (1 - momentum) student``.

        With FSDP, teacher and student are sharded alike, so each process averages its own shards.
        """
        for ours, theirs in ((self.backbone, backbone), (self.head, head)):
            for parameter, source in zip(ours.parameters(), theirs.parameters(), strict=True):
                parameter.lerp_(source.to(parameter.dtype), 1 - momentum)
