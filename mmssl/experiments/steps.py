"""A job of several commands: each shown, logged, timed, and ended with the job."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from mmssl.utils.processes.children import end, for_child
from mmssl.utils.processes.threads import wait_quietly

PRECISION = 'Precision of training: '
TAIL = 5  # lines of a log that are shown when a step fails


class Steps:
    """Run commands of the repository one after the other, each with its log file.

    Args:
        folder: folder of the job; the logs go into `logs`.
        root: folder of the repository, where the commands run.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root
        wait_quietly()

    def run(self, title: str, log: str, *command: str, quiet: bool = False) -> str:
        """Run a command; its output goes to a log, its progress to the screen.

        Args:
            title: what is being done, for the screen.
            log: name of the log file.
            *command: script and arguments.
            quiet: show no progress.

        Returns:
            What this command wrote into its log.

        Raises:
            SystemExit: the command failed; the end of its log is printed.
            KeyboardInterrupt: interrupted; the command was ended.
        """
        path = self.folder / 'logs' / log
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f'\n== {title}\n   python {shlex.join(command)}\n   log: {path}', flush=True)
        begin, start = path.stat().st_size if path.exists() else 0, time.monotonic()
        environment = for_child(
            MMSSL_PROGRESS='0' if quiet else '1', PYTHONWARNINGS='ignore', TQDM_MININTERVAL='1',
            PYTHONUNBUFFERED='1')  # fmt: skip
        with path.open('a') as file:
            # Ctrl-C reaches this process alone, which passes it on once.
            child = subprocess.Popen(
                [sys.executable, *command], cwd=self.root, env=environment, stdout=file,
                stderr=file if quiet else None, start_new_session=True,
            )  # fmt: skip
            try:
                code = child.wait()
            finally:
                end([child])
        with path.open('rb') as file:
            file.seek(begin, os.SEEK_SET)
            said = file.read().decode(errors='replace')
        if code:
            print('\n'.join(said.splitlines()[-TAIL:]))
            print(f'error: this step failed (exit status {code}); the whole log is {path}')
            raise SystemExit(code if code > 0 else 128 - code)
        print(f'   done in {time.monotonic() - start:.0f} s', flush=True)
        return said

    def train(
        self, title: str, log: str, config: str, work: Path, options: list[str], quiet: bool = False
    ) -> None:
        """Train from a config, or go on where it was interrupted; say in which precision.

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
        said = self.run(
            f'train {title}',
            log,
            'tools/train.py',
            config,
            '--amp',
            '--resume',
            '--work-dir',
            str(work),
            '--cfg-options',
            *options,
            quiet=quiet,
        )
        chosen = [line for line in said.splitlines() if PRECISION in line]
        for line in chosen[-1:]:
            print('   ' + line[line.index(PRECISION) :], flush=True)
