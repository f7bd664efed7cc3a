"""Test the model of a config, alone or started by dist_test.sh, slurm_test.sh or ``mim test mmvidmae``."""

import argparse

from mmvidmae.utils.arguments import make_parser, require_file
from mmvidmae.utils.interrupt import leave_on_interrupt


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('checkpoint', nargs='?', help='checkpoint (default: what the config loads by itself)')
    parser.add_argument(
        '--out',
        metavar='FILE',
        help='write the metrics and whose they are (.json), or the predictions, one a dataset item (.pkl)',
    )
    args = parser.parse_args()
    if args.out and not args.out.endswith(('.json', '.pkl')):
        parser.error(f'--out {args.out}: expected a name in .json (metrics) or .pkl (predictions)')
    require_file(parser, args.config, 'config')
    if args.checkpoint:
        require_file(parser, args.checkpoint, 'checkpoint')

    metrics = []
    with leave_on_interrupt(lambda: what_is_there(metrics)):
        test(parser, args, metrics)

        from mmvidmae.engine.cli import close_distributed

        close_distributed()


def test(parser: argparse.ArgumentParser, args: argparse.Namespace, metrics: list) -> None:
    """Run the test, and fill ``metrics`` with the metrics that compute its scores."""
    import mmengine
    from mmengine.dist import is_main_process
    from mmengine.evaluator import DumpResults

    from mmvidmae.engine.cli import build_runner, load_config
    from mmvidmae.engine.hooks import WeightsRecordHook, WholeCheckpointHook

    cfg = load_config(parser, args)
    for key in ('model', 'test_dataloader', 'test_cfg', 'test_evaluator'):
        if cfg.get(key) is None:
            parser.error(f'{args.config} has no {key}: there is nothing to test')
    cfg.resume = False
    if args.checkpoint:
        cfg.load_from = args.checkpoint

    runner = build_runner(cfg)
    runner.register_hook(WholeCheckpointHook())  # no scores of weights that are random in part
    metrics += runner.test_evaluator.metrics
    if args.out and args.out.endswith('.pkl'):
        runner.test_evaluator.metrics.append(DumpResults(args.out))
    records = [hook for hook in runner.hooks if isinstance(hook, WeightsRecordHook)]
    if not records:
        records = [WeightsRecordHook()]
        runner.register_hook(records[0])
    scores = runner.test()
    if args.out and args.out.endswith('.json') and is_main_process():
        mmengine.dump(dict(scores, weights=records[0].weights), args.out)


def what_is_there(metrics: list) -> str:
    """Message about the results of an interrupted test and how to continue."""
    again = 'There are no scores yet: run the same command again, which begins with the first item.'
    for metric in metrics:
        folder = getattr(metric, 'out_dir', None)
        if folder and metric.results:
            return f'Videos that are done: {len(metric.results)}; what was predicted is in {folder}. {again}'
    return again


if __name__ == '__main__':
    main()
