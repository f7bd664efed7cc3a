"""Parts of the GPU report (gpu_report.py). Each part measures and adds rows to the report."""

import argparse
import copy
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tools/experiments'))

import label_propagation  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import tracking  # noqa: E402
from gpu_rows import Rows  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.runner import Runner  # noqa: E402
from PIL import Image  # noqa: E402
from pretraining_step import altered, candidates, make_model, reference_drops  # noqa: E402
from side_by_side import TrainingStep, peak_memory, synchronize, take_turns  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.profiler import ProfilerActivity, profile, record_function  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from mmvidmae.deployment import parts_of, to_program  # noqa: E402
from mmvidmae.models.layers import (  # noqa: E402
    SpatialDropBlock,
    fused_spatial_dropout,
    num_spatial_drops,
    sample_spatial_drops,
    spatial_drop_weights,
)
from mmvidmae.models.layers.spatial_dropout import SpatialDropAttention  # noqa: E402
from mmvidmae.models.selfsup import DropMAE, SiamMAE, TwinMAE  # noqa: E402


class Sizes(NamedTuple):
    """Sizes of all measurements.

    Attributes:
        right: Arch, image side and pairs of the comparison with the CPU.
        amp_steps: Steps in each mixed precision.
        draws: Drop masks whose frequencies are compared.
        step: Arch, image side and pairs of the step of DropMAE and of SiamMAE.
        compile: How models are compiled: ``True``, or options of ``torch.compile``.
        matmul: Side of the square matrices that give the device's rate.
        repeats: Repetitions of each timed measurement.
        trackers: Arch, and pairs of template and search size.
        propagation: Arch, patch sizes, input size and frames.
        loading: Arch, image side, videos a batch, steps.
        learning: Arch, image side, pairs a step, decoder (width, depth, heads) and, if fixed, steps a method.
    """

    right: tuple[str, int, int]
    amp_steps: int
    draws: int
    step: dict[str, tuple[str, int, int]]
    compile: bool | dict[str, str]
    matmul: int
    repeats: int
    trackers: tuple[str, tuple[tuple[int, int], ...]]
    propagation: tuple[str, tuple[int, ...], tuple[int, int], int]
    loading: tuple[str, int, int, int]
    learning: tuple[str, int, int, tuple[int, int, int], int | None]


FULL = Sizes(
    right=('small', 112, 4),
    amp_steps=50,
    draws=200_000,
    step=dict(dropmae=('base', 224, 64), siammae=('small', 224, 128)),
    compile=True,
    matmul=8192,
    repeats=7,
    trackers=('base', ((192, 384), (128, 256))),
    propagation=('small', (16, 8), (480, 832), 12),
    loading=('base', 224, 64, 60),
    learning=('small', 112, 256, (512, 8, 16), None),
)
TINY = Sizes(
    right=('tiny', 96, 1),
    amp_steps=3,
    draws=2_000,
    step=dict(dropmae=('tiny', 96, 1), siammae=('tiny', 96, 1)),
    compile=dict(backend='eager'),
    matmul=256,
    repeats=1,
    trackers=('tiny', ((64, 128),)),
    propagation=('tiny', (16,), (64, 96), 3),
    loading=('tiny', 96, 2, 3),
    learning=('tiny', 96, 4, (64, 1, 2), 2),
)


class Part:
    """Settings, device and report rows of one part, and helpers that its measurements share.

    Args:
        name: Name of the part.
        args: Command line arguments of gpu_report.
    """

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        self.args = args
        self.deadline = time.monotonic() + args.seconds
        self.sizes = TINY if args.rehearse else FULL
        self.device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        self.amp_type = torch.bfloat16
        self.rows = Rows(args.out / 'gpu_report.json', args.commit, name)
        self.failures: list[str] = []
        self.out = args.out

    def check(self, what: str, value: float, limit: float, **row: Any) -> None:
        """Add a row with a figure that must not exceed a limit."""
        passed = bool(value <= limit)
        self.rows.add(what, ours=value, limit=limit, passed=passed, **row)
        if not passed:
            self.failures.append(f'{what}: {value:.3g}, at most {limit:.3g} expected')

    def autocast(self, dtype: torch.dtype | None) -> torch.autocast | nullcontext:
        return torch.autocast(self.device.type, dtype) if dtype else nullcontext()

    def frames(self, pairs: int, side: int, device: torch.device | None = None) -> Tensor:
        """The same normalized pairs at each call: smooth scenes with some noise, which a model can learn."""
        generator = torch.Generator().manual_seed(0)
        coarse = torch.randn(2 * pairs, 3, 6, 6, generator=generator)
        fine = nn.functional.interpolate(coarse, (side, side), mode='bicubic')
        noise = 0.1 * torch.randn(fine.shape, generator=generator)
        return (fine + noise).unflatten(0, (pairs, 2)).to(device or self.device)


