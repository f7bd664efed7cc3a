"""Shared code of the dataset converters: parallel jobs, progress and summaries."""

import argparse
import multiprocessing
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import timedelta
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol


def add_job_arguments(parser: argparse.ArgumentParser, timeout: float | None = None) -> None:
    """Add ``--workers`` and, for jobs with a time limit, ``--timeout``."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    parser.add_argument('--workers', type=int, default=cores, help='clips at a time (default: %(default)s, the cores)')
    if timeout is not None:
        parser.add_argument(
            '--timeout',
            type=float,
            default=timeout,
            help='time limit of a clip in seconds (default: %(default)s)',
        )


class Job(Protocol):
    """Work on a clip. It is called from several threads and leaves the heavy part to other processes."""

    def __call__(self, path: str) -> str | None:
        """Do the work within a bounded time. Returns None, or the reason of a failure, which may also be raised."""

    def stop(self) -> None:
        """End the running processes, so that the calls return at once. It is called until all calls have returned,
        because a process may just be starting."""


class ClipFailed(Exception):
    """A clip that could not be processed. The message is the reason."""


START_TIMEOUT = 300
"""Time limit in seconds for starting a process and its imports."""


class Isolated:
    """Calls functions in other processes, one for each calling thread. If a clip lets its process hang or die, only
    this clip fails, and a new process takes over.

    Args:
        timeout: Time limit of a call in seconds.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        # Fork from a server that has imported everything, not from this process with its threads.
        self.context = multiprocessing.get_context('forkserver')
        self.context.set_forkserver_preload(['mmvidmae.datasets'])
        self.local = threading.local()
        self.processes: list[multiprocessing.Process] = []

    def __call__(self, function: Callable, *arguments: Any) -> Any:
        """Call a function of a module.

        Raises:
            ClipFailed: If the function raises an error, takes too long, or ends the process.
        """
        try:
            if not hasattr(self.local, 'process'):
                self._start()
            self.local.connection.send((function, arguments))
            if self.local.connection.poll(self.timeout):
                problem, result = self.local.connection.recv()
                if problem is None:
                    return result
                raise ClipFailed(problem)
            problem = f'no result after {self.timeout:g} s'
        except (EOFError, OSError) as error:
            if not hasattr(self.local, 'process'):
                raise ClipFailed(f'no process could be started ({error})') from error
            self.local.process.join(1)
            problem = f'the decoder crashed (exit code {self.local.process.exitcode})'
        self.local.process.kill()
        del self.local.process
        raise ClipFailed(problem)

    def stop(self) -> None:
        """End the processes."""
        for process in self.processes:
            process.kill()

    def _start(self) -> None:
        self.local.connection, theirs = self.context.Pipe()
        process = self.context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        self.processes.append(process)
        self.local.process = process
        if not self.local.connection.poll(START_TIMEOUT):  # the start is not part of the first clip's time
            raise OSError('not started')
        self.local.connection.recv()


def _serve(connection: Connection) -> None:
    """Loop of a process: receives calls and sends (problem or None, result)."""
    try:
        connection.send('ready')
        while True:
            function, arguments = connection.recv()
            try:
                answer = None, function(*arguments)
            except Exception as error:
                answer = describe(error), None
            connection.send(answer)
    except (EOFError, KeyboardInterrupt):
        pass


def describe(error: Exception) -> str:
    """Short description of any error."""
    from mmvidmae.datasets import VideoReadError  # takes seconds

    if isinstance(error, VideoReadError):
        return error.reason
    if isinstance(error, ClipFailed | OSError | ValueError):
        return (isinstance(error, OSError) and error.strerror) or str(error)
    return f'{type(error).__name__}: {error}'


def run_all(job: Job, paths: list[str], workers: int) -> Iterator[tuple[str, str | None]]:
    """Run a job on many clips in parallel and show the progress on stderr.

    After an interrupt such as Ctrl-C, no other clip starts and running ones are abandoned. An error of the job is the
    outcome of its clip only.

    Args:
        job: Job to run.
        paths: Paths of the clips.
        workers: Number of clips at a time.

    Yields:
        (path, outcome) of each clip when it is done.
    """
    progress = Progress(len(paths))
    waiting, running = iter(paths), {}
    with ThreadPoolExecutor(workers) as executor:
        try:
            running |= {executor.submit(job, path): path for path in islice(waiting, workers)}
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    path, error = running.pop(future), future.exception()
                    outcome = future.result() if error is None else describe(error)
                    running.update((executor.submit(job, following), following) for following in islice(waiting, 1))
                    progress.step(failed=outcome is not None)
                    yield path, outcome
        finally:
            job.stop()
            while wait(running, timeout=0.1).not_done:
                job.stop()


class Progress:
    """A line on stderr with the number of finished and failed jobs, the speed and the remaining time.

    On a terminal it is updated in place. In a log it is written every 30 seconds.
    """

    def __init__(self, total: int) -> None:
        self.total, self.done, self.failed = total, 0, 0
        self.live = sys.stderr.isatty()
        self.start = self.shown = time.monotonic()

    def step(self, failed: bool) -> None:
        """Count a finished job."""
        self.done += 1
        self.failed += failed
        now = time.monotonic()
        if self.done == self.total or now - self.shown > (0.2 if self.live else 30):
            self.shown = now
            rate = self.done / max(now - self.start, 1e-9)
            left = timedelta(seconds=round((self.total - self.done) / rate))
            line = f'{self.done}/{self.total}, {self.failed} failed, {rate:.1f}/s, {left} left'
            ends = self.done == self.total or not self.live
            print(f'\r{line}\033[K' if self.live else line, end='\n' if ends else '', file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Print a line, in which file names need not be UTF-8."""
    print(text.encode(errors='backslashreplace').decode())


def finish(failures: Iterable[tuple[str, str]], total: int, verb: str) -> int:
    """Print the failures and a summary. Returns the exit code, 1 if there were failures."""
    failures = list(failures)
    for job, reason in failures:
        say(f'{job}: {reason}')
    say(f'{total - len(failures)} of {total} clips {verb}, {len(failures)} failed')
    return 1 if failures else 0


class Converter(Job, Protocol):
    """A job that writes a file or folder for each clip."""

    def result_of(self, clip: str) -> Path:
        """Path of the result of a clip."""


def convert_all(
    converter: Converter, parser: argparse.ArgumentParser, clips: list[str], args: argparse.Namespace
) -> int:
    """Convert the clips without a result. Returns the exit code. If two clips have the same result, the program ends
    with a message."""
    results = Counter(converter.result_of(clip) for clip in clips)
    if same := [str(result) for result, count in results.items() if count > 1]:
        parser.error(f'several clips would become {same[0]}; rename them')
    missing = [clip for clip in clips if not converter.result_of(clip).exists()]
    if len(missing) < len(clips):
        say(f'{len(clips) - len(missing)} clips exist already')
    outcomes = run_all(converter, missing, args.workers)
    return finish(((clip, reason) for clip, reason in outcomes if reason), len(clips), f'are in {args.target}')


def run_tool(main: Callable[[], int]) -> None:
    """Run a tool's ``main`` and exit with its code, or without a traceback after Ctrl-C."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit('\nInterrupted: run the same command again to continue')
