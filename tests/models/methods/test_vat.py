import pytest
import torch
from torch import nn

from mmssl.models.methods.ss_net.vat import VAT, frozen_statistics, soft_dice, unit_length


def test_soft_dice_sums_over_batch_and_averages_over_classes():
    p, q = torch.tensor([0.9, 0.2]), torch.tensor([0.5, 0.4])
    expected = 0
    for a, b in ((p, q), (1 - p, 1 - q)):
        expected += (1 - 2 * (a * b).sum() / ((a**2).sum() + (b**2).sum())) / 2
    maps = [torch.stack([x, 1 - x], 1).view(2, 2, 1, 1) for x in (p, q)]
    assert soft_dice(*maps).item() == pytest.approx(expected.item(), rel=1e-5)


def test_every_image_gets_a_change_of_the_same_length():
    d = unit_length(torch.randn(3, 2, 4, 4))
    assert torch.allclose(d.flatten(1).norm(dim=1), torch.ones(3))
    assert unit_length(torch.zeros(1, 1, 2, 2)).isfinite().all()


def test_the_direction_is_the_one_that_the_output_depends_on():
    """A network that looks at one pixel is attacked there."""

    def predict(x):
        p = x[:, :1, :1, :1].sigmoid()
        return torch.cat([p, 1 - p], 1)

    x = torch.zeros(2, 1, 3, 3)
    d = VAT(xi=1.0).direction(predict, x, predict(x))
    assert torch.allclose(d.abs()[:, 0, 0, 0], torch.ones(2), atol=1e-4)
    assert d.abs().sum() == pytest.approx(2, abs=1e-3)


def test_the_loss_is_the_distance_at_eps_and_zero_without_a_change():
    def predict(x):
        p = x[:, :1].sum((2, 3), keepdim=True).sigmoid()
        return torch.cat([p, 1 - p], 1)

    x, network = torch.zeros(1, 1, 2, 2), nn.Identity()
    p = predict(x)
    either = [soft_dice(predict(x + sign * 3.0 / 2), p).item() for sign in (1, -1)]  # length 3
    torch.manual_seed(0)
    assert VAT(xi=1.0, eps=3.0)(predict, x, network).item() == pytest.approx(either[0], rel=1e-4)
    assert either[0] == pytest.approx(either[1], rel=1e-4)
    assert VAT(eps=0.0)(predict, x, network).abs() < 1e-6


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Softmax(1))


def test_parameters_learn_from_the_changed_image_alone():
    net, x, seen = network(), torch.rand(2, 1, 8, 8), []

    def predict(images):
        seen.append((torch.is_grad_enabled(), images))
        return net(images)

    torch.manual_seed(1)
    loss = VAT(xi=1.0)(predict, x, net)
    assert all(p.grad is None for p in net.parameters())
    loss.backward()
    assert [grad for grad, _ in seen] == [False, True, True]
    changed = seen[-1][1]
    assert not changed.requires_grad
    net.zero_grad()
    with torch.no_grad():
        p = net(x)
    soft_dice(net(changed), p).backward()
    assert net[0].weight.grad.abs().sum() > 0


def test_only_the_clean_image_moves_the_running_statistics():
    net, once = network(), network()
    x = torch.rand(2, 1, 8, 8)
    VAT()(net, x, net)
    once(x)
    assert all(torch.equal(a, b) for a, b in zip(net.buffers(), once.buffers(), strict=True))
    assert net[1].track_running_stats


def test_tracking_comes_back_after_an_error_and_stays_off_where_it_was():
    net = nn.Sequential(nn.BatchNorm2d(1), nn.BatchNorm2d(1, track_running_stats=False))
    with pytest.raises(KeyError), frozen_statistics(net):
        assert not net[0].track_running_stats
        raise KeyError
    assert [m.track_running_stats for m in net] == [True, False]


def test_half_precision_keeps_the_direction():
    net, x = network(), torch.rand(2, 1, 8, 8)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        d = VAT().direction(net, x, net(x).float().detach())
    assert d.dtype == torch.float32
    assert torch.allclose(d.flatten(1).norm(dim=1), torch.ones(2), atol=1e-4)
