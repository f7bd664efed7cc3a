"""Trains configs one after the other, alone or in each process of a group: ``run_configs.py LAUNCHER CONFIG...``."""

import sys

from mmvidmae.engine.cli import build_runner, close_distributed, load_config, make_parser


def main(launcher: str, *configs: str) -> None:
    parser = make_parser(__doc__)
    for config in configs:
        args = parser.parse_args([config, '--launcher', launcher])
        build_runner(load_config(parser, args)).train()


if __name__ == '__main__':
    main(*sys.argv[1:])
    close_distributed()
