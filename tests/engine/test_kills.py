"""Runs that are killed, or asked to end, at random moments leave nothing behind or different."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize('sample, workers', [('slice', 0), ('slice', 2), ('volume', 2)])
@pytest.mark.parametrize('number, count', [(signal.SIGKILL, 15), (signal.SIGTERM, 5)])
def test_at_random_moments(tmp_path, number, count, sample, workers):
    script = Path(__file__).with_name('run_kills.py')
    command = [sys.executable, script, tmp_path, workers, count, int(number), sample]
    done = subprocess.run(
        [*map(str, command)],
        env=dict(os.environ, OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'nothing different' in done.stdout
