"""Decodes videos as training does and reports those that cannot be read.

The report has one JSON object a line, {"path": ..., "error": null or the reason}, written as results come in. Run
again with the same report, the tool goes on where it stopped: good clips are not read again, bad ones are (they may
have been repaired). Exit code: 0 if all clips are good, 1 if some are bad.

    python tools/dataset_converters/verify_videos.py data/kinetics400/train --report work_dirs/verify.jsonl
    python tools/dataset_converters/verify_videos.py train.txt --data-root data/kinetics400/train
"""

import argparse
import json
import multiprocessing
import os
import threading
from collections import deque
from multiprocessing.connection import Connection
from pathlib import Path

from common import add_job_arguments, finish, run_all, run_tool


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help='folder of videos, or list file')
    parser.add_argument('--data-root', default='', help='folder that the paths in the list are relative to')
    parser.add_argument('--report', type=Path, default=Path('verify.jsonl'), help='default: %(default)s')
    parser.add_argument('--quick', action='store_true', help='decode three frames of each clip instead of all')
    add_job_arguments(parser, timeout=300)
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

from mmvidmae.datasets import UnreadableClip, VideoFileReader  # noqa: E402
from mmvidmae.datasets.sources import read_list, scan  # noqa: E402


def decode(path: str, quick: bool) -> str | None:
    """Reads a video; gives None or what is wrong with it."""
    try:
        reader = VideoFileReader(path)
        last = len(reader) - 1
        if quick:
            reader.get_batch(sorted({0, last // 2, last}))
        else:
            deque(reader, maxlen=0)
    except UnreadableClip as failure:
        return failure.reason
    return None


def serve(connection: Connection, quick: bool) -> None:
    """The life of a decoding process: takes paths, gives outcomes."""
    try:
        connection.send('ready')
        while True:
            connection.send(decode(connection.recv(), quick))
    except (EOFError, KeyboardInterrupt):
        pass


class Decoder:
    """Decodes in one process for each thread; a process that hangs or dies costs its clip alone and is replaced."""

    def __init__(self, quick: bool, timeout: float) -> None:
        self.quick, self.timeout = quick, timeout
        # Forked from a server that has imported everything, and not from this process with its threads.
        self.context = multiprocessing.get_context('forkserver')
        self.context.set_forkserver_preload(['mmvidmae.datasets'])
        self.local = threading.local()
        self.processes: list[multiprocessing.Process] = []

    def __call__(self, path: str) -> str | None:
        if not hasattr(self.local, 'process'):
            self._start()
        try:
            self.local.connection.send(path)
            if self.local.connection.poll(self.timeout):
                return self.local.connection.recv()
            problem = f'no result after {self.timeout:g} s'
        except (EOFError, OSError):
            self.local.process.join(1)
            problem = f'the decoder crashed (exit code {self.local.process.exitcode})'
        self.local.process.kill()
        del self.local.process
        return problem

    def stop(self) -> None:
        for process in self.processes:
            process.kill()

    def _start(self) -> None:
        self.local.connection, theirs = self.context.Pipe()
        self.local.process = self.context.Process(target=serve, args=(theirs, self.quick), daemon=True)
        self.local.process.start()
        theirs.close()
        self.processes.append(self.local.process)
        self.local.connection.recv()  # it is ready: the start is not part of the first clip's time


def read_report(path: Path) -> set[str]:
    """The clips that a report calls good. A last line cut off by a kill is ignored, and so is what is no report
    line."""
    good = set()
    for line in path.read_text(encoding='utf-8').splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
            (good.discard if entry['error'] else good.add)(entry['path'])
        except (ValueError, KeyError, TypeError):
            continue
    return good


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser()
    args = parser.parse_args(arguments)

    try:
        folder = args.source if os.path.isdir(args.source) else args.data_root
        paths = scan(folder, 'video') if folder == args.source else read_list(args.source, 'video')
    except (OSError, ValueError) as error:
        parser.error(str(error))
    paths = [os.path.abspath(os.path.join(folder, path)) for path in paths]
    if not paths:
        parser.error(f'no videos in {args.source}')
    good = read_report(args.report)
    to_read = [path for path in paths if path not in good]
    if len(to_read) < len(paths):
        print(f'{len(paths) - len(to_read)} clips are good according to {args.report}')

    failures = []
    args.report.parent.mkdir(parents=True, exist_ok=True)
    with open(args.report, 'a', encoding='utf-8') as report:
        if report.tell():
            report.write('\n')  # sets the new lines apart from one that was cut off
        for path, error in run_all(Decoder(args.quick, args.timeout), to_read, args.workers):
            report.write(json.dumps(dict(path=path, error=error)) + '\n')
            report.flush()
            if error:
                failures.append((path, error))
    return finish(failures, len(paths), 'can be read')


if __name__ == '__main__':
    run_tool(main)
