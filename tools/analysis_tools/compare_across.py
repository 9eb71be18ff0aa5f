"""Compare methods over several data sets: means, mean ranks, and what is more than chance."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmssl.experiments.table import METRICS
from mmssl.utils.cli import Parser, run

EXAMPLES = """examples:
  mmssl across work_dirs/fair/montgomery_10 work_dirs/fair/shenzhen_10
  mmssl across work_dirs/fair/* --domains unlabelled --out work_dirs/across

Each FOLDER is a data set: that of `mmssl compare`, or any with METHOD/RUN, trainings with their
tests. Methods are called as there, and those that all data sets have are compared: every data
set counts the same, patients are drawn anew, and trainings are compared within each data set.
exit codes: 1 something to set right."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('folders', nargs='+', type=Path, metavar='FOLDER', help='folders of comparisons')
    add('--student', help='whose scores count (default: the first, the primary one)')
    add(
        '--domains',
        choices=('all', 'labelled', 'unlabelled'),
        default='all',
        help='all test domains, or those with or without labels in training',
    )
    add('--metric', choices=METRICS, default='DSC', help='by which methods are compared')
    add('--out', type=Path, metavar='FOLDER', help='write tables, numbers and a plot there')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables, and write them where asked."""
    args = parse_args(argv)
    from mmssl.reports.across import Across

    found = Across(args.folders, args.student, args.domains, args.metric)
    print(f'\n{found.text()}\n')
    if args.out:
        print('Wrote', *found.write(args.out), sep='\n  ')
    return 0


if __name__ == '__main__':
    run(main)
