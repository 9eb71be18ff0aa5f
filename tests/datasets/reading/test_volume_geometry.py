"""How volumes lie: a mask comes to lie on its image whatever the order of its voxels, or not."""

import struct
from itertools import permutations, product

import h5py
import nibabel
import numpy as np
import pytest
from fake_files import noise, write_h5, write_nifti
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from nibabel.processing import resample_from_to

from mmssl.datasets.reading.decode import DataError, LabelMap, decode_image, decode_mask, read_image
from mmssl.datasets.reading.geometry import CANONICAL, Axes
from mmssl.datasets.reading.volumes import (
    Source,
    file_spacing,
    read_slice,
    read_volume,
    volume_affine,
    volume_limits,
    volume_shape,
)

SHAPE, AFFINE = (7, 6, 3), np.diag([1.5, 1.25, 8, 1.0])
AFFINE[:3, 3] = (-20, 11, 5)
IMAGE = noise(0, SHAPE).astype(np.int16) + 1
LABELS = np.zeros(SHAPE, np.uint8)
LABELS[1:3, 2:5, :2] = 1  # in no way symmetric
LABELS[4, 1, 0] = 2
VALUES = LabelMap({0: 0, 1: 1, 2: 2})
STORED = Axes('stored')
CODES = [
    ''.join(code)
    for order in permutations(range(3))
    for code in product(*(('LR', 'PA', 'IS')[axis] for axis in order))
]


def save(path, array, affine, kind=nibabel.Nifti1Image, sform=1, qform=1):
    image = kind(array, affine)
    image.set_sform(affine, sform)
    image.set_qform(affine, qform)
    nibabel.save(image, path)
    return str(path)


def reoriented(image, code):
    """Return the same voxels at the same places, stored in another order."""
    own, other = io_orientation(image.affine), axcodes2ornt(tuple(code))
    return image.as_reoriented(ornt_transform(own, other))


def pair(tmp_path, image, mask):
    paths = tmp_path / 'i.nii.gz', tmp_path / 'm.nii.gz'
    for one, path in zip((image, mask), paths, strict=True):
        nibabel.save(one, path)
    return map(str, paths)


def mask_volume(image, mask, axes=CANONICAL, key='label'):
    """Return a mask as it is read slice by slice of its image."""
    like, slices = Source(image, 'image'), volume_shape(image, 'image', axes)[0]
    return np.stack(
        [decode_mask(mask, VALUES, None, key, index, like, axes) for index in range(slices)]
    )


def oblique(affine=AFFINE, degrees=20):
    turn = np.radians(degrees)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    tilt = np.eye(4)
    tilt[1:3, 1:3] = rotation[:2, :2]
    return rotation @ tilt @ affine


def test_48_orders_of_mask_and_image(tmp_path):
    """Image and mask in any order are read as where both are stored RAS."""
    assert len(CODES) == 48
    image, mask = nibabel.Nifti1Image(IMAGE, AFFINE), nibabel.Nifti1Image(LABELS, AFFINE)
    for number, code in enumerate(CODES):
        other = CODES[(7 * number + 11) % 48]
        paths = pair(tmp_path, reoriented(image, code), reoriented(mask, other))
        image_path, mask_path = paths
        assert (read_volume(image_path, '') == IMAGE.T).all(), code
        assert all((read_slice(image_path, '', k) == IMAGE.T[k]).all() for k in range(3))
        assert (mask_volume(image_path, mask_path) == LABELS.T).all(), (code, other)
        assert np.allclose(volume_affine(image_path, ''), AFFINE)
        assert file_spacing(image_path, '') == (8.0, 1.25, 1.5)


