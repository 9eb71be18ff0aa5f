"""Publish a trained model as one file: tensors, how images are read, and a card; no code."""

import argparse
from pathlib import Path

from mmssl.utils.cli import Parser, run

EXAMPLES = """examples:
  mmssl publish configs/mean_teacher/prostate.py CKPT prostate.mmssl --teacher
  mmssl publish configs/synfoc/prostate.py CKPT prostate.mmssl --all --scores result.json
  mmssl publish configs/synfoc/prostate.py CKPT unet.mmssl --student unet --license CC-BY-4.0"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    from mmssl.utils.config.options import add_cfg_options

    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the training')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', metavar='OUT.mmssl', help='the bundle, written whole or not at all')
    parser.add_argument(
        '--student', metavar='NAME', help="this student (default: that of the model's prediction)"
    )
    parser.add_argument(
        '--teacher', action='store_true', help='its teacher instead; with --all, teachers too'
    )
    parser.add_argument(
        '--all', action='store_true', help='all networks that the predictions of the model need'
    )
    parser.add_argument(
        '--lora',
        choices=('merged', 'apart'),
        default='merged',
        help='merged: the bundle needs no other file (default); apart: it is small, and needs the '
        'published file of the trunk, whose SHA-256 it holds',
    )
    parser.add_argument('--scores', metavar='FILE', help='results of tools/test.py --out')
    parser.add_argument(
        '--no-data', action='store_true', help='leave out the summary of the training data'
    )
    parser.add_argument('--name', default='', help='name of the model (default: of the file)')
    parser.add_argument('--description', default='', help='what it is for')
    parser.add_argument('--license', default='', help='under which it may be used')
    parser.add_argument('--citation', default='', help='what to cite')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Publish."""
    args = parse_args()
    from mmssl.apis import publish
    from mmssl.bundles.card import About
    from mmssl.bundles.networks import Choice
    from mmssl.utils.processes.folder_lock import lock_file

    with lock_file(args.out, 'the third argument'):
        publish(
            args.config,
            args.checkpoint,
            args.out,
            Choice(args.student, args.teacher, args.all, args.lora),
            About(args.name, args.description, args.license, args.citation),
            args.scores,
            not args.no_data,
            args.cfg_options,
        )
    size = Path(args.out).stat().st_size / 1e6
    print(f'Wrote {args.out} ({size:.1f} MB); mmssl info {args.out} shows its card')


if __name__ == '__main__':
    run(main)
