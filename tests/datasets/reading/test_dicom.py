"""DICOM: slices where they lie, values as they are meant, one sentence for what is no volume."""

import os
import shutil

import highdicom as hd
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from fake_dicom import blank, place, save, write_frames, write_series
from fake_files import noise
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from test_volume_geometry import AFFINE, LABELS, mask_volume, oblique, reoriented

from mmssl.datasets.reading import (
    Axes,
    DataError,
    Source,
    decode_image,
    decode_mask,
    file_spacing,
    holds_volumes,
    list_series,
    open_image,
    read_image,
    read_volume,
    volume_affine,
    volume_limits,
)
from mmssl.datasets.reading.formats import dicom_frames
from mmssl.datasets.reading.label_map import LabelMap
from mmssl.datasets.reading.volumes import read_slice

IMAGE = noise(1, (7, 6, 5)).astype(np.int16) * 7 - 300
STORED = Axes('stored')


def variants(affine):
    """Return the same volume stored in several orders: array and affine."""
    image = nibabel.Nifti1Image(IMAGE, affine)
    for code in ('LPS', 'RAS', 'PSR', 'IAL'):
        turned = reoriented(image, code)
        yield np.asarray(turned.dataobj), turned.affine


def along_the_normal(array, affine):
    """Return a volume with its slices in the order in which DICOM counts them."""
    if np.linalg.det(affine[:3, :3]) > 0:
        return array, affine
    back = np.diag([1, 1, -1, 1.0])
    back[2, 3] = array.shape[2] - 1
    return array[..., ::-1], affine @ back


@pytest.mark.parametrize('affine', [AFFINE, oblique()])
def test_a_series_in_any_order_gives_the_same_slices(tmp_path, affine):
    nibabel.save(nibabel.Nifti1Image(IMAGE, affine), tmp_path / 'i.nii')
    plain = str(tmp_path / 'i.nii')
    want, where = read_volume(plain, ''), volume_affine(plain, '')
    for number, (array, own) in enumerate(variants(affine)):
        folder = write_series(tmp_path / f's{number}', array, own)
        one = write_frames(tmp_path / f'e{number}.dcm', array, own, range(array.shape[2])[::-1])
        for path in (str(folder), str(one)):
            assert (read_volume(path, '') == want).all()
            assert (read_slice(path, '', 3) == want[3]).all()
            assert np.allclose(volume_affine(path, ''), where, atol=1e-6)
            assert file_spacing(path, '') == pytest.approx(file_spacing(plain, ''))
            file = open_image(path)
            array, own = along_the_normal(array, own)
            assert (file.kind, file.stored_shape) == ('dicom', array.shape)
            assert (file.restore(want) == array).all()
            assert np.allclose(file.stored_affine, own, atol=1e-6)
            for axis in range(3):
                index = tuple(2 if other == axis else slice(None) for other in range(3))
                assert (file.stored.part(index) == array[index]).all()
            assert (
                file.stored.part((slice(1, 3), 2, slice(None, None, 2))) == array[1:3, 2, ::2]
            ).all()


def test_headers_come_in_the_order_of_the_slices(tmp_path):
    folder = str(write_series(tmp_path / 's', IMAGE, oblique()))
    headers = open_image(folder).header()
    positions = [np.array(header.ImagePositionPatient, float) for header in headers]
    for k, position in enumerate(positions):
        assert np.allclose(position, place(oblique(), k)['ImagePositionPatient'], atol=1e-6)
    assert headers[0].PatientID == 'nobody' and 'PixelData' not in headers[0]


def test_only_the_slice_in_question_is_read(tmp_path, monkeypatch):
    folder = str(write_series(tmp_path / 's', IMAGE, AFFINE))
    read = []
    decoded = dicom_frames.StoredDicom.decoded
    monkeypatch.setattr(
        dicom_frames.StoredDicom,
        'decoded',
        lambda self, frame: read.append(1) or decoded(self, frame),
    )
    read_slice(folder, '', 2)
    assert len(read) == 1
    for index in range(3):
        read_slice(folder, '', index, Axes(plane='coronal'))
    assert len(read) == 6  # across the slices of the files: all of them, once


