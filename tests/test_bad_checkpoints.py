"""Bad checkpoints end in one line that names them; see `test_bad_input.py`."""

import os
import pickle
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from bad_input import call
from test_bad_files import cut, replace_by_folder
from test_bad_input import base, expect_line  # noqa: F401
from test_training import phantom  # noqa: F401


@pytest.fixture(scope='module')
def trained(base, tmp_path_factory):  # noqa: F811
    """Train once; the cases spoil a copy of this folder."""
    from mmengine.config import Config

    from mmssl.registry import RUNNERS
    from mmssl.utils.setup import register_all_modules

    register_all_modules()
    cfg = Config.fromfile(str(base))
    cfg.work_dir = str(tmp_path_factory.mktemp('trained') / 'run')
    RUNNERS.build(cfg).train()
    return Path(cfg.work_dir)


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return os.system, ('touch ran',)


def spoil(change):
    """Return a function that changes what a checkpoint holds."""

    def apply(path: Path) -> None:
        checkpoint = torch.load(path, weights_only=True)
        torch.save(change(checkpoint) or checkpoint, path)

    return apply


def weights(change):
    """Return a function that changes every weight of a checkpoint."""
    return spoil(lambda c: {**c, 'state_dict': {k: change(v) for k, v in c['state_dict'].items()}})


def of_optimiser(change):
    """Return a function that changes the state of the optimisers."""
    return spoil(lambda c: {**c, 'optimizer': change(c['optimizer'])})


def evil(path: Path) -> None:
    with path.open('wb') as file:
        pickle.dump(Evil(), file)


def flip_weight(path: Path) -> None:
    """Flip a bit of the largest tensor."""
    with zipfile.ZipFile(path) as archive:
        item = max(archive.infolist(), key=lambda i: i.file_size)
    content = bytearray(path.read_bytes())
    content[item.header_offset + 200 + item.file_size // 2] ^= 64
    path.write_bytes(content)


CONTENT = {
    'empty': lambda p: p.write_bytes(b''),
    'text': lambda p: p.write_text('no checkpoint'),
    'cut': lambda p: p.write_bytes(p.read_bytes()[:5000]),
    'bit flipped': flip_weight,
    'folder': replace_by_folder,
    'code': evil,
    'list': spoil(lambda c: [1, 2]),
    'number': spoil(lambda c: 5),
    'no weights': spoil(lambda c: {'a': 1}),
    'other model': spoil(lambda c: {'state_dict': {'other.weight': torch.zeros(3)}}),
    'other shapes': weights(lambda v: torch.zeros(3, 5, 7)),
    'text for weights': weights(lambda v: 'x'),
    'complex': weights(lambda v: v.to(torch.complex64)),
    'sparse': weights(lambda v: v.to_sparse() if v.dim() else v),
}
NAN = weights(lambda v: v * float('nan') if v.is_floating_point() else v)


@pytest.mark.parametrize('how', ['load_from', '--resume', 'test'])
@pytest.mark.parametrize('case', [*CONTENT, 'nan'])
def test_a_bad_checkpoint_is_one_line(case, how, trained, base, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'given.pth'
    shutil.copy(trained / 'iter_2.pth', path)
    {**CONTENT, 'nan': NAN}[case](path)
    place = ['--work-dir', tmp_path / 'run']
    name, argv = {
        'load_from': ('train.py', [base, *place, '--cfg-options', f'load_from={path}']),
        '--resume': (
            'train.py',
            [base, *place, '--resume', path, '--cfg-options', 'train_cfg.max_iters=3'],
        ),
        'test': ('test.py', [base, path, *place]),
    }[how]
    code, errors = call(monkeypatch, capsys, name, argv)
    expect_line(code, errors, 'given.pth|[Nn]a[Nn]')
    assert not (tmp_path / 'ran').exists()


def pointer(content: bytes):
    return lambda path: (path.parent / 'last_checkpoint').write_bytes(content)


STATE = {
    'no optimiser': spoil(lambda c: {k: v for k, v in c.items() if k != 'optimizer'}),
    'optimiser is text': of_optimiser(lambda o: 'x'),
    'optimiser of others': of_optimiser(lambda o: {'other': next(iter(o.values()))}),
    'optimiser without state': of_optimiser(lambda o: {k: {} for k in o}),
    'hub is text': spoil(lambda c: {**c, 'message_hub': 'x'}),
    'no meta': spoil(lambda c: {k: v for k, v in c.items() if k != 'meta'}),
    'meta is a list': spoil(lambda c: {**c, 'meta': [1]}),
    'iteration is text': spoil(lambda c: {**c, 'meta': {**c['meta'], 'iter': 'two'}}),
    'iteration is negative': spoil(lambda c: {**c, 'meta': {**c['meta'], 'iter': -2}}),
    'other seed': spoil(lambda c: {**c, 'meta': {**c['meta'], 'seed': 99}}),
    'newest cut': cut,
}


@pytest.mark.parametrize('case', STATE)
def test_a_state_that_does_not_fit_is_one_line(case, trained, base, tmp_path, monkeypatch, capsys):  # noqa: F811
    run = tmp_path / 'run'
    shutil.copytree(trained, run)
    STATE[case](run / 'iter_2.pth')
    code, errors = call(
        monkeypatch,
        capsys,
        'train.py',
        [base, '--work-dir', run, '--resume', '--cfg-options', 'train_cfg.max_iters=3'],
    )
    expect_line(code, errors, 'iter_2.pth|seed|optimiser states')
    assert not (run / 'iter_3.pth').exists()


@pytest.mark.parametrize(
    'content', [b'\xff\xfe\x00binary', b'', b'/elsewhere/iter_9.pth', b'../other/iter_2.pth', b'5']
)
def test_a_foreign_pointer_is_passed_over(content, trained, base, tmp_path, monkeypatch, capsys):  # noqa: F811
    run = tmp_path / 'run'
    shutil.copytree(trained, run)
    (run / 'last_checkpoint').write_bytes(content)
    code, errors = call(
        monkeypatch,
        capsys,
        'train.py',
        [base, '--work-dir', run, '--resume', '--cfg-options', 'train_cfg.max_iters=3'],
    )
    assert 'Traceback' not in errors and code in (0, 1), errors[-3000:]
    assert code or torch.load(run / 'iter_3.pth', weights_only=True)['meta']['iter'] == 3


@pytest.mark.parametrize('content', [b'[{"a": ', b'\xff\x80', b'5'])
def test_broken_notes_of_a_run_cost_the_notes_alone(
    content,
    trained,
    base,  # noqa: F811
    tmp_path,
    monkeypatch,
    capsys,
):
    """A full disk or another program leaves them so; the checkpoint is whole."""
    run = tmp_path / 'run'
    shutil.copytree(trained, run)
    notes = list(run.glob('*.json'))
    assert notes
    for note in notes:
        note.write_bytes(content)
    code, errors = call(
        monkeypatch,
        capsys,
        'train.py',
        [base, '--work-dir', run, '--resume', '--cfg-options', 'train_cfg.max_iters=3'],
    )
    assert code == 0 and (run / 'iter_3.pth').exists(), errors[-3000:]
