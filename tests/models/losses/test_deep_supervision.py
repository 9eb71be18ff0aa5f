"""The loss over the logits of several resolutions."""

import pytest
import torch

from mmssl.models.losses import DeepSupervisionLoss, DiceCELoss
from mmssl.models.losses.deep_supervision import (
    centre_nearest,
    coarse_of,
    split_coarse,
    with_coarse,
)


def logits(*sizes, classes=3):
    g = torch.Generator().manual_seed(0)
    main, *coarse = (torch.randn(2, classes, *size, generator=g) for size in sizes)
    return with_coarse(main, coarse)


@pytest.mark.parametrize('axes', [2, 3])
def test_each_resolution_is_compared_with_the_label_at_its_size(axes):
    """A half as much as the one before it, and together as much as one loss."""
    z = logits((8,) * axes, (4,) * axes, (2,) * axes)
    y = torch.randint(0, 3, (2, *(8,) * axes), generator=torch.Generator().manual_seed(1))
    one = DiceCELoss()
    small = [y[(slice(None), *(slice(step // 2, None, step),) * axes)] for step in (2, 4)]
    half, quarter = coarse_of(z)
    expected = (4 * one(z, y) + 2 * one(half, small[0]) + one(quarter, small[1])) / 7
    torch.testing.assert_close(DeepSupervisionLoss(one)(z, y), expected)


def test_the_mask_is_brought_to_each_size_too():
    z, y = logits((4, 4), (2, 2)), torch.zeros(2, 4, 4, dtype=torch.long)
    mask = torch.zeros(2, 4, 4)
    mask[:, 1, 1] = 1  # the centre that the coarse voxel reads
    one = DiceCELoss(dice_weight=0)
    small = torch.tensor([[1.0, 0], [0, 0]]).expand(2, 2, 2)
    expected = (2 * one(z, y, mask) + one(coarse_of(z)[0], y[:, :2, :2], small)) / 3
    torch.testing.assert_close(DeepSupervisionLoss(one)(z, y, mask), expected)


def test_without_coarse_logits_it_is_the_loss_itself():
    z, y = torch.randn(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long)
    assert torch.equal(DeepSupervisionLoss(DiceCELoss())(z, y), DiceCELoss()(z, y))


def test_parts_of_a_batch_keep_what_is_beside_them():
    z = logits((4, 4), (2, 2))
    first, second = split_coarse(z, z.double(), [1, 1])
    assert first.dtype == torch.float64 and torch.equal(second.float(), z[1:])
    assert torch.equal(coarse_of(second)[0], coarse_of(z)[0][1:])
    assert coarse_of(split_coarse(z[:], z, [2])[0]) == ()


def test_an_uneven_size_reads_the_nearest_centre():
    assert centre_nearest(torch.arange(7), [3]).tolist() == [1, 3, 5]
    assert centre_nearest(torch.arange(5), [3]).tolist() == [0, 2, 4]
