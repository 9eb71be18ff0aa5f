"""Slices of HDF5 and NIfTI files: the right pixels, cheaply, and one clear error for each fault."""

import os
import pickle

import h5py
import nibabel
import numpy as np
import pytest
from fake_files import heart_labels, noise, write_h5, write_nifti, write_png

from mmssl.datasets.reading import volumes
from mmssl.datasets.reading.decode import (
    DataError,
    LabelMap,
    decode_image,
    decode_mask,
    split_suffix,
)
from mmssl.datasets.reading.volumes import file_spacing, read_slice, volume_shape

HEART = LabelMap({0: 0, 1: 1, 2: 2, 3: 3})
VOLUME = noise(0, (3, 6, 5)).astype(np.float32)
NAMES = ['v.h5', 'v.hdf5', 'v.nii', 'v.nii.gz']


def write(path, array):
    if 'nii' in path.name:
        return str(write_nifti(path, array))
    return str(write_h5(path, image=array))


@pytest.mark.parametrize('name', NAMES)
def test_slices_of_a_volume(tmp_path, name):
    path = write(tmp_path / name, VOLUME)
    assert volume_shape(path, 'image') == (3, 6, 5)
    for index in range(3):
        assert (read_slice(path, 'image', index) == VOLUME[index]).all()
    for index in (None, 3, -1):
        with pytest.raises(DataError, match=rf'{name} is a volume of 3 slices .* slice {index} '):
            read_slice(path, 'image', index)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('shape', [(6, 5), (1, 6, 5)])
def test_a_slice_in_a_file_of_its_own(tmp_path, name, shape):
    path = write(tmp_path / name, VOLUME[0].reshape(shape))
    assert volume_shape(path, 'image') == shape
    assert (read_slice(path, 'image') == VOLUME[0]).all()


def test_axes_of_a_nifti_file(tmp_path):
    """The array of nibabel is (x, y, z); rows of the slice are y."""
    array = np.zeros((5, 6, 3), np.int16)
    array[4, 1, 2] = 7
    path = str(tmp_path / 'v.nii.gz')
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    assert read_slice(path, 'image', 2)[1, 4] == 7


def test_scaled_values_of_a_nifti_file(tmp_path):
    image = nibabel.Nifti1Image(np.arange(6, dtype=np.int16).reshape(2, 3), np.eye(4))
    image.header.set_slope_inter(2, 10)
    nibabel.save(image, tmp_path / 'v.nii')
    expected = nibabel.load(tmp_path / 'v.nii').get_fdata().T
    assert expected.max() > 10
    assert (read_slice(str(tmp_path / 'v.nii'), 'image') == expected).all()


def test_a_packed_volume_is_unpacked_once_for_its_slices(tmp_path, monkeypatch):
    path = write(tmp_path / 'v.nii.gz', VOLUME)
    opened = []
    read = nibabel.arrayproxy.ArrayProxy.__array__
    monkeypatch.setattr(
        nibabel.arrayproxy.ArrayProxy, '__array__',
        lambda self, *a, **k: opened.append(1) or read(self, *a, **k),
    )  # fmt: skip
    for index in range(3):
        read_slice(path, 'image', index)
    assert len(opened) == 1
    write(tmp_path / 'v.nii.gz', VOLUME + 1)
    os.utime(path, (1, 1))
    assert (read_slice(path, 'image', 0) == VOLUME[0] + 1).all()


def test_spacing_of_the_file(tmp_path):
    assert file_spacing(write(tmp_path / 'v.nii.gz', VOLUME), 'image') == (5.0, 1.5, 1.25)
    flat = str(write_nifti(tmp_path / 'f.nii', VOLUME[0]))
    assert file_spacing(flat, 'image') == (1.5, 1.25)
    path = write(tmp_path / 'v.h5', VOLUME)
    assert file_spacing(path, 'image') is None
    with h5py.File(path, 'a') as file:
        file['spacing'] = np.array([10, 1.5, 1.5])
    assert file_spacing(path, 'image') == (10.0, 1.5, 1.5)
    with h5py.File(path, 'a') as file:
        file['image'].attrs['spacing'] = [0.0, 1.0]
    with pytest.raises(DataError, match=r'v\.h5 has spacing \[0\.0, 1\.0\]'):
        file_spacing(path, 'image')