@pytest.mark.parametrize('code', ['LAS', 'PIR', 'SLA'])
@pytest.mark.parametrize('kind', [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize('suffix', ['.nii', '.nii.gz'])
def test_oblique_volumes_of_both_formats(tmp_path, code, kind, suffix):
    affine = oblique()
    image = save(tmp_path / f'i{suffix}', IMAGE, affine, kind)
    mask = tmp_path / f'm{suffix}'
    nibabel.save(reoriented(kind(LABELS, affine), code), mask)
    assert (mask_volume(image, str(mask)) == LABELS.T).all()
    moved = affine.copy()
    moved[:3, 3] += 0.05  # rounding of a header: less than a tenth of a voxel
    assert (mask_volume(image, save(mask, LABELS, moved, kind)) == LABELS.T).all()


def test_the_file_written_again_lies_where_it_lay(tmp_path):
    image = save(tmp_path / 'i.nii.gz', IMAGE, oblique())
    path = tmp_path / 'm.nii.gz'
    nibabel.save(reoriented(nibabel.load(image), 'PIR'), path)
    scan = read_image(str(path), index=0, value_range='volume')
    assert scan.spacing == pytest.approx((8, 1.25, 1.5))
    assert np.allclose(scan.affine, nibabel.load(image).affine, atol=1e-5)
    assert (read_volume(str(path), '').T == IMAGE).all()


def test_files_stored_ras_are_read_as_before(tmp_path):
    """The slices are along the third axis, rows are y, columns x: as without any turning."""
    path = save(tmp_path / 'i.nii', IMAGE, AFFINE)
    assert (read_volume(path, '') == read_volume(path, '', STORED)).all()
    path = save(tmp_path / 'i.nii', IMAGE, AFFINE, sform=0, qform=0)
    assert (read_volume(path, '') == IMAGE.T).all() and volume_affine(path, '') is None
    sagittal = save(tmp_path / 's.nii.gz', IMAGE, np.diag([-6, 1, 1, 1.0]))
    assert (read_volume(sagittal, '', STORED) == IMAGE.T).all()
    assert (read_volume(sagittal, '') == IMAGE[::-1].transpose(0, 2, 1)).all()


@pytest.mark.parametrize(
    ('sizes', 'plane', 'axis'),
    [
        ((1, 1, 8), None, 2), ((1, 1, 1), None, 2), ((8, 1, 1), None, 0), ((1, 3, 1.2), None, 1),
        ((0.7, 0.7, 0.5), None, 2), ((1, 1, 8), 'sagittal', 0), ((8, 1, 1), 'axial', 2),
        ((1, 1, 1), 'coronal', 1),
    ],
)  # fmt: skip
def test_plane_of_the_slices(tmp_path, sizes, plane, axis):
    axes = Axes(plane=plane)
    image = nibabel.Nifti1Image(IMAGE, np.diag([*sizes, 1.0]))
    rest = [other for other in (2, 1, 0) if other != axis]
    want = IMAGE.transpose(axis, *rest)
    for code in ('RAS', 'LPS', 'AIL'):
        nibabel.save(reoriented(image, code), tmp_path / 'i.nii.gz')
        path = str(tmp_path / 'i.nii.gz')
        assert volume_shape(path, '', axes) == want.shape
        assert (read_volume(path, '', axes) == want).all()
        spacing = file_spacing(path, '', axes)
        assert spacing == pytest.approx(tuple(sizes[other] for other in (axis, *rest)))


@pytest.mark.parametrize('shape', [(7, 6), (7, 6, 1), (7, 6, 1, 1)])
def test_one_slice_in_a_file(tmp_path, shape):
    image = save(tmp_path / 'i.nii.gz', IMAGE[..., 0].reshape(shape), np.diag([-1, 1, 1, 1.0]))
    assert (read_slice(image, '') == IMAGE[::-1, :, 0].T).all()
    mask = save(tmp_path / 'm.nii', LABELS[::-1, ::-1, 0].reshape(shape), np.diag([1, -1, 9, 1.0]))
    affine = np.diag([1, -1, 9, 1.0])
    affine[:3, 3] = (-6, 5, 0)
    mask = save(mask, LABELS[::-1, ::-1, 0].reshape(shape), affine)
    found = decode_mask(mask, VALUES, (6, 7), like=Source(image, 'image'))
    assert (found == LABELS[::-1, :, 0].T).all()


def another(tmp_path, name):
    """Return image and mask of one shape that lie on different grids."""
    image = nibabel.Nifti1Image(IMAGE, AFFINE)
    affine = AFFINE.copy()
    if name == 'spacing':
        affine[:3, :3] *= 2
    elif name == 'origin':
        affine[0, 3] += 0.4
    elif name == 'angle':
        affine = oblique(degrees=10)
    elif name == 'slice':
        affine[2, 3] += 8
    labels = LABELS if name != 'shape' else np.pad(LABELS, ((0, 2), (0, 0), (0, 0)))
    return pair(tmp_path, image, nibabel.Nifti1Image(labels, affine))


@pytest.mark.parametrize('name', ['spacing', 'origin', 'angle', 'slice', 'shape'])
def test_another_grid_is_refused_and_both_ways_out_work(tmp_path, name):
    image, mask = another(tmp_path, name)
    with pytest.raises(DataError, match=r'm\.nii\.gz lies on another grid than its image') as error:
        mask_volume(image, mask)
    assert 'order=0' in str(error.value) and 'geometry="stored"' in str(error.value)
    if name != 'shape':
        assert (mask_volume(image, mask, STORED) == LABELS.T).all()
    better = resample_from_to(nibabel.load(mask), nibabel.load(image), order=0)
    nibabel.save(better, mask)
    assert mask_volume(image, mask).shape == LABELS.T.shape
    if name == 'shape':
        assert (mask_volume(image, mask) == LABELS.T).all()


def test_qform_and_sform(tmp_path):
    """Either may hold the common grid; two that contradict each other are refused."""
    flipped = np.diag([-1.5, 1.25, 8, 1.0])
    flipped[:3, 3] = (-11, 11, 5)
    atlas = AFFINE @ np.diag([1.02, 0.98, 1, 1])
    image = save(tmp_path / 'i.nii', IMAGE, AFFINE)
    both = nibabel.load(image)
    both.set_sform(atlas, 4)
    nibabel.save(both, tmp_path / 'both.nii')
    mask = save(tmp_path / 'm.nii.gz', LABELS, AFFINE, sform=0)
    assert (mask_volume(str(tmp_path / 'both.nii'), mask) == LABELS.T).all()
    torn = nibabel.Nifti1Image(LABELS, AFFINE)
    torn.set_sform(AFFINE, 1)
    torn.set_qform(flipped, 1)
    nibabel.save(torn, tmp_path / 'torn.nii.gz')
    path = str(tmp_path / 'torn.nii.gz')
    for read in (lambda: mask_volume(image, path), lambda: volume_shape(path, '')):
        with pytest.raises(DataError, match=r'torn.*sform RAS and qform LAS.*set_qform') as error:
            read()
    assert 'geometry="stored"' in str(error.value)
    assert (mask_volume(image, path, STORED) == LABELS.T).all()
    right = nibabel.load(path)
    right.set_qform(right.affine)
    nibabel.save(right, path)
    assert (mask_volume(image, path) == LABELS.T).all()


def test_files_that_do_not_say_how_they_lie(tmp_path):
    image = save(tmp_path / 'i.nii', IMAGE, AFFINE)
    silent = save(tmp_path / 'm.nii.gz', LABELS, AFFINE, sform=0, qform=0)
    held = str(write_h5(tmp_path / 'm.h5', label=LABELS.T))
    for mask in (silent, held):
        with pytest.raises(DataError, match=r'm\.\S+ does not say how it lies.*"stored"'):
            mask_volume(image, mask)
        assert (mask_volume(image, mask, STORED) == LABELS.T).all()
    both = save(tmp_path / 'i.nii', IMAGE, AFFINE, sform=0, qform=0)
    assert (mask_volume(both, silent) == LABELS.T).all()
    assert (mask_volume(both, held) == LABELS.T).all()


def test_an_affine_that_maps_onto_nothing(tmp_path):
    flat = AFFINE.copy()
    flat[:, 1] = 0
    image = nibabel.Nifti1Image(IMAGE, AFFINE)
    image.header.set_sform(flat, 1)
    image = nibabel.Nifti1Image(IMAGE, None, image.header)
    nibabel.save(image, tmp_path / 'i.nii.gz')
    path = str(tmp_path / 'i.nii.gz')
    with pytest.raises(DataError, match='maps the volume onto a plane.*geometry="stored"'):
        volume_shape(path, '')
    assert (read_volume(path, '', STORED) == IMAGE.T).all()


@pytest.mark.parametrize('kind', [np.uint8, np.int16, np.uint16, np.int8])
@pytest.mark.parametrize('largest', [3, 7])
def test_labels_stored_with_a_scale(tmp_path, kind, largest):
    """Whole numbers that were held as float and stored as steps of a scale are whole again."""
    labels = np.arange(126).reshape(SHAPE) % (largest + 1)
    image = nibabel.Nifti1Image(labels.astype(np.float64), AFFINE)
    image.set_data_dtype(kind)
    path = str(tmp_path / 'm.nii.gz')
    nibabel.save(image, path)
    assert nibabel.load(path).dataobj.slope != 1
    label_map = LabelMap({value: value % 3 for value in range(largest + 1)})
    assert (decode_mask(path, label_map, index=1) == (labels.T % 3)[1]).all()
    image = nibabel.Nifti1Image(labels + 0.5 * (labels == 1), AFFINE)
    image.set_data_dtype(kind)
    nibabel.save(image, path)
    with pytest.raises(DataError, match=r'has value 1\.\d+; .*interpolated') as error:
        decode_mask(path, label_map, index=1)
    assert '"nearest": True' in str(error.value)
    nearest = LabelMap({value: value % 3 for value in range(largest + 1)}, nearest=True)
    found = decode_mask(path, nearest, index=1)
    assert (found == (labels.T % 3)[1])[labels.T[1] != 1].all()


@pytest.mark.parametrize(
    ('values', 'sentence'),
    [
        (np.array([[0, 1 - 2e-10], [1 + 1e-6, 2]]), None),
        (np.array([[0, 1], [1, 2]], '>f4'), None),
        (np.array([[0, 1], [1, 2]], '>i8'), None),
        (np.array([[0, 1], [1, 2]], np.float16), None),
        (np.array([[False, True], [True, True]]), None),
        (np.array([[0, 1], [1, 1.01]]), r'value 1\.01; .*interpolated'),
        (np.array([[0, 1], [1, -1]], np.int8), r'value -1; .*add 256'),
        (np.array([[0, 1], [1, 70000]], np.uint32), r'value 70000; .*65535'),
        (np.array([[0, 1], [1, np.nan]]), r'value nan; .*nan_to_num'),
        (np.array([[0, 1], [1, np.inf]]), r'value inf; .*nan_to_num'),
        (np.array([[0, 1j], [1, 2]]), r'type complex128; .*real numbers'),
    ],
)
def test_numeric_types_of_masks(tmp_path, values, sentence):
    path = str(write_h5(tmp_path / 'm.h5', label=values))
    if sentence is None:
        assert (decode_mask(path, VALUES) == np.rint(values.astype(float))).all()
        return
    with pytest.raises(DataError, match=sentence):
        decode_mask(path, VALUES)
    if 'nan_to_num' in sentence:
        write_h5(tmp_path / 'm.h5', label=np.nan_to_num(values, posinf=0))
        assert decode_mask(path, VALUES).tolist() == [[0, 1], [1, 0]]
    if 'add 256' in sentence:
        write_h5(tmp_path / 'm.h5', label=values.astype(np.int16) % 256)
        assert decode_mask(path, LabelMap({0: 0, 1: 1, 255: 2})).tolist() == [[0, 1], [1, 2]]
    if '1\\.01' in sentence:
        assert decode_mask(path, LabelMap({0: 0, 1: 1}, nearest=True)).tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize('suffix', ['.nii', '.nii.gz'])
@pytest.mark.parametrize('code', ['RAS', 'PIL'])
def test_a_frame_of_several_and_the_ways_out(tmp_path, suffix, code):
    path = str(tmp_path / f'v{suffix}')
    series = nibabel.Nifti1Image(np.stack([IMAGE, IMAGE + 1], -1), AFFINE)
    nibabel.save(reoriented(series, code), path)
    for frame in (None, 2, -1):
        with pytest.raises(DataError, match=r'holds 2 frames .*option frame .*from 0 to 1'):
            volume_shape(path, '', Axes(frame=frame))
    for frame in (0, 1):
        axes = Axes(frame=frame)
        assert (read_volume(path, '', axes) == IMAGE.T + frame).all()
        assert (read_slice(path, '', 2, axes) == IMAGE.T[2] + frame).all()
        assert np.allclose(volume_affine(path, '', axes), AFFINE)
        assert volume_limits(path, '', axes) == (IMAGE.min() + frame, IMAGE.max() + frame)
    nibabel.save(nibabel.four_to_three(series)[1], path)
    assert (read_volume(path, '') == IMAGE.T + 1).all()
    assert (read_volume(path, '', Axes(frame=1)) == IMAGE.T + 1).all()  # nothing to choose


def test_a_mask_without_frames_on_a_frame(tmp_path):
    series = nibabel.Nifti1Image(np.stack([IMAGE, IMAGE + 1], -1), AFFINE)
    mask = nibabel.Nifti1Image(LABELS, AFFINE)
    image, labels = pair(tmp_path, reoriented(series, 'LPI'), reoriented(mask, 'SAR'))
    assert (mask_volume(image, labels, Axes(frame=1)) == LABELS.T).all()


def test_axes_that_are_not_at_right_angles(tmp_path):
    for degrees, fine in ((0.5, True), (12, False)):
        tilted = AFFINE.copy()
        tilted[1, 2] = 8 * np.tan(np.radians(degrees))
        path = save(tmp_path / 'i.nii', IMAGE, tilted, qform=0)
        if fine:
            assert volume_shape(path, '') == (3, 6, 7)
            continue
        with pytest.raises(DataError, match=r'sform miss right angles by 12\.0 degrees.*stored'):
            volume_shape(path, '')
        assert (read_volume(path, '', STORED) == IMAGE.T).all()


def test_headers_that_announce_more_than_the_file_holds(tmp_path):
    """No memory is taken for 8 TB of voxels."""
    path = write_nifti(tmp_path / 'v.nii', noise(0, (3, 6, 5)))
    data = bytearray(path.read_bytes())
    data[42:48] = struct.pack('<3h', 20000, 20000, 20000)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r'announces 8000\.0 GB .*Copy'):
        volume_shape(str(path), '')
    with h5py.File(tmp_path / 'v.h5', 'w') as file:
        file.create_dataset('image', (1000, 100000, 100000), 'f8', chunks=(1, 64, 64))
    with pytest.raises(DataError, match='announces 80000.0 GB .*Copy'):
        read_slice(str(tmp_path / 'v.h5'), 'image', 0)


def test_other_files_under_the_name_of_nifti(tmp_path):
    analyze = nibabel.AnalyzeImage(IMAGE, AFFINE)
    nibabel.save(analyze, tmp_path / 'a.img')
    (tmp_path / 'v.nii').write_bytes((tmp_path / 'a.hdr').read_bytes() + bytes(400))
    with pytest.raises(DataError, match=r'v\.nii (cannot be opened as NIfTI|is a file of)'):
        volume_shape(str(tmp_path / 'v.nii'), '')
    with pytest.raises(DataError, match=r'a\.img: no reader for "\.img" .*Save it'):
        decode_image(str(tmp_path / 'a.img'))
    nibabel.save(nibabel.Nifti1Image(IMAGE, AFFINE), tmp_path / 'v.nii')
    assert (read_volume(str(tmp_path / 'v.nii'), '') == IMAGE.T).all()


def test_a_packed_nifti_without_gz_in_its_name_and_the_way_out(tmp_path):
    nibabel.save(nibabel.Nifti1Image(IMAGE, AFFINE), tmp_path / 'v.nii.gz')
    packed = (tmp_path / 'v.nii.gz').rename(tmp_path / 'v.nii')
    with pytest.raises(DataError, match=r'packed by gzip: rename it to v\.nii\.gz\.'):
        volume_shape(str(packed), '')
    packed = packed.rename(tmp_path / 'v.nii.gz')
    assert (read_volume(str(packed), '') == IMAGE.T).all()


def test_a_dataset_of_another_name(tmp_path):
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['scan/t2'] = IMAGE[..., 0]
    path = str(tmp_path / 'a.h5')
    with pytest.raises(DataError, match=r'no dataset "image" \(it has: scan/t2\)'):
        decode_image(path, value_range='volume')
    assert decode_image(path, key='scan/t2', value_range='volume').shape == (7, 6, 1)
