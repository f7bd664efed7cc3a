"""Candidate elimination: search tokens that the template does not attend to leave the encoder early (OSTrack,
arXiv:2203.11991, section 3.3)."""

import math

import torch
import torch.nn.functional as F
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import Tensor

CELLS = ('CTR_POINT', 'CTR_REC', 'ALL')
"""Template cells that judge the search tokens: the (upper-left) one in the middle, the up to four in the middle, or
all."""


def template_cells(kind: str, grid: tuple[int, int]) -> Tensor | None:
    """Indices ``(M,)`` of the template cells that judge the search tokens, or None for all.

    Args:
        kind: One of :data:`CELLS`.
        grid: Rows and columns of the template.

    Raises:
        ValueError: If the kind is unknown.
    """
    if kind not in CELLS:
        raise ValueError(f'template_cells must be one of {", ".join(CELLS)}, got {kind!r}')
    if kind == 'ALL':
        return None
    middle = [range((n - 1) // 2, n // 2 + 1 if kind == 'CTR_REC' else (n - 1) // 2 + 1) for n in grid]
    return torch.tensor([row * grid[1] + column for row in middle[0] for column in middle[1]])


def box_cells(boxes: Tensor, template_size: int, grid: int) -> Tensor:
    """Template cells that a box touches (OSTrack's ``GT_BOX``).

    Args:
        boxes: ``(N, 4)`` (x, y, w, h) in units of the template's side.
        template_size: Side of the template in pixels.
        grid: Cells along it.

    Returns:
        ``(N, grid * grid)`` bool.
    """
    x, y, width, height = (boxes * template_size).unbind(1)
    pixel = torch.arange(template_size, device=boxes.device)

    def covered(start: Tensor, extent: Tensor) -> Tensor:
        return (pixel >= start.long()[:, None]) & (pixel < (start + extent - 1).long()[:, None])

    image = covered(y, height)[:, :, None] & covered(x, width)[:, None]
    image = F.interpolate(image[:, None].float(), (grid, grid), mode='bilinear')
    return image.flatten(1) > 0


def keep_rate_at(epoch: int, start: int, warmup: int, keep_rate: float) -> float:
    """Share of the search tokens that training keeps at each elimination: all before epoch ``start``, then falling
    along a cosine to ``keep_rate`` within ``warmup`` epochs (``adjust_keep_rate``; epochs count from 1)."""
    progress = min(max((epoch - start) / warmup, 0.0), 1.0)
    return keep_rate + (1 - keep_rate) * (math.cos(math.pi * progress) + 1) / 2


def eliminating_layer(
    layer: TransformerEncoderLayer, x: Tensor, ids: Tensor, keep_rate: float, cells: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Run a layer that drops search tokens between its attention and its feed-forward part.

    Args:
        layer: An encoder layer.
        x: Template and search tokens ``(N, L_z + K, D)``.
        ids: Which search tokens are left, ``(N, K)``.
        keep_rate: Share of them that stays.
        cells: Template tokens ``(M,)`` or ``(N, M)`` whose mean attention, over heads too, is a search token's score;
            None for all.

    Returns:
        The tokens ``(N, L_z + ceil(keep_rate * K), D)`` and the ids left, best first.
    """
    attn, num_search = layer.attn, ids.shape[1]
    num_template = x.shape[1] - num_search
    q, k, v = attn.qkv(layer.ln1(x)).unflatten(2, (3, attn.num_heads, attn.head_dims)).permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    x = x + attn.out_drop(attn.gamma1(attn.proj(out)))

    keep = math.ceil(keep_rate * num_search)
    if keep < num_search:
        best = _scores(q[:, :, :num_template], k, cells)[:, num_template:].topk(keep, dim=1).indices
        ids = ids.gather(1, best)
        template, search = x.split((num_template, num_search), dim=1)
        x = torch.cat((template, search.gather(1, best[..., None].expand(-1, -1, x.shape[2]))), dim=1)
    return layer.ffn(layer.ln2(x), identity=x), ids


@torch.no_grad()
def _scores(q: Tensor, k: Tensor, cells: Tensor | None) -> Tensor:
    """Attention ``(N, L)`` of template queries to all tokens, averaged over ``cells`` and heads."""
    if cells is not None and cells.ndim == 1:
        q = q[:, :, cells]
    elif cells is not None:
        q = q.gather(2, cells[:, None, :, None].expand(-1, q.shape[1], -1, q.shape[3]))
    weights = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1)
    return weights.mean(dim=(1, 2))
