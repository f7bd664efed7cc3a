"""Measure the within-frame and cross-frame attention share of a decoder in each layer (DropMAE's analysis).

Example:
    python tools/analysis_tools/attention_share.py CONFIG CHECKPOINT a.mp4 b.mp4 --plot share.png
    python tools/analysis_tools/attention_share.py CONFIG CHECKPOINT a.mp4 --csv share.csv
"""

import argparse
import csv
from itertools import chain

from mmvidmae.utils.interrupt import leave_on_interrupt


def plot(rows: list[tuple[int, float, float, float]], path: str) -> None:
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(7, 4), layout='constrained')
    axes = figure.add_subplot(xlabel='layer of the decoder', ylabel='share of attention', ylim=(0, 1))
    layers = [row[0] for row in rows]
    for column, label in enumerate(('own frame', 'itself', 'other frame'), 1):
        axes.plot(layers, [row[column] for row in rows], marker='o', label=label)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a DropMAE or TwinMAE model, or its name in the model index')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('videos', nargs='+', help='video files, or folders of frames')
    parser.add_argument('--pairs', type=int, default=8, help='random pairs per video (default: %(default)s)')
    parser.add_argument('--gap', nargs=2, type=int, default=(4, 48), metavar=('MIN', 'MAX'), help='(default: 4 48)')
    parser.add_argument('--batch-size', type=int, default=8, help='(default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the pairs and their masks')
    parser.add_argument('--csv', help='file for the table')
    parser.add_argument('--plot', help='image to draw')
    args = parser.parse_args()
    with leave_on_interrupt('Nothing was written: run the same command again.'):
        measure(parser, args)


def measure(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.progress import track

    from mmvidmae.apis import PairBatches, attention_share, get_model, open_clip
    from mmvidmae.datasets import VideoReadError

    try:
        model = get_model(args.config, args.checkpoint)
        size = tuple(side * model.backbone.patch_size for side in model.backbone.patch_resolution)
        videos = [
            PairBatches(video, open_clip(video), args.pairs, tuple(args.gap), size, args.batch_size, args.seed)
            for video in args.videos
        ]
        total = sum(map(len, videos))
        batches = track(chain.from_iterable(videos), 'attention', total, console=Console(stderr=True))
        mass = attention_share(model, batches)
    except (OSError, ValueError, VideoReadError) as error:
        parser.error(str(error))
    rows = [(layer, *values) for layer, values in enumerate(zip(*(part.tolist() for part in mass)))]
    print(f'{"layer":>5}{"own frame":>12}{"itself":>12}{"other frame":>13}')
    for layer, own, itself, other in rows:
        print(f'{layer:5}{own:12.4f}{itself:12.4f}{other:13.4f}')
    if args.csv:
        with open(args.csv, 'w', newline='') as file:
            csv.writer(file).writerows([('layer', 'own', 'itself', 'other'), *rows])
    if args.plot:
        plot(rows, args.plot)


if __name__ == '__main__':
    main()
