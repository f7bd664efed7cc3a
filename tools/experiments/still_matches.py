"""Count how often a cell of a frame finds itself in the first frame: how exact frozen features match.

For each encoder of a list as board.yml, the first frames of JHMDB's test videos are encoded. Of each cell of the second
and the last of them, the most similar cell of the first frame is found. Where nothing moves, it is the same cell.

Without an encoder, PCK is given of the joints of the first frame in all frames, of the same drawn on the grid and read
from it, and of the true joints of each frame drawn on the grid and read from it.

Example:
    python tools/experiments/still_matches.py data/JHMDB docs/results/still_matches.json --only 'DINOv2 ViT-S/14'
"""

import argparse
from pathlib import Path


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('jhmdb', type=Path, help='folder of JHMDB')
    parser.add_argument('out', type=Path, help='file of the results (.json)')
    parser.add_argument('--encoders', type=Path, default=Path(__file__).with_name('board.yml'), help='%(default)s')
    parser.add_argument('--only', nargs='+', metavar='LABEL', help='encoders of the list (default: all)')
    parser.add_argument('--frames', type=int, default=24, help='first frames of each video (default: %(default)s)')
    parser.add_argument('--grid', type=int, default=20, help='rows and columns of features (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of random weights (default: %(default)s)')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import json  # noqa: E402
import shlex  # noqa: E402
import sys  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from board import LoadedEncoder, read_encoders  # noqa: E402
from frozen_scores import pipeline  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from records import git_commit, machine  # noqa: E402

from mmvidmae.datasets import JHMDBDataset  # noqa: E402
from mmvidmae.engine.hooks.weights_record_hook import identify  # noqa: E402
from mmvidmae.evaluation.functional import joint_distances  # noqa: E402
from mmvidmae.evaluation.metrics import PoseMetric  # noqa: E402
from mmvidmae.models.propagation.labels import PoseLabels  # noqa: E402
from mmvidmae.models.propagation.protocol import make_protocol  # noqa: E402
from mmvidmae.utils.files import atomic_write  # noqa: E402


def offsets(first: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
    """Offsets ``(h, w)`` in cells, the larger one of both axes, of the most similar cells of ``first`` for each cell of
    ``later``. Both are unit-length features ``(C, h, w)``."""
    height, width = first.shape[1:]
    found = (later.flatten(1).T @ first.flatten(1)).argmax(1)
    cells = torch.arange(height * width, device=found.device)
    rows, columns = (found // width - cells // width).abs(), (found % width - cells % width).abs()
    return torch.maximum(rows, columns).view(height, width)


def scores_without_encoder(dataset: JHMDBDataset, grid: int) -> dict[str, dict[str, float]]:
    """PCK of labels that stay in place, of these on the grid, and of true labels on the grid."""
    protocol, found = make_protocol('cropmae'), {}

    def on_grid(joints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        labels = PoseLabels(joints, size, protocol)
        return labels.decode(0, labels.given(0, (grid, grid), torch.device('cpu'))).numpy()

    for item in dataset:
        sample = item['data_samples']
        true, size = sample.gt_joints, tuple(sample.ori_shape)
        still = np.repeat(true[:1], len(true), axis=0)
        tries = dict(
            stay=still,
            stay_on_grid=np.repeat(on_grid(true[0], size)[None], len(true), axis=0),
            true_on_grid=np.stack([on_grid(joints, size) for joints in true]),
        )
        for name, joints in tries.items():
            found.setdefault(name, []).append(joint_distances(joints, true))
    metric = PoseMetric()
    return {name: metric.summarize(dict(enumerate(videos))).metrics for name, videos in found.items()}


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    encoders = [encoder for encoder in read_encoders(args.encoders) if encoder.config]
    unknown = set(args.only or ()) - {encoder.label for encoder in encoders}
    if unknown:
        parser.error(f'{args.encoders} has no {", ".join(sorted(unknown))}')
    if args.frames < 2:
        parser.error('--frames must be at least 2')
    init_default_scope('mmpretrain')
    without = scores_without_encoder(
        JHMDBDataset(str(args.jhmdb), pipeline=pipeline(args.frames, size=(16, 16))), args.grid
    )
    print(without, flush=True)
    rows = []
    for encoder in encoders:
        if args.only and encoder.label not in args.only:
            continue
        loaded = LoadedEncoder(encoder, args.seed)
        propagator, side = loaded.propagator('dino'), loaded.cell_size * args.grid
        found = []
        for item in JHMDBDataset(str(args.jhmdb), pipeline=pipeline(args.frames, size=(side, side))):
            (features,) = propagator([item['inputs'][[0, 1, -1]]])
            found.append(torch.stack([offsets(features[0], later) for later in features[1:]]))
        near = torch.stack(found).flatten(2)
        row = dict(
            label=encoder.label,
            sha256=encoder.weights and identify(encoder.weights)['sha256'],
            input_size=[side, side],
            second_frame=dict(same=percent(near[:, 0] == 0), within_1=percent(near[:, 0] <= 1)),
            last_frame=dict(same=percent(near[:, 1] == 0), within_1=percent(near[:, 1] <= 1)),
        )
        print(row, flush=True)
        rows.append(row)
    command = shlex.join(['python', *sys.argv])
    made = dict(
        frames=args.frames, videos=len(found), seed=args.seed, command=command, commit=git_commit(), **machine()
    )
    with atomic_write(args.out) as part:
        part.write_text(json.dumps(made | dict(without_encoder=without, encoders=rows), indent=1) + '\n')


def percent(hits: torch.Tensor) -> float:
    """Share of true values in per cent."""
    return round(100 * float(hits.float().mean()), 1)


if __name__ == '__main__':
    main()
