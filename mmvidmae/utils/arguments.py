"""Shared command line of ``tools/train.py`` and ``tools/test.py``. Imports nothing slow."""

import argparse
from pathlib import Path
from typing import Any


class _Options(argparse.Action):
    """MMEngine's parser of ``key=value`` options, with an error for malformed ones."""

    def __call__(self, parser: argparse.ArgumentParser, namespace, values: Any, option_string=None) -> None:
        from mmengine.config import DictAction  # takes seconds

        for option in values:
            if '=' not in option:
                parser.error(f'{option_string} {option}: expected key=value')
        DictAction(self.option_strings, self.dest, nargs='+')(parser, namespace, values, option_string)


def make_parser(description: str) -> argparse.ArgumentParser:
    """Create a parser with the arguments of both training and testing."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='output folder (default: work_dirs/<name of the config>)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_Options,
        metavar='KEY=VALUE',
        help='change settings of the config, e.g. model.neck.depth=4 param_scheduler.0.end=10 "x=[1,2]"',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    # torch.distributed.launch passes one spelling or the other, depending on its version; torchrun sets LOCAL_RANK.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser


def require_file(parser: argparse.ArgumentParser, path: str, what: str) -> None:
    """End the program with a message unless ``path`` is a file or names a remote one (``scheme://``)."""
    if '://' not in path and not Path(path).is_file():
        parser.error(f'{what} {path} does not exist' if not Path(path).exists() else f'{what} {path} is not a file')
