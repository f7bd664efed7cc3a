"""Fine-tune from several encoders with the same schedule and seeds, and collect a table of scores."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner


def make_parser(description: str) -> argparse.ArgumentParser:
    """A parser with the arguments of all fine-tuning experiments."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder for all results')
    parser.add_argument(
        '--init',
        action='append',
        required=True,
        metavar='NAME[=CHECKPOINT]',
        help='initialization, random without a checkpoint; may be repeated',
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--iters', type=int, default=400)
    parser.add_argument('--threads', type=int, help="(default: torch's choice)")
    return parser


def fine_tune(
    config: Config, checkpoint: str, iters: int, seed: int, measure: Callable[[Runner], dict[str, float]] | None = None
) -> dict[str, float]:
    """Train from an encoder and test.

    Args:
        config: Config of the run, with its ``work_dir``.
        checkpoint: Checkpoint of pre-training, or empty for random weights.
        iters: Number of iterations, at least 2. At most a fifth of them are warm-up.
        seed: Seed of the run.
        measure: Function that returns more scores of the trained model, called before the test.

    Returns:
        Scores, and ``final_loss``, the mean loss of the last tenth of the iterations.
    """
    from mmengine.runner import Runner

    warmup, cosine = config.param_scheduler
    warmup.end = cosine.begin = max(min(warmup.end, iters // 5), 1)
    cosine.end = iters
    config.randomness = dict(seed=seed, diff_rank_seed=True)
    config.model.backbone.init_cfg = checkpoint and dict(
        type='Pretrained', checkpoint=checkpoint, prefix='backbone.', map_location='cpu'
    )
    runner = Runner.from_cfg(config)
    runner.train()
    losses = runner.message_hub.get_scalar('train/loss').data[0]
    measured = measure(runner) if measure else {}
    scores = {key: float(value) for key, value in runner.test().items()}
    return scores | measured | dict(final_loss=float(losses[-max(iters // 10, 1) :].mean()))


def compare(
    args: argparse.Namespace,
    make_config: Callable[[], Config],
    measure: Callable[[Runner], dict[str, float]] | None = None,
) -> None:
    """Train and test from each initialization with each seed.

    Writes ``<out>/table.json`` after each run and prints the table at the end.

    Args:
        args: Arguments of a parser of :func:`make_parser`.
        make_config: Function that returns the config of a run without initialization, seed and work dir.
        measure: As in :func:`fine_tune`.
    """
    import torch

    from mmvidmae.utils.files import atomic_write

    if args.threads:
        torch.set_num_threads(args.threads)
    table = {}
    for seed in args.seeds:
        for init in args.init:
            name, _, checkpoint = init.partition('=')
            config = make_config()
            config.work_dir = str(args.out / f'{name}-{seed}')
            table[f'{name}-{seed}'] = fine_tune(config, checkpoint, args.iters, seed, measure)
            with atomic_write(args.out / 'table.json') as part:
                part.write_text(json.dumps(dict(iters=args.iters, scores=table), indent=2) + '\n')
    columns = list(next(iter(table.values())))
    print(f'{"init-seed":<16}' + ''.join(f'{column.rpartition("/")[2]:>16}' for column in columns))
    for name, scores in table.items():
        print(f'{name:<16}' + ''.join(f'{scores[column]:16.2f}' for column in columns))
