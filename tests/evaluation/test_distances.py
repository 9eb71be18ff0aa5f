"""Distances of surface points: each way of finding them gives what SciPy's transform does."""

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt

from mmssl.evaluation.distances import (
    Distances,
    PackedMasks,
    distances_both_ways,
    nearest,
    pairs,
    shifts,
    windows,
)

SHAPES = [
    ((40, 130), (1.0, 1.0)),
    ((70, 61), (0.7, 0.7)),
    ((40, 64), (0.7, 1.9)),
    ((1, 200), (1.0, 1.0)),
    ((90, 1), (1.0, 2.0)),
    ((6, 20, 70), (1.0, 1.0, 1.0)),
    ((6, 20, 65), (2.5, 1.25, 1.25)),
    ((20, 6, 30), (1.0, 3.0, 2.0)),
]
EVERYTHING, NEVER = 10**9, 1e9
FORCED = {
    'pairs': [(nearest, 'PAIRED', EVERYTHING), (nearest, 'PAIR', 0)],
    'tree': [(nearest, 'FEW', EVERYTHING), (nearest, 'FOUND', 0), (nearest, 'PLANTED', 0)],
    'transform': [(nearest, 'FEW', EVERYTHING), (nearest, 'PLANTED', NEVER)],
    'shifts': [(windows, 'COST', NEVER)],
    'windows': [(windows, 'START', 0), (windows, 'COST', 0)],
}
USED = {
    'pairs': (pairs, 'squared_both_ways'),
    'tree': (nearest, '_by_tree'),
    'transform': (nearest, '_by_transform'),
    'shifts': (nearest, 'settle_near'),
    'windows': (windows, 'settle_around'),
}


def force(monkeypatch, way):
    for name, value in (('PAIRED', 0), ('FEW', 0), ('PAIR', NEVER)):
        monkeypatch.setattr(nearest, name, value)
    for module, name, value in FORCED[way]:
        monkeypatch.setattr(module, name, value)


def assert_exact(found, masks, sampling):
    for distances, points, surface in zip(found, masks, masks[::-1], strict=True):
        expected = distance_transform_edt(~surface, sampling=sampling)[points]
        values = np.sort(np.repeat(distances.values, distances.counts))
        np.testing.assert_allclose(values, np.sort(expected), rtol=1e-15, atol=0)


@pytest.mark.parametrize('way', FORCED)
@pytest.mark.parametrize('shape, sampling', SHAPES, ids=str)
@pytest.mark.parametrize('density', [0.3, 0.02])
def test_every_way_is_exact(way, shape, sampling, density, monkeypatch):
    """What shifts and windows leave is found in a tree or in a transform."""
    masks = np.random.default_rng(7).random((2, *shape)) < density
    masks.reshape(2, -1)[:, 11] = True
    force(monkeypatch, way)
    used = []
    module, name = USED[way]
    call = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args: used.append(way) or call(*args))
    found = distances_both_ways(PackedMasks.of(masks), np.array(sampling))
    if way in ('tree', 'transform', 'shifts'):
        assert used
    elif way == 'pairs':
        assert bool(used) == (len(set(sampling)) == 1), 'only sides that are equal are exact'
    elif len(shape) == 3:
        assert not used, 'only planes have windows'
    assert_exact(found, masks, sampling)


def test_windows_are_used_for_what_shifts_leave(monkeypatch):
    """Each is exact up to the edge of its window, across the ends of words, and not beyond."""
    rng = np.random.default_rng(2)
    masks = np.zeros((2, 90, 200), bool)
    masks[0] = rng.random(masks[0].shape) < 0.2
    masks[1, [5, 40, 41, 80], [0, 63, 64, 199]] = True
    packed = PackedMasks.of(masks)
    for sampling in ((1.0, 1.0), (2.0, 1.0), (1.0, 1.5)):
        for reach in (1, 7, 31, 99):
            values, outside = windows.settle_around(packed.places(0), packed, 0, reach, sampling)
            truth = distance_transform_edt(~masks[1], sampling=sampling)[masks[0]]
            assert np.array_equal(outside, truth > min(reach, windows.SIDE))
            np.testing.assert_allclose(values, truth[~outside], rtol=1e-15)
    whole, _ = windows.settle_around(packed.places(0), packed, 0, 9, (1.0, 1.0))
    monkeypatch.setattr(windows, 'MOST', 100)
    assert np.array_equal(
        windows.settle_around(packed.places(0), packed, 0, 9, (1.0, 1.0))[0], whole
    )


