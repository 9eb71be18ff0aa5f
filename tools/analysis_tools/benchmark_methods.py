"""Train and test many methods on one data set, network and budget; write the table and the plot."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from mmssl.evaluation.published import load_published
from mmssl.experiments.axes import folder_names, parse_options
from mmssl.experiments.compose import SMALL, compose, find_config, written_for
from mmssl.experiments.jobs import TOOLS, Job
from mmssl.experiments.report import Grid, add_arguments, best_key
from mmssl.experiments.runs import run_jobs
from mmssl.experiments.table import Row
from mmssl.utils.cli import Parser, run
from mmssl.utils.io import write_atomic
from mmssl.utils.setup import default_folder, load_config, register_all_modules

EXAMPLES = """examples:
  python tools/analysis_tools/benchmark_methods.py --methods sup_only,unimatch,mcsd \\
      --data configs/sup_only/lite_acdc.py --iters 2000 --seeds 0,1,2
  python tools/analysis_tools/benchmark_methods.py --methods sup_only,synfoc,mine=path/to/mine.py \\
      --data configs/sup_only/lite_fundus.py --iters 2000 --gpus 0,1 --amp

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
    add_arguments(parser, 'work_dirs/benchmarks/METHOD/DATA_CONFIG')
    return parser.parse_args(argv)


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
        super().__init__(args)
        register_all_modules()
        self.base = parse_options(args.cfg_options)
        self.data = load_config(args.data)
        self.iters = self.data.train_cfg.max_iters if args.iters is None else args.iters
        if self.iters < 1:
            raise ValueError(f'--iters {self.iters} must be at least 1')
        self.batch = parse_batch(args.batch) if args.batch else None
        self.folder = args.work_dir or default_folder(args.data, 'benchmarks')
        self.configs = parse_methods(args.methods, args.data)
        self.devices: list[str] = []
        earlier = {
            label: path for label, path in self._earlier().items() if label not in self.configs
        }
        folders = folder_names([*earlier, *self.configs])
        shown: dict[str, dict[int, Job]] = {}
        for label, path in {**earlier, **self.configs}.items():
            try:
                shown[label] = self._jobs(label, path, self.folder / folders[label], tools)
            except (ValueError, FileNotFoundError):
                if label not in earlier:
                    raise
                shown[label] = {}  # its config is another now
        self.configs = {
            label: path for label, path in {**earlier, **self.configs}.items() if shown[label]
        }
        self.kept = {
            ((label,), seed): job for label, jobs in shown.items() for seed, job in jobs.items()
        }
        self.jobs = {
            ((label,), seed): shown[label][seed]
            for seed in self.seeds
            for label in self.configs
            if label not in earlier
        }

    def _earlier(self) -> dict[str, Path]:
        """Return the methods that earlier calls have compared in this folder."""
        try:
            methods = json.loads((self.folder / 'results.json').read_text())['methods']
            paths = {str(label): Path(path) for label, path in methods.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        return {label: path for label, path in paths.items() if path.is_file()}

    def _jobs(self, label: str, path: Path, folder: Path, tools: Path) -> dict[int, Job]:
        """Write the config of a method and return its jobs by seed, those of earlier calls too.

        A method of an earlier call is not run: it has no jobs if its settings are others now.

        Raises:
            ValueError: runs that lie in the folder were made with other settings.
        """
        cfg = compose(
            load_config(path),
            self.data,
            self.iters,
            same_recipe=written_for(path, self.args.data),
            batch=self.batch,
        )
        if cfg.get('custom_imports'):
            cfg.import_from = [str(Path(file).resolve().parent) for file in (path, self.args.data)]
        best = self.args.checkpoint == 'best'
        checkpoint = best_key(cfg, self.args.student) if best else 'last'
        file, text = folder / f'{path.stem}.py', cfg.pretty_text
        before = file.read_text() if file.exists() else None
        if before != text and label not in self.configs:
            return {}
        if before != text:
            write_atomic(file, text)

        def job(seed: int) -> Job:
            return Job(
                name=f'{label}, seed {seed}',
                folder=folder / f'seed{seed}',
                config=str(file),
                options={**self.base, 'randomness.seed': str(seed)},
                amp=self.args.amp,
                checkpoint=checkpoint,
                tools=tools,
                processes=self.args.processes,
                save_cases=self.args.save_cases,
            )

        # All seeds have one config: that of runs with other settings stays, also those of a
        # command that is at work now.
        there = [int(run.name[4:]) for run in folder.glob('seed*') if run.name[4:].isdigit()]
        jobs = {seed: job(seed) for seed in sorted({*self.seeds, *there})}
        if before not in (None, text) and not self.args.overwrite:
            changed = [one for one in jobs.values() if one.change() is not None]
            if changed:
                write_atomic(file, before)
                if not self.args.dry_run:
                    changed[0].check()
        return jobs

    def scores(self, job: Job) -> dict:
        """Return what a run that is done scored and cost."""
        from mmssl.engine.hooks.cost_hook import read_cost

        scores, cost = super().scores(job), read_cost(job.folder)
        if device := cost.pop('device', None):
            self.devices = list(dict.fromkeys([*self.devices, device]))
        return {**scores, 'mean': {**scores['mean'], **cost}}

    def row(self, labels: tuple[str, ...], runs: dict[str, dict]) -> Row:
        """Return the row of a method, with its published number."""
        row = super().row(labels, runs)
        published = self.published(self.configs[labels[0]])
        row.notes = {'published DSC (%)': '-' if published is None else f'{published:.2f}'}
        return row

    def published(self, config: Path) -> float | None:
        """Return the published DSC of a method's student on this data set, None without one."""
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
        found = students.get(self.args.student or first, {})
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
        )

    def content(self) -> dict:
        """Return what `results.json` says besides the scores."""
        return {
            'data': self.args.data,
            'iterations': self.iters,
            'cfg_options': self.base,
            'amp': self.args.amp,
            'devices': self.devices,
            'methods': {label: str(path) for label, path in self.configs.items()},
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


def main(argv: Sequence[str] | None = None, tools: Path = TOOLS) -> None:
    """Run the benchmark.

    Args:
        argv: the command line; None takes the program's.
        tools: folder of `train.py` and `test.py`.
    """
    Benchmark(parse_args(argv), tools).run(run_jobs)


if __name__ == '__main__':
    run(main)
