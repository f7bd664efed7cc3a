"""Time a training step (forward, backward, AdamW) of DropMAE or SiamMAE against the reference's way, side by side.

The reference's DropMAE is that of its code (jimmy-dq/DropMAE@4de150d:models_mae.py), with explicit attention. In each
decoder block, it clones the logits, computes weights by a softmax, clears the diagonals matrix by matrix in a Python
loop, samples with ``torch.multinomial``, marks the drops with a scatter and two blocks of ones, and computes a second
softmax. The plain SiamMAE has explicit softmax attention. All have the same weights and batch and take turns. Figures
are medians. The references use torch's default AdamW, ours the fused one of our recipes. Before the timing, loss and
gradients without dropout are compared.

Example:
    python tools/benchmarks/pretraining_step.py dropmae                      # ViT-B/16, 224 px, batch 2, fp32
    python tools/benchmarks/pretraining_step.py siammae --batch 4            # ViT-S/16
    python tools/benchmarks/pretraining_step.py dropmae --device cuda --amp bfloat16 --batch 64
    python tools/benchmarks/pretraining_step.py dropmae --only-dropout --cpu-time --threads 1   # on a busy machine
"""

import argparse
import copy
import sys
import time
from types import MethodType

from mmvidmae.utils.interrupt import leave_on_interrupt


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('method', choices=('dropmae', 'siammae'))
    parser.add_argument('--arch', help="of the encoder (default: 'base' for DropMAE, 'small' for SiamMAE)")
    parser.add_argument('--img-size', type=int, default=224)
    parser.add_argument('--patch-size', type=int, default=16)
    parser.add_argument('--batch', type=int, default=2, help='pairs (default: %(default)s)')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--only-dropout', action='store_true', help='DropMAE: time only what shows the cost of dropout')
    parser.add_argument('--cpu-time', action='store_true', help='CPU seconds of all threads instead of wall time')
    parser.add_argument('--amp', choices=('bfloat16', 'float16'))
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import torch  # noqa: E402
from mmpretrain.models.utils import MultiheadAttention  # noqa: E402
from side_by_side import TrainingStep, describe_memory, machine, peak_memory, take_turns  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from mmvidmae.models.layers.blocks import CrossAttention  # noqa: E402
from mmvidmae.models.layers.spatial_dropout import (  # noqa: E402
    SpatialDropAttention,
    num_spatial_drops,
    sample_spatial_drops,
    spatial_drop_weights,
)
from mmvidmae.models.selfsup import DropMAE, SiamMAE  # noqa: E402


def explicit_self(attn: MultiheadAttention, x: Tensor, drop_mask: None = None) -> Tensor:
    """Self-attention that holds its matrix; with the reference's dropout where the module has one."""
    q, k, v = attn.qkv(x).unflatten(2, (3, attn.num_heads, attn.head_dims)).permute(2, 0, 3, 1, 4)
    logits = q @ k.transpose(-2, -1) * attn.head_dims**-0.5
    if getattr(attn, 'spatial_drop', 0.0):
        with torch.no_grad():
            drops = reference_drops(logits.detach().clone().flatten(0, 1), attn.spatial_drop)
        logits = logits.masked_fill(drops.view_as(logits) == 1, -torch.inf)
    return attn.proj((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))


def reference_drops(logits: Tensor, ratio: float) -> Tensor:
    """What the reference drops in matrices ``(N, L, L)``: 1 where attention is dropped."""
    length = logits.shape[-1]
    half = length // 2
    attn = logits.float().softmax(-1)
    match = torch.cat((attn[:, :half, half:].max(-1).values, attn[:, half:, :half].max(-1).values), dim=1) + 1e-6
    within = torch.cat((attn[:, :half, :half], attn[:, half:, half:]), dim=1)
    within = within + (-within.min(-1, keepdim=True).values).relu() + 1e-6
    for matrix in within:
        matrix[:half].fill_diagonal_(0)
        matrix[half:].fill_diagonal_(0)
    within = within / within.sum(-1, keepdim=True)
    weights = (match[..., None] * within).flatten(1)
    chosen = torch.multinomial(weights, num_spatial_drops(ratio, length))
    marks = torch.zeros_like(weights).scatter_(1, chosen, torch.ones_like(weights)).view_as(within)
    nothing = torch.zeros_like(marks[:, :half])
    return torch.cat(
        (torch.cat((marks[:, :half], nothing), dim=2), torch.cat((nothing, marks[:, half:]), dim=2)), dim=1
    )


@torch.no_grad()
def whole_batch_bias(attn: SpatialDropAttention, q: Tensor, k: Tensor) -> Tensor:
    """The same drops for the whole batch at once, by top-k and as a Boolean mask, which attention converts.

    This is what GPUs do without Triton's kernels, and what CPUs did before they drew in groups.
    """
    weights = spatial_drop_weights((q * attn.head_dims**-0.5 @ k.transpose(-2, -1)).float().softmax(-1))
    return ~sample_spatial_drops(weights, num_spatial_drops(attn.spatial_drop, q.shape[-2]))


