"""A mask comes out as it went in, in the format of its image and in its place."""

import json
import sys

import h5py
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from fake_dicom import write_frames, write_series
from identity import CLASSES, GREY, IdentityModel, labels
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from PIL import Image
from pydicom import dcmread

from mmssl.apis import predict
from mmssl.apis.prediction import Predictor, Wishes
from mmssl.datasets.reading import open_image
from mmssl.writing import Labels, map_suffix, mask_suffix, write_map

STORED = labels()
PAINTED = STORED * GREY
OBLIQUE = nibabel.affines.from_matvec(
    nibabel.eulerangles.euler2mat(0.2, 0.1, -0.3) @ np.diag([-0.7, 0.8, 3.0]), [10, -20, 5]
)
ORIENTATIONS = ('RAS', 'LPS', 'PSR', 'AIL', 'ILP')


def nifti(code: str = 'LPS', kind=nibabel.Nifti1Image):
    """Return the volume stored in an order, and what a mask of it must be."""
    image = kind(PAINTED, OBLIQUE)
    turn = ornt_transform(io_orientation(OBLIQUE), axcodes2ornt(code))
    turned = image.as_reoriented(turn)
    turned.header.set_sform(turned.affine, 2)
    turned.header.set_qform(turned.affine, 1)
    return turned, np.asarray(turned.dataobj) // GREY


def saved(path, out):
    found = predict(IdentityModel(), str(path))
    found.save(out)
    return found


@pytest.mark.parametrize('code', ORIENTATIONS)
@pytest.mark.parametrize('suffix', ['.nii', '.nii.gz'])
def test_nifti(tmp_path, code, suffix):
    image, mask = nifti(code)
    image.header['descrip'] = b'from the scanner'
    nibabel.save(image, tmp_path / f'image{suffix}')
    saved(tmp_path / f'image{suffix}', tmp_path / f'mask{suffix}')
    found = nibabel.load(tmp_path / f'mask{suffix}')
    assert (np.asarray(found.dataobj) == mask).all() and found.get_data_dtype() == np.uint8
    assert np.allclose(found.affine, image.affine, atol=1e-5)
    for form in ('sform_code', 'qform_code', 'descrip', 'xyzt_units', 'pixdim'):
        assert (found.header[form] == image.header[form]).all()
    by_itk = sitk.ReadImage(str(tmp_path / f'mask{suffix}'))
    assert (sitk.GetArrayFromImage(by_itk).T == mask).all()
    original = sitk.ReadImage(str(tmp_path / f'image{suffix}'))
    for what in ('GetOrigin', 'GetSpacing', 'GetDirection'):
        assert np.allclose(getattr(by_itk, what)(), getattr(original, what)(), atol=1e-5)


def test_variants_of_a_volume_give_the_same_mask(tmp_path):
    masks = []
    for code in ORIENTATIONS:
        nibabel.save(nifti(code)[0], tmp_path / f'{code}.nii.gz')
        saved(tmp_path / f'{code}.nii.gz', tmp_path / f'{code}_mask.nii.gz')
        masks.append(nibabel.as_closest_canonical(nibabel.load(tmp_path / f'{code}_mask.nii.gz')))
    for mask in masks:
        assert (np.asarray(mask.dataobj) == np.asarray(masks[0].dataobj)).all()
        assert np.allclose(mask.affine, masks[0].affine, atol=1e-4)


def test_scaled_two_and_of_several_frames(tmp_path):
    image, mask = nifti('LPS', nibabel.Nifti2Image)
    frames = np.stack([np.zeros_like(PAINTED), np.asarray(image.dataobj)], axis=-1)
    four = nibabel.Nifti2Image(frames.astype(np.int16), image.affine)
    four.header.set_slope_inter(0.5, -3)
    four = nibabel.Nifti2Image(four.get_fdata(), image.affine, four.header)
    nibabel.save(four, tmp_path / 'four.nii.gz')
    predict(IdentityModel(), str(tmp_path / 'four.nii.gz'), frame=1).save(tmp_path / 'm.nii.gz')
    found = nibabel.load(tmp_path / 'm.nii.gz')
    assert isinstance(found, nibabel.Nifti2Image)
    assert (np.asarray(found.dataobj) == mask).all() and found.shape == mask.shape
    assert (found.dataobj.slope, found.dataobj.inter) == (1, 0)