@pytest.mark.parametrize(('unit', 'factor'), [('mm', 1), ('meter', 1000), ('micron', 0.001)])
def test_unit_of_a_nifti_header(tmp_path, unit, factor):
    image = nibabel.Nifti1Image(VOLUME.T, np.eye(4))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / 'v.nii')
    assert file_spacing(str(tmp_path / 'v.nii'), '') == pytest.approx((factor,) * 3)


def test_value_range_is_cut_off_not_rounded(tmp_path):
    values = np.array([[0, 0.499, 0.5, 0.999, 1, 1.2, -0.1]], np.float32)
    path = str(write_h5(tmp_path / 'a.h5', image=values))
    expected = np.clip(values * 255, 0, 255).astype(np.uint8)
    assert (decode_image(path, value_range=(0, 1))[..., 0] == expected).all()
    assert expected.tolist() == [[0, 127, 127, 254, 255, 255, 0]]
    window = decode_image(path, value_range=(-1, 3))[..., 0]
    assert window.tolist() == [[63, 95, 95, 127, 127, 140, 57]]


def test_range_of_the_volume_is_that_of_all_its_slices(tmp_path):
    volume = np.zeros((2, 4, 4), np.int16)
    volume[0, 0, 0], volume[1, 0, 0] = 100, 400
    for name in ('v.h5', 'v.nii.gz'):
        path = write(tmp_path / name, volume)
        assert decode_image(path, index=0, value_range='volume').max() == 63
        assert decode_image(path, index=1, value_range='volume').max() == 255
    write_h5(tmp_path / 'v.h5', image=volume * 2.0)
    os.utime(tmp_path / 'v.h5', (1, 1))
    path = str(tmp_path / 'v.h5')
    assert decode_image(path, index=1, value_range='volume').max() == 255
    flat = write(tmp_path / 'flat.h5', np.full((4, 4), 7.0))
    assert not decode_image(flat, value_range='volume').any()


def test_pictures_of_8_bit_need_no_range(tmp_path):
    path = str(write_png(tmp_path / 'a.png', noise(0)))
    assert (decode_image(path, value_range=(0, 1))[..., 0] == noise(0)).all()
    path = str(write_png(tmp_path / 'b.png', noise(0).astype(np.uint16) * 257))
    assert (decode_image(path, value_range=(0, 65535))[..., 0] == noise(0)).all()


def test_labels_of_any_type_if_they_are_whole(tmp_path):
    labels = heart_labels()
    for number, kind in enumerate((np.uint8, np.int16, np.int64, np.float32, np.float64)):
        path = str(write_h5(tmp_path / f'{number}.h5', label=labels.astype(kind)))
        assert (decode_mask(path, HEART) == labels).all()
        path = str(write_nifti(tmp_path / f'{number}.nii.gz', labels.astype(np.int16)))
        assert (decode_mask(path, HEART) == labels).all()
    for wrong in (0.5, -1.0, np.nan):
        path = str(write_h5(tmp_path / 'w.h5', label=np.where(labels == 3, wrong, labels)))
        with pytest.raises(DataError, match=rf'Mask .*w\.h5 has value {wrong}; .* whole numbers'):
            decode_mask(path, HEART)
    path = str(write_h5(tmp_path / 'w.h5', label=labels + 1))
    with pytest.raises(DataError, match=r'w\.h5 has value 4, which the label map does not list'):
        decode_mask(path, HEART)


def test_slice_of_a_volume_of_labels(tmp_path):
    labels = np.stack([heart_labels(), heart_labels()[::-1]])
    path = str(write_h5(tmp_path / 'v.h5', seg=labels))
    assert (decode_mask(path, HEART, (20, 24), 'seg', 1) == labels[1]).all()
    with pytest.raises(DataError, match=r'v\.h5 is 20x24, its image 20x20'):
        decode_mask(path, HEART, (20, 20), 'seg', 1)


FAULTS = {
    'no image': (dict(img=VOLUME[0], label=VOLUME[0]), r'no dataset "image" \(it has: img, label'),
    'empty': ({}, r'no dataset "image" \(it has: nothing\)'),
    'four axes': (dict(image=VOLUME[None]), r'shape \(1, 3, 6, 5\) .* \(H, W\) or volume'),
    'no pixel': (dict(image=VOLUME[:0]), r'shape \(0, 6, 5\)'),
    'text': (dict(image=np.array([[b'ab']])), r'type \|S2; a slice'),
    'nan': (dict(image=np.full((4, 4), np.nan)), r'a\.h5 holds NaN or infinity'),
    'range': (dict(image=VOLUME[0]), r'values \d+ to 2\d\d, most of them above .*\(0, 1\)'),
}