def name_of(dtype: torch.dtype | None) -> str:
    return str(dtype or torch.float32).removeprefix('torch.')


def difference(ours: Tensor, reference: Tensor) -> float:
    """Norm of the difference, relative to that of the reference."""
    ours, reference = ours.detach().double().cpu(), reference.detach().double().cpu()
    return float((ours - reference).norm() / reference.norm().clamp(min=1e-12))


# --- right -----------------------------------------------------------------------------------------------------------


def right(part: Part) -> None:
    """Compare the device with the CPU."""
    torch.backends.cudnn.allow_tf32 = False  # PyTorch's default rounds the patch embedding's products
    for method in (DropMAE, TwinMAE, SiamMAE):
        compare_with_cpu(part, method)
    for dtype in (torch.float16, torch.bfloat16):
        stays_finite(part, dtype)
    dropout_is_right(part)
    propagation_is_right(part)
    tracking_is_right(part)
    marked_tests(part)


def compare_with_cpu(part: Part, method: type[nn.Module]) -> None:
    """Compare latents, predictions, loss and gradients of a float32 training step, with the same drop masks."""
    arch, side, pairs = part.sizes.right
    torch.manual_seed(0)
    model = method(backbone=dict(arch=arch, img_size=side)).train()
    frames = part.frames(pairs, side, torch.device('cpu'))
    tokens = 2 * (side // 16) ** 2
    noise = torch.rand(pairs, tokens)
    drops = None
    if issubclass(method, DropMAE) and model.neck.decoder_blocks[0].attn.spatial_drop:
        attn = model.neck.decoder_blocks[0].attn
        weights = torch.rand(pairs, attn.num_heads, tokens, tokens // 2)
        number = num_spatial_drops(attn.spatial_drop, tokens)
        drops = [sample_spatial_drops(weights, number) for _ in model.neck.decoder_blocks]
    results = []
    for device in (torch.device('cpu'), part.device):
        copied = copy.deepcopy(model).to(device)
        moved = None if drops is None else [drop.to(device) for drop in drops]
        out = copied.forward_pretrain(frames.to(device), noise.to(device), moved)
        out.loss.backward()
        gradients = torch.stack([p.grad.norm().cpu() for p in copied.parameters() if p.grad is not None])
        latent = torch.cat([latent.flatten() for latent in out.latent])
        results.append(dict(latents=latent, predictions=out.pred, loss=out.loss, gradient_norms=gradients))
    on_cpu, on_device = results
    for name, limit in dict(latents=1e-4, predictions=1e-4, loss=1e-5, gradient_norms=1e-3).items():
        part.check(
            f'{method.__name__}: {name.replace("_", " ")} against the CPU',
            difference(on_device[name], on_cpu[name]),
            limit,
            shapes=f'ViT-{arch}/16, {side} px, {pairs} pairs',
            dtype='float32',
            unit='relative difference',
        )


def stays_finite(part: Part, dtype: torch.dtype) -> None:
    """Check that the losses of DropMAE stay finite over some steps in mixed precision."""
    arch, side, pairs = part.sizes.right
    model = make_model('dropmae', arch, side, 16).to(part.device)
    step = TrainingStep(model, part.frames(pairs, side), dtype)
    losses = torch.stack([step() for _ in range(part.sizes.amp_steps)]).cpu()
    part.check(
        'DropMAE: losses that are not finite',
        float((~losses.isfinite()).sum()),
        0,
        shapes=f'ViT-{arch}/16, {side} px, {pairs} pairs, {len(losses)} steps',
        dtype=name_of(dtype),
        unit='steps',
        first_loss=float(losses[0]),
        last_loss=float(losses[-1]),
    )


def dropout_is_right(part: Part) -> None:
    """Compare number and frequencies of ASAD's drops on the device with sequential draws without replacement."""
    torch.manual_seed(0)
    tokens, draws = 12, part.sizes.draws
    logits = 2 * torch.randn(tokens, tokens)
    number = num_spatial_drops(0.3, tokens)
    weights = spatial_drop_weights(logits.softmax(-1)).to(part.device)
    masks = sample_spatial_drops(weights.expand(draws, -1, -1), number)
    theirs = reference_drops(logits.expand(min(draws, 20_000), -1, -1).contiguous(), 0.3)
    row = dict(shapes=f'{tokens} tokens, {draws} masks', dtype='float32')
    wrong = (masks.sum((1, 2)) != number).sum().item()
    part.check('ASAD: masks with another number of drops', wrong, 0, unit='masks', **row)
    ours, reference = masks.double().mean(0).cpu(), theirs.double().mean(0).cpu()
    share = (ours * draws + reference * len(theirs)) / (draws + len(theirs))
    deviation = (share * (1 - share) * (1 / draws + 1 / len(theirs))).sqrt().clamp(min=1e-6)
    largest = float(((ours - reference) / deviation).abs().max())
    part.check('ASAD: inclusion frequencies', largest, 5, unit='standard deviations, largest of all entries', **row)


@torch.no_grad()
def propagation_is_right(part: Part) -> None:
    """Compare the masks of label propagation on the device and on the CPU."""
    arch, patches, size, frames = part.sizes.propagation
    size = (size[0] // 2, size[1] // 2)
    model = label_propagation.make_model(arch, patches[0])
    on_cpu = label_propagation.Comparison(model, size, frames, 2).ours()
    on_device = label_propagation.Comparison(model.to(part.device), size, frames, 2).ours()
    worst = max((a.cpu() != b).float().mean().item() for a, b in zip(on_device, on_cpu))
    part.check(
        'label propagation: pixels that differ from the CPU',
        worst,
        1e-3,
        shapes=f'ViT-{arch}/{patches[0]}, {size[0]} x {size[1]}, {frames} frames',
        dtype='float32',
        unit='share of a frame',
    )


@torch.no_grad()
def tracking_is_right(part: Part) -> None:
    """Compare the boxes of DropTrack on the device and on the CPU."""
    arch, sizes = part.sizes.trackers
    model = tracking.make_tracker(arch, *sizes[-1])
    frames, box = tracking.make_video(4)
    on_cpu = np.array(tracking.track(model, frames, box))
    on_device = np.array(tracking.track(model.to(part.device), frames, box))
    part.check(
        'DropTrack: boxes against the CPU',
        float(np.abs(on_device - on_cpu).max()),
        0.1,
        shapes=f'ViT-{arch}/16, {sizes[-1][0]} and {sizes[-1][1]} px, 720p, 3 frames',
        dtype='float32',
        unit='pixels, largest difference',
    )


def marked_tests(part: Part) -> None:
    """Run the tests marked ``gpu``, without the fixtures of the suite, which need ffmpeg."""
    options = ('-m', 'gpu', '-q', '-p', 'no:cacheprovider', '--noconftest')
    command = [sys.executable, '-m', 'pytest', *options, 'tests/test_gpu.py']
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]))
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(run.stdout, run.stderr)
    last = next((line for line in reversed(run.stdout.splitlines()) if line.strip()), 'no output')
    part.check(f'tests marked gpu ({last.strip("= ")})', float(run.returncode), 0, unit='exit code')


