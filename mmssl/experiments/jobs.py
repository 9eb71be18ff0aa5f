"""A training with its test as a job that can be repeated, and that knows its settings."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmssl.utils.config.settings import differing, flatten, in_words, matters
from mmssl.utils.io import write_atomic
from mmssl.utils.packaged import TOOLS


@dataclass(frozen=True)
class Job:
    """One training and its test, in a folder of its own.

    Besides what a work folder always has, the folder gets `settings.json` (what the training was
    started with), `train.log`, `test.log`, `trained` (an empty file, once the training ended),
    `seconds.json`, and `result_*.json` with the settings of the test beside it.

    Args:
        name: how the job is called in messages.
        folder: its work folder.
        config: config file.
        options: what follows `--cfg-options`, key to value as typed.
        amp: train with `--amp`.
        checkpoint: `last`, or the metric whose best checkpoint is tested, e.g. `unet/DSC`.
        tools: folder of `train.py` and `test.py`.
        processes: of the training and of the test; more than one share the batch, or multiply it
            where the config counts it for each process.
        lengthens: go on with a training of other settings, for example with more iterations,
            instead of refusing its folder; the training itself then judges its checkpoints.
        test_words: further words for the test.
        save_cases: let the test keep its cases in `cases`, for the pictures of a report.
    """

    name: str
    folder: Path
    config: str
    options: Mapping[str, str]
    amp: bool = False
    checkpoint: str = 'last'
    tools: Path = TOOLS
    processes: int = 1
    lengthens: bool = False
    test_words: tuple[str, ...] = ()
    save_cases: bool = False

    @property
    def result(self) -> Path:
        """The file of scores; one for each way to choose the checkpoint."""
        best = f'best_{self.checkpoint.replace("/", "_")}'
        return self.folder / f'result_{"last" if self.checkpoint == "last" else best}.json'

    @cached_property
    def settings(self) -> tuple[dict[str, str], dict[str, str]]:
        """Every setting that matters, by dotted name: of the training, and of the test alone."""
        from mmssl.utils.config.options import parse_value
        from mmssl.utils.setup import load_config

        options = {k: parse_value(v) for k, v in self.options.items()}
        leaves = flatten(load_config(self.config, options).to_dict())
        leaves = {'--amp': repr(self.amp), **{k: v for k, v in leaves.items() if matters(k)}}
        if self.processes > 1:
            leaves['--processes'] = str(self.processes)
        test = {k: v for k, v in leaves.items() if k.startswith('test_')}
        return {k: v for k, v in leaves.items() if k not in test}, test

    def change(self) -> str | None:
        """Say what differs between the training in the folder and this one; None if nothing."""
        if not self.folder.is_dir() or not self._content():
            return None
        return difference(_read(self.folder / 'settings.json'), self.settings[0])

    def check(self) -> None:
        """Make sure that the folder is new, or that its training has these settings.

        Raises:
            ValueError: the folder belongs to other settings.
        """
        change = None if self.lengthens else self.change()
        if change is not None:
            raise ValueError(
                f'{self.folder} was made with other settings: {change}. Use another --work-dir, '
                'or --overwrite to throw such runs away'
            )

    def prepare(self, overwrite: bool = False) -> None:
        """Write the settings into the folder.

        Args:
            overwrite: empty a folder of other settings first.

        Raises:
            ValueError: the folder belongs to other settings, and may not be emptied.
        """
        if self.lengthens:
            if self.change() is not None:
                for name in ('trained', 'result_*.settings.json'):  # of the shorter training
                    for path in self.folder.glob(name):
                        path.unlink()
        elif not overwrite:
            self.check()
        elif self.change() is not None:
            for path in self._content():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        write_atomic(self.folder / 'settings.json', json.dumps(self.settings[0], indent=1))

    def _content(self) -> list[Path]:
        locks = ('.run.lock', '.job.lock')
        return [path for path in self.folder.iterdir() if path.name not in locks]

    def state(self) -> str:
        """Return `new`, `other` (of other settings), `started`, `trained` or `done`."""
        if not (self.folder / 'settings.json').exists():
            return 'new'
        if self.change() is not None:
            return 'started' if self.lengthens else 'other'
        kept = not self.save_cases or (self._cases / 'cases.json').exists()
        if kept and self.result.exists() and _read(self._test_settings()) == self.settings[1]:
            return 'done'
        return 'trained' if (self.folder / 'trained').exists() else 'started'

    def steps(self) -> Iterator[tuple[str, list[str]]]:
        """Give name and command of each step that is still to be done, one after the other.

        The next one may be asked for only when the one before ended well.

        Raises:
            ValueError: the training left no checkpoint to test.
        """
        state = self.state()
        if state == 'done':
            return
        if state != 'trained':
            yield 'train', self.train_command()
            write_atomic(self.folder / 'trained', '')
        yield 'test', self.test_command()
        write_atomic(self._test_settings(), json.dumps(self.settings[1], indent=1))

    def train_command(self) -> list[str]:
        """Return the command that trains, or goes on."""
        return [
            *self._launch('train.py', self.config),
            '--resume',
            '--work-dir',
            str(self.folder),
            *['--amp'] * self.amp,
            *self._options(),
        ]

    def test_command(self) -> list[str]:
        """Return the command that tests.

        Raises:
            ValueError: the training left no checkpoint to test.
        """
        return [
            *self._launch('test.py', self.config, str(self.weights())),
            '--work-dir',
            str(self.folder / 'test'),
            '--out',
            str(self.result),
            *(['--save-cases', str(self._cases)] if self.save_cases else []),
            *self.test_words,
            *self._options(),
        ]

    def _launch(self, tool: str, *words: str) -> list[str]:
        """Return the start of a command: the tool, in several processes where there are to be."""
        command = [str(self.tools / tool), *words]
        if self.processes == 1:
            return [sys.executable, *command]
        meet = ['--standalone', '--local-addr=127.0.0.1', f'--nproc_per_node={self.processes}']
        launcher = [sys.executable, '-m', 'mmssl.utils.processes.torchrun', *meet]
        return [*launcher, *command, '--launcher', 'pytorch']

    def _options(self) -> list[str]:
        options = [f'{key}={value}' for key, value in self.options.items()]
        return ['--cfg-options', *options] if options else []

    def scores(self, student: str | None = None) -> tuple[str, dict, str]:
        """Read the result of a job that is done.

        Args:
            student: whose scores; None takes the one that was chosen without labels, where the
                checkpoint was chosen so, else the first, the primary one.

        Returns:
            The student, its scores (`mean`, `parts` and `domains`, see `DomainMetric`; `images`
            with those of all students on single images, where the file has them), and the protocol
            in words.

        Raises:
            ValueError: there are no scores of that student.
        """
        content = json.loads(self.result.read_text())
        students = content.get('students')
        if not students:
            raise ValueError(
                f'{self.result} has no scores of students; the config needs '
                'test_evaluator.type=DomainMetric'
            )
        student = student or content.get('chosen') or next(iter(students))
        if student not in students:
            raise ValueError(
                f'student "{student}" is not in {self.result}; it has {", ".join(students)}'
            )
        scores = dict(students[student])
        if content.get('images'):
            scores['images'] = content['images']
        return student, scores, content.get('protocol', {}).get('text', 'unknown')

    @property
    def _cases(self) -> Path:
        return self.folder / 'cases'

    def _test_settings(self) -> Path:
        return self.result.with_suffix('.settings.json')

    def weights(self) -> Path:
        """Return the checkpoint that is tested.

        Raises:
            ValueError: the training left none.
        """
        if self.checkpoint == 'last':
            pointer = self.folder / 'last_checkpoint'
            found = [Path(pointer.read_text().strip()).name] if pointer.exists() else []
        else:
            pattern = f'best_{self.checkpoint.replace("/", "_")}_iter_*.pth'
            found = [path.name for path in self.folder.glob(pattern)]
        if not found or not (self.folder / found[0]).exists():
            kind = 'last' if self.checkpoint == 'last' else f'best {self.checkpoint}'
            raise ValueError(
                f'{self.folder} has no {kind} checkpoint to test; remove the folder to train again'
            )
        return self.folder / found[0]

    def seconds(self) -> float:
        """Return the time spent on this job so far, over all sittings."""
        return sum((_read(self.folder / 'seconds.json') or {}).values())

    def add_seconds(self, step: str, seconds: float) -> None:
        """Note the time of a step, on top of that of earlier sittings."""
        path = self.folder / 'seconds.json'
        times = _read(path) or {}
        times[step] = round(times.get(step, 0.0) + seconds, 2)
        write_atomic(path, json.dumps(times))


def difference(there: Mapping[str, str] | None, here: Mapping[str, str]) -> str | None:
    """Say what differs between the settings of a folder and those asked for; None if nothing.

    Example:
        >>> difference({'iters': '2'}, {'iters': '4'})
        'iters is 2 there and 4 here'
    """
    if there is None:
        return 'it has no readable settings.json'
    return in_words(differing(there, here), there, here) or None


def _read(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
