"""Decode videos as training does and report unreadable ones.

The report has a line with a JSON object for each clip, {"path": ..., "error": null or the reason, "note": null or a
warning}, written when the clip is done. A note is a problem that training tolerates. For example, if the frame size
changes within a clip, frames are scaled to the size of the first, and the clip counts as good. A second run with the
same report skips good clips and reads bad ones again, because they may have been repaired. The exit code is 0 if all
clips are good, else 1.

    python tools/dataset_converters/verify_videos.py data/kinetics400/train --report work_dirs/verify.jsonl
    python tools/dataset_converters/verify_videos.py train.txt --data-root data/kinetics400/train
"""

import argparse
import json
import logging
import os
from collections import deque
from pathlib import Path

from common import ClipFailed, Isolated, add_job_arguments, finish, run_all, run_tool, say


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

from mmengine.logging import MMLogger  # noqa: E402

from mmvidmae.datasets import VideoFileReader  # noqa: E402
from mmvidmae.datasets.sources import read_list, scan  # noqa: E402


class Notes(logging.Handler):
    """Collects warnings, each once, instead of printing them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.texts[record.getMessage()] = None


def decode(path: str, quick: bool) -> str | None:
    """Read a video. Returns the warnings that the reader logs, or None.

    Raises:
        VideoReadError: If it cannot be read.
    """
    notes = Notes()
    MMLogger.get_current_instance().handlers = [notes]
    reader = VideoFileReader(path)
    last = len(reader) - 1
    if quick:
        reader.get_batch(sorted({0, last // 2, last}))
    else:
        deque(reader, maxlen=0)
    shown = path.encode(errors='backslashreplace').decode()
    return '; '.join(text.removeprefix(f'{shown}: ') for text in notes.texts) or None


class Decoder:
    """Decodes clips in other processes and stores the notes on them."""

    def __init__(self, quick: bool, timeout: float) -> None:
        self.quick, self.aside = quick, Isolated(timeout)
        self.notes: dict[str, str | None] = {}

    def __call__(self, path: str) -> str | None:
        try:
            self.notes[path] = self.aside(decode, path, self.quick)
        except ClipFailed as failure:
            return str(failure)
        return None

    def stop(self) -> None:
        self.aside.stop()


def read_report(path: Path) -> set[str]:
    """The good clips of a report. Lines that are incomplete after a kill or not of a report are ignored."""
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
        say(f'{len(paths) - len(to_read)} clips are good according to {args.report}')

    failures, num_noted = [], 0
    decoder = Decoder(args.quick, args.timeout)
    args.report.parent.mkdir(parents=True, exist_ok=True)
    with open(args.report, 'a', encoding='utf-8') as report:
        if report.tell():
            report.write('\n')  # sets the new lines apart from one that was cut off
        for path, error in run_all(decoder, to_read, args.workers):
            note = decoder.notes.pop(path, None)
            report.write(json.dumps(dict(path=path, error=error, note=note)) + '\n')
            report.flush()
            if error:
                failures.append((path, error))
            elif note:
                num_noted += 1
                say(f'{path}: good, but {note}')
    code = finish(failures, len(paths), 'can be read')
    if num_noted:
        say(f'{num_noted} of them with a note, see {args.report}')
    return code


if __name__ == '__main__':
    run_tool(main)
