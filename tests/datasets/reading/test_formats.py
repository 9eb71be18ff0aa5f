"""NRRD, MetaImage and TIFF, and what holds for every format alike."""

import gzip
import os
from itertools import product

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from fake_dicom import write_frames, write_series
from fake_files import noise, write_h5
from PIL import Image
from test_volume_geometry import AFFINE, LABELS, SHAPE, mask_volume, oblique, reoriented

from mmssl.datasets.reading import (
    Axes,
    DataError,
    decode_image,
    file_spacing,
    holds_volumes,
    known_suffixes,
    open_image,
    read_image,
    read_volume,
    volume_affine,
    volume_shape,
)
from mmssl.datasets.reading.volumes import read_slice
from mmssl.utils import packaged

IMAGE = noise(0, SHAPE).astype(np.int16) + 1
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
STORED = Axes('stored')


def as_itk(array, affine):
    """Return (x, y, z) as an image of SimpleITK."""
    lps = LPS @ affine
    sizes = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(array.T)
    image.SetSpacing(sizes.tolist())
    image.SetDirection((lps[:3, :3] / sizes).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def write(path, array, affine):
    """Write (x, y, z) in the format of the suffix."""
    if '.nii' in path.name:
        nibabel.save(nibabel.Nifti1Image(array, affine), path)
    elif path.suffix in ('.nrrd', '.nhdr', '.mha', '.mhd'):
        sitk.WriteImage(as_itk(array, affine), str(path), useCompression='packed' in path.name)
    elif path.suffix == '.dcm':
        write_frames(path, array, affine)
    else:
        write_series(path, array, affine)
    return str(path)


KINDS = ['v.nii', 'v.nii.gz', 'v.nrrd', 'v.nhdr', 'v.mha', 'v.mhd', 'packed.nrrd', 'packed.mha',
         'v.dcm', 'series']  # fmt: skip


@pytest.mark.parametrize('name', KINDS)
@pytest.mark.parametrize('affine', [AFFINE, oblique()])
def test_one_volume_in_any_order_and_format_gives_the_same_slices(tmp_path, name, affine):
    image = nibabel.Nifti1Image(IMAGE, affine)
    for number, code in enumerate(('RAS', 'LPS', 'ASL', 'IPR')):
        turned = reoriented(image, code)
        (tmp_path / str(number)).mkdir()
        path = write(tmp_path / str(number) / name, np.asarray(turned.dataobj), turned.affine)
        assert (read_volume(path, '') == IMAGE.T).all()
        assert all((read_slice(path, '', k) == IMAGE.T[k]).all() for k in range(3))
        assert np.allclose(volume_affine(path, ''), affine, atol=1e-5)
        assert file_spacing(path, '') == pytest.approx((8, 1.25, 1.5))
        sagittal = Axes(plane='sagittal')
        assert (read_volume(path, '', sagittal) == IMAGE.transpose(0, 2, 1)).all()
        assert (read_slice(path, '', 4, sagittal) == IMAGE[4].T).all()
        file = open_image(path)
        assert np.allclose(file.affine, affine, atol=1e-5) and file.stored.dtype == np.int16
        where = (slice(1, None), 2, slice(None, 2))
        assert (file.stored.part(where) == file.restore(IMAGE.T)[where]).all()


@pytest.mark.parametrize(
    ('image', 'mask'), product(('v.nrrd', 'v.mhd', 'series'), ('m.nii', 'm.mha'))
)
def test_masks_lie_on_images_of_other_formats(tmp_path, image, mask):
    scan = reoriented(nibabel.Nifti1Image(IMAGE, oblique()), 'LIP')
    labels = reoriented(nibabel.Nifti1Image(LABELS, oblique()), 'SAR')
    paths = [
        write(tmp_path / name, np.asarray(one.dataobj), one.affine)
        for name, one in ((image, scan), (mask, labels))
    ]
    assert (mask_volume(*paths) == LABELS.T).all()
    moved = oblique() @ np.diag([1, 1, 1.1, 1])
    with pytest.raises(DataError, match='lies on another grid than its image'):
        mask_volume(paths[0], write(tmp_path / mask, LABELS, moved))


@pytest.mark.parametrize('name', ['f.nrrd', 'f.mha', 'f.nii'])
def test_a_frame_of_several(tmp_path, name):
    path, both = str(tmp_path / name), np.stack([IMAGE, IMAGE + 1], -1)
    affine = oblique()
    if name.endswith('.nii'):
        nibabel.save(nibabel.Nifti1Image(both, affine), path)
    else:
        frames = [as_itk(both[..., t], affine) for t in (0, 1)]
        sitk.WriteImage(sitk.JoinSeries(frames), path)
    with pytest.raises(DataError, match='holds 2 frames .*option frame'):
        volume_shape(path, '')
    for frame in (0, 1):
        assert (read_volume(path, '', Axes(frame=frame)) == IMAGE.T + frame).all()
        assert np.allclose(volume_affine(path, '', Axes(frame=frame)), affine, atol=1e-5)


def test_headers_that_say_no_orientation(tmp_path):
    raw = IMAGE.T.astype('<i2').tobytes()
    heads = {
        'a.nrrd': 'NRRD0004\ntype: short\ndimension: 3\nsizes: 7 6 3\nendian: little\n'
        'encoding: raw\n',
        'a.mha': 'ObjectType = Image\nNDims = 3\nDimSize = 7 6 3\nElementType = MET_SHORT\n'
        'ElementDataFile = LOCAL\n',
    }
    for name, head in heads.items():
        for spacing in (False, True):
            path = tmp_path / name
            more = 'spacings: 2 2 5\n\n' if name == 'a.nrrd' else 'ElementSpacing = 2 2 5\n'
            if name == 'a.nrrd':
                text = head + (more if spacing else '\n')
            else:
                text = head.replace('DimS', more * spacing + 'DimS')
            path.write_bytes(text.encode() + raw)
            os.utime(path, (1, 1 + spacing))
            assert (read_volume(str(path), '') == IMAGE.T).all()
            file = open_image(str(path))
            assert file.affine is None and file.spacing == ((5, 2, 2) if spacing else None)


NRRD = (
    'NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: {sizes}\n'
    'space directions: (1,0,0) (0,1,0) (0,0,1)\nendian: little\nencoding: {encoding}\n{more}\n'
)
META = (
    'ObjectType = Image\nNDims = 3\nCompressedData = {packed}\n'
    'TransformMatrix = 1 0 0 0 1 0 0 0 1\n'
    'DimSize = {sizes}\nElementType = {kind}\nElementDataFile = {data}\n'
)


def nrrd(sizes='7 6 3', encoding='raw', more=''):
    return NRRD.format(sizes=sizes, encoding=encoding, more=more)


def meta(sizes='7 6 3', packed='False', data='LOCAL', kind='MET_SHORT'):
    return META.format(sizes=sizes, packed=packed, data=data, kind=kind)


VOXELS = IMAGE.T.astype('<i2').tobytes()
# Name, header, what follows it, and the sentence.
REFUSED = {
    'huge raw': ('a.nrrd', nrrd('10000 10000 10000'), VOXELS, 'announces 2000.0 GB'),
    'huge packed': (
        'a.nrrd', nrrd('10000 10000 10000', 'gzip'), gzip.compress(VOXELS), 'announces 2000.0 GB',
    ),
    'huge meta': ('a.mha', meta('10000 10000 10000'), VOXELS, 'announces 2000.0 GB'),
    'cut': ('a.mha', meta(), VOXELS[:-2], 'announces|cannot be read'),
    'elsewhere': ('a.mhd', meta(data='/etc/passwd'), b'', 'names "/etc/passwd".*same folder'),
    'above': ('a.mhd', meta(data='../b.raw'), b'', r'names "\.\./b\.raw".*same folder'),
    'below': ('a.nhdr', nrrd(more='data file: sub/b.raw\n'), b'', 'names "sub/b.raw"'),
    'capitals': ('a.nrrd', nrrd(more='Data File: ../b.raw\n'), b'', r'names "\.\./b\.raw"'),
    'one word': ('a.nhdr', nrrd(more='datafile: /etc/passwd\n'), b'', 'names "/etc/passwd"'),
    'link': ('a.mhd', meta(data='link.raw'), b'', r'names "link\.raw".*same folder'),
    'list': ('a.mhd', meta(data='LIST\n../b.raw'), b'', 'over several files'),
    'pattern': ('a.mhd', meta(data='b%03d.raw 1 3 1'), b'', 'over several files'),
    'missing': ('a.mhd', meta(data='none.raw'), b'', r'none\.raw does not exist'),
    'text': ('a.nrrd', 'hello', b'', 'no header of NRRD or MetaImage'),
    'long': ('a.nrrd', nrrd(more='# x\n' * 30000), VOXELS, 'no header of NRRD or MetaImage'),
    'other': ('a.mhd', meta(kind='MET_WORD'), VOXELS, 'cannot be read'),
    'tilted': (
        'a.nrrd', nrrd().replace('(0,0,1)', '(0,0.3,1)'), VOXELS, 'miss right angles by 16.7',
    ),
}  # fmt: skip


@pytest.mark.parametrize('fault', REFUSED)
def test_files_of_itk_that_are_refused(tmp_path, fault):
    name, head, rest, sentence = REFUSED[fault]
    (tmp_path / 'in').mkdir()
    (tmp_path / 'b.raw').write_bytes(VOXELS)
    (tmp_path / 'in/link.raw').symlink_to(tmp_path / 'b.raw')
    path = tmp_path / 'in' / name
    path.write_bytes(head.encode() + rest)
    with pytest.raises((DataError, FileNotFoundError), match=sentence) as error:
        volume_shape(str(path), '')
        read_volume(str(path), '')
    assert '\n' not in str(error.value)


def test_what_refused_headers_are_made_of_is_read_where_it_is_right(tmp_path):
    (tmp_path / 'b.raw').write_bytes(VOXELS)
    for name, text in (('a.mhd', meta(data='b.raw')), ('a.nhdr', nrrd(more='data file: b.raw\n'))):
        (tmp_path / name).write_text(text)
        assert (read_volume(str(tmp_path / name), '')[:, ::-1, ::-1] == IMAGE.T).all()


def test_colours_and_complex_numbers_are_refused(tmp_path):
    colours = sitk.GetImageFromArray(noise(0, (3, 6, 7, 3)), isVector=True)
    numbers = sitk.RealAndImaginaryToComplex(*[sitk.GetImageFromArray(np.ones((3, 6, 7)))] * 2)
    for name, image in (('c.nrrd', colours), ('c.mha', colours), ('z.mha', numbers)):
        sitk.WriteImage(image, str(tmp_path / name))
        with pytest.raises(DataError, match='one real number are needed|cannot be read'):
            volume_shape(str(tmp_path / name), '')


PAGES = IMAGE.T.astype(np.uint16)


@pytest.mark.parametrize(
    ('options', 'spacing'),
    [
        (dict(), None),
        (dict(compression='zlib', metadata=None), None),
        (dict(bigtiff=True), None),
        (dict(imagej=True, truncate=True, metadata=dict(axes='ZYX')), None),
        (
            dict(
                imagej=True,
                resolution=(1 / 1.5, 1 / 1.25),
                metadata=dict(spacing=8, unit='mm', axes='ZYX'),
            ),
            (8, 1.25, 1.5),
        ),
        (dict(imagej=True, resolution=(2, 4), metadata=dict(unit='pixel', axes='ZYX')), None),
        (
            dict(
                ome=True,
                metadata=dict(
                    axes='ZYX',
                    PhysicalSizeX=1500,
                    PhysicalSizeY=1250,
                    PhysicalSizeZ=8,
                    PhysicalSizeZUnit='mm',
                ),
            ),
            (8, 1.25, 1.5),
        ),
    ],
)
@pytest.mark.parametrize('kind', [np.uint8, np.uint16, np.float32])
def test_pages_of_a_tiff_are_slices(tmp_path, options, spacing, kind):
    if 'ome' in options and kind != np.uint16:
        pytest.skip('one type is enough')
    path = str(tmp_path / 'v.tif')
    tifffile.imwrite(path, PAGES.astype(kind), photometric='minisblack', **options)
    found = read_volume(path, '')
    assert found.dtype == kind and (found == PAGES.astype(kind)).all()
    assert all((read_slice(path, '', k) == PAGES[k]).all() for k in range(3))
    file = open_image(path)
    assert (file.kind, file.shape, file.affine) == ('tiff', (3, 6, 7), None)
    assert file.spacing == (None if spacing is None else pytest.approx(spacing))
    where = (2, slice(1, 3), slice(None))
    assert (file.stored.part(where) == PAGES.T[where]).all() and 'ImageWidth' in file.header()


def test_frames_of_a_tiff(tmp_path):
    path = str(tmp_path / 'v.tiff')
    both = np.stack([PAGES, PAGES + 1])
    tifffile.imwrite(path, both, imagej=True, metadata=dict(axes='TZYX'))
    with pytest.raises(DataError, match='holds 2 frames'):
        volume_shape(path, '')
    for frame in (0, 1):
        assert (read_volume(path, '', Axes(frame=frame)) == both[frame]).all()
    tifffile.imwrite(path, both[:, 0], imagej=True, metadata=dict(axes='TYX'))
    assert (read_volume(path, '', Axes(frame=1)) == both[1, 0]).all()


def test_pages_that_lie_in_another_file_are_left_there(tmp_path):
    """OME lets a file name others, wherever they are."""
    (tmp_path / 'in').mkdir()
    tifffile.imwrite(tmp_path / 'b.ome.tif', np.full((6, 7), 9, np.uint8), metadata=None)
    uids = [f'urn:uuid:{str(n) * 8}-1111-1111-1111-111111111111' for n in (1, 2)]
    planes = ''.join(
        f'<TiffData FirstZ="{z}" IFD="{ifd}" PlaneCount="1"><UUID FileName="{name}">{uid}</UUID>'
        '</TiffData>'
        for z, ifd, name, uid in (
            (0, 0, 'a.ome.tif', uids[0]), (1, 1, 'a.ome.tif', uids[0]),
            (2, 0, '../b.ome.tif', uids[1]),
        )
    )  # fmt: skip
    text = (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        f'UUID="{uids[0]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
        'Type="uint8" SizeX="7" SizeY="6" SizeZ="3" SizeC="1" SizeT="1">'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
    )
    path = tmp_path / 'in/a.ome.tif'
    with tifffile.TiffWriter(path) as file:
        for number, description in ((1, text), (2, None)):
            page = np.full((6, 7), number, np.uint8)
            file.write(page, description=description, metadata=None)
    with tifffile.TiffFile(path) as file:
        assert 9 in file.series[0].asarray()  # as it would be
    assert np.unique(read_volume(str(path), '')).tolist() == [1, 2]


def test_a_tiff_of_one_page_is_a_picture_with_a_spacing(tmp_path):
    path = str(tmp_path / 'v.tif')
    tifffile.imwrite(
        path, PAGES[0].astype(np.uint8), imagej=True, resolution=(1 / 1.5, 1 / 1.25),
        metadata=dict(unit='mm'),
    )  # fmt: skip
    assert not holds_volumes(path) and read_image(path).spacing == pytest.approx((1.25, 1.5))
    assert open_image(path).kind == 'picture' and open_image(path).shape == (6, 7)
    tifffile.imwrite(
        path, PAGES[0].astype(np.uint8), imagej=True, resolution=(1 / 1.5, 1 / 1.25),
        metadata=dict(unit='mm'), extratags=[(274, 'H', 1, 6, True)],
    )  # fmt: skip
    assert read_image(path).array.shape == (7, 6, 1)  # turned upright
    assert open_image(path).spacing == pytest.approx((1.5, 1.25))


def test_white_is_zero(tmp_path):
    path = str(tmp_path / 'v.tif')
    tifffile.imwrite(path, PAGES.astype(np.uint8), photometric='miniswhite')
    assert (decode_image(path, index=1)[..., 0] == 255 - PAGES[1]).all()


def odd_pages(path):
    pages = [Image.fromarray(noise(0, (6, side))) for side in (7, 5)]
    pages[0].save(path, save_all=True, append_images=pages[1:])


def grey_pages(path, kind=np.uint16):
    tifffile.imwrite(path, PAGES.astype(kind), photometric='minisblack')


TIFFS = {
    'colours': (
        lambda p: tifffile.imwrite(p, noise(0, (3, 6, 7, 3)), photometric='rgb'), 'QYXS.*grey',
    ),
    'channels': (
        lambda p: tifffile.imwrite(p, PAGES, imagej=True, metadata=dict(axes='CYX')), 'axes CYX',
    ),
    'complex': (lambda p: grey_pages(p, np.complex64), 'type complex64'),
    'unlike': (odd_pages, 'pages that are no volume'),
    'cut': (
        lambda p: (grey_pages(p), p.write_bytes(p.read_bytes()[:700])),
        'cannot be read as TIFF|broken or cut|announces',
    ),
}  # fmt: skip


@pytest.mark.parametrize('fault', TIFFS)
def test_tiffs_that_are_no_volume(tmp_path, fault):
    path = tmp_path / 'v.tif'
    make, sentence = TIFFS[fault]
    make(path)
    with pytest.raises(DataError, match=sentence):
        read_volume(str(path), '')


def test_a_missing_library_is_named_with_its_remedy(tmp_path, monkeypatch):
    path = write(tmp_path / 'v.nrrd', IMAGE, AFFINE)

    def missing(name):
        raise ImportError(f'No module named {name!r}')

    monkeypatch.setattr(packaged.importlib, 'import_module', missing)
    with pytest.raises(DataError, match=r"SimpleITK.*pip install 'mmssl\[formats\]'"):
        volume_shape(path, '')


def test_suffixes_of_every_format_are_known():
    assert {'.nii.gz', '.h5', '.nrrd', '.mhd', '.dcm', '.png', '.tif'} <= {*known_suffixes()}
    assert len(known_suffixes()) == len({*known_suffixes()})


def test_volumes_without_orientation_go_with_each_other(tmp_path):
    held = str(write_h5(tmp_path / 'm.h5', label=LABELS.T))
    tifffile.imwrite(tmp_path / 'v.tif', PAGES, photometric='minisblack')
    image = str(tmp_path / 'v.tif')
    assert (mask_volume(image, held) == LABELS.T).all()
    scan = write(tmp_path / 'v.nrrd', IMAGE, AFFINE)
    with pytest.raises(DataError, match=r'm\.h5 does not say how it lies .*stored'):
        mask_volume(scan, held)
    assert (mask_volume(scan, held, STORED) == LABELS.T).all()
