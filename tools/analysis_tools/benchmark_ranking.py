"""Compare a ranking with random choice: hide known labels, and label more in rounds."""

import argparse
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from mmssl.experiments.axes import parse_options
from mmssl.experiments.jobs import TOOLS, Job
from mmssl.experiments.report import Grid, add_arguments, best_key
from mmssl.experiments.runs import run_jobs
from mmssl.experiments.table import MEAN, Row
from mmssl.ranking.options import add_ranking_arguments, parse_measures
from mmssl.utils.cli import Parser, run
from mmssl.utils.config.options import at_least, parse_value
from mmssl.utils.io import write_atomic

CHOICES = ('random', 'ranked')
START = 'start'
LABELLED = 'train_dataloader.dataset.labelled'
EXAMPLES = """examples:
  python tools/analysis_tools/benchmark_ranking.py configs/sup_only/lite_acdc.py \\
      --start 3 --step 2 --rounds 3 --seeds 0,1,2

Every seed draws --start labelled cases of the labelled domain. In each round one training goes on
with cases of the whole training pool that chance draws, another one with those that rank highest
for the model of the round before; every training begins anew. Masks of the others stay closed.
exit codes: 1 a run failed or something is to be set right, 130 interrupted; the same command
goes on."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help='config file, whose training images all have masks')
    add('--start', type=at_least(1), default=3, metavar='N', help='labelled cases at first (3)')
    add('--step', type=at_least(1), default=2, metavar='N', help='cases labelled in a round (2)')
    add('--rounds', type=at_least(1), default=3, metavar='N', help='rounds (3)')
    add_ranking_arguments(parser)
    add_arguments(parser, 'work_dirs/benchmarks/ranking/CONFIG')
    return parser.parse_args(argv)


class Simulation(Grid):
    """Trainings with more and more labels, chosen in two ways.

    Args:
        args: the command line.
        tools: folder of `train.py` and `test.py`.

    Raises:
        ValueError: something on the command line does not fit the config.
    """

    names = ('choice', 'labelled cases')

    def __init__(self, args: argparse.Namespace, tools: Path) -> None:
        from mmssl.utils.setup import default_folder, load_config, register_all_modules

        super().__init__(args, tools)
        self.weights = parse_measures(args.measures)
        register_all_modules()
        self.base = parse_options(args.cfg_options)
        self.cfg = load_config(args.config, {k: parse_value(v) for k, v in self.base.items()})
        self.folder = args.work_dir or default_folder(args.config, 'benchmarks', 'ranking')
        self.checkpoint = best_key(self.cfg, args.student) if args.checkpoint == 'best' else 'last'
        self.budgets = [args.start + args.step * number for number in range(args.rounds + 1)]
        self.jobs = {
            ((choice, str(budget)), seed): self._job(choice, budget, seed)
            for choice, budget in self._settings()
            for seed in self.seeds
        }

    def _settings(self) -> Iterator[tuple[str, int]]:
        first, *later = self.budgets
        yield START, first
        yield from ((choice, budget) for budget in later for choice in CHOICES)

    def _job(self, choice: str, budget: int, seed: int) -> Job:
        domains = (self.cfg.train_dataloader.dataset.get('domains')) or ()
        several = {f'{LABELLED}.domain': 'all'} if len(domains) > 1 else {}
        dropped = {f'{LABELLED}.{key}': 'None' for key in ('num', 'cases', 'ratio')}
        chosen = {f'{LABELLED}.list': str(self._list(choice, budget, seed).resolve())}
        return self.job(
            f'{choice}, {budget} cases, seed {seed}',
            self.folder / f'{choice}_{budget}' / f'seed{seed}',
            self.args.config,
            seed,
            self.checkpoint,
            {**self.base, **dropped, **several, **chosen},
        )

    def _list(self, choice: str, budget: int, seed: int) -> Path:
        """Return the list of what is labelled, beside the folder of the run."""
        return self.folder / f'{choice}_{budget}' / f'seed{seed}.list'

    def rounds(
        self,
        jobs: Sequence[Job],
        executor: Any,
        overwrite: bool,
        say: Callable[[str], None],
        on_done: Callable[[Job], None],
    ) -> dict[str, str]:
        """Choose, train and test, round by round; return the failed runs and why.

        A run whose round before has failed is left for the next call.
        """
        failed: dict[str, str] = {}
        for before, budget in pairwise([None, *self.budgets]):
            now = []
            for (labels, seed), job in self.jobs.items():
                if labels[1] != str(budget):
                    continue
                earlier = None
                if before is not None:
                    choice = START if before == self.budgets[0] else labels[0]
                    earlier = self.jobs[(choice, str(before)), seed]
                    if earlier.state() != 'done':
                        failed[job.name] = f'"{earlier.name}" is not done'
                        continue
                self.label(labels[0], budget, seed, earlier, say)
                now.append(job)
            failed.update(run_jobs(now, executor, overwrite, say, on_done))
        return failed

    def label(
        self,
        choice: str,
        budget: int,
        seed: int,
        earlier: Job | None,
        say: Callable[[str], None] = print,
    ) -> None:
        """Write the list of a run's labelled images, if it is not there yet.

        Args:
            choice: how the new ones are chosen.
            budget: how many cases are labelled then.
            seed: of the run.
            earlier: the run of the round before.
            say: is told of a ranking.
        """
        path = self._list(choice, budget, seed)
        if path.exists():
            return
        draw = random.Random(f'{seed}, {budget}')  # the same for any order of the runs
        if earlier is None:
            names = self._first(draw)
        elif choice == 'random':
            names = self._random(draw, earlier)
        else:
            say(f'rank for {choice}, {budget} cases, seed {seed}')
            names = self._ranked(earlier)
        write_atomic(path, '\n'.join(names) + '\n')

    def _first(self, draw: random.Random) -> list[str]:
        from mmssl.ranking import of_config

        domain = (self.cfg.train_dataloader.dataset.get('labelled') or {}).get('domain')
        pool = of_config(self.cfg)
        cases = {}
        for image in pool.images:
            if domain in (None, 'all', image.domain):
                cases.setdefault((image.domain, image.case), []).append(image.listed)
        if len(cases) < self.budgets[0]:
            raise ValueError(f'--start {self.budgets[0]}: there are {len(cases)} cases')
        return [name for case in draw.sample(sorted(cases), self.budgets[0])
                for name in cases[case]]  # fmt: skip

    def _pool(self, job: Job):
        from mmssl.ranking import of_config
        from mmssl.utils.setup import load_config

        return of_config(
            load_config(job.config, {k: parse_value(v) for k, v in job.options.items()})
        )

    def _random(self, draw: random.Random, earlier: Job) -> list[str]:
        pool = self._pool(earlier)
        labelled = [image.listed for image in pool.images if image.labelled]
        cases = {}
        for image in pool.waiting():
            cases.setdefault((image.domain, image.case), []).append(image.listed)
        number = min(self.args.step, len(cases))
        drawn = draw.sample(sorted(cases), number)
        return [*labelled, *(name for case in drawn for name in cases[case])]

    def _ranked(self, earlier: Job) -> list[str]:
        from mmssl.apis import init_model
        from mmssl.ranking import Choice, rank

        options = {k: parse_value(v) for k, v in earlier.options.items()}
        model = init_model(earlier.config, str(earlier.weights()), cfg_options=options)
        choice = Choice(self.args.step, self.args.diversity, self.args.balance)
        found = rank(model, self._pool(earlier), choice, self.weights, self.args.slices)
        return found.names()

    def row(self, labels: tuple[str, ...], runs: dict[str, dict]) -> Row:
        """Return the row of a choice and a budget, with the number of labelled images."""
        row = super().row(labels, runs)
        counts = [
            len(path.read_text().splitlines())
            for seed in self.seeds
            if (path := self._list(labels[0], int(labels[1]), seed)).exists()
        ]
        row.notes = {'labelled images': f'{sum(counts) / len(counts):.1f}' if counts else '-'}
        return row

    def differences(self) -> list[list[str]]:
        """Return how far the ranking is ahead of random choice, paired by seed, in each round."""
        metric = self.args.metric
        cells = {row.labels: row for row in self.rows()}
        table = [['labelled cases', 'runs', f'ranked - random, {metric}', '95 % interval']]
        sums: dict[str, list[float]] = {}
        for budget in self.budgets[1:]:
            values = [_of_seeds(cells.get((choice, str(budget))), metric) for choice in CHOICES]
            pairs = {
                seed: values[1][seed] - values[0][seed] for seed in values[0] if seed in values[1]
            }
            for seed, value in pairs.items():
                sums.setdefault(seed, []).append(value)
            table.append([str(budget), *_interval(list(pairs.values()))])
        whole = [fmean(v) for v in sums.values() if len(v) == len(self.budgets) - 1]
        return [*table, ['mean of the rounds', *_interval(whole)]]

    def notes(self) -> str:
        """Return what stands under the table, the differences among it."""
        from mmssl.utils import tables

        options = f'diversity {self.args.diversity}, slices {self.args.slices}'
        measures = ', '.join(self.weights or ()) or 'all measures'
        return (
            f'### Ranked against random\n\n{tables.markdown(self.differences(), 1)}\n\n'
            f'Mean ± standard deviation over the seeds {", ".join(map(str, self.seeds))} of '
            f'`{self.args.config}`; the interval is that of Student for the mean of the '
            f'differences, paired by seed. Ranked by {measures}, {options}'
            f'{", domains balanced" if self.args.balance else ""}; student: {self.student}; '
            f'checkpoint: {self.args.checkpoint}. {self.protocol}.'
        )

    def content(self) -> dict:
        """Return what `results.json` says besides the scores."""
        return {
            'config': self.args.config,
            'cfg_options': self.base,
            'amp': self.args.amp,
            'budgets': self.budgets,
            'measures': self.weights,
            'slices': self.args.slices,
            'diversity': self.args.diversity,
            'balance': self.args.balance,
            'differences': self.differences(),
        }

    def plot(self, path: Path) -> Path:
        """Draw the curves of both choices, a line for each seed."""
        from mmssl.experiments.plot import plot_budgets

        rows = {row.labels: row for row in self.rows()}
        curves = {}
        for choice in CHOICES:
            labels = [(START, str(self.budgets[0]))]
            labels += [(choice, str(budget)) for budget in self.budgets[1:]]
            curves[choice] = [_of_seeds(rows.get(one), self.args.metric) for one in labels]
        return plot_budgets(self.budgets, curves, self.args.metric, path)


def _of_seeds(row: Row | None, metric: str) -> Mapping[str, float]:
    """Return the score of each seed of a row."""
    if row is None or not row.runs:
        return {}
    values = row.get((MEAN, MEAN, metric)).values
    return {seed: v for seed, v in zip(row.runs, values, strict=True) if v is not None}


def _interval(values: Sequence[float]) -> list[str]:
    """Return number, mean and Student's interval of some values."""
    from scipy import stats

    if not values:
        return ['0', '-', '-']
    mean = fmean(values)
    if len(values) < 2:
        return ['1', f'{mean:+.2f}', '-']
    half = float(stats.t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return [str(len(values)), f'{mean:+.2f}', f'{mean - half:+.2f} to {mean + half:+.2f}']


def main(argv: Sequence[str] | None = None, tools: Path = TOOLS) -> None:
    """Run the simulation.

    Args:
        argv: the command line; None takes the program's.
        tools: folder of `train.py` and `test.py`.
    """
    simulation = Simulation(parse_args(argv), tools)
    simulation.run(simulation.rounds)


if __name__ == '__main__':
    run(main)
