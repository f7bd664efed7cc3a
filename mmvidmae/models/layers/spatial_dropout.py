"""Adaptive spatial-attention dropout (ASAD) of DropMAE (arXiv 2304.00571, section 3.3).

Video frames are spatially redundant. A decoder that attends jointly to both frames can reconstruct a hidden patch from
neighbors in the same frame and ignore time. In training, ASAD drops part of the within-frame attention. It drops most
where a patch has a good match in the other frame, so that the decoder must use that match.

Shapes: there are ``L`` tokens, the first ``h = L / 2`` from frame 0, the others from frame 1. Leading dimensions
    (samples, heads) are arbitrary.
"""

import logging
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor

from mmvidmae.compat.compiling import is_compiling

from .arguments import require, require_share
from .asad_backends import BACKENDS, MOST_DIMS, available, interpreted
from .spatial_drop_law import num_spatial_drops, spatial_drop_weights

if available():
    from .fused_spatial_dropout import check, draw_spatial_drops, spatial_drop_attention

STRATEGIES = ('adaptive', 'uniform', 'match', 'row')
"""Ways to choose what is dropped, see :class:`SpatialDropAttention`."""

GROUP_ENTRIES = 2**18
"""Entries of attention that are drawn at once on the CPU, 1 MiB in single precision."""


def sample_spatial_drops(weights: Tensor, num_drops: int, per_row: bool = False) -> Tensor:
    """Draw ``num_drops`` entries of each matrix without replacement, with probabilities proportional to ``weights``.

    The keys ``W / Exp(1)`` in descending order have exactly the distribution of successive draws without replacement.
    One selection therefore replaces ``torch.multinomial`` and its loop. Entries are drawn from the whole matrix.

    Args:
        weights: Weights ``(..., L, h)`` from :func:`spatial_drop_weights`.
        num_drops: Number of entries to drop in each matrix, at most ``L (h - 1)``.
        per_row: Whether to draw ``num_drops / L`` entries in each row instead.

    Returns:
        Boolean mask ``(..., L, L)``, True where attention is dropped. It is False on the diagonal and between frames.
    """
    length, half = weights.shape[-2:]
    drops = torch.zeros(*weights.shape[:-2], length, length, dtype=torch.bool, device=weights.device)
    chosen = _smallest(_drop_keys(weights, per_row), _numbers(num_drops, length, per_row)).view_as(weights)
    for frame in (slice(half), slice(half, None)):
        drops[..., frame, frame] = chosen[..., frame, :]
    return drops


def _numbers(num_drops: int, length: int, per_row: bool) -> int:
    """Number of drops in each row of keys from :func:`_drop_keys`."""
    return num_drops // length if per_row else num_drops


def _drop_keys(weights: Tensor, per_row: bool) -> Tensor:
    """Keys of weights ``(..., L, h)``: for each group of which a number is dropped a row, the smallest first."""
    # -log(rand) has the distribution Exp(1); on the CPU exponential_() takes five times longer. Without the minus sign,
    # the largest keys become the smallest.
    keys = torch.rand_like(weights).log_()
    torch.div(weights, keys, out=keys)
    return keys if per_row else keys.flatten(-2)


def _smallest(keys: Tensor, number: int) -> Tensor:
    """Boolean mask of the ``number`` smallest keys of each row. Of equal keys at the border, top-k takes any."""
    indices = keys.topk(number, dim=-1, largest=False, sorted=False).indices
    return torch.zeros_like(keys, dtype=torch.bool).scatter_(-1, indices, True)


def _smallest_bias(keys: Tensor, number: int) -> Tensor:
    """``-inf`` for the ``number`` smallest keys of each row and 0 for the others; the keys may be overwritten.

    On the CPU the keys are compared with the largest one to choose. NumPy finds it several times as fast as top-k
    finds indices, and the additive mask is made by operations that use vectors of the CPU.
    """
    if number < keys.shape[-1] and in_groups(keys):
        ordered = np.partition(keys.numpy(), number)
        border = ordered[..., :number].max(-1, keepdims=True)
        if (border < ordered[..., number : number + 1]).all():  # else equal keys are at the border
            keys.sub_(torch.from_numpy(border))
            return F.threshold(keys, 0.0, -torch.inf, inplace=True).clamp_(max=0.0)
    return torch.zeros_like(keys).masked_fill_(_smallest(keys, number), -torch.inf)


def in_groups(tensor: Tensor) -> bool:
    """Whether drops are drawn for some matrices at a time, so that they stay in the cache: on a CPU, in eager mode."""
    return tensor.device.type == 'cpu' and not is_compiling()


