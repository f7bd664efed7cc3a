"""Train the model of a config, alone or started by dist_train.sh, slurm_train.sh or ``mim train mmvidmae``.

Exit codes: 0 after the training, 2 after a mistake in the arguments, 75 after a signal that announces the end of the
process (SIGTERM, SIGUSR1; the run is saved), 130 after Ctrl-C.
"""

import sys

from mmvidmae.utils.arguments import make_parser, require_file
from mmvidmae.utils.interrupt import leave_on_interrupt


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from a checkpoint, by default from the latest in the work dir (from scratch if there is none)',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--no-validate', action='store_true', help='no validation during training')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='multiply the learning rate by (pairs of an optimizer step) / auto_scale_lr.base_batch_size. A step has '
        'processes x batch_size x repeated_sampling x accumulative_counts pairs',
    )
    args = parser.parse_args()

    from mmvidmae.engine.cli import build_runner, load_config, require_batches, resume_latest, train  # takes seconds

    cfg = load_config(parser, args)
    for key in ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'):
        if cfg.get(key) is None:
            parser.error(f'{args.config} has no {key}: it cannot be trained')
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            parser.error(f'--auto-scale-lr: {args.config} has no auto_scale_lr=dict(base_batch_size=...)')
        cfg.auto_scale_lr.enable = True
    if args.resume == 'auto' or (args.resume is None and cfg.get('resume') and not cfg.get('load_from')):
        resume_latest(parser, cfg)
    elif args.resume:
        require_file(parser, args.resume, 'checkpoint')
        cfg.resume, cfg.load_from = True, args.resume

    runner = build_runner(cfg)
    require_batches(parser, runner)
    return train(parser, runner)


if __name__ == '__main__':
    with leave_on_interrupt('Training had not begun: nothing was saved.'):
        code = main()

    from mmvidmae.engine.cli import close_distributed

    close_distributed()
    if code:
        sys.exit(code)