# --- asad ------------------------------------------------------------------------------------------------------------


def asad(part: Part) -> None:
    """Triton's kernels of ASAD against PyTorch's path: agreement, one block, whole steps against P = 0."""
    kernels_agree(part)
    time_block(part)
    step_against_no_dropout(part)


def kernels_agree(part: Part) -> None:
    """Largest differences of the check that ``asad_backend='auto'`` makes."""
    if part.device.type != 'cuda':
        return
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        found = fused_spatial_dropout.check(part.device, dtype, 32)
        for name, value in found.items():
            part.rows.add(
                f'ASAD, Triton against PyTorch: {name}',
                ours=value,
                shapes='34 tokens, head dimensions 32',
                dtype=name_of(dtype),
                unit='entries' if name == 'choice' else 'largest difference, relative to the largest value',
            )


def backends(part: Part) -> dict[str, dict[str, Any]]:
    """Settings of the attention in the forms that are compared. Without a GPU, PyTorch stands in for Triton."""
    kernels = 'triton' if part.device.type == 'cuda' else 'auto'
    return {
        'triton': dict(asad_backend=kernels),
        'torch': dict(asad_backend='torch'),
        'P = 0': dict(spatial_drop=0.0),
    }


def time_block(part: Part) -> None:
    """Forward and backward pass of one block of DropMAE's decoder."""
    _, side, pairs = part.sizes.step['dropmae']
    blocks = {}
    x = torch.randn(pairs, 2 * (side // 16) ** 2, 512, device=part.device, requires_grad=True)
    for name, settings in backends(part).items():
        torch.manual_seed(0)
        blocks[name] = SpatialDropBlock(512, 16, 2048, **(dict(spatial_drop=0.1) | settings)).to(part.device).train()

    def step(block: nn.Module) -> None:
        with part.autocast(part.amp_type):
            out = block(x)
        out.sum().backward()

    calls = {name: partial(step, block) for name, block in blocks.items()}
    peaks = {name: peak_memory(call, part.device) for name, call in calls.items()} if part.device.type == 'cuda' else {}
    seconds = take_turns(calls, 3 * part.sizes.repeats, part.device)
    for name in ('triton', 'torch'):
        part.rows.add(
            f'decoder block, forward and backward: {name} against P = 0',
            shapes=f'{pairs} pairs, {x.shape[1]} tokens, width 512, 16 heads',
            dtype=name_of(part.amp_type),
            unit='ms',
            reference=1e3 * seconds['P = 0'],
            ours=1e3 * seconds[name],
            ratio=seconds[name] / seconds['P = 0'],
            meaning='times as long as with P = 0',
            memory_gib=peaks.get(name),
        )


def step_against_no_dropout(part: Part) -> None:
    """A training step of DropMAE with each backend, as often as long as without dropout."""
    arch, side, pairs = part.sizes.step['dropmae']
    model = make_model('dropmae', arch, side, 16).to(part.device)
    frames = part.frames(pairs, side)
    forms = {
        name: TrainingStep(altered(model, **settings), frames, part.amp_type)
        for name, settings in backends(part).items()
    }
    peaks = {name: peak_memory(form, part.device) for name, form in forms.items()} if part.device.type == 'cuda' else {}
    seconds = take_turns(forms, part.sizes.repeats, part.device)
    for name in ('triton', 'torch'):
        part.rows.add(
            f'dropmae step: {name} against P = 0',
            shapes=f'ViT-{arch}/16, {side} px, {pairs} pairs',
            dtype=name_of(part.amp_type),
            unit='ms',
            reference=1e3 * seconds['P = 0'],
            ours=1e3 * seconds[name],
            ratio=seconds[name] / seconds['P = 0'],
            meaning='times as long as with P = 0, at most 1.10 wanted for triton',
            memory_gib=peaks.get(name),
        )


# --- steps -----------------------------------------------------------------------------------------------------------


def steps(part: Part) -> None:
    """Time all forms of the mixed-precision training steps of DropMAE and SiamMAE, and profile a step."""
    rate = matrix_rate(part)
    for method in ('dropmae', 'siammae'):
        compare_steps(part, method, rate)
    profile_step(part)


def matrix_rate(part: Part) -> float:
    """Measured rate of a large matrix product in FLOP/s."""
    side = part.sizes.matmul
    a, b = (torch.randn(side, side, device=part.device, dtype=part.amp_type) for _ in range(2))
    seconds = take_turns({'product': lambda: a @ b}, 3 * part.sizes.repeats, part.device)['product']
    rate = 2 * side**3 / seconds
    part.rows.add(
        'matrix product', shapes=f'{side} x {side} x {side}', dtype=name_of(a.dtype), unit='TFLOP/s', ours=rate / 1e12
    )
    return rate


def compare_steps(part: Part, method: str, rate: float) -> None:
    """Measure pairs per second and memory of each form of a step, and our share of the device's matrix rate."""
    arch, side, pairs = part.sizes.step[method]
    model = make_model(method, arch, side, 16).to(part.device)
    frames = part.frames(pairs, side)
    forms = {
        name: TrainingStep(form, frames, part.amp_type, fused=name.startswith('ours'))
        for name, form in candidates(model).items()
    }
    with FlopCounterMode(display=False) as counter:
        forms['ours']()
    operations = counter.get_total_flops()
    peaks = {name: peak_memory(form, part.device) for name, form in forms.items()} if part.device.type == 'cuda' else {}
    seconds = take_turns(forms, part.sizes.repeats, part.device)
    for name, value in seconds.items():
        if name == 'reference':
            continue
        part.rows.add(
            f'{method} step: {name}',
            shapes=f'ViT-{arch}/16, {side} px, {pairs} pairs',
            dtype=name_of(part.amp_type),
            unit='pairs/s',
            reference=pairs / seconds['reference'],
            ours=pairs / value,
            ratio=seconds['reference'] / value,
            memory_gib=peaks.get(name),
            reference_memory_gib=peaks.get('reference'),
            seconds=value,
            share_of_matrix_rate=operations / value / rate if name == 'ours' else None,
            against_no_dropout=value / seconds.get('ours, P = 0', value),
        )


def profile_step(part: Part) -> None:
    """Profile a step of DropMAE: the most expensive kernels, and the share of sampling the drop masks."""
    arch, side, pairs = part.sizes.step['dropmae']
    model = altered(make_model('dropmae', arch, side, 16), asad_backend='torch').to(part.device)

    def recorded(attn: SpatialDropAttention, q: Tensor, k: Tensor) -> Tensor | None:
        with record_function('ASAD'):
            return type(attn).sample_drop_bias(attn, q, k)

    for module in model.modules():
        if isinstance(module, SpatialDropAttention):
            module.sample_drop_bias = MethodType(recorded, module)
    step = TrainingStep(model, part.frames(pairs, side), part.amp_type)
    step()
    synchronize(part.device)
    on_gpu = part.device.type == 'cuda'
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    with profile(activities=activities) as profiler:
        step()
        synchronize(part.device)
    events = profiler.key_averages()
    # on a GPU the rows of kernels have no time of the CPU; on a CPU the operators are the kernels
    kernels = [e for e in events if e.key != 'ASAD' and (e.device_type.name == 'CUDA' or not on_gpu)]
    time_of = (lambda e: e.self_device_time_total) if on_gpu else (lambda e: e.self_cpu_time_total)
    total = sum(map(time_of, kernels))
    shapes = f'ViT-{arch}/16, {side} px, {pairs} pairs'
    row = dict(shapes=shapes, dtype=name_of(part.amp_type), unit='ms of one step')
    drawn = sum(e.device_time_total if on_gpu else e.cpu_time_total for e in events if e.key == 'ASAD')
    part.rows.add(
        'dropmae step: choosing the drops (ASAD, PyTorch)', ours=drawn / 1e3, share_of_step=drawn / total, **row
    )
    for event in sorted(kernels, key=time_of, reverse=True)[:10]:
        spent = time_of(event)
        part.rows.add(
            f'dropmae step: kernel {event.key[:120]}',
            ours=spent / 1e3,
            calls=event.count,
            share_of_step=spent / total,
            **row,
        )


def compiled(part: Part) -> None:
    """The same steps through ``torch.compile``."""
    for method in ('dropmae', 'siammae'):
        arch, side, pairs = part.sizes.step[method]
        frames = part.frames(pairs, side)
        forms = {
            name: TrainingStep(
                make_model(method, arch, side, 16, compile=options).to(part.device), frames, part.amp_type
            )
            for name, options in dict(eager=False, compiled=part.sizes.compile).items()
        }
        start = time.perf_counter()
        forms['compiled']()
        synchronize(part.device)
        compile_seconds = time.perf_counter() - start
        on_gpu = part.device.type == 'cuda'
        peak = peak_memory(forms['compiled'], part.device) if on_gpu else None
        seconds = take_turns(forms, part.sizes.repeats, part.device)
        part.rows.add(
            f'{method} step: compiled against eager',
            shapes=f'ViT-{arch}/16, {side} px, {pairs} pairs',
            dtype=name_of(part.amp_type),
            unit='pairs/s',
            reference=pairs / seconds['eager'],
            ours=pairs / seconds['compiled'],
            ratio=seconds['eager'] / seconds['compiled'],
            memory_gib=peak,
            compile_seconds=compile_seconds,
        )


def exported(part: Part) -> None:
    """DropTrack as a program of ``torch.export`` and, on a GPU, compiled ahead of time by AOTInductor, against eager.

    onnxruntime for GPUs is a package of its own and not measured.
    """
    arch, sizes = part.sizes.trackers
    for template, search in sizes:
        model = tracking.make_tracker(arch, template, search)
        (graph,) = parts_of(model)
        program = to_program(graph, part.device)
        inputs = [value.to(part.device) for value in graph.make_inputs(True).values()]
        forms: dict[str, Callable[..., Any]] = {'eager': graph.module, 'torch.export': program.module()}
        start = time.perf_counter()
        if part.device.type == 'cuda':
            with tempfile.TemporaryDirectory() as folder:
                package = torch._inductor.aoti_compile_and_package(program, package_path=f'{folder}/tracker.pt2')
                forms['AOTInductor'] = torch._inductor.aoti_load_package(package)
        compile_seconds = time.perf_counter() - start
        with torch.no_grad():
            expected = forms['eager'](*inputs)
            ways = {name: partial(form, *inputs) for name, form in forms.items()}
            seconds = take_turns(ways, 3 * part.sizes.repeats, part.device)
            for name in [name for name in forms if name != 'eager']:
                row = dict(shapes=f'ViT-{arch}/16, {template} and {search} px, {len(inputs[0])} targets')
                off = max((ours - theirs).abs().max().item() for ours, theirs in zip(ways[name](), expected))
                part.check(f'DropTrack, {name}: difference from eager', off, 1e-2, **row)
                part.rows.add(
                    f'DropTrack, network, {name}',
                    unit='targets/s',
                    dtype=name_of(None),
                    reference=len(inputs[0]) / seconds['eager'],
                    ours=len(inputs[0]) / seconds[name],
                    ratio=seconds['eager'] / seconds[name],
                    compile_seconds=compile_seconds if name == 'AOTInductor' else None,
                    **row,
                )


# --- trackers and propagation ----------------------------------------------------------------------------------------


def trackers(part: Part) -> None:
    """DropTrack against its authors' way; its network with one and eight targets, plain and as a CUDA graph."""
    arch, sizes = part.sizes.trackers
    for template, search in sizes:
        model = tracking.make_tracker(arch, template, search).to(part.device)
        shapes = f'ViT-{arch}/16, {template} and {search} px'
        for dtype in (None, torch.float16):
            if dtype is None or part.device.type == 'cuda':
                off, seconds = tracking.compare(model, 4, part.sizes.repeats, amp=dtype is not None)
                part.rows.add(
                    'DropTrack, whole, one target',
                    shapes=f'{shapes}, 720p',
                    dtype=name_of(dtype),
                    unit='frames/s',
                    reference=1 / seconds['plain'],
                    ours=1 / seconds['ours'],
                    ratio=seconds['plain'] / seconds['ours'],
                    largest_box_difference_px=off,
                )
            network_speed(part, model, template, search, dtype, shapes)


@torch.no_grad()
def network_speed(
    part: Part, model: nn.Module, template: int, search: int, dtype: torch.dtype | None, shapes: str
) -> None:
    """Targets a second of the network with one and with eight targets, plain and as a CUDA graph."""
    one = None
    for targets in (1, 8):
        inputs = [torch.randn(targets, 3, side, side, device=part.device) for side in (template, search)]

        def run(inputs: list[Tensor] = inputs) -> tuple[Tensor, Tensor]:
            context = torch.autocast(part.device.type, dtype, cache_enabled=False) if dtype else nullcontext()
            with context:
                return model.head.locate(model.backbone(*inputs, model.ce_template_cells).search, model.window)

        ways: dict[str, Callable[[], object]] = {'plain': run}
        if part.device.type == 'cuda':
            ways['CUDA graph'] = captured(run)
        seconds = take_turns(ways, 3 * part.sizes.repeats, part.device)
        one = one or seconds['plain']
        for name, value in seconds.items():
            part.rows.add(
                f'DropTrack, network, {targets} targets, {name}',
                shapes=shapes,
                dtype=name_of(dtype),
                unit='targets/s',
                reference=1 / one,
                ours=targets / value,
                ratio=targets * one / value,
            )


def captured(run: Callable[[], object]) -> Callable[[], object]:
    """A function's work as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def propagation(part: Part) -> None:
    """Compare the speed of label propagation with the plain implementation."""
    arch, patches, size, frames = part.sizes.propagation
    for patch in patches:
        comparison = label_propagation.Comparison(
            label_propagation.make_model(arch, patch).to(part.device), size, frames, num_objects=3
        )
        results = comparison.measure(part.sizes.repeats)
        for name in ('propagation, full queue', 'features', 'whole'):
            seconds = results[name]
            part.rows.add(
                f'label propagation: {name}',
                shapes=f'ViT-{arch}/{patch}, {size[0]} x {size[1]}, 3 objects',
                dtype='float32',
                unit='frames/s',
                reference=1 / seconds['plain'],
                ours=1 / seconds['ours'],
                ratio=seconds['plain'] / seconds['ours'],
            )


# --- loading and learning --------------------------------------------------------------------------------------------


def frame_folders(part: Part, folder: Path) -> Path:
    """The folder of ``--frames``, or synthetic frame folders."""
    if part.args.frames:
        return part.args.frames.resolve()
    rng = np.random.default_rng(0)
    for number in range(8):
        scene = np.kron(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
        for frame in range(12):
            path = folder / f'{number}' / f'{frame:03d}.jpg'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.roll(scene, 3 * frame, 1)).save(path)
    return folder


def make_runner(part: Part, config: Config, name: str, folder: Path, steps: int) -> Runner:
    """Make a runner that pre-trains on frame folders for some steps."""
    workers = 2 if part.args.rehearse else max(min(14, (os.cpu_count() or 4) - 2), 1)
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    config.test_cfg = config.test_dataloader = config.test_evaluator = None
    loader = config.train_dataloader
    loader.update(num_workers=workers, persistent_workers=True, drop_last=True)
    # repeat the clips in the list, so that batches are full and epochs are long
    clips = sorted({path.parent.relative_to(folder).as_posix() for path in folder.rglob('*.jpg')})
    needed = loader.batch_size * loader.dataset.get('repeated_sampling', 1) * 100
    listed = part.out.resolve() / 'clips.txt'
    listed.write_text(''.join(f'{clip}\n' for clip in clips) * -(-needed // len(clips)))
    loader.dataset.update(type='mmvidmae.FramePairDataset', data_root=str(folder), ann_file=str(listed))
    loader.dataset.pop('data_prefix', None)
    config.train_cfg = dict(by_epoch=False, max_iters=steps)
    warmup = max(steps // 10, 1)
    config.param_scheduler = [
        dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=warmup),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=warmup, end=steps, T_max=max(steps - warmup, 1)),
    ]
    config.optim_wrapper.type = 'AmpOptimWrapper' if part.device.type == 'cuda' else 'OptimWrapper'
    if part.device.type == 'cuda':
        config.optim_wrapper.dtype = 'bfloat16'
    config.custom_hooks = [hook for hook in config.custom_hooks if 'Vis' not in hook.type]
    config.default_hooks.checkpoint.update(interval=steps, by_epoch=False, save_last=False)
    config.default_hooks.logger.interval = max(steps // 20, 1)
    config.work_dir, config.experiment_name = str(part.out / name), f'{name}-{steps}'
    return Runner.from_cfg(config)


def train(runner: Runner) -> None:
    """Train, then end the loader's processes.

    The garbage collector would wait for them: it may close the queues that tell them to end, and then each notices only
    after 5 seconds.
    """
    runner.train()
    runner.train_dataloader._iterator._shutdown_workers()


def history(runner: Runner, name: str) -> np.ndarray:
    return np.asarray(runner.message_hub.get_scalar(f'train/{name}').data[0])


def loading(part: Part) -> None:
    """Pre-train the full recipe's model from JPEG folders; measure the share of a step spent waiting for data."""
    arch, side, batch, steps = part.sizes.loading
    config = Config.fromfile(ROOT / 'configs/dropmae/dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400.py')
    config.model.backbone.update(arch=arch, img_size=side)
    config.train_dataloader.dataset.pipeline[2].size = side
    config.train_dataloader.batch_size = batch
    with tempfile.TemporaryDirectory() as scratch:
        folder = frame_folders(part, Path(scratch))
        runner = make_runner(part, config, 'loading', folder, steps)
        train(runner)
    first = len(history(runner, 'time')) // 3  # the first steps start the workers
    seconds, waiting = (history(runner, name)[first:].mean() for name in ('time', 'data_time'))
    part.rows.add(
        'DropMAE from JPEG folders: share of a step that waits for data',
        shapes=f'ViT-{arch}/16, {side} px, {batch} pairs, {config.train_dataloader.num_workers} workers',
        dtype=name_of(part.amp_type) if part.device.type == 'cuda' else 'float32',
        unit='share',
        ours=float(waiting / seconds),
        pairs_a_second=float(batch / seconds),
        milliseconds_a_step=float(1e3 * seconds),
    )


def learning(part: Part) -> None:
    """Train four methods for the same number of steps; J&F of the frozen encoders before and after."""
    from frozen_scores import propagation_scores

    arch, side, pairs, decoder, fixed = part.sizes.learning
    methods = ('siammae', 'mae', 'dropmae', 'twinmae')
    with tempfile.TemporaryDirectory() as scratch:
        folder = frame_folders(part, Path(scratch, 'frames'))
        davis = part.args.davis or made_up_davis(Path(scratch, 'davis'))

        def runner_of(method: str, steps: int) -> Runner:
            config = Config.fromfile(ROOT / f'configs/small/{method}_vit-tiny6-p8_1xb8-coslr-20e_clips.py')
            config.model.backbone.arch = arch
            config.model.backbone.update(img_size=side, patch_size=16)
            config.model.neck.update(dict(zip(('decoder_dims', 'depth', 'num_heads'), decoder)))
            config.train_dataloader.dataset.pipeline[2].size = side
            config.train_dataloader.batch_size = pairs // config.train_dataloader.dataset.repeated_sampling
            return make_runner(part, config, f'learning-{method}', folder, steps)

        steps = fixed or affordable_steps(part, runner_of, methods)
        for method in methods:
            runner = runner_of(method, steps)
            runner.model.init_weights()
            size = dict(short_side=96 if part.args.rehearse else 240, divisor=16, frames=20)
            backbone = runner.model.backbone
            before = propagation_scores(backbone, str(davis), **size)
            start = time.perf_counter()
            train(runner)
            minutes = (time.perf_counter() - start) / 60
            after = propagation_scores(runner.model.backbone.eval(), str(davis), **size)
            losses = history(runner, 'loss')
            for protocol in before:
                part.rows.add(
                    f'{method}: frozen J&F ({protocol}), random weights and trained',
                    shapes=f'ViT-{arch}/16, {side} px, {pairs} pairs, {steps} steps',
                    unit='J&F',
                    reference=before[protocol]['J&F-Mean'],
                    ours=after[protocol]['J&F-Mean'],
                    minutes=minutes,
                    first_loss=float(losses[: max(steps // 20, 1)].mean()),
                    last_loss=float(losses[-max(steps // 20, 1) :].mean()),
                    data='made up' if part.args.davis is None else str(davis),
                )


def affordable_steps(part: Part, runner_of: Callable[[str, int], Runner], methods: tuple[str, ...]) -> int:
    """Steps per method that fit into the time left, with a reserve for scores and start-up.

    The speed is that of a few steps of DropMAE, the slowest method.
    """
    runner = runner_of('dropmae', 40)
    train(runner)
    seconds = float(history(runner, 'time')[20:].mean())
    left = part.deadline - time.monotonic() - 15 * len(methods) - 10
    return max(int(left / len(methods) / seconds), 20)


def made_up_davis(root: Path) -> Path:
    """Write a video of a moving square in the layout of DAVIS."""
    rng = np.random.default_rng(0)
    scene, texture = (rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((96, 128, 3), (32, 32, 3)))
    for frame in range(6):
        image, mask = scene.copy(), np.zeros(scene.shape[:2], np.uint8)
        square = np.s_[32:64, 8 + 8 * frame : 40 + 8 * frame]
        image[square], mask[square] = texture, 1
        for folder, suffix, array in (('JPEGImages', 'jpg', image), ('Annotations', 'png', mask)):
            path = root / folder / '480p' / 'square' / f'{frame:05d}.{suffix}'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    return root


PARTS: dict[str, Callable[[Part], None]] = dict(
    right=right,
    asad=asad,
    steps=steps,
    compiled=compiled,
    exported=exported,
    trackers=trackers,
    propagation=propagation,
    loading=loading,
    learning=learning,
)


def run(name: str, args: argparse.Namespace) -> None:
    """Run a part.

    Raises:
        SystemExit: If a check fails, or if there is no GPU and ``--rehearse`` is not given.
    """
    if not args.rehearse and not torch.cuda.is_available():
        sys.exit('there is no GPU: --rehearse runs everything on a CPU, at tiny sizes')
    if args.rehearse:
        torch.set_num_threads(1)
    part = Part(name, args)
    PARTS[name](part)
    if part.failures:
        sys.exit('not right: ' + '; '.join(part.failures))
