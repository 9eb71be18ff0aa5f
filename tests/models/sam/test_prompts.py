import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from mmssl.models.sam import prompts
from mmssl.models.sam.connected import (
    class_masks,
    component_roots,
    largest_component,
    largest_component_masks,
    largest_components,
)
from mmssl.models.sam.prompts import (
    distance_transform,
    mask_boxes,
    optimal_points,
    random_pixels,
    random_points,
    scale_boxes,
    scale_points,
    spread_pixels,
)


def picture(*rows: str) -> torch.Tensor:
    """Return the mask that is drawn with #."""
    return torch.tensor([[c == '#' for c in row] for row in rows])


def serpentine(side: int) -> torch.Tensor:
    """Return a snake one pixel wide that fills a square; every second row is its body."""
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[::2] = True
    mask[1::4, -1] = True
    mask[3::4, 0] = True
    return mask


def spiral(side: int) -> torch.Tensor:
    """Return a spiral one pixel wide with gaps one pixel wide, from the rim to the middle."""
    mask = torch.zeros(side + 4, side + 4, dtype=torch.bool)
    y, x, dy, dx = 2, 2, 0, 1
    mask[y, x] = True
    inside = torch.zeros_like(mask)
    inside[2:-2, 2:-2] = True
    while True:
        for _ in range(2):
            ahead = (y + 2 * dy, x + 2 * dx)
            if inside[y + dy, x + dx] and not mask[ahead] and not mask[y + dy, x + dx]:
                break
            dy, dx = dx, -dy
        else:
            return mask[2:-2, 2:-2]
        y, x = y + dy, x + dx
        mask[y, x] = True


def by_scipy(masks: torch.Tensor) -> torch.Tensor:
    flat = masks.flatten(0, -3).numpy() if masks.dim() > 2 else masks[None].numpy()
    return torch.from_numpy(np.stack([largest_component(m) for m in flat])).view(masks.shape)


def test_largest_component_by_hand():
    mask = picture('##..#', '....#', '.#..#', '#....')
    assert torch.equal(largest_component_masks(mask), picture('....#', '....#', '....#', '.....'))
    tie = picture('..#.', '#...', '.#..', '...#')[None].repeat(2, 1, 1)
    tie[1, 0, 2] = False
    assert torch.equal(largest_component_masks(tie)[1], picture('....', '#...', '.#..', '....'))
    first = picture('...#', '#...', '#..#')
    assert torch.equal(largest_component_masks(first), picture('....', '#...', '#...'))
    equal = picture('..#', '#..', '#.#', '..#', '...')
    assert torch.equal(largest_component_masks(equal[1:]), picture('#..', '#..', '...', '...'))


def test_largest_component_of_nothing_of_all_and_of_other_shapes():
    for shape in ((1, 1), (1, 5), (7, 1), (2, 3, 4, 5), (0, 4, 4)):
        for fill in (torch.zeros, torch.ones):
            mask = fill(shape, dtype=torch.bool)
            assert torch.equal(largest_component_masks(mask), mask)


@pytest.mark.parametrize('density', [0.1, 0.3, 0.4, 0.5, 0.7])
@pytest.mark.parametrize('size', [(13, 11), (32, 32), (40, 17)])
def test_largest_component_is_that_of_scipy(density, size):
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(8, 3, *size, generator=generator) < density
    assert torch.equal(largest_component_masks(masks), by_scipy(masks))


