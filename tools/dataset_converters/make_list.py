"""Write a list of the clips in a folder, a line `path [label]` each, for VideoPairDataset, FramePairDataset,
ImageViewDataset and MMAction2.

The label is the number of the clip's class folder, which is the first folder below the root, in natural order. Clips
in the root itself have no label. Pre-training needs no labels.

    python tools/dataset_converters/make_list.py data/kinetics400/train data/kinetics400/train.txt --relative
"""

import argparse
import os
from pathlib import Path

from common import run_tool, say


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='folder to search, at any depth')
    parser.add_argument('output', type=Path, help='list file to write')
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument('--frames', action='store_true', help='clips are folders of images instead of video files')
    kind.add_argument('--images', action='store_true', help='clips are single images')
    parser.add_argument('--relative', action='store_true', help='write paths relative to the root, not absolute ones')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

from mmvidmae.datasets.sources import class_labels, parse_line, scan  # noqa: E402
from mmvidmae.utils.files import atomic_write  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser()
    args = parser.parse_args(arguments)

    kind = 'frames' if args.frames else 'image' if args.images else 'video'
    try:
        clips = scan(args.root, kind)
    except OSError as error:
        parser.error(str(error))
    if not clips:
        parser.error(f'no clips below {args.root}')
    labels = class_labels(clips)
    with atomic_write(args.output) as part, part.open('w', encoding='utf-8', errors='surrogateescape') as file:
        for clip, label in zip(clips, labels, strict=True):
            path = clip if args.relative else os.path.join(os.path.abspath(args.root), clip)
            line = path if label < 0 else f'{path} {label}'
            if len(path.splitlines()) > 1 or path.startswith('#') or parse_line(line, kind) != path:
                parser.error(f'{path!r} cannot be written to a list; rename it')
            file.write(line + '\n')
    say(f'{len(clips)} clips in {len(set(labels) - {-1})} classes: {args.output}')
    return 0


if __name__ == '__main__':
    run_tool(main)
