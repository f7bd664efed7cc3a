"""ASAD on GPUs as two custom operators, whose Triton kernels are in ``spatial_dropout_kernels``.

``mmvidmae::draw_spatial_drops`` chooses the drops of queries and keys and has no gradient. Its random numbers follow
from a seed alone. ``mmvidmae::spatial_drop_attention`` attends to what remains and has one. Both work in
``torch.compile``, mixed precision, gradient checkpointing, DDP and FSDP as built-in operators do.

Import this module only where :func:`asad_backends.available` says so.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .asad_backends import interpreted
from .spatial_drop_law import num_spatial_drops, spatial_drop_weights


@torch.library.custom_op('mmvidmae::draw_spatial_drops', mutates_args=())
def draw_spatial_drops(q: Tensor, k: Tensor, seed: Tensor, number: int) -> Tensor:
    """Draw the entries to drop in each matrix of attention, by the law of ``sample_spatial_drops``.

    Args:
        q: Queries ``(N, heads, L, D)`` on a GPU.
        k: Keys ``(N, heads, L, D)``.
        seed: Seed ``(1,)`` int64 on the device. A matrix is drawn from seed, sample, head and its own queries and keys.
        number: Number of entries to drop in each matrix, 1 to ``L (L / 2 - 1)``.

    Returns:
        Drops as bits, ``(N, heads, L, words)`` int32; :func:`unpack` gives a Boolean mask.
    """
    from .spatial_dropout_kernels import draw

    return draw(_for_kernels(q), _for_kernels(k), seed, number)[0]


@draw_spatial_drops.register_fake
def _(q: Tensor, k: Tensor, seed: Tensor, number: int) -> Tensor:
    return q.new_empty(*q.shape[:3], (q.shape[2] // 2 + 31) // 32, dtype=torch.int32)


@torch.library.custom_op('mmvidmae::spatial_drop_attention', mutates_args=())
def spatial_drop_attention(q: Tensor, k: Tensor, v: Tensor, drops: Tensor) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention without the entries of :func:`draw_spatial_drops`.

    Args:
        q: Queries ``(N, heads, L, D)`` on a GPU.
        k: Keys ``(N, heads, L, D)``.
        v: Values ``(N, heads, L, D)``.
        drops: Drops as bits, ``(N, heads, L, words)`` int32.

    Returns:
        Output ``(N, heads, L, D)``, and binary logarithms of the softmax's sums ``(N, heads, L)``.
    """
    from .spatial_dropout_kernels import attend

    out, norms = attend(_for_kernels(q), _for_kernels(k), _for_kernels(v), drops)
    return out.to(q.dtype), norms


@spatial_drop_attention.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, drops: Tensor) -> tuple[Tensor, Tensor]:
    return _like_tokens(q), q.new_empty(q.shape[:3], dtype=torch.float32)


