"""A flipped bit, an announced giant and a cut file are found before anything is taken from them."""

import random
import stat
import zipfile

import pytest
import torch

from mmssl.engine import IncompleteCheckpointError, atomic_save, load_checkpoint_file

CONTENT = {'meta': {'iter': 3}, 'state_dict': {'a': torch.arange(300.0), 'b': torch.ones(2)}}


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.fixture
def sound(tmp_path):
    atomic_save(CONTENT, tmp_path / 'sound.pth')
    return tmp_path / 'sound.pth'


def test_every_flipped_bit_is_found(sound):
    data = sound.read_bytes()
    bits = random.Random(0).sample(range(8 * len(data)), 300)
    for bit in [*bits, *range(8 * len(data) - 8 * 75, 8 * len(data), 3)]:
        sound.write_bytes(flipped(data, bit))
        with pytest.raises(IncompleteCheckpointError, match='sound.pth'):
            load_checkpoint_file(sound)


def test_values_of_a_file_from_elsewhere_are_checked(tmp_path):
    file = tmp_path / 'torch.pth'
    torch.save(CONTENT, file)
    assert torch.equal(load_checkpoint_file(file)['state_dict']['a'], CONTENT['state_dict']['a'])
    data = file.read_bytes()
    start = data.index(CONTENT['state_dict']['a'].numpy().tobytes())
    for bit in range(8 * start, 8 * (start + 1200), 97):
        file.write_bytes(flipped(data, bit))
        with pytest.raises(IncompleteCheckpointError, match='torch.pth.*record'):
            load_checkpoint_file(file)


def test_files_without_any_checksum_still_load(tmp_path):
    torch.save(CONTENT, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(CONTENT, tmp_path / 'none.pth')
    finally:
        torch.serialization.set_crc32_options(True)
    for name in ('old.pth', 'none.pth'):
        assert load_checkpoint_file(tmp_path / name)['meta'] == {'iter': 3}


def test_other_readers_take_a_sealed_file(sound):
    assert torch.load(sound, weights_only=True, mmap=True)['meta'] == {'iter': 3}
    assert zipfile.ZipFile(sound).testzip() is None


@pytest.mark.parametrize(
    'tensor',
    [
        torch.zeros(1).expand(40_000_000_000),  # 160 GB out of four bytes
        torch.zeros(2, 1, dtype=torch.float64).expand(2, 10**9),
        torch.empty(3, device='meta'),
        torch.sparse_coo_tensor(size=(10**6, 10**6)),
    ],
    ids=['expanded', 'rows', 'meta', 'sparse'],
)
def test_a_tensor_larger_than_its_file_is_refused(tmp_path, tensor):
    torch.save({'state_dict': {'list': [tensor]}}, tmp_path / 'giant.pth')
    with pytest.raises(IncompleteCheckpointError, match='giant.pth" announces a tensor'):
        load_checkpoint_file(tmp_path / 'giant.pth')


def test_a_compressed_giant_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / 'bomb.pth', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('bomb/data.pkl', bytes(10**7))
    with pytest.raises(IncompleteCheckpointError, match='announces more than it holds'):
        load_checkpoint_file(tmp_path / 'bomb.pth')


def test_the_rights_of_new_files_are_the_user_s(tmp_path):
    import os

    from mmssl.utils.io import write_atomic

    before = os.umask(0o077)
    try:
        atomic_save(CONTENT, tmp_path / 'a.pth')
        write_atomic(tmp_path / 'a.txt', 'x')
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ('a.pth', 'a.txt')]
    assert modes == [0o600, 0o600]
