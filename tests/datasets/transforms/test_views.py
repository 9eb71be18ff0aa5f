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


def test_apply_runs_all_or_nothing():
    img = np.full((4, 4, 1), 50, np.uint8)
    double = dict(type='RandomBrightness', low=2.0, high=2.0)
    apply = TRANSFORMS.build(dict(type='RandomApply', transforms=[double, double], prob=0.3))
    samples = (dict(img=img, rng=np.random.default_rng(seed)) for seed in range(600))
    levels = [apply(sample)['img'][0, 0, 0] for sample in samples]
    assert set(levels) == {50, 200}
    assert np.mean(np.array(levels) == 200) == pytest.approx(0.3, abs=0.05)


def test_closed_gate_draws_only_itself():
    jitter = dict(type='ColorJitter', brightness=0.5)
    closed = TRANSFORMS.build(dict(type='RandomApply', transforms=[jitter], prob=0.0))
    rng, other = np.random.default_rng(1), np.random.default_rng(1)
    closed(dict(img=np.zeros((4, 4, 1), np.uint8), rng=rng))
    other.random()
    assert rng.bit_generator.state == other.bit_generator.state


@pytest.mark.parametrize(
    'cfg', [dict(type='RandomApply', transforms=[]), dict(type='RandomPasteBox', size=64)]
)
def test_impossible_probability_is_refused(cfg):
    with pytest.raises(ValueError, match='prob = 1.5: give'):
        TRANSFORMS.build(dict(cfg, prob=1.5))


def test_box_follows_the_published_rule():
    size, rng = 384, np.random.default_rng(0)
    boxes = np.array(
        [draw_box(rng, (size, size), (0.02, 0.4), (0.3, 1 / 0.3)) for _ in range(4000)]
    )
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
    assert first['box'].shape == (5,) and first['box'][4] == 64
    assert (first['box'] == again['box']).all()


def test_box_draws_by_default_are_those_of_the_box_alone():
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    out = TRANSFORMS.build(dict(type='RandomPasteBox', size=64))(dict(rng=rng))
    assert tuple(out['box']) == (*draw_box(other, (64, 64), (0.02, 0.4), (0.3, 1 / 0.3)), 64)
    assert rng.bit_generator.state == other.bit_generator.state


def test_box_of_some_images_under_its_own_name():
    always = TRANSFORMS.build(dict(type='RandomPasteBox', size=64))
    sometimes = TRANSFORMS.build(dict(type='RandomPasteBox', size=64, prob=0.5, key='box2'))
    never = TRANSFORMS.build(dict(type='RandomPasteBox', size=64, prob=0.0))
    drawn = 0
    for seed in range(400):
        rng, other = np.random.default_rng(seed), np.random.default_rng(seed)
        out = sometimes(dict(rng=rng))
        assert set(out) == {'rng', 'box2'} and out['box2'][4] == 64
        assert out['box2'].dtype == np.int64
        if out['box2'][:4].any():
            drawn += 1
            assert (out['box2'] == always(dict(rng=np.random.default_rng(seed)))['box']).all()
        assert never(dict(rng=other))['box'].tolist() == [0, 0, 0, 0, 64]
        assert rng.bit_generator.state == other.bit_generator.state  # whatever the gate
    assert drawn / 400 == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize(
    ('area', 'ratio'),
    [((0.02, 1.0), (0.3, 3.0)), ((0.1, 0.6), (2.0, 3.0)), ((0.5, 0.6), (0.1, 0.4))],
)
def test_box_that_cannot_fit_is_refused(area, ratio):
    with pytest.raises(ValueError, match='does not fit into the square'):
        TRANSFORMS.build(dict(type='RandomPasteBox', size=64, area=area, ratio=ratio))


def test_the_square_of_a_box_is_the_data_sets_unless_it_is_given():
    def largest(**options):
        step = TRANSFORMS.build(dict(type='RandomPasteBox', **options))
        rng = np.random.default_rng(0)
        boxes = [step(dict(rng=rng, sizes=dict(box=64)))['box'][:4] for _ in range(200)]
        return max(max(x + w, y + h) for x, y, w, h in boxes)

    assert 56 < largest() <= 64 and 14 < largest(size=16) <= 16
    with pytest.raises(ValueError, match='RandomPasteBox has no size and .* no box_size'):
        TRANSFORMS.build(dict(type='RandomPasteBox'))(dict(rng=np.random.default_rng(0)))


def cuboids(count, shape=(112, 96, 80), **options):
    step = TRANSFORMS.build(dict(type='RandomPasteCuboid', **options))
    img = np.zeros((*shape, 1), np.float32)
    key = options.get('key', 'box')
    made = [step(dict(img=img, rng=np.random.default_rng(seed)))[key] for seed in range(count)]
    assert all(box.dtype == np.int64 and box.shape == (9,) for box in made)
    made = np.array(made)
    assert (made[:, 6:] == shape).all()
    assert (made[:, :3] >= 0).all() and (made[:, :3] + made[:, 3:6] <= shape).all()
    return made


def test_cuboid_of_bcp():
    made = cuboids(400)
    assert (made[:, 3:6] == (74, 64, 53)).all()  # two thirds, rounded down
    assert (made[:, :3].min(0) == 0).all() and (made[:, :3].max(0) == (38, 32, 27)).all()


def test_cuboid_with_a_range_of_its_sides():
    sides = cuboids(400, side=(0.25, 0.5))[:, 3:6] / (112, 96, 80)
    assert (sides <= 0.5).all() and (sides > 0.23).all()
    assert sides.mean(0) == pytest.approx([0.37] * 3, abs=0.02)
    assert abs(np.corrcoef(sides.T)[0, 1]) < 0.2  # each its own


def test_cuboid_of_a_share_of_the_volume():
    made = cuboids(1000, volume=(0.02, 0.4), key='box2')
    depth, height, width = made[:, 3:6].T
    share = (depth + 0.5) * (height + 0.5) * (width + 0.5) / (112 * 96 * 80)
    assert share.min() > 0.015 and share.max() < 0.43
    ratio = (height / width) ** 1.5
    assert ratio.min() > 0.25 and ratio.max() < 3.8
    assert np.abs(depth**2 / (height * width) - 1).max() < 0.3


def test_cuboid_of_some_volumes():
    drawn = cuboids(400, prob=0.5)
    assert (drawn[:, 3:6] > 0).all(1).mean() == pytest.approx(0.5, abs=0.08)
    assert (drawn[drawn[:, 3] == 0][:, :6] == 0).all()
    certain = cuboids(400)
    there = drawn[:, 3] > 0
    assert (drawn[there] == certain[there]).all()


def test_cuboid_that_does_not_go_is_refused():
    with pytest.raises(ValueError, match='draws in volumes, but .* 2 axes .*RandomPasteBox'):
        cuboids(1, shape=(8, 8))
    with pytest.raises(ValueError, match='No cuboid of .* fits into a view of 40 x 40 x 2'):
        cuboids(1, shape=(40, 40, 2), volume=(0.4, 0.4))
    with pytest.raises(ValueError, match='side = .*give'):
        cuboids(1, side=1.5)
