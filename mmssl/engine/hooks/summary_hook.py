"""After a training: last checkpoint, mean of the last evaluations and chosen one, side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mmssl.engine.about_run import note_start
from mmssl.engine.hooks.agreement_hook import CHOICE, AgreementHook
from mmssl.engine.hooks.agreement_hook import HISTORY as LABEL_FREE
from mmssl.evaluation.domain_table import SELECTIONS
from mmssl.evaluation.files import write_json
from mmssl.evaluation.published import published_dsc
from mmssl.registry import HOOKS
from mmssl.utils import tables
from mmssl.utils.config.selection import AGREEMENT
from mmssl.utils.config.settings import metrics_of
from mmssl.utils.dist import unwrapped
from mmssl.utils.io import write_atomic

HISTORY = 'eval_history'


@HOOKS.register_module()
class SummaryHook(Hook):
    """Keep the students' scores of every evaluation and sum them up when training ends.

    The history lies in the message hub as plain values, so it is in every checkpoint and a resumed
    run goes on with it. The summary is printed and written as `summary.txt` and `summary.json`
    in the work folder. A published number reached by choosing on the test set should be compared
    with the chosen row; the other two rows say how much of it is the choice.

    Args:
        selection: how the reported checkpoint is chosen: `test` (best evaluation, and evaluations
            are on the test set, as published; warns), `val` (best evaluation, on validation
            data), `last`, or `agreement` (what `AgreementHook` has chosen, of the students too).
            None takes what `val_evaluator` in the config says, else `test`.
        last_k: number of evaluations in the mean.
        metric: what is best, e.g. `DSC`.
        greater: whether more of it is better.
        metrics: what is kept of each student.
        published: where the published numbers are, see `mmssl.evaluation.published_dsc`; None
            takes what `val_evaluator` in the config says, else the `published` at its top. That
            one is of test images: with `selection='val'` it stands beside the test alone.
        max_history: evaluations kept; beyond it the oldest go, best ones excepted.

    Raises:
        ValueError: if `selection` is unknown.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        selection: str | None = None,
        last_k: int = 10,
        metric: str = 'DSC',
        greater: bool = True,
        metrics: Sequence[str] = ('DSC', 'Jaccard', 'HD95', 'ASD'),
        published: str | Mapping[str, Any] | None = None,
        max_history: int = 1000,
    ) -> None:
        if selection not in (None, *SELECTIONS):
            raise ValueError(
                f'selection={selection!r} is unknown; choose one of {tuple(SELECTIONS)}.'
            )
        self.selection, self.last_k = selection, last_k
        self.metric, self.greater = metric, greater
        self.metrics = tuple(dict.fromkeys((metric, *metrics)))
        self.published = published
        self.max_history = max(max_history, last_k)
        self._chosen_student: str | None = None

    def before_train(self, runner) -> None:
        """Note what starts and what is labelled; warn if the test set chooses the checkpoint."""
        metrics = metrics_of(runner.cfg.get('val_evaluator'))
        said = {
            key: next((m[key] for m in metrics if m.get(key)), None)
            for key in ('selection', 'published')
        }
        self.selection = self.selection or said['selection'] or 'test'
        self.published = self.published or said['published']
        dataset = runner.train_dataloader.dataset
        if is_main_process():
            students = getattr(unwrapped(runner.model), 'students', None)
            note_start(runner.work_dir, runner.iter, dataset, students)
        count = getattr(dataset, 'labelled_indices', None)
        note_labelled(runner, None if count is None else len(count))
        note_published(runner, self.selection != 'val')
        if self.selection == 'test':
            runner.logger.warning(
                'The checkpoint is chosen on the TEST set (selection="test"), as the published '
                'numbers were. This flatters the result; for an honest one hold out validation '
                'images (selection="val"), take the last iteration (selection="last"), or choose '
                'without labels (selection="agreement").'
            )
        elif self.selection == 'agreement' and not _has_agreement(runner):
            raise ValueError(
                'SummaryHook(selection="agreement") reports what AgreementHook chooses, which this '
                'run does not have: set val_evaluator.selection="agreement" in the config, which '
                'adds it'
            )

    def before_test(self, runner) -> None:
        """Note which images were labelled, and the method, for the published column."""
        note_labelled(runner)
        note_published(runner)
        runner.message_hub.update_info('chosen_student', self._chosen_student)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Note whose file it is, if it is one that agreement has chosen."""
        choice = _dict(_dict(_dict(checkpoint.get('message_hub')).get('info')).get(CHOICE))
        now = _dict(checkpoint.get('meta')).get('iter')
        chosen = [c.get('student') for c in choice.values() if _dict(c).get('iter') == now]
        self._chosen_student = next(iter(chosen), None) if 'optimizer' not in checkpoint else None

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Add an evaluation to the history; one done again replaces itself."""
        kept = {}
        for key, value in (metrics or {}).items():
            student, _, name = key.rpartition('/')
            if student and '/' not in student and name in self.metrics:
                kept[key] = float(value)
        if not kept:
            return
        old = runner.message_hub.get_info(HISTORY) or []
        history = [e for e in old if e['iter'] < runner.iter]
        history.append({'iter': int(runner.iter), 'metrics': kept})
        choice = runner.message_hub.get_info(CHOICE) or {}
        chosen = {one['iter'] for one in choice.values()}
        runner.message_hub.update_info(HISTORY, self._bound(history, chosen))

    def after_stage(self, runner) -> None:
        """Forget the evaluations of the stage that is over: none of them can be chosen."""
        if runner.message_hub.get_info(HISTORY):
            runner.message_hub.update_info(HISTORY, [])

    def _bound(self, history: list[dict], chosen: set[int]) -> list[dict]:
        excess = len(history) - self.max_history
        if excess <= 0:
            return history
        best = {self._best(history, student)['iter'] for student in students_of(history)}
        old = [e for e in history[: -self.last_k] if e['iter'] not in best | chosen]
        drop = {e['iter'] for e in old[:excess]}
        return [e for e in history if e['iter'] not in drop]

    def _best(self, history: list[dict], student: str) -> dict:
        key = f'{student}/{self.metric}'
        scored = [e for e in history if not np.isnan(e['metrics'].get(key, np.nan))]
        sign = 1 if self.greater else -1
        return max(scored or history[-1:], key=lambda e: sign * e['metrics'].get(key, np.nan))

    def after_train(self, runner) -> None:
        """Print the summary and write it."""
        history = runner.message_hub.get_info(HISTORY) or []
        if not history:
            runner.logger.info('No evaluation took place, so there is no summary.')
            return
        if not is_main_process():
            return
        summary = self.summarise(history, runner.message_hub)
        text = self.text(summary)
        runner.logger.info('\n' + text)
        folder = Path(runner.work_dir)
        write_atomic(folder / 'summary.txt', text + '\n')
        label_free = runner.message_hub.get_info(LABEL_FREE)
        more = {'label_free': label_free} if label_free else {}
        write_json(folder / 'summary.json', {**summary, 'history': history, **more})

    def summarise(self, history: list[dict], hub) -> dict:
        """Return `last`, `last_k` (mean, population std) and `chosen` of each student."""
        meta = hub.get_info('dataset_meta') or {}
        published = published_dsc(self.published, meta.get('dataset_name'))
        choice = hub.get_info(CHOICE) or {}
        result = {}
        for student in students_of(history):
            tail = history[-self.last_k :]
            chosen = self._chosen(history, student, choice)
            names = [m for m in self.metrics if f'{student}/{m}' in history[-1]['metrics']]
            values = {m: [e['metrics'].get(f'{student}/{m}', np.nan) for e in tail] for m in names}
            result[student] = {
                'last': _entry(history[-1], student, names),
                'last_k': {
                    'iters': [e['iter'] for e in tail],
                    'mean': {m: float(np.mean(v)) for m, v in values.items()},
                    'std': {m: float(np.std(v)) for m, v in values.items()},
                },
                'chosen': {
                    **_entry(chosen, student, names),
                    'checkpoint': self._checkpoint(hub, student),
                },
                'published': published.get(student),
            }
        summary = {'selection': self.selection, 'metric': self.metric, 'students': result}
        if self.selection == 'agreement' and AGREEMENT in choice:
            file = hub.get_info(f'best_ckpt_{AGREEMENT}') or hub.get_info('best_ckpt')
            own = dict(choice[AGREEMENT], checkpoint=file and Path(file).name)
            summary['without_labels'] = own
        return summary

    def _chosen(self, history: list[dict], student: str, choice: Mapping) -> dict:
        if self.selection in ('test', 'val'):
            return self._best(history, student)
        own = choice.get(f'{student}/{AGREEMENT}') if self.selection == 'agreement' else None
        found = [e for e in history if own and e['iter'] == own['iter']]
        return (found or history)[-1]

    def _checkpoint(self, hub, student: str) -> str | None:
        """Return the name of the chosen file, where the checkpoint hook has kept one."""
        if self.selection == 'last':
            path = hub.get_info('last_ckpt')
        else:
            key = AGREEMENT if self.selection == 'agreement' else self.metric
            path = hub.get_info(f'best_ckpt_{student}/{key}') or hub.get_info('best_ckpt')
            if path and not Path(path).name.startswith(f'best_{student}_{key}_'):
                path = None
        return Path(path).name if path else None

    def text(self, summary: dict) -> str:
        """Lay the summary out as a table with the words that belong to it."""
        students = summary['students']
        given = {m for entry in students.values() for m in entry['last']['metrics']}
        names = [m for m in self.metrics if m in given]
        rows = [['student', 'which', 'iteration', *names]]
        for student, entry in students.items():
            tail = entry['last_k']
            iters = tail['iters']
            spread = [
                f'{tail["mean"][m]:.2f} ± {tail["std"][m]:.2f}' if m in tail['mean'] else '-'
                for m in names
            ]
            rows += [
                [student, 'last', entry['last']['iter'], *_values(entry['last'], names)],
                [student, f'last {len(iters)}', f'{iters[0]}-{iters[-1]}', *spread],
                [student, 'chosen', entry['chosen']['iter'], *_values(entry['chosen'], names)],
            ]
            if entry['published']:
                number = f'{entry["published"]["dsc"]:.2f}'
                cells = [number if m == 'DSC' else '' for m in names]
                rows.append([student, 'published', '', *cells])
        lines = [
            tables.text(rows, left=2),
            f'Chosen: {SELECTIONS[summary["selection"]]}, each student by itself.',
        ]
        if any(e['published'] for e in students.values()):
            lines.append('Published: same labelled domain, chosen on the test set, one run.')
        if own := summary.get('without_labels'):
            file = f', {own["checkpoint"]}' if own['checkpoint'] and len(students) > 1 else ''
            lines.append(
                f'Without labels: student {own["student"]} of iteration {own["iter"]}{file}.'
            )
        for student, entry in students.items():
            if entry['chosen']['checkpoint']:
                lines.append(f'Chosen file of {student}: {entry["chosen"]["checkpoint"]}')
        return '\n'.join(lines)


