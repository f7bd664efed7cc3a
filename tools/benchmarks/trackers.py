"""Time a frame of DropTrack's successors against a frame of DropTrack, side by side in one process.

All have random weights. Each row is the median of frames that take turns, divided by a frame of DropTrack at the same
size with one target; BAT, which eliminates nothing, by one of DropTrack without elimination.

Example:
    python tools/benchmarks/trackers.py                             # ViT-B/16 at 192 and 384 px, 2 threads
    python tools/benchmarks/trackers.py --cpu-time --threads 1      # beside other work: seconds of this process
    python tools/benchmarks/trackers.py --template-size 128 --search-size 256
    python tools/benchmarks/trackers.py --device cuda --amp
"""

import argparse
import time
from collections.abc import Callable

from mmvidmae.utils.interrupt import leave_on_interrupt


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', default='base', help='ViT of the package (default: %(default)s)')
    parser.add_argument('--template-size', type=int, default=192)
    parser.add_argument('--search-size', type=int, default=384)
    parser.add_argument('--memory-frames', type=int, default=150, help='of a full memory (default: %(default)s)')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--cpu-time', action='store_true', help='measure seconds of CPU in place of those of a clock')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--amp', action='store_true', help='all in mixed precision')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from side_by_side import describe_memory, machine, take_turns  # noqa: E402
from tracking import make_video  # noqa: E402

from mmvidmae.models.trackers import BAT, DropTrack, HIPTrack, HIPTrackState  # noqa: E402


def build(kind: type[DropTrack], args: argparse.Namespace, **test_cfg) -> DropTrack:
    """A tracker with random weights. Nothing is eliminated by BAT, as published."""
    torch.manual_seed(0)
    backbone = dict(type='mmvidmae.OneStreamViT', arch=args.arch)
    if kind is BAT:
        backbone |= dict(type='mmvidmae.TwoStreamViT', ce_keep_ratio=(1.0, 1.0, 1.0))
    prompt = dict(prompt=dict(type='mmvidmae.HistoricalPrompt')) if kind is HIPTrack else {}
    model = kind(
        backbone=backbone,
        head=dict(type='mmvidmae.CenterHead'),
        template_size=args.template_size,
        search_size=args.search_size,
        test_cfg=test_cfg,
        **prompt,
    )
    model.init_weights()
    return model.eval().to(args.device)


def with_full_memory(model: HIPTrack, target: HIPTrackState, frame: np.ndarray) -> HIPTrackState:
    """A target that was followed for long: copies of one frame, with noise, fill its memory."""
    for _ in range(5):
        target, _ = model.track(frame, target)
    memory = target.bank.read()
    for number in range(model.test_cfg['max_memory_frames']):
        noisy = tuple(part + 0.1 * torch.randn_like(part) for part in memory)
        target = target._replace(bank=target.bank.store(number, noisy))
    return target._replace(number=20 * model.test_cfg['max_memory_frames'])


@torch.no_grad()
def make_rows(args: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """A function for each row, which tracks one frame."""
    (first, second), box = make_video(2)
    drop, hip = build(DropTrack, args), build(HIPTrack, args, max_memory_frames=args.memory_frames)
    online = build(DropTrack, args, online_template=dict(type='mmvidmae.IntervalScorePolicy'))
    without = build(DropTrack, args)
    without.backbone.ce_keep_ratio = {}
    bat = build(BAT, args)
    pair = [np.concatenate((frame, frame[..., ::-1]), axis=2) for frame in (first, second)]
    new = hip.initialize(first, box)
    full = with_full_memory(hip, new, first)
    before_stored = full._replace(number=full.number + hip.test_cfg['memory_interval'] - 1)
    start = drop.initialize(first, box)

    def row(model: DropTrack, target: object, frame: np.ndarray = second) -> Callable[[], object]:
        return lambda: model.track(frame, target)

    return {
        'DropTrack': row(drop, start),
        'DropTrack, nothing eliminated': row(without, without.initialize(first, box)),
        'DropTrack, online template': row(online, online.initialize(first, box)),
        'HIPTrack, first frames': row(hip, new),
        'HIPTrack, full memory': row(hip, full),
        'HIPTrack, full memory, frame stored': row(hip, before_stored),
        'BAT': row(bat, bat.initialize(pair[0], box), pair[1]),
        'DropTrack, 8 targets': lambda: drop.track_all(second, [start] * 8),
        'HIPTrack, full memory, 8 targets': lambda: hip.track_all(second, [full] * 8),
    }


def main() -> None:
    args = make_parser().parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    MMLogger.get_instance('benchmark', log_level='WARNING')  # or the initialization of each weight is printed
    print(f'ViT {args.arch}/16, template {args.template_size}, search {args.search_size}, 720p, {machine(device)}')
    with torch.autocast(device.type, enabled=args.amp):
        rows = make_rows(args)
        seconds = take_turns(rows, args.repeats, device, time.process_time if args.cpu_time else time.perf_counter)
    for name, value in seconds.items():
        base = 'DropTrack, nothing eliminated' if name == 'BAT' else 'DropTrack'
        print(f'{name:<38}{1e3 * value:9.0f} ms {value / seconds[base]:7.2f} times {base}')
    print(describe_memory(device))


if __name__ == '__main__':
    with leave_on_interrupt('What was measured is above; the rest was not.'):
        main()
