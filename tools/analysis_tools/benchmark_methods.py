"""Train and test many methods on one data set, network and budget; write the table and the plot."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmssl.experiments.comparison import Benchmark
from mmssl.experiments.jobs import TOOLS
from mmssl.experiments.report import add_arguments
from mmssl.experiments.runs import run_jobs
from mmssl.experiments.tuning import add_tuning_arguments
from mmssl.utils.cli import Parser, run

EXAMPLES = """examples:
  python tools/analysis_tools/benchmark_methods.py --methods sup_only,unimatch,mcsd \\
      --data configs/sup_only/lite_acdc.py --iters 2000 --seeds 0,1,2
  python tools/analysis_tools/benchmark_methods.py --methods sup_only,synfoc,mine=path/to/mine.py \\
      --data configs/sup_only/lite_fundus.py --iters 2000 --gpus 0,1 --amp
  python tools/analysis_tools/benchmark_methods.py --methods samed,synfoc \\
      --data configs/sup_only/lite_fundus.py --iters 2000 --tune 'lr*=0.3,1,3' --trials 3

a method is a folder of configs (its config with the name of the data's is taken, else the one
without lite_), FOLDER/NAME, or a config file; NAME=METHOD names its row.
exit codes: 1 a run failed or something is to be set right, 130 interrupted; the same command
goes on, and may name more methods and seeds."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--methods', required=True, metavar='A,B,C', help='what is compared, in this order')
    add(
        '--data',
        required=True,
        metavar='CONFIG',
        help='config of SupOnly (or any other method) '
        'that gives data set, labels, views, batch, network and evaluation',
    )
    add('--iters', type=int, help="iterations of every training (default: the data config's)")
    add(
        '--batch',
        metavar='L,U',
        help='labelled and unlabelled images of a batch (default: as in '
        'the data config; where that has no unlabelled ones, as many as labelled)',
    )
    add(
        '--labels',
        type=int,
        help='number of labelled images of the published numbers, where '
        'a metafile has several (default: as many as the data config takes)',
    )
    add_tuning_arguments(parser)
    add_arguments(parser, 'work_dirs/benchmarks/METHOD/DATA_CONFIG')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, tools: Path = TOOLS) -> None:
    """Run the benchmark.

    Args:
        argv: the command line; None takes the program's.
        tools: folder of `train.py` and `test.py`.
    """
    Benchmark(parse_args(argv), tools).run(run_jobs)


if __name__ == '__main__':
    run(main)
