"""Co-Settle: a linear adapter on a frozen encoder, trained by the cycle between two frames."""

import logging
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.structures import DataSample
from torch import Tensor

from mmvidmae.registry import MODELS

from ..layers import require, require_whole
from ..masking import seeded_uniform
from .pair_mae import PairMAE, compiled, merge_part


class CoSettleOutput(NamedTuple):
    """Output of a forward pass over N pairs. The three maps are frame 1, frame 2 and frame 1 at shifted positions.

    Attributes:
        features: Frozen feature maps ``(N, D, h, w)`` of the three maps.
        adapted: Adapted feature maps ``(N, D, h, w)``.
        transitions: Transition probabilities ``(N, C, C)`` between the C cells, from frame 1 to 2 and from 2 to the
            shifted frame 1.
        cycle_loss: Cycle loss, a scalar.
        reg_loss: Regularization loss before its weight, a scalar.
        loss: ``cycle_loss + reg_weight * reg_loss``.
        accuracy: Share of cells whose most likely return is themselves.
        similarity: Cosine similarity of the returned transitions with the identity, a scalar.
    """

    features: tuple[Tensor, Tensor, Tensor]
    adapted: tuple[Tensor, Tensor, Tensor]
    transitions: tuple[Tensor, Tensor]
    cycle_loss: Tensor
    reg_loss: Tensor
    loss: Tensor
    accuracy: Tensor
    similarity: Tensor


