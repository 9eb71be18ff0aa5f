"""What the quickstart shows of its commands, and the steps that are no training with its test."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mmssl.experiments.commands import Command
from mmssl.utils.processes.threads import wait_quietly

PRECISION = 'Precision of training: '
TAIL = 5  # lines of a log that are shown when a step fails


class Screen:
    """Show each command before it runs, and afterwards in which precision and how long it did."""

    def started(self, title: str, words: Sequence[str], log: Path) -> dict[str, str]:
        """Announce a command; return what its environment needs to look well."""
        print(f'\n== {title}\n   python {shlex.join(words[1:])}\n   log: {log}', flush=True)
        return {'PYTHONWARNINGS': 'ignore', 'TQDM_MININTERVAL': '1'}

    def ended(self, command: Command) -> None:
        """Report a command that ended well."""
        chosen = [line for line in command.said().splitlines() if PRECISION in line]
        for line in chosen[-1:]:
            print('   ' + line[line.index(PRECISION) :])
        print(f'   done in {command.seconds():.0f} s', flush=True)


class Steps:
    """Run commands of the repository one after the other, each with its log file.

    Args:
        folder: folder of the job; the logs go into `logs`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.screen = folder, Screen()
        wait_quietly()

    def run(self, title: str, log: str, *words: str, quiet: bool = False) -> None:
        """Run a command; its output goes to a log, its progress to the screen.

        Args:
            title: what is being done, for the screen.
            log: name of the log file.
            *words: script and arguments.
            quiet: show no progress.

        Raises:
            SystemExit: the command failed; the end of its log is printed.
            KeyboardInterrupt: interrupted; the command was ended.
        """
        path = self.folder / 'logs' / log
        program = [sys.executable, *words]
        environment = self.screen.started(title, program, path)
        command = Command(program, path, None, not quiet, **environment)
        code = command.wait()
        if code:
            print('\n'.join(command.said().splitlines()[-TAIL:]))
            print(f'error: this step failed (exit status {code}); the whole log is {path}')
            raise SystemExit(code if code > 0 else 128 - code)
        self.screen.ended(command)

    def train(
        self, title: str, log: str, config: str, work: Path, options: list[str], quiet: bool = False
    ) -> None:
        """Train from a config, or go on where it was interrupted.

        Args:
            title: what is trained.
            log: name of the log file.
            config: config file.
            work: its work folder.
            options: what follows `--cfg-options`.
            quiet: show no progress.

        Raises:
            SystemExit: as `run`.
        """
        words = ['--amp', '--resume', '--work-dir', str(work), '--cfg-options', *options]
        self.run(f'train {title}', log, 'tools/train.py', config, *words, quiet=quiet)
