"""Train and test a config over a grid of values and seeds; write the table and the plot."""

import argparse
import itertools
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmssl.utils.cli import run
from mmssl.utils.grid import check_keys, folder_names, parse_axes, parse_options
from mmssl.utils.grid_jobs import TOOLS, Job
from mmssl.utils.grid_runs import run_jobs
from mmssl.utils.io import write_atomic
from mmssl.utils.spread_table import (
    METRICS,
    Row,
    align,
    columns,
    detail,
    markdown,
    overview,
    to_csv,
)

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
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help='config file')
    add('--vary', nargs='+', action='extend', default=[], metavar='KEY=V1,V2',
        help='values to try; several of these make a grid; none repeats the config over the seeds')
    add('--seeds', default='0', help='seeds (randomness.seed), separated by commas')
    add('--work-dir', type=Path,
        help='folder of runs, table and plot (default: work_dirs/sweeps/CONFIG/VARIED_KEYS)')
    add('--gpus', help='GPUs, separated by commas, one run at a time on each; a GPU named twice '
        'gets two (default: one run at a time)')
    add('--amp', action='store_true', help='train with mixed precision')
    add('--checkpoint', choices=('last', 'best'), default='last',
        help='which checkpoint of a run is tested; best as the config chooses it')
    add('--student', help='whose scores are shown (default: the first, the primary one)')
    add('--metric', choices=METRICS, default='DSC', help='metric of the plot')
    add('--cfg-options', nargs='+', action='extend', default=[], metavar='KEY=VALUE',
        help='override values of the config in all runs')
    add('--overwrite', action='store_true',
        help='throw runs away that lie in the work dir and were made with other settings')
    add('--dry-run', action='store_true', help='show the runs and their commands, run nothing')
    add('--plot-only', action='store_true', help='write table and plot of what is done')
    return parser.parse_args(argv)


class Sweep:
    """The runs of a grid, their table and their plot.

    Args:
        args: the command line.
        tools: folder of `train.py` and `test.py`.

    Raises:
        ValueError: something on the command line does not fit the config.
    """

    def __init__(self, args: argparse.Namespace, tools: Path) -> None:
        self.args = args
        self.axes = parse_axes(args.vary)
        self.base = parse_options(args.cfg_options)
        self.seeds = parse_seeds(args.seeds)
        self.gpus = [None] if args.gpus is None else args.gpus.split(',')
        if '' in self.gpus:
            raise ValueError(f'--gpus "{args.gpus}" must be as in 0,1,2')
        keys = [key for axis in self.axes for key in next(iter(axis.values.values()))]
        cfg = check_keys(args.config, self.base, keys)
        checkpoint = best_key(cfg, args.student) if args.checkpoint == 'best' else 'last'
        config = Path(args.config)
        self.folder = args.work_dir or Path(
            'work_dirs', 'sweeps', '_'.join([*config.parts[-2:-1], config.stem]),
            '+'.join(axis.name for axis in self.axes) or 'seeds')
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
            yield (labels, seed), Job(
                name=', '.join([*titles, f'seed {seed}']),
                folder=self.folder / (','.join(folder) or 'runs') / f'seed{seed}',
                config=self.args.config, options=options, amp=self.args.amp,
                checkpoint=checkpoint, tools=tools)

    @property
    def names(self) -> list[str]:
        """The titles of the varied settings."""
        return [axis.name for axis in self.axes] or ['config']

    def rows(self) -> list[Row]:
        """Read the scores of all runs that are done, a row for each combination.

        Raises:
            ValueError: a file of scores has no such student.
        """
        rows: dict[tuple[str, ...], Row] = {}
        for labels in dict.fromkeys(labels for labels, _ in self.jobs):
            runs = {f'seed {seed}': self._scores(self.jobs[labels, seed]) for seed in self.seeds
                    if self.jobs[labels, seed].state() == 'done'}
            rows[labels] = Row(labels or (Path(self.args.config).stem,), runs, len(self.seeds))
        return list(rows.values())

    def _scores(self, job: Job) -> dict:
        self.student, scores, self.protocol = job.scores(self.args.student)
        return scores

    def write(self) -> list[Path]:
        """Write table.md, table.csv and results.json; nothing where no run is done."""
        rows = self.rows()
        if not any(row.runs for row in rows):
            return []
        notes = (f'Mean ± standard deviation over the seeds {", ".join(map(str, self.seeds))} of '
                 f'`{self.args.config}`; student: {self.student}; checkpoint: '
                 f'{self.args.checkpoint}. {self.protocol}.')
        text = f'{markdown(rows, self.names)}\n{notes}\n'
        content = {
            'config': self.args.config, 'cfg_options': self.base, 'amp': self.args.amp,
            'grid': {axis.name: axis.values for axis in self.axes}, 'seeds': self.seeds,
            'checkpoint': self.args.checkpoint, 'student': self.student,
            'protocol': self.protocol,
            'rows': [{'labels': row.labels, 'runs': row.runs} for row in rows],
        }
        files = {'table.md': text, 'table.csv': to_csv(rows, self.names),
                 'results.json': json.dumps(content, indent=1)}
        for name, text in files.items():
            write_atomic(self.folder / name, text)
        return [self.folder / name for name in files]

    def show(self) -> None:
        """Write the files, draw the plot and print the table."""
        from mmssl.visualization.sweep_plot import plot_sweep

        files = self.write()
        if not files:
            print('No run is done yet, so there is no table.')
            return
        rows, left = self.rows(), len(self.names) + 1
        print(f'\n{align(overview(rows, self.names), left)}\n')
        if len(columns(rows)) > 1:
            table = detail(rows, self.names, self.args.metric)
            print(f'{self.args.metric}\n{align(table, left)}\n')
        plot = self.folder / f'{self.args.metric}.png'
        files.append(plot_sweep(rows, self.names, self.args.metric, plot))
        print('Wrote', *files, sep='\n  ')


