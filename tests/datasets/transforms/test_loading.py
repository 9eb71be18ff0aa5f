import cv2
import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import zoom

from mmssl.registry import TRANSFORMS


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    img = cv2.GaussianBlur(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), (5, 5), 1)
    mask = np.where(rng.random((30, 40)) > 0.5, 255, 0).astype(np.uint8)
    Image.fromarray(img).save(tmp_path / 'a.png')
    Image.fromarray(mask).save(tmp_path / 'm.png')
    return img, mask, dict(img_path=str(tmp_path / 'a.png'), mask_paths=[str(tmp_path / 'm.png')])


def build(**cfg):
    return TRANSFORMS.build(cfg)


def test_image_and_mask_are_read(files):
    img, mask, results = files
    results = build(type='LoadImage', channels=3)(results)
    results = build(type='LoadMask', label_map={0: 1, 255: 0})(results)
    assert (results['img'] == img).all()
    assert results['ori_shape'] == (30, 40)
    assert (results['gt'] == (mask == 0)).all()


def test_channels_of_the_data_set_are_the_default(files):
    results = build(type='LoadImage')(dict(files[2], channels=3))
    assert results['img'].shape == (30, 40, 3)
    assert build(type='LoadImage')(files[2])['img'].shape == (30, 40, 1)


def test_label_map_of_the_data_set_is_the_default(files):
    _, mask, results = files
    results['label_map'] = {0: 0, 255: 1}
    assert (build(type='LoadMask')(results)['gt'] == (mask == 255)).all()


def test_missing_label_map_is_named(files):
    with pytest.raises(ValueError, match=r'No label map for .*m\.png'):
        build(type='LoadMask')(files[2])


def test_mask_of_an_unlabelled_sample_is_never_opened():
    results = dict(labelled=False, mask_paths=['/nowhere/m.png'])
    assert 'gt' not in build(type='LoadMask', label_map={0: 0})(results)


def test_mask_of_another_size_is_refused(files):
    results = files[2]
    results['ori_shape'] = (30, 41)
    with pytest.raises(ValueError, match=r'm\.png is 30x40'):
        build(type='LoadMask', label_map={0: 1, 255: 0})(results)


@pytest.mark.parametrize('name', ['nearest', 'box', 'bilinear', 'bicubic', 'lanczos'])
@pytest.mark.parametrize('channels', [1, 2, 3])
def test_resize_gives_pillows_pixels(files, name, channels):
    img, mask, _ = files
    img, gt = img[..., :channels], mask // 255
    results = build(type='ResizeSquare', size=24, interpolation=name)(dict(img=img, gt=gt))
    for c in range(channels):
        expected = Image.fromarray(img[..., c]).resize((24, 24), Image.Resampling[name.upper()])
        assert (results['img'][..., c] == np.asarray(expected)).all()
    expected = Image.fromarray(gt).resize((24, 24), Image.Resampling.NEAREST)
    assert (results['gt'] == np.asarray(expected)).all()
    assert results['img'].shape == (24, 24, channels)


@pytest.mark.parametrize('size', [2, 24, 37, 61, 128])
def test_zoom_gives_the_pixels_of_scipy(files, size):
    img, mask, _ = files
    results = build(type='ResizeSquare', size=size, interpolation='zoom')(dict(img=img, gt=mask))
    factors = size / img.shape[0], size / img.shape[1]
    assert (results['gt'] == zoom(mask, factors, order=0)).all()
    assert (results['img'] == zoom(img, (*factors, 1), order=0)).all()


def test_zoom_of_the_sizes_of_acdc(files):
    rng = np.random.default_rng(0)
    for height, width in ((256, 216), (224, 154), (428, 512), (173, 211)):
        img = rng.integers(0, 256, (height, width, 1), np.uint8)
        out = build(type='ResizeSquare', size=256, interpolation='zoom')(dict(img=img))['img']
        assert (out[..., 0] == zoom(img[..., 0], (256 / height, 256 / width), order=0)).all()


def test_slice_of_a_volume_with_the_spacing_of_its_file(tmp_path):
    volume = np.linspace(0, 1, 2 * 4 * 5, dtype=np.float32).reshape(2, 4, 5)
    labels = (volume > 0.7).astype(np.int64)
    with h5py.File(tmp_path / 'v.h5', 'w') as file:
        file['mri'], file['seg'] = volume, labels
    path = str(tmp_path / 'v.h5')
    results = dict(
        img_path=path, mask_paths=[path], image_key='mri', mask_key='seg', index=1,
        value_range=(0, 1), spacing=(9.0, 1.0, 1.0), label_map={0: 0, 1: 2},
    )  # fmt: skip
    loaded = build(type='LoadMask')(build(type='LoadImage')(dict(results)))
    assert (loaded['img'][..., 0] == (volume[1] * 255).astype(np.uint8)).all()
    assert (loaded['gt'] == 2 * labels[1]).all() and loaded['gt'].any()
    assert loaded['spacing'] == (9.0, 1.0, 1.0) and loaded['ori_shape'] == (4, 5)
    with h5py.File(path, 'a') as file:
        file.attrs['spacing'] = (8.0, 1.5, 1.25)
    assert build(type='LoadImage')(results)['spacing'] == (8.0, 1.5, 1.25)


def test_unknown_interpolation_lists_the_known():
    with pytest.raises(ValueError, match='"cubic" is unknown.*lanczos'):
        build(type='ResizeSquare', size=24, interpolation='cubic')


@pytest.mark.parametrize(
    ('size', 'shape'), [(20, (20, 20)), ((10, 20), (10, 20)), (None, (30, 40))]
)
def test_mask_is_brought_to_the_evaluation_size(files, size, shape):
    gt = files[1] // 255
    results = build(type='ResizeMaskTo', size=size)(dict(gt=gt, ori_shape=(30, 40)))
    expected = Image.fromarray(gt).resize(shape[::-1], Image.Resampling.NEAREST)
    assert (results['gt'] == np.asarray(expected)).all()
    assert results['gt'].shape == shape
    bare = dict(ori_shape=(30, 40))
    assert build(type='ResizeMaskTo', size=size)(dict(bare)) == bare, 'an image without a mask'


def test_sizes_of_the_data_set_are_the_default():
    image = dict(img=np.zeros((30, 40), np.uint8), gt=np.zeros((30, 40), np.uint8))
    results = {**image, 'ori_shape': (30, 40), 'sizes': dict(image=24, score=(10, 20))}
    assert build(type='ResizeSquare')(dict(results))['img'].shape == (24, 24)
    assert build(type='ResizeSquare', size=12)(dict(results))['img'].shape == (12, 12)
    assert build(type='ResizeMaskTo')(dict(results))['gt'].shape == (10, 20)
    assert build(type='ResizeMaskTo', size=8)(dict(results))['gt'].shape == (8, 8)
    with pytest.raises(ValueError, match='ResizeSquare has no size and .* no image_size'):
        build(type='ResizeSquare')(image)
