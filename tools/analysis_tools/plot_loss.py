"""Draw loss curves of runs: training loss, held-out error (``reconstruction/mse``) and the constant predictor."""

import argparse
from typing import TYPE_CHECKING

from mmvidmae.utils.interrupt import leave_on_interrupt

if TYPE_CHECKING:
    from mmvidmae.visualization.loss_curve import Losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='work dir of a run')
    parser.add_argument('-o', '--out', default='loss.png', help='image to write (default: %(default)s)')
    args = parser.parse_args()
    with leave_on_interrupt('Nothing was written: run the same command again.'):
        plot(parser, args)


def plot(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    from mmvidmae.visualization import plot_losses, read_losses

    try:
        runs = {work_dir: read_losses(work_dir) for work_dir in args.work_dirs}
        plot_losses(args.work_dirs, args.out)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f'{args.out}: loss curves of {len(runs)} {"run" if len(runs) == 1 else "runs"}')
    for work_dir, losses in runs.items():
        print(f'  {work_dir}: {describe(losses)}')


def describe(losses: 'Losses') -> str:
    """Describe the curves of a run in a line."""
    (first, start), (last, end) = losses.train[[0, -1]]
    text = f'training loss {start:.3f} at iteration {first:.0f}, {end:.3f} at {last:.0f}'
    if not len(losses.val):
        return f'{text}; no held-out error (the run had no validation)'
    return (
        f'{text}; held-out error {losses.val[0, 1]:.3f} to {losses.val[-1, 1]:.3f} in {len(losses.val)} validations, '
        f'constant predictor {losses.constant[:, 1].mean():.3f}'
    )


if __name__ == '__main__':
    main()
