"""Test the model of a config, alone or started by dist_test.sh, slurm_test.sh or ``mim test mmvidmae``."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if (ROOT / 'mmvidmae').is_dir():  # run from a checkout, from wherever: use its package
    sys.path.insert(0, str(ROOT))

import mmengine  # noqa: E402
from mmengine.dist import is_main_process  # noqa: E402
from mmengine.evaluator import DumpResults  # noqa: E402

from mmvidmae.engine.hooks import WholeCheckpointHook  # noqa: E402
from mmvidmae.utils.cli import build_runner, close_distributed, load_config, make_parser, require_file  # noqa: E402


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('checkpoint', nargs='?', help='checkpoint (default: what the config loads by itself)')
    parser.add_argument(
        '--out', metavar='FILE', help='write the metrics (.json) or the predictions, one a dataset item (.pkl)'
    )
    args = parser.parse_args()
    if args.out and not args.out.endswith(('.json', '.pkl')):
        parser.error(f'--out {args.out}: expected a name in .json (metrics) or .pkl (predictions)')

    cfg = load_config(parser, args)
    for key in ('model', 'test_dataloader', 'test_cfg', 'test_evaluator'):
        if cfg.get(key) is None:
            parser.error(f'{args.config} has no {key}: there is nothing to test')
    cfg.resume = False
    if args.checkpoint:
        require_file(parser, args.checkpoint, 'checkpoint')
        cfg.load_from = args.checkpoint

    runner = build_runner(cfg)
    runner.register_hook(WholeCheckpointHook())  # no scores of weights that are random in part
    if args.out and args.out.endswith('.pkl'):
        runner.test_evaluator.metrics.append(DumpResults(args.out))
    metrics = runner.test()
    if args.out and args.out.endswith('.json') and is_main_process():
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main()
    close_distributed()
