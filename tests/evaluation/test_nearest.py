"""Distances of surface points: each way of finding them gives what SciPy's transform does."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from mmssl.evaluation import nearest

SHAPES = [
    ((40, 130), (1.0, 1.0)),
    ((70, 61), (0.7, 0.7)),
    ((40, 64), (0.7, 1.9)),
    ((6, 20, 70), (1.0, 1.0, 1.0)),
    ((6, 20, 65), (2.5, 1.25, 1.25)),
    ((20, 6, 30), (1.0, 3.0, 2.0)),
]


@pytest.mark.parametrize('way', ['shifts', 'tree', 'transform'])
@pytest.mark.parametrize('shape, sampling', SHAPES, ids=str)
@pytest.mark.parametrize('density', [0.3, 0.02])
def test_every_way_is_exact(way, shape, sampling, density, monkeypatch):
    """Whatever is left by shifts is found by the tree, or by the transform where that is forced."""
    rng = np.random.default_rng(7)
    a, b = rng.random((2, *shape)) < density
    monkeypatch.setattr(nearest, 'FEW', 0 if way == 'shifts' else a.size)
    for name in ('FOUND', 'PLANTED'):
        monkeypatch.setattr(nearest, name, 0 if way != 'transform' else 1e9)
    used = []
    for name in ('_by_shifts', '_by_tree', '_by_transform'):
        call = getattr(nearest, name)
        monkeypatch.setattr(
            nearest, name, lambda *args, c=call, n=name: used.append(n[4:]) or c(*args)
        )
    found = nearest.distances_both_ways(a, b, np.array(sampling))
    assert used[0] == way and (way == 'shifts' or used == [way] * 2)
    for distances, points, surface in zip(found, (a, b), (b, a), strict=True):
        expected = distance_transform_edt(~surface, sampling=sampling)[points]
        np.testing.assert_allclose(np.sort(distances), np.sort(expected), rtol=1e-15, atol=0)


def test_shifts_stop_where_they_settle_little():
    """Two lines ten pixels apart: nothing is settled by the first step, so there is no second."""
    a, b = np.zeros((2, 40, 40), bool)
    a[5], b[15] = True, True
    settled, left = nearest._by_shifts(a, b, (1.0, 1.0))
    assert not any(map(len, settled))
    assert np.array_equal(left[0], a) and np.array_equal(left[1], b)


def test_noise_needs_no_tree(monkeypatch):
    def fail(*args):
        raise AssertionError('points are left')

    monkeypatch.setattr(nearest, '_by_tree', fail)
    monkeypatch.setattr(nearest, '_by_transform', fail)
    a, b = np.random.default_rng(0).random((2, 384, 384)) < 0.5
    found = nearest.distances_both_ways(a, b, np.ones(2))
    assert [len(one) for one in found] == [np.count_nonzero(a), np.count_nonzero(b)]
