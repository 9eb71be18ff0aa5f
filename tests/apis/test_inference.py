"""From a config and a checkpoint to predictions at the images' own sizes."""

import cv2
import h5py
import nibabel
import numpy as np
import pytest
import torch
from mmengine.config import Config
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from mmssl.apis import inference_model, init_model
from mmssl.utils.resize import nearest_index
from tests import tiny


@pytest.fixture
def cfg(tmp_path):
    image, mask = tmp_path / 'site' / 'image', tmp_path / 'site' / 'mask'
    image.mkdir(parents=True)
    mask.mkdir()
    cfg = dict(
        default_scope='mmssl',
        model=tiny.synfoc(primary='unet'),
        test_dataloader=dict(
            dataset=dict(
                type='MixedDomainDataset',
                data_root=str(tmp_path),
                mode='test',
                domains=['site'],
                label_map={0: 0, 255: 1},
                metainfo=dict(classes=('background', 'organ')),
                prepare=[
                    dict(type='LoadImage'),
                    dict(type='ResizeSquare', size=32),
                    dict(type='LoadMask'),
                    dict(type='ResizeMaskTo', size=20),
                ],
                pipeline=[dict(type='PackTestInputs')],
            )
        ),
    )
    return Config(cfg)


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (48, 40), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'image.png'), pixels)
    return pixels


def test_files_and_arrays_give_the_same_at_their_own_size(cfg, image, tmp_path):
    model = init_model(cfg)
    assert not model.training
    small = image[:30, :36]
    samples = inference_model(model, [str(tmp_path / 'image.png'), image, small], batch_size=2)
    assert [tuple(s.pred_sem_seg.shape) for s in samples] == [(48, 40), (48, 40), (30, 36)]
    assert samples[0].metainfo['students'] == ['unet', 'sam']
    for name in ('sam', 'unet'):
        pred = samples[0].get(f'pred_{name}').data
        assert pred.dtype == torch.uint8 and tuple(pred.shape) == (1, 48, 40)
        assert torch.equal(pred, samples[1].get(f'pred_{name}').data)
    assert torch.equal(samples[0].pred_sem_seg.data, samples[0].pred_unet.data)
    alone = inference_model(model, image)
    assert len(alone) == 1 and torch.equal(alone[0].pred_sam.data, samples[1].pred_sam.data)


def test_prediction_is_the_network_on_the_prepared_image(cfg, image):
    model = init_model(cfg)
    sample = inference_model(model, image)[0]
    resized = cv2.resize(image, (40, 48))
    from mmssl.datasets.transforms.loading import resize_uint8

    x = torch.from_numpy(resize_uint8(resized, (32, 32), 'bilinear').copy())[None, None]
    view = model.data_preprocessor.image_views(x)['unet']
    classes = model.students['unet'](view, mode='tensor').argmax(1)
    rows, columns = nearest_index(24, 48), nearest_index(24, 40)
    expected = classes[:, rows][:, :, columns]
    assert torch.equal(sample.pred_unet.data.long(), expected)


def test_weights_and_data_set_come_from_the_checkpoint(cfg, image, tmp_path):
    model = init_model(cfg)
    meta = {'dataset_meta': {'classes': ('background', 'organ')}}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, tmp_path / 'model.pth')
    torch.manual_seed(5)
    again = init_model(cfg, tmp_path / 'model.pth')
    assert again.dataset_meta['classes'] == ('background', 'organ')
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    one, two = inference_model(model, image), inference_model(again, image)
    assert torch.equal(one[0].pred_sam.data, two[0].pred_sam.data)


def test_config_file_with_options(cfg, tmp_path):
    cfg.dump(tmp_path / 'cfg.py')
    model = init_model(tmp_path / 'cfg.py', cfg_options={'model.primary': 'sam'})
    assert model.primary == 'sam'


def test_what_does_not_fit_is_named(cfg, image, tmp_path):
    model = init_model(cfg)
    with pytest.raises(FileNotFoundError, match='none.png'):
        inference_model(model, tmp_path / 'none.png')
    with pytest.raises(ValueError, match=r'float64 \(48, 40, 1\).*uint8 \(H, W, 1\).*value_range'):
        inference_model(model, image / 255)
    state = model.state_dict()
    state.popitem()
    torch.save({'state_dict': state}, tmp_path / 'less.pth')
    with pytest.raises(ValueError, match='does not fit the model'):
        init_model(cfg, tmp_path / 'less.pth')


