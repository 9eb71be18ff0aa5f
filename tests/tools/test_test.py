"""Testing from the command line, with one process and with two."""

import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tests' / 'engine'))
sys.path.insert(0, str(ROOT / 'tests' / 'tools'))
from engine_toy import config  # noqa: E402
from test_train import run, toy  # noqa: E402, F401

from mmssl.registry import RUNNERS  # noqa: E402


@pytest.mark.slow
def test_results_are_written_and_two_processes_agree(toy, tmp_path):  # noqa: F811
    RUNNERS.build(config(tmp_path / 'run')).train()
    checkpoint = tmp_path / 'run' / 'iter_8.pth'
    one, two = tmp_path / 'one.json', tmp_path / 'two.json'
    done = run('tools/test.py', toy, checkpoint, '--out', one)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(one.read_text()) == {'unet/DSC': 1.0, 'sam/DSC': -1.0}
    done = run('tools/dist_test.sh', toy, checkpoint, 2, '--out', two)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(two.read_text()) == json.loads(one.read_text())


@pytest.mark.slow
def test_missing_and_refused_checkpoints_are_one_line(toy, tmp_path):  # noqa: F811
    import torch

    done = run('tools/test.py', toy, tmp_path / 'none.pth')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert 'none.pth" does not exist' in done.stderr.splitlines()[-1]

    class Evil:
        def __reduce__(self):
            return os.system, (f'touch {tmp_path / "code_ran"}',)

    torch.save({'state_dict': {}, 'x': Evil()}, tmp_path / 'evil.pth')
    done = run('tools/test.py', toy, tmp_path / 'evil.pth')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert 'is refused' in done.stderr.splitlines()[-1]
    assert not (tmp_path / 'code_ran').exists()
