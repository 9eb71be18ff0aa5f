"""Turn a data set as it is downloaded into the slices and volumes that configs read.

Usage: python tools/dataset_converters/convert.py acdc downloads/ACDC data/acdc
       python tools/dataset_converters/convert.py acdc --help
"""

import argparse
import sys
from pathlib import Path

from mmssl.converters.engine import FaultsFound, convert
from mmssl.converters.report import described
from mmssl.converters.sets import CONVERTERS
from mmssl.utils.cli import Parser, run


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; every data set has options of its own."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sets = parser.add_subparsers(dest='data', metavar='NAME', required=True, help='the data set')
    for name, cls in CONVERTERS.items():
        own = sets.add_parser(name, prog=f'{parser.prog} {name}', help=cls.summary,
                              description=cls.__doc__)  # fmt: skip
        own.add_argument('raw', metavar='RAW', help='folder or zip file of the download; only read')
        own.add_argument('out', metavar='OUT', help='folder of the result')
        own.add_argument(
            '--skip-faults',
            action='store_true',
            help='go on without the cases that have a fault; the table says how many',
        )
        if cls.volumes:
            own.add_argument(
                '--ignore-geometry',
                action='store_true',
                help='compare the shapes of image and mask alone, not their affines',
            )
        cls.add_options(own)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Convert; return 1 if the download has faults."""
    args = parse_args(argv)
    converter = CONVERTERS[args.data](args)
    try:
        report = convert(converter, args.raw, args.out, args.skip_faults)
    except FaultsFound as found:
        print(f'{converter.title}: {len(found.faults)} fault(s) in {args.raw}:', file=sys.stderr)
        for fault in found.faults:
            print(f'  {fault}', file=sys.stderr)
        print(
            'Nothing was written. Set them right, or go on without these cases: --skip-faults',
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        raise KeyboardInterrupt('the same command goes on where this one stopped') from None
    for fault in report.faults:
        print(f'passed over: {fault}', file=sys.stderr)
    done = f'{report.written} file(s) written' if report.written else 'all files were there already'
    print(f'{converter.title} in {args.out}: {done}\n')
    print(described(converter, report, Path(args.out)))
    return 0


if __name__ == '__main__':
    run(main)
