"""With each lever for speed, every method still agrees with its authors' code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEVERS = ('channels_last=True', 'fused=True', 'attention=sdpa', 'recompute=all')


@pytest.mark.slow
@pytest.mark.parametrize('lever', LEVERS)
def test_methods_agree_with_their_authors_code(lever):
    command = [sys.executable, '-m', 'pytest', '-q', '-x', '-m', 'not slow', 'tests/parity']
    environment = {**os.environ, 'MMSSL_PARITY_SPEED': lever}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
