"""Candidate elimination: the encoder drops search tokens to which the template attends least (OSTrack,
arXiv:2203.11991, section 3.3)."""

import math

import torch
import torch.nn.functional as F
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import Tensor

from ..layers import Branches, attend_and_feed, project

CELLS = ('CTR_POINT', 'CTR_REC', 'ALL')
"""Template cells that score the search tokens: the (upper-left) center cell, the up to four center cells, or all."""


def template_cells(kind: str, grid: tuple[int, int]) -> Tensor | None:
    """Indices ``(M,)`` of the template cells that score the search tokens, or None for all.

    Args:
        kind: One of :data:`CELLS`.
        grid: Patch grid (rows, columns) of the template.

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
    """Template cells that a box overlaps (OSTrack's ``GT_BOX``).

    Args:
        boxes: Boxes ``(N, 4)`` (x, y, w, h) in units of the template's side.
        template_size: Side of the template in pixels.
        grid: Number of cells along a side.

    Returns:
        Mask ``(N, grid * grid)`` bool.
    """
    x, y, width, height = (boxes * template_size).unbind(1)
    pixel = torch.arange(template_size, device=boxes.device)

    def covered(start: Tensor, extent: Tensor) -> Tensor:
        return (pixel >= start.long()[:, None]) & (pixel < (start + extent - 1).long()[:, None])

    image = covered(y, height)[:, :, None] & covered(x, width)[:, None]
    image = F.interpolate(image[:, None].float(), (grid, grid), mode='bilinear')
    return image.flatten(1) > 0


def eliminating_layer(
    layer: TransformerEncoderLayer,
    x: Tensor,
    ids: Tensor,
    keep_ratio: float,
    cells: Tensor | None,
    branches: Branches | None = None,
) -> tuple[Tensor, Tensor]:
    """Run a layer that drops search tokens between its attention and its feed-forward part.

    The keys and the template's queries alone determine which tokens are dropped. Attention is therefore computed only
    for the remaining queries; they attend to all tokens.

    Args:
        layer: An encoder layer.
        x: Template and search tokens ``(N, L_z + K, D)``.
        ids: Ids ``(N, K)`` of the current search tokens.
        keep_ratio: Share of these tokens to keep.
        cells: Template tokens ``(M,)`` or ``(N, M)`` that score the search tokens, None for all. A score is the mean
            attention of these tokens to a search token, averaged over heads too.
        branches: What is computed beside the layer's parts, for the tokens before elimination and for those after it.

    Returns:
        Tokens ``(N, L_z + ceil(keep_ratio * K), D)``, and the ids of the kept search tokens, best first.
    """
    num_template = x.shape[1] - ids.shape[1]
    normed = layer.ln1(x)
    k, v = project(layer, normed, 'kv')
    if branches is not None:
        x = x + branches.attn(normed)
    keep = math.ceil(keep_ratio * ids.shape[1])
    if keep < ids.shape[1]:
        best = _scores(layer, normed[:, :num_template], k, cells)[:, num_template:].topk(keep, dim=1).indices
        ids = ids.gather(1, best)
        template = torch.arange(num_template, device=x.device).expand(x.shape[0], -1)
        rows = torch.cat((template, num_template + best), dim=1)[..., None].expand(-1, -1, x.shape[2])
        x, normed = x.gather(1, rows), normed.gather(1, rows)
    return attend_and_feed(layer, x, *project(layer, normed, 'q'), k, v, branches), ids


@torch.no_grad()
def _scores(layer: TransformerEncoderLayer, template: Tensor, k: Tensor, cells: Tensor | None) -> Tensor:
    """Attention ``(N, L)`` of template tokens to all tokens, averaged over ``cells`` and heads."""
    if cells is not None:
        cells = cells.expand(template.shape[0], -1)[..., None].expand(-1, -1, template.shape[2])
        template = template.gather(1, cells)
    (q,) = project(layer, template, 'q')
    return (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1).mean(dim=(1, 2))
