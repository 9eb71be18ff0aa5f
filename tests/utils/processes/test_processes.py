"""Children end with their parent, however that ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

CHILD = """
import time
from mmssl.utils.cli import run
def main():
    print('ready', flush=True)
    time.sleep(60)
run(main)
"""
PARENT = f"""
import subprocess, sys, time
from mmssl.utils.processes.children import for_child
child = subprocess.Popen([sys.executable, '-c', {CHILD!r}], env=for_child(), text=True,
                         stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


def gone(process, seconds=10.0):
    """Tell whether a process has ended, or ends soon."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with open(f'/proc/{process}/stat') as file:
                if file.read().rpartition(')')[2].split()[0] == 'Z':
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='looks into /proc')
def test_a_tool_ends_with_a_parent_that_is_killed():
    parent = subprocess.Popen([sys.executable, '-c', PARENT], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert not gone(child, 0.3)
    parent.kill()
    parent.wait()
    assert gone(child)


def test_a_tool_whose_parent_has_gone_already_ends_at_once():
    ended = subprocess.Popen([sys.executable, '-c', ''])
    ended.wait()
    done = subprocess.run(
        [sys.executable, '-c', CHILD], env=dict(os.environ, MMSSL_PARENT=str(ended.pid)),
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL and not done.stdout


@pytest.mark.parametrize('parent', [None, '', 'abc', 'this'])
def test_other_tools_go_on(parent):
    """Without a launcher, or started through a wrapper between it and the tool."""
    env = {k: v for k, v in os.environ.items() if k != 'MMSSL_PARENT'}
    parent = str(os.getpid()) if parent == 'this' else parent
    env.update({} if parent is None else {'MMSSL_PARENT': parent})
    code = CHILD.replace('time.sleep(60)', 'import os; print("MMSSL_PARENT" in os.environ)')
    done = subprocess.run(
        ['sh', '-c', '"$0" -c "$1"; exit $?', sys.executable, code],
        env=env, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout == 'ready\nFalse\n'
