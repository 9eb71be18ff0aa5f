"""The parity script accepts the authors' numbers and refuses others."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent
REFERENCE = FOLDER / 'data/synfoc_prostate.npz'


def run(file: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, FOLDER / 'synfoc_step.py', file],
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_three_steps_are_those_of_the_released_code():
    done = run(REFERENCE)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert done.stdout.count(' ok\n') >= 50


@pytest.mark.slow
@pytest.mark.parametrize(
    'key, line', [('it2_discrepant', 'step 2 discrepant'), ('it1_alpha', 'step 1 alpha')]
)
def test_another_number_is_refused(key, line, tmp_path):
    arrays = dict(np.load(REFERENCE))
    arrays[key] = arrays[key] * 1.01
    np.savez(tmp_path / 'other.npz', **arrays)
    done = run(tmp_path / 'other.npz')
    assert done.returncode == 1
    failed = [text for text in done.stdout.splitlines() if text.endswith('FAIL')]
    assert len(failed) == 1 and failed[0].startswith(line)
