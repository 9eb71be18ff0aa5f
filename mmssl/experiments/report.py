"""What all grids of runs have in common: their command line, table, files, plot and progress."""

import argparse
import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from mmssl.experiments.axes import parse_seeds
from mmssl.experiments.chance import Chance, by_domain, find_chance
from mmssl.experiments.executors import add_executor_arguments, check_executor, make_executor, slots
from mmssl.experiments.jobs import Job
from mmssl.experiments.table import METRICS, Row, columns, detail, markdown, overview, to_csv
from mmssl.utils import tables
from mmssl.utils.config.selection import with_selection
from mmssl.utils.io import write_atomic


def add_arguments(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add the options that every grid has.

    Args:
        parser: of the tool.
        folder: the default of `--work-dir`, in words.
    """
    add = parser.add_argument
    add('--seeds', default='0', help='seeds (randomness.seed), separated by commas')
    add('--work-dir', type=Path, help=f'folder of runs, table and plot (default: {folder})')
    add_executor_arguments(parser)
    add('--amp', action='store_true', help='train with mixed precision')
    add(
        '--checkpoint',
        choices=('last', 'best'),
        default='last',
        help='which checkpoint of a run is tested; best as the config chooses it',
    )
    add('--student', help='whose scores are shown (default: the first, the primary one)')
    add('--metric', choices=METRICS, default='DSC', help='metric of the plot')
    add(
        '--cfg-options',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='override values of the config in all runs',
    )
    add(
        '--overwrite',
        action='store_true',
        help='throw runs away that lie in the work dir and were made with other settings',
    )
    add(
        '--save-cases',
        action='store_true',
        help='keep the cases of every test, for the pictures of `mmssl report`',
    )
    add('--dry-run', action='store_true', help='show the runs and their commands, run nothing')
    add('--plot-only', action='store_true', help='write table and plot of what is done')


class Grid:
    """Runs with labels and seeds; their table and their plot.

    A subclass fills `jobs`, and says what stands under the table.

    Args:
        args: the command line, with the options of `add_arguments`.
        tools: folder of `train.py` and `test.py`.

    Attributes:
        jobs: (labels, seed) to the job of every run.
        kept: (labels, seed) to the jobs of earlier calls, which are shown and not run.
        names: titles of the labels.
        folder: where table and plot go.
        chance: which differences are more than chance, once there are rows.
        by_domain: the same on each domain alone, where there are several.

    Raises:
        ValueError: seeds or GPUs cannot be read.
    """

    jobs: Mapping[tuple[tuple[str, ...], int], Job]
    kept: Mapping[tuple[tuple[str, ...], int], Job] = MappingProxyType({})
    names: Sequence[str]
    folder: Path
    bars = False
    chance: Chance | None = None

    def __init__(self, args: argparse.Namespace, tools: Path) -> None:
        self.args, self.tools = args, tools
        self.by_domain: dict[str, Chance] = {}
        self.seeds = parse_seeds(args.seeds)
        self.gpus = slots(args.gpus, args.processes)
        check_executor(args)

    def notes(self) -> str:
        """Return what stands under the table; each tool says it."""
        raise NotImplementedError(f'{type(self).__name__} must define `notes`')

    def content(self) -> dict:
        """Return what `results.json` says besides the scores; each tool says it."""
        raise NotImplementedError(f'{type(self).__name__} must define `content`')

    def job(
        self,
        name: str,
        folder: Path,
        config: str,
        seed: int,
        checkpoint: str,
        options: Mapping[str, str],
    ) -> Job:
        """Return a job with what the command line says of all of them; see `Job`."""
        return Job(
            name=name,
            folder=folder,
            config=config,
            options={**options, 'randomness.seed': str(seed)},
            amp=self.args.amp,
            checkpoint=checkpoint,
            tools=self.tools,
            processes=self.args.processes,
            save_cases=self.args.save_cases,
        )

    def row(self, labels: tuple[str, ...], runs: dict[str, dict]) -> Row:
        """Return the row of a setting, with the scores of the runs that are done."""
        wanted = len(self.seeds) if (labels, self.seeds[0]) in self.jobs else 0
        return Row(labels, runs, max(len(runs), wanted))

    def scores(self, job: Job) -> dict:
        """Return what a run that is done scored."""
        self.student, scores, self.protocol = job.scores(self.args.student)
        file = os.path.relpath(job.result, self.folder)
        return {**scores, 'student': self.student, 'file': file}

    def rows(self) -> list[Row]:
        """Read the scores of all runs that are done, a row for each setting.

        What earlier calls have run and cannot be shown as this one asks is left out.

        Raises:
            ValueError: a file of scores has no such student.
        """
        shown = {**self.kept, **self.jobs}
        wanted = {labels for labels, _ in self.jobs}
        runs: dict[tuple[str, ...], dict[str, dict]] = {labels: {} for labels, _ in shown}
        for (labels, seed), job in sorted(shown.items(), key=lambda item: item[0][1]):
            if job.state() == 'done':
                try:
                    runs[labels][f'seed {seed}'] = self.scores(job)
                except ValueError as error:
                    if labels in wanted:
                        raise
                    print(f'{job.name} is left out: {error}')
        rows = [self.row(labels, done) for labels, done in runs.items() if done or labels in wanted]
        self.chance = self._find_chance(rows)
        return rows

    def _find_chance(self, rows: Sequence[Row]) -> Chance | None:
        """Give each row its interval, and compare the best with the others."""
        tested = {
            row.name: [(run['images'], run['student']) for run in row.runs.values()]
            for row in rows
            if row.runs and all('images' in run for run in row.runs.values())
        }
        chance = find_chance(tested, self.args.metric)
        self.by_domain = by_domain(tested, self.args.metric) if len(tested) > 1 else {}
        if chance is not None:
            for row in rows:
                row.notes = {chance.title: chance.cell(row.name), **row.notes}
        return chance

    def write(self) -> list[Path]:
        """Write table.md, table.csv and results.json; nothing where no run is done."""
        rows = self.rows()
        if not any(row.runs for row in rows):
            return []
        content = {
            **self.content(),
            'seeds': self.seeds,
            'checkpoint': self.args.checkpoint,
            'student': self.student,
            'protocol': self.protocol,
            'chance': self.chance and self.chance.content(),
            'chance_by_domain': {name: one.content() for name, one in self.by_domain.items()},
            'rows': [{'labels': row.labels, 'runs': _without_images(row.runs)} for row in rows],
        }
        said = '\n\n'.join([self.notes(), '\n'.join(f'- {line}' for line in self.words())])
        files = {
            'table.md': f'{markdown(rows, self.names)}\n{said.rstrip()}\n',
            'table.csv': to_csv(rows, self.names),
            'results.json': json.dumps(content, indent=1),
        }
        for name, text in files.items():
            write_atomic(self.folder / name, text)
        return [self.folder / name for name in files]

    def words(self) -> list[str]:
        """Say which differences are more than chance; nothing where it cannot be said."""
        said = self.chance.words() if self.chance else []
        return said + [chance.line(domain) for domain, chance in self.by_domain.items()]

    def plot(self, path: Path) -> Path:
        """Draw the metric of the plot; return its file."""
        from mmssl.experiments.plot import plot_sweep

        return plot_sweep(self.rows(), self.names, self.args.metric, path, bars=self.bars)

    def show(self) -> None:
        """Write the files, draw the plot and print the table."""
        files = self.write()
        if not files:
            print('No run is done yet, so there is no table.')
            return
        rows, left = self.rows(), len(self.names) + 1
        print(f'\n{tables.text(overview(rows, self.names), left)}\n')
        print(*self.words(), sep='\n')
        if len(columns(rows)) > 1:
            table = detail(rows, self.names, self.args.metric)
            print(f'{self.args.metric}\n{tables.text(table, left)}\n')
        files.append(self.plot(self.folder / f'{self.args.metric}.png'))
        print('Wrote', *files, sep='\n  ')

    def dry_run(self) -> None:
        """Print every run with what is still to be done."""
        for number, job in enumerate(self.jobs.values(), 1):
            state = job.state()
            print(
                f'[{number}/{len(self.jobs)}] {job.name}: {state}'
                f'{f" ({job.change()})" if state == "other" else ""}'
            )
            if state != 'done':
                command = job.test_command() if state == 'trained' else job.train_command()
                print('   ', shlex.join(command))

    def warn(self) -> None:
        """Say that there is no GPU where some are asked for."""
        import torch

        if self.args.gpus is not None and not torch.cuda.is_available():
            print(
                f'--gpus "{self.args.gpus}": PyTorch finds no GPU here, the runs train on the '
                f'CPU, {len(self.gpus)} at a time'
            )

    def run(self, run_jobs: Callable) -> None:
        """Do what the command line asks: show, run, or write what is done.

        Args:
            run_jobs: `mmssl.experiments.runs.run_jobs`.

        Raises:
            KeyboardInterrupt: interrupted, after the table of what is done.
            SystemExit: a run failed.
        """
        if self.args.dry_run:
            return self.dry_run()
        jobs, failed = list(self.jobs.values()), {}
        try:
            if self.args.plot_only:
                for job in jobs:
                    job.check()
            else:
                self.warn()
                failed = run_jobs(
                    jobs,
                    make_executor(self.args, self.folder),
                    self.args.overwrite,
                    print,
                    lambda job: self.write(),
                )
        except KeyboardInterrupt:
            self.show()
            done = sum(job.state() == 'done' for job in jobs)
            raise KeyboardInterrupt(
                f'{done} of {len(jobs)} runs are done; the same command goes on'
            ) from None
        self.show()
        if failed:
            print(
                f'\n{len(failed)} of {len(jobs)} runs failed; the same command tries them again:',
                *failed,
                sep='\n  ',
            )
            raise SystemExit(1)


def _without_images(runs: Mapping[str, Mapping]) -> dict[str, dict]:
    """Return runs without the scores of their images, which have files of their own."""
    left = ('images', 'student')
    return {name: {k: v for k, v in run.items() if k not in left} for name, run in runs.items()}


def best_key(cfg, student: str | None) -> str:
    """Return the metric by which the config keeps a student's best checkpoint, or that of all.

    Raises:
        ValueError: it keeps none.
    """
    cfg = with_selection(cfg)
    kept = cfg.get('default_hooks', {}).get('checkpoint', {}).get('save_best') or []
    kept = [kept] if isinstance(kept, str) else list(kept)
    fit = [key for key in kept if student is None or key.startswith(f'{student}/')]
    if not fit:
        raise ValueError(
            '--checkpoint best: the config keeps no best checkpoint'
            f'{f" of {student}" if student else ""}; set '
            f'default_hooks.checkpoint.save_best (it is {kept})'
        )
    return fit[0]
