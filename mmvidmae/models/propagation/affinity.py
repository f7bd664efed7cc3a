"""Nearest cells of earlier frames: cosine similarity, spatial window and top-k in bounded memory.

Grids are ``(A, B)``, two spatial axes in any order. Scores are computed in bands along A, only for the keys inside the
window of a band. A should therefore be the longer axis.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

BUDGET = dict(cpu=2**21, cuda=2**26)
"""Number of scores computed at once, by device type: those that fit into the cache of a core, and 256 MB on a GPU."""

SMALL = 2**11
"""Largest number of context cells that are searched at once. Ties, as between copies of a frame, are then resolved as
in ``torch.topk`` over all cells in order, which is what the references do."""


def top_affinities(
    query: Tensor,
    keys: Sequence[Tensor],
    topk: int,
    radius: float | None = None,
    window: str = 'square',
    num_free: int = 0,
) -> tuple[Tensor, Tensor]:
    """Find the most similar context cells for each cell of a frame.

    Args:
        query: Features ``(A, B, C)``, of unit length for cosine similarity.
        keys: Features of the S context frames, in groups ``(., A, B, C)``.
        topk: Number of cells to find, over all context frames together.
        radius: Size of the window in cells, None for no limit. ``'square'`` keeps offsets of at most ``radius`` along
            both axes, ``'disk'`` keeps Euclidean distances below ``radius``, ``'circle'`` those of at most ``radius``.
        window: ``'square'``, ``'disk'`` or ``'circle'``.
        num_free: Number of leading groups whose frames have no window.

    Returns:
        Similarities ``(A * B, k)`` in descending order, and indices ``(A * B, k)`` into the ``S * A * B`` context
        cells. k is ``topk``, or the number of context cells if that is smaller. If the window has fewer than k cells,
        the remaining similarities are ``-inf``.
    """
    size_a, size_b = query.shape[:2]
    if radius is None:
        num_free = len(keys)
    slots = sum(map(len, keys))
    small = slots * size_a * size_b <= SMALL
    topk = min(topk, slots * size_a * size_b)
    num_near = sum(map(len, keys[num_free:]))
    reach = size_a if radius is None else math.ceil(radius) - 1 if window == 'disk' else int(radius)
    budget = BUDGET.get(query.device.type, BUDGET['cuda'])
    all_rows = (
        torch.arange(slots * size_a, device=query.device)
        .unflatten(0, (slots, size_a))
        .split([len(group) for group in keys])
    )
    found = []
    start = 0
    while start < size_a:
        stop = size_a if small else start + _band(start, size_a, size_b, slots - num_near, num_near, reach, budget)
        first, last = (0, size_a) if small else (max(0, start - reach), min(size_a, stop + reach))
        groups, rows = ([*part[:num_free], *(x[:, first:last] for x in part[num_free:])] for part in (keys, all_rows))
        scores = _scores(query[start:stop].flatten(0, 1), groups)  # (rows of keys, B, queries)
        if num_near:
            near = scores[(slots - num_near) * size_a :].unflatten(0, (num_near, last - first))
            near.masked_fill_(_outside((start, stop), (first, last), size_b, radius, window, query.device), -math.inf)

        if small:
            values, index = scores.flatten(0, 1).topk(topk, dim=0)
        else:
            # the top-k are in the k rows with the largest maxima: one pass over the scores, then a search in k rows
            row = scores.amax(1).topk(min(topk, len(scores)), dim=0).indices
            candidates = scores.gather(0, row[:, None].expand(-1, size_b, -1)).flatten(0, 1)
            values, order = candidates.topk(topk, dim=0)
            index = row.gather(0, order // size_b) * size_b + order % size_b
        # from rows of this band to rows of the frames
        rows = torch.cat([part.flatten() for part in rows])
        found.append((values, rows[index // size_b] * size_b + index % size_b))
        start = stop
    values, index = (torch.cat(parts, dim=1).T for parts in zip(*found))
    return values, index


def transfer_labels(labels: Tensor, affinities: Tensor, indices: Tensor, temperature: float) -> Tensor:
    """Compute labels of cells as the mean of their neighbors' labels, weighted by the softmax of similarities.

    Args:
        labels: Labels ``(S * A * B, K)`` of the context.
        affinities: Similarities ``(A * B, k)`` from :func:`top_affinities`.
        indices: Context cells ``(A * B, k)`` of these similarities.
        temperature: Temperature T of the softmax.

    Returns:
        Labels ``(A * B, K)``.
    """
    weights = (affinities / temperature).softmax(-1)
    return F.embedding_bag(indices, labels, per_sample_weights=weights, mode='sum')


def _band(start: int, size_a: int, size_b: int, num_free: int, num_near: int, reach: int, budget: int) -> int:
    """Number of query rows, at least one, whose scores stay within the budget."""
    rows = 1
    while start + rows < size_a:
        key_rows = num_free * size_a + num_near * min(size_a, rows + 1 + 2 * reach)
        if key_rows * size_b * (rows + 1) * size_b > budget:
            break
        rows += 1
    return rows


def _scores(band: Tensor, groups: Sequence[Tensor]) -> Tensor:
    """Similarities of queries ``(Q, C)`` to the keys of all groups ``(., A, B, C)``: ``(rows of keys, B, Q)``."""
    size_b, queries = groups[0].shape[2], len(band)
    rows = [group.shape[0] * group.shape[1] for group in groups]
    scores = band.new_empty(sum(rows), size_b, queries)
    for group, out in zip(groups, scores.split(rows)):
        if len(group):
            torch.bmm(group.flatten(1, 2), band.T.expand(len(group), -1, -1), out=out.view(len(group), -1, queries))
    return scores


def _outside(
    rows: tuple[int, int], key_rows: tuple[int, int], size_b: int, radius: float, window: str, device: torch.device
) -> Tensor:
    """Mask of keys outside the window, for ranges of rows: bool ``(key rows, B, rows * B)``."""
    a, key_a, b = (torch.arange(*ends, device=device) for ends in (rows, key_rows, (0, size_b)))
    offset_a = (key_a[:, None] - a).abs()[:, None, :, None]
    offset_b = (b[:, None] - b).abs()[None, :, None, :]
    if window == 'square':
        outside = (offset_a > radius) | (offset_b > radius)
    else:
        distance = offset_a.square() + offset_b.square()
        outside = distance >= radius**2 if window == 'disk' else distance > radius**2
    return outside.flatten(2)
