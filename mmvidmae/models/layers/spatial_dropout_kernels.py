"""Triton kernels of ASAD: the choice of the drops, and attention without the dropped entries.

Layout: ``q``, ``k``, ``v`` are ``(N, heads, L, D)`` with any strides but the last, which is 1. A matrix is one sample
and head. Drops are bits: word ``w`` of a row of ``(N, heads, L, words)`` int32 holds columns ``32 w`` to ``32 w + 31``
of the query's own frame, the lowest bit first. Attention between frames is never dropped and has no bits.

``TRITON_INTERPRET=1``, set before Triton is imported, runs the kernels on CPUs.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .spatial_drop_law import EPS

WORD = 32
ROWS = 64
CHUNK = 4096
DRAW_WARPS = 16
LOWEST = tl.constexpr(-1e30)  # finite, so that a tile without any entry gives no NaN
LOG2E = tl.constexpr(1.4426950408889634)
OFFSET = tl.constexpr(126)  # exponent of float32 with which the second of the 32 coarse bins begins less one
INFINITY = tl.constexpr(0x7F800000)
ANY = tl.constexpr(0x7FFFFFFF)


@triton.jit
def load_tile(matrix, start, half, first, stride, D: tl.constexpr, BLOCK_D: tl.constexpr, ROWS: tl.constexpr):
    """Tokens ``first`` to ``first + ROWS - 1`` of the frame whose first token is ``start``: ``(ROWS, BLOCK_D)``."""
    tokens = first + tl.arange(0, ROWS)
    dims = tl.arange(0, BLOCK_D)
    pointers = matrix + (start + tokens)[:, None] * stride + dims[None, :]
    return tl.load(pointers, mask=(tokens < half)[:, None] & (dims < D)[None, :], other=0.0)


@triton.jit
def uniform(seed, sample, head, row, first, quarters, ROWS: tl.constexpr, WORD: tl.constexpr):
    """Numbers in (0, 1) for the entries ``first`` to ``first + WORD - 1`` of the rows: ``(ROWS, WORD)``.

    Philox-4x32 with 7 rounds (Salmon et al., 2011) and the key ``seed`` counts entries by fours, heads and samples. The
    23 bits and the half are exact.
    """
    quarter = first // 4 + tl.arange(0, WORD // 4)
    counter = row[:, None] * quarters + quarter[None, :]
    nothing = tl.zeros_like(counter)
    a, b, c, d = tl.philox(seed, counter, nothing + head, nothing + sample, nothing, n_rounds=7)
    bits = tl.reshape(tl.join(tl.join(a, c), tl.join(b, d)), (ROWS, WORD))
    return ((bits >> 9).to(tl.float32) + 0.5) * (1.0 / 8388608)


@triton.jit
def draw_kernel(
    q,
    k,
    seeds,
    scratch,
    candidates,
    drops,
    matrices,
    heads,
    half,
    number,
    scale,
    eps,
    q_sample,
    q_head,
    q_token,
    k_sample,
    k_head,
    k_token,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    WORDS: tl.constexpr,
    ROWS: tl.constexpr,
    WORD: tl.constexpr,
    CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Choose the ``number`` entries with the smallest keys ``Exp(1) / W`` of each matrix.

    A program takes one matrix after the other. Its keys go to a scratch of its own, ``(L, 32 WORDS)`` float32, which
    stays in the L2 cache. Positive floats have the order of their bits, so the border between chosen and other keys is
    found by counting: first in 32 coarse bins, while the keys are made, then in four digits of the candidates, the keys
    in the bin of the border.
    """
    program = tl.program_id(0)
    seed = tl.load(seeds)
    length = 2 * half
    columns = WORDS * WORD
    keys = scratch + program.to(tl.int64) * length * columns
    found = candidates + program.to(tl.int64) * length * columns
    digits = tl.arange(0, 256)
    coarse = tl.arange(0, 32)
    for step in range(tl.cdiv(matrices - program, tl.num_programs(0))):
        matrix = program + step * tl.num_programs(0)
        sample, head = matrix // heads, matrix % heads
        queries = q + sample.to(tl.int64) * q_sample + head * q_head
        tokens = k + sample.to(tl.int64) * k_sample + head * k_head

        counts = tl.zeros((32,), tl.int32)
        for frame in range(2):
            own, other = frame * half, (1 - frame) * half
            for first in range(0, half, ROWS):
                local = first + tl.arange(0, ROWS)
                query = load_tile(queries, own, half, first, q_token, D, BLOCK_D, ROWS)
                top = tl.full((ROWS,), LOWEST, tl.float32)
                rest = tl.zeros((ROWS,), tl.float32)  # softmax's sum over the other frame and the query itself
                within = tl.zeros((ROWS,), tl.float32)  # over the others of its frame
                for start in range(0, half, WORD):
                    tile = load_tile(tokens, other, half, start, k_token, D, BLOCK_D, WORD)
                    score = tl.dot(query, tl.trans(tile), input_precision=PRECISION) * scale
                    score = tl.where((start + tl.arange(0, WORD) < half)[None, :], score, float('-inf'))
                    higher = tl.maximum(top, tl.max(score, 1))
                    rest = rest * tl.exp2(top - higher) + tl.sum(tl.exp2(score - higher[:, None]), 1)
                    top = higher
                match = top
                for start in range(0, half, WORD):
                    column = start + tl.arange(0, WORD)
                    tile = load_tile(tokens, own, half, start, k_token, D, BLOCK_D, WORD)
                    score = tl.dot(query, tl.trans(tile), input_precision=PRECISION) * scale
                    score = tl.where((column < half)[None, :], score, float('-inf'))
                    higher = tl.maximum(top, tl.max(score, 1))
                    share = tl.exp2(score - higher[:, None])
                    itself = column[None, :] == local[:, None]
                    rest = rest * tl.exp2(top - higher) + tl.sum(tl.where(itself, share, 0.0), 1)
                    within = within * tl.exp2(top - higher) + tl.sum(tl.where(itself, 0.0, share), 1)
                    top = higher
                inverse = 1.0 / (rest + within)
                factor = (tl.exp2(match - top) * inverse + eps) / (within * inverse + (half - 1) * eps)
                for word in range(WORDS):
                    start = word * WORD
                    column = start + tl.arange(0, WORD)
                    tile = load_tile(tokens, own, half, start, k_token, D, BLOCK_D, WORD)
                    score = tl.dot(query, tl.trans(tile), input_precision=PRECISION) * scale
                    weight = (tl.exp2(score - top[:, None]) * inverse[:, None] + eps) * factor[:, None]
                    u = uniform(seed, sample, head, own + local, start, columns // 4, ROWS, WORD)
                    key = -tl.log(u) / weight
                    may = (column < half)[None, :] & (local < half)[:, None] & (column[None, :] != local[:, None])
                    key = tl.where(may, key, float('inf'))
                    place = (own + local)[:, None] * columns + column[None, :]
                    tl.store(keys + place, key, mask=(local < half)[:, None])
                    exponent = (key.to(tl.int32, bitcast=True) >> 23) - OFFSET
                    exponent = tl.minimum(tl.maximum(exponent, 0), 31)
                    counts += tl.histogram(tl.reshape(exponent, (ROWS * WORD,)), 32)
        tl.debug_barrier()

        bin = tl.sum((tl.cumsum(counts, 0) < number).to(tl.int32), 0)
        need = number - tl.sum(tl.where(coarse < bin, counts, 0), 0)
        low = tl.where(bin == 0, 0, (bin + OFFSET) << 23)
        high = tl.where(bin == 31, ANY, (bin + OFFSET + 1) << 23)
        size = 0
        for start in range(0, length * columns, CHUNK):
            place = start + tl.arange(0, CHUNK)
            key = tl.load(keys + place, mask=place < length * columns, other=float('inf')).to(tl.int32, bitcast=True)
            inside = (key >= low) & (key < high) & (key < INFINITY)
            rank = tl.cumsum(inside.to(tl.int32), 0)
            tl.store(found + size + rank - 1, key, mask=inside)
            size += tl.sum(inside.to(tl.int32), 0)
        tl.debug_barrier()

        border = 0
        equal = 0
        for digit in tl.static_range(4):
            bins = tl.zeros((256,), tl.int32)
            for start in range(0, size, CHUNK):
                place = start + tl.arange(0, CHUNK)
                key = tl.load(found + place, mask=place < size, other=ANY)
                here = (place < size) & (((key >> (24 - 8 * digit)) >> 8) == border)
                bins += tl.histogram((key >> (24 - 8 * digit)) & 255, 256, mask=here)
            value = tl.sum((tl.cumsum(bins, 0) < need).to(tl.int32), 0)
            need -= tl.sum(tl.where(digits < value, bins, 0), 0)
            equal = tl.sum(tl.where(digits == value, bins, 0), 0)
            border = (border << 8) | value

        seen = 0  # keys equal to the border, of which the first are dropped
        for first in range(0, length, ROWS):
            row = first + tl.arange(0, ROWS)
            for word in range(WORDS):
                place = row[:, None] * columns + (word * WORD + tl.arange(0, WORD))[None, :]
                key = tl.load(keys + place, mask=(row < length)[:, None], other=float('inf'))
                key = key.to(tl.int32, bitcast=True)
                chosen = key <= border
                if equal > need:
                    same = (key == border).to(tl.int32)
                    line = tl.sum(same, 1)
                    rank = seen + (tl.cumsum(line, 0) - line)[:, None] + tl.cumsum(same, 1)
                    chosen = (key < border) | ((key == border) & (rank <= need))
                    seen += tl.sum(line, 0)
                bits = tl.sum(chosen.to(tl.int32) << tl.arange(0, WORD)[None, :], 1)
                out = drops + (matrix.to(tl.int64) * length + row) * WORDS + word
                tl.store(out, bits, mask=row < length)
        tl.debug_barrier()  # before the next matrix overwrites the keys


@triton.jit
def kept(words, row, first, word, half, own, WORDS: tl.constexpr, WORD: tl.constexpr):
    """Which entries ``(rows, WORD)`` of a tile remain: columns of the frame that are not dropped. ``words`` are those
    of the frame of the rows, and ``own`` says whether the columns are of the same frame."""
    column = word * WORD + tl.arange(0, WORD)
    bits = tl.load(words + row * WORDS + word, mask=(row < half) & own, other=0)
    dropped = ((bits[:, None] >> tl.arange(0, WORD)[None, :]) & 1) != 0
    return (column < half)[None, :] & (row < half)[:, None] & (dropped == 0)


@triton.jit
def attend_kernel(
    q,
    k,
    v,
    drops,
    out,
    norms,
    heads,
    half,
    scale,
    q_sample,
    q_head,
    q_token,
    k_sample,
    k_head,
    k_token,
    v_sample,
    v_head,
    v_token,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    WORDS: tl.constexpr,
    ROWS: tl.constexpr,
    WORD: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Attention of some queries of a frame. ``norms`` are the binary logarithms of the softmax's sums."""
    blocks = tl.cdiv(half, ROWS)
    frame = tl.program_id(0) // blocks
    first = (tl.program_id(0) % blocks) * ROWS
    matrix = tl.program_id(1).to(tl.int64)
    sample, head = matrix // heads, matrix % heads
    row = first + tl.arange(0, ROWS)
    words = drops + (matrix * 2 + frame) * half * WORDS
    query = load_tile(q + sample * q_sample + head * q_head, frame * half, half, first, q_token, D, BLOCK_D, ROWS)
    top = tl.full((ROWS,), LOWEST, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    result = tl.zeros((ROWS, BLOCK_D), tl.float32)
    for block in range(2 * WORDS):
        other, word = block // WORDS, block % WORDS
        start = word * WORD
        tile = load_tile(k + sample * k_sample + head * k_head, other * half, half, start, k_token, D, BLOCK_D, WORD)
        value = load_tile(v + sample * v_sample + head * v_head, other * half, half, start, v_token, D, BLOCK_D, WORD)
        score = tl.dot(query, tl.trans(tile), input_precision=PRECISION) * scale
        remains = kept(words, row, first, word, half, other == frame, WORDS, WORD)
        score = tl.where(remains, score, float('-inf'))
        higher = tl.maximum(top, tl.max(score, 1))
        share = tl.exp2(score - higher[:, None])
        factor = tl.exp2(top - higher)
        total = total * factor + tl.sum(share, 1)
        result = result * factor[:, None] + tl.dot(share.to(value.dtype), value, input_precision=PRECISION)
        top = higher
    dims = tl.arange(0, BLOCK_D)
    token = frame * half + row
    place = ((sample * 2 * half + token) * heads + head)[:, None] * D + dims[None, :]
    valid = row < half
    tl.store(out + place, (result / total[:, None]).to(out.dtype.element_ty), mask=valid[:, None] & (dims < D)[None, :])
    tl.store(norms + matrix * 2 * half + token, top + tl.log2(total), mask=valid)


@triton.jit
def query_gradient_kernel(
    q,
    k,
    v,
    drops,
    norms,
    grad,
    deltas,
    q_grad,
    heads,
    half,
    scale,
    q_sample,
    q_head,
    q_token,
    k_sample,
    k_head,
    k_token,
    v_sample,
    v_head,
    v_token,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    WORDS: tl.constexpr,
    ROWS: tl.constexpr,
    WORD: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gradient of some queries of a frame. ``deltas`` are the products of output and gradient of each query."""
    blocks = tl.cdiv(half, ROWS)
    frame = tl.program_id(0) // blocks
    first = (tl.program_id(0) % blocks) * ROWS
    matrix = tl.program_id(1).to(tl.int64)
    sample, head = matrix // heads, matrix % heads
    row = first + tl.arange(0, ROWS)
    words = drops + (matrix * 2 + frame) * half * WORDS
    query = load_tile(q + sample * q_sample + head * q_head, frame * half, half, first, q_token, D, BLOCK_D, ROWS)
    outer = grad + (sample * 2 * half * heads + head) * D
    above = load_tile(outer, frame * half, half, first, heads * D, D, BLOCK_D, ROWS)
    token = matrix * 2 * half + frame * half + row
    norm = tl.load(norms + token, mask=row < half, other=0.0)
    delta = tl.load(deltas + token, mask=row < half, other=0.0)
    result = tl.zeros((ROWS, BLOCK_D), tl.float32)
    for block in range(2 * WORDS):
        other, word = block // WORDS, block % WORDS
        start = word * WORD
        tile = load_tile(k + sample * k_sample + head * k_head, other * half, half, start, k_token, D, BLOCK_D, WORD)
        value = load_tile(v + sample * v_sample + head * v_head, other * half, half, start, v_token, D, BLOCK_D, WORD)
        score = tl.dot(query, tl.trans(tile), input_precision=PRECISION) * scale
        remains = kept(words, row, first, word, half, other == frame, WORDS, WORD)
        share = tl.where(remains, tl.exp2(score - norm[:, None]), 0.0)
        change = tl.dot(above, tl.trans(value), input_precision=PRECISION)
        slope = share * (change - delta[:, None])
        result += tl.dot(slope.to(tile.dtype), tile, input_precision=PRECISION)
    dims = tl.arange(0, BLOCK_D)
    place = ((sample * 2 * half + frame * half + row) * heads + head)[:, None] * D + dims[None, :]
    result *= scale / LOG2E
    tl.store(q_grad + place, result.to(q_grad.dtype.element_ty), mask=(row < half)[:, None] & (dims < D)[None, :])


@triton.jit
def key_gradient_kernel(
    q,
    k,
    v,
    drops,
    norms,
    grad,
    deltas,
    k_grad,
    v_grad,
    heads,
    half,
    scale,
    q_sample,
    q_head,
    q_token,
    k_sample,
    k_head,
    k_token,
    v_sample,
    v_head,
    v_token,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    WORDS: tl.constexpr,
    ROWS: tl.constexpr,
    WORD: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gradients of the keys and values of one word of columns of a frame."""
    other = tl.program_id(0) // WORDS
    word = tl.program_id(0) % WORDS
    start = word * WORD
    matrix = tl.program_id(1).to(tl.int64)
    sample, head = matrix // heads, matrix % heads
    tile = load_tile(k + sample * k_sample + head * k_head, other * half, half, start, k_token, D, BLOCK_D, WORD)
    value = load_tile(v + sample * v_sample + head * v_head, other * half, half, start, v_token, D, BLOCK_D, WORD)
    outer = grad + (sample * 2 * half * heads + head) * D
    key_result = tl.zeros((WORD, BLOCK_D), tl.float32)
    value_result = tl.zeros((WORD, BLOCK_D), tl.float32)
    blocks = tl.cdiv(half, ROWS)
    for block in range(2 * blocks):
        frame = block // blocks
        first = (block % blocks) * ROWS
        row = first + tl.arange(0, ROWS)
        words = drops + (matrix * 2 + frame) * half * WORDS
        query = load_tile(q + sample * q_sample + head * q_head, frame * half, half, first, q_token, D, BLOCK_D, ROWS)
        above = load_tile(outer, frame * half, half, first, heads * D, D, BLOCK_D, ROWS)
        token = matrix * 2 * half + frame * half + row
        norm = tl.load(norms + token, mask=row < half, other=0.0)
        delta = tl.load(deltas + token, mask=row < half, other=0.0)
        score = tl.dot(query, tl.trans(tile), input_precision=PRECISION) * scale
        remains = kept(words, row, first, word, half, other == frame, WORDS, WORD)
        share = tl.where(remains, tl.exp2(score - norm[:, None]), 0.0)
        value_result += tl.dot(tl.trans(share.to(above.dtype)), above, input_precision=PRECISION)
        change = tl.dot(above, tl.trans(value), input_precision=PRECISION)
        slope = share * (change - delta[:, None])
        key_result += tl.dot(tl.trans(slope.to(query.dtype)), query, input_precision=PRECISION)
    column = start + tl.arange(0, WORD)
    dims = tl.arange(0, BLOCK_D)
    place = ((sample * 2 * half + other * half + column) * heads + head)[:, None] * D + dims[None, :]
    valid = (column < half)[:, None] & (dims < D)[None, :]
    key_result *= scale / LOG2E
    tl.store(k_grad + place, key_result.to(k_grad.dtype.element_ty), mask=valid)
    tl.store(v_grad + place, value_result.to(v_grad.dtype.element_ty), mask=valid)


def num_words(length: int) -> int:
    """Words of drops in a row, for ``length`` tokens of both frames."""
    return triton.cdiv(length // 2, WORD)


def tiles(q: Tensor) -> dict:
    """Sizes that are constants of a kernel."""
    dims = q.shape[-1]
    return dict(
        D=dims,
        BLOCK_D=max(16, triton.next_power_of_2(dims)),
        WORDS=num_words(q.shape[-2]),
        ROWS=ROWS,
        WORD=WORD,
        PRECISION='ieee' if q.dtype == torch.float32 else 'tf32',  # has no effect on other types
    )


def log2_scale(q: Tensor) -> float:
    """Factor of the logits, for powers of two."""
    return q.shape[-1] ** -0.5 * LOG2E.value


def draw(q: Tensor, k: Tensor, seed: Tensor, number: int, programs: int | None = None) -> tuple[Tensor, Tensor]:
    """Draw the drops.

    Args:
        q: Queries ``(N, heads, L, D)``.
        k: Keys ``(N, heads, L, D)``.
        seed: Seed, int64 of one element, on the device.
        number: Number of entries to drop in each matrix, 1 to ``L (L / 2 - 1)``.
        programs: Programs that share the matrices; by default one for each multiprocessor of the GPU.

    Returns:
        Drops ``(N, heads, L, words)`` int32, and the keys ``(programs, L, 32 words)`` of the last matrices.
    """
    samples, heads, length = q.shape[:3]
    words = num_words(length)
    matrices = samples * heads
    if programs is None:
        programs = torch.cuda.get_device_properties(q.device).multi_processor_count if q.is_cuda else 1
    programs = min(programs, matrices)
    drops = torch.empty(samples, heads, length, words, dtype=torch.int32, device=q.device)
    keys = torch.empty(programs, length, words * WORD, device=q.device)
    draw_kernel[(programs,)](
        q,
        k,
        seed,
        keys,
        torch.empty_like(keys, dtype=torch.int32),
        drops,
        matrices,
        heads,
        length // 2,
        number,
        log2_scale(q),
        EPS,
        *q.stride()[:3],
        *k.stride()[:3],
        **tiles(q),
        CHUNK=CHUNK,
        num_warps=DRAW_WARPS,
    )
    return drops, keys


def attend(q: Tensor, k: Tensor, v: Tensor, drops: Tensor) -> tuple[Tensor, Tensor]:
    """Attention without the drops: ``(N, heads, L, D)``, a view of ``(N, L, heads, D)``, and the norms
    ``(N, heads, L)`` for the backward pass."""
    samples, heads, length, dims = q.shape
    out = q.new_empty(samples, length, heads, dims)
    norms = torch.empty(samples, heads, length, device=q.device)
    strides = [stride for tensor in (q, k, v) for stride in tensor.stride()[:3]]
    grid = (2 * triton.cdiv(length // 2, ROWS), samples * heads)
    attend_kernel[grid](q, k, v, drops, out, norms, heads, length // 2, log2_scale(q), *strides, **tiles(q))
    return out.transpose(1, 2), norms


def attend_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, drops: Tensor, out: Tensor, norms: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``q``, ``k`` and ``v``, views of ``(N, L, heads, D)``."""
    samples, heads, length, dims = q.shape
    deltas = (grad.float() * out.float()).sum(-1)
    grad = grad.transpose(1, 2).contiguous()
    q_grad, k_grad, v_grad = (q.new_empty(samples, length, heads, dims) for _ in range(3))
    sizes = (heads, length // 2, log2_scale(q))
    strides = [stride for tensor in (q, k, v) for stride in tensor.stride()[:3]]
    grid = (2 * triton.cdiv(length // 2, ROWS), samples * heads)
    given = (q, k, v, drops, norms, grad, deltas.contiguous())
    query_gradient_kernel[grid](*given, q_grad, *sizes, *strides, **tiles(q))
    grid = (2 * num_words(length), samples * heads)
    key_gradient_kernel[grid](*given, k_grad, v_grad, *sizes, *strides, **tiles(q))
    return q_grad.transpose(1, 2), k_grad.transpose(1, 2), v_grad.transpose(1, 2)
