"""M&Ms' 4-D files become slices by vendor or volumes by patient."""

import h5py
import numpy as np
import pytest
from fake_files import write_nifti
from PIL import Image
from raw_downloads import REAL, heart, mnms_codes, write_mnms_download

from mmssl.converters.sets import mnms

FEW = dict(A=5, B=5, C=4, D=4)


@pytest.fixture
def published_few(monkeypatch):
    monkeypatch.setattr(mnms, 'PATIENTS', FEW)


@pytest.fixture(scope='module')
def download(tmp_path_factory):
    return write_mnms_download(tmp_path_factory.mktemp('mnms'), FEW)


def names(folder):
    return sorted(path.stem for path in folder.glob('*.png'))


@pytest.mark.parametrize(
    'option, kept',
    [('complete', ['000', '001', '004']), ('any', ['000', '001', '004', '005'])],
)
def test_slices_by_vendor_are_read_by_the_base_config(
    option, kept, download, published_few, run, data_sets, tmp_path
):
    """Names are frame x slices + slice; a slice without a structure is dropped by option."""
    done = run('mnms', download, tmp_path / 'out', '--slices', option)
    assert done.code == 0, done.errors
    assert names(tmp_path / 'out/vendorA/train/image') == [
        f'{case:03d}{index}' for case in range(4) for index in kept
    ]
    assert names(tmp_path / 'out/vendorA/test/mask') == [f'004{index}' for index in kept]
    sets = data_sets(done.report)
    assert len(sets.train) == len(kept) * (4 + 4 + 3 + 3) and len(sets.test) == len(kept) * 4
    assert len(sets.train.labelled_indices) == 5
    assert '2 patient(s) without masks (Unlabeled) are left out' in done.report
    left = 2 * 2 - len(kept)
    assert (f'{18 * left} slice(s) without the structures' in done.report) == bool(left)


@pytest.mark.parametrize('rows', ['x', 'y'])
def test_pixels_of_a_slice(rows, download, published_few, run, tmp_path):
    run('mnms', download, tmp_path / 'out', '--rows', rows)
    raw, labels = heart(ord('B') + 1, 6)  # the second patient of vendor B, frame 2, slice 0
    picture, mask = raw[4].astype(float), labels[4]
    if rows == 'x':
        picture, mask = picture.T, mask.T
    picture = ((picture - picture.min()) / np.ptp(picture) * 255).astype(np.uint8)
    found = np.asarray(Image.open(tmp_path / 'out/vendorB/train/image/001004.png'))
    np.testing.assert_array_equal(found, picture)
    colours = np.asarray(Image.open(tmp_path / 'out/vendorB/train/mask/001004.png'))
    for label in (1, 2, 3):
        np.testing.assert_array_equal(colours[..., label - 1] == 255, mask == label)


def test_volumes_by_patient_are_read_by_the_base_config(
    download, published_few, run, data_sets, tmp_path
):
    done = run('mnms', download, tmp_path / 'out', '--layout', 'volumes')
    sets = data_sets(done.report)
    assert len(sets.train) + len(sets.val) + len(sets.test) == 18 * 2 * 2
    assert len(sets.train.labelled_indices) == 5 * 4
    code = mnms_codes('A', 1)[0]
    raw, labels = heart(ord('A'), 6)
    with h5py.File(tmp_path / f'out/data/{code}_ED.h5') as file:
        expected = ((raw[:2] - raw[:2].min()) / np.ptp(raw[:2])).astype(np.float32)
        np.testing.assert_array_equal(file['image'][...], expected)
        np.testing.assert_array_equal(file['label'][...], labels[:2])
        np.testing.assert_allclose(file.attrs['spacing'], [9.6, 1.5, 1.25])


def test_faults(published_few, run, tmp_path):
    raw = write_mnms_download(tmp_path / 'raw', FEW)
    files = {path.name: path for path in raw.rglob('*.nii.gz')}
    first, second, third, fourth, fifth = mnms_codes('A', 5)
    files[f'{first}_sa_gt.nii.gz'].unlink()
    labels = np.zeros((3, 2, 12, 10), np.uint8)
    write_nifti(files[f'{second}_sa_gt.nii.gz'], labels, (9.6, 1.5, 1.25))
    labels[[0, 2]] = 7
    write_nifti(files[f'{third}_sa_gt.nii.gz'], labels, (9.6, 1.5, 1.25))
    table = raw / 'OpenDataset/information.csv'
    text = table.read_text().replace(f'{fourth},Some name,A,1,0,2', f'{fourth},Some name,A,1,0,30')
    table.write_text(text.replace(f'{fifth},Some name,A,1,0,2', f'{fifth},Some name,A,1,,2'))
    (tmp_path / 'other').mkdir()
    for path in raw.rglob('D0X0Y0*'):
        if path.is_dir():
            path.rename(tmp_path / 'other/D0X0Y0')
            break
    done = run('mnms', raw, tmp_path / 'out')
    assert done.code == 1 and not (tmp_path / 'out').exists()
    for said in (
        f'{first}: {first}_sa_gt.nii.gz is missing',
        f'{second}: mask ',
        'is empty in frame 0 (ED)',
        f'{third}: mask ',
        'has label values 7 (expected: 0, 1, 2, 3)',
        f'{fourth}: frame 30 (ES) is asked for, 3 are there',
        f"{fifth}: the table has no frame numbers for it: ['', '2']",
        'vendorD: 3 annotated patients found, 4 are published',
    ):
        assert said in done.errors
    table.unlink()
    done = run('mnms', raw, tmp_path / 'out')
    assert 'no CSV file has the columns External code, Vendor, ED, ES' in done.errors


@pytest.mark.skipif(not (REAL / 'midss_samples').is_dir(), reason='needs the real files')
def test_slices_are_of_the_kind_of_the_published_ones(download, published_few, run, tmp_path):
    """Modes, colours, the stretch of each slice, and three structures in every mask."""
    run('mnms', download, tmp_path / 'out')
    real = sorted((REAL / 'midss_samples/mnms').rglob('mask/*.png'))
    made = sorted((tmp_path / 'out').rglob('mask/*.png'))
    colours = [(0, 0, 0), (0, 0, 255), (0, 255, 0), (255, 0, 0)]
    for mask in (*real, *made):
        image = Image.open(mask.parents[1] / 'image' / mask.name)
        assert (image.mode, image.getextrema()) == ('L', (0, 255))
        found = Image.open(mask)
        assert found.mode == 'RGB' and found.size == image.size
        assert sorted(colour for _, colour in found.getcolors()) == colours
