"""Volumes packed for another machine come back bit for bit."""

import io
import runpy
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from mmssl.utils.errors import SettingError

TOOL = runpy.run_path(
    str(Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'pack_volumes.py')
)
pack, unpack = TOOL['pack'], TOOL['unpack']


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    root = tmp_path / 'data'
    for case, levels in (('a', 50), ('b', 7), ('many', 2000)):
        (root / case).mkdir(parents=True)
        with h5py.File(root / case / 'mri.h5', 'w') as file:
            grey = rng.normal(size=levels).astype(np.float32)
            file['image'] = grey[rng.integers(levels, size=(8, 9, 10))]
            file['label'] = rng.integers(2, size=(8, 9, 10)).astype(np.uint8)
    (root / 'train.list').write_text('a\nb\n')
    (root / 'test.list').write_text('many\n')
    return root


def same(a, b):
    with h5py.File(a) as one, h5py.File(b) as other:
        return one.keys() == other.keys() and all(
            one[key].dtype == other[key].dtype and np.array_equal(one[key][()], other[key][()])
            for key in one
        )


def test_all_comes_back(data, tmp_path):
    pack(data, tmp_path / 'x.tar.xz', None)
    unpack(tmp_path / 'x.tar.xz', tmp_path / 'back')
    files = sorted(p.relative_to(data) for p in data.rglob('*') if p.is_file())
    back = tmp_path / 'back'
    assert sorted(p.relative_to(back) for p in back.rglob('*') if p.is_file()) == files
    for path in files:
        if path.suffix == '.h5':
            assert same(data / path, back / path), path
        else:
            assert (data / path).read_text() == (back / path).read_text()


def test_a_list_keeps_its_cases_and_shortens_the_lists(data, tmp_path):
    (tmp_path / 'keep.txt').write_text('b\n')
    pack(data, tmp_path / 'x.tar.xz', tmp_path / 'keep.txt')
    unpack(tmp_path / 'x.tar.xz', tmp_path / 'back')
    assert {p.name for p in (tmp_path / 'back').iterdir()} == {'b', 'train.list', 'test.list'}
    assert (tmp_path / 'back' / 'train.list').read_text().split() == ['b']
    assert (tmp_path / 'back' / 'test.list').read_text().split() == []


def test_what_cannot_be_is_refused(data, tmp_path):
    (tmp_path / 'keep.txt').write_text('none\n')
    with pytest.raises(SettingError, match='names none'):
        pack(data, tmp_path / 'x.tar.xz', tmp_path / 'keep.txt')
    with tarfile.open(tmp_path / 'bad.tar.xz', 'w:xz') as archive:
        archive.addfile(tarfile.TarInfo('../outside'), io.BytesIO())
    with pytest.raises(SettingError, match=r'holds \.\./outside'):
        unpack(tmp_path / 'bad.tar.xz', tmp_path / 'new')
    assert not (tmp_path / 'new').exists()
    with pytest.raises(SettingError, match='exists'):
        unpack(tmp_path / 'bad.tar.xz', data)
