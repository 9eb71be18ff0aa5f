"""The script for short loans of a GPU: methods share the time, runs go on, all are tested."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / 'tools' / 'left_atrium.sh'
STAND_IN = """#!/usr/bin/env bash
# Takes the place of Python: notes what it is asked for, and trains as told.
printf '%s\\n' "$(basename "$1") $*" >> "$CALLS"
case $1 in
*/train.py)
    run=$(printf '%s\\n' "$@" | grep -A1 -x -- --work-dir | tail -1)
    mkdir -p "$run"
    echo "$run/iter_7.pth" > "$run/last_checkpoint"
    touch "$run/iter_7.pth"
    exit "${STATUS:-0}"
    ;;
esac
"""


@pytest.fixture
def call(tmp_path):
    python = tmp_path / 'python'
    python.write_text(STAND_IN)
    python.chmod(0o755)
    (tmp_path / 'la').mkdir()

    def run(*words, **variables):
        env = {
            **os.environ,
            'PYTHON': str(python),
            'CALLS': str(tmp_path / 'calls'),
            'WORK': str(tmp_path / 'work'),
            **variables,
        }
        return subprocess.run(
            ['bash', SCRIPT, *words], env=env, cwd=tmp_path, capture_output=True, text=True
        )

    run.calls = lambda: (tmp_path / 'calls').read_text().splitlines()
    return run


@pytest.mark.parametrize('status', ['0', '75'])
def test_each_method_trains_and_is_tested(call, status):
    done = call('la', '1', 'sup_only', 'ua_mt', STATUS=status)
    assert done.returncode == 0, done.stderr
    train, other, first, second = call.calls()
    assert train.startswith('train.py') and 'configs/sup_only/left_atrium.py' in train
    assert '--resume' in train and 'train_dataloader.dataset.data_root=la' in train
    assert other.startswith('train.py') and 'configs/ua_mt/left_atrium.py' in other
    assert first.startswith('test.py') and 'sup_only-16/iter_7.pth' in first
    assert second.startswith('test.py') and 'ua_mt-16/iter_7.pth' in second
    assert 'sup_only with 16 labels after iter 7' in done.stdout


def test_other_labels_have_their_own_config_and_folder(call):
    assert call('la', '1', 'bcp', LABELS='8').returncode == 0
    train, test = call.calls()
    assert 'configs/bcp/left_atrium_8labels.py' in train and 'bcp-8/iter_7.pth' in test


@pytest.mark.parametrize(
    'words, said',
    [(('la', '0'), 'MINUTES'), (('la', '1', 'nothing'), 'configs/nothing/left_atrium.py')],
)
def test_what_cannot_be_is_refused_at_once(call, words, said):
    done = call(*words)
    assert done.returncode == 1 and said in done.stderr
    assert call('la', '1', 'sup_only', STATUS='1').returncode == 1
