"""Time DropTrack against the same model run like its authors' code, side by side in one process.

That code (jimmy-dq/DropTrack) cuts the crop and its padding mask in NumPy and embeds the template for every frame. Its
attention stores the whole matrix. Candidate elimination sorts all scores, appends dropped tokens as zeros and restores
their order with a scatter. Both have the same weights and frames and take turns. Figures are medians. The boxes are
compared first.

Example:
    python tools/benchmarks/tracking.py                    # ViT-B/16 at 192 and 384 px, 2 threads
    python tools/benchmarks/tracking.py --search-size 256 --template-size 128
    python tools/benchmarks/tracking.py --device cuda --amp
"""

import argparse
import math
import sys

from mmvidmae.utils.interrupt import leave_on_interrupt


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', default='base', help='ViT of the package (default: %(default)s)')
    parser.add_argument('--template-size', type=int, default=192)
    parser.add_argument('--search-size', type=int, default=384)
    parser.add_argument('--frames', type=int, default=5, help='of the video, the first gives the target')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--amp', action='store_true', help='both in mixed precision')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from side_by_side import describe_memory, machine, take_turns  # noqa: E402
from torch import Tensor  # noqa: E402

from mmvidmae.models.trackers.drop_track import DropTrack  # noqa: E402
from mmvidmae.structures.boxes import box_to_frame, clip_box, crop_padding, sample_crop  # noqa: E402