def test_datasets_that_lie_in_another_file(tmp_path):
    write_h5(tmp_path / 'b.h5', image=VOLUME)
    (tmp_path / 'b.raw').write_bytes(VOLUME.tobytes())
    layout = h5py.VirtualLayout(VOLUME.shape, VOLUME.dtype)
    layout[...] = h5py.VirtualSource(str(tmp_path / 'b.h5'), 'image', VOLUME.shape)
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['link'] = h5py.ExternalLink(str(tmp_path / 'b.h5'), 'image')
        file.create_virtual_dataset('virtual', layout)
        file.create_dataset(
            'raw',
            VOLUME.shape,
            VOLUME.dtype,
            external=[(str(tmp_path / 'b.raw'), 0, VOLUME.nbytes)],
        )
        file['soft'], file['image'] = h5py.SoftLink('/image'), VOLUME
    for key in ('link', 'virtual', 'raw'):
        with pytest.raises(DataError, match=rf'"{key}" lies in another file'):
            read_slice(str(tmp_path / 'a.h5'), key, 0)
    assert (read_slice(str(tmp_path / 'a.h5'), 'soft', 0) == VOLUME[0]).all()


@pytest.mark.parametrize('fault', FAULTS)
def test_faults_of_an_hdf5_file(tmp_path, fault):
    datasets, message = FAULTS[fault]
    path = write_h5(tmp_path / 'a.h5', **datasets)
    with pytest.raises(DataError, match=message) as error:
        decode_image(str(path), value_range=(0, 1))
    assert str(path) in str(error.value) and '\n' not in str(error.value)


def test_intensities_without_a_range(tmp_path):
    path = write(tmp_path / 'a.h5', VOLUME[0])
    with pytest.raises(DataError, match=r'a\.h5 has type float32 .*value_range=\(10, 248\)'):
        decode_image(path)
    assert decode_image(path, value_range=(10, 248)).max() == 255
    with pytest.raises(DataError, match='NaN'):
        path = write(tmp_path / 'b.h5', np.full((2, 4, 4), np.inf))
        decode_image(path, index=0, value_range='volume')


@pytest.mark.parametrize('name', NAMES)
def test_broken_files(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(FileNotFoundError, match=rf'{name} does not exist'):
        volume_shape(str(path), 'image')
    write(path, noise(0, (8, 64, 64)))
    data = path.read_bytes()
    for keep in (len(data) // 2, 200, 0):
        path.write_bytes(data[:keep])
        with pytest.raises(DataError, match=rf'{name} (cannot be|is empty)'):
            read_slice(str(path), 'image', 7)


def test_what_nifti_files_hold_that_is_no_volume(tmp_path):
    for array in (np.zeros((5, 6, 3, 2, 2), np.int16), np.zeros((5, 6, 3), np.complex64)):
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / 'v.nii.gz')
        with pytest.raises(
            DataError, match=r'has shape .* real numbers are needed.*Write it as such'
        ):
            volume_shape(str(tmp_path / 'v.nii.gz'), 'image')


def test_no_code_in_a_file_is_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / 'sprung'),))

    for name in NAMES:
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(DataError):
            read_slice(str(tmp_path / name), 'image')
    path = write_h5(tmp_path / 'p.h5', image=np.void(pickle.dumps(Trap())))
    with pytest.raises(DataError):
        read_slice(str(path), 'image')
    assert not (tmp_path / 'sprung').exists()


def test_only_the_header_is_read_for_a_shape(tmp_path, monkeypatch):
    paths = [write(tmp_path / name, VOLUME) for name in NAMES]

    def refuse(*args, **kwargs):
        raise AssertionError('pixels are read')

    monkeypatch.setattr(h5py.Dataset, '__getitem__', refuse)
    monkeypatch.setattr(volumes, '_whole', refuse)
    monkeypatch.setattr(nibabel.arrayproxy.ArrayProxy, '__array__', refuse)
    assert {volume_shape(path, 'image') for path in paths} == {(3, 6, 5)}


def test_suffixes():
    assert split_suffix('a.b.nii.gz') == ('a.b', '.nii.gz')
    assert split_suffix('A.NII.GZ') == ('A', '.NII.GZ')
    assert split_suffix('a (1).png') == ('a (1)', '.png')
    assert split_suffix('plain') == ('plain', '')
