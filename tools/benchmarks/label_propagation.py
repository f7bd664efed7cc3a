"""Time label propagation against a plain implementation of DINO's protocol, side by side in one process.

The plain implementation follows DINO's evaluation code (facebookresearch/dino, eval_video_segmentation.py): explicit
softmax attention for one frame at a time, a window mask of all pairs of cells, the exponential of all similarities, a
top-k over the whole context, and a product with the labels. Both have the same weights and frames and take turns.
Figures are medians. The results are compared first.

Example:
    python tools/benchmarks/label_propagation.py                  # ViT-S/16 at 480 x 832, 2 threads
    python tools/benchmarks/label_propagation.py --patch-size 8 --frames 10
    python tools/benchmarks/label_propagation.py --device cuda
"""

import argparse
import copy
import time
from functools import partial

from mmvidmae.utils.interrupt import leave_on_interrupt


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', default='small', help='ViT of the package (default: %(default)s)')
    parser.add_argument('--patch-size', type=int, default=16)
    parser.add_argument('--size', type=int, nargs=2, default=(480, 832), metavar=('H', 'W'), help='of the input')
    parser.add_argument('--frames', type=int, default=12, help='of the video; the queue is full after 8')
    parser.add_argument('--objects', type=int, default=3)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--no-plain', action='store_true', help='only ours, such as to see its memory')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from side_by_side import describe_memory, machine, take_turns  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from mmvidmae.models.propagation import LabelPropagator, MaskLabels, PropagationContext  # noqa: E402
from mmvidmae.models.propagation.labels import min_max  # noqa: E402


def explicit_attention(attn: nn.Module, x: Tensor) -> Tensor:
    """Attention that holds its matrix of weights, with the weights of a module of mmpretrain."""
    q, k, v = attn.qkv(x).unflatten(2, (3, attn.num_heads, attn.head_dims)).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-2, -1) * attn.head_dims**-0.5).softmax(-1)
    return attn.proj((weights @ v).transpose(1, 2).flatten(2))


class PlainPropagation:
    """DINO's protocol, plainly."""

    def __init__(self, model: LabelPropagator) -> None:
        self.model = copy.deepcopy(model)
        for layer in self.model.backbone.layers:
            layer.attn.forward = partial(explicit_attention, layer.attn)
        self.protocol = model.protocol
        self.window = None

    def features(self, frame: Tensor) -> Tensor:
        """``(3, H, W)`` to ``(hw, C)``."""
        return self.model.extract_feat(frame[None])[0].flatten(1).T.contiguous()

    def make_window(self, grid: tuple[int, int], device: torch.device) -> Tensor:
        """1 for the pairs of cells within the window: ``(hw, hw)``."""
        height, width = grid
        radius = self.protocol.radius
        window = torch.zeros(height, width, height, width)
        for y in range(height):
            for x in range(width):
                window[y, x, max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] = 1
        return window.reshape(height * width, height * width).to(device)

    def propagate(self, target: Tensor, context: list[Tensor], labels: list[Tensor]) -> Tensor:
        """Labels ``(hw, C)``, ``n (hw, C)`` and ``n (K, hw)`` to ``(K, hw)``."""
        sources = torch.stack(context)
        affinity = torch.exp(torch.bmm(target.expand_as(sources), sources.mT) / self.protocol.temperature)
        affinity *= self.window[None]
        affinity = affinity.transpose(1, 2).flatten(0, 1)  # sources by targets
        least = affinity.topk(self.protocol.topk, dim=0).values.amin(0)
        affinity[affinity < least] = 0
        affinity = affinity / affinity.sum(0, keepdim=True)
        return torch.cat(labels, dim=1) @ affinity

    def decode(self, soft: Tensor, size: tuple[int, int]) -> Tensor:
        """Ids ``(H, W)`` of soft labels ``(K, h, w)``."""
        return min_max(F.interpolate(soft[None], size, mode='bilinear')[0], dim=(1, 2)).argmax(0)


