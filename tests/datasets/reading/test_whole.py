"""Whole volumes out of files: how they lie, what they hold, and what they may not hold."""

from itertools import permutations, product

import h5py
import nibabel
import numpy as np
import pytest
import SimpleITK
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from PIL import Image

from mmssl.datasets import MixedDomainDataset
from mmssl.datasets.reading import Axes, DataError, LabelMap, Source, open_image
from mmssl.datasets.reading.whole import decode_whole_mask, read_stack, read_whole
from tests.fake_dicom import write_series
from tests.whole_files import solid, write_h5, write_nifti

WHOLE = Axes(plane='axial')
LABELS = LabelMap({0: 0, 1: 1})
CODES = [
    ''.join(code)
    for order in permutations(range(3))
    for code in product(*(('LR', 'PA', 'IS')[axis] for axis in order))
]


def oblique(degrees=20, sizes=(1.5, 1.0, 4.0)):
    """Return an affine turned about the second axis, at right angles."""
    turn = np.radians(degrees)
    affine = np.eye(4)
    affine[:3, :3] = (
        np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
        * sizes
    )
    affine[:3, 3] = -30, 12, 7
    return affine


@pytest.mark.parametrize('affine', [np.diag([1.5, 1.0, 4.0, 1]), oblique()])
def test_48_orders_give_one_array(tmp_path, affine):
    """Stored in any orientation, a volume is read as its canonical twin and put back as stored."""
    image, mask = solid(0)
    twin = nibabel.Nifti1Image(image, affine)
    write_nifti(tmp_path / 'twin.nii.gz', image, affine)
    first = read_whole(str(tmp_path / 'twin.nii.gz'), axes=WHOLE)
    assert first.array.shape == (*image.T.shape, 1)
    assert first.array.flags.c_contiguous and first.spacing == pytest.approx((4, 1, 1.5))
    labels = mask.T
    for code in CODES:
        turn = ornt_transform(io_orientation(affine), axcodes2ornt(tuple(code)))
        paths = [str(tmp_path / f'{code}_{kind}.nii.gz') for kind in ('image', 'mask')]
        nibabel.save(twin.as_reoriented(turn), paths[0])
        nibabel.save(nibabel.Nifti1Image(mask, affine).as_reoriented(turn), paths[1])
        found = read_whole(paths[0], axes=WHOLE)
        np.testing.assert_array_equal(found.array, first.array)
        np.testing.assert_allclose(found.affine, first.affine, atol=1e-6)
        assert found.spacing == pytest.approx(first.spacing)
        # The mask may be stored in an order of its own.
        for other in (paths[1], str(tmp_path / 'RAS_mask.nii.gz')):
            if not tmp_path.joinpath('RAS_mask.nii.gz').exists():
                nibabel.save(nibabel.Nifti1Image(mask, affine), tmp_path / 'RAS_mask.nii.gz')
            like = Source(paths[0], 'image')
            found_mask = decode_whole_mask(other, LABELS, labels.shape, like=like, axes=WHOLE)
            np.testing.assert_array_equal(found_mask, labels)
        file = open_image(paths[0], axes=WHOLE)
        stored = nibabel.load(paths[1]).get_fdata()
        np.testing.assert_array_equal(file.restore(labels), stored)


def test_thick_slices_of_any_plane_have_one_frame(tmp_path):
    """Slices follow the thick axis; a whole volume does not, or a set would mix frames."""
    sagittal = np.diag([5.0, 1.0, 1.0, 1.0])
    write_nifti(tmp_path / 'i.nii.gz', solid(0)[0], sagittal)
    path = str(tmp_path / 'i.nii.gz')
    assert read_whole(path).array.shape[:3] == (7, 5, 6)
    layout = dict(image_dir='.', mask_dir='m', label_map={0: 0, 1: 1}, mask_name='{name}')
    write_nifti(tmp_path / 'm' / 'i.nii.gz', solid(0)[1], sagittal)
    data = MixedDomainDataset(
        str(tmp_path), ['a'], mode='test', sample='volume', prepare=[dict(type='LoadVolume')],
        split=dict(type='case', train=[]), **layout,
    )  # fmt: skip
    assert data[0]['img'].shape[:3] == (5, 6, 7) and data[0]['spacing'] == (1, 1, 5)


