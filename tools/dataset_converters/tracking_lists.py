"""Write mmtrack's list files of LaSOT, OTB100 and UAV123 from the data sets as downloaded.

mmtrack has such tools for GOT-10k, TrackingNet and VOT (``python -m mmvidmae.compat.mmtrack
dataset_converters/got10k/gen_got10k_infos -i data/GOT10k -o data/GOT10k/annotations``). For OTB100 and UAV123 it offers
downloads of the lists. Its tool for LaSOT needs a file that its wheel lacks. A line of a list is
``frames,annotation,first frame,last frame``.

Example:
    python tools/dataset_converters/tracking_lists.py lasot data/LaSOT_full  # LaSOTBenchmark/<class>, testing_set.txt
    python tools/dataset_converters/tracking_lists.py otb100 data/OTB100     # data/<video>/{img,*.txt}
    python tools/dataset_converters/tracking_lists.py uav123 data/UAV123     # configSeqs.m, anno, data_seq
"""

import argparse
import re
from pathlib import Path

from common import run_tool, say


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dataset', choices=('lasot', 'otb100', 'uav123'))
    parser.add_argument('root', type=Path, help='folder of the data set')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

from mmvidmae.datasets.sources import image_names, natural_key  # noqa: E402
from mmvidmae.datasets.tracking import read_boxes  # noqa: E402
from mmvidmae.utils.files import atomic_write  # noqa: E402

OTB_STARTS = {'David': 300, 'Tiger1': 6}
"""First frames, from 1, of videos whose annotation begins later (Tiger1: the benchmark leaves the first 5 out)."""


def frame_numbers(folder: Path) -> list[int]:
    """Numbers of the images of a folder, from their names, in order.

    Raises:
        ValueError: If there are no images, or a name is not a number.
    """
    names = image_names(str(folder))
    for name in names:
        if not Path(name).stem.isdecimal():
            raise ValueError(f'{folder / name}: the name is no number of a frame')
    if not names:
        raise ValueError(f'{folder}: no images')
    return [int(Path(name).stem) for name in names]


def lasot(root: Path) -> dict[str, list[str]]:
    """Lines of LaSOT: ``testing_set.txt`` names the videos of the test, the others are for training."""
    videos, lines = root / 'LaSOTBenchmark', dict(train=[], test=[])
    tests = set((root / 'testing_set.txt').read_text(encoding='utf-8-sig', errors='replace').split())
    if missing := sorted(name for name in tests if not (videos / name.rpartition('-')[0] / name / 'img').is_dir()):
        raise ValueError(f'{root / "testing_set.txt"}: {", ".join(missing[:5])}: {len(missing)} not in {videos}')
    for video in sorted(videos.glob('*/*-*'), key=lambda path: natural_key(path.name)):
        name = f'{video.parent.name}/{video.name}'
        last = frame_numbers(video / 'img')[-1]
        lines['test' if video.name in tests else 'train'].append(f'{name}/img,{name}/groundtruth.txt,1,{last}')
    return {f'lasot_{split}': lines[split] for split in lines}


def otb100(root: Path) -> dict[str, list[str]]:
    """Lines of OTB100. Annotation files without a line are left out, as in the data set."""
    lines = []
    for video in sorted((root / 'data').iterdir(), key=lambda path: natural_key(path.name)):
        for annotation in sorted(video.glob('groundtruth_rect*.txt')):
            if not annotation.read_bytes().strip():
                continue
            numbers = frame_numbers(video / 'img')
            first = OTB_STARTS.get(video.name, numbers[0])
            number = len(read_boxes(annotation)) - (5 if video.name == 'Tiger1' else 0)
            last = first + number - 1
            if last > numbers[-1]:
                raise ValueError(f'{annotation}: boxes to frame {last}, but the last image is {numbers[-1]}')
            lines.append(f'data/{video.name}/img,data/{video.name}/{annotation.name},{first},{last}')
    return dict(otb100=lines)


def uav123(root: Path) -> dict[str, list[str]]:
    """Lines of UAV123, by the sequences that its ``configSeqs.m`` defines for this benchmark."""
    path = next(iter(sorted(root.rglob('configSeqs.m'))), None)
    if path is None:
        raise ValueError(
            f'{root}: configSeqs.m, which says where its sequences begin and end, is not below this folder'
        )
    text = path.read_text(encoding='utf-8', errors='replace')
    text = text.partition('seqUAV123=')[2].partition('};')[0] or text
    lines = []
    pattern = r"'name',\s*'([^']+)',\s*'path',\s*'([^']+)',\s*'startFrame',\s*(\d+),\s*'endFrame',\s*(\d+)"
    for name, folder, first, last in re.findall(pattern, text):
        frames = re.split(r'[\\/]', folder.rstrip('\\/'))[-1]
        annotation = f'anno/UAV123/{name}.txt'
        number, expected = len(read_boxes(root / annotation)), int(last) - int(first) + 1
        if number != expected:
            raise ValueError(f'{root / annotation}: {number} boxes, but {path} says {expected} frames')
        lines.append(f'data_seq/UAV123/{frames},{annotation},{first},{last}')
    if not lines:
        raise ValueError(f'{path}: no sequences, as struct(name, path, startFrame, endFrame, ...), were found')
    return dict(uav123=lines)


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser()
    args = parser.parse_args(arguments)
    try:
        lists = dict(lasot=lasot, otb100=otb100, uav123=uav123)[args.dataset](args.root)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for name, lines in lists.items():
        output = args.root / 'annotations' / f'{name}_infos.txt'
        with atomic_write(output) as part, part.open('w', encoding='utf-8', errors='surrogateescape') as file:
            file.write('\n'.join(['(video_path,annotation_path,start_frame_id,end_frame_id)', *lines]))
        say(f'{len(lines)} sequences: {output}')
    return 0


if __name__ == '__main__':
    run_tool(main)
