"""ACDC's download becomes what SSL4MIS's configs read, and its own files bit for bit."""

import hashlib
import re

import h5py
import numpy as np
import pytest
from fake_files import write_nifti
from raw_downloads import REAL, contents, heart, write_acdc_download

FIRST = 'database/training/patient001/patient001_frame01'


@pytest.fixture(scope='module')
def download(tmp_path_factory):
    return write_acdc_download(tmp_path_factory.mktemp('acdc'))


@pytest.fixture(scope='module')
def few(tmp_path_factory):
    """Three patients, which needs `--skip-faults`, and one that no list names."""
    return write_acdc_download(tmp_path_factory.mktemp('few'), (1, 3, 90, 101))


def read(path):
    with h5py.File(path) as file:
        return file['image'][...], file['label'][...], file.attrs['spacing']


def test_the_published_split_is_read_by_the_base_config(download, run, data_sets, tmp_path):
    before = contents(download)
    done = run('acdc', download, tmp_path / 'out')
    assert done.code == 0, done.errors
    assert contents(download) == before
    sets = data_sets(done.report)
    assert [len(sets.train), len(sets.val), len(sets.test)] == [280, 40, 80]
    assert len(sets.train.labelled_indices) == 7 * 4
    labelled = {sets.train.samples[i].case for i in sets.train.labelled_indices}
    assert labelled == {f'patient{n:03d}' for n in (99, 38, 50, 100, 58, 21, 49)}
    (row,) = re.findall(r'^ACDC +train.*$', done.report, re.M)
    assert row.split()[2:] == '70 0 280 1312 12 x 10-12 8 x 1.5 x 1.25 0 1 2 3'.split()
    assert 'ACDC train 280 (published: 1312)' in done.report


def test_values_axes_and_frames(few, run, tmp_path):
    """0..1 by the volume, (z, y, x), end diastole first whatever number its frame has."""
    run('acdc', few, tmp_path, '--skip-faults')
    for frame, number in ((1, 9), (2, 5)):  # patient090: end diastole is the later frame
        image, labels, spacing = read(tmp_path / f'data/patient090_frame0{frame}.h5')
        raw, masks = heart(900 + number, 2, (12, 10))
        assert image.dtype == np.float32 and labels.dtype == np.uint8
        np.testing.assert_array_equal(image, ((raw - raw.min()) / np.ptp(raw)).astype(np.float32))
        np.testing.assert_array_equal(labels, masks)
        assert spacing.tolist() == [8, 1.5, 1.25]
        part, _, spacing = read(tmp_path / f'data/slices/patient090_frame0{frame}_slice_2.h5')
        np.testing.assert_array_equal(part, image[1])
        assert spacing.tolist() == [1.5, 1.25]


def test_all_faults_are_said_at_once_and_nothing_is_written(run, tmp_path):
    raw = write_acdc_download(tmp_path / 'raw', range(1, 8))
    training = raw / 'database/training'
    image, labels = heart(1)
    labels[0, 0, 0] = 4
    write_nifti(training / 'patient001/patient001_frame01_gt.nii.gz', labels, (8, 1.5, 1.25))
    write_nifti(training / 'patient002/patient002_frame05_gt.nii.gz', labels % 4, (8, 1.5, 2.0))
    (training / 'patient003/patient003_frame05_gt.nii.gz').unlink()
    cut = training / 'patient004/patient004_frame01.nii.gz'
    cut.write_bytes(cut.read_bytes()[:-40])
    (training / 'patient005/Info.cfg').unlink()
    (training / 'patient006/Info.cfg').write_text('ED: 1\n')
    right = training / 'patient007/patient007_frame01.nii.gz'
    lines = [
        f'{hashlib.md5(right.read_bytes()).hexdigest()}  patient007/{right.name}',
        f'{"0" * 32}  patient007/patient007_frame05.nii.gz',
        f'{"0" * 32}  patient007/patient007_4d.nii.gz',
    ]
    (training / 'MANDATORY_CONTENT.md').write_text('\n'.join(lines))
    done = run('acdc', raw, tmp_path / 'out')
    assert done.code == 1 and not (tmp_path / 'out').exists() and '--skip-faults' in done.errors
    for said in (
        r'patient001_frame01: mask .* has label values 4 \(expected: 0, 1, 2, 3\)',
        r'patient002_frame02: mask .* has shape \(10, 12, 2\), its image \(12, 12, 2\)',
        r'patient003_frame02: .*patient003_frame05_gt\.nii\.gz is missing',
        r'patient004_frame01: .* cannot be read as NIfTI',
        r'patient005: its Info\.cfg is missing',
        r'patient006_frame02: .* does not say ES',
        r'patient007_frame05\.nii\.gz: its md5 is',
        r'patient007_4d\.nii\.gz: .* names it, but it is missing',
        r'patient100: its folder is missing',
    ):
        assert re.search(said, done.errors), said
    assert 'patient007_frame01.nii.gz' not in done.errors


