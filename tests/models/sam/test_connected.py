import numpy as np
import pytest
import torch

from mmssl.models.sam.connected import largest_component, largest_components


def by_flooding(mask: np.ndarray) -> np.ndarray:
    """Find the largest component pixel by pixel, the first in reading order where two are."""
    left, best = {tuple(p) for p in np.argwhere(mask)}, set()
    for start in map(tuple, np.argwhere(mask)):
        if start not in left:
            continue
        left.discard(start)
        stack, found = [start], {start}
        while stack:
            y, x = stack.pop()
            for p in [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                if p in left:
                    left.discard(p)
                    found.add(p)
                    stack.append(p)
        best = found if len(found) > len(best) else best
    out = np.zeros_like(mask)
    for p in best:
        out[p] = True
    return out


@pytest.mark.parametrize('density', [0.1, 0.3, 0.5])
def test_largest_component_is_what_flooding_finds(density):
    rng = np.random.default_rng(0)
    for _ in range(40):
        mask = rng.random((13, 11)) < density
        assert np.array_equal(largest_component(mask), by_flooding(mask))


def test_corners_connect_and_classes_and_images_are_apart():
    y = torch.zeros(2, 4, 5, dtype=torch.long)
    y[0, 0, 0] = y[0, 1, 1] = y[0, 2, 2] = 1  # a diagonal of three
    y[0, 0, 3] = y[0, 0, 4] = 1  # two side by side
    y[0, 3, 0] = 2
    y[1, 0, 4] = 1  # alone in its image
    out = largest_components(y)
    expected = y.clone()
    expected[0, 0, 3:] = 0
    assert torch.equal(out, expected) and out.dtype == y.dtype


def test_a_class_that_is_missing_stays_so_and_the_input_is_untouched():
    y = torch.tensor([[[3, 0, 3, 3]]])
    before = y.clone()
    assert largest_components(y).tolist() == [[[0, 0, 3, 3]]]
    assert torch.equal(y, before)
    assert not largest_components(torch.zeros(1, 3, 3)).any()


def test_parts_that_overlap_are_taken_one_by_one():
    parts = torch.zeros(1, 2, 1, 5)
    parts[0, 0, 0, [0, 2, 3]] = 1
    parts[0, 1, 0, [0, 1, 4]] = 1
    out = largest_components(parts)
    assert out.dtype == parts.dtype
    assert out[0, :, 0].tolist() == [[0, 0, 1, 1, 0], [1, 1, 0, 0, 0]]
