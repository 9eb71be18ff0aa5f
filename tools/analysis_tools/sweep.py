"""Train and test a config over a grid of values and seeds; write the table and the plot."""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmssl.experiments.axes import check_keys, folder_names, parse_axes, parse_options
from mmssl.experiments.jobs import TOOLS, Job
from mmssl.experiments.report import Grid, add_arguments, best_key
from mmssl.experiments.runs import run_jobs
from mmssl.experiments.table import Row
from mmssl.utils.cli import Parser, run

EXAMPLES = """examples:
  python tools/analysis_tools/sweep.py CONFIG --vary model.threshold.value=0.9,0.95 --seeds 0,1,2
  python tools/analysis_tools/sweep.py CONFIG --vary 'model.neck.blocks=[2,4,6],[5,6,7]' \\
      --seeds 0,1,2 --gpus 0,1,2,3 --amp
  python tools/analysis_tools/sweep.py CONFIG --vary 'a.b&c.d=10,30' --vary 'e.f=none:0,some:1'

values are separated by commas (not those inside brackets); KEY&KEY sets several keys at once, to
one value or to V&V; NAME:VALUE names a value in tables and folders.
exit codes: 1 a run failed or something is to be set right, 130 interrupted; the same command
goes on."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help='config file')
    add(
        '--vary',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=V1,V2',
        help='values to try; several of these make a grid; none repeats the config over the seeds',
    )
    add_arguments(parser, 'work_dirs/sweeps/CONFIG/VARIED_KEYS')
    return parser.parse_args(argv)


class Sweep(Grid):
    """The runs of a grid of values.

    Args:
        args: the command line.
        tools: folder of `train.py` and `test.py`.

    Raises:
        ValueError: something on the command line does not fit the config.
    """

    def __init__(self, args: argparse.Namespace, tools: Path) -> None:
        super().__init__(args)
        self.axes = parse_axes(args.vary)
        self.base = parse_options(args.cfg_options)
        keys = [key for axis in self.axes for key in next(iter(axis.values.values()))]
        cfg = check_keys(args.config, self.base, keys)
        checkpoint = best_key(cfg, args.student) if args.checkpoint == 'best' else 'last'
        config = Path(args.config)
        self.names = [axis.name for axis in self.axes] or ['config']
        self.folder = args.work_dir or Path(
            'work_dirs',
            'sweeps',
            '_'.join([*config.parts[-2:-1], config.stem]),
            '+'.join(axis.name for axis in self.axes) or 'seeds',
        )
        self.jobs = dict(self._jobs(checkpoint, tools))

    def _jobs(self, checkpoint: str, tools: Path) -> Iterator[tuple[tuple, Job]]:
        """Give (labels, seed) and the job of every run, all combinations of a seed together."""
        folders = [folder_names(list(axis.values)) for axis in self.axes]
        combinations = list(itertools.product(*(axis.values for axis in self.axes)))
        for seed, labels in itertools.product(self.seeds, combinations):
            options, titles, folder = dict(self.base), [], []
            for axis, label, names in zip(self.axes, labels, folders, strict=True):
                options.update(axis.values[label])
                titles.append(f'{axis.name}={label}')
                folder.append(f'{axis.name}={names[label]}')
            options['randomness.seed'] = str(seed)
            yield (
                (labels, seed),
                Job(
                    name=', '.join([*titles, f'seed {seed}']),
                    folder=self.folder / (','.join(folder) or 'runs') / f'seed{seed}',
                    config=self.args.config,
                    options=options,
                    amp=self.args.amp,
                    checkpoint=checkpoint,
                    tools=tools,
                    processes=self.args.processes,
                ),
            )

    def row(self, labels: tuple[str, ...], runs: dict[str, dict]) -> Row:
        """Return the row of a combination; without a varied key the config gives the name."""
        return super().row(labels or (Path(self.args.config).stem,), runs)

    def notes(self) -> str:
        """Return what stands under the table."""
        return (
            f'Mean ± standard deviation over the seeds {", ".join(map(str, self.seeds))} of '
            f'`{self.args.config}`; student: {self.student}; checkpoint: '
            f'{self.args.checkpoint}. {self.protocol}.'
        )

    def content(self) -> dict:
        """Return what `results.json` says besides the scores."""
        return {
            'config': self.args.config,
            'cfg_options': self.base,
            'amp': self.args.amp,
            'grid': {axis.name: axis.values for axis in self.axes},
        }


def main(argv: Sequence[str] | None = None, tools: Path = TOOLS) -> None:
    """Run the grid.

    Args:
        argv: the command line; None takes the program's.
        tools: folder of `train.py` and `test.py`.
    """
    Sweep(parse_args(argv), tools).run(run_jobs)


if __name__ == '__main__':
    run(main)
