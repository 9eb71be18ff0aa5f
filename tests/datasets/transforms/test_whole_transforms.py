"""What is done to a whole volume before any draw: loading, resampling, intensities, packing."""

import nibabel
import numpy as np
import pytest
import torch
from nibabel.processing import resample_from_to
from torch.nn.functional import interpolate

from mmssl.datasets.reading import DataError, LabelMap
from mmssl.registry import TRANSFORMS
from mmssl.structures import VoxelData
from mmssl.utils.setup import register_all_modules
from tests.whole_files import solid, write_nifti

register_all_modules()


def run(results, *steps):
    for step in steps:
        results = TRANSFORMS.build(step)(results)
    return results


def smooth(shape):
    grid = np.meshgrid(*(np.linspace(0, 2, size) for size in shape), indexing='ij')
    return (np.sin(grid[0]) + grid[1] * grid[2]).astype(np.float32)


def test_loaded_volume_and_mask(tmp_path):
    image, mask = solid(0)
    write_nifti(tmp_path / 'i.nii.gz', image, np.diag([1, 2, 3, 1]))
    write_nifti(tmp_path / 'm.nii.gz', mask, np.diag([1, 2, 3, 1]))
    found = run(
        dict(
            img_path=str(tmp_path / 'i.nii.gz'),
            mask_paths=[str(tmp_path / 'm.nii.gz')],
            label_map=LabelMap({0: 0, 1: 1}),
        ),
        dict(type='LoadVolume'),
        dict(type='LoadMask'),
    )
    np.testing.assert_array_equal(found['img'][..., 0], image.T)
    np.testing.assert_array_equal(found['gt'], mask.T)
    assert found['spacing'] == (3, 2, 1) and found['ori_shape'] == (5, 6, 7)


def test_the_wrong_loader_names_the_right_one(tmp_path):
    write_nifti(tmp_path / 'i.nii.gz', solid(0)[0])
    path = str(tmp_path / 'i.nii.gz')
    with pytest.raises(ValueError, match='Put LoadVolume in its place'):
        run(dict(img_path=path, frames=()), dict(type='LoadImage'))
    with pytest.raises(DataError, match='sample="volume" in the data set, or put LoadImage'):
        run(dict(img_path=path, index=2), dict(type='LoadVolume'))


@pytest.mark.parametrize('spacing', [(1.0, 1.0, 1.0), (3.0, 0.5, 0.7), (None, 2.0, None)])
def test_resampled_volume_lies_where_it_lay(spacing):
    """What the new affine says of the new voxels is what nibabel finds at these places."""
    shape, sizes = (10, 16, 14), (3.0, 1.0, 0.5)
    affine = np.diag([*sizes[::-1], 1.0])
    affine[:3, 3] = (-4, 5, 6)
    image = smooth(shape)
    before = dict(img=image[..., None], spacing=sizes, affine=affine, ori_shape=shape)
    after = run(dict(before), dict(type='Resample', spacing=spacing))
    wanted = [size or own for size, own in zip(spacing, sizes, strict=True)]
    np.testing.assert_allclose(after['spacing'], wanted, rtol=0.05)
    new = after['img'].shape[:3]
    # The field of view is that of before, to the edge of the outermost voxels.
    np.testing.assert_allclose(np.multiply(new, after['spacing']), np.multiply(shape, sizes))
    volume = nibabel.Nifti1Image(image.T, affine)
    expected = resample_from_to(volume, (new[::-1], after['affine']), order=1, mode='nearest')
    np.testing.assert_allclose(after['img'][..., 0], expected.get_fdata().T, atol=2e-5)
    assert after['ori_shape'] == shape and after['img'].dtype == np.float32
    assert before['img'].shape[:3] == shape


def test_resampled_masks_keep_their_classes_and_come_back():
    shape = (8, 12, 9)
    mask = np.zeros(shape, np.uint8)
    mask[2:6, 3:9, 2:7] = 3
    results = dict(img=smooth(shape)[..., None], gt=mask, spacing=(2.0, 1.0, 1.0), affine=None)
    for value in (results['img'], mask):
        value.flags.writeable = False
    after = run(dict(results), dict(type='Resample', spacing=1.0))
    assert after['gt'].shape == after['img'].shape[:3] == (16, 12, 9)
    assert set(np.unique(after['gt'])) == {0, 3} and after['gt'].dtype == np.uint8
    np.testing.assert_array_equal(after['gt'][::2], mask)
    # The rule by which a prediction is brought back to the volume as read.
    back = interpolate(torch.from_numpy(after['img']).movedim(-1, 0)[None], shape, mode='trilinear')
    assert np.abs(back[0, 0].numpy() - results['img'][..., 0]).max() < 0.05


