"""Signals: noted or raised, once; what was ignored stays so; a second one ends at once."""

import os
import signal
import subprocess
import sys

import pytest

from mmssl.utils.processes.signals import Interrupted, Signals

PROGRAM = """
import os, signal, sys, time
from mmssl.utils.cli import run
from mmssl.utils.processes.signals import signals

def main():
    signals.listen()
    {body}

run(main)
"""


@pytest.fixture
def listening():
    old = {
        number: signal.getsignal(number)
        for number in (
            signal.SIGINT,
            signal.SIGTERM,
            signal.SIGHUP,
            signal.SIGUSR1,
            signal.SIGUSR2,
            signal.SIGXCPU,
        )
    }
    state = Signals()
    yield state
    for number, handler in old.items():
        signal.signal(number, handler)


def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    'number, code',
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 75),
        (signal.SIGHUP, 75),
        (signal.SIGUSR1, 75),
        (signal.SIGUSR2, 75),
        (signal.SIGXCPU, 75),
    ],
)
def test_a_signal_is_raised_or_noted(listening, number, code):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    listening.listen()
    with listening.deferred():
        send(number)
        assert listening.asked == number and listening.exit_code() == code
    listening.listen()
    with pytest.raises(Interrupted):
        send(number)
    assert listening.raised


def test_what_is_ignored_from_outside_stays_ignored(listening):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a shell's `&`
    listening.listen()
    send(signal.SIGHUP, signal.SIGINT)
    assert listening.asked is None


def test_what_follows_a_notice_is_no_second_signal(listening):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    listening.listen()
    with listening.deferred():
        send(signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
    assert listening.asked == signal.SIGUSR1


def run(body, **options):
    program = PROGRAM.format(body=body.replace('\n', '\n    '))
    return subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, timeout=60, **options
    )


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_second_one_ends_at_once(number):
    body = (
        f'signal.signal({int(number)}, signals._receive)\nwith signals.deferred():\n'
        f'    os.kill(os.getpid(), {int(number)})\n    time.sleep(0.5)\n'
        f'    os.kill(os.getpid(), {int(number)})\n    time.sleep(30)'
    )
    done = run(body)
    assert done.returncode == 128 + number and 'Traceback' not in done.stderr
    assert 'ending after this iteration' in done.stderr and 'ending at once' in done.stderr


def test_an_error_that_a_library_made_of_it_is_an_interruption():
    body = (
        'try:\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(9)\n'
        'except:\n    raise SyntaxError("the whole config")'
    )
    done = run(body)
    assert done.returncode == 75 and done.stderr.strip() == 'interrupted'