@pytest.mark.parametrize('suffix', ['.nrrd', '.mha', '.nii'])
def test_other_formats_and_types_keep_their_intensities(tmp_path, suffix):
    values = np.arange(-1000, -1000 + 60 * 7, 7, dtype=np.int16).reshape(3, 4, 5)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing((0.5, 0.75, 2.5))
    SimpleITK.WriteImage(image, str(tmp_path / f'v{suffix}'))
    found = read_whole(str(tmp_path / f'v{suffix}'), axes=WHOLE)
    # ITK's axes run to left, posterior, superior.
    np.testing.assert_array_equal(found.array[..., 0], values[:, ::-1, ::-1].astype(np.float32))
    assert found.array.dtype == np.float32 and found.spacing == pytest.approx((2.5, 0.75, 0.5))


def test_a_dicom_series_is_a_volume(tmp_path):
    values = np.arange(7 * 6 * 5, dtype=np.int16).reshape(7, 6, 5)
    affine = np.diag([-0.5, -0.75, 3.0, 1.0])  # as scanners store it: left, posterior, superior
    write_series(tmp_path / 's', values, affine)
    found = read_whole(str(tmp_path / 's'), axes=WHOLE)
    np.testing.assert_array_equal(found.array[..., 0], values.T[:, ::-1, ::-1])
    assert found.spacing == pytest.approx((3, 0.75, 0.5))


def test_hdf5_is_read_as_stored(tmp_path):
    image, mask = solid(3)
    write_h5(tmp_path / 'v.h5', image, mask, spacing=(1.0, 2.0, 3.0))
    found = read_whole(str(tmp_path / 'v.h5'), axes=WHOLE)
    np.testing.assert_array_equal(found.array[..., 0], image)
    assert found.spacing == (1, 2, 3) and found.affine is None


def test_a_mask_of_another_grid_is_refused_although_the_shapes_agree(tmp_path):
    image, mask = solid(1)
    moved = np.eye(4)
    moved[0, 3] = 3
    write_nifti(tmp_path / 'i.nii.gz', image)
    write_nifti(tmp_path / 'm.nii.gz', mask, moved)
    like = Source(str(tmp_path / 'i.nii.gz'), 'image')
    with pytest.raises(DataError, match=r'm.nii.gz lies on another grid.*from \(3, 0, 0\) against'):
        decode_whole_mask(str(tmp_path / 'm.nii.gz'), LABELS, None, like=like, axes=WHOLE)
    with pytest.raises(DataError, match='on another grid'):
        write_nifti(tmp_path / 'm.nii.gz', mask[:-1])
        decode_whole_mask(str(tmp_path / 'm.nii.gz'), LABELS, None, like=like, axes=WHOLE)
    # The way out that the message names: the order of the file.
    write_nifti(tmp_path / 'm.nii.gz', mask, moved)
    stored = Axes('stored')
    found = decode_whole_mask(str(tmp_path / 'm.nii.gz'), LABELS, None, like=like, axes=stored)
    np.testing.assert_array_equal(found, mask.T)


def test_a_mask_of_another_shape_is_refused(tmp_path):
    write_h5(tmp_path / 'v.h5', *solid(1))
    with pytest.raises(DataError, match=r'has shape \(7, 6, 5\), its image \(7, 6, 4\)'):
        decode_whole_mask(str(tmp_path / 'v.h5'), LABELS, (7, 6, 4), axes=WHOLE)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_or_filled(tmp_path, value):
    image, _ = solid(2)
    image[1, 2, 3] = value
    write_h5(tmp_path / 'v.h5', image)
    with pytest.raises(DataError, match=r'v.h5 holds NaN or infinity \(1 voxels\).*fill=0'):
        read_whole(str(tmp_path / 'v.h5'))
    found = read_whole(str(tmp_path / 'v.h5'), fill=-7).array
    assert found[1, 2, 3, 0] == -7 and np.isfinite(found).all() and found.dtype == np.float32


