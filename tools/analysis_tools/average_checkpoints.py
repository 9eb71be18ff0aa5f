"""Average the kept checkpoints of a run into one that test, predict and publish take."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmssl.utils.cli import Parser, run
from mmssl.utils.config.options import add_cfg_options, at_least

EXAMPLES = """examples:
  python tools/analysis_tools/average_checkpoints.py work_dirs/cps/lite_acdc --by swa
  python tools/test.py configs/cps/lite_acdc.py work_dirs/cps/lite_acdc/mean_swa.pth

swa: equal mean of the newer half of iter_*.pth; ema: exponential mean of all, whose memory is a
quarter of the training; soup: mean of those that agreement on unlabelled training images adds one
by one. The run must have kept them (default_hooks.checkpoint.max_keep_ckpts=-1).
exit codes: 1 something to set right; 130 interrupted."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('run', type=Path, help='work folder of the training')
    add('--by', choices=('swa', 'ema', 'soup'), default='swa', help='which mean (default swa)')
    add('--out', type=Path, metavar='FILE.pth', help='default: mean_BY.pth in the work folder')
    add(
        '--statistics',
        choices=('recompute', 'average'),
        default='recompute',
        help='of BatchNorm: recomputed on training images (default), or averaged as the weights',
    )
    add('--num-images', type=at_least(1), help='unlabelled images (default 32, or 4 volumes)')
    add_cfg_options(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Average and write."""
    args = parse_args(argv)
    from mmssl.experiments.averaged import check_place, write_mean
    from mmssl.experiments.kept_run import KeptRun
    from mmssl.experiments.selection_study import place_of

    out = args.out or args.run / f'mean_{args.by}.pth'
    check_place(out)
    kept = KeptRun(args.run, place_of(args.run, None), args.cfg_options, args.num_images)
    if args.by == 'soup':
        kept.measure(scored=False)
    iterations = write_mean(kept, args.by, out, args.statistics)
    print(f'Wrote {out}, the mean of the iterations {", ".join(map(str, iterations))}')


if __name__ == '__main__':
    run(main)