@pytest.mark.parametrize('draw', [serpentine, spiral])
@pytest.mark.parametrize('side', [16, 31, 128])
def test_rounds_are_enough_for_winding_shapes(draw, side):
    mask = draw(side)
    assert ndimage.label(mask, np.ones((3, 3)))[1] == 1 and mask.float().mean() > 0.45
    turned = torch.stack([mask, mask.T, mask.flip(0), mask.flip(1), mask.rot90()])
    assert torch.equal(largest_component_masks(turned), turned)
    cut = turned.clone()
    cut[:, side // 4 * 2, side // 2] = False  # in two, unless nothing was there
    cut[:, side // 2, side // 4 * 2] = False
    assert torch.equal(largest_component_masks(cut), by_scipy(cut))


def test_rounds_are_enough_for_chains_of_cells_in_any_order():
    """Hooks follow cell numbers: a snake through cells whose numbers alternate is the worst."""
    generator = torch.Generator().manual_seed(0)
    tree = torch.zeros(4, 127, 127, dtype=torch.bool)
    tree[:, ::2, ::2] = True  # nodes; a random walk's edges make winding trees
    right = torch.rand(4, 64, 63, generator=generator) < 0.5
    tree[:, ::2, 1::2] = right
    tree[:, 1::2, ::2] = torch.rand(4, 63, 64, generator=generator) < 0.45
    assert torch.equal(largest_component_masks(tree), by_scipy(tree))


def test_roots_of_one_component_are_one():
    mask = serpentine(64)
    cells = mask.view(1, 32, 2, 32, 2).transpose(2, 3)
    assert component_roots(cells).unique().numel() == 1


def test_distance_by_hand():
    mask = picture('.....', '.###.', '.####', '.###.')
    root = math.sqrt(2)
    expected = torch.tensor([[1, 1, 1, 0], [1, 2, root, 1], [1, 2, 1, 0]])
    assert torch.allclose(distance_transform(mask)[1:, 1:], expected)
    assert not distance_transform(mask)[0].any() and not distance_transform(mask)[:, 0].any()


@pytest.mark.parametrize('size', [(1, 9), (9, 1), (12, 20), (33, 31)])
@pytest.mark.parametrize('density', [0.5, 0.95, 0.998])
def test_distance_is_that_of_scipy(size, density):
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(3, 2, *size, generator=generator) < density
    masks[..., -1, -1] = False  # scipy has no answer without anything outside
    expected = np.stack([ndimage.distance_transform_edt(m) for m in masks.flatten(0, 1).numpy()])
    assert np.allclose(distance_transform(masks).flatten(0, 1).numpy(), expected, rtol=1e-6)


def test_distance_in_pieces_is_the_same(monkeypatch):
    masks = torch.rand(2, 20, 24) < 0.9
    expected = distance_transform(masks)
    for chunk in (1, 20 * 24 * 2 * 5):
        monkeypatch.setattr(prompts, 'CHUNK', chunk)
        assert torch.equal(distance_transform(masks), expected)


def test_distance_of_a_whole_and_of_an_empty_mask():
    whole = distance_transform(torch.ones(2, 3, 5, dtype=torch.bool))
    assert whole[1].tolist() == [[1, 1, 1, 1, 1], [1, 2, 2, 2, 1], [1, 1, 1, 1, 1]]
    assert not distance_transform(torch.zeros(4, 4, dtype=torch.bool)).any()


def test_optimal_point_by_hand():
    masks = torch.stack(
        [
            picture('#####.', '#####.', '#####.', '#####.', '#####.', '......'),
            torch.zeros(6, 6, dtype=torch.bool),
            picture('......', '...#..', '......', '......', '......', '......'),
        ]
    )
    xy, found = optimal_points(masks)
    # towards the rim of the picture nothing is outside: the corner is the innermost pixel
    assert xy.tolist() == [[0, 0], [0, 0], [3, 1]] and found.tolist() == [True, False, True]
    xy, found = optimal_points(picture('.......', '.#####.', '.#####.', '.#####.', '.......'))
    assert xy[1] == 2 and xy[0] in (2, 3, 4) and found


def test_ties_and_random_points_are_drawn_evenly():
    bar = picture('......', '.####.', '......').expand(4000, 3, 6)
    for draw in (optimal_points, random_points):
        xy, found = draw(bar, torch.Generator().manual_seed(0))
        share = torch.bincount(xy[:, 0].long(), minlength=6) / 4000
        assert found.all() and (xy[:, 1] == 1).all()
        assert share[[0, 5]].sum() == 0 and (share[1:5] - 0.25).abs().max() < 0.03


def test_a_generator_repeats_its_points():
    masks = torch.rand(2, 3, 16, 16) < 0.5
    one, two = (random_points(masks, torch.Generator().manual_seed(3))[0] for _ in range(2))
    assert torch.equal(one, two) and one.shape == (2, 3, 2) and one.dtype == torch.float32
    x, y = one.long().unbind(-1)
    assert masks.flatten(0, 1)[torch.arange(6), y.flatten(), x.flatten()].all()


def test_boxes_by_hand():
    masks = torch.stack([picture('....', '.##.', '..#.'), torch.zeros(3, 4, dtype=torch.bool)])
    boxes, found = mask_boxes(masks)
    assert boxes.tolist() == [[1, 1, 2, 2], [0, 0, 0, 0]] and found.tolist() == [True, False]
    assert mask_boxes(masks, 1)[0].tolist() == [[0, 0, 3, 3], [0, 0, 0, 0]]
    each = mask_boxes(torch.stack([masks[0], masks[0]]), torch.tensor([0, 9]))[0]
    assert each.tolist() == [[1, 1, 2, 2], [0, 0, 4, 3]]


def test_scaled_prompts_are_those_of_the_resized_mask():
    mask = picture('.....', '.##..', '.###.', '.....')
    large = mask.repeat_interleave(3, 0).repeat_interleave(2, 1)
    boxes = scale_boxes(mask_boxes(mask)[0], (4, 5), (12, 10))
    assert torch.equal(boxes, mask_boxes(large)[0])
    assert scale_boxes(mask_boxes(mask)[0], (4, 5), (12, 10), margin=3).tolist() == [0, 0, 10, 11]
    points = scale_points(torch.tensor([[1.0, 2.0], [4.0, 3.0]]), (4, 5), (12, 10))
    assert points.tolist() == [[2.5, 7], [8.5, 10]]  # the middles of 2 x 3 pixels


def test_class_masks_by_hand():
    labels = torch.tensor([[[0, 1], [2, 255]]])
    assert class_masks(labels, 3).int().tolist() == [
        [[[1, 0], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [1, 0]]]
    ]


def test_nothing_looks_at_a_value():
    """On the meta device any look at a value fails."""
    masks = torch.zeros(2, 3, 17, 20, dtype=torch.bool, device='meta')
    assert largest_component_masks(masks).shape == masks.shape
    assert distance_transform(masks).shape == masks.shape
    for draw in (optimal_points, random_points):
        xy, found = draw(masks)
        assert xy.shape == (2, 3, 2) and found.shape == (2, 3)
    boxes, _ = mask_boxes(masks, torch.zeros(2, 3, device='meta'))
    assert boxes.shape == (2, 3, 4)
    labels = torch.zeros(2, 17, 20, dtype=torch.long, device='meta')
    assert class_masks(labels, 3).shape == (2, 3, 17, 20)
    assert largest_components(labels, num_classes=3).shape == labels.shape
    assert largest_components(masks).shape == masks.shape


def test_the_device_form_of_labels_is_that_of_the_cpu():
    from mmssl.models.sam.connected import components_on_device

    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 4, (3, 20, 20), generator=generator, dtype=torch.uint8)
    y[2, 5:] = 0
    parts = (torch.rand(3, 2, 20, 20, generator=generator) < 0.4).float()
    for label, classes in ((y, None), (y, 4), (y.long(), 6), (parts, None)):
        found = components_on_device(label, classes)
        assert torch.equal(found, largest_components(label)) and found.dtype == label.dtype


@pytest.mark.parametrize('draw', [random_pixels, spread_pixels])
def test_several_pixels_are_of_the_mask_and_none_twice(draw):
    masks = torch.rand(3, 2, 7, 9, generator=torch.Generator().manual_seed(0)) > 0.5
    masks[0, 0], masks[1, 1] = False, False
    masks[1, 1, 2, 5:8] = True
    xy, found = draw(masks, 4)
    assert found.sum(-1).tolist() == [[0, 4], [4, 3], [4, 4]]
    assert not xy[~found].any()
    for n, k in ((n, k) for n in range(3) for k in range(2)):
        places = [(int(y), int(x)) for x, y in xy[n, k][found[n, k]]]
        assert len(set(places)) == len(places)
        assert all(masks[n, k, y, x] for y, x in places)


def test_spread_pixels_are_the_same_twice_and_random_ones_all_come():
    masks = torch.ones(200, 2, 3, dtype=torch.bool)
    assert torch.equal(spread_pixels(masks, 2)[0], spread_pixels(masks, 2)[0])
    xy, _ = random_pixels(masks, 2)
    assert len({tuple(one) for one in xy.flatten(0, 1).tolist()}) == 6
