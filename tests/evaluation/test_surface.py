"""Overlap and surface distances: MedPy's values, hand-computed values, conventions, errors."""

import numpy as np
import pytest
from medpy.metric import binary as medpy

from mmssl.evaluation import binary_metrics, smoothed_dice


def blob(shape, radii, centre):
    axes = np.meshgrid(*[np.arange(n) for n in shape], indexing='ij')
    parts = zip(axes, radii, centre, strict=True)
    return sum(((x - c) / r) ** 2 for x, r, c in parts) < 1


def random_blob(rng, shape):
    """Draw an ellipsoid that often leaves the image, sometimes with noise on it."""
    radii = [rng.uniform(0.05, 0.5) * n + 1 for n in shape]
    mask = blob(shape, radii, [rng.uniform(0, n) for n in shape])
    if rng.random() < 0.3:
        mask ^= rng.random(shape) < 0.02
    if not mask.any():
        mask[tuple(rng.integers(0, n) for n in shape)] = True
    return mask


def assert_like_medpy(pred, gt, spacing=None):
    ours = binary_metrics(pred, gt, spacing)
    theirs = {
        'dsc': medpy.dc(pred, gt),
        'jaccard': medpy.jc(pred, gt),
        'hd95': medpy.hd95(pred, gt, voxelspacing=spacing),
        'asd': medpy.asd(pred, gt, voxelspacing=spacing),
    }
    assert ours == pytest.approx(theirs, abs=1e-4, rel=0)
    assert list(ours) == ['dsc', 'jaccard', 'hd95', 'asd']


@pytest.mark.parametrize(
    ('shape', 'spacing'),
    [
        ((48, 61), None),
        ((48, 61), (1.3, 1.3)),
        ((40, 37), (0.7, 1.9)),
        ((9, 21, 25), None),
        ((9, 21, 25), (8.0, 1.25, 1.25)),
        ((21, 9, 17), (1.25, 8.0, 1.25)),
        ((21, 17, 9), (1.25, 1.25, 8.0)),
        ((9, 13, 17), (3.0, 1.0, 2.0)),
        ((1, 70), None),
        ((70, 1), (2.0, 1.0)),
        ((1, 1, 30), None),
        ((300, 290), None),
    ],
)
def test_equals_medpy_on_random_masks(shape, spacing):
    rng = np.random.default_rng(len(shape) * 100 + shape[0])
    for _ in range(25):
        assert_like_medpy(random_blob(rng, shape), random_blob(rng, shape), spacing)


@pytest.mark.parametrize('shape', [(24, 30), (6, 12, 10)])
def test_equals_medpy_at_the_border_and_on_extreme_masks(shape):
    full = np.ones(shape, bool)
    edge = np.zeros(shape, bool)
    edge[..., :3] = True
    corner = np.zeros(shape, bool)
    corner[(0,) * len(shape)] = True
    far = np.zeros(shape, bool)
    far[(-1,) * len(shape)] = True
    holed = full.copy()
    holed[(slice(2, 4),) * len(shape)] = False
    masks = [full, edge, corner, far, holed]
    for pred in masks:
        for gt in masks:
            assert_like_medpy(pred, gt)


def test_equals_medpy_on_noise_and_far_away_pixels():
    rng = np.random.default_rng(3)
    for density in (0.5, 0.02):
        assert_like_medpy(rng.random((64, 80)) < density, rng.random((64, 80)) < density)
    a, b = np.zeros((2, 1200, 900), bool)
    a[0, 0] = b[1199, 899] = True
    assert_like_medpy(a, b)


