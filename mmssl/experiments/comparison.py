"""The comparison of methods: the same data, network and number of trials for all of them."""

import argparse
import copy
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmssl.experiments.axes import folder_names, parse_options
from mmssl.experiments.compose import SMALL, compose, find_config, written_for
from mmssl.experiments.executors import make_executor
from mmssl.experiments.held_out import hold_out
from mmssl.experiments.jobs import Job
from mmssl.experiments.report import Grid, best_key
from mmssl.experiments.table import Row
from mmssl.experiments.tuning import Tuning, read_plan
from mmssl.utils.config.options import parse_value
from mmssl.utils.config.variables import read_with_options
from mmssl.utils.io import write_atomic
from mmssl.utils.setup import default_folder, load_config, register_all_modules


class Benchmark(Grid):
    """The runs of several methods on one data set.

    Args:
        args: the command line.
        tools: folder of `train.py` and `test.py`.

    Raises:
        ValueError: a method has no config, or something on the command line does not fit.
    """

    names = ('method',)
    bars = True

    def __init__(self, args: argparse.Namespace, tools: Path) -> None:
        super().__init__(args, tools)
        register_all_modules()
        self.base = parse_options(args.cfg_options)
        self.data = load_config(args.data)
        self.iters = self.data.train_cfg.max_iters if args.iters is None else args.iters
        if self.iters < 1:
            raise ValueError(f'--iters {self.iters} must be at least 1')
        self.batch = parse_batch(args.batch) if args.batch else None
        self.folder = args.work_dir or default_folder(args.data, 'benchmarks')
        self.recipe = self.data.get('recipe') or Path(args.data).stem
        self.asked = parse_methods(args.methods, self.recipe)
        self.devices: list[str] = []
        self.tuning = self._tuning()
        self._plan()

    def _tuning(self) -> Tuning | None:
        """Return what is tried for each method before it is compared."""
        plan = read_plan(self.args, self.seeds[0])
        if plan is None:
            return None
        data = load_config(self.args.data, {k: parse_value(v) for k, v in self.base.items()})
        held = hold_out(data, plan.share, plan.seed)

        def score(job: Job) -> float | None:
            return job.scores(self.args.student)[1]['mean'].get(plan.metric)

        return Tuning(plan, held, self.job, score)

    def _plan(self) -> None:
        """Find out which runs there are to be; none of a method whose trials are not all done."""
        self.configs = dict(self.asked)
        earlier = {
            label: path for label, path in self._earlier().items() if label not in self.configs
        }
        folders = folder_names([*earlier, *self.configs])
        shown: dict[str, dict[int, Job]] = {}
        self.composed: dict[str, Path] = {}
        for label, path in {**earlier, **self.configs}.items():
            try:
                shown[label] = self._jobs(label, path, self.folder / folders[label])
            except (ValueError, FileNotFoundError):
                if label not in earlier:
                    raise
                shown[label] = {}  # its config is another now
        self.configs = {
            label: path
            for label, path in {**earlier, **self.configs}.items()
            if shown[label] or label in self.asked
        }
        self.kept = {
            ((label,), seed): job for label, jobs in shown.items() for seed, job in jobs.items()
        }
        self.jobs = {
            ((label,), seed): shown[label][seed]
            for seed in self.seeds
            for label in self.asked
            if seed in shown[label]
        }

    def _earlier(self) -> dict[str, Path]:
        """Return the methods that earlier calls have compared in this folder."""
        try:
            methods = json.loads((self.folder / 'results.json').read_text())['methods']
            paths = {str(label): Path(path) for label, path in methods.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        return {label: path for label, path in paths.items() if path.is_file()}

    def _jobs(self, label: str, path: Path, folder: Path) -> dict[int, Job]:
        """Write the config of a method and return its jobs by seed, those of earlier calls too.

        A method of an earlier call is not run: it has no jobs if its settings are others now.

        Raises:
            ValueError: runs that lie in the folder were made with other settings.
        """
        cfg = compose(
            load_config(path),
            self.data,
            self.iters,
            same_recipe=written_for(path, self.recipe),
            batch=self.batch,
        )
        if cfg.get('custom_imports'):
            cfg.import_from = [str(Path(file).resolve().parent) for file in (path, self.args.data)]
        checkpoint = 'last'
        if self.args.checkpoint == 'best':
            whole = copy.deepcopy(cfg)
            whole.merge_from_dict({key: parse_value(value) for key, value in self.base.items()})
            checkpoint = best_key(whole, self.args.student)
        file, text = folder / f'{path.stem}.py', cfg.pretty_text
        if label in self.asked:
            self._check_options(label, text)
        before = file.read_text() if file.exists() else None
        if before != text and label not in self.configs:
            return {}
        if before != text:
            write_atomic(file, text)
        self.composed[label] = file

        # All seeds have one config: that of runs with other settings stays, also those of a
        # command that is at work now.
        there = [int(run.name[4:]) for run in folder.glob('seed*') if run.name[4:].isdigit()]
        tuned = self._tuned(label, file, checkpoint)
        if tuned is None:
            if there and before not in (None, text) and not self.args.overwrite:
                write_atomic(file, before)
                raise ValueError(
                    f'{folder} has runs of another config or budget. Use another --work-dir, or '
                    '--overwrite to throw such runs away'
                )
            return {}

        def job(seed: int) -> Job:
            name, place = f'{label}, seed {seed}', folder / f'seed{seed}'
            return self.job(name, place, str(file), seed, checkpoint, {**self.base, **tuned})

        jobs = {seed: job(seed) for seed in sorted({*self.seeds, *there})}
        if before not in (None, text) and not self.args.overwrite:
            changed = [one for one in jobs.values() if one.change() is not None]
            if changed:
                write_atomic(file, before)
                if not self.args.dry_run:
                    changed[0].check()
        return jobs

    def _check_options(self, label: str, text: str) -> None:
        """Read a composed config with the options as its trainings will, before the first begins.

        Raises:
            ValueError: an option does not fit.
        """
        with TemporaryDirectory() as folder:
            path = Path(folder, 'config.py')
            path.write_text(text, encoding='utf-8')
            try:
                read_with_options(path, {k: parse_value(v) for k, v in self.base.items()})
            except ValueError as error:
                raise ValueError(f'--cfg-options, {label}: {error}') from error

    def _tuned(self, label: str, file: Path, checkpoint: str) -> dict[str, str] | None:
        """Return the options that the trials of a method chose; None while some are left."""
        if self.tuning is None:
            return {}
        cfg = load_config(file, {key: parse_value(text) for key, text in self.base.items()})
        search = self.tuning.add(label, cfg, file.parent / 'tune', checkpoint)
        if search.chosen is not None:
            return search.options(search.chosen)
        if label not in self.asked:
            del self.tuning.searches[label]
        return None

    def run(self, run_jobs: Callable) -> None:
        """Make the trials, if something is to be tuned; then do what the command line asks.

        Raises:
            KeyboardInterrupt: interrupted.
            SystemExit: a run failed.
            ValueError: a method has no `--student`, or every trial of a method failed.
        """
        self._check_student()
        if self.tuning is not None and not self.args.dry_run and not self.args.plot_only:
            executor, overwrite = make_executor(self.args, self.folder), self.args.overwrite
            print(
                f'Each method tries {self.tuning.plan.trials} settings on {self.tuning.held.words}'
            )
            self.tuning.run(lambda jobs: run_jobs(jobs, executor, overwrite, print))
            self._plan()
        super().run(run_jobs)

    def _check_student(self) -> None:
        """Build each method that is to train and look for the student asked for.

        Raises:
            ValueError: a method has none of that name.
        """
        if self.args.student is None or self.args.plot_only:
            return
        from mmssl.engine.data_facts import build_model  # heavy

        options = {key: parse_value(text) for key, text in self.base.items()}
        for label in self.asked:
            jobs = [job for (labels, _), job in self.jobs.items() if labels == (label,)]
            if jobs and all(job.state() == 'done' for job in jobs):
                continue
            model: Any = build_model(load_config(self.composed[label], options))
            if self.args.student not in model.outputs:
                raise ValueError(
                    f'--student {self.args.student}: {label} has none of that name, but '
                    f'{", ".join(model.outputs)}; compare it without --student, in another '
                    'call or another --work-dir'
                )

    def dry_run(self) -> None:
        """Print the trials that come next, then every run with what is still to be done."""
        for search in self.tuning.searches.values() if self.tuning else ():
            for job in search.waiting({}):
                print(f'{job.name}: {job.state()}\n    {shlex.join(job.train_command())}')
        super().dry_run()

    def scores(self, job: Job) -> dict:
        """Return what a run that is done scored and cost."""
        from mmssl.engine.hooks.cost_hook import read_cost

        scores, cost = super().scores(job), read_cost(job.folder)
        if device := cost.pop('device', None):
            self.devices = list(dict.fromkeys([*self.devices, str(device)]))
        return {**scores, 'mean': {**scores['mean'], **cost}}

    def row(self, labels: tuple[str, ...], runs: dict[str, dict]) -> Row:
        """Return the row of a method, with its published number."""
        row = super().row(labels, runs)
        published = self.published(self.configs[labels[0]])
        row.notes = {'published DSC (%)': '-' if published is None else f'{published:.2f}'}
        if self.tuning is not None:
            row.notes = {'tuned': self.tuning.chosen(labels[0]), **row.notes}
        return row

    def published(self, config: Path) -> float | None:
        """Return the published DSC of a method's student on this data set, None without one."""
        from mmssl.evaluation.published import load_published  # heavy

        labels = self.args.labels
        if labels is None:
            labels = self.data.train_dataloader.dataset.labelled.get('num')
        dataset = Path(self.args.data).stem.removeprefix(SMALL)
        cfg = load_config(config)
        if config.stem.removeprefix(SMALL) == dataset:
            method = config.parent.name
        else:  # a variant of a method says None
            published = cfg.get('published') or ''
            method = published if isinstance(published, str) else published['method']
        students = load_published(method, dataset, labels)
        model = cfg.model
        primary = model.get('primary') or next(iter(model.students))
        first = primary if primary in students else next(iter(students), None)
        found = students.get(self.args.student or first or '', {})
        return found.get('mean', {}).get('DSC')

    def notes(self) -> str:
        """Return what stands under the table."""
        seeds = sorted({seed for (_, seed), job in self.kept.items() if job.state() == 'done'})
        where = f' on {", ".join(self.devices)}' if self.devices else ''
        return (
            f'Mean ± standard deviation over the seeds {", ".join(map(str, seeds))} after '
            f'{self.iters} iterations on the data, views, batch and network of `{self.args.data}`; '
            f'checkpoint: {self.args.checkpoint}. {self.protocol}. Time (median of an iteration '
            f'with its loading) and peak memory{where}. Published numbers are those of the papers, '
            'at full size and length.'
        ) + (self.tuning.words() if self.tuning else '')

    def content(self) -> dict:
        """Return what `results.json` says besides the scores."""
        return {
            'data': self.args.data,
            'iterations': self.iters,
            'cfg_options': self.base,
            'amp': self.args.amp,
            'devices': self.devices,
            'methods': {label: str(path) for label, path in self.configs.items()},
            'tuning': self.tuning and self.tuning.content(),
        }


def parse_batch(text: str) -> tuple[int, int]:
    """Return the numbers of labelled and unlabelled images.

    Raises:
        ValueError: the text is no pair of numbers above 0.
    """
    words = text.split(',')
    if len(words) != 2 or not all(word.isdigit() and int(word) for word in words):
        raise ValueError(f'--batch "{text}" must be two numbers above 0, as in 8,16')
    return int(words[0]), int(words[1])


def parse_methods(text: str, data: str) -> dict[str, Path]:
    """Return name and config of every method.

    Raises:
        ValueError: a name is there twice, or a method has no config.
    """
    configs: dict[str, Path] = {}
    for word in text.split(','):
        name, sign, method = word.strip().partition('=')
        if not name or name in configs:
            raise ValueError(
                f'--methods "{text}": "{name}" is empty or there twice; name each as in NAME=METHOD'
            )
        configs[name] = find_config(method if sign else name, data)
    return configs