@pytest.mark.parametrize('syntax', [RLELossless, JPEG2000Lossless])
def test_compressed_files(tmp_path, syntax):
    array = noise(4, (40, 48, 3)).astype(np.uint16) * 11
    folder = write_series(tmp_path / 's', array, AFFINE)
    for path in folder.iterdir():
        dataset = dcmread(path)
        dataset.compress(syntax)
        dataset.save_as(path)
    assert (read_volume(str(folder), '') == array.T).all()


@pytest.mark.parametrize(
    ('slope', 'intercept', 'kind'), [(1, -1024, np.int32), (2, 0, np.int32), (0.5, 3, np.float64)]
)
def test_rescaled_values(tmp_path, slope, intercept, kind):
    folder = str(
        write_series(tmp_path / 's', IMAGE, AFFINE, RescaleSlope=slope, RescaleIntercept=intercept)
    )
    found = read_volume(folder, '')
    assert found.dtype == kind and open_image(folder).stored.dtype == kind
    assert (found == IMAGE.T * float(slope) + intercept).all()
    assert volume_limits(folder, '') == (found.min(), found.max())


def test_slices_with_scales_of_their_own(tmp_path):
    folder = write_series(tmp_path / 's', IMAGE, AFFINE)
    for path in folder.iterdir():
        dataset = dcmread(path)
        dataset.RescaleSlope, dataset.RescaleIntercept = 1 + dataset.InstanceNumber, 0
        dataset.save_as(path)
    factors = 1 + (5 * np.arange(5) + 3) % 7
    assert (read_volume(str(folder), '') == (IMAGE * factors).T).all()


def test_a_mask_of_another_format_lies_on_its_image(tmp_path):
    labels = np.zeros(IMAGE.shape, np.uint8)
    labels[..., :3] = LABELS
    image = nibabel.Nifti1Image(labels, oblique())
    series = str(write_series(tmp_path / 'i', IMAGE, oblique()))
    nibabel.save(reoriented(image, 'PIR'), tmp_path / 'm.nii.gz')
    assert (mask_volume(series, str(tmp_path / 'm.nii.gz')) == labels.T).all()
    turned = reoriented(image, 'LAS')
    folder = write_series(
        tmp_path / 'm', np.asarray(turned.dataobj), turned.affine, SeriesDescription='tumour'
    )
    masks = str(folder)
    for axes in (Axes(), Axes(series='T1 axial')):  # the series is that of the image
        assert (mask_volume(series, masks, axes) == labels.T).all()
    moved = str(write_series(tmp_path / 'n', labels, AFFINE))
    with pytest.raises(DataError, match='lies on another grid than its image'):
        mask_volume(series, moved)
    os.remove(folder / 'IM0001.dcm')
    with pytest.raises(DataError, match='m has a gap of'):
        mask_volume(series, masks)


def write_segments(path, folder, labels, kind='BINARY'):
    """Write labels (x, y, z), in the order of the files, as a segmentation of a series."""
    code = codes.SCT.Organ
    segments = [
        hd.seg.SegmentDescription(
            number, f'part {number}', code, code, hd.seg.SegmentAlgorithmTypeValues.MANUAL
        )
        for number in (1, 2)
    ]
    hd.seg.Segmentation(
        open_image(str(folder)).header(), labels.T, kind, segments, generate_uid(), 9,
        generate_uid(), 1, 'made', 'up', '1', '1',
    ).save_as(path)  # fmt: skip
    return str(path)


