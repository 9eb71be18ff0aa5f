"""A class of the label map that no mask has is named."""

import pytest
from fake_files import disk_mask, prostate, write_png, write_prostate

from mmssl.datasets.files import class_check
from mmssl.registry import DATASETS

LABEL_MAP = {0: 0, 128: 1, 200: 2, '201-255': 2}
CLASSES = dict(classes=('background', 'cup', 'rim'))


@pytest.fixture
def root(tmp_path):
    write_prostate(tmp_path, domains='AB', cases=4)
    for path in tmp_path.glob('*/*/mask/*.png'):
        write_png(path, disk_mask(inside=128, outside=0))
    return tmp_path


def build(root, **options):
    options = {'label_map': LABEL_MAP, 'metainfo': CLASSES, 'domains': ['A', 'B'], **options}
    return DATASETS.build(prostate(root, **options))


@pytest.mark.parametrize('cache', [False, True, 'lazy'])
def test_a_class_without_a_pixel_is_named(root, said, cache):
    build(root, labelled=dict(domain='A', num=3), cache=cache)
    assert said == [
        'Domain "A": class "rim" (mask value 200, 201-255) has no pixel in any of the 3 labelled '
        'masks that were looked at. Compare label_map with the masks.'
    ]
    said.clear()
    build(root, mode='test')
    assert [text[:23] for text in said] == [f'Domain "{d}": class "rim"' for d in 'AB']


def test_one_pixel_in_one_mask_is_enough(root, said):
    mask = disk_mask(inside=128, outside=0)
    mask[0, 0] = 220
    write_png(root / 'A/train/mask/03_01.png', mask)
    build(root, labelled=dict(domain='A'))
    assert said == []


def test_the_background_may_be_missing_too(root, said):
    write_png(root / 'B/train/mask/00_00.png', disk_mask(inside=128, outside=255))
    build(root, labelled=dict(domain='B', list=['00_00']))
    assert ['class "background" (mask value 0)' in text for text in said] == [True]


def test_few_masks_are_read_and_no_others(root, said, monkeypatch):
    read = []
    kind = type(build(root, lazy_init=True))
    read_mask = kind.read_mask
    monkeypatch.setattr(kind, 'read_mask', lambda s, n: read.append(n) or read_mask(s, n))
    build(root, labelled=dict(domain='A'), label_map={0: 0, 128: 1})
    assert len(read) == 1
    monkeypatch.setattr(class_check, 'MOST_MASKS', 4)
    read.clear()
    build(root, labelled=dict(domain='A'))
    assert read == [0, 2, 4, 6] and 'any of the 4 labelled' in said[0]
    read.clear()
    build(root, labelled=dict(domain='A', num=0))
    assert read == []


def test_a_mask_that_cannot_be_read_is_left_to_its_use(root, said):
    (root / 'A/train/mask/00_00.png').write_bytes(b'nothing')
    build(root, labelled=dict(domain='A', list=['00_00']))
    assert said == []
