"""How long commands take to start, and a training to its first iteration."""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmssl.utils.config.options import at_least

LIMIT = 600  # seconds that a training may take to its first iteration
SHOWN = 12


class Taken(NamedTuple):
    """Seconds that a process took, and those of the processor, which other programs do not change.

    The second number is without the loading processes.
    """

    clock: float
    processor: float

    def line(self, name: str) -> str:
        """Return a line of the report."""
        return f'{name:<30}{self.clock:8.2f} s{self.processor:8.2f} s of a processor'


class _Watch:
    def __init__(self) -> None:
        self.begin = time.perf_counter()
        self.before = _processor()

    def read(self) -> float:
        return time.perf_counter() - self.begin

    def processor(self) -> float:
        return _processor() - self.before


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def add_start(commands: argparse._SubParsersAction) -> None:
    """Describe the command `start`."""
    parser = commands.add_parser('start', help='time to import, to print a help, and to train')
    parser.add_argument(
        'config',
        nargs='?',
        default='synfoc/lite_phantom.py',
        help='config of the training (default: synfoc/lite_phantom.py)',
    )
    parser.add_argument(
        '--data-root', metavar='DIR', help='its data; without it a phantom is written first'
    )
    parser.add_argument('--rounds', type=at_least(1), default=3, help='of which the best counts')
    parser.add_argument('--imports', action='store_true', help='what the training imports, by time')
    parser.set_defaults(run=run_start)


def run_start(args: argparse.Namespace) -> None:
    """Print how long each start takes, in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        data = args.data_root or phantom(Path(folder, 'data'))
        train = [sys.executable, '-m', 'mmssl', 'train', args.config, '--cfg-options']
        train += [f'data_root={data}', 'default_hooks.logger.interval=1']
        short = {
            'import mmssl': [sys.executable, '-c', 'import mmssl'],
            'mmssl --help': [sys.executable, '-m', 'mmssl', '--help'],
            'mmssl train --help': [sys.executable, '-m', 'mmssl', 'train', '--help'],
        }
        for name, words in short.items():
            print(min(_ended(words) for _ in range(args.rounds)).line(name), flush=True)
        runs = [Path(folder, f'run{number}') for number in range(args.rounds)]
        best = min(first_iteration(train, run) for run in runs)
        print(best.line('first iteration of a training'), f'({args.config})', flush=True)
        if args.imports:
            log = Path(folder, 'imports')
            first_iteration(train, Path(folder, 'profiled'), log)
            for package, seconds in import_times(log.read_text())[:SHOWN]:
                print(f'  {package:<28}{seconds:8.2f} s')


def phantom(folder: Path) -> Path:
    """Write a phantom of slices and return its folder."""
    from mmssl.datasets.phantom.slices import PhantomSettings, write_phantom

    write_phantom(folder, PhantomSettings(), progress=False)
    return folder


def _ended(words: Sequence[str]) -> Taken:
    watch = _Watch()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return Taken(watch.read(), watch.processor())


def first_iteration(command: Sequence[str], work_dir: Path, imports: Path | None = None) -> Taken:
    """Start a training, wait for its first iteration to be logged, and end it.

    Args:
        command: up to `--cfg-options` and some of them; the log has to be of every iteration.
        work_dir: its folder, which must not exist.
        imports: file for the time of every import.

    Returns:
        What passed from the start of the process.

    Raises:
        RuntimeError: it ended before, or took more than ten minutes.
    """
    words = [*command, f"work_dir='{work_dir}'"]
    environment = dict(os.environ, **({'PYTHONPROFILEIMPORTTIME': '1'} if imports else {}))
    with tempfile.TemporaryFile('w+') as errors:
        watch = _Watch()
        process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=errors, text=True, env=environment
        )
        try:
            while not _logged(work_dir):
                if process.poll() is not None or watch.read() > LIMIT:
                    errors.seek(0)
                    raise RuntimeError(f'the training did not begin: {errors.read()[-500:]}')
                time.sleep(0.01)
            seconds = watch.read()
        finally:
            process.kill()  # its loading processes end with it
            process.wait()
        if imports:
            errors.seek(0)
            imports.write_text(errors.read())
    return Taken(seconds, watch.processor())


def _logged(work_dir: Path) -> bool:
    return any(file.stat().st_size for file in work_dir.glob('*/vis_data/scalars.json'))


def import_times(log: str) -> list[tuple[str, float]]:
    r"""Return the seconds that each package's own files took to import, longest first.

    Args:
        log: what Python writes with `-X importtime`.

    Example:
        >>> import_times('import time: 100 | 900 | a.b\nimport time: 800 | 800 |   c')
        [('c', 0.0008), ('a', 0.0001)]
    """
    times: dict[str, float] = defaultdict(float)
    for own, name in re.findall(r'^import time: +(\d+) \| +\d+ \| *([\w.]+)$', log, re.M):
        times[name.partition('.')[0]] += int(own) / 1e6
    return sorted(times.items(), key=lambda item: -item[1])