def _has_agreement(runner) -> bool:
    return any(isinstance(hook, AgreementHook) for hook in runner.hooks)


def _dict(value: object) -> Mapping:
    return value if isinstance(value, Mapping) else {}


def students_of(history: list[dict]) -> list[str]:
    """Return the names of the students in the newest evaluation, in its order."""
    return list(dict.fromkeys(key.rpartition('/')[0] for key in history[-1]['metrics']))


def note_published(runner, on_test_images: bool = True) -> None:
    """Put the `published` of the config into the message hub.

    Args:
        runner: the runner.
        on_test_images: whether the scores can be compared with published ones.
    """
    published = runner.cfg.get('published') if on_test_images else None
    runner.message_hub.update_info('published', published)


def note_labelled(runner, count: int | None = None) -> None:
    """Put the labelled domain and the number of labelled images into the message hub.

    Args:
        runner: the runner; the training data set in its config says what is `labelled`.
        count: the number, where the training data set itself is at hand. Else a number in the
            config counts, or a ratio of the published number of training images.
    """
    dataset = (runner.cfg.get('train_dataloader') or {}).get('dataset') or {}
    labelled = dataset.get('labelled')
    if not labelled:
        return
    if count is None:
        count = labelled.get('num')
    if count is None and labelled.get('ratio'):
        meta = getattr(runner.test_dataloader.dataset, 'metainfo', {})
        total = sum(meta.get('published_counts', {}).get('train', {}).values())
        count = int(total * labelled['ratio']) or None
    runner.message_hub.update_info('labelled', {'domain': labelled.get('domain'), 'count': count})


def _entry(evaluation: dict, student: str, names: list[str]) -> dict:
    values = evaluation['metrics']
    return {
        'iter': evaluation['iter'],
        'metrics': {m: values.get(f'{student}/{m}', float('nan')) for m in names},
    }


def _values(entry: dict, names: list[str]) -> list[str]:
    values = entry['metrics']
    return [f'{values[m]:.2f}' if m in values else '-' for m in names]