class Comparison:
    """A made-up video and what propagates its labels, plainly and as ours does.

    Args:
        model: Ours, in protocol ``'dino'``, on the device.
        size: Height and width of the frames in pixels.
        num_frames: At least 3; the queue is full after 8.
        num_objects: Objects in the mask of the first frame.
    """

    def __init__(self, model: LabelPropagator, size: tuple[int, int], num_frames: int, num_objects: int) -> None:
        torch.manual_seed(0)
        self.model, self.size, self.protocol = model, size, model.protocol
        self.device = model.data_preprocessor.device
        self.grid = tuple(side // model.backbone.patch_size for side in size)
        # a scene that moves by some pixels a frame, with noise, so that neighbors are found where motion has put them
        scene = F.interpolate(torch.rand(1, 3, 30, 52), size, mode='bicubic')[0].clamp(0, 1) * 220
        frames = torch.stack([scene.roll(5 * t, 2) + 20 * torch.rand(3, *size) for t in range(num_frames)]).byte()
        self.frames = frames.to(self.device)
        self.mask = torch.zeros(size, dtype=torch.uint8)
        for number in range(num_objects):
            left = size[1] * (2 * number + 1) // (2 * num_objects + 1)
            self.mask[size[0] // 4 : size[0] // 2, left : left + size[1] // (2 * num_objects + 1)] = number + 1
        self.labels = MaskLabels({0: self.mask}, size, size, self.protocol)

    def ours(self) -> list[Tensor]:
        """Masks of the frames."""
        return [self.labels.decode(frame, soft) for frame, soft in self.model.propagate(self.frames, self.labels)]

    def plainly(self, plain: PlainPropagation) -> list[Tensor]:
        """The same, by the plain implementation."""
        context = [plain.features(self.frames[0])]
        soft = [self.labels.given(0, self.grid, self.device).flatten(1)]
        masks = [self.mask.to(self.device)]
        for frame in self.frames[1:]:
            feature = plain.features(frame)
            soft_target = plain.propagate(feature, context, soft)
            masks.append(plain.decode(soft_target.unflatten(1, self.grid), self.size))
            context.append(feature)
            soft.append(soft_target)
            if len(context) > 1 + self.protocol.queue:
                del context[1], soft[1]
        return masks

    @torch.no_grad()
    def measure(self, repeats: int) -> dict[str, dict[str, float]]:
        """Seconds a frame, plain and ours, of propagation with a full queue, of features, and of both together; of the
        plain one's window mask, once; and what the results differ by.

        Raises:
            SystemExit: If they differ by more than rounding explains.
        """
        model, grid, device = self.model, self.grid, self.device
        plain = PlainPropagation(model)
        start = time.perf_counter()
        plain.window = plain.make_window(grid, device)
        window_seconds = time.perf_counter() - start

        # the same features for both, with a full queue
        cells = [F.normalize(torch.randn(*grid, model.backbone.embed_dims, device=device), dim=-1) for _ in range(9)]
        soft = self.labels.given(0, grid, device).flatten(1).T.contiguous()
        turned = grid[1] > grid[0]

        def turn(x: Tensor) -> Tensor:
            return x.transpose(0, 1).contiguous() if turned else x

        turned_soft = turn(soft.unflatten(0, grid)).flatten(0, 1)
        context = PropagationContext(self.protocol, turn(cells[0]), turned_soft)
        for cell in cells[1:-1]:
            context.push(turn(cell), turned_soft)
        query = turn(cells[-1])
        flat = [cell.flatten(0, 1) for cell in cells]
        plain_labels = [soft.T.contiguous()] * (len(cells) - 1)
        step = context.propagate(query).unflatten(0, query.shape[:2])
        step = (step.transpose(0, 1) if turned else step).flatten(0, 1).T
        difference = (step - plain.propagate(flat[-1], flat[:-1], plain_labels)).abs().max().item()
        differing = max((a != b).float().mean().item() for a, b in zip(self.ours(), self.plainly(plain)))
        if difference > 1e-5 or differing > 1e-3:
            raise SystemExit(
                f'labels of a step differ by {difference:.1e}, {differing:.2e} of the pixels of a frame: the two '
                'implementations disagree, so there are no figures'
            )

        whole_videos = {
            'propagation, full queue': dict(
                plain=lambda: plain.propagate(flat[-1], flat[:-1], plain_labels),
                ours=lambda: context.propagate(query),
            ),
            'features': dict(
                plain=lambda: [plain.features(frame) for frame in self.frames],
                ours=lambda: list(model._feature_batches(self.frames)),
            ),
            'whole': dict(plain=lambda: self.plainly(plain), ours=self.ours),
        }
        results = {}
        for name, ways in whole_videos.items():
            number = 1 if name.startswith('propagation') else len(self.frames)
            results[name] = {way: value / number for way, value in take_turns(ways, repeats, device).items()}
        results['window mask, once'] = dict(plain=window_seconds)
        results['difference'] = dict(labels=difference, pixels=differing)
        return results


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device, size = torch.device(args.device), tuple(args.size)
    if args.frames < 3:
        parser.error(f'--frames {args.frames}: expected at least 3')

    comparison = Comparison(make_model(args.arch, args.patch_size).to(device), size, args.frames, args.objects)
    print(f'ViT {args.arch}/{args.patch_size}, {size[0]} x {size[1]}, {args.frames} frames, {args.objects} objects')
    print(machine(device))
    if args.no_plain:
        seconds = take_turns(dict(ours=comparison.ours), 1, device)
        print(f'ours, whole                     {seconds["ours"] / args.frames:8.3f} s a frame')
        print(describe_memory(device))
        return

    results = comparison.measure(args.repeats)
    difference, window = results.pop('difference'), results.pop('window mask, once')
    print(
        f'largest difference: labels of a step {difference["labels"]:.1e}, '
        f'{difference["pixels"]:.2e} of the pixels of a frame\n'
    )
    print(f'{"seconds a frame":<32}{"plain":>9}{"ours":>9}{"ratio":>8}')
    for name, seconds in results.items():
        print(f'{name:<32}{seconds["plain"]:9.4f}{seconds["ours"]:9.4f}{seconds["plain"] / seconds["ours"]:8.2f}')
    print(f'{"window mask, once":<32}{window["plain"]:9.4f}{"none":>9}')
    above = results['whole']['ours'] / results['features']['ours'] - 1
    print(f'ours, whole above features      {100 * above:8.1f} %')
    print(describe_memory(device))


def make_model(arch: str, patch_size: int) -> LabelPropagator:
    """Ours, with the same random weights each time, in protocol ``'dino'``."""
    torch.manual_seed(0)
    return LabelPropagator(
        dict(type='mmvidmae.PairMAEViT', arch=arch, img_size=224, patch_size=patch_size), protocol='dino'
    )


if __name__ == '__main__':
    with leave_on_interrupt('What was measured is above; the rest was not.'):
        main()