def test_hand_computed_values():
    pred, gt = np.zeros((2, 7, 9), np.uint8)
    pred[2:5, 1:4] = 255
    gt[2:5, 3:6] = 1
    # Shifted by two: the surface is the square without its centre; per row of pred the
    # distances to gt's surface are 2 1 0, 2 - 0, 2 1 0.
    result = binary_metrics(pred, gt)
    assert result['dsc'] == pytest.approx(6 / 18)
    assert result['jaccard'] == pytest.approx(3 / 15)
    assert result['hd95'] == 2.0
    assert result['asd'] == pytest.approx((3 * 2 + 2 * 1 + 3 * 0) / 8)
    assert binary_metrics(pred, gt, spacing=0.5)['hd95'] == 1.0


def test_asd_is_directed_from_the_prediction():
    pred, gt = np.zeros((2, 5, 20), bool)
    pred[2, 2] = True
    gt[2, 2] = gt[2, 12] = True
    assert binary_metrics(pred, gt)['asd'] == 0.0
    assert binary_metrics(gt, pred)['asd'] == 5.0


@pytest.mark.parametrize('shape', [(12, 12), (4, 12, 12)])
def test_empty_conventions(shape):
    none, some = np.zeros(shape, bool), np.zeros(shape, bool)
    some[..., 3:5, 3:5] = True
    for pair in ((none, some), (some, none)):
        assert list(binary_metrics(*pair).values()) == [0, 0, 100, 100]
        assert list(binary_metrics(*pair, worst=373.1).values()) == [0, 0, 373.1, 373.1]
        assert list(binary_metrics(*pair, empty='zero').values()) == [0, 0, 0, 0]
        left_out = binary_metrics(*pair, empty='nan')
        assert left_out['dsc'] == left_out['jaccard'] == 0
        assert np.isnan(left_out['hd95']) and np.isnan(left_out['asd'])
        assert list(binary_metrics(*pair, both_empty='nan').values()) == [0, 0, 100, 100]
        assert list(binary_metrics(*pair, both_empty='perfect').values()) == [0, 0, 100, 100]
    assert list(binary_metrics(none, none).values()) == [0, 0, 100, 100]
    assert list(binary_metrics(none, none, empty='zero').values()) == [0, 0, 0, 0]
    assert list(binary_metrics(none, none, both_empty='perfect').values()) == [1, 1, 0, 0]
    assert np.isnan(list(binary_metrics(none, none, both_empty='nan').values())).all()


@pytest.mark.parametrize(
    ('pred', 'gt', 'options', 'message'),
    [
        (np.ones((4, 4), bool), np.ones((4, 5), bool), {}, r'\(4, 4\) and gt \(4, 5\)'),
        (np.ones(4, bool), np.ones(4, bool), {}, '2D or 3D'),
        (np.ones((4, 4)), np.ones((4, 4), bool), {}, 'pred must be a bool or integer mask'),
        (np.ones((4, 4), bool), np.ones((4, 4), np.float32), {}, 'gt must be a bool'),
        (np.ones((4, 4), bool), np.ones((4, 4), bool), {'spacing': (1, 1, 3)}, '3 numbers'),
        (np.ones((4, 4), bool), np.ones((4, 4), bool), {'spacing': (0, 1)}, 'positive'),
        (np.ones((4, 4), bool), np.ones((4, 4), bool), {'empty': 'best'}, 'empty="best"'),
        (np.ones((4, 4), bool), np.ones((4, 4), bool), {'both_empty': 'x'}, 'both_empty="x"'),
    ],
)
def test_bad_arguments_are_named(pred, gt, options, message):
    with pytest.raises(ValueError, match=message):
        binary_metrics(pred, gt, **options)


def test_smoothed_dice_has_the_released_codes_values():
    a, b, none = np.zeros((3, 4, 4), bool)
    a[:2, :2] = b[:2] = True
    assert smoothed_dice(a, b) == pytest.approx(0.692254, abs=1e-6)
    assert smoothed_dice(a, none) == pytest.approx(0.199960, abs=1e-6)
    assert smoothed_dice(none, none) == 1.0
    with pytest.raises(ValueError, match='resize the prediction'):
        smoothed_dice(a, b[:2])