@pytest.mark.parametrize('suffix', ['.nrrd', '.mha', '.mhd'])
def test_itk(tmp_path, suffix):
    image = sitk.GetImageFromArray(PAINTED.T.astype(np.float32))
    image.SetSpacing((0.7, 0.8, 3.0))
    image.SetOrigin((-10.0, 20.0, 5.0))
    image.SetDirection((1, 0, 0, 0, 0, -1, 0, 1, 0))
    sitk.WriteImage(image, str(tmp_path / f'image{suffix}'))
    suffix = mask_suffix(open_image(str(tmp_path / f'image{suffix}')))
    saved(next(tmp_path.glob('image.[nm]*[dra]')), tmp_path / f'mask{suffix}')
    found = sitk.ReadImage(str(tmp_path / f'mask{suffix}'))
    assert (sitk.GetArrayFromImage(found).T == STORED).all()
    for what in ('GetOrigin', 'GetSpacing', 'GetDirection'):
        assert np.allclose(getattr(found, what)(), getattr(image, what)(), atol=1e-6)
    if suffix == '.nrrd':
        assert found.GetMetaData('Segment1_Name') == CLASSES[2]
        assert found.GetMetaData('Segment1_LabelValue') == '2'


@pytest.mark.parametrize('kind', ['series', 'frames'])
def test_dicom(tmp_path, kind):
    image, mask = nifti('LPS')
    painted = np.asarray(image.dataobj).astype(np.int16)
    if kind == 'series':
        path = write_series(tmp_path / 'series', painted, image.affine)
    else:
        order = [3, 0, 6, 1, 2, 5, 4]
        path = write_frames(tmp_path / 'frames.dcm', painted, image.affine, order)
    found = saved(path, tmp_path / 'mask.dcm')
    seg = dcmread(tmp_path / 'mask.dcm')
    assert seg.Modality == 'SEG' and seg.SegmentationType == 'BINARY'
    assert [s.SegmentLabel for s in seg.SegmentSequence] == list(CLASSES[1:])
    assert seg.PatientID == 'nobody'
    by_place = {}
    for frame, plane in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        segment = plane.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        position = plane.PlanePositionSequence[0].ImagePositionPatient
        by_place[segment, tuple(np.round(np.array(position, float), 3))] = frame
    for k in range(mask.shape[2]):
        place = image.affine @ [0, 0, k, 1] * [-1, -1, 1, 1]
        for segment in (1, 2):
            frame = by_place[segment, tuple(np.round(place[:3], 3))]
            assert (frame.T == (mask[..., k] == segment)).all()
    assert found.sizes()['tumour'].voxels == int((STORED == 2).sum())


def test_a_missing_library_names_the_way_out(tmp_path, monkeypatch):
    path = write_series(tmp_path / 'series', PAINTED.astype(np.int16), np.diag([-1, -1, 1, 1]))
    found = predict(IdentityModel(), str(path))
    monkeypatch.setitem(sys.modules, 'highdicom', None)
    with pytest.raises(ValueError, match=r"needs highdicom.*pip install 'mmssl\[formats\]'"):
        found.save(tmp_path / 'mask.dcm')
    assert not (tmp_path / 'mask.dcm').exists()


def test_an_empty_mask_of_a_series_is_written(tmp_path):
    path = write_series(tmp_path / 'series', np.zeros((6, 5, 4), np.int16), np.diag([-1, -1, 1, 1]))
    saved(path, tmp_path / 'mask.dcm')
    assert not dcmread(tmp_path / 'mask.dcm').pixel_array.any()


def test_pictures(tmp_path):
    Image.fromarray(PAINTED[0]).save(tmp_path / 'a.png', dpi=(254, 508))
    found = saved(tmp_path / 'a.png', tmp_path / 'mask.png')
    with Image.open(tmp_path / 'mask.png') as mask:
        assert mask.mode == 'P' and (np.asarray(mask) == STORED[0]).all()
        assert tuple(mask.getpalette()[3:6]) == found.labels.colours[1]
    Image.fromarray(PAINTED[0]).save(tmp_path / 'b.tif')
    assert mask_suffix(open_image(str(tmp_path / 'b.tif'))) == '.tif'
    saved(tmp_path / 'b.tif', tmp_path / 'mask.tif')
    assert (np.asarray(Image.open(tmp_path / 'mask.tif')) == STORED[0]).all()


