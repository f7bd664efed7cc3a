"""Create tracking sequences from videos with masks, with the box around each object, for small experiments.

Each object becomes a folder ``<video>_<id>/`` with its frames (links, or JPEG files of a JHMDB clip) and
``groundtruth_rect.txt``. This file has a line ``x,y,w,h`` per frame, or ``nan,nan,nan,nan`` if the object is not
visible. ``mmvidmae.SequenceFolderDataset`` reads this layout. If a JHMDB clip has joints (``joint_positions``), its
head and trunk become additional sequences.

Unreadable videos are reported and skipped. The exit code is then 1.

Example:
    python tools/dataset_converters/masks_to_sequences.py davis data/DAVIS data/sequences/train
    python tools/dataset_converters/masks_to_sequences.py jhmdb data/jhmdb data/sequences/train --videos data/clips
"""

import argparse
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('layout', choices=('davis', 'jhmdb'))
    parser.add_argument('source', type=Path, help='folder with JPEGImages and Annotations, or with puppet_mask')
    parser.add_argument('out', type=Path, help='folder for the sequences')
    parser.add_argument('--videos', type=Path, help='JHMDB: folder of <class>/<clip>.avi')
    parser.add_argument(
        '--merge-objects', action='store_true', help='DAVIS: all ids above 0 are one object, as in masks of 0 and 255'
    )
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from common import describe, finish, run_tool  # noqa: E402
from rich.progress import track  # noqa: E402

from mmvidmae.apis import open_clip  # noqa: E402
from mmvidmae.datasets.sources import image_names  # noqa: E402
from mmvidmae.structures.label_maps import nothing_given, read_label_map, read_objects  # noqa: E402


def box_line(mask: np.ndarray) -> str:
    """The box of a mask ``(H, W)`` as a line."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return 'nan,nan,nan,nan\n'
    return f'{columns[0]},{rows[0]},{np.ptp(columns) + 1},{np.ptp(rows) + 1}\n'


def write_boxes(folder: Path, lines: list[str]) -> None:
    (folder / 'groundtruth_rect.txt').write_text(''.join(lines))


def davis(args: argparse.Namespace) -> Iterator[tuple[Path, partial]]:
    """Work on every sequence of a tree like DAVIS's."""
    roots = []
    for kind in ('JPEGImages', 'Annotations'):
        found = [path for path in (args.source / kind / '480p', args.source / kind) if path.is_dir()]
        if not found:
            raise FileNotFoundError(f'{args.source / kind}: no such folder')
        roots.append(found[0])
    for video in sorted(path for path in roots[1].iterdir() if path.is_dir()):
        yield video, partial(davis_objects, roots[0] / video.name, video, args.out, args.merge_objects)


def davis_objects(pictures: Path, video: Path, out: Path, merge_objects: bool) -> None:
    """The objects of the first frame of a sequence."""
    frames, names = (image_names(str(folder)) for folder in (pictures, video))
    if len(names) not in (1, len(frames)):
        raise ValueError(f'{len(names)} masks in {video}, but {len(frames)} frames in {pictures}')
    masks = [read_objects(video / name, merge_objects) for name in names]
    if not masks[0].any():
        first = video / names[0]
        raise nothing_given({str(first): read_label_map(first)})
    for number in np.unique(masks[0][masks[0] > 0]):
        folder = out / f'{video.name}_{number}'
        (folder / 'img').mkdir(parents=True, exist_ok=True)
        for name in frames:
            link = folder / 'img' / name
            link.unlink(missing_ok=True)
            link.symlink_to((pictures / name).resolve())
        write_boxes(folder, [box_line(mask == number) for mask in masks])


def jhmdb(args: argparse.Namespace) -> Iterator[tuple[Path, partial]]:
    """Work on every JHMDB clip that has masks."""
    if args.videos is None:
        raise FileNotFoundError('jhmdb needs --videos')
    if not (args.source / 'puppet_mask').is_dir():
        raise FileNotFoundError(f'{args.source / "puppet_mask"}: no such folder')
    for path in sorted((args.source / 'puppet_mask').rglob('*.mat')):
        yield path, partial(jhmdb_parts, path, args.source, args.videos, args.out)


def jhmdb_parts(path: Path, source: Path, videos: Path, out: Path) -> None:
    """The person of a clip, and its head and trunk if there are joints."""
    masks = np.atleast_3d(read_mat(path, 'part_mask'))
    reader = open_clip(videos / path.parent.name / f'{path.stem}.avi')
    count = min(len(reader), masks.shape[2])
    folder = out / path.stem
    (folder / 'img').mkdir(parents=True, exist_ok=True)
    for number, frame in zip(range(count), reader):
        file = folder / 'img' / f'{number:05d}.jpg'
        if not cv2.imwrite(str(file), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)):
            raise OSError(f'{file} cannot be written')
    write_boxes(folder, [box_line(masks[:, :, number] > 0) for number in range(count)])
    joints = source / 'joint_positions' / path.parent.name / path.stem / 'joint_positions.mat'
    if not joints.is_file():
        return
    points = np.atleast_3d(read_mat(joints, 'pos_img')).transpose(2, 1, 0)[:count] - 1  # (T, 15, 2), from 1
    neck_to_face = np.linalg.norm(points[:, 0] - points[:, 2], axis=1)
    parts = dict(
        head=(points[:, [2, 2]], neck_to_face),
        trunk=(points[:, [0, 1, 3, 4, 5, 6]], 0.2 * neck_to_face),
    )
    for part, (corners, margin) in parts.items():
        low, high = corners.min(1) - margin[:, None], corners.max(1) + margin[:, None]
        folder = out / f'{path.stem}_{part}'
        folder.mkdir(exist_ok=True)
        if not (folder / 'img').exists():
            (folder / 'img').symlink_to(Path('..', path.stem, 'img'))
        boxes = np.concatenate((low, high - low), axis=1)
        write_boxes(folder, [','.join(f'{value:.1f}' for value in box) + '\n' for box in boxes])


def read_mat(path: Path, name: str) -> np.ndarray:
    """An array of a MATLAB file."""
    from scipy.io import loadmat

    try:
        return loadmat(path, variable_names=[name])[name]
    except Exception as error:  # scipy raises whatever a damaged file leads it to
        raise ValueError(f'{path}: not a readable file of {name} ({error!r})') from error


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser()
    args = parser.parse_args(arguments)
    try:
        videos = list(dict(davis=davis, jhmdb=jhmdb)[args.layout](args))
    except OSError as error:
        parser.error(str(error))
    if not videos:
        parser.error(f'no videos with masks in {args.source}')
    failures = []
    for path, convert in track(videos, args.layout):
        try:
            convert()
        except Exception as error:
            failures.append((os.path.relpath(path, args.source), describe(error)))
    return finish(failures, len(videos), f'are in {args.out}')


if __name__ == '__main__':
    run_tool(main)