@MODELS.register_module()
class CoSettle(BaseSelfSupervisor):
    """Co-Settle (arXiv 2603.26597): a linear adapter g on a frozen encoder f learns from the cycle between two frames.

    The unit-length adapted tokens of frame 1, frame 2 and frame 1' are pooled to cells x_1, x_2, x_1' of 2 x 2 tokens.
    Frame 1' is frame 1 with shifted position embeddings, so that positions do not solve the cycle. With the
    temperature T::

        T_12 = softmax(x_1 x_2^T / T),  T_21 = softmax(x_2 x_1'^T / T)
        cycle = mean of -log(T_12 T_21)_ii
        loss = cycle + reg_weight * sum of KL(softmax(f) || softmax(g)) over tokens and maps / N

    f and g are the unit-length frozen and adapted tokens, with a softmax over channels. The regularization keeps the
    adapted features close to the frozen ones. It is a sum over tokens, so its scale changes with the patch grid.

    Args:
        backbone: Config of :class:`AdaptedViT`.
        temperature: Temperature T.
        reg_weight: Weight of the regularization.
        reg: ``'kl'``, or ``'mse'`` for the mean squared difference of f and g.
        shift_ratio: The position embedding is enlarged to ``int((1 + shift_ratio) * side)`` cells and cropped at one
            random offset for the batch.
        data_preprocessor: Config of the preprocessor. By default, RGB frames are normalized with ImageNet's statistics
            on the device.
        compile: Whether training runs :meth:`forward_pretrain` through ``torch.compile`` as one graph, or a dict with
            options of ``torch.compile``.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ValueError: If a value is out of range, or the backbone has no adapter.

    Source: ``yafeng19/Co-Settle@3a01eb0:models/mae/models_mae.py:208-257,315-392``.
    """

    def __init__(
        self,
        backbone: dict,
        temperature: float = 0.03,
        reg_weight: float = 3.0,
        reg: str = 'kl',
        shift_ratio: float = 10.0,
        data_preprocessor: dict | None = None,
        compile: bool | dict = False,
        init_cfg: dict | None = None,
    ) -> None:
        require(temperature > 0, self, 'temperature', temperature, 'above 0')
        require(reg_weight >= 0, self, 'reg_weight', reg_weight, 'at least 0')
        require(reg in ('kl', 'mse'), self, 'reg', reg, "'kl' or 'mse'")
        require(shift_ratio >= 0, self, 'shift_ratio', shift_ratio, 'at least 0')
        super().__init__(
            backbone={'type': 'mmvidmae.AdaptedViT', **backbone},
            data_preprocessor=merge_part(PairMAE.recipe['data_preprocessor'], data_preprocessor),
            init_cfg=init_cfg,
        )
        fits = all(hasattr(self.backbone, name) for name in ('adapt', 'extract_frozen'))
        require(fits, self, 'backbone', type(self.backbone).__name__, 'an AdaptedViT')
        require_whole(self, least=2, **dict(zip(('rows', 'columns'), self.backbone.patch_resolution)))
        self.temperature = temperature
        self.reg_weight = reg_weight
        self.reg = reg
        self.shift_ratio = shift_ratio
        self._forward_pretrain = compiled(type(self).forward_pretrain, compile)

    def init_weights(self) -> None:
        """Load the frozen encoder and initialize the adapter, see :class:`AdaptedViT`."""
        if getattr(self.backbone.encoder, 'init_cfg', None) is None:
            print_log(
                'CoSettle: no weights are named for the frozen encoder (model.backbone.encoder.init_cfg): it stays '
                'random unless a checkpoint is loaded',
                'current',
                logging.WARNING,
            )
        super().init_weights()

    @property
    def enlarged(self) -> tuple[int, int]:
        """Rows and columns of the enlarged position embedding."""
        return tuple(int((1 + self.shift_ratio) * side) for side in self.backbone.patch_resolution)

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Extract the adapted feature maps ``(N, D, h, w)`` of each frame of clips ``(N, T, 3, H, W)``."""
        (features,) = self.backbone(inputs.flatten(0, 1))
        return features.unflatten(0, inputs.shape[:2]).unbind(1)

    def shifted_pos_embed(self, offset: Tensor) -> Tensor:
        """Position embedding ``(1, L, D)`` of the patches, enlarged and cropped at ``offset``, (row, column) in cells
        of the enlarged grid."""
        grid = self.backbone.patch_resolution
        pos_embed = self.backbone.encoder.pos_embed[:, -grid[0] * grid[1] :].detach()
        maps = F.interpolate(pos_embed.mT.unflatten(2, grid).float(), size=self.enlarged, mode='bicubic')
        for axis, side in enumerate(grid):
            cells = offset[axis] + torch.arange(side, device=maps.device)
            maps = maps.index_select(2 + axis, cells)
        return maps.flatten(2).mT.to(pos_embed.dtype)

    def forward_pretrain(self, frames: Tensor, offset: Tensor | None = None) -> CoSettleOutput:
        """Run one forward pass of training.

        Args:
            frames: Normalized pairs ``(N, 2, 3, H, W)``.
            offset: Row and column offset of the shifted positions, ``(2,)`` int64, from 0 to ``enlarged - grid``. By
                default it is drawn from torch's generator.

        Returns:
            Features, transitions and losses.
        """
        if offset is None:
            offset = self._to_offset(torch.rand(2, device=frames.device))
        first, second = frames.unbind(1)
        shifted = self.backbone.extract_frozen(first, self.shifted_pos_embed(offset))
        features = (self.backbone.extract_frozen(first), self.backbone.extract_frozen(second), shifted)
        adapted = tuple(self.backbone.adapt(feature) for feature in features)
        unit = [F.normalize(feature.float(), dim=1) for feature in adapted]
        cells = [F.avg_pool2d(feature, 2).flatten(2).mT for feature in unit]
        transitions = tuple((start @ end.mT / self.temperature).softmax(-1) for start, end in pairwise(cells))
        returned = transitions[0] @ transitions[1]
        own = torch.arange(returned.shape[1], device=returned.device).expand(returned.shape[:2])
        cycle_loss = F.cross_entropy((returned + 1e-6).log().flatten(0, 1), own.flatten())
        reg_loss = self._regularize([F.normalize(feature.float(), dim=1) for feature in features], unit)
        identity = torch.eye(returned.shape[1], device=returned.device).expand_as(returned)
        return CoSettleOutput(
            features,
            adapted,
            transitions,
            cycle_loss,
            reg_loss,
            cycle_loss + self.reg_weight * reg_loss,
            (returned.argmax(-1) == own).float().mean(),
            F.cosine_similarity(returned.flatten(), identity.flatten(), dim=0),
        )

    def _regularize(self, frozen: list[Tensor], adapted: list[Tensor]) -> Tensor:
        """Distance of unit-length adapted maps ``(N, D, h, w)`` from the frozen ones."""
        frozen, adapted = torch.stack(frozen), torch.stack(adapted)
        if self.reg == 'mse':
            return F.mse_loss(adapted, frozen)
        divergence = F.kl_div(adapted.log_softmax(2), frozen.softmax(2), reduction='sum')
        return divergence / adapted.shape[1]

    def loss(self, inputs: Tensor, data_samples: list[DataSample] | None = None) -> dict[str, Tensor]:
        """Compute the losses of pairs ``(N, 2, 3, H, W)``: ``loss_cycle`` and ``loss_reg``, whose sum MMEngine
        optimizes, and ``cycle_accuracy`` and ``similarity`` for the log. If the data samples have seeds, the first one
        determines the offset of the positions."""
        out = self._forward_pretrain(self, inputs, self._offset(inputs, data_samples))
        return dict(
            loss_cycle=out.cycle_loss,
            loss_reg=self.reg_weight * out.reg_loss,
            cycle_accuracy=out.accuracy,
            similarity=out.similarity,
        )

    def _offset(self, inputs: Tensor, data_samples: list[DataSample] | None) -> Tensor | None:
        if not data_samples or 'seed' not in data_samples[0]:
            return None
        seed = torch.tensor([data_samples[0].seed], device=inputs.device)
        return self._to_offset(seeded_uniform(seed, 2)[0])

    def _to_offset(self, uniform: Tensor) -> Tensor:
        """Uniform offset (row, column), from 0 to ``enlarged - grid``, of two numbers in [0, 1)."""
        choices = [large - side + 1 for large, side in zip(self.enlarged, self.backbone.patch_resolution)]
        return (uniform * torch.tensor(choices, device=uniform.device)).long()
