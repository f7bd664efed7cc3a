"""Ctrl-C ends a program with a message instead of a traceback. Imports nothing slow."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EXIT_CODE = 130
"""Exit code of a program ended by SIGINT in a shell: 128 + 2."""


@contextmanager
def leave_on_interrupt(message: str | Callable[[], str]) -> Iterator[None]:
    """End the program after Ctrl-C within the block: one message on stderr, exit code 130, no traceback.

    With a launcher, only the first process writes the message.

    Args:
        message: Text that tells what was saved and how to continue, or a function that returns it.

    Raises:
        SystemExit: Instead of ``KeyboardInterrupt``.
    """
    try:
        yield
    except KeyboardInterrupt:
        if os.environ.get('RANK', '0') == '0':
            print(f'\nInterrupted. {message() if callable(message) else message}', file=sys.stderr, flush=True)
        raise SystemExit(EXIT_CODE) from None