@torch.library.custom_op('mmvidmae::spatial_drop_attention_backward', mutates_args=())
def spatial_drop_attention_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, drops: Tensor, out: Tensor, norms: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values of :func:`spatial_drop_attention`."""
    from .spatial_dropout_kernels import attend_backward

    grad, queries, keys, values = (_for_kernels(tensor) for tensor in (grad, q, k, v))
    q_grad, k_grad, v_grad = attend_backward(grad, queries, keys, values, drops, out, norms)
    return q_grad.to(q.dtype), k_grad.to(q.dtype), v_grad.to(q.dtype)


@spatial_drop_attention_backward.register_fake
def _(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, drops: Tensor, out: Tensor, norms: Tensor) -> tuple[Tensor, ...]:
    return _like_tokens(q), _like_tokens(q), _like_tokens(q)


def _like_tokens(q: Tensor) -> Tensor:
    """An empty tensor of the shape of queries whose memory is in the order of tokens, ``(N, L, heads, D)``."""
    samples, heads, length, dims = q.shape
    return q.new_empty(samples, length, heads, dims).transpose(1, 2)


def _save(ctx, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*inputs, *output)


def _backward(ctx, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    return *spatial_drop_attention_backward(grad, *ctx.saved_tensors), None


spatial_drop_attention.register_autograd(_backward, setup_context=_save)


def _for_kernels(tensor: Tensor) -> Tensor:
    """The tensor as the kernels read it: its last dimension is contiguous, and the interpreter, which cannot multiply
    bfloat16, gets float32."""
    if tensor.dtype == torch.bfloat16 and interpreted():
        tensor = tensor.float()
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def unpack(drops: Tensor) -> Tensor:
    """Boolean mask ``(N, heads, L, L)`` of drops as bits ``(N, heads, L, words)``."""
    length = drops.shape[2]
    half = length // 2
    bits = (drops[..., None] >> torch.arange(32, device=drops.device)) & 1
    within = bits.flatten(-2)[..., :half].bool()
    mask = within.new_zeros(*drops.shape[:2], length, length)
    mask[..., :half, :half] = within[..., :half, :]
    mask[..., half:, half:] = within[..., half:, :]
    return mask


def check(device: torch.device, dtype: torch.dtype, dims: int) -> dict[str, float]:
    """Compare the kernels with PyTorch on a small draw.

    The same keys must give the same choice, keys must be exponential numbers divided by the weights of the law, and
    attention and gradients must agree.

    Args:
        device: Where to compare.
        dtype: Type of queries, keys and values.
        dims: Dimensions of a head.

    Returns:
        The largest differences, by name, relative to the largest value.

    Raises:
        RuntimeError: If a difference is too large.
    """
    from .spatial_dropout_kernels import draw

    half, heads = 17, 2
    number = num_spatial_drops(0.3, 2 * half)
    generator = torch.Generator().manual_seed(0)
    q, k, v, grad = torch.randn(4, 2, heads, 2 * half, dims, generator=generator).to(device, dtype)
    seed = torch.zeros(1, dtype=torch.int64, device=device)
    drops, keys = draw(_for_kernels(q), _for_kernels(k), seed, number, programs=len(q) * heads)
    keys = keys[..., :half].unflatten(0, (-1, heads))
    mask = unpack(drops)
    within = torch.cat((mask[..., :half, :half], mask[..., half:, half:]), dim=-2)
    expected = torch.zeros_like(within).flatten(-2)
    expected.scatter_(-1, keys.flatten(-2).topk(number, largest=False).indices, True)

    def exponentials(q: Tensor, k: Tensor, keys: Tensor) -> Tensor:
        weights = spatial_drop_weights((q.float() @ k.float().mT * dims**-0.5).softmax(-1))
        return torch.where(weights > 0, keys * weights, 0)

    flat_keys = draw(_for_kernels(torch.zeros_like(q)), _for_kernels(k), seed, number, programs=len(q) * heads)[1]
    flat = exponentials(torch.zeros_like(q), k, flat_keys[..., :half].unflatten(0, (-1, heads)))
    found = {
        'choice': float((within.flatten(-2) != expected).sum()),
        'exponential numbers': _difference(exponentials(q, k, keys), flat),
    }
    results = []
    for attend in (
        lambda q, k, v: spatial_drop_attention(q, k, v, drops)[0],
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=~mask),
    ):
        leaves = [tensor.detach().clone().requires_grad_() for tensor in (q, k, v)]
        out = attend(*leaves)
        out.backward(grad)
        results.append([out, *(leaf.grad for leaf in leaves)])
    for name, ours, reference in zip(('output', 'gradient of q', 'gradient of k', 'gradient of v'), *results):
        found[name] = _difference(ours, reference)
    limits = dict.fromkeys(found, 1e-5 if dtype == torch.float32 else 2e-2) | {'choice': 0, 'exponential numbers': 1e-3}
    for name, value in found.items():
        if not value <= limits[name]:
            raise RuntimeError(f'{name} differ by {value:.1e} from PyTorch, at most {limits[name]:.0e} is right')
    return found


def _difference(ours: Tensor, reference: Tensor) -> float:
    ours, reference = ours.detach().double(), reference.detach().double()
    return float((ours - reference).abs().max() / reference.abs().max())
