"""One process to a folder: refused by name, taken over from the dead, found gone."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmssl.utils.processes import folder_lock
from mmssl.utils.processes.folder_lock import NAME, InUseError, check_folder, lock_file, lock_folder

HOLD = """
import sys, time
from mmssl.utils.processes.folder_lock import lock_folder
with lock_folder(sys.argv[1]):
    print('locked', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-c', HOLD, str(tmp_path / 'run')], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == 'locked\n'
    yield process
    process.kill()
    process.wait()


def test_the_second_is_told_who_is_there(holder, tmp_path):
    with pytest.raises(InUseError) as error:
        with lock_folder(tmp_path / 'run'):
            pass
    text = str(error.value)
    assert f'process {holder.pid} on {os.uname().nodename}, started 20' in text
    assert '--work-dir' in text and '\n' not in text


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_holder_is_followed_and_a_stopped_one_is_not(holder, tmp_path, number):
    holder.send_signal(number)
    if number == signal.SIGKILL:
        holder.wait()
        assert (tmp_path / 'run' / NAME).exists()
        with lock_folder(tmp_path / 'run'):
            assert record(tmp_path)['pid'] == os.getpid()
        assert not (tmp_path / 'run' / NAME).exists()
    else:
        with pytest.raises(InUseError), lock_folder(tmp_path / 'run'):
            pass


def record(tmp_path):
    return json.loads((tmp_path / 'run' / NAME).read_text())


def test_a_process_may_enter_again_and_leaves_nothing(tmp_path):
    with lock_folder(tmp_path / 'run'):
        with lock_folder(tmp_path / 'other' / '..' / 'run'):
            pass
        assert (tmp_path / 'run' / NAME).exists()
    assert not list((tmp_path / 'run').iterdir())


def test_loading_processes_do_not_hold_it(tmp_path):
    with lock_folder(tmp_path / 'run'):
        child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(30,))
        child.start()
    with lock_folder(tmp_path / 'run'):
        pass
    child.kill()
    child.join()


def leave_record(folder, **values):
    folder.mkdir()
    here = folder_lock._here()
    old = {**here, 'pid': 1, 'started': '2026-01-01 00:00:00', 'beat': 7, **values}
    (folder / NAME).write_text(json.dumps(old))


@pytest.mark.parametrize('beats', [False, True])
def test_another_machine_is_watched(tmp_path, monkeypatch, capsys, beats):
    monkeypatch.setattr(folder_lock, 'WATCH', 0.6)
    leave_record(tmp_path / 'run', host='node7', boot='x')
    if beats:
        read = folder_lock._Lock._read
        numbers = iter(range(100))
        monkeypatch.setattr(
            folder_lock._Lock, '_read', lambda self: {**read(self), 'beat': next(numbers)}
        )
        with pytest.raises(InUseError, match='process 1 on node7'), lock_folder(tmp_path / 'run'):
            pass
    else:
        with lock_folder(tmp_path / 'run'):
            assert record(tmp_path)['pid'] == os.getpid()
    assert 'node7' in capsys.readouterr().err


@pytest.mark.parametrize('pid, lives', [(1, True), (999999999, False)])
def test_without_locks_of_the_file_system_the_process_counts(tmp_path, monkeypatch, pid, lives):
    def refuse(*args):
        raise OSError(37, 'No locks available')

    monkeypatch.setattr(folder_lock.fcntl, 'lockf', refuse)
    leave_record(tmp_path / 'run', pid=pid)
    if lives:
        with pytest.raises(InUseError), lock_folder(tmp_path / 'run'):
            pass
    else:
        with lock_folder(tmp_path / 'run'):
            pass


def test_the_holder_shows_that_it_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, 'BEAT', 0.02)
    with lock_folder(tmp_path / 'run'):
        until = time.monotonic() + 10
        while record(tmp_path)['beat'] < 3 and time.monotonic() < until:
            time.sleep(0.02)
        assert record(tmp_path)['beat'] >= 3


def test_a_folder_that_is_gone_is_noticed(tmp_path):
    with lock_folder(tmp_path / 'run'):
        check_folder(tmp_path / 'run')
        (tmp_path / 'run').rename(tmp_path / 'moved')
        with pytest.raises(FileNotFoundError, match='removed, renamed or unmounted'):
            check_folder(tmp_path / 'run')
    check_folder(tmp_path / 'run')  # nobody holds it


def test_a_file_in_place_of_the_folder(tmp_path):
    Path(tmp_path / 'run').touch()
    with pytest.raises(NotADirectoryError), lock_folder(tmp_path / 'run'):
        pass


def test_two_writers_of_a_result(tmp_path):
    with lock_file(tmp_path / 'new' / 'result.json', '--out'):
        program = HOLD.replace('lock_folder(sys.argv[1])', 'lock_file(sys.argv[1], "--out")')
        program = program.replace('import lock_folder', 'import lock_file')
        done = subprocess.run(
            [sys.executable, '-c', program, str(tmp_path / 'new/result.json')],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode and 'another one with --out' in done.stderr
    assert not list((tmp_path / 'new').iterdir())
