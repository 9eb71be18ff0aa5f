"""Bundles of models of whole volumes: they predict the same, know their data, and open no file."""

import nibabel
import numpy as np
import pytest
import torch
from volume_parts import MONAI_NETWORKS, monai_network, volume_config

from mmssl.apis import init_model, predict, publish
from mmssl.bundles import BundleError
from mmssl.bundles.check import check_config
from mmssl.bundles.config import prediction_config
from mmssl.bundles.opening import open_bundle
from mmssl.bundles.shown import describe

VNET = dict(
    type='EncoderDecoder',
    backbone=dict(type='VNetEncoder', widths=(4, 4), convs=(1, 1)),
    decode_head=dict(type='VNetDecoderHead', in_channels=(4, 4), convs=(1,), num_classes=3),
)


def trained(tmp_path, student, **options):
    """Write data, and a checkpoint of a student and its teacher; return the config."""
    cfg = volume_config([dict(type='Resample', spacing=2.0)], **options)
    cfg.model.students = dict(net=student)
    cfg.model.inferer = dict(type='SlidingWindow', size=(8, 8, 8), overlap=0.25)
    rng = np.random.default_rng(0)
    for number in range(4):
        for folder, values in (
            ('image', rng.normal(100, 30, (12, 14, 10))),
            ('mask', rng.integers(0, 3, (12, 14, 10))),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            image = nibabel.Nifti1Image(values.astype(np.int16), np.diag([1.5, 1.5, 3, 1.0]))
            nibabel.save(image, tmp_path / folder / f'case{number}.nii.gz')
    data = dict(cfg.test_dataloader.dataset, data_root=str(tmp_path))
    cfg.test_dataloader.dataset = data
    cfg.train_dataloader = dict(
        dataset=dict(data, mode='train', labelled=dict(num=1, domain='here'))
    )
    torch.manual_seed(0)
    model = init_model(cfg)
    with torch.no_grad():
        for weight in model.teachers.parameters():
            weight.mul_(1.5)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'model.pth')
    return cfg


@pytest.mark.parametrize('student', [VNET, *map(monai_network, MONAI_NETWORKS)])
@pytest.mark.parametrize('teacher', [False, True])
def test_a_bundle_predicts_the_same(student, teacher, tmp_path):
    from mmssl.bundles.networks import Choice

    cfg = trained(tmp_path, student)
    publish(cfg, tmp_path / 'model.pth', tmp_path / 'x.mmssl', Choice(teacher=teacher))
    bundle = init_model(tmp_path / 'x.mmssl')
    assert bundle.inferer.size == (8, 8, 8) and bundle.inferer.stride == (6, 6, 6)
    path = tmp_path / 'image' / 'case0.nii.gz'
    wanted = predict(init_model(cfg, tmp_path / 'model.pth'), path, teacher=teacher)
    found = predict(bundle, path, probabilities=True)
    assert (found.classes == wanted.classes).all() and found.notes == []
    assert found.probabilities.shape == (3, 10, 14, 12)


def test_the_card_knows_the_volumes_of_the_training(tmp_path):
    cfg = trained(tmp_path, VNET)
    card = publish(cfg, tmp_path / 'model.pth', tmp_path / 'x.mmssl')
    here = card['data']['domains']['here']
    assert (here['depth'], here['height'], here['width']) == ([10] * 3, [14] * 3, [12] * 3)
    assert here['spacing'] == [[3.0] * 3, [1.5] * 3, [1.5] * 3]
    assert '10 x 14 x 12' in describe(open_bundle(tmp_path / 'x.mmssl').card, 'x')
    bundle = init_model(tmp_path / 'x.mmssl')
    values = np.random.default_rng(0).normal(100, 30, (12, 14, 50)).astype(np.float32)
    far = nibabel.Nifti1Image(values, np.diag([1.5, 1.5, 9, 1.0]))
    nibabel.save(far, tmp_path / 'far.nii.gz')
    [note] = predict(bundle, tmp_path / 'far.nii.gz').notes
    assert 'its depth is 50 px (there 10 to 10)' in note and 'voxels are 9 mm' in note


@pytest.mark.parametrize('fixed', [False, True])
def test_intensities_are_far_where_their_unit_counts(fixed, tmp_path):
    cfg = trained(tmp_path, VNET)
    if fixed:
        scaled = dict(type='NormaliseIntensity', mode='window', window=(0, 200))
        for loader in (cfg.train_dataloader, cfg.test_dataloader):
            loader.dataset.prepare[-1] = scaled
    publish(cfg, tmp_path / 'model.pth', tmp_path / 'x.mmssl')
    image = nibabel.load(tmp_path / 'image' / 'case0.nii.gz')
    bright = nibabel.Nifti1Image(np.asarray(image.dataobj, np.float32) * 50, image.affine)
    nibabel.save(bright, tmp_path / 'bright.nii.gz')
    notes = predict(init_model(tmp_path / 'x.mmssl'), tmp_path / 'bright.nii.gz').notes
    assert ['its intensities are' in note for note in notes] == [True] * fixed


def test_transforms_of_monai_are_in_no_bundle(tmp_path):
    """Among them are some that write: SaveImaged."""
    cfg = trained(tmp_path, VNET)
    cfg.test_dataloader.dataset.prepare.append(dict(type='Monai', transform='SaveImaged'))
    with pytest.raises(BundleError, match=r"has 'Monai', whose transforms may open files"):
        check_config(prediction_config(cfg, cfg.model.to_dict()), 'x.mmssl', {})
