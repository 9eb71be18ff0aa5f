"""Train and test a config over a grid of values and seeds; write the table and the plot."""

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmssl.experiments.axes import Axis, check_keys, folder_names, parse_axes, parse_options
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
        super().__init__(args, tools)
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
        grid, seeds = self._earlier()
        self.kept = dict(self._jobs(grid, seeds, checkpoint))
        wanted = set(itertools.product(*(axis.values for axis in self.axes)))
        self.jobs = {
            key: job for key, job in self.kept.items() if key[0] in wanted and key[1] in self.seeds
        }

    def _earlier(self) -> tuple[list[Axis], list[int]]:
        """Return the axes and seeds with those that earlier calls tried in this folder."""
        try:
            before = json.loads((self.folder / 'results.json').read_text())
            if [*before['grid']] != [axis.name for axis in self.axes]:
                return self.axes, self.seeds
            grid = [Axis(a.name, {**before['grid'][a.name], **a.values}) for a in self.axes]
            return grid, sorted({*self.seeds, *before['seeds']})
        except (OSError, ValueError, KeyError, TypeError):
            return self.axes, self.seeds

    def _jobs(
        self, axes: list[Axis], seeds: list[int], checkpoint: str
    ) -> Iterator[tuple[tuple, Job]]:
        """Give (labels, seed) and the job of every run, all combinations of a seed together."""
        folders = [folder_names(list(axis.values)) for axis in axes]
        combinations = list(itertools.product(*(axis.values for axis in axes)))
        for seed, labels in itertools.product(seeds, combinations):
            options, titles, folder = dict(self.base), [], []
            for axis, label, names in zip(axes, labels, folders, strict=True):
                options.update(axis.values[label])
                titles.append(f'{axis.name}={label}')
                folder.append(f'{axis.name}={names[label]}')
            name = ', '.join([*titles, f'seed {seed}'])
            place = self.folder / (','.join(folder) or 'runs') / f'seed{seed}'
            yield (
                (labels, seed),
                self.job(name, place, self.args.config, seed, checkpoint, options),
            )

    def row(self, labels: tuple[str, ...], runs: dict[str, dict]) -> Row:
        """Return the row of a combination; without a varied key the config gives the name."""
        return super().row(labels or (Path(self.args.config).stem,), runs)

    def notes(self) -> str:
        """Return what stands under the table."""
        seeds = sorted({seed for (_, seed), job in self.kept.items() if job.state() == 'done'})
        return (
            f'Mean ± standard deviation over the seeds {", ".join(map(str, seeds))} of '
            f'`{self.args.config}`; student: {self.student}; checkpoint: '
            f'{self.args.checkpoint}. {self.protocol}.'
        )

    def content(self) -> dict:
        """Return what `results.json` says besides the scores."""
        return {
            'config': self.args.config,
            'cfg_options': self.base,
            'amp': self.args.amp,
            'grid': {axis.name: axis.values for axis in self._earlier()[0]},
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
