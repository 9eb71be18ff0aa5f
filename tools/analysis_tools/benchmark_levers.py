"""Time the steps of several methods without levers and with them, and look for waiting."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmssl.utils.cli import Parser, run

EXAMPLES = """examples:
  python tools/analysis_tools/benchmark_levers.py --out levers.json
  python tools/analysis_tools/benchmark_levers.py --released SynFoC --minutes 9
  python tools/analysis_tools/benchmark_levers.py --levers fast cuda_graph --no-waiting
  python tools/analysis_tools/benchmark_levers.py --configs configs/ua_mt/lite_acdc.py \\
      --device cpu --iters 2 --warm-up 0

Every config is measured as it is and with `speed.fast`, with --amp, in turn, on generated images
and random weights; SynFoC's released step beside them where a checkout is named. Then one loss of
each method is computed in which PyTorch refuses that the CPU waits for the GPU. The file is written
after each config; what does not fit into the minutes is left out and named.
exit codes: 1 something to set right, 2 unknown component or option, 70 not foreseen"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    import torch

    from mmssl.experiments.cost.levers import CONFIGS
    from mmssl.utils.config.options import add_cfg_options, at_least

    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--configs', nargs='+', default=CONFIGS, help='of the methods that are timed')
    add('--levers', nargs='+', default=['fast'], help='what is on in one of the two, e.g. compile')
    add('--released', metavar='FOLDER', help="checkout of SynFoC's released code")
    add('--device', choices=('cpu', 'cuda'), default='cuda' if torch.cuda.is_available() else 'cpu')
    add('--iters', type=at_least(1), default=20, help='turns (default 20)')
    add('--warm-up', type=at_least(0), default=3, help='iterations before them (default 3)')
    add('--file-size', type=at_least(8), default=384, help='side of the generated images')
    add('--minutes', type=at_least(1), default=9, help='after which nothing more is begun')
    add('--no-waiting', action='store_true', help='leave out the losses in which nothing may wait')
    add('--out', type=Path, default=Path('levers.json'), metavar='JSON', help='file of the numbers')
    add_cfg_options(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, write the file and print the table."""
    args = parse_args(argv)
    from mmssl.experiments.cost.levers import Levers

    Levers(args).run()


if __name__ == '__main__':
    run(main)
