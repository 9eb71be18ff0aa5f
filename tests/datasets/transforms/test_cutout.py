import numpy as np
import pytest

from mmssl.registry import TRANSFORMS


def sample(seed=0, channels=1, side=40):
    rng = np.random.default_rng(7)
    img = rng.integers(1, 255, (side, side, channels), np.uint8)
    return dict(img=img, gt=np.ones((side, side), np.uint8), rng=np.random.default_rng(seed))


def cutout(**options):
    return TRANSFORMS.build(dict(type='RandomCutout', **options))


@pytest.mark.parametrize('channels', [1, 3])
def test_a_hole_of_black_and_white_pixels_that_is_background(channels):
    for seed in range(20):
        given = sample(seed, channels)
        img, gt = given['img'], given['gt']
        out = cutout(prob=1.0)(dict(given))
        hole = out['gt'] == 0
        rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        assert hole.sum() == len(rows) * len(columns) <= 0.4 * 40 * 40, 'a rectangle'
        assert hole.sum() >= 0.01 * 40 * 40
        assert set(np.unique(out['img'][hole])) <= {0, 255}
        assert (out['img'][hole] == out['img'][hole][:, :1]).all(), 'grey, whatever the channels'
        assert (out['img'][~hole] == img[~hole]).all()
        assert (gt == 1).all() and given['img'] is img, 'the sample it came from stays'


def test_holes_in_half_of_the_samples_and_none_without():
    changed = [(cutout()(sample(seed))['gt'] == 0).any() for seed in range(200)]
    assert 70 < sum(changed) < 130
    assert (cutout(prob=0.0)(sample())['gt'] == 1).all()


def test_an_unlabelled_sample_has_no_mask():
    given = sample()
    del given['gt']
    assert 'gt' not in cutout(prob=1.0)(given)


def test_a_hole_that_cannot_fit_is_refused():
    with pytest.raises(ValueError, match='A hole of 0.9 of the area .* does not fit'):
        cutout(area=(0.9, 0.95), ratio=(2.0, 3.0))


def test_a_strong_view_with_a_mask_of_its_own():
    view = TRANSFORMS.build(
        dict(type='StrongView', mask=True, transforms=[dict(type='RandomCutout', prob=1.0)])
    )
    given = sample()
    img, gt = given['img'], given['gt']
    out = view(given)
    assert out['img'] is img and out['gt'] is gt and (gt == 1).all()
    hole = out['gt_strong'] == 0
    assert hole.any() and (out['img_strong'][~hole] == img[~hole]).all()
    unlabelled = sample()
    del unlabelled['gt']
    assert 'gt_strong' not in view(unlabelled)


def test_several_black_squares():
    options = dict(prob=1.0, area=(0.01, 0.01), ratio=(1.0, 1.0), holes=(5, 8), fill=0)
    shares = set()
    for seed in range(40):
        given = sample(seed)
        out = cutout(**options)(dict(given))
        hole = out['gt'] == 0
        assert not out['img'][hole].any() and (out['img'][~hole] == given['img'][~hole]).all()
        squares = np.lib.stride_tricks.sliding_window_view(hole, (4, 4)).all((2, 3))
        assert squares.any() and hole.sum() <= 8 * 16
        shares.add(int(hole.sum()))
    assert {5 * 16, 8 * 16} <= shares and len(shares) > 3
    with pytest.raises(ValueError, match='holes = .0, 2.'):
        cutout(holes=(0, 2))