class PlainTracker:
    """DropTrack, plainly."""

    def __init__(self, model: DropTrack) -> None:
        self.model = model
        cells = math.prod(model.backbone.grids[0])
        self.mask = torch.zeros(1, cells, dtype=torch.bool, device=model.ce_template_cells.device)
        self.mask[:, model.ce_template_cells] = True

    def crop(self, frame: np.ndarray, box: list[float], factor: float, out_size: int) -> tuple[Tensor, float]:
        """Crop and mask, then to the device as float32, then normalized."""
        crop, resize_factor = sample_crop(frame, box, factor, out_size)
        padding = crop_padding(frame.shape[:2], box, factor, out_size)
        device, preprocessor = self.mask.device, self.model.data_preprocessor
        image = torch.tensor(crop).to(device).float().permute(2, 0, 1)[None]
        torch.from_numpy(padding).to(torch.bool).to(device)[None]  # the network never looks at it
        image = image.flip(1) if preprocessor.bgr_to_rgb else image
        return (image / 255.0 - preprocessor.mean / 255.0) / (preprocessor.std / 255.0), resize_factor

    def attend(self, layer: torch.nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """Attention that holds its matrix, and the matrix."""
        attn = layer.attn
        q, k, v = attn.qkv(x).unflatten(2, (3, attn.num_heads, attn.head_dims)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * attn.head_dims**-0.5).softmax(-1)
        return attn.proj((weights @ v).transpose(1, 2).flatten(2)), weights

    def eliminate(self, weights: Tensor, tokens: Tensor, keep: float, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sort the search tokens by the attention of the masked template cells, keep the first of them."""
        num_template = self.mask.shape[1]
        num_search = weights.shape[-1] - num_template
        num_keep = math.ceil(keep * num_search)
        to_search = weights[:, :, :num_template, num_template:]
        rows = self.mask[:, None, :, None].expand(-1, weights.shape[1], -1, num_search)
        scores = to_search[rows].view(len(tokens), weights.shape[1], -1, num_search).mean(dim=2).mean(dim=1)
        order = scores.sort(dim=1, descending=True).indices
        kept, removed = order[:, :num_keep], order[:, num_keep:]
        template, search = tokens[:, :num_template], tokens[:, num_template:]
        search = search.gather(1, kept[..., None].expand(-1, -1, search.shape[2]))
        return torch.cat((template, search), dim=1), index.gather(1, kept), index.gather(1, removed)

    def encode(self, template: Tensor, search: Tensor) -> Tensor:
        """Search features ``(1, D, h, w)``."""
        backbone = self.model.backbone
        tokens = torch.cat((backbone.embed_role(template, 0), backbone.embed_role(search, 1)), dim=1)
        num_template = self.mask.shape[1]
        num_search = tokens.shape[1] - num_template
        index = torch.linspace(0, num_search - 1, num_search, device=tokens.device).long()[None]
        all_removed = []
        for i, layer in enumerate(backbone.layers):
            out, weights = self.attend(layer, layer.ln1(tokens))
            tokens = tokens + out
            if i in backbone.ce_keep_ratio:
                tokens, index, removed = self.eliminate(weights, tokens, backbone.ce_keep_ratio[i], index)
                all_removed.append(removed)
            tokens = layer.ffn(layer.ln2(tokens), identity=tokens)
        search = backbone.ln1(tokens)[:, num_template:]
        if all_removed:
            removed = torch.cat(all_removed, dim=1)
            zeros = torch.zeros(
                len(search), removed.shape[1], search.shape[2], device=search.device, dtype=search.dtype
            )
            search = torch.cat((search, zeros), dim=1)
            order = torch.cat((index, removed), dim=1)[..., None].expand_as(search).to(torch.int64)
            search = torch.zeros_like(search).scatter_(1, order, search)
        return search.transpose(1, 2).unflatten(2, backbone.grids[1])

    def track(self, frames: list[np.ndarray], box: list[float]) -> list[list[float]]:
        """Boxes of all frames."""
        template, _ = self.crop(frames[0], box, **self.model.template_crop)
        boxes = [box]
        for frame in frames[1:]:
            search, resize_factor = self.crop(frame, box, **self.model.search_crop)
            maps = self.model.head(self.encode(template, search))
            response = self.model.window * maps.score
            height, width = response.shape[-2:]
            index = response.flatten(1).argmax(1, keepdim=True)
            size, offset = (
                values.flatten(2).gather(2, index[:, None].expand(-1, 2, -1)).squeeze(-1)
                for values in (maps.size, maps.offset)
            )
            cx = (index % width + offset[:, :1]) / width
            cy = (index // width + offset[:, 1:]) / height
            predicted = torch.cat((cx, cy, size), dim=1).mean(0).tolist()
            box = box_to_frame(predicted, box, resize_factor, self.model.search_crop['out_size'])
            box = clip_box(box, frame.shape[:2], self.model.test_cfg['margin'])
            boxes.append(box)
        return boxes


def make_video(num_frames: int, height: int = 720, width: int = 1280) -> tuple[list[np.ndarray], list[float]]:
    """A textured square that moves over a textured scene, and its first box (x, y, w, h)."""
    generator = torch.Generator().manual_seed(0)

    def texture(rows: int, columns: int, scale: int) -> Tensor:
        coarse = torch.rand(1, 3, rows // scale, columns // scale, generator=generator)
        return F.interpolate(coarse, (rows, columns), mode='bicubic')[0].clamp(0, 1) * 255

    scene, target = texture(height, width, 40), texture(160, 160, 16)
    frames = []
    for t in range(num_frames):
        frame = scene.clone()
        frame[:, 200 + 4 * t : 360 + 4 * t, 300 + 8 * t : 460 + 8 * t] = target
        frames.append(frame.byte().permute(1, 2, 0).contiguous().numpy())
    return frames, [300.0, 200.0, 160.0, 160.0]


def make_tracker(arch: str, template_size: int, search_size: int) -> DropTrack:
    """A tracker in evaluation mode, with the same random weights each time."""
    torch.manual_seed(0)
    MMLogger.get_instance('benchmark', log_level='WARNING')  # or the initialization of each weight is printed
    model = DropTrack(
        dict(type='mmvidmae.OneStreamViT', arch=arch),
        dict(type='mmvidmae.CenterHead'),
        template_size=template_size,
        search_size=search_size,
    )
    model.init_weights()
    return model.eval()


def track(model: DropTrack, frames: list[np.ndarray], box: list[float]) -> list[list[float]]:
    """Boxes of all frames, as our tracker finds them."""
    target = model.initialize(frames[0], box)
    boxes = [target.box]
    for frame in frames[1:]:
        target, _ = model.track(frame, target)
        boxes.append(target.box)
    return boxes


@torch.no_grad()
def compare(model: DropTrack, num_frames: int, repeats: int, amp: bool) -> tuple[float, dict[str, float]]:
    """Largest difference of the boxes in pixels, and seconds a frame of each way.

    Raises:
        SystemExit: If the boxes differ by more than rounding explains.
    """
    device = model.ce_template_cells.device
    frames, box = make_video(num_frames)
    plain = PlainTracker(model)
    ways = dict(plain=lambda: plain.track(frames, box), ours=lambda: track(model, frames, box))
    with torch.autocast(device.type, enabled=amp):
        difference = float(np.abs(np.subtract(ways['ours'](), ways['plain']())).max())
        if difference > (5 if amp else 0.05):
            sys.exit(f'boxes differ by {difference:.2g} px, the trackers disagree: figures would mean nothing')
        seconds = take_turns(ways, repeats, device)
    return difference, {name: value / (num_frames - 1) for name, value in seconds.items()}


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    if args.frames < 2:
        parser.error(f'--frames {args.frames}: expected at least 2')
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    model = make_tracker(args.arch, args.template_size, args.search_size).to(device)
    print(f'ViT {args.arch}/16, template {args.template_size}, search {args.search_size}, 720p, {machine(device)}')
    difference, seconds = compare(model, args.frames, args.repeats, args.amp)
    print(f'boxes differ by at most {difference:.2g} px')
    for name, value in seconds.items():
        print(f'{name:<8}{1 / value:8.2f} frames/s {1e3 * value:8.1f} ms a frame')
    print(f'{seconds["plain"] / seconds["ours"]:.2f} times as fast; {describe_memory(device)}')


if __name__ == '__main__':
    with leave_on_interrupt('What was measured is above; the rest was not.'):
        main()
