"""Does pre-training help a tracker? Fine-tune the small tracker from several encoders, with the same schedule and
seeds, and score it on sequences that it did not train on.

Example:
    python tools/experiments/small_tracker.py data/sequences/train data/sequences/test work_dirs/small_tracker \\
        --start random --start dropmae=dropmae.pth --start twinmae=twinmae.pth --seeds 0 1
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if (ROOT / 'mmvidmae').is_dir():  # run from a checkout, from wherever: use its package
    sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

from mmvidmae.compat.mmtrack import enable  # noqa: E402
from mmvidmae.utils.files import whole_file  # noqa: E402

CONFIG = ROOT / 'configs/small/droptrack.py'


def run(args: argparse.Namespace, name: str, checkpoint: str, seed: int) -> dict[str, float]:
    """Train and test one tracker; scores in per cent, and the mean loss of the last tenth."""
    config = Config.fromfile(CONFIG)
    config.work_dir = str(args.out / f'{name}-{seed}')
    config.train_dataloader.dataset.data_root = str(args.train)
    config.test_dataloader.dataset.data_root = str(args.test)
    config.test_evaluator.out_dir = f'{config.work_dir}/boxes'
    config.train_dataloader.sampler.samples_per_epoch = args.iters * config.train_dataloader.batch_size
    config.param_scheduler[1].end = args.iters
    config.randomness = dict(seed=seed, diff_rank_seed=True)
    config.log_level = 'WARNING' if args.quiet else 'INFO'
    if checkpoint:
        config.model.backbone.init_cfg = dict(
            type='Pretrained', checkpoint=checkpoint, prefix='backbone.', map_location='cpu'
        )
    runner = Runner.from_cfg(config)
    runner.train()
    history = runner.message_hub.get_scalar('train/loss').data[0]
    return runner.test() | dict(final_loss=float(history[-len(history) // 10 :].mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('train', type=Path, help='folder of sequences (docs/tracking_data.md)')
    parser.add_argument('test', type=Path, help='another, for the scores')
    parser.add_argument('out', type=Path)
    parser.add_argument('--start', action='append', required=True, metavar='NAME[=CHECKPOINT]', help='may be repeated')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--iters', type=int, default=600)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--quiet', action='store_true')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    enable()
    table = {}
    for seed in args.seeds:
        for start in args.start:
            name, _, checkpoint = start.partition('=')
            table[f'{name}-{seed}'] = run(args, name, checkpoint, seed)
            with whole_file(args.out / 'table.json') as part:
                part.write_text(json.dumps(dict(iters=args.iters, scores=table), indent=2) + '\n')
    columns = list(next(iter(table.values())))
    print(f'{"start-seed":<16}' + ''.join(f'{column.removeprefix("sot/"):>16}' for column in columns))
    for name, scores in table.items():
        print(f'{name:<16}' + ''.join(f'{scores[column]:16.2f}' for column in columns))


if __name__ == '__main__':
    main()
