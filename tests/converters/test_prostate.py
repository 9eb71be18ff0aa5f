"""SAML's prostate volumes become the slices of MiDSS."""

import numpy as np
import pytest
from fake_files import write_nifti
from PIL import Image
from raw_downloads import REAL, heart, write_prostate_download

FEW = dict(BIDMC=1, BMC=5, HCRUDB=1)


@pytest.fixture(scope='module')
def download(tmp_path_factory):
    return write_prostate_download(tmp_path_factory.mktemp('prostate'))


@pytest.fixture(scope='module')
def few(tmp_path_factory):
    return write_prostate_download(tmp_path_factory.mktemp('few'), FEW)


def test_six_sites_are_read_by_the_base_config(download, run, data_sets, tmp_path):
    done = run('prostate', download, tmp_path / 'out')
    assert done.code == 0, done.errors
    sets = data_sets(done.report)
    cases = {site: (n - round(n / 5), round(n / 5)) for site, n in
             dict(BIDMC=12, BMC=30, HK=12, I2CVB=19, RUNMC=30, UCL=13).items()}  # fmt: skip
    for part, index in (('train', 0), ('test', 1)):
        found = [sample.domain for sample in getattr(sets, part).samples]
        assert {site: found.count(site) for site in cases} == {
            site: 2 * count[index] for site, count in cases.items()
        }
    assert len(sets.train.labelled_indices) == 20
    assert 'BIDMC train 20 (published: 225)' in done.report


def test_slices_of_a_case(few, run, tmp_path):
    done = run('prostate', few, tmp_path / 'out', '--skip-faults')
    assert 'BMC: 5 cases found, 30 are published' in done.errors
    out = tmp_path / 'out'
    names = {path.relative_to(out).as_posix() for path in out.rglob('image/*.png')}
    train = {f'BMC/train/image/{case:02d}_{k:02d}.png' for case in range(4) for k in (0, 1)}
    ones = {f'{site}/train/image/00_{k:02d}.png' for site in ('BIDMC', 'I2CVB') for k in (0, 1)}
    assert names == train | ones | {'BMC/test/image/00_00.png', 'BMC/test/image/00_01.png'}
    raw, labels = heart(304, 4, values=(1, 1, 2))  # of BMC, Case04
    volume = ((raw - raw.min()) / np.ptp(raw) * 255).astype(np.uint8)
    for k, index in enumerate((1, 2)):
        image, mask = (
            np.asarray(Image.open(out / f'BMC/test/{kind}/00_{k:02d}.png'))
            for kind in ('image', 'mask')
        )
        np.testing.assert_array_equal(image, volume[index])
        np.testing.assert_array_equal(mask, np.where(labels[index] > 0, 0, 255))


def test_clipping_stretches_what_is_left(few, run, tmp_path):
    run('prostate', few, tmp_path / 'out', '--skip-faults', '--clip', '10')
    raw, _ = heart(304, 4)
    low, high = np.percentile(raw, [10, 90])
    expected = (np.clip((raw[1] - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    found = np.asarray(Image.open(tmp_path / 'out/BMC/test/image/00_00.png'))
    np.testing.assert_array_equal(found, expected)
    done = run('prostate', few, tmp_path / 'out', '--skip-faults')
    assert done.code == 1 and "was made with options = {'clip': 10.0}" in done.errors


def test_faults_of_cases_leave_the_numbers_of_others(run, tmp_path):
    raw = write_prostate_download(tmp_path / 'raw', dict(BMC=5))
    (raw / 'BMC/Case00_Segmentation.nii.gz').unlink()
    (raw / 'BMC/Case02.nii.gz').unlink()
    empty = np.zeros((4, 12, 10), np.uint8)
    write_nifti(raw / 'BMC/Case03_Segmentation.nii.gz', empty, (3.6, 0.6, 0.5))
    done = run('prostate', raw, tmp_path / 'out')
    assert done.code == 1 and not (tmp_path / 'out').exists()
    for said in (
        'BMC/Case00: its segmentation is missing',
        'BMC/Case02: its volume is missing',
        'BMC/Case03: mask BMC/Case03_Segmentation.nii.gz has no prostate',
        'UCL: 0 cases found, 13 are published',
    ):
        assert said in done.errors
    run('prostate', raw, tmp_path / 'out', '--skip-faults')
    names = sorted(path.name for path in (tmp_path / 'out').rglob('image/*.png'))
    assert names == ['00_00.png', '00_01.png', '01_00.png', '01_01.png']
    assert (tmp_path / 'out/BMC/test/image/00_00.png').exists()


@pytest.mark.skipif(not (REAL / 'midss_samples').is_dir(), reason='needs the real files')
def test_slices_are_of_the_kind_of_the_published_ones(few, run, tmp_path):
    run('prostate', few, tmp_path / 'out', '--skip-faults')
    for kind in ('image', 'mask'):
        name = f'BMC/train/{kind}/00_00.png'
        real = Image.open(REAL / 'midss_samples/ProstateSlice' / name)
        made = Image.open(tmp_path / 'out' / name)
        assert (made.mode, made.format) == (real.mode, real.format)
        if kind == 'mask':
            assert np.unique(made).tolist() == np.unique(real).tolist()
        else:
            assert np.asarray(real).max() < 255  # scaled by the volume
