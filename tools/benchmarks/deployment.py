"""Time an encoder and DropTrack in PyTorch and exported: onnxruntime in single precision and with int8 weights.

All forms of a model have the same weights and inputs and take turns in one process with the same number of threads.
Figures are medians, ratios are to PyTorch. Before that, features and the boxes of a sequence are compared with those of
PyTorch.

Example:
    python tools/benchmarks/deployment.py     # ViT-S/16; one image of 224 px; template 128, search 256 px
    python tools/benchmarks/deployment.py --arch base --repeats 5 --compile
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mmvidmae.utils.interrupt import leave_on_interrupt


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', default='small', help='ViT of the package (default: %(default)s)')
    parser.add_argument('--img-size', type=int, default=224, help='side of the images of the encoder')
    parser.add_argument('--template-size', type=int, default=128)
    parser.add_argument('--search-size', type=int, default=256)
    parser.add_argument('--frames', type=int, default=5, help='of the sequence whose boxes are compared')
    parser.add_argument('--repeats', type=int, default=15)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--compile', action='store_true', help='also torch.compile, which takes a minute or more')
    parser.add_argument('--cpu-seconds', action='store_true', help='seconds of all cores instead of the clock')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import numpy as np  # noqa: E402
import torch  # noqa: E402
from side_by_side import machine, take_turns  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from tracking import make_tracker, make_video, track  # noqa: E402

from mmvidmae.deployment import OnnxTracker, export_model, open_session, parts_of  # noqa: E402
from mmvidmae.models.selfsup import SiamMAE  # noqa: E402

FORMS = ('onnxruntime fp32', 'onnxruntime int8')


def export(model: nn.Module, folder: Path, name: str) -> dict[str, Path]:
    """Export a model in all forms. Returns the files by form."""
    files = export_model(model, folder / f'{name}.onnx', int8=True)
    return {form: file.path for form, file in zip(FORMS, files, strict=True)}


def time_forms(
    model: nn.Module, files: dict[str, Path], inputs: dict[str, Tensor], args: argparse.Namespace
) -> dict[str, float]:
    """Seconds of each form, by name."""
    (part,) = parts_of(model)
    values, arrays = tuple(inputs.values()), {name: value.numpy() for name, value in inputs.items()}
    ways: dict[str, Callable[[], object]] = {'PyTorch': partial(part.module, *values)}
    if args.compile:
        ways['torch.compile'] = partial(torch.compile(part.module), *values)
    for form, path in files.items():
        ways[form] = partial(open_session(path, 'cpu')[0].run, None, arrays)
    clock = time.process_time if args.cpu_seconds else time.perf_counter
    with torch.no_grad():
        return take_turns(ways, args.repeats, torch.device('cpu'), clock)


def show(what: str, seconds: dict[str, float], notes: dict[str, str]) -> None:
    for form, value in seconds.items():
        ratio = seconds['PyTorch'] / value
        print(f'{what:<10} {form:<18}{1e3 * value:9.1f} ms {ratio:6.2f} times PyTorch  {notes.get(form, "")}')


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    if args.frames < 2:
        parser.error(f'--frames {args.frames}: expected at least 2')
    torch.set_num_threads(args.threads)
    try:
        measure(args)
    except (ImportError, ValueError) as error:
        parser.error(str(error))


def measure(args: argparse.Namespace) -> None:
    """Compare and time an encoder and a tracker."""
    tracker = make_tracker(args.arch, args.template_size, args.search_size)
    encoder = SiamMAE(backbone=dict(arch=args.arch, img_size=args.img_size)).eval()
    print(
        f'ViT {args.arch}/16, images of {args.img_size} px, template {args.template_size}, search {args.search_size}, '
        f'{"CPU seconds" if args.cpu_seconds else "wall clock"}, {machine(torch.device("cpu"))}'
    )
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        files = export(encoder, Path(folder), 'encoder')
        image = torch.randn(1, 3, args.img_size, args.img_size)
        expected, notes = encoder.backbone(image)[-1].numpy(), {}
        for form, path in files.items():
            (found,) = open_session(path, 'cpu')[0].run(None, dict(image=image.numpy()))
            off = np.linalg.norm(found - expected) / np.linalg.norm(expected)
            notes[form] = f'features differ by {100 * off:.2g} %'
        show('encoder', time_forms(encoder, files, dict(image=image), args), notes)

        files = export(tracker, Path(folder), 'tracker')
        frames, box = make_video(args.frames)
        expected, notes = track(tracker, frames, box), {}
        for form, path in files.items():
            off = np.abs(np.subtract(track(OnnxTracker(path, 'cpu'), frames, box), expected)).max()
            notes[form] = f'boxes differ by at most {off:.2g} px'
            if form == FORMS[0] and off > 0.1:
                sys.exit(f'{notes[form]}: the trackers disagree, figures would mean nothing')
        inputs = {
            name: torch.randn(1, 3, side, side)
            for name, side in (('template', args.template_size), ('search', args.search_size))
        }
        show('DropTrack', time_forms(tracker, files, inputs, args), notes)


if __name__ == '__main__':
    with leave_on_interrupt('What was measured is above; the rest was not.'):
        main()