@pytest.mark.skipif(torch.cuda.is_available(), reason='is about machines without CUDA')
@pytest.mark.parametrize('fast', [True, False])
def test_predictions_have_the_precision_of_the_test(cfg, image, monkeypatch, fast):
    from mmssl.engine import precision

    monkeypatch.setattr(precision, 'has_bfloat16', lambda: fast)
    monkeypatch.setattr(precision, 'slowness', lambda: 0.5)
    model = init_model(cfg, cfg_options=dict(test_cfg=dict(fp16=True)))
    seen = []
    model.students['unet'].register_forward_hook(lambda net, args, out: seen.append(out.dtype))
    inference_model(model, image)
    assert seen == [torch.bfloat16 if fast else torch.float32]


def same(one, two):
    return torch.equal(one.pred_unet.data, two.pred_unet.data)


def test_files_are_read_as_in_training(cfg, image, tmp_path):
    """16 bit, HDF5 under another name, and arrays give what the same 8-bit picture gives."""
    data = cfg.test_dataloader.dataset
    data.update(value_range=(0, 65535), image_key='scan')
    model = init_model(cfg)
    wanted = inference_model(model, tmp_path / 'image.png')[0]
    deep = image.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / 'deep.png'), deep)
    cv2.imwrite(str(tmp_path / 'deep.tif'), deep)
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['scan'] = deep.astype(np.float32)
        file['volume'] = np.stack([deep, deep[::-1]])
    paths = [tmp_path / name for name in ('deep.png', 'deep.tif', 'a.h5')]
    for sample in inference_model(model, [*paths, deep, deep.astype(np.float64)]):
        assert same(sample, wanted)
    model.cfg.test_dataloader.dataset.image_key = 'volume'
    volume, again = inference_model(model, [tmp_path / 'a.h5', deep], batch_size=2)
    assert tuple(volume.pred_sem_seg.data.shape) == (2, 48, 40) and same(again, wanted)
    assert torch.equal(volume.pred_unet.data[:1], wanted.pred_unet.data)
    with pytest.raises(ValueError, match='no dataset "volume"'):
        with h5py.File(tmp_path / 'b.h5', 'w') as file:
            file['image'] = deep
        inference_model(model, tmp_path / 'b.h5')


def test_volumes_come_out_where_they_lie(cfg, image, tmp_path):
    """The same volume stored in another order gives the same slices and affine."""
    cfg.test_dataloader.dataset.value_range = 'volume'
    model = init_model(cfg)
    affine = np.diag([1, 2, 9, 1.0])
    ras = nibabel.Nifti1Image(np.stack([image.T, image.T[::-1]], -1).astype(np.int16), affine)
    nibabel.save(ras, tmp_path / 'ras.nii.gz')
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(('P', 'I', 'L')))
    nibabel.save(ras.as_reoriented(turn), tmp_path / 'pil.nii')
    one, two = inference_model(model, [tmp_path / 'ras.nii.gz', tmp_path / 'pil.nii'])
    assert tuple(one.pred_unet.data.shape) == (2, 48, 40)
    assert torch.equal(one.pred_unet.data, two.pred_unet.data)
    for sample in (one, two):
        assert np.allclose(sample.affine, affine) and sample.spacing == (9.0, 2.0, 1.0)


def test_domains_that_are_not_read_alike(cfg, image):
    data = cfg.test_dataloader.dataset
    data.update(domains=['site', 'other'], overrides=dict(other=dict(value_range=(0, 99))))
    model = init_model(cfg)
    with pytest.raises(ValueError, match=r'not read alike.*domain="site" \(known: site, other\)'):
        inference_model(model, image)
    assert len(inference_model(model, image, domain='site')) == 1
    assert len(inference_model(model, image / 3, domain='other')) == 1
    with pytest.raises(ValueError, match='"third" is not known'):
        inference_model(model, image, domain='third')