@pytest.mark.parametrize('kind', ['BINARY', 'LABELMAP'])
@pytest.mark.parametrize('code', ['LPS', 'PSR'])
def test_a_segmentation_lies_on_its_image(tmp_path, kind, code):
    image = reoriented(nibabel.Nifti1Image(IMAGE, oblique()), code)
    # Slices thinner than their distance, as with gaps between them.
    folder = write_series(
        tmp_path / 'i', np.asarray(image.dataobj), image.affine, SliceThickness=0.7
    )
    series = str(folder)
    for slices in (range(5), (1, 2), (1, 4), (3,)):
        labels = np.zeros(IMAGE.shape, np.uint8)
        for k in slices:
            labels[1:3, 2:5, k], labels[4, 1, k] = 1, 2
        labels[0, 0, slices[0]] = 2
        turned, _ = along_the_normal(
            np.asarray(reoriented(nibabel.Nifti1Image(labels, oblique()), code).dataobj),
            image.affine,
        )
        mask = write_segments(tmp_path / 'm.dcm', folder, turned, kind)
        if len(slices) == 1:  # whose distance to others need not be told
            dataset = dcmread(mask)
            shared = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
            shared.pop('SpacingBetweenSlices', None)
            dataset.save_as(mask)
        assert (mask_volume(series, mask) == labels.T).all(), slices
        nibabel.save(nibabel.Nifti1Image(IMAGE, oblique()), tmp_path / 'i.nii.gz')
        assert (mask_volume(str(tmp_path / 'i.nii.gz'), mask) == labels.T).all(), slices
    other = str(write_series(tmp_path / 'o', IMAGE[..., :2], AFFINE))
    with pytest.raises(DataError, match='lies on another grid than its image'):
        mask_volume(other, mask)


def test_one_series_of_several(tmp_path):
    folder = tmp_path / 'p' / 'scans'
    for number, name in ((3, 'T1'), (4, 'T2'), (5, 'T2')):
        where = write_series(
            tmp_path / str(number), IMAGE + number, AFFINE, SeriesDescription=name,
            SeriesNumber=number, SeriesInstanceUID=f'1.2.{number}',
        )  # fmt: skip
        for path in where.iterdir():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.move(path, folder / f'{number}{path.name}')
    (folder / 'notes.txt').write_text('no image')
    path = str(folder)
    listed = r'"T1" \(series 3, 5 slices, 1\.2\.3\); "T2" \(series 4, 5 slices, 1\.2\.4\); "T2"'
    for wanted, words in ((None, 'holds 3 DICOM series: '), ('T2', "2 of them called 'T2': ")):
        with pytest.raises(DataError, match=words + listed + '.*option series'):
            open_image(path, axes=Axes(series=wanted))
    for wanted, number in (('T1', 3), (4, 4), ('1.2.5', 5)):
        assert (read_volume(path, '', Axes(series=wanted)) == (IMAGE + number).T).all()
    found = list_series(str(tmp_path / 'p'))
    assert [(s.uid, s.description, s.slices, s.folder) for s in found] == [
        ('1.2.3', 'T1', 5, path), ('1.2.4', 'T2', 5, path), ('1.2.5', 'T2', 5, path),
    ]  # fmt: skip
    assert len(found[0].files) == 5 and list_series(str(tmp_path / 'p'), nested=False) == []


def test_times_in_one_place_are_frames(tmp_path):
    both = np.stack([IMAGE, IMAGE + 1000], -1)
    order = [7, 2, 9, 0, 1, 5, 3, 8, 4, 6]
    one = write_frames(tmp_path / 'e.dcm', both, oblique(), order)
    folder = tmp_path / 's'
    for time in (0, 1):
        write_series(tmp_path / str(time), both[..., time], oblique(), TriggerTime=50.0 * time)
        folder.mkdir(exist_ok=True)
        for path in (tmp_path / str(time)).iterdir():
            shutil.move(path, folder / f'{1 - time}{path.name}')
    for path in (str(one), str(folder)):
        with pytest.raises(DataError, match=r'holds 2 frames .*option frame'):
            open_image(path)
        for frame in (0, 1):
            found = open_image(path, axes=Axes(frame=frame))
            assert (found.stored.array() == both[..., frame]).all()
            assert np.allclose(found.stored_affine, oblique())
    os.remove(next(folder.iterdir()))
    with pytest.raises(DataError, match=r'2 frames in one place and 1 in another .*Complete'):
        open_image(str(folder), axes=Axes(frame=0))


