"""Compare our models with outputs recorded from the authors' implementations.

The arrays of a ``.npz`` file determine which model or function is checked. It is built from the file alone. The checks
are part of the tests, so this program needs a checkout. It prints a line for each array with its largest difference and
its tolerance. The exit code is 1 if a tolerance is exceeded.

Example:
    python tools/analysis_tools/check_parity.py tests/data/parity/*.npz
"""

import argparse
import sys
import zipfile
from pathlib import Path

from mmvidmae.utils.interrupt import leave_on_interrupt

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('files', nargs='+', metavar='FILE.npz', help='reference files')
    parser.add_argument('--quiet', action='store_true', help='print only failures and a line per file')
    args = parser.parse_args()
    with leave_on_interrupt('The files named above were compared, the others were not.'):
        return check(args)


def check(args: argparse.Namespace) -> int:
    sys.path.insert(0, str(ROOT / 'tests'))
    from parity import check_file

    failed = 0
    for path in args.files:
        try:
            report = check_file(path)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            print(f'FAIL {path}: {error}')
            failed += 1
            continue
        for difference in report.differences:
            if not (args.quiet and difference.passed):
                print(difference)
        failed += not report.passed
        print(f'{"ok  " if report.passed else "FAIL"} {path}: {len(report.differences)} comparisons')
    return int(failed > 0)


if __name__ == '__main__':
    sys.exit(main())
