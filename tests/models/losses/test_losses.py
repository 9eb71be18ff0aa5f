import math

import pytest
import torch

from mmssl.models.losses import CDCRLoss, ConsistencyLoss, DiceBCELoss, DiceCELoss


def test_dice_sums_over_the_whole_batch():
    p = torch.tensor([0.9, 0.2]).view(2, 1, 1, 1)
    logits = torch.cat([torch.log(1 - p), torch.log(p)], dim=1)
    target = torch.tensor([1, 0]).view(2, 1, 1)
    foreground = 1 - 2 * 0.9 / (1 + 0.9**2 + 0.2**2)
    background = 1 - 2 * 0.8 / (1 + 0.1**2 + 0.8**2)
    expected = (foreground + background) / 2
    assert DiceCELoss(ce_weight=0)(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_divides_by_all_pixels():
    logits, target = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2).long()
    mask = torch.tensor([[[1.0, 0], [0, 0]]])
    loss = DiceCELoss(dice_weight=0)(logits, target, mask)
    assert loss.item() == pytest.approx(math.log(2) / 4)


def test_cdcr_by_hand():
    f = torch.log(torch.tensor([[0.8, 0.6], [0.2, 0.4]])).view(1, 2, 1, 2)
    c = torch.log(torch.tensor([[0.7, 0.3], [0.3, 0.7]])).view(1, 2, 1, 2)
    terms = CDCRLoss()(f, c)

    def entropy(p):
        return -(p * math.log(p) + (1 - p) * math.log(1 - p))

    assert terms['consistent'].item() == pytest.approx((entropy(0.8) + entropy(0.7)) / 4 / 2)
    assert terms['discrepant'].item() == pytest.approx(2 * 0.3**2 / 4, rel=1e-5)
    paper = CDCRLoss(entropy='paper')(f, c)['consistent'].item()
    assert paper == pytest.approx((entropy(0.8) + entropy(0.7)) / 4)
    plain = ConsistencyLoss()(f, c)['discrepant'].item()
    assert plain == pytest.approx((2 * 0.1**2 + 2 * 0.3**2) / 4, rel=1e-5)


def test_cdcr_enlarges_the_small_map_on_the_nearest_grid():
    """Two pixels of the conventional network lie in each one of the foundation model."""
    f, c = torch.tensor([0.9, 0.8]), torch.tensor([0.7, 0.4, 0.6, 0.3])
    logits = [torch.stack([p, 1 - p]).log().view(1, 2, 1, -1) for p in (f, c)]
    found = CDCRLoss()(*logits)['discrepant'].item()  # pixels 1 and 3 differ in their class
    assert found == pytest.approx(2 * (0.5**2 + 0.5**2) / 8, rel=1e-5)


def test_cdcr_moves_both_networks():
    f = torch.randn(1, 3, 2, 2, requires_grad=True)
    c = torch.randn(1, 3, 4, 4, requires_grad=True)
    sum(CDCRLoss()(f, c).values()).backward()
    assert f.grad.abs().sum() > 0 and c.grad.abs().sum() > 0


def test_cdcr_stays_finite_on_certain_networks():
    certain = torch.tensor([200.0, -200.0]).view(1, 2, 1, 1).requires_grad_()
    loss = sum(CDCRLoss()(certain, certain).values())
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(certain.grad).all()


def test_unknown_entropy_is_refused():
    with pytest.raises(ValueError, match="'code' or 'paper'"):
        CDCRLoss(entropy='mean')


def test_cdcr_of_overlapping_parts_by_hand():
    f = torch.logit(torch.tensor([0.8, 0.6])).view(1, 2, 1, 1)
    c = torch.logit(torch.tensor([0.7, 0.3])).view(1, 2, 1, 1)
    terms = CDCRLoss(activation='sigmoid')(f, c)

    def entropy(p):
        return -(p * math.log(p) + (1 - p) * math.log(1 - p))

    assert terms['consistent'].item() == pytest.approx((entropy(0.8) + entropy(0.7)) / 2 / 2)
    assert terms['discrepant'].item() == pytest.approx(0.3**2 / 2, rel=1e-5)


def test_dice_bce_masks_each_part_by_itself():
    logits = torch.zeros(1, 2, 1, 2)
    target = torch.tensor([[[[1.0, 0]], [[1, 1]]]])
    mask = torch.tensor([[[[1.0, 0]], [[0, 1]]]])
    dice = 1 - 2 * (0.5 + 0.5) / (2 * (0.25 + 1))
    expected = math.log(2) * 2 / 4 + dice
    assert DiceBCELoss()(logits, target, mask).item() == pytest.approx(expected)


def test_a_target_of_the_other_form_is_refused():
    ids, parts, z = torch.zeros(1, 2, 2).long(), torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    with pytest.raises(ValueError, match=r'DiceCELoss compares class ids .* DiceBCELoss where'):
        DiceCELoss(dice_weight=0)(z, parts)
    with pytest.raises(ValueError, match=r'DiceBCELoss compares parts .*, else DiceCELoss'):
        DiceBCELoss()(z, ids)
    with pytest.raises(ValueError, match='do not fit a label .* data_preprocessor.sizes'):
        DiceCELoss()(z, ids[:, :1])
