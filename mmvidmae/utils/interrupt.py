"""Ctrl-C ends a program with a message instead of a traceback. Imports nothing that takes long."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EXIT_CODE = 130
"""What a shell gives a program that SIGINT ended: 128 + 2."""


@contextmanager
def leave_on_interrupt(message: str | Callable[[], str]) -> Iterator[None]:
    """End the program when Ctrl-C comes within the block: one message on stderr, exit code 130, no traceback.

    Of the processes of a launcher only the first one speaks.

    Args:
        message: What was saved, and how to continue; or a function that says so when the time has come.

    Raises:
        SystemExit: In the place of ``KeyboardInterrupt``.
    """
    try:
        yield
    except KeyboardInterrupt:
        if os.environ.get('RANK', '0') == '0':
            print(f'\nInterrupted. {message() if callable(message) else message}', file=sys.stderr, flush=True)
        raise SystemExit(EXIT_CODE) from None
