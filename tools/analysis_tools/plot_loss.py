"""Draw loss curves of runs: training loss, held-out error (``reconstruction/mse``) and the constant predictor."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if (ROOT / 'mmvidmae').is_dir():  # run from a checkout, from wherever: use its package
    sys.path.insert(0, str(ROOT))

from mmvidmae.visualization import plot_losses  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='work dir of a run')
    parser.add_argument('-o', '--out', default='loss.png', help='picture to write (default: %(default)s)')
    args = parser.parse_args()
    try:
        plot_losses(args.work_dirs, args.out)
    except ValueError as error:
        parser.error(str(error))
    print(args.out)


if __name__ == '__main__':
    main()
