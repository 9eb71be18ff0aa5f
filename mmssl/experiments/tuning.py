"""Equal tuning budgets: the same number of trials for every method, on held-out labelled cases."""

import argparse
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmssl.experiments.axes import check_keys, folder_names, parse_axes
from mmssl.experiments.held_out import HeldOut, tuning_config
from mmssl.experiments.jobs import Job
from mmssl.experiments.trials import Labels, Plan, Search
from mmssl.utils import tables
from mmssl.utils.config.options import at_least
from mmssl.utils.io import write_atomic

SAMPLERS = ('grid', 'tpe')


def add_tuning_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a tuning before a comparison."""
    add = parser.add_argument
    add(
        '--tune',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=V1,V2',
        help='settings to try for each method before it is compared, as in --vary of a sweep; '
        '"lr*=0.3,1,3" multiplies every number lr of the method\'s own config',
    )
    add('--trials', type=at_least(1), metavar='N', help='settings that each method may try')
    add(
        '--sampler',
        choices=SAMPLERS,
        help='how settings are taken from the values (default: grid where N allows all, else tpe)',
    )
    add(
        '--holdout',
        type=float,
        default=0.25,
        metavar='SHARE',
        help='share of the labelled cases on which trials are scored (default 0.25)',
    )


def read_plan(args: argparse.Namespace, seed: int) -> Plan | None:
    """Return the plan of a command line; None where nothing is to be tuned.

    Raises:
        ValueError: an option is missing or cannot be read.
    """
    if not args.tune:
        if args.trials or args.sampler:
            raise ValueError('--trials and --sampler say how --tune KEY=V1,V2 is done: give it')
        return None
    if args.trials is None:
        raise ValueError('--tune needs --trials N, the settings that each method may try')
    if not 0 < args.holdout < 1:
        raise ValueError(f'--holdout {args.holdout:g} must be a share between 0 and 1')
    axes = tuple(parse_axes(args.tune, '--tune'))
    number = math.prod(len(axis.values) for axis in axes)
    sampler = args.sampler or ('grid' if args.trials >= number else 'tpe')
    return Plan(axes, min(args.trials, number), sampler, seed, args.metric, args.holdout)


class Tuning:
    """The searches of all methods of a comparison.

    Args:
        plan: what each may try.
        held: labelled cases on which trials are scored.
        make: job of a trial, given name, folder, config, seed, checkpoint and options.
        score: score of a job that is done.
    """

    def __init__(
        self,
        plan: Plan,
        held: HeldOut,
        make: Callable[..., Job],
        score: Callable[[Job], float | None],
    ) -> None:
        self.plan, self.held, self.make, self.score = plan, held, make, score
        self.searches: dict[str, Search] = {}

    def add(self, label: str, cfg: Any, folder: Path, checkpoint: str) -> Search:
        """Write the config of a method's trials and return its search.

        Args:
            label: name of the method.
            cfg: config of the method; it is changed.
            folder: of the trials.
            checkpoint: that is tested, see `Job`.

        Raises:
            ValueError: the config has no place for what is varied.
        """
        file = folder / 'config.py'
        text = tuning_config(cfg, self.held, checkpoint != 'last').pretty_text
        write_atomic(file, text)
        keys = [key for axis in self.plan.axes for key in next(iter(axis.values.values()))]
        check_keys(str(file), {}, [key for key in keys if not key.endswith('*')], '--tune')
        names = [folder_names(list(axis.values)) for axis in self.plan.axes]

        def job_of(labels: Labels, options: Mapping[str, str]) -> Job:
            titles = [
                f'{axis.name}={one}' for axis, one in zip(self.plan.axes, labels, strict=True)
            ]
            parts = [one[label] for one, label in zip(names, labels, strict=True)]
            parts = [
                f'{axis.name.replace("*", "_times")}={part}'
                for axis, part in zip(self.plan.axes, parts, strict=True)
            ]
            name, place = f'{label}, trial {", ".join(titles)}', folder / ','.join(parts)
            return self.make(name, place, str(file), self.plan.seed, checkpoint, options)

        search = Search(label, self.plan, cfg, job_of, self.score, folder / 'tuning.json', text)
        for labels in itertools.product(*(axis.values for axis in self.plan.axes)):
            search.options(labels)  # all can be made, or none is begun
        self.searches[label] = search
        return search

    def run(self, run_jobs: Callable[[Sequence[Job]], Mapping[str, str]]) -> None:
        """Make all trials, those of the methods side by side; a trial that fails counts.

        Args:
            run_jobs: runs jobs, and returns those that failed.

        Raises:
            ValueError: every trial of a method failed.
        """
        failed: dict[str, str] = {}
        while waiting := [
            job for search in self.searches.values() for job in search.waiting(failed)
        ]:
            failed.update(run_jobs(waiting))

    def chosen(self, label: str) -> str:
        """Return the setting of a method in words."""
        search = self.searches.get(label)
        if search is None or search.chosen is None:
            return '-'
        pairs = zip(self.plan.axes, search.chosen, strict=True)
        return ', '.join(f'{axis.name}={one}' for axis, one in pairs)

    def words(self) -> str:
        """Return what is written under a comparison: how it was tuned, and all trials."""
        return (
            f'\n\n### Tuning\n\n{tables.markdown(self.table(), 1 + len(self.plan.axes))}\n\n'
            f'Each method tried {self.plan.trials} settings ({self.plan.sampler}, seed '
            f'{self.plan.seed}), trained without {self.held.words} and scored on these; no test '
            'image was used. The runs above are trained on all labelled cases with what was chosen.'
        )

    def content(self) -> dict[str, Any]:
        """Return everything as plain values."""
        methods = {label: search.content() for label, search in self.searches.items()}
        return {
            **self.plan.content(),
            'held_out': self.held.holdout,
            'methods': methods,
        }

    def table(self) -> list[list[str]]:
        """Return what each method tried: a header, and a line for each trial."""
        names = [axis.name for axis in self.plan.axes]
        lines = [['method', *names, f'{self.plan.metric}, held out', 'chosen']]
        for label, search in self.searches.items():
            for labels, score in search.tried.items():
                shown = 'failed' if score is None else f'{score:.2f}'
                lines.append([label, *labels, shown, 'yes' if labels == search.chosen else ''])
        return lines