def parse_seeds(text: str) -> list[int]:
    """Read the seeds.

    Raises:
        ValueError: one is no whole number, or is there twice.
    """
    try:
        seeds = [int(word) for word in text.split(',')]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f'--seeds "{text}" must be different whole numbers, as in 0,1,2')
    return seeds


def best_key(cfg, student: str | None) -> str:
    """Return the metric by which the config keeps a student's best checkpoint.

    Raises:
        ValueError: it keeps none.
    """
    kept = cfg.get('default_hooks', {}).get('checkpoint', {}).get('save_best') or []
    kept = [kept] if isinstance(kept, str) else list(kept)
    fit = [key for key in kept if student is None or key.startswith(f'{student}/')]
    if not fit:
        raise ValueError('--checkpoint best: the config keeps no best checkpoint'
                         f'{f" of {student}" if student else ""}; set '
                         f'default_hooks.checkpoint.save_best (it is {kept})')
    return fit[0]


def dry_run(sweep: Sweep) -> None:
    """Print every run with what is still to be done."""
    for number, job in enumerate(sweep.jobs.values(), 1):
        state = job.state()
        print(f'[{number}/{len(sweep.jobs)}] {job.name}: {state}'
              f'{f" ({job.change()})" if state == "other" else ""}')
        if state != 'done':
            command = job.test_command() if state == 'trained' else job.train_command()
            print('   ', shlex.join(command))


def main(argv: Sequence[str] | None = None, tools: Path = TOOLS) -> None:
    """Run the grid.

    Args:
        argv: the command line; None takes the program's.
        tools: folder of `train.py` and `test.py`.
    """
    args = parse_args(argv)
    sweep = Sweep(args, tools)
    jobs = list(sweep.jobs.values())
    if args.dry_run:
        return dry_run(sweep)
    failed = {}
    try:
        if args.plot_only:
            for job in jobs:
                job.check()
        else:
            failed = run_jobs(jobs, sweep.gpus, args.overwrite, print, lambda job: sweep.write())
    except KeyboardInterrupt:
        sweep.show()
        done = sum(job.state() == 'done' for job in jobs)
        raise KeyboardInterrupt(
            f'{done} of {len(jobs)} runs are done; the same command goes on') from None
    sweep.show()
    if failed:
        print(f'\n{len(failed)} of {len(jobs)} runs failed; the same command tries them again:',
              *failed, sep='\n  ')
        raise SystemExit(1)


if __name__ == '__main__':
    run(main)
