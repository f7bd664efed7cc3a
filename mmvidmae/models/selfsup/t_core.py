"""T-CoRe: sandwich frames and latent targets."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..losses import Predictions
from ..necks import DecoderBranch
from .ema_teacher import Targets
from .pair_mae import PairMAE, merge_part

CURRENT = 1
"""Position of the current frame among past, current and future frame."""


class TCoReOutput(NamedTuple):
    """Output of a forward pass over N clips with V global and k local crops, L patches and B branches.

    Attributes:
        cls_global: Student's class tokens of the global crops ``(V N, D)``, crop 0 of all clips first.
        cls_local: Student's class tokens of the local crops ``(k N, D)``, crop-major.
        patches: Student's patch tokens of the masked global crops ``(V N, L, D)``.
        memory: Student's patch tokens of the frame that each branch reads ``(V N, L, D)``, by name, without gradient.
        decoded: Patch tokens decoded by each branch ``(V N, L, D)``, by name.
        targets: Targets of the teacher, or None.
        predictions: Logits and targets that the losses compare.
        losses: Weighted losses by name. Their sum is the training loss.
    """

    cls_global: Tensor
    cls_local: Tensor
    patches: Tensor
    memory: dict[str, Tensor]
    decoded: dict[str, Tensor]
    targets: Targets | None
    predictions: Predictions
    losses: dict[str, Tensor]

    @property
    def loss(self) -> Tensor:
        """Training loss, a scalar."""
        return sum(self.losses.values())


@MODELS.register_module()
class TCoRe(BaseSelfSupervisor):
    """T-CoRe (arXiv 2503.15096): the current frame is completed in latent space from a past and a future frame.

    With student f, decoder d and head h, teacher f', h' (moving averages), global crops x of the current frame with
    hidden patches m, and crops a of another frame, the loss is

    - ``0.8 CE(h(d(f(x_m), f(a)))[m], h'(f'(x))[m])`` for a past and for a future frame, f(a) without gradient;
    - ``20 |h(d(f(x_m), f(past)))[m] - h(d(f(x_m), f(future)))[m]|^2``, a mean over patches and prototypes;
    - the cross-entropy of class tokens: global crops with each other, local crops with the global ones (DINO);
    - 0.1 times KoLeo on the class tokens.

    ``branches`` lists what the decoder reads: ``memory`` is one frame, 0 (past) or 2 (future). ``losses`` is a list.
    :class:`TeacherHook` updates the teacher.

    Args:
        backbone: Config of :class:`RegisterViT`.
        masking: Config of :class:`BlockMasking`.
        neck: Config of :class:`LatentCrossDecoder`.
        head: Config of :class:`PrototypeHead`, for class and patch tokens.
        teacher: Config of :class:`EMATeacher`, or False for none.
        branches: Each a :class:`DecoderBranch`, as a dict, with a name.
        losses: Configs of losses.
        data_preprocessor: Config of the preprocessor.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ValueError: If parts do not fit: a loss needs a teacher, or more branches than there are.
    """

    recipe: dict[str, Any] = dict(
        backbone=dict(type='mmvidmae.RegisterViT', arch='small', drop_path_rate=0.1),
        masking=dict(type='mmvidmae.BlockMasking', share=0.5, ratio=(0.1, 0.5)),
        neck=dict(type='mmvidmae.LatentCrossDecoder', cross_weight=4.0),
        head=dict(type='mmvidmae.PrototypeHead', num_prototypes=65536),
        teacher=dict(type='mmvidmae.EMATeacher'),
        branches=(dict(memory=(0,), weight=0.8, name='past'), dict(memory=(2,), weight=0.8, name='future')),
        losses=(
            dict(type='mmvidmae.ClassPrototypeLoss'),
            dict(type='mmvidmae.PatchPrototypeLoss'),
            dict(type='mmvidmae.BranchDifferenceLoss', weight=20.0),
            dict(type='mmvidmae.KoLeoLoss', weight=0.1),
        ),
        data_preprocessor=PairMAE.recipe['data_preprocessor'],
    )

    def __init__(
        self,
        backbone: dict | None = None,
        masking: dict | None = None,
        neck: dict | None = None,
        head: dict | None = None,
        teacher: dict | bool | None = None,
        branches: Sequence[dict] | None = None,
        losses: Sequence[dict] | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        encoder = MODELS.build(merge_part(self.recipe['backbone'], backbone))
        shared = dict(embed_dims=encoder.embed_dims)
        super().__init__(
            backbone=encoder,
            neck=MODELS.build({**shared, **merge_part(self.recipe['neck'], neck)}),
            head=MODELS.build({**shared, **merge_part(self.recipe['head'], head)}),
            data_preprocessor=merge_part(self.recipe['data_preprocessor'], data_preprocessor),
            init_cfg=init_cfg,
        )
        self.masking = MODELS.build(merge_part(self.recipe['masking'], masking))
        given = self.recipe['branches'] if branches is None else branches
        self.branches = tuple(DecoderBranch(**branch) for branch in given)
        self.losses = nn.ModuleList(
            MODELS.build(loss) for loss in (self.recipe['losses'] if losses is None else losses)
        )
        self.teacher = None
        if teacher is not False:
            config = merge_part(self.recipe['teacher'], teacher)
            self.teacher = MODELS.build(dict(config, backbone=self.backbone, head=self.head))
        self._check_parts()
        self._register_load_state_dict_pre_hook(self._complete_teacher)

    def _check_parts(self) -> None:
        if not len(self.losses):
            raise ValueError('TCoRe: losses is empty: give it at least one loss')
        for loss in self.losses:
            name = type(loss).__name__
            if loss.needs_teacher and self.teacher is None:
                raise ValueError(
                    f"TCoRe: {name} compares with a teacher's targets, and there is no teacher: set "
                    "teacher=dict(type='mmvidmae.EMATeacher') or remove the loss"
                )
            if loss.min_branches > len(self.branches):
                raise ValueError(
                    f'TCoRe: {name} needs {loss.min_branches} branches, and there are {len(self.branches)}: add a '
                    'branch or remove the loss'
                )
        names = [branch.name for branch in self.branches]
        if '' in names or len({*names}) < len(names) or len(names) > 2:
            raise ValueError(f'TCoRe: branches must be at most two, with different names, got {names}')
        for branch in self.branches:
            if branch.targets != (CURRENT,) or len(branch.memory) != 1 or branch.memory[0] not in (0, 2):
                raise ValueError(
                    f'TCoRe: branch {branch.name!r} must predict frame 1 from frame 0 or frame 2 (targets=(1,), '
                    f'memory=(0,) or (2,)), got targets={branch.targets}, memory={branch.memory}'
                )

    def init_weights(self) -> None:
        """Initialize the student. The teacher starts as its copy."""
        super().init_weights()
        if self.teacher is not None:
            self.update_teacher(momentum=0.0)

    def update_teacher(self, momentum: float) -> None:
        """Average the student's parameters into the teacher, see :meth:`EMATeacher.update`."""
        self.teacher.update(self.backbone, self.head, momentum)

    def _complete_teacher(self, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
        """Copy the student's parameters to a teacher that a state dict lacks, as in weights to start from."""
        if self.teacher is None or any(name.startswith(f'{prefix}teacher.') for name in state):
            return
        for part in ('backbone.', 'head.'):
            names = [name for name in state if name.startswith(prefix + part)]
            state.update({f'{prefix}teacher.{name.removeprefix(prefix)}': state[name] for name in names})

    def forward_pretrain(self, frames: Tensor, local_crops: Tensor, hidden: Tensor) -> TCoReOutput:
        """Run one forward pass of pre-training. Training and parity checks share this method.

        Args:
            frames: Normalized global crops ``(N, 3, V, 3, H, W)`` of past, current and future frame.
            local_crops: Normalized local crops of the current frame ``(N, k, 3, h, w)``.
            hidden: Boolean mask ``(V N, L)`` of the current global crops, crop 0 of all clips first, True where a patch
                is hidden from the student.
        """
        num_clips, _, views = frames.shape[:3]
        crops = frames.permute(1, 2, 0, 3, 4, 5).flatten(1, 2)  # (3, V N, 3, H, W)
        targets = None if self.teacher is None else self.teacher(crops[CURRENT], hidden)
        memory = self._memories(crops)
        (tokens,) = self.backbone(crops[CURRENT], hidden)
        cls_global, patches = tokens[:, 0], tokens[:, 1:]
        num_local = local_crops.shape[1]
        cls_local = cls_global[:0]
        if num_local:
            cls_local = self._encode_whole(local_crops.transpose(0, 1).flatten(0, 1))[:, 0]
        decoded = {}
        if memory:
            queries = patches.repeat(len(memory), 1, 1)
            completed = self.neck(queries, torch.cat(list(memory.values())))
            decoded = dict(zip(memory, completed.chunk(len(memory))))

        heads = [cls_global, cls_local, *(branch[hidden] for branch in decoded.values())]
        logits = self.head(torch.cat(heads)).split([len(part) for part in heads])
        count = hidden.sum(1, keepdim=True).clamp(min=1)
        preds = Predictions(
            cls_tokens=cls_global.unflatten(0, (views, num_clips)),
            cls_global=logits[0].unflatten(0, (views, num_clips)),
            cls_local=logits[1].unflatten(0, (num_local, num_clips)),
            patches=dict(zip(decoded, logits[2:])),
            patch_weights=(1 / count).expand(hidden.shape)[hidden],
            branch_weights={branch.name: branch.weight for branch in self.branches},
            cls_targets=None if targets is None else targets.cls_probs.unflatten(0, (views, num_clips)),
            patch_targets=None if targets is None else targets.patch_probs,
        )
        losses: dict[str, Tensor] = {}
        for loss in self.losses:
            losses.update(loss(preds))
        return TCoReOutput(cls_global, cls_local, patches, memory, decoded, targets, preds, losses)

    @torch.no_grad()
    def _memories(self, crops: Tensor) -> dict[str, Tensor]:
        """Encode the frames that the branches read: patch tokens ``(V N, L, D)`` by branch, without gradient."""
        if not self.branches:
            return {}
        frames = torch.cat([crops[branch.memory[0]] for branch in self.branches])
        tokens = self._encode_whole(frames)[:, 1:]
        return dict(zip((branch.name for branch in self.branches), tokens.chunk(len(self.branches))))

    def _encode_whole(self, crops: Tensor) -> Tensor:
        """Class token and patches ``(C, 1 + L, D)`` of crops ``(C, 3, H, W)`` with nothing hidden."""
        rows, columns = self._grid(crops)
        (tokens,) = self.backbone(crops, torch.zeros(len(crops), rows * columns, dtype=torch.bool, device=crops.device))
        return tokens

    def _grid(self, crops: Tensor) -> tuple[int, int]:
        return tuple(size // self.backbone.patch_size for size in crops.shape[-2:])

    def loss(self, inputs: Sequence[Tensor], data_samples: list[DataSample] | None = None) -> dict[str, Tensor]:
        """Compute the training losses and update the teacher's centers.

        Args:
            inputs: Global crops ``(N, 3, V, 3, H, W)`` and local crops ``(N, k, 3, h, w)``, normalized.
            data_samples: N data samples, whose ``seed`` determines the masks.
        """
        frames, local_crops = inputs
        if data_samples and 'seed' in data_samples[0]:
            seeds = [sample.seed for sample in data_samples]
        else:
            seeds = torch.randint(2**63 - 1, (1,)).tolist()
        hidden = self.masking(seeds, frames.shape[0] * frames.shape[2], self._grid(frames)).to(frames.device)
        out = self.forward_pretrain(frames, local_crops, hidden)
        if self.training and out.targets is not None:
            self.teacher.update_centers(out.targets)
        return out.losses
