import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from mmssl.datasets.transforms.distance import SignedDistance, signed_distance
from mmssl.datasets.transforms.packing import PackSemiInputs


def square(side=9, first=2, last=7):
    gt = np.zeros((side, side), np.uint8)
    gt[first:last, first:last] = 1
    return gt


def test_distances_of_a_square_by_hand():
    found = signed_distance(square() == 1)
    row = found[4]  # through the middle, whose pixel is 3 from the outside
    assert row.tolist() == pytest.approx(
        [2 / 8**0.5, 1 / 8**0.5, 0, -2 / 3, -1, -2 / 3, 0, 1 / 8**0.5, 2 / 8**0.5]
    )
    assert found[0, 0] == 1 and found.dtype == np.float32


def test_inside_of_any_shape_is_what_scipy_says():
    """Also where the mask touches the border of the view, over which nothing is known."""
    rng = np.random.default_rng(0)
    for shape in [(9, 12)] * 20 + [(6, 7, 8)] * 20:
        mask = np.zeros(shape, bool)
        for _ in range(2):
            start = [rng.integers(0, n - 3) for n in shape]
            mask[tuple(slice(s, s + rng.integers(2, 6)) for s in start)] = True
        inside = distance_transform_edt(mask)
        expected = np.where(inside == 1, 0, inside / inside.max())
        np.testing.assert_allclose(np.maximum(-signed_distance(mask), 0), expected, atol=1e-6)


def test_a_mask_of_boundary_alone_has_no_inside():
    mask = np.zeros((5, 5), bool)
    mask[2] = True
    assert signed_distance(mask).min() == 0


def test_along_all_axes_of_a_volume():
    """A ball in a cube: the same from all sides, which slice by slice it would not be."""
    places = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing='ij'))
    found = signed_distance((places**2).sum(0) < 12)
    for axes in ((1, 0, 2), (2, 1, 0)):
        np.testing.assert_array_equal(found, found.transpose(axes))
    assert found[5, 5, 5] == -1 and found[0, 5, 5] < found[0, 0, 0] == 1


@pytest.mark.parametrize('absent', [0.0, 1.0])
def test_without_a_boundary(absent):
    """The released code gives 0 without foreground, and not a number without background."""
    assert (signed_distance(np.zeros((4, 4), bool), absent) == absent).all()
    assert (signed_distance(np.ones((4, 4), bool), absent) == -absent).all()


def test_a_map_for_each_part_goes_into_the_batch():
    gt = square()
    gt[4, 4] = 2
    gt.setflags(write=False)
    results = dict(img=np.zeros((9, 9, 1), np.uint8), gt=gt, labelled=True)
    transform = SignedDistance(parts=[[1, 2], [2], [3]], absent=1)
    maps = PackSemiInputs()(transform(results))['inputs']['x_maps']
    assert maps.dtype == torch.float32 and maps.shape == (3, 9, 9)
    np.testing.assert_array_equal(maps[0], signed_distance(square() == 1))
    np.testing.assert_array_equal(maps[1], signed_distance(gt == 2))
    assert (maps[2] == 1).all()
    assert 'maps' not in transform(dict(img=results['img'], labelled=False))
    of_data = SignedDistance(absent=1)(dict(gt=gt, parts=[[1, 2], [2], [3]]))['maps']
    np.testing.assert_array_equal(of_data, maps)


@pytest.mark.parametrize(
    'options, error',
    [
        (dict(parts=[]), r'parts=\[\]: name the class ids'),
        (dict(parts=[[1], []]), r'name the class ids of each part'),
        (dict(parts=[[1]], absent=2), r'absent = 2: give a distance from 0 to 1'),
    ],
)
def test_options_that_make_no_sense(options, error):
    with pytest.raises(ValueError, match=error):
        SignedDistance(**options)
