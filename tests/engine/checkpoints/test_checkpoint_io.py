"""Checkpoint files: nothing in them runs, and they are written whole or not at all."""

import builtins
import errno
import os
from pathlib import Path

import mmengine.runner
import numpy as np
import pytest
import torch
from engine_toy import ToyModel, config
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint_with_prefix
from torch import nn

from mmssl.engine import IncompleteCheckpointError, RefusedCheckpointError
from mmssl.engine.checkpoints.io import (
    atomic_save,
    checkpoint_candidates,
    load_checkpoint_file,
)
from mmssl.registry import RUNNERS
from mmssl.utils import io
from mmssl.utils.io import TEMPORARY, remove_temporaries


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.system, (f'touch {self.mark}',)


@pytest.fixture
def evil(tmp_path):
    file = tmp_path / 'evil.pth'
    mark = tmp_path / 'code_ran'
    state = ToyModel().state_dict()
    checkpoint = {'meta': {'iter': 1, 'epoch': 0}, 'state_dict': state, 'message_hub': Evil(mark)}
    torch.save(checkpoint, file)
    yield file
    assert not mark.exists(), 'code in the checkpoint was executed'


def through_load_from(file, folder):
    RUNNERS.build(config(folder, load_from=str(file))).train()


def through_resume(file, folder):
    RUNNERS.build(config(folder, load_from=str(file), resume=True)).train()


def through_auto_resume(file, folder):
    (folder / 'iter_1.pth').write_bytes(file.read_bytes())
    RUNNERS.build(config(folder, resume=True)).train()


def through_test(file, folder):
    RUNNERS.build(config(folder, load_from=str(file))).test()


def through_api(file, folder):
    from mmssl.apis import init_model

    init_model(config(folder), str(file))


def through_pretrained(file, folder):
    class Net(BaseModule):
        def __init__(self):
            super().__init__(dict(type='Pretrained', checkpoint=str(file)))
            self.layer = nn.Linear(1, 1)

    Net().init_weights()


def through_prefix(file, folder):
    _load_checkpoint_with_prefix('students', str(file))


def through_mmengine(file, folder):
    mmengine.runner.load_checkpoint(ToyModel(), str(file))


def through_http(file, folder):
    CheckpointLoader.load_checkpoint(f'http://localhost/{file.name}')


def through_model_zoo(file, folder):
    CheckpointLoader.load_checkpoint('torchvision://evil')


PATHS = [
    through_load_from,
    through_resume,
    through_auto_resume,
    through_test,
    through_api,
    through_pretrained,
    through_prefix,
    through_mmengine,
    through_http,
    through_model_zoo,
]


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.__name__)
def test_code_in_a_checkpoint_is_refused_and_does_not_run(path, evil, tmp_path, monkeypatch):
    def download(url, target, progress=False):
        Path(target).write_bytes(evil.read_bytes())

    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    from mmengine.runner import checkpoint

    monkeypatch.setattr(
        checkpoint, 'get_torchvision_models', lambda: {'evil': 'http://localhost/evil.pth'}
    )
    with pytest.raises(RefusedCheckpointError, match='is refused.*system') as error:
        path(evil, tmp_path / 'run' if path is not through_auto_resume else make(tmp_path))
    assert '\n' not in str(error.value)


def make(tmp_path):
    (tmp_path / 'run').mkdir()
    return tmp_path / 'run'


def test_plain_pickle_is_refused(tmp_path):
    import pickle

    with open(tmp_path / 'plain.pth', 'wb') as file:
        pickle.dump(Evil(tmp_path / 'code_ran'), file)
    with pytest.raises(RefusedCheckpointError):
        load_checkpoint_file(tmp_path / 'plain.pth')
    assert not (tmp_path / 'code_ran').exists()