def whole_batch(model: nn.Module) -> nn.Module:
    """A copy of a model that draws with :func:`whole_batch_bias`."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, SpatialDropAttention):
            module.asad_backend = 'torch'
            module.sample_drop_bias = MethodType(whole_batch_bias, module)
    return model


def explicit_cross(attn: CrossAttention, x: Tensor, memory: Tensor) -> Tensor:
    """Cross-attention that holds its matrix."""
    q = attn.q(x).unflatten(2, (attn.num_heads, -1)).transpose(1, 2)
    k, v = attn.kv(memory).unflatten(2, (2, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
    return attn.proj((weights @ v).transpose(1, 2).flatten(2))


def plain(model: nn.Module) -> nn.Module:
    """A copy of a model with explicit attention."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, MultiheadAttention):
            module.forward = MethodType(explicit_self, module)
        elif isinstance(module, CrossAttention):
            module.forward = MethodType(explicit_cross, module)
    return model


def altered(model: nn.Module, **changes: float | bool | str) -> nn.Module:
    """A copy of a model with other settings of its attention dropout: ``spatial_drop`` (P), ``share_heads``,
    ``asad_backend``."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, SpatialDropAttention):
            for name, value in changes.items():
                setattr(module, name, value)
            if module.share_heads:
                module.asad_backend = 'torch'
    return model


def check(ours: nn.Module, theirs: nn.Module, frames: Tensor) -> None:
    """Loss and gradients of two models in single precision."""
    rows, columns = ours.backbone.patch_resolution
    noise = torch.rand(len(frames), 2 * rows * columns, device=frames.device)
    results = []
    for model in (ours, theirs):
        loss = model.forward_pretrain(frames, noise).loss
        loss.backward()
        results.append((loss.item(), [p.grad for p in model.parameters() if p.grad is not None]))
        model.zero_grad(set_to_none=True)
    (loss, gradients), (other_loss, other_gradients) = results
    worst = max(
        ((a - b).norm() / a.norm().clamp(min=1e-6)).item() for a, b in zip(gradients, other_gradients, strict=True)
    )
    print(f'without dropout: losses {loss:.6f} and {other_loss:.6f}, gradients differ by {worst:.1e} at most')
    if abs(loss - other_loss) > 1e-4 * abs(loss) or worst > 1e-2:
        sys.exit('the two are not the same model')


def make_model(method: str, arch: str, img_size: int, patch_size: int, **options: bool) -> nn.Module:
    """A model in training mode, with the same weights each time."""
    torch.manual_seed(0)
    backbone = dict(arch=arch, img_size=img_size, patch_size=patch_size)
    return dict(dropmae=DropMAE, siammae=SiamMAE)[method](backbone=backbone, **options).train()


def candidates(model: nn.Module, only_dropout: bool = False) -> dict[str, nn.Module]:
    """What takes turns, by name: names that begin with ``ours`` have the optimizer of our recipes."""
    if only_dropout:
        return {
            'ours': model,
            'ours, whole batch by top-k': whole_batch(model),
            'ours, P = 0': altered(model, spatial_drop=0.0),
        }
    models = {'reference': plain(model), 'ours': model}
    if isinstance(model, DropMAE):
        models |= {
            'ours, whole batch by top-k': whole_batch(model),
            'ours, one mask for all heads': altered(model, share_heads=True),
            'reference, P = 0': altered(plain(model), spatial_drop=0.0),
            'ours, P = 0': altered(model, spatial_drop=0.0),
        }
    return models


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    if args.only_dropout and args.method != 'dropmae':
        parser.error('--only-dropout is for dropmae, the method with attention dropout')
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    arch = args.arch or ('base' if args.method == 'dropmae' else 'small')
    model = make_model(args.method, arch, args.img_size, args.patch_size).to(device)
    frames = torch.randn(args.batch, 2, 3, args.img_size, args.img_size, device=device)
    check(altered(model, spatial_drop=0.0), altered(plain(model), spatial_drop=0.0), frames)

    amp = getattr(torch, args.amp) if args.amp else None
    steps = {
        name: TrainingStep(candidate, frames, amp, fused=name.startswith('ours'))
        for name, candidate in candidates(model, args.only_dropout).items()
    }
    peaks = {name: peak_memory(step, device) for name, step in steps.items()} if device.type == 'cuda' else {}
    clock = time.process_time if args.cpu_time else time.perf_counter
    seconds = take_turns(steps, args.repeats, device, clock)

    print(f'{args.method} {arch}/{args.patch_size}, {args.img_size} px, batch {args.batch}, {args.amp or "float32"}')
    print(f'{machine(device)}, medians of {args.repeats}{", CPU time" if args.cpu_time else ""}')
    for name, value in seconds.items():
        memory = f'   {peaks[name]:6.2f} GiB above the weights' if peaks else ''
        print(f'{name:<30}{1000 * value:10.1f} ms   {args.batch / value:8.2f} pairs/s{memory}')
    if 'reference' in seconds:
        print(f'ours is {seconds["reference"] / seconds["ours"]:.2f} times as fast as the reference')
    for name, value in seconds.items():
        if name.startswith('ours') and name != 'ours, P = 0' and 'ours, P = 0' in seconds:
            print(f'{name}: {value / seconds["ours, P = 0"]:.2f} times as long as with P = 0')
    print(describe_memory(device))


if __name__ == '__main__':
    with leave_on_interrupt('What was measured is above; the rest was not.'):
        main()
