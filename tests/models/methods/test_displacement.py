import pytest
import torch

from mmssl.models.methods.abd.displacement import (
    Move,
    displace,
    from_patches,
    nearest,
    patch_confidence,
    replace_unsure,
    to_patches,
    trouble_sure,
)


def index(*numbers):
    return torch.tensor(numbers)


def scores(confidence: list[float]) -> torch.Tensor:
    """Return logits (1, 2, 4, 4) whose 2 x 2 patches have the given confidences in class 0."""
    p = torch.tensor(confidence).view(1, 2, 2).repeat_interleave(2, 1).repeat_interleave(2, 2)
    return torch.stack([p, 1 - p], 1).log()


@pytest.mark.parametrize('grid', [1, 2, 3, 6])
@pytest.mark.parametrize('shape', [(2, 3, 6, 12), (2, 6, 12)])
def test_patches_are_cut_in_reading_order_and_put_together_again(grid, shape):
    x = torch.arange(torch.Size(shape).numel()).view(shape)
    patches = to_patches(x, grid)
    assert patches.shape[:2] == (2, grid * grid)
    h, w = 6 // grid, 12 // grid
    k = grid + grid // 2 if grid > 1 else 0  # a patch of the second row
    row, column = divmod(k, grid)
    expected = x[..., row * h : (row + 1) * h, column * w : (column + 1) * w].flatten(1)
    assert torch.equal(patches[:, k], expected)
    assert torch.equal(from_patches(patches, x, grid), x)


def test_a_grid_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match='grid of 4 x 4 patches does not divide .* 30 x 32 px'):
        to_patches(torch.zeros(1, 1, 30, 32), 4)


def test_the_second_copy_sees_the_first():
    """x2 gets the patch of x1 that x2 has just given."""
    x1, x2 = torch.tensor([[[1, 2], [3, 4]]]), torch.tensor([[[5, 6], [7, 8]]])
    y1, y2 = displace(x1, x2, Move(index(0), index(3), index(1), index(0)), 2)
    assert y1.tolist() == [[[8, 2], [3, 4]]]
    assert y2.tolist() == [[[5, 8], [7, 8]]]
    assert x1.tolist() == [[[1, 2], [3, 4]]], 'the input stays'


def test_images_and_labels_move_alike_and_only_where_asked():
    g = torch.Generator().manual_seed(0)
    x1, x2 = (torch.randint(9, (3, 2, 4, 4), generator=g) for _ in range(2))
    move = Move(index(0, 1, 2), index(3, 2, 1), index(2, 2, 0), index(1, 3, 3))
    where = torch.tensor([True, False, True])
    a1, a2 = displace(x1, x2, move, 2, where)
    b1, b2 = displace(x1[:, 1], x2[:, 1], move, 2, where)
    assert torch.equal(a1[:, 1], b1) and torch.equal(a2[:, 1], b2)
    assert torch.equal(a1[1], x1[1]) and torch.equal(a2[1], x2[1])
    assert torch.equal(a1[0, :, :2, :2], x2[0, :, 2:, 2:])
    assert torch.equal(a2[2, :, :2, :2], x1[2, :, 2:, 2:])


def test_views_of_two_sizes_are_refused():
    move = Move(*[index(0)] * 4)
    with pytest.raises(ValueError, match=r'between views of \(1, 1, 4, 4\) and \(1, 3, 4, 4\)'):
        displace(torch.zeros(1, 1, 4, 4), torch.zeros(1, 3, 4, 4), move, 2)


def test_confidence_by_hand():
    assert patch_confidence(scores([0.9, 0.2, 0.6, 0.5]), 2)[0].tolist() == pytest.approx(
        [0.9, 0.8, 0.6, 0.5]
    )


def test_the_surest_gives_way_to_the_least_sure():
    move = trouble_sure(scores([0.9, 0.6, 0.7, 0.8]), scores([0.7, 0.8, 0.95, 0.55]), 2)
    assert [m.item() for m in move] == [0, 3, 2, 1]


def test_the_least_sure_gives_way_to_the_most_similar_sure_patch():
    # view 1 is unsure in patch 3 (class 1 at 0.55); of view 2's two surest patches the one of
    # class 1 (patch 2) is more like it than the surer one of class 0 (patch 0)
    one, two = scores([0.9, 0.1, 0.8, 0.45]), scores([0.9, 0.6, 0.15, 0.7])
    move = replace_unsure(one, two, 2, top=2)
    assert (move.into1.item(), move.from2.item()) == (3, 2)
    # view 2 is unsure in patch 1 (class 0): patch 0 of view 1 is of class 0, patch 1 is not
    assert (move.into2.item(), move.from1.item()) == (1, 0)
    surest = replace_unsure(one, two, 2, top=2, similar=0.0)
    assert [m.item() for m in surest] == [3, 0, 1, 0]


def test_divergence_is_that_of_the_unsure_patch_from_the_candidate():
    """KL(q | p), not KL(p | q): q is flat over two classes, p_0 has one of them, p_1 all three."""
    q = torch.tensor([0.49, 0.49, 0.02])
    p = torch.tensor([[0.97, 0.02, 0.01], [0.15, 0.2, 0.65]])
    forward = (q * (q / p).log()).sum(1)
    backward = (p * (p / q).log()).sum(1)
    assert forward.argmin() != backward.argmin()
    found = nearest(q.log()[None, None], index(0), p.log()[None], torch.tensor([[0.9, 0.8]]), 2)
    assert found.item() == forward.argmin().item()


def test_the_share_of_similar_patches():
    one = scores([0.9, 0.1, 0.8, 0.45]).expand(400, -1, -1, -1)
    two = scores([0.9, 0.6, 0.15, 0.7]).expand(400, -1, -1, -1)
    chosen = replace_unsure(one, two, 2, top=2, similar=0.5).from2
    assert set(chosen.tolist()) == {0, 2} and 140 < (chosen == 2).sum() < 260
