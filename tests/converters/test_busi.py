"""BUSI's masks of a picture are united."""

import numpy as np
import pytest
from PIL import Image
from raw_downloads import REAL, write_busi_download

from mmssl.converters.sets import busi

FEW = dict(benign=5, malignant=3)
MORE = dict(benign=11, malignant=5, normal=3)


@pytest.fixture
def published_few(monkeypatch):
    monkeypatch.setattr(busi, 'IMAGES', FEW)


def test_united_masks_are_read_by_the_base_config(run, data_sets, tmp_path, monkeypatch):
    monkeypatch.setattr(busi, 'IMAGES', dict(benign=11, malignant=5))
    download = write_busi_download(tmp_path / 'raw', MORE)
    done = run('busi', download, tmp_path / 'out')
    assert done.code == 0, done.errors
    sets = data_sets(done.report)
    for part, counts in (('train', (9, 4)), ('test', (2, 1))):
        domains = [sample.domain for sample in getattr(sets, part).samples]
        assert (domains.count('benign'), domains.count('malignant')) == counts
    assert len(sets.train.labelled_indices) == 1
    assert 'benign  11 (published: 437), malignant  5 (published: 210)' in done.report
    assert '3 normal image(s), which have no lesion, are left out' in done.report
    image = 'benign/benign (2).png'
    original = download / 'Dataset_BUSI_with_GT' / image
    assert (tmp_path / 'out' / image).read_bytes() == original.read_bytes()
    mask = np.asarray(Image.open(tmp_path / 'out/benign/benign (2)_mask.png'))
    expected = np.zeros((9, 8), np.uint8)
    expected[1:4, 2:5] = expected[5:8, 2:5] = 255
    np.testing.assert_array_equal(mask, expected)


def test_faults(published_few, run, tmp_path):
    raw = write_busi_download(tmp_path / 'raw', FEW)
    folder = raw / 'Dataset_BUSI_with_GT/benign'
    (folder / 'benign (1)_mask.png').unlink()
    Image.new('L', (8, 9), 0).save(folder / 'benign (3)_mask.png')
    Image.new('L', (9, 9), 255).save(folder / 'benign (4)_mask.png')
    Image.new('L', (8, 9), 77).save(folder / 'benign (5)_mask.png')
    (folder.parent / 'malignant/malignant (1).png').unlink()
    done = run('busi', raw, tmp_path / 'out')
    assert done.code == 1 and not (tmp_path / 'out').exists()
    for said in (
        'malignant: 2 images found, 3 are published',
        'benign (1): benign (1)_mask.png is missing',
        'malignant (1): a mask without its image',
        'benign (3): no mask of Dataset_BUSI_with_GT/benign/benign (3).png shows a lesion',
        'benign (4)_mask.png has height and width (9, 9), its image (9, 8)',
        'benign (5)_mask.png has values [77] (expected: 0 and 255)',
    ):
        assert said in done.errors
    done = run('busi', raw, tmp_path / 'out', '--skip-faults')
    kept = sorted(path.name for path in (tmp_path / 'out/benign').iterdir())
    assert kept == ['benign (2).png', 'benign (2)_mask.png']


@pytest.mark.skipif(not (REAL / 'midss_samples').is_dir(), reason='needs the real files')
def test_real_pictures(run, tmp_path):
    """The real sample of 11 pictures, one with two masks of different kinds."""
    folder = REAL / 'midss_samples/Dataset_BUSI_with_GT'
    done = run('busi', folder, tmp_path / 'out', '--skip-faults')
    assert done.code == 0 and 'benign: 5 images found, 437 are published' in done.errors
    union = np.asarray(Image.open(tmp_path / 'out/benign/benign (4)_mask.png')) > 0
    one, two = (
        np.asarray(Image.open(folder / f'benign/benign (4)_mask{end}.png').convert('L')) > 0
        for end in ('', '_1')
    )
    assert one.any() and two.any() and (union == (one | two)).all() and (union != one).any()
