"""A frozen trunk of a file goes into the bundle, or is found again by its SHA-256."""

import zipfile

import pytest
import torch
from bundle_parts import SIDE, write_checkpoint
from sam_parts import ARCH, save_sam

from mmssl.apis import init_model, publish
from mmssl.bundles import read_card
from mmssl.bundles.networks import Choice
from mmssl.models.weights import WEIGHTS, WeightFile, file_sha256
from mmssl.utils.errors import SettingError


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Write the weights of a small SAM into a folder of weights; return the file."""
    folder = tmp_path / 'trunks'
    folder.mkdir()
    torch.manual_seed(0)
    save_sam(folder / 'tiny.pth', SIDE)
    monkeypatch.setenv('MMSSL_WEIGHTS', str(folder))
    return folder / 'tiny.pth'


@pytest.fixture
def known(weights, monkeypatch):
    """Make these weights published ones."""
    digest, size = file_sha256(weights), weights.stat().st_size
    entry = WeightFile('tiny_sam', weights.name, size, digest, 'a page')
    monkeypatch.setitem(WEIGHTS, entry.name, entry)
    return entry


def trained(weights, folder):
    """Write a checkpoint of a student on these weights; return config and checkpoint."""
    student = dict(
        type='EncoderDecoder',
        backbone=dict(type='LoRAMedSAM', arch=ARCH, img_size=SIDE, rank=2, checkpoint=str(weights)),
        decode_head=dict(
            type='SAMMaskHead', arch=ARCH, img_size=SIDE, num_classes=2, checkpoint=str(weights)
        ),
    )
    model = dict(type='SupOnly', students=dict(sam=student))
    return write_checkpoint(model, folder / 'model.pth'), folder / 'model.pth'


def test_merged_it_needs_no_other_file(weights, tmp_path):
    cfg, path = trained(weights, tmp_path)
    publish(cfg, path, tmp_path / 'x.mmssl', with_data=False)
    inputs = {'sam': torch.rand(1, 1, SIDE, SIDE)}
    wanted = init_model(cfg, path).predict_logits(inputs, 'sam')
    weights.unlink()
    found = init_model(tmp_path / 'x.mmssl').predict_logits(inputs, 'sam')
    assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()
    with zipfile.ZipFile(tmp_path / 'x.mmssl') as archive:
        assert str(tmp_path).encode() not in b''.join(map(archive.read, archive.namelist()))


def test_apart_it_asks_for_the_published_file(weights, known, tmp_path):
    cfg, path = trained(weights, tmp_path)
    publish(cfg, path, tmp_path / 'x.mmssl', Choice(lora='apart'), with_data=False)
    trunk = read_card(tmp_path / 'x.mmssl')['trunks']['sam']
    assert trunk['fingerprint'][2:] == known.sha256 and 'tiny.pth' in trunk['is']
    inputs = {'sam': torch.rand(1, 1, SIDE, SIDE)}
    model = init_model(tmp_path / 'x.mmssl')
    wanted = init_model(cfg, path).predict_logits(inputs, 'sam')
    assert torch.equal(model.predict_logits(inputs, 'sam'), wanted)
    publish(cfg, path, tmp_path / 'merged.mmssl', with_data=False)
    sizes = [(tmp_path / name).stat().st_size for name in ('x.mmssl', 'merged.mmssl')]
    assert (
        sizes[1]
        > sizes[0]
        + sum(value.nbytes for value in model.students['sam'].backbone.frozen_tensors().values())
        - 50_000
    )
    data = bytearray(weights.read_bytes())
    data[-1000] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ValueError, match='was trained on the file with SHA-256'):
        init_model(tmp_path / 'x.mmssl')
    weights.unlink()
    with pytest.raises(FileNotFoundError, match='"tiny_sam" are missing'):
        init_model(tmp_path / 'x.mmssl')


def test_apart_from_a_file_that_nobody_has(weights, tmp_path):
    cfg, path = trained(weights, tmp_path)
    with pytest.raises(SettingError, match='not published.*--lora merged'):
        publish(cfg, path, tmp_path / 'x.mmssl', Choice(lora='apart'), with_data=False)
    assert not (tmp_path / 'x.mmssl').exists()
