"""Measure correctness, speed and learning on a GPU in one run.

The parts run in this order, each in its own process with a time limit: ``right`` (CUDA against CPU, mixed
precision, attention dropout, the tests marked ``gpu``), ``asad`` (Triton's kernels of the attention dropout against
PyTorch, steps against P = 0), ``steps`` (training steps against the references, a profile), ``compiled``, ``exported``
(torch.export and AOTInductor), ``trackers``, ``propagation``, ``loading`` (pre-training from frame folders),
``learning`` (the methods side by side). Time that a part does not use goes to later parts. ``OUT/gpu_report.json`` has
a row for each measurement and is complete at any time. A part that fails or runs out of time adds a row with its error.

Nothing but the pre-training core is needed: no PyAV, no compiled mmcv. See ``docs/gpu.md`` to run it on a bare
machine.

Example:
    python tools/benchmarks/gpu_report.py --minutes 8 --out work_dirs/gpu --frames data/frames --davis data/DAVIS
    python tools/benchmarks/gpu_report.py --rehearse --out work_dirs/rehearsal    # on a CPU, tiny, in two minutes
    python tools/benchmarks/gpu_report.py --table work_dirs/gpu/gpu_report.json
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PARTS = dict(
    right=1.5, asad=1.0, steps=1.5, compiled=1.5, exported=1.0, trackers=1.0, propagation=0.5, loading=1.0, learning=3.0
)
"""Weights of the parts: the time left is divided among the parts that have not run yet in these proportions."""

OPTIONS = ('rehearse', 'frames', 'davis', 'commit', 'minutes', 'out')


def run_part(name: str, args: argparse.Namespace, seconds: float) -> str | None:
    """Run a part in its own process, with its output in ``OUT/<part>.log``. Returns the error, or None."""
    command = [sys.executable, str(Path(__file__).resolve()), '--part', name, '--seconds', f'{seconds:.0f}']
    for option in OPTIONS:
        value = getattr(args, option)
        if value is not None and value is not False:
            command += [f'--{option}'] if value is True else [f'--{option}', str(value)]
    log = args.out / f'{name}.log'
    with log.open('w') as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f'stopped after {seconds:.0f} s, its limit'
        finally:  # also after Ctrl-C: a part leaves no process behind
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code:
        last = [line for line in log.read_text(errors='replace').splitlines() if line.strip()]
        return f'exit code {code}: {last[-1][:300] if last else "no output"}'
    return None


def run_all(args: argparse.Namespace) -> int:
    """Run the parts and return how many failed."""
    from gpu_rows import Rows

    args.out.mkdir(parents=True, exist_ok=True)
    rows = Rows(args.out / 'gpu_report.json', args.commit)
    rows.clear()
    start, failed = time.monotonic(), 0
    for number, name in enumerate(args.parts):
        left = 60 * args.minutes - (time.monotonic() - start)
        seconds = left * PARTS[name] / sum(PARTS[later] for later in args.parts[number:])
        print(f'{time.monotonic() - start:6.0f} s  {name}, at most {seconds:.0f} s', flush=True)
        if error := run_part(name, args, seconds):
            failed += 1
            rows.part = name
            rows.add(name, error=error)
            print(f'{"":>10}FAILED: {error}; see {args.out}/{name}.log', flush=True)
    print(f'{time.monotonic() - start:6.0f} s  {len(rows.read())} rows in {rows.path}, {failed} parts failed')
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=8, help='time limit of all parts (default: %(default)s)')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/gpu'), help='folder for report and logs')
    parser.add_argument('--frames', type=Path, help='folder of frame folders to pre-train on (default: made-up frames)')
    parser.add_argument('--davis', type=Path, help='folder in the layout of DAVIS, for frozen J&F (default: made-up)')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS), help='(default: all)')
    parser.add_argument('--rehearse', action='store_true', help='run everything at tiny sizes, also on a CPU')
    parser.add_argument('--commit', help='commit to record where Git is missing (default: from Git)')
    parser.add_argument('--table', type=Path, metavar='REPORT', help='only print a report as a Markdown table')
    parser.add_argument('--part', choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument('--seconds', type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.table:
        from gpu_rows import table

        print(table(json.loads(args.table.read_text())))
        return
    for folder in (args.frames, args.davis):
        if folder is not None and not folder.is_dir():
            parser.error(f'there is no folder {folder}')
    if args.part:
        from gpu_parts import run

        run(args.part, args)
        return
    sys.exit(min(run_all(args), 1))


if __name__ == '__main__':
    main()
