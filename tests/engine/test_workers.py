"""Loading processes that cannot hand a batch over, or give none, end the run with one line."""

import logging
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.utils.data import Dataset

from mmssl.engine import workers
from mmssl.engine.runner import SemiRunner
from mmssl.utils.cli import explain
from mmssl.utils.machine import loading_fault

FEW_FILES = """
import resource, sys
sys.path.insert(0, {folder!r})
from test_workers import Tensors, loader
from mmssl.utils.cli import run

def main():
    made = loader(Tensors(30))
    resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))
    kept = list(made)

run(main)
"""


class Tensors(Dataset):
    def __init__(self, number=1, delay=0.0, ends=False):
        self.number, self.delay, self.ends = number, delay, ends

    def __len__(self):
        return 64

    def __getitem__(self, index):
        time.sleep(self.delay)
        if self.ends:
            os.kill(os.getpid(), signal.SIGKILL)
        return {str(i): torch.zeros(100) for i in range(self.number)}


def loader(dataset, **options):
    return SemiRunner.build_dataloader(
        dict(
            dataset=dataset,
            num_workers=2,
            batch_size=4,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=False),
            **options,
        )
    )


def error_of(call):
    with pytest.raises(Exception) as info:
        call()
    return info.value


@pytest.mark.slow
@pytest.mark.parametrize('files', [60, 120])
def test_few_open_files_do_not_hang(files):
    folder = os.path.dirname(__file__)
    program = FEW_FILES.format(folder=folder, files=files)
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 1 and 'Traceback' not in done.stderr, done.stderr
    assert 'may not open more files: raise the limit (ulimit -n 65536)' in done.stderr


@pytest.mark.parametrize(
    'dataset, words',
    [(Tensors(ends=True), 'runs out of memory'), (Tensors(delay=9), 'gave no batch within 1 s')],
)
def test_a_process_that_dies_or_hangs_is_explained(dataset, words):
    made = loader(dataset, timeout=1 if dataset.delay else 60)
    text, code = explain(error_of(lambda: next(iter(made))))
    assert code == 1 and words in text and 'num_workers' in text


def test_no_room_in_shared_memory_is_explained(monkeypatch):
    def fail(*args):
        raise RuntimeError(
            'unable to allocate shared memory(shm) for file </torch_1>: No space '
            'left on device (28)'
        )

    made = loader(Tensors())
    monkeypatch.setattr(torch.UntypedStorage, '_new_using_fd_cpu', fail)
    monkeypatch.setattr(torch.UntypedStorage, '_share_fd_cpu_', fail)
    text, code = explain(error_of(lambda: next(iter(made))))
    assert code == 1 and 'no room in shared memory' in text and '--shm-size' in text


def test_what_is_short_is_said_at_the_start(monkeypatch, caplog):
    said = []
    monkeypatch.setattr(workers, 'print_log', lambda text, *args: said.append((text, args[-1])))
    monkeypatch.setattr(workers, 'free_shared_memory', lambda: 2e6)
    loader(Tensors())
    assert len(said) == 1 and said[0][1] == logging.WARNING and 'has 2 MB free' in said[0][0]
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    monkeypatch.setattr(workers, 'raise_open_files', lambda: None)
    monkeypatch.setattr(workers.resource, 'getrlimit', lambda which: (100, limit))
    text, code = explain(error_of(lambda: loader(Tensors())))
    assert code == 1 and text.startswith('2 loading processes need about 128 open files, but 100')


def test_no_processes_need_no_limit():
    made = SemiRunner.build_dataloader(
        dict(
            dataset=Tensors(),
            num_workers=0,
            batch_size=4,
            timeout=7,
            prefetch_factor=2,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler'),
        )
    )
    assert made.timeout == 0 and loader(Tensors()).timeout == workers.TIMEOUT
    assert len(next(iter(made))['0']) == 4


def test_other_errors_are_not_explained_away():
    assert loading_fault(RuntimeError('the size of tensor a must match')) is None
    passed_on = 'Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback ...'
    assert loading_fault(RuntimeError(passed_on)) is None
