"""Make tracking sequences from videos with masks: a box around each object, for small experiments.

Each object becomes a folder ``<video>_<id>/`` with its frames (links, or JPEG files of a JHMDB clip) and
``groundtruth_rect.txt``, a line ``x,y,w,h`` a frame, ``nan,nan,nan,nan`` where the object is not seen. That is the
layout of ``mmvidmae.SequenceFolderDataset``. Of a JHMDB clip whose joints are there too, ``joint_positions``, the head
and the trunk become sequences of their own.

Example:
    python tools/dataset_converters/masks_to_sequences.py davis data/DAVIS data/sequences/train
    python tools/dataset_converters/masks_to_sequences.py jhmdb data/jhmdb data/sequences/train --videos data/clips
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if (ROOT / 'mmvidmae').is_dir():  # run from a checkout, from wherever: use its package
    sys.path.insert(0, str(ROOT))


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('layout', choices=('davis', 'jhmdb'))
    parser.add_argument('source', type=Path, help='folder with JPEGImages and Annotations, or with puppet_mask')
    parser.add_argument('out', type=Path, help='folder for the sequences')
    parser.add_argument('--videos', type=Path, help='JHMDB: folder of <class>/<clip>.avi')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from rich.progress import track  # noqa: E402

from mmvidmae.apis import open_clip  # noqa: E402
from mmvidmae.datasets.sources import image_names  # noqa: E402
from mmvidmae.evaluation.id_maps import read_id_map  # noqa: E402


def box_line(mask: np.ndarray) -> str:
    """The box of a mask ``(H, W)`` as a line."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return 'nan,nan,nan,nan\n'
    return f'{columns[0]},{rows[0]},{np.ptp(columns) + 1},{np.ptp(rows) + 1}\n'


def write_boxes(folder: Path, lines: list[str]) -> None:
    (folder / 'groundtruth_rect.txt').write_text(''.join(lines))


def davis(args: argparse.Namespace) -> None:
    """Objects of the first frame of every sequence of a tree like DAVIS's."""
    pictures, annotations = (
        next(path for path in (args.source / kind / '480p', args.source / kind) if path.is_dir())
        for kind in ('JPEGImages', 'Annotations')
    )
    for video in track(sorted(path for path in annotations.iterdir() if path.is_dir()), 'DAVIS'):
        masks = [read_id_map(video / name) for name in image_names(str(video))]
        for number in np.setdiff1d(np.unique(masks[0]), (0, 255)):
            folder = args.out / f'{video.name}_{number}'
            (folder / 'img').mkdir(parents=True, exist_ok=True)
            for name in image_names(str(pictures / video.name)):
                link = folder / 'img' / name
                link.unlink(missing_ok=True)
                link.symlink_to((pictures / video.name / name).resolve())
            write_boxes(folder, [box_line(mask == number) for mask in masks])


def jhmdb(args: argparse.Namespace) -> None:
    """The person of every JHMDB clip that has masks, and the parts of those that have joints."""
    from scipy.io import loadmat

    for path in track(sorted((args.source / 'puppet_mask').rglob('*.mat')), 'JHMDB'):
        masks = loadmat(path)['part_mask']
        clip = args.videos / path.parent.name / f'{path.stem}.avi'
        if not clip.is_file() or masks.ndim != 3:
            continue
        reader = open_clip(clip)
        count = min(len(reader), masks.shape[2])
        folder = args.out / path.stem
        (folder / 'img').mkdir(parents=True, exist_ok=True)
        for number, frame in zip(range(count), reader):
            cv2.imwrite(str(folder / 'img' / f'{number:05d}.jpg'), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        write_boxes(folder, [box_line(masks[:, :, number] > 0) for number in range(count)])
        joints = args.source / 'joint_positions' / path.parent.name / path.stem / 'joint_positions.mat'
        if not joints.is_file():
            continue
        points = loadmat(joints)['pos_img'].transpose(2, 1, 0)[:count] - 1  # (T, 15, 2), from 1
        neck_to_face = np.linalg.norm(points[:, 0] - points[:, 2], axis=1)
        parts = dict(
            head=(points[:, [2, 2]], neck_to_face),
            trunk=(points[:, [0, 1, 3, 4, 5, 6]], 0.2 * neck_to_face),
        )
        for part, (corners, margin) in parts.items():
            low, high = corners.min(1) - margin[:, None], corners.max(1) + margin[:, None]
            folder = args.out / f'{path.stem}_{part}'
            folder.mkdir(exist_ok=True)
            if not (folder / 'img').exists():
                (folder / 'img').symlink_to(Path('..', path.stem, 'img'))
            boxes = np.concatenate((low, high - low), axis=1)
            write_boxes(folder, [','.join(f'{value:.1f}' for value in box) + '\n' for box in boxes])


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    if args.layout == 'jhmdb' and args.videos is None:
        parser.error('jhmdb needs --videos')
    dict(davis=davis, jhmdb=jhmdb)[args.layout](args)


if __name__ == '__main__':
    main()
