"""Measure what a training iteration of a config costs on this machine: time, memory, arithmetic."""

import argparse
from collections.abc import Sequence

from mmssl.utils.cli import Parser, run

EXAMPLES = """examples:
  python tools/analysis_tools/benchmark_step.py configs/synfoc/prostate.py --random-weights --amp
  python tools/analysis_tools/benchmark_step.py configs/cps/acdc.py --device cpu --iters 3
  python tools/analysis_tools/benchmark_step.py configs/synfoc/prostate.py --device meta --profile
  python tools/analysis_tools/benchmark_step.py configs/cps/acdc.py \\
      --against-cfg-options train_dataloader.batch_sampler.num_unlabelled=4

The batch has the config's size and views, of generated images; no file is read but the weights
that the config names, and with --random-weights not those either: time and memory are the same.
exit codes: 1 something to set right, 2 unknown component or option, 70 not foreseen"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    from mmssl.experiments.cost.command import add_arguments

    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the time of an iteration and what it needs."""
    from mmssl.experiments.cost.command import run_step

    run_step(parse_args(argv))


if __name__ == '__main__':
    run(main)