def uses_triton(backend: str, q: Tensor) -> bool:
    """Whether queries are attended to by the kernels.

    Args:
        backend: ``'auto'``, ``'torch'`` or ``'triton'``. ``'auto'`` takes the kernels for float16 and bfloat16 on GPUs
            where they work.
        q: Queries ``(N, heads, L, D)``.

    Raises:
        RuntimeError: If ``'triton'`` cannot be used for these queries.
    """
    if backend == 'triton':
        if not (q.is_cuda or interpreted()):
            raise RuntimeError(
                f"asad_backend='triton' needs a GPU, but the model is on {q.device}. Use 'auto', or set "
                'TRITON_INTERPRET=1 in the environment, which runs the kernels slowly on a CPU'
            )
        if q.dtype == torch.float64 or q.shape[-1] > MOST_DIMS:
            raise RuntimeError(
                f"asad_backend='triton' takes numbers of 16 or 32 bits and at most {MOST_DIMS} dimensions of a head, "
                f"got {q.dtype} and {q.shape[-1]}: use 'auto'"
            )
        return True
    suits = q.is_cuda and q.dtype in (torch.float16, torch.bfloat16) and q.shape[-1] <= MOST_DIMS
    return backend == 'auto' and suits and works(q.device, q.dtype, q.shape[-1])


@torch.compiler.assume_constant_result
def works(device: torch.device, dtype: torch.dtype, dims: int) -> bool:
    """Whether the kernels are there and agree with PyTorch on a device, for a type and head dimensions. The first call
    runs :func:`check`. A failure is logged once, as a warning."""
    return _works(device, dtype, dims)


@cache
def _works(device: torch.device, dtype: torch.dtype, dims: int) -> bool:
    try:
        if not available():
            raise RuntimeError('the kernels need the package triton, and torch 2.4 or later')
        with torch.autocast(device.type, enabled=False), torch.enable_grad():
            check(device, dtype, dims)
    except Exception as error:  # compilers and drivers raise errors of any kind
        lines = str(error).strip().splitlines()
        reason = f'{type(error).__name__}: {lines[0] if lines else ""}'
        print_log(
            f'ASAD: Triton cannot be used on {device} ({reason}). PyTorch draws the drops, which takes longer. '
            "asad_backend='torch' in the config of the neck avoids this warning.",
            logger='current',
            level=logging.WARNING,
        )
        return False
    return True


