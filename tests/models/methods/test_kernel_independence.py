import pytest
import torch
from torch import nn

from mmssl.models.methods.caussl.kernel_independence import KernelIndependence, common_kernels


def random_kernels(networks=2, rows=(3, 4), columns=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [[torch.randn(n, columns, generator=g) for n in rows] for _ in range(networks)]


@pytest.mark.parametrize('networks', [2, 3])
def test_value_as_the_formula_says(networks):
    kernels = random_kernels(networks)
    independence = KernelIndependence([3, 4], networks, std=1.0)
    found = independence(kernels)
    for i in range(networks):
        layers = []
        for layer in range(2):
            others = torch.cat([kernels[j][layer] for j in range(networks) if j != i])
            made = independence.maps[2 * i + layer] @ others
            layers.append(torch.cosine_similarity(made, kernels[i][layer], dim=1).square().mean())
        assert found[i].item() == pytest.approx(sum(layers).item() / 2, rel=1e-4)


def test_maps_begin_with_the_published_deviation():
    entries = torch.cat([p.flatten() for p in KernelIndependence([100]).maps])
    assert entries.std().item() == pytest.approx(1e-3, rel=0.02)


def test_only_the_own_kernels_get_a_gradient():
    kernels = [[w.requires_grad_() for w in network] for network in random_kernels()]
    KernelIndependence([3, 4])(kernels)[0].backward()
    assert all(w.grad.abs().sum() > 0 for w in kernels[0])
    assert all(not w.grad.any() for w in kernels[1])


def test_maps_move_as_adam_moves_them():
    """Two phases of three steps, with torch's optimiser beside."""
    independence = KernelIndependence([3, 4], steps=3)
    maps = [p.clone().requires_grad_() for p in independence.maps]
    adam = torch.optim.Adam(maps, 0.02)
    for phase in range(2):
        kernels = random_kernels(seed=phase)
        pairs = independence._products(kernels)
        for _ in range(3):
            adam.zero_grad()
            (-independence._predictability(maps, pairs).sum()).backward()
            adam.step()
        independence.maximise(kernels)
    for found, expected in zip(independence.maps, maps, strict=True):
        torch.testing.assert_close(found.detach(), expected.detach(), rtol=1e-4, atol=1e-6)


def test_state_goes_on_where_it_was():
    torch.manual_seed(0)
    one, other = (KernelIndependence([3, 4], steps=4) for _ in range(2))
    one.maximise(random_kernels())
    other.load_state_dict(one.state_dict())
    for independence in (one, other):
        independence.maximise(random_kernels(seed=1))
    assert torch.equal(one(random_kernels()), other(random_kernels()))
    assert not any(p.requires_grad for p in one.parameters())


def test_frozen_and_unlike_kernels_are_left_out():
    a, b = (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 1), nn.Linear(2, 2)) for _ in 'ab')
    a[0].weight.requires_grad_(False)
    assert [w.shape for w in common_kernels([a, b])[0]] == [(2, 2)]
    b[1] = nn.Conv2d(2, 3, 1)
    with pytest.raises(ValueError, match='nothing to compare'):
        KernelIndependence([len(w) for w in common_kernels([a, b])[0]])


def test_no_host_sync():
    independence = KernelIndependence([3, 4], steps=2).to('meta')
    kernels = [[w.to('meta') for w in network] for network in random_kernels()]
    independence.maximise(kernels)
    assert independence(kernels).device.type == 'meta'
