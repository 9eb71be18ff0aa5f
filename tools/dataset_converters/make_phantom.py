"""Write the phantom: slices and masks of several made-up scanners, or volumes of one or more.

The layout `volumes` is for training on slices, `nifti` for training on whole volumes.

Usage: python tools/dataset_converters/make_phantom.py data/phantom [--size 96 --classes 2]
       python tools/dataset_converters/make_phantom.py data/phantom_volumes --layout volumes
       python tools/dataset_converters/make_phantom.py data/phantom_mri --layout nifti
"""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from mmssl.datasets.phantom.slices import SCANNERS, PhantomSettings, write_phantom
from mmssl.datasets.phantom.volumes import VolumeSettings, write_phantom_volumes
from mmssl.datasets.phantom.whole import WholeSettings, write_phantom_whole
from mmssl.utils.cli import Parser, run

LAYOUTS = {
    'slices': (PhantomSettings, write_phantom),
    'volumes': (VolumeSettings, write_phantom_volumes),
    'nifti': (WholeSettings, write_phantom_whole),
}
HELP = {
    'domains': f'scanners to write, of {", ".join(SCANNERS)}; patients of volumes take turns',
    'size': 'height and width of a slice in pixels',
    'classes': '1: the organ (mask 0, 255); 2: its outer and inner zone (mask 0, 128, 255); '
    'volumes hold the class ids themselves',
    'train_cases': 'training cases of each scanner, or in all volumes',
    'train_slices': 'slices of a training case',
    'val_cases': 'validation cases, in NIfTI of each scanner',
    'test_cases': 'test cases of each scanner, or in all volumes',
    'test_slices': 'slices of a test case',
    'slices': 'slices of a volume',
    'seed': 'another seed gives other cases',
}


def _defaults(option: str) -> dict[str, object]:
    """Return layout -> default of an option, for the layouts that have it."""
    return {
        layout: item.default
        for layout, (settings, _) in LAYOUTS.items()
        for item in fields(settings)
        if item.name == option
    }


def _shown(value: object) -> str:
    return ' '.join(value) if isinstance(value, tuple) else str(value)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; only what is given becomes an attribute."""
    parser = Parser(
        description='Write the phantom as ROOT/SCANNER/{train,test}/{image,mask}/CC_SS.png, or as '
        'volumes ROOT/data/patientNNN_frame01.h5, or ROOT/SCANNER/{image,mask}/patientNNN.nii.gz, '
        'with lists of the splits.',
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument('root', help='folder of the data set, made whole or not at all')
    parser.add_argument(
        '--layout', choices=tuple(LAYOUTS), default='slices', help='what to write (slices)'
    )
    for option, text in HELP.items():
        several = {'nargs': '+', 'type': str} if option == 'domains' else {'type': int}
        known = ', '.join(f'{key}: {_shown(value)}' for key, value in _defaults(option).items())
        flag = '--' + option.replace('_', '-')
        parser.add_argument(flag, help=f'{text} ({known})', **several)
    parser.add_argument(
        '--overwrite',
        action='store_true',
        default=False,
        help='replace a phantom made with other settings',
    )
    args = parser.parse_args(argv)
    for option in HELP:
        if hasattr(args, option) and args.layout not in _defaults(option):
            flag = '--' + option.replace('_', '-')
            parser.error(f'{flag} does not go with --layout {args.layout}')
    return args


def describe(settings: PhantomSettings | VolumeSettings | WholeSettings) -> str:
    """Say what a data set consists of."""
    if isinstance(settings, VolumeSettings):
        counts = settings.train_cases, settings.val_cases, settings.test_cases
        return '{} training, {} validation and {} test volumes'.format(*counts)
    if isinstance(settings, WholeSettings):
        counts = settings.train_cases, settings.val_cases, settings.test_cases
        scanners = len(settings.domains)
        return f'{scanners} scanner(s), each with ' + (
            '{} training, {} validation and {} test volumes'.format(*counts)
        )
    slices = len(settings.domains) * (
        settings.train_cases * settings.train_slices + settings.test_cases * settings.test_slices
    )
    return f'{len(settings.domains)} scanners, {slices} slices'


def main(argv: list[str] | None = None) -> int:
    """Write the data set; return 1 if that is not possible."""
    args = vars(parse_args(argv))
    root, overwrite = Path(args.pop('root')), args.pop('overwrite')
    make_settings, write = LAYOUTS[args.pop('layout')]
    try:
        settings = make_settings(**args)
        written = write(root, settings, overwrite)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    state = 'written' if written else 'there already, nothing to do'
    print(f'{root}: {describe(settings)}, {state}')
    return 0


if __name__ == '__main__':
    run(main)
