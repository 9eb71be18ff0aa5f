"""Testing from the command line, with one process and with two."""

import importlib.util
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


@pytest.fixture
def tool(monkeypatch):
    spec = importlib.util.spec_from_file_location('test_tool', ROOT / 'tools/test.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def ask(*words):
        monkeypatch.setattr(sys, 'argv', ['test.py', *map(str, words)])
        return module

    return ask


def test_a_test_that_cannot_run_leaves_the_older_result(tool, toy, tmp_path, monkeypatch):  # noqa: F811
    result = tmp_path / 'result.json'
    result.write_text('of yesterday')
    monkeypatch.chdir(tmp_path)
    for words in ([toy, 'none.pth'], [toy, 'none', '--cfg-options', 'model.type=No']):
        with pytest.raises((FileNotFoundError, KeyError)):
            tool(*words, '--out', result).main()
        assert result.read_text() == 'of yesterday'


def test_show_dir_draws_every_image_unless_asked_otherwise(tool):
    words = [ROOT / 'configs/sup_only/lite_phantom.py', 'none', '--show-dir', 'x']
    for more, every in (([], 1), (['--show-every', '4'], 4)):
        module = tool(*words, *more, '--cfg-options', 'default_hooks.visualization.test_interval=7')
        hook = module.build_config(module.parse_args()).default_hooks.visualization
        assert (hook.test_interval, hook.draw, hook.out_dir) == (every, True, 'x')
