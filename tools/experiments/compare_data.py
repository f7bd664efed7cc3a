"""Compare data for DropMAE: as many clips chosen for motion, for scene diversity, and at random. Each choice pre-trains
the small DropMAE with one budget and is scored by ``compare_methods.py``.

The choices are the lists of ``video_statistics.py``. OUT gets a folder for each and ``data.json`` and ``data.md``. A
run that was stopped continues with the same command. Other options are those of ``compare_methods.py``.

Example:
    python tools/experiments/compare_data.py data/videos work_dirs/data --clips 60 --davis data/DAVIS --epochs 4
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

CHOICES = ('motion', 'diversity', 'random')
TOOLS = Path(__file__).resolve().parents[1]


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('videos', help='folder of videos, or list file with absolute paths')
    parser.add_argument('out', type=Path, help='folder for all results')
    parser.add_argument('--clips', type=int, required=True, help='of each choice')
    return parser


def link(paths: list[str], folder: Path) -> None:
    """Fill a folder with links to these files, numbered so that names cannot collide."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        target = folder / f'{number:06d}{os.path.splitext(path)[1]}'
        if not target.is_symlink():
            target.symlink_to(path)


def main() -> None:
    args, options = make_parser().parse_known_args()

    from mmvidmae.datasets.sources import read_list
    from mmvidmae.utils.files import atomic_write

    if not all((args.out / f'statistics/{choice}.txt').exists() for choice in CHOICES):
        tool = TOOLS / 'dataset_converters/video_statistics.py'
        command = [sys.executable, tool, args.videos, args.out / 'statistics', '--most', str(args.clips)]
        subprocess.run(command)  # broken clips are reported and left out
    scores: dict[str, dict[str, dict]] = {}
    for choice in CHOICES:
        clips = read_list(str(args.out / f'statistics/{choice}.txt'), 'video')
        if len(clips) != args.clips:
            sys.exit(f'{args.out}/statistics/{choice}.txt has {len(clips)} clips, not {args.clips}')
        link(clips, args.out / choice / 'videos')
        tool = TOOLS / 'experiments/compare_methods.py'
        fixed = ['--methods', 'dropmae', '--ablation-epochs', '0']
        command = [sys.executable, tool, args.out / choice / 'videos', args.out / choice, *fixed, *options]
        subprocess.run(command, check=True)
        files = sorted((args.out / choice / 'results').glob('*.json'))
        scores[choice] = {file.stem: json.loads(file.read_text()) for file in files}
    rows = {
        (name, protocol): None
        for results in scores.values()
        for name, content in results.items()
        if name.startswith('frozen')
        for protocol in content['result']
    }
    lines = [f'| J&F | {" | ".join(CHOICES)} |', '|---' * (len(CHOICES) + 1) + '|']
    for name, protocol in rows:
        values = (f'{scores[choice][name]["result"][protocol]["J&F-Mean"]:.1f}' for choice in CHOICES)
        lines.append(f'| {name}, {protocol} | {" | ".join(values)} |')
    for file, text in {'data.json': json.dumps(scores, indent=1), 'data.md': '\n'.join(lines)}.items():
        with atomic_write(args.out / file) as part:
            part.write_text(text + '\n', 'utf-8')
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
