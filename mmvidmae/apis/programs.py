"""What the inference programs share."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmvidmae.datasets import VideoReadError
from mmvidmae.utils.interrupt import EXIT_CODE

from .videos import Interrupted


def parse_video(text: str) -> str | int:
    """Parse the video argument of a command line. A number is a camera number, unless a file or folder has this
    name."""
    return int(text) if text.isdecimal() and not Path(text).exists() else text


@contextmanager
def one_message(parser: argparse.ArgumentParser, out_dir: str, partial: bool = True) -> Iterator[None]:
    """End the program with one message when a user's mistake, a missing package or Ctrl-C comes within the block.

    Args:
        parser: Parser of the program.
        out_dir: Folder with the results.
        partial: Whether an interrupt leaves the results so far.
    """
    try:
        yield
    except (ImportError, OSError, ValueError, VideoReadError) as error:
        parser.error(str(error))
    except KeyboardInterrupt as error:
        frames = error.frames if isinstance(error, Interrupted) else 0
        print(f'interrupted after {frames} frames: {out_dir if frames and partial else "nothing was written"}')
        sys.exit(EXIT_CODE)