def test_a_slice_alone_and_a_picture(tmp_path):
    path = save(blank(CTImageStorage, IMAGE[..., 2].T, **place(oblique(), 2)), tmp_path / 'one')
    assert holds_volumes(str(path))  # by its first bytes
    file = open_image(str(path))
    assert (file.shape, file.stored_shape, file.turn.flips) == ((6, 7), (7, 6), (False,) * 3)
    assert np.allclose(file.affine[:3, 3], (oblique() @ (0, 0, 2, 1))[:3])
    assert file.spacing == pytest.approx((1.25, 1.5))
    rows = noise(3, (6, 8))
    rows[0, 0] = 0
    facts = dict(ImagerPixelSpacing=[0.2, 0.1], PhotometricInterpretation='MONOCHROME1')
    for kind, bits in ((np.uint8, 8), (np.uint16, 12)):
        dataset = blank(DigitalXRayImageStorageForPresentation, rows.astype(kind), **facts)
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
        path = str(save(dataset, tmp_path / 'x.dcm'))
        scan = read_image(path, value_range=None if bits == 8 else (3840, 4095))
        assert (scan.array[..., 0] == 255 - rows).all()  # seen as on a light box
        assert scan.affine is None and scan.spacing == (0.2, 0.1)
        stretched = decode_image(path, value_range='volume')
        assert stretched[0, 0] == 255 and stretched.min() == 0
        dataset.RescaleSlope, dataset.RescaleIntercept = 2, -100
        save(dataset, tmp_path / 'r.dcm')
        seen = (7580, 8090) if bits == 12 else (-100, 410)  # of 2 x - 100
        scan = read_image(str(tmp_path / 'r.dcm'), value_range=seen)
        assert (scan.array[..., 0] == 255 - rows).all()
        labels = decode_mask(path, LabelMap({'0-100': 0, '101-255': 1}))
        assert (labels == (rows > 100)).all()  # of a mask the values count


def test_frames_that_do_not_say_where_they_lie(tmp_path):
    array = noise(2, (4, 6, 7))
    path = str(save(blank(SecondaryCaptureImageStorage, array), tmp_path / 'c.dcm'))
    file = open_image(path)
    assert file.shape == (4, 6, 7) and file.affine is None and file.spacing is None
    assert (read_volume(path, '') == array).all()


def change_one(folder, **values):
    path = folder / 'IM0001.dcm'
    dataset = dcmread(path)
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.save_as(path)


def tilt(folder):
    for path in folder.iterdir():
        dataset = dcmread(path)
        x, y, z = map(float, dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y + 0.2 * z, z]
        dataset.save_as(path)


def cut(folder):
    path = folder / 'IM0001.dcm'
    path.write_bytes(path.read_bytes()[:-20])


# What is done to a series, what the sentence says, and whether geometry="stored" reads it.
FAULTS = {
    'missing': (
        lambda d: os.remove(d / 'IM0001.dcm'),
        r's has a gap of 16 mm between IM0003\.dcm and IM0006\.dcm, elsewhere of 8 mm.*stored',
        True,
    ),
    'tilted': (tilt, r'miss right angles by 11\.3 degrees.*stored', True),
    'beside': (
        lambda d: change_one(d, ImagePositionPatient=[25.0, -11.0, 13.0]),
        r'IM0001\.dcm lies 5 mm beside the straight line.*Resample',
        True,
    ),
    'localiser': (
        lambda d: change_one(d, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]),
        r'IM000\d\.dcm lies in another plane .*localiser',
        False,
    ),
    'size': (
        lambda d: change_one(d, PixelSpacing=[1.0, 1.0]), 'pixels of another size', False,
    ),
    'rows': (
        lambda d: change_one(d, Rows=7, Columns=6),
        r'IM0002\.dcm has 6 x 7 pixels, .*IM0001\.dcm .*7 x 6', False,
    ),
    'nowhere': (
        lambda d: change_one(d, ImagePositionPatient=None), 'IM0001.*does not say where', False,
    ),
    'colour': (
        lambda d: change_one(d, PhotometricInterpretation='RGB', SamplesPerPixel=3),
        r'3 values a pixel \(RGB\).*PNG', False,
    ),
    'cut': (cut, r'IM0001\.dcm cannot be decoded .*Copy it again', False),
    'huge': (
        lambda d: [change_one(d, NumberOfFrames=10**7)], r'announces 0\.8 GB of voxels', False,
    ),
}  # fmt: skip


