"""Fundus photographs of three collections become the squares of DoFE."""

import zipfile

import numpy as np
import pytest
from PIL import Image
from raw_downloads import REAL, contents, write_fundus_download

from mmssl.converters.sets import fundus

COUNTS = (6, 5, 10, 5)


@pytest.fixture
def published_few(monkeypatch):
    real = fundus.origins

    def origins(expert):
        return {
            domain: origin._replace(number=count)
            for (domain, origin), count in zip(real(expert).items(), COUNTS, strict=True)
        }

    monkeypatch.setattr(fundus, 'origins', origins)


@pytest.fixture(scope='module')
def download(tmp_path_factory):
    return write_fundus_download(tmp_path_factory.mktemp('fundus'), COUNTS)


def square(folder, name):
    return [np.asarray(Image.open(folder / kind / f'{name}.png')) for kind in ('image', 'mask')]


def test_four_domains_are_read_by_the_base_config(
    download, published_few, run, data_sets, tmp_path
):
    done = run('fundus', download, tmp_path / 'out')
    assert done.code == 0, done.errors
    sets = data_sets(done.report, labelled=dict(domain='Domain1', num=2))
    for part, counts in (('train', (3, 3, 8, 4)), ('test', (3, 2, 2, 1))):
        folder = tmp_path / 'out'
        names = [len(list((folder / f'Domain{d}' / part).rglob('mask/*.png'))) for d in range(1, 5)]
        assert names == list(counts)
    assert len(sets.train) == 18 and len(sets.test) == 8
    assert 'every fifth is taken' in done.report


def test_squares_keep_the_pixels_around_the_disc(download, published_few, run, tmp_path):
    """Also where the photograph ends; the names are DoFE's."""
    run('fundus', download, tmp_path / 'out')
    for number, (row, column), name in ((3, (20, 20), 'gdrishtiGS_003'), (2, (12, 14), '')):
        part = 'test' if number % 2 else 'train'
        image, mask = square(
            tmp_path / f'out/Domain1/{part}/ROIs', name or f'gdrishtiGS_{number:03d}'
        )
        assert image.shape == mask.shape == (800, 800, 3)
        files = list(download.rglob(f'drishtiGS_{number:03d}.png'))
        inside = np.s_[400 - row : 440 - row, 400 - column : 440 - column]
        np.testing.assert_array_equal(image[inside], np.asarray(Image.open(files[0])))
        assert image.sum() == image[inside].sum()
        grey = mask[..., 0]
        assert (mask == grey[..., None]).all()
        expected = np.full((800, 800), 255)
        expected[390:411, 388:413] = 128
        expected[396:405, 395:406] = 0
        np.testing.assert_array_equal(grey, expected)
    names = {path.name for path in (tmp_path / 'out/Domain1').rglob('image/*.png')}
    assert names == {f'gdrishtiGS_{number:03d}.png' for number in range(1, 7)}
    assert fundus._called('drishtiGS_007') == 'ndrishtiGS_007'
    assert fundus._called('g0001') == 'g0001'


def test_the_left_half_of_a_stereo_image_counts(download, published_few, run, tmp_path):
    run('fundus', download, tmp_path / 'out')
    image, mask = square(tmp_path / 'out/Domain2/test/ROIs', 'G-22-L')  # number 2
    left = np.asarray(Image.open(next(download.rglob('G-22-L.jpg'))))[:, : 400 + 14]
    np.testing.assert_array_equal(image[400 - 12 : 440 - 12, 400 - 14 :], left)
    assert not image[:, : 400 - 14].any()
    assert (mask[..., 0] < 255).sum() == 21 * 25


def test_zip_files_are_read_where_they_lie(download, published_few, run, tmp_path):
    raw = tmp_path / 'raw'
    raw.mkdir()
    for folder in download.iterdir():
        with zipfile.ZipFile(raw / f'{folder.name}.zip', 'w') as archive:
            for name, data in contents(folder).items():
                archive.writestr(f'{folder.name}/{name}', data)
    before = contents(raw)
    assert run('fundus', raw, tmp_path / 'zips').code == 0
    assert run('fundus', download, tmp_path / 'folders').code == 0
    assert contents(raw) == before
    images = [
        contents(tmp_path / out / f'Domain{d}') for out in ('zips', 'folders') for d in (1, 3)
    ]
    assert images[:2] == images[2:] and images[0]


def test_a_test_part_of_ones_own_and_fewer_domains(
    download, published_few, run, data_sets, tmp_path
):
    names = tmp_path / 'names.txt'
    names.write_text('g0002.png\nREFUGE/n0003\nV0001\n')
    options = ('--domains', 'Domain3', 'Domain4', '--test-names', names)
    done = run('fundus', download, tmp_path / 'out', *options)
    test = (tmp_path / 'out/Domain3/test').rglob('image/*.png')
    assert sorted(path.stem for path in test) == ['g0002', 'n0003']
    train = data_sets(done.report.replace("domain='Domain3'", "domain='Domain3', num=2")).train
    assert train.domains == ['Domain3', 'Domain4'] and len(train) == 12


def test_faults(published_few, run, tmp_path):
    raw = write_fundus_download(tmp_path / 'raw', (6, 5, 9, 5))
    masks = raw / 'REFUGE/Annotation-Training400'
    Image.new('L', (40, 40), 7).save(masks / 'n0001.bmp')
    Image.new('L', (40, 41), 128).save(masks / 'g0002.bmp')
    Image.new('L', (40, 40), 255).save(masks / 'n0003.bmp')
    next(raw.rglob('drishtiGS_001_cupsegSoftmap.png')).unlink()
    picture = next(raw.rglob('V0001.jpg'))
    picture.write_bytes(picture.read_bytes()[:200])
    done = run('fundus', raw, tmp_path / 'out')
    assert done.code == 1 and not (tmp_path / 'out').exists()
    for said in (
        'Domain3 (REFUGE training): 9 photographs found, 10 are published',
        'Domain3/n0001: its mask has values [7] (expected: 0, 128 and 255)',
        'g0002.bmp has height and width (41, 40), its photograph (40, 40)',
        'Domain3/n0003: its mask has no disc',
        'Domain1/drishtiGS_001: its cup is missing',
        'V0001.jpg cannot be read as a picture',
    ):
        assert said in done.errors


@pytest.mark.skipif(not (REAL / 'midss_samples').is_dir(), reason='needs the real files')
def test_squares_are_of_the_kind_of_the_published_ones(download, published_few, run, tmp_path):
    run('fundus', download, tmp_path / 'out')
    real = sorted((REAL / 'midss_samples/Fundus').rglob('mask/*.png'))
    made = sorted((tmp_path / 'out').rglob('mask/*.png'))
    assert len(real) == 8
    for path in (*real, *made):
        mask = Image.open(path)
        assert (mask.mode, mask.size) == ('RGB', (800, 800))
        assert sorted(c for _, c in mask.getcolors()) == [(v, v, v) for v in (0, 128, 255)]
        disc = np.asarray(mask)[..., 0] < 255
        # the published ones up to 40 px off the middle of the disc
        assert max(abs(c - 400) for c in fundus._centre(disc)) <= (41 if path in real else 0)