def test_a_mask_elsewhere_is_a_fault_unless_shapes_alone_count(run, tmp_path):
    raw = write_acdc_download(tmp_path / 'raw', (1,))
    mask = raw / f'{FIRST}_gt.nii.gz'
    write_nifti(mask, heart(11, shape=(12, 11))[1], (8, 1.5, 1.5))
    done = run('acdc', raw, tmp_path / 'out', '--skip-faults')
    assert 'patient001_frame01: mask' in done.errors and 'lies up to 2.5 mm away' in done.errors
    assert not (tmp_path / 'out/data/patient001_frame01.h5').exists()
    assert (tmp_path / 'out/data/patient001_frame02.h5').exists()
    done = run('acdc', raw, tmp_path / 'all', '--skip-faults', '--ignore-geometry')
    assert (tmp_path / 'all/data/patient001_frame01.h5').exists()


def test_skipped_faults_are_said_in_the_report(few, run, tmp_path):
    done = run('acdc', few, tmp_path / 'out', '--skip-faults')
    assert done.code == 0
    assert '97 fault(s) were passed over; 97 image(s) or volume(s)' in done.report
    assert re.search(r'^ACDC +train +2 +68 +8 +1312 ', done.report, re.M)
    assert (tmp_path / 'out/train_slices.list').read_text().split() == [
        f'patient{n:03d}_frame0{frame}_slice_{k}'
        for n in (3, 90)
        for frame in (1, 2)
        for k in (1, 2)
    ]
    assert '1 patient(s) are not among the 100 of the published lists' in done.report
    assert not list((tmp_path / 'out').rglob('patient101*'))
    assert (tmp_path / 'out/test.list').read_text() == 'patient001_frame01\npatient001_frame02\n'


@pytest.mark.skipif(not (REAL / 'acdc_h5').is_dir(), reason='needs the real files')
def test_real_files_come_out_bit_for_bit(run, tmp_path):
    """Whole numbers whose stretch gives SSL4MIS's values, as NIfTI, give its files again."""
    raw = write_acdc_download(tmp_path / 'raw', (1,))
    real = REAL / 'acdc_h5/data/patient001_frame01.h5'
    with h5py.File(real) as file:
        image, labels = file['image'][...], file['label'][...]
    whole = np.rint(image.astype(np.float64) * 658).astype(np.int16)
    write_nifti(raw / f'{FIRST}.nii.gz', whole)
    write_nifti(raw / f'{FIRST}_gt.nii.gz', labels)
    assert run('acdc', raw, tmp_path / 'out', '--skip-faults').code == 0
    made, masks, _ = read(tmp_path / 'out/data/patient001_frame01.h5')
    assert made.dtype == image.dtype and masks.dtype == labels.dtype
    np.testing.assert_array_equal(made, image)
    np.testing.assert_array_equal(masks, labels)