def test_a_photograph_lies_as_it_is_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned to the right when shown
    Image.fromarray(np.kron(PAINTED[0], np.ones((8, 8), np.uint8))).save(
        tmp_path / 'a.jpg', quality=100, exif=exif
    )
    found = predict(IdentityModel(), str(tmp_path / 'a.jpg'))
    assert (found.classes[4::8, 4::8] == np.rot90(STORED[0], -1)).all()
    assert mask_suffix(found.file) == '.png'


def test_pages_of_tiff(tmp_path):
    pages = [Image.fromarray(np.ascontiguousarray(page)) for page in PAINTED]
    pages[0].save(tmp_path / 'a.tif', save_all=True, append_images=pages[1:])
    saved(tmp_path / 'a.tif', tmp_path / 'mask.tif')
    with Image.open(tmp_path / 'mask.tif') as mask:
        assert mask.n_frames == len(STORED)
        for number, page in enumerate(STORED):
            mask.seek(number)
            assert (np.asarray(mask) == page).all()


def test_hdf5(tmp_path):
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['image'] = PAINTED
        file['image'].attrs['spacing'] = (3.0, 0.8, 0.7)
    saved(tmp_path / 'a.h5', tmp_path / 'mask.h5')
    with h5py.File(tmp_path / 'mask.h5') as file:
        assert (file['label'][...] == STORED).all()
        assert np.allclose(file['label'].attrs['spacing'], (3.0, 0.8, 0.7))


def test_probabilities_lie_on_the_image(tmp_path):
    image, mask = nifti('PSR')
    nibabel.save(image, tmp_path / 'image.nii.gz')
    found = predict(IdentityModel(), str(tmp_path / 'image.nii.gz'), probabilities=True)
    assert map_suffix(found.file) == '.nii.gz'
    write_map(tmp_path / 'p.nii.gz', found.probabilities, found.file)
    written = nibabel.load(tmp_path / 'p.nii.gz')
    values = written.get_fdata()
    assert values.shape == (*mask.shape, 3) and np.allclose(values.sum(-1), 1, atol=2e-3)
    assert (values.argmax(-1) == mask).all() and np.allclose(written.affine, image.affine)
    flat = predict(IdentityModel(), PAINTED[0], probabilities=True)
    write_map(tmp_path / 'p.tif', flat.probabilities, flat.file)
    with Image.open(tmp_path / 'p.tif') as pages:
        assert pages.n_frames == 3
        pages.seek(2)
        assert ((np.asarray(pages) > 0.5) == (STORED[0] == 2)).all()


def test_nothing_half_written_replaces_a_mask(tmp_path, monkeypatch):
    image, _ = nifti()
    nibabel.save(image, tmp_path / 'image.nii.gz')
    (tmp_path / 'mask.nii.gz').write_text('before')
    found = predict(IdentityModel(), str(tmp_path / 'image.nii.gz'))

    def fail(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(nibabel.Nifti1Image, 'to_stream', fail)
    with pytest.raises(OSError, match='No space'):
        found.save(tmp_path / 'mask.nii.gz')
    assert (tmp_path / 'mask.nii.gz').read_text() == 'before'
    assert {path.name for path in tmp_path.iterdir()} == {'image.nii.gz', 'mask.nii.gz'}


def test_labels_are_written_for_programs_and_for_itk_snap(tmp_path):
    given = Predictor(IdentityModel(), Wishes()).labels
    assert given.names == CLASSES and given.parts == {'liver': [1, 2], 'tumour': [2]}
    given.write_json(tmp_path / 'labels.json')
    said = json.loads((tmp_path / 'labels.json').read_text())
    assert [one['name'] for one in said['classes']] == list(CLASSES)
    assert said['parts'] == {'liver': [1, 2], 'tumour': [2]}
    given.write_itk_snap(tmp_path / 'labels.txt')
    rows = [
        line.split(None, 7)
        for line in (tmp_path / 'labels.txt').read_text().splitlines()
        if not line.startswith('#')
    ]
    assert [row[0] for row in rows] == ['0', '1', '2'] and rows[2][7] == '"tumour"'
    assert rows[1][1:4] == [str(value) for value in given.colours[1]]
    assert Labels.of({}, 3).names == ('background', 'class1', 'class2')
