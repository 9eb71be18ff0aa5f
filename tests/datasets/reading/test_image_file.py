"""What a file says of its place, and slices that go back to where they came from."""

import cv2
import nibabel
import numpy as np
import pytest
from fake_files import noise, write_h5
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from mmssl.datasets.reading import Axes, DataError, open_image, read_volume

ARRAY = noise(0, (7, 6, 3)).astype(np.int16)
AFFINE = np.array([[1.4, -0.35, 0, -20], [0.4, 1.225, 0, 11], [0, 0, 8, 5], [0, 0, 0, 1.0]])


@pytest.mark.parametrize('code', ['RAS', 'LPS', 'PIR', 'SLA', 'IRP', 'ASL'])
@pytest.mark.parametrize('plane', [None, 'sagittal'])
def test_slices_go_back_into_the_order_of_the_file(tmp_path, code, plane):
    path = str(tmp_path / 'v.nii.gz')
    image = nibabel.Nifti1Image(ARRAY, AFFINE)
    turn = ornt_transform(io_orientation(AFFINE), axcodes2ornt(tuple(code)))
    nibabel.save(image.as_reoriented(turn), path)
    stored = nibabel.load(path)
    file = open_image(path, axes=Axes(plane=plane))
    slices = read_volume(path, '', Axes(plane=plane))
    assert file.kind == 'nifti' and file.shape == slices.shape
    assert file.stored_shape == stored.shape and np.allclose(file.stored_affine, stored.affine)
    assert (file.restore(slices) == np.asarray(stored.dataobj)).all()
    assert file.header().header['dim'].tolist() == stored.header['dim'].tolist()
    place = (2, 1, 0)  # slice, row, column
    voxel = np.argwhere(file.restore(np.arange(slices.size).reshape(slices.shape)) == 0)[0]
    assert np.allclose(file.affine @ (0, 0, 0, 1), file.stored_affine @ (*voxel, 1))
    number = np.ravel_multi_index(place, slices.shape)
    voxel = np.argwhere(file.restore(np.arange(slices.size).reshape(slices.shape)) == number)[0]
    assert np.allclose(file.affine @ (*place[::-1], 1), file.stored_affine @ (*voxel, 1))
    sizes = np.linalg.norm(file.affine[:3, :3], axis=0)[::-1]
    assert file.spacing == pytest.approx(tuple(sizes))


def test_a_slice_and_a_picture(tmp_path):
    path = str(tmp_path / 's.nii')
    nibabel.save(nibabel.Nifti1Image(ARRAY[..., 0], np.diag([-1, 1, 1, 1.0])), path)
    file = open_image(path)
    assert (file.shape, file.stored_shape) == ((6, 7), (7, 6))
    assert (file.restore(read_volume(path, '')) == ARRAY[..., 0]).all()
    with pytest.raises(ValueError, match=r'An array \(7, 6\) cannot be laid on .*s\.nii'):
        file.restore(ARRAY[..., 0])
    picture = str(tmp_path / 'p.png')
    cv2.imwrite(picture, noise(0, (20, 24)))
    file = open_image(picture)
    assert (file.kind, file.shape, file.stored_shape) == ('picture', (20, 24), (24, 20))
    assert file.affine is None and file.header() is None
    assert (file.restore(np.eye(20, 24)) == np.eye(24, 20)).all()


def test_a_volume_that_does_not_say_how_it_lies(tmp_path):
    path = str(write_h5(tmp_path / 'v.h5', image=ARRAY.T))
    file = open_image(path)
    assert (file.kind, file.shape, file.stored_shape) == ('hdf5', (3, 6, 7), (7, 6, 3))
    assert file.affine is None and file.stored_affine is None and file.spacing is None
    assert (file.restore(ARRAY.T) == ARRAY).all() and file.stored.dtype == np.int16
    with pytest.raises(DataError, match='no dataset "labels"'):
        open_image(path, 'labels')