class SpatialDropAttention(MultiheadAttention):
    """Self-attention over the tokens of two frames with adaptive spatial-attention dropout.

    Drops are drawn in each training step for every sample and, by default, every head. No gradient flows through the
    choice. The remaining attention is renormalized by a second softmax, not rescaled. Nothing is dropped in evaluation
    or with ``spatial_drop=0`` (TwinMAE).

    All strategies drop the same number of entries, and never attention to the other frame or of a query to itself:

    - ``'adaptive'`` (DropMAE): an entry is drawn in proportion to the match of its query i in the other frame and to
      its attention, ``f_tem(i) p_ij``;
    - ``'uniform'``: all entries are equally likely;
    - ``'match'``: in proportion to the match of its query alone, ``f_tem(i)``;
    - ``'row'``: each query loses the same number of entries, drawn in proportion to their attention ``p_ij``.

    Only the first is the paper's.

    Args:
        spatial_drop: Share P of within-frame attention to drop, in [0, 1].
        share_heads: Whether to draw one mask per sample from the attention averaged over heads, instead of one mask per
            head.
        drop_strategy: ``'adaptive'``, ``'uniform'``, ``'match'`` or ``'row'``.
        asad_backend: What draws the drops and attends. ``'torch'``: PyTorch. ``'triton'``: kernels for GPUs that know
            only the adaptive strategy with one mask per head. ``'auto'``: the kernels for float16 and bfloat16 on a GPU
            where they agree with PyTorch on a small draw at the first call, else PyTorch. Both draw by the same law,
            but different entries for the same seed.
        **kwargs: Arguments of mmpretrain's ``MultiheadAttention`` (``embed_dims``, ``num_heads``, ...).
    """

    def __init__(
        self,
        *args,
        spatial_drop: float = 0.0,
        share_heads: bool = False,
        drop_strategy: str = 'adaptive',
        asad_backend: str = 'auto',
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        require_share(self, one=True, spatial_drop=spatial_drop)
        require(drop_strategy in STRATEGIES, self, 'drop_strategy', drop_strategy, f'one of {", ".join(STRATEGIES)}')
        known = drop_strategy == 'adaptive' and not share_heads and not self.attn_drop
        require(asad_backend in BACKENDS, self, 'asad_backend', asad_backend, f'one of {", ".join(BACKENDS)}')
        if asad_backend == 'triton':
            only = "'auto' or 'torch', except for drop_strategy='adaptive' with share_heads=False and no attn_drop"
            require(known, self, 'asad_backend', asad_backend, only)
            require(available(), self, 'asad_backend', asad_backend, "'auto' or 'torch' without Triton and torch 2.4")
        self.asad_backend = asad_backend if known else 'torch'
        self.drop_strategy = drop_strategy
        self.spatial_drop = spatial_drop
        self.share_heads = share_heads

    def forward(self, x: Tensor, drop_mask: Tensor | None = None) -> Tensor:
        """Apply self-attention.

        Args:
            x: Tokens ``(N, L, D)``, those of frame 0 first.
            drop_mask: Boolean mask ``(N, heads or 1, L, L)``, True where attention is dropped, to repeat given draws.
                By default, drops are drawn in training.

        Returns:
            Tokens ``(N, L, D)``.
        """
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, self.head_dims)).permute(2, 0, 3, 1, 4)
        bias = None
        if drop_mask is not None:
            bias = ~drop_mask
        elif self.training and (num_drops := num_spatial_drops(self.spatial_drop, q.shape[-2])):
            if self.asad_backend != 'torch' and uses_triton(self.asad_backend, q):
                seed = torch.randint(2**63 - 1, (1,), device=q.device)
                drops = draw_spatial_drops(q.detach(), k.detach(), seed, num_drops)
                return self._project(spatial_drop_attention(q, k, v, drops)[0])
            bias = self.sample_drop_bias(q, k)
        return self._project(
            F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=self.attn_drop if self.training else 0.0)
        )

    def _project(self, x: Tensor) -> Tensor:
        """Map the output ``(N, heads, L, D)`` of all heads to tokens."""
        return self.out_drop(self.gamma1(self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))))

    def sample_drop_mask(self, q: Tensor, k: Tensor) -> Tensor | None:
        """Draw the drop mask for queries and keys ``(N, heads, L, head_dims)``. None if there is nothing to drop."""
        bias = self.sample_drop_bias(q, k)
        return None if bias is None else bias.isinf()

    @torch.no_grad()
    def sample_drop_bias(self, q: Tensor, k: Tensor) -> Tensor | None:
        """Draw the drop mask as what is added to the logits: ``-inf`` where attention is dropped, 0 elsewhere.

        The fused attention converts a Boolean mask to this form. On the CPU the matrices are drawn in groups, so that
        softmax, weights and keys stay in the cache of a core.

        Args:
            q: Queries ``(N, heads, L, head_dims)``.
            k: Keys ``(N, heads, L, head_dims)``.

        Returns:
            Additive mask ``(N, heads or 1, L, L)`` of the type of the queries. None if there is nothing to drop.
        """
        num_drops = num_spatial_drops(self.spatial_drop, q.shape[-2])
        if num_drops == 0:
            return None
        samples, heads, length = q.shape[:3]
        q, k = q * self.head_dims**-0.5, k.transpose(-2, -1)
        if not self.share_heads:  # one matrix for each sample and head
            q, k = q.flatten(0, 1)[:, None], k.flatten(0, 1)[:, None]
        bias = q.new_empty(len(q), 1, length, length)
        group = max(1, GROUP_ENTRIES // (q.shape[1] * length**2)) if in_groups(q) else len(q)
        half = length // 2
        first, second = slice(half), slice(half, None)
        for queries, keys, part in zip(q.split(group), k.split(group), bias.split(group)):
            drawn = self._draw(queries, keys, num_drops)
            for frame, other in ((first, second), (second, first)):
                part[..., frame, frame] = drawn[..., frame, :]
                part[..., frame, other] = 0.0
        return bias if self.share_heads else bias.view(samples, heads, length, length)

    def _draw(self, q: Tensor, k: Tensor, num_drops: int) -> Tensor:
        """Draw the additive mask ``(N, 1, L, h)`` within frames for scaled queries ``(N, heads, L, D)`` and keys
        ``(N, heads, D, L)`` whose heads share a mask."""
        if self.drop_strategy == 'uniform':
            attn = q.new_ones(len(q), 1, q.shape[-2], q.shape[-2], dtype=torch.float32)
        else:
            attn = (q @ k).float()
            torch.softmax(attn, -1, out=attn)
            attn = attn.mean(1, keepdim=True) if attn.shape[1] > 1 else attn
        weights = spatial_drop_weights(attn, match_only=self.drop_strategy in ('match', 'uniform'))
        per_row = self.drop_strategy == 'row'
        number = _numbers(num_drops, weights.shape[-2], per_row)
        return _smallest_bias(_drop_keys(weights, per_row), number).view_as(weights)
