import numpy as np
import pytest

from mmssl.datasets.transforms.views import draw_box
from mmssl.registry import TRANSFORMS

STRONG = [
    dict(type='RandomBrightness', low=0.1, high=2.0),
    dict(type='RandomContrast', low=0.1, high=2.0),
    dict(type='GaussianBlur', sigma=(0.1, 2.0)),
]


def test_strong_view_is_the_chain_on_a_copy():
    img = np.random.default_rng(0).integers(0, 256, (48, 48, 1), np.uint8)
    before = img.copy()
    view = TRANSFORMS.build(dict(type='StrongView', transforms=STRONG))
    out = view(dict(img=img, gt=img[..., 0], rng=np.random.default_rng(5)))
    chain = dict(img=img, rng=np.random.default_rng(5))
    for cfg in STRONG:
        chain = TRANSFORMS.build(cfg)(chain)
    assert (out['img_strong'] == chain['img']).all()
    assert out['img'] is img
    assert (img == before).all()
    assert (out['gt'] == before[..., 0]).all()


def test_second_strong_view_has_its_own_draws():
    img = np.random.default_rng(0).integers(0, 256, (48, 48, 1), np.uint8)
    results = dict(img=img, rng=np.random.default_rng(5))
    for key in ('img_strong', 'img_strong2'):
        results = TRANSFORMS.build(dict(type='StrongView', transforms=STRONG, key=key))(results)
    assert (results['img_strong'] != results['img_strong2']).any()


def test_view_starts_from_its_source():
    img = np.full((8, 8, 1), 100, np.uint8)
    double = [dict(type='RandomBrightness', low=2.0, high=2.0)]
    view = TRANSFORMS.build(
        dict(type='StrongView', transforms=double, key='img_strong2', source='img_strong')
    )
    out = view(dict(img=img, img_strong=img // 2, rng=np.random.default_rng(0)))
    assert (out['img_strong2'] == 100).all()


def test_box_follows_the_published_rule():
    size, rng = 384, np.random.default_rng(0)
    boxes = np.array([draw_box(rng, size, (0.02, 0.4), (0.3, 1 / 0.3)) for _ in range(4000)])
    x, y, w, h = boxes.T
    assert (x >= 0).all()
    assert (y >= 0).all()
    assert (x + w <= size).all()
    assert (y + h <= size).all()
    area = w * h / size**2
    # w and h are rounded down, so at most one row and one column are lost.
    assert ((w + 1) * (h + 1) / size**2 > 0.02).all()
    assert area.max() <= 0.4
    # The area is drawn once, before fitting: uniform, whatever fits less easily.
    assert area.mean() == pytest.approx(0.21, abs=0.006)
    assert np.quantile(area, [0.25, 0.75]) == pytest.approx([0.115, 0.305], abs=0.012)
    ratio = h / w
    assert ratio.min() > 0.29
    assert ratio.max() < 3.5
    small = area < 0.04  # nearly every small box fits: uniform in the ratio, not in its logarithm
    assert np.median(ratio[small]) == pytest.approx((0.3 + 1 / 0.3) / 2, rel=0.12)


def test_box_goes_into_the_sample():
    box = TRANSFORMS.build(dict(type='RandomPasteBox', size=64))
    first, again = (box(dict(rng=np.random.default_rng(3))) for _ in range(2))
    assert first['box'].dtype == np.int64
    assert first['box'].shape == (4,)
    assert first['box_size'] == 64
    assert (first['box'] == again['box']).all()


@pytest.mark.parametrize(
    ('area', 'ratio'),
    [((0.02, 1.0), (0.3, 3.0)), ((0.1, 0.6), (2.0, 3.0)), ((0.5, 0.6), (0.1, 0.4))],
)
def test_box_that_cannot_fit_is_refused(area, ratio):
    with pytest.raises(ValueError, match='does not fit into the square'):
        TRANSFORMS.build(dict(type='RandomPasteBox', size=64, area=area, ratio=ratio))
