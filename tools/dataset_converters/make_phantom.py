"""Write the multi-scanner phantom: slices and masks of several made-up scanners.

Usage: python tools/dataset_converters/make_phantom.py data/phantom [--size 96 --classes 2]
"""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from mmssl.datasets.phantom import SCANNERS, PhantomSettings, write_phantom

HELP = {
    'domains': f'scanners to write, of {", ".join(SCANNERS)}',
    'size': 'height and width of a slice in pixels',
    'classes': '1: the organ (mask 0, 255); 2: its outer and inner zone (mask 0, 128, 255)',
    'train_cases': 'training cases of each scanner',
    'train_slices': 'slices of a training case',
    'test_cases': 'test cases of each scanner',
    'test_slices': 'slices of a test case',
    'seed': 'another seed gives other cases',
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write the phantom as ROOT/SCANNER/{train,test}/{image,mask}/CC_SS.png.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('root', help='folder of the data set, made whole or not at all')
    for item in fields(PhantomSettings):
        several = {'nargs': '+', 'type': str} if item.name == 'domains' else {'type': int}
        flag = '--' + item.name.replace('_', '-')
        parser.add_argument(flag, default=item.default, help=HELP[item.name], **several)
    parser.add_argument(
        '--overwrite', action='store_true', help='replace a phantom made with other settings'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Write the data set; return 1 if that is not possible."""
    args = vars(parse_args(argv))
    root, overwrite = Path(args.pop('root')), args.pop('overwrite')
    try:
        settings = PhantomSettings(**args)
        written = write_phantom(root, settings, overwrite)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    slices = len(settings.domains) * (
        settings.train_cases * settings.train_slices + settings.test_cases * settings.test_slices
    )
    state = 'written' if written else 'there already, nothing to do'
    print(f'{root}: {len(settings.domains)} scanners, {slices} slices, {state}')
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit('interrupted; nothing was written')