@pytest.mark.parametrize('margin', [1, 5, 400])
def test_bands_whose_margin_is_too_narrow_are_completed(margin, monkeypatch):
    monkeypatch.setattr(pairs, 'ALL', 0)
    monkeypatch.setattr(pairs, 'CALL', 40)
    monkeypatch.setattr(pairs, 'MOST', 300)
    monkeypatch.setattr(pairs, '_margin', lambda left, right: margin)
    masks = np.random.default_rng(4).random((2, 90, 70)) < 0.01
    masks[1, 20:60] = False
    packed = PackedMasks.of(masks)
    plan = pairs.plan(packed.places(0), packed.places(1), packed.shape)
    assert len(plan.bands) > 5
    for squares, own, other in zip(pairs.squared_both_ways(plan), masks, masks[::-1], strict=True):
        np.testing.assert_allclose(np.sqrt(squares), distance_transform_edt(~other)[own], rtol=1e-6)


def test_a_plan_leaves_pairs_out_and_takes_the_margin_from_the_points():
    masks = np.random.default_rng(4).random((2, 300, 300)) < 0.01
    packed = PackedMasks.of(masks)
    plan = pairs.plan(packed.places(0), packed.places(1), packed.shape)
    assert plan.cost < 0.4 * np.prod(packed.counts())
    furthest = max(distance_transform_edt(~b)[a].max() for a, b in (masks, masks[::-1]))
    assert furthest / 2 < plan.reach < 2 * furthest


def test_squares_of_large_grids_are_exact():
    """The last digit of these does not fit into float32."""
    one, other = np.array([[0, 1], [0, 5999]]), np.array([[5999], [5998]])
    squares = pairs.squared_both_ways(pairs.plan(one, other, (6000, 6000)))
    assert squares[0].tolist() == [5999**2 + 5998**2, 5998**2 + 1]
    assert squares[1].tolist() == [5998**2 + 1]


def test_shifts_stop_where_they_settle_little():
    """Two lines ten pixels apart: nothing is settled by the first step, so there is no second."""
    a, b = np.zeros((2, 40, 40), bool)
    a[5], b[15] = True, True
    settled, left, reach = shifts.settle_near(PackedMasks.of((a, b)), (1.0, 1.0))
    assert not reach and not any(counts.sum() for _, counts in settled)
    assert np.array_equal(left.mask(0), a) and np.array_equal(left.mask(1), b)


def test_noise_needs_no_tree(monkeypatch):
    def fail(*args):
        raise AssertionError('points are left')

    monkeypatch.setattr(nearest, '_looked_up', fail)
    masks = np.random.default_rng(0).random((2, 384, 384)) < 0.5
    found = distances_both_ways(PackedMasks.of(masks), np.ones(2))
    assert [one.counts.sum() for one in found] == [np.count_nonzero(mask) for mask in masks]


@pytest.mark.parametrize('width', [1, 47, 48, 49, 112, 113])
@pytest.mark.parametrize('levels', [(), (1,), (5,)])
def test_packed_masks_and_their_surfaces(width, levels):
    shape = (*levels, 9, width)
    masks = np.random.default_rng(width).random((2, *shape)) < 0.8
    masks[1] = True
    packed = PackedMasks.of(masks)
    surfaces = packed.surfaces()
    assert packed.counts() == [np.count_nonzero(mask) for mask in masks]
    for number, mask in enumerate(masks):
        assert np.array_equal(packed.mask(number), mask)
        assert np.array_equal(packed.places(number).T, np.argwhere(mask))
        assert np.array_equal(surfaces.mask(number), mask & ~binary_erosion(mask))
    box = (slice(0, 1),) * len(levels) + (slice(2, 7), slice(0, max(1, width // 2)))
    assert np.array_equal(PackedMasks.of(masks, box).mask(0), masks[0][box])


def test_percentiles_are_numpys_bit_for_bit():
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 11, 20, 21, 400, 1001):
        values, counts = np.sqrt(rng.integers(0, 50, size)), rng.integers(0, 4, size)
        counts[0] = 1
        found, all_values = Distances(values, counts), np.repeat(values, counts)
        for share in (0.0, 0.3, 0.5, 0.95, 1.0):
            assert found.percentile(share) == np.percentile(all_values, 100 * share)
            assert Distances.of(values).percentile(share) == np.percentile(values, 100 * share)
        assert found.mean() == pytest.approx(all_values.mean(), rel=1e-14)
