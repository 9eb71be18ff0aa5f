"""Class scores at other sizes: the arg-max, and volumes plane by plane."""

import pytest
import torch
import torch.nn.functional as F

from mmssl.utils.resize import best_class, classes_at, planes_at, resize_nearest


def scores(*shape):
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_best_class_is_the_arg_max():
    found = best_class(scores(2, 3, 130, 4, 5))
    assert torch.equal(found, scores(2, 3, 130, 4, 5).argmax(1).to(torch.uint8))
    assert best_class(scores(2, 3, 70)).dtype == torch.uint8


@pytest.mark.parametrize('size', [(50, 9, 11), (7, 20, 11), (1, 5, 6), (23, 12, 11)])
@pytest.mark.parametrize('shape', [(23, 12, 11), (1, 4, 5)])
def test_planes_are_those_of_trilinear_interpolation(size, shape):
    given = scores(2, 3, *shape).double()
    found = torch.empty(2, 3, *size).double()
    for planes, values in planes_at(given, size, lambda x: x.softmax(1), depth=5):
        assert values.shape[2] <= 5
        found[:, :, planes] = values
    wanted = F.interpolate(given.softmax(1), size, mode='trilinear', align_corners=False)
    assert (found - wanted).abs().max() < 1e-9
    classes = classes_at(given, size)
    if size != shape:
        assert (classes != wanted.argmax(1)).float().mean() < 1e-3
    assert classes.dtype == torch.uint8 and classes.shape == (2, *size)


def test_slices_keep_their_grid_of_classes():
    given = scores(2, 3, 12, 11)
    wanted = resize_nearest(given.argmax(1), (20, 7))
    assert torch.equal(classes_at(given, (20, 7)).long(), wanted)