@pytest.mark.parametrize('keep', [0, 1, 100, -1, -200])
def test_cut_file_is_named(tmp_path, keep):
    file = tmp_path / 'cut.pth'
    torch.save({'a': torch.zeros(1000)}, file)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(IncompleteCheckpointError, match='cut.pth'):
        load_checkpoint_file(file)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.pth'):
        load_checkpoint_file(tmp_path / 'none.pth')


class FullDisk:
    """A file whose writes fail after some bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.file.close()


def fail_write(monkeypatch, room):
    real = builtins.open
    monkeypatch.setattr(io, 'open', lambda *a: FullDisk(real(*a), room), raising=False)


def fail_call(monkeypatch, name):
    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(io.os, name, fail)


@pytest.mark.parametrize('where', [0, 10, 1500, 'fsync', 'replace'])
def test_failing_disk_leaves_the_old_file(tmp_path, monkeypatch, where):
    file = tmp_path / 'model.pth'
    atomic_save({'a': torch.zeros(500)}, file)
    with monkeypatch.context() as patch:
        fail_write(patch, where) if isinstance(where, int) else fail_call(patch, where)
        with pytest.raises(OSError, match='No space left'):
            atomic_save({'a': torch.ones(500)}, file)
    assert torch.equal(load_checkpoint_file(file)['a'], torch.zeros(500))
    assert [f.name for f in tmp_path.iterdir()] == ['model.pth']
    atomic_save({'a': torch.ones(500)}, file)
    assert torch.equal(load_checkpoint_file(file)['a'], torch.ones(500))


def test_leftovers_of_dead_runs_are_removed(tmp_path):
    import socket

    host = socket.gethostname()
    below = tmp_path / 'another_run'
    below.mkdir()
    # In the folder itself, which the caller has locked, nobody else can be writing.
    own = [
        tmp_path / f'.{name}.{end}{TEMPORARY}'
        for name in ('iter_1.pth', 'last_checkpoint')
        for end in (f'{host}.999999999', f'{host}.{os.getppid()}', 'elsewhere.1')
    ]
    dead = below / f'.cost.json.{host}.999999999{TEMPORARY}'
    kept = [
        below / f'.cost.json.{host}.{os.getppid()}{TEMPORARY}',
        below / f'.cost.json.elsewhere.1{TEMPORARY}',
        tmp_path / 'iter_1.pth',
        tmp_path / '.mine.tmp',
        tmp_path / 'a.tmp-mmssl',
    ]
    for file in (*own, dead, *kept):
        file.write_text('x')
    assert sorted(remove_temporaries(tmp_path, 'last_checkpoint')) == sorted(
        f.name for f in own if 'last' in f.name
    )
    assert len(remove_temporaries(tmp_path)) == 4
    assert sorted(f for f in tmp_path.rglob('*') if f.is_file()) == sorted(kept)


def test_candidates_start_with_the_pointed_file(tmp_path):
    for name in ('iter_9.pth', 'iter_10.pth', 'iter_8.pth', 'best_a_iter_11.pth'):
        (tmp_path / name).write_text('')
    assert [f.stem for f in checkpoint_candidates(tmp_path)] == ['iter_10', 'iter_9', 'iter_8']
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_9.pth'))
    assert [f.stem for f in checkpoint_candidates(tmp_path)] == ['iter_9', 'iter_10', 'iter_8']


def test_numpy_and_other_plain_things_load(tmp_path):
    from mmssl.engine.checkpoints.history import to_plain

    value = {
        'float': np.float64(1.5),
        'array': np.arange(3),
        'tuple': (1, [2]),
        'set': {2, 1},
        'tensor': torch.ones(2, requires_grad=True),
    }
    atomic_save(to_plain(value), tmp_path / 'plain.pth')
    loaded = load_checkpoint_file(tmp_path / 'plain.pth')
    assert torch.equal(loaded.pop('tensor'), torch.ones(2))
    assert loaded == {'float': 1.5, 'array': [0, 1, 2], 'tuple': (1, [2]), 'set': [1, 2]}
    with pytest.raises(TypeError, match='Evil'):
        to_plain({'a': Evil('x')})