def test_four_axes_need_a_frame(tmp_path):
    image = np.stack([solid(number)[0] for number in range(3)], -1)
    write_nifti(tmp_path / 'v.nii.gz', image)
    path = str(tmp_path / 'v.nii.gz')
    with pytest.raises(DataError, match='holds 3 frames of one volume.*option frame'):
        read_whole(path)
    np.testing.assert_array_equal(
        read_whole(path, frames=(2, 0)).array, image.transpose(2, 1, 0, 3)[..., [2, 0]]
    )
    with h5py.File(tmp_path / 'v.h5', 'w') as file:
        file['image'] = image
    with pytest.raises(DataError, match=r'has shape \(7, 6, 5, 3\).*volume \(Z, H, W\)'):
        read_whole(str(tmp_path / 'v.h5'))


@pytest.mark.parametrize('shape', [(7, 6, 1), (7, 1, 5), (1, 6, 5)])
def test_a_single_slice_is_a_volume(tmp_path, shape):
    image = solid(0, (7, 6, 5))[0][tuple(slice(size) for size in shape)]
    write_nifti(tmp_path / 'v.nii.gz', image)
    found = read_whole(str(tmp_path / 'v.nii.gz'), axes=WHOLE)
    assert found.array.shape[0] == 1 and found.array.size == image.size


def test_pictures_are_stacked_in_colour_or_grey_and_are_of_one_size(tmp_path):
    rng = np.random.default_rng(0)
    planes = rng.integers(0, 256, (3, 4, 5, 3), np.uint8)
    paths = [str(tmp_path / f'{k}.png') for k in range(3)]
    for path, plane in zip(paths, planes, strict=True):
        Image.fromarray(plane).save(path)
    np.testing.assert_array_equal(read_stack(paths, 3).array, planes.astype(np.float32))
    grey = read_stack(paths, 1).array
    luma = planes @ np.array([0.299, 0.587, 0.114])
    assert grey.shape == (3, 4, 5, 1) and np.abs(grey[..., 0] - luma).max() <= 1
    Image.fromarray(planes[0, :3]).save(paths[2])
    with pytest.raises(DataError, match='2.png is 3 x 5 pixels, but .*0.png of the same volume 4'):
        read_stack(paths, 3)
    with pytest.raises(DataError, match='is a picture, no volume.*case_pattern'):
        read_whole(paths[0])


@pytest.mark.parametrize('suffix', ['.png', '.h5', '.nii.gz'])
def test_a_picture_is_no_whole_volume_and_the_way_out_works(tmp_path, suffix):
    plane = np.arange(20, dtype=np.uint8).reshape(4, 5)
    for folder in ('i', 'm'):
        (tmp_path / folder).mkdir()
        for k in (1, 2):
            path, values = (
                tmp_path / folder / f'p_{k}{suffix}',
                plane if folder == 'i' else 0 * plane,
            )
            if suffix == '.png':
                Image.fromarray(values).save(path)
            elif suffix == '.h5':
                write_h5(path, values, values)
            else:
                write_nifti(path, values)
    options = dict(
        image_dir='i', mask_dir='m', label_map={0: 0}, sample='volume', mode='test',
        split=dict(type='case', train=[]), prepare=[dict(type='LoadVolume'), dict(type='LoadMask')],
    )  # fmt: skip
    with pytest.raises(DataError, match=rf'p_1\{suffix} is a .*"volume" asks.*group "slice"'):
        MixedDomainDataset(str(tmp_path), ['a'], **options)
    pattern = r'(?P<case>p)_(?P<slice>\d+)'
    data = MixedDomainDataset(str(tmp_path), ['a'], case_pattern=pattern, **options)
    assert data[0]['img'].shape[0] == 2 and data[0]['gt'].shape == data[0]['img'].shape[:3]
    assert len(MixedDomainDataset(str(tmp_path), ['a'], **dict(options, sample='slice'))) == 2


def test_a_case_without_foreground_is_a_sample(tmp_path):
    write_nifti(tmp_path / 'm.nii.gz', np.zeros((4, 5, 6), np.uint8))
    found = decode_whole_mask(str(tmp_path / 'm.nii.gz'), LABELS, (6, 5, 4), axes=WHOLE)
    assert found.dtype == np.uint8 and not found.any()


def test_an_unlisted_value_names_file_and_value(tmp_path):
    write_nifti(tmp_path / 'm.nii.gz', np.full((4, 5, 6), 7, np.uint8))
    with pytest.raises(DataError, match='m.nii.gz has value 7, which the label map does not list'):
        decode_whole_mask(str(tmp_path / 'm.nii.gz'), LABELS, None, axes=WHOLE)