@pytest.mark.parametrize('fault', FAULTS)
def test_series_that_are_no_volume(tmp_path, fault):
    damage, sentence, in_order = FAULTS[fault]
    folder = write_series(tmp_path / 's', IMAGE, AFFINE)
    damage(folder)
    with pytest.raises(DataError, match=sentence) as error:
        open_image(str(folder))
        read_volume(str(folder), '')
    assert '\n' not in str(error.value)
    if in_order:
        assert read_volume(str(folder), '', STORED).shape[1:] == (6, 7)


def test_small_differences_of_position_are_rounding(tmp_path):
    folder = write_series(tmp_path / 's', IMAGE, AFFINE)
    change_one(folder, ImagePositionPatient=[20.0, -11.0, 13.5])
    assert (read_volume(str(folder), '') == IMAGE.T).all()


def test_series_of_folders_are_images_of_a_data_set(tmp_path):
    from mmssl.datasets import MixedDomainDataset

    labels = np.zeros(IMAGE.shape, np.uint8)
    labels[..., :3] = LABELS > 0
    for name in ('p.01', 'p.02'):
        write_series(tmp_path / 'A/image' / name, IMAGE, oblique())
        write_series(
            tmp_path / 'A/mask' / name, labels, oblique(), SeriesInstanceUID=generate_uid()
        )
    dataset = MixedDomainDataset(
        str(tmp_path), ['A'], 'test', image_dir='{domain}/image', mask_dir='{domain}/mask',
        label_map={0: 0, 1: 1}, split=dict(type='case', test=['p.02']), case_pattern='(?P<case>.*)',
        value_range='volume', prepare=[dict(type='LoadImage'), dict(type='LoadMask')],
    )  # fmt: skip
    assert [sample.name for sample in dataset.samples] == [f'p.02_slice_{k}' for k in range(1, 6)]
    assert (np.stack([dataset[k]['gt'] for k in range(5)]) == labels.T).all()
    assert dataset[0]['spacing'] == pytest.approx((8, 1.25, 1.5))


def test_a_real_oblique_series_and_its_mask():
    root = os.path.join(os.environ.get('MMSSL_DATA', ''), 'dicom')
    if not os.path.isdir(root):
        pytest.skip('MMSSL_DATA names no folder with dicom')
    image, mask = (os.path.join(root, name) for name in ('T1post', 'MaskTumor'))
    volumes = []
    for path in (image, mask):
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(path))
        volumes.append(reader.Execute())
    file, (scan, labels) = open_image(image), volumes
    assert (file.stored.array() == sitk.GetArrayFromImage(scan).T).all()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(scan.GetDirection(), (3, 3)) * scan.GetSpacing()
    affine[:3, 3] = scan.GetOrigin()
    assert np.abs(np.diag([-1, -1, 1, 1]) @ affine - file.stored_affine).max() < 1e-5
    like = Source(image, 'image')
    masks = np.stack([read_slice(mask, '', k, like=like) for k in range(file.shape[0])])
    assert (file.restore(masks) == sitk.GetArrayFromImage(labels).T).all() and masks.any()