def test_resampling_needs_to_know_the_voxels():
    results = dict(img=np.zeros((2, 2, 2, 1), np.float32), spacing=None, img_path='a.h5')
    with pytest.raises(DataError, match=r'a.h5 does not say.*spacing=\(slice, row, column\)'):
        run(results, dict(type='Resample', spacing=1.0))
    with pytest.raises(ValueError, match='give the size of a voxel in mm'):
        run({}, dict(type='Resample', spacing=(1.0, 0.0, 1.0)))
    same = dict(img=np.ones((2, 3, 4, 1), np.float32), spacing=(1.0, 1.0, 1.0), affine=None)
    assert run(same, dict(type='Resample', spacing=1.0))['img'] is same['img']


def normalised(values, **options):
    img = np.asarray(values, np.float32).reshape(1, 1, -1, 1)
    img.flags.writeable = False
    out = run(dict(img=img), dict(type='NormaliseIntensity', **options))['img']
    assert out.dtype == np.float32 and out.shape == img.shape
    return out.ravel()


def test_normalised_intensities():
    values = np.array([0, 0, 10, 20, 30, 40], np.float64)
    np.testing.assert_allclose(
        normalised(values), (values - values.mean()) / values.std(), rtol=1e-6
    )
    own = values[2:]
    np.testing.assert_allclose(
        normalised(values, nonzero=True), [0, 0, *(own - 25) / own.std()], rtol=1e-6
    )
    np.testing.assert_allclose(normalised(values, mode='minmax'), values / 40)
    np.testing.assert_allclose(
        normalised(values, mode='window', window=(10, 30)), [0, 0, 0, 0.5, 1, 1]
    )
    np.testing.assert_allclose(
        normalised(values, mode='percentile', percentiles=(20, 80)), [0, 0, 1 / 3, 2 / 3, 1, 1]
    )
    np.testing.assert_allclose(
        normalised(values, mode='none', window=(5, 25)), [5, 5, 10, 20, 25, 25]
    )
    clipped = np.clip(values, 5, 25)
    np.testing.assert_allclose(
        normalised(values, mode='zscore', window=(5, 25)),
        (clipped - clipped.mean()) / clipped.std(), rtol=1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(normalised(values, mode='none'), values)
    # A case of one value, and one that is empty, is no division by zero.
    for options in (dict(), dict(nonzero=True), dict(mode='minmax'), dict(mode='percentile')):
        np.testing.assert_array_equal(normalised([7, 7, 7], **options), 0)
        np.testing.assert_array_equal(normalised([0, 0], **options), 0)


def test_channels_are_normalised_each_for_itself():
    img = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32) * [1, 100] + [5, 9]
    out = run(dict(img=img.astype(np.float32)), dict(type='NormaliseIntensity'))['img']
    np.testing.assert_allclose(out.reshape(-1, 2).mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(out.reshape(-1, 2).std(0), 1, atol=1e-5)


@pytest.mark.parametrize(
    'options, said',
    [
        (dict(mode='z'), 'mode = "z" is not known'),
        (dict(mode='window'), 'with window = None'),
        (dict(mode='percentile', window=(0, 1)), 'with window = '),
        (dict(window=(0, 1), percentiles=(1, 99)), 'not both'),
        (dict(mode='window', window=(3, 1)), 'window = '),
        (dict(percentiles=(0, 101)), 'percentiles = '),
    ],
)
def test_options_of_intensities(options, said):
    with pytest.raises(ValueError, match=said):
        normalised([0], **options)


def test_volumes_are_packed_as_a_batch_has_them():
    rng = np.random.default_rng(0)
    img, gt = rng.normal(size=(3, 4, 5, 2)).astype(np.float32), np.ones((3, 4, 5), np.uint8)
    for value in (img, gt):
        value.flags.writeable = False
    results = dict(
        labelled=True, img=img, gt=gt, affine=np.eye(4), spacing=(1, 2, 3), ori_shape=(6, 4, 5)
    )
    packed = run(dict(results), dict(type='PackSemiInputs'))
    assert packed['inputs']['x_w'].shape == (2, 3, 4, 5)
    assert packed['inputs']['x_w'].is_contiguous() and packed['inputs']['y'].shape == (3, 4, 5)
    np.testing.assert_array_equal(packed['inputs']['x_w'].numpy(), img.transpose(3, 0, 1, 2))
    test = run(dict(results), dict(type='PackTestInputs'))
    truth = test['data_samples'].gt_sem_seg
    assert isinstance(truth, VoxelData) and truth.data.shape == (1, 3, 4, 5)
    assert test['data_samples'].spacing == (0.5, 2, 3), 'that of the volume as read'
    assert test['inputs'].shape == (2, 3, 4, 5) and test['inputs'].dtype == torch.float32
