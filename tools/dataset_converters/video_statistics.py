"""Measure how much moves in videos and how much their scenes differ, and list the clips with most of either.

Motion is the optical flow (DIS) between sampled frames after a robust affine fit of the camera motion is subtracted.
``moving`` is the share of pixels with more than ``--threshold`` of the picture's diagonal left, ``motion`` the mean of
what is left and ``camera`` that of the camera motion, in percent of the diagonal. ``diversity`` is the cosine distance
of a clip's feature (gradients and colors, or with ``--encoder`` a frozen encoder's) to the mean of the set.

``cuts`` is the number of scene cuts in the first 3,000 frames of a clip and in pairs of frames after them. A pair with
a cut in between would look like large motion. It is left out; ``pairs`` is the number of the others. A clip without any
has motion 0. Dissolves are not found.

OUT gets ``clips.jsonl`` (a line for each clip, written when it is done), ``summary.json``, ``statistics.png`` and, with
``--most N``, the lists ``motion.txt``, ``diversity.txt`` (clips that together spread most) and ``random.txt``. A second
run skips clips that are measured. The exit code is 1 if some clips cannot be read.

    python tools/dataset_converters/video_statistics.py data/videos work_dirs/statistics --most 100
"""

import argparse
import json
import os
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from common import ClipFailed, Isolated, add_job_arguments, finish, run_all, run_tool, say


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help='folder of videos, or list file')
    parser.add_argument('out', type=Path, help='folder for the results')
    parser.add_argument('--data-root', default='', help='folder that the paths in the list are relative to')
    parser.add_argument('--most', type=int, default=0, metavar='N', help='write lists of N clips')
    parser.add_argument('--pairs', type=int, default=6, help='pairs of frames of a clip (default: %(default)s)')
    parser.add_argument('--gap', type=int, default=4, help='frames between those of a pair (default: %(default)s)')
    parser.add_argument(
        '--threshold',
        type=float,
        default=0.5,
        help='of moving pixels, in percent of the diagonal (default: %(default)s)',
    )
    parser.add_argument(
        '--encoder',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='frozen encoder of the features, by a config of configs/propagation',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the random list (default: %(default)s)')
    add_job_arguments(parser, timeout=300)
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from mmvidmae.datasets import VideoFileReader  # noqa: E402
from mmvidmae.datasets.sources import read_list, scan  # noqa: E402
from mmvidmae.utils.files import atomic_write  # noqa: E402

SIDE = 128
"""Short side in pixels of the frames that are measured."""
ENCODED = 112
"""Width and height in pixels of the frames that an encoder gets."""
SEARCHED = 3000
"""Largest number of frames of a clip that are searched for cuts."""
CHUNK = 32
"""Number of frames that are decoded together."""
CUT_COLORS, CUT_PIXELS = 0.25, 30.0
"""What changes at a cut, at least: the share of the color histogram, and the mean value of pixels (of 255). Of frames
of two clips, 99.5% differ by more than 0.34 and 39. In 57 clips without marks of cuts, no other transition had both: a
moving camera leaves the colors, and a change of the exposure had 0.42 and 26."""


def residual_flow(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flow between two gray frames ``(H, W)`` uint8, after and of the camera motion, ``(H, W)`` each, in pixels.

    The camera motion is the affine map that most of a grid of flow vectors agree on (RANSAC, 1 pixel).
    """
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(first, second, None)
    height, width = first.shape
    places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    start = places[4::8, 4::8].reshape(-1, 2)
    matrix, _ = cv2.estimateAffine2D(start, start + flow[4::8, 4::8].reshape(-1, 2), ransacReprojThreshold=1.0)
    camera = np.zeros_like(flow) if matrix is None else places @ matrix[:, :2].T + matrix[:, 2] - places
    return np.linalg.norm(flow - camera, axis=-1), np.linalg.norm(camera, axis=-1)


def describe_frame(frame: np.ndarray) -> np.ndarray:
    """Descriptor of an RGB frame: 4 x 4 mean colors and histograms of oriented gradients, (304,), each of norm 1."""
    small = cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA)
    hog = cv2.HOGDescriptor((64, 64), (16, 16), (16, 16), (16, 16), 16).compute(small).ravel()
    color = cv2.resize(small, (4, 4), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    return np.concatenate([part / max(np.linalg.norm(part), 1e-6) for part in (hog, color)])


class Transitions:
    """Finds cuts in a sequence of frames.

    Attributes:
        cuts: Numbers of the frames that a cut comes before.
    """

    def __init__(self) -> None:
        self.cuts: list[int] = []
        self.last: tuple[int, np.ndarray, np.ndarray] | None = None

    def add(self, number: int, frame: np.ndarray) -> None:
        """Add the next frame, uint8 RGB ``(h, w, 3)``. A frame whose predecessor is missing begins anew."""
        colors = cv2.calcHist([frame], [0, 1, 2], None, [8] * 3, [0, 256] * 3) / frame[..., 0].size
        if self.last and self.last[0] == number - 1:
            _, other, before = self.last
            if np.abs(colors - before).sum() / 2 > CUT_COLORS and cv2.absdiff(frame, other).mean() > CUT_PIXELS:
                self.cuts.append(number)
        self.last = number, frame, colors


def frames_of(reader: VideoFileReader, starts: list[int], gap: int) -> Iterator[tuple[int, np.ndarray]]:
    """Numbers and frames to look at: the first :data:`SEARCHED` ones, then those of the pairs after them."""
    yield from enumerate(islice(reader, SEARCHED))
    others = sorted({number for start in starts for number in range(start, start + gap + 1) if number >= SEARCHED})
    for first in range(0, len(others), CHUNK):
        numbers = others[first : first + CHUNK]
        yield from zip(numbers, reader.get_batch(numbers), strict=True)


def measure(path: str, pairs: int, gap: int, threshold: float) -> tuple[dict[str, Any], np.ndarray]:
    """Motion and cuts of a clip, and the first frames of its pairs ``(N, h, w, 3)``, uint8 RGB.

    Raises:
        VideoReadError: If it cannot be read.
        ValueError: If it has one frame only.
    """
    cv2.setNumThreads(1)
    reader = VideoFileReader(path)
    gap = min(gap, len(reader) - 1)
    if gap < 1:
        raise ValueError('it has one frame only')
    starts = np.unique(np.linspace(0, len(reader) - 1 - gap, pairs).round().astype(int)).tolist()
    wanted = {*starts, *(start + gap for start in starts)}
    transitions, small = Transitions(), {}
    for number, frame in frames_of(reader, starts, gap):
        scale = SIDE / min(frame.shape[:2])
        frame = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        transitions.add(number, frame)
        if number in wanted:
            small[number] = frame
    whole = [start for start in starts if not any(start < cut <= start + gap for cut in transitions.cuts)]
    gray = {number: cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for number, frame in small.items()}
    flows = [residual_flow(gray[start], gray[start + gap]) for start in whole]
    left, camera = np.stack(flows, 1) if flows else np.zeros((2, 1, 1, 1))
    percent = 100 / np.hypot(*small[0].shape[:2])
    values = dict(
        moving=float((left * percent > threshold).mean()),
        motion=float(left.mean() * percent),
        camera=float(camera.mean() * percent),
        cuts=len(transitions.cuts),
        pairs=len(whole),
    )
    return values, np.stack([small[start] for start in starts])


def describe(frames: np.ndarray) -> np.ndarray:
    """Mean descriptor of frames ``(N, h, w, 3)``."""
    return np.mean([describe_frame(frame) for frame in frames], 0)


def load_encoder(config: str, checkpoint: str) -> Callable[[np.ndarray], np.ndarray]:
    """Mean feature ``(D,)`` of frames ``(N, h, w, 3)``, by a frozen encoder.

    Raises:
        FileNotFoundError, ValueError: If the weights do not fit, or the config is not one of configs/propagation.
    """
    import torch

    from mmvidmae.apis import get_model
    from mmvidmae.models.propagation import LabelPropagator

    model = get_model(config, checkpoint)
    if not isinstance(model, LabelPropagator):
        raise ValueError(f'{config} has a {type(model).__name__}: expected a config of configs/propagation')

    def encode(frames: np.ndarray) -> np.ndarray:
        square = [cv2.resize(frame, (ENCODED, ENCODED), interpolation=cv2.INTER_AREA) for frame in frames]
        maps = model.extract_feat(torch.from_numpy(np.stack(square)).permute(0, 3, 1, 2))
        return maps.mean((0, 2, 3)).cpu().numpy()

    return encode


class Measurer:
    """Measures clips in other processes. Features of an encoder are computed in this one, clip by clip.

    Raises:
        FileNotFoundError, ValueError: If the encoder cannot be loaded.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.options = args.pairs, args.gap, args.threshold
        self.encoder = load_encoder(*args.encoder) if args.encoder else None
        self.lock = threading.Lock()
        self.aside = Isolated(args.timeout)
        self.results: dict[str, dict] = {}

    def __call__(self, path: str) -> str | None:
        try:
            values, frames = self.aside(measure, path, *self.options)
            if self.encoder is None:
                feature = self.aside(describe, frames)
            else:
                with self.lock:
                    feature = self.encoder(frames)
        except ClipFailed as failure:
            return str(failure)
        self.results[path] = dict(values, feature=feature.round(5).tolist())
        return None

    def stop(self) -> None:
        self.aside.stop()


def normalize(features: np.ndarray) -> np.ndarray:
    """Rows of norm 1."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def spread(features: np.ndarray) -> tuple[np.ndarray, float]:
    """Cosine distance of each feature ``(N, D)`` to the mean, and the mean cosine distance of two of them."""
    unit = normalize(features)
    to_mean = 1 - unit @ normalize(unit.mean(0, keepdims=True))[0]
    count = len(unit)
    pairwise = 1 - (np.square(unit.sum(0)).sum() - count) / max(count * (count - 1), 1)
    return np.maximum(to_mean, 0), float(max(pairwise, 0)) if count > 1 else 0.0


def farthest(features: np.ndarray, count: int) -> list[int]:
    """Greedy farthest-point choice: the feature nearest to the mean, then always that farthest from the chosen ones."""
    unit = normalize(features)
    chosen = [int(spread(features)[0].argmin())]
    distance = 1 - unit @ unit[chosen[0]]
    while len(chosen) < count:
        distance[chosen] = -1
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, 1 - unit @ unit[chosen[-1]])
    return chosen


def read_measured(path: Path, settings: dict) -> dict[str, dict]:
    """Measured clips with these settings. Lines that were cut off by a kill are ignored."""
    known = {}
    for line in path.read_text(encoding='utf-8').splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
            if entry['settings'] == settings and entry['error'] is None:
                known[entry['path']] = entry
        except (ValueError, KeyError, TypeError):
            continue
    return known


def plot(entries: list[dict], path: Path) -> None:
    """Histogram of the moving share, and motion against diversity."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout='constrained')
    left, right = figure.subplots(1, 2)
    left.hist([100 * entry['moving'] for entry in entries], bins=30)
    left.set(xlabel='moving pixels (%)', ylabel='clips')
    right.scatter([entry['motion'] for entry in entries], [entry['diversity'] for entry in entries], s=6)
    right.set(xlabel='motion (% of the diagonal)', ylabel='distance to the mean scene', xscale='symlog')
    with atomic_write(path) as part:
        figure.savefig(part, format='png', dpi=90)


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser()
    args = parser.parse_args(arguments)
    if min(args.pairs, args.gap, args.workers) < 1:
        parser.error('--pairs, --gap and --workers must be at least 1')
    try:
        folder = args.source if os.path.isdir(args.source) else args.data_root
        paths = scan(folder, 'video') if folder == args.source else read_list(args.source, 'video')
    except (OSError, ValueError) as error:
        parser.error(str(error))
    paths = list(dict.fromkeys(os.path.abspath(os.path.join(folder, path)) for path in paths))
    if not paths:
        parser.error(f'no videos in {args.source}')
    settings = dict(
        pairs=args.pairs, gap=args.gap, threshold=args.threshold, cut=[CUT_COLORS, CUT_PIXELS], encoder=args.encoder
    )
    args.out.mkdir(parents=True, exist_ok=True)
    lines = args.out / 'clips.jsonl'
    known = read_measured(lines, settings)
    to_do = [path for path in paths if path not in known]
    if len(to_do) < len(paths):
        say(f'{len(paths) - len(to_do)} clips are measured already')
    try:
        measurer = Measurer(args)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    failures = []
    with lines.open('a', encoding='utf-8') as file:
        if file.tell():
            file.write('\n')  # sets the new lines apart from one that was cut off
        for path, error in run_all(measurer, to_do, args.workers):
            entry = dict(path=path, error=error, settings=settings, **measurer.results.pop(path, {}))
            file.write(json.dumps(entry) + '\n')
            file.flush()
            if error:
                failures.append((path, error))
            else:
                known[path] = entry
    entries = [known[path] for path in paths if path in known]
    if entries:
        summarize(entries, args)
    return finish(failures, len(paths), f'are measured in {lines}')


def summarize(entries: list[dict], args: argparse.Namespace) -> None:
    """Write the summary, the plot and the lists."""
    features = np.array([entry['feature'] for entry in entries])
    to_mean, pairwise = spread(features)
    for entry, distance in zip(entries, to_mean, strict=True):
        entry['diversity'] = float(distance)
    summary = dict(
        clips=len(entries),
        clips_with_cuts=sum(entry['cuts'] > 0 for entry in entries),
        settings=entries[0]['settings'],
        pairwise_distance=pairwise,
    )
    for name in ('moving', 'motion', 'camera', 'diversity'):
        values = [entry[name] for entry in entries]
        summary[name] = dict(zip(('p10', 'median', 'p90'), np.percentile(values, (10, 50, 90)).tolist()))
        summary[name]['mean'] = float(np.mean(values))
    count = min(args.most, len(entries))
    orders = dict(
        motion=np.argsort([-entry['motion'] for entry in entries], kind='stable')[:count],
        diversity=farthest(features, count) if count else [],
        random=np.random.default_rng(args.seed).permutation(len(entries))[:count],
    )
    for name, order in orders.items() if count else ():
        summary[f'{name}.txt'] = dict(
            motion=float(np.mean([entries[i]['motion'] for i in order])), pairwise_distance=spread(features[order])[1]
        )
        with atomic_write(args.out / f'{name}.txt') as part:
            part.write_text(''.join(f'{entries[i]["path"]}\n' for i in order), 'utf-8', 'surrogateescape')
    with atomic_write(args.out / 'summary.json') as part:
        part.write_text(json.dumps(summary, indent=1) + '\n')
    plot(entries, args.out / 'statistics.png')
    say(json.dumps(summary, indent=1))


if __name__ == '__main__':
    run_tool(main)
