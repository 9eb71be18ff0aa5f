import math

import pytest
import torch

from mmssl.models.strategies.frequency import fmix_noise_shape, low_frequency_image, mix_amplitude
from mmssl.models.strategies.mixers import View, cow_region
from mmssl.registry import MIXERS

SIDE = 16


def views(n_l=2, n_u=4, channels=None):
    """Return a labelled view of ones and an unlabelled one of zeros."""

    def view(n, value):
        label = torch.full((n, SIDE, SIDE), value, dtype=torch.long)
        if channels:
            label = torch.full((n, channels, SIDE, SIDE), float(value))
        mask = torch.full_like(label, float(value), dtype=torch.float)
        return View(torch.full((n, 1, SIDE, SIDE), float(value)), label, mask)

    return view(n_l, 1), view(n_u, 0)


def mix(cfg, x, u, box=None):
    return MIXERS.build(cfg)(x, u, u.image, box, (SIDE, SIDE))


@pytest.mark.parametrize('name', ['CutMix', 'CowMix', 'FMix'])
@pytest.mark.parametrize('channels', [None, 2])
def test_image_label_and_mask_change_in_the_same_region(name, channels):
    x, u = views(channels=channels)
    same, mixed = mix(dict(type=name), x, u, torch.tensor([[2, 3, 5, 7]] * 4))
    assert same is x
    inside = mixed.image[:, 0]
    assert 0 < inside.mean() < 1
    for value in (mixed.label, mixed.mask):
        value = value if value.dim() == 4 else value[:, None]
        assert torch.equal(value.float(), inside[:, None].expand_as(value))


def test_cutmix_pastes_the_box_and_needs_one():
    x, u = views()
    _, mixed = mix(dict(type='CutMix'), x, u, torch.tensor([[2, 3, 5, 7]] * 4))
    expected = torch.zeros(SIDE, SIDE)
    expected[3:10, 2:7] = 1
    assert torch.equal(mixed.image[3, 0], expected)
    with pytest.raises(ValueError, match='no "box": add RandomPasteBox'):
        mix(dict(type='CutMix'), x, u)


def test_partner_is_the_next_unlabelled_image_where_asked_for():
    x, u = views(n_u=3)
    u = View(torch.arange(3.0).view(3, 1, 1, 1).expand_as(u.image), *u[1:])
    cut = dict(type='CutMix', partner='unlabelled')
    _, mixed = mix(cut, x, u, torch.tensor([[0, 0, 1, 1]] * 3))
    assert mixed.image[:, 0, 0, 0].tolist() == [1, 2, 0]
    assert mixed.image[:, 0, 5, 5].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="partner must be 'labelled' or 'unlabelled', found 'me'"):
        MIXERS.build(dict(cut, partner='me'))


@pytest.mark.parametrize('channels', [None, 2])
def test_classmix_pastes_half_of_the_classes_rounded_down(channels):
    x, u = views(n_l=2, n_u=2, channels=channels)
    classes = torch.zeros(SIDE, SIDE, dtype=torch.long)
    classes[4:8], classes[8:] = 1, 3  # three classes: one is pasted
    if channels:
        parts = torch.stack([classes % 2, classes // 2]).float()
        x = x._replace(label=parts[None].repeat(2, 1, 1, 1))
    else:
        x = x._replace(label=classes[None].repeat(2, 1, 1))
    chosen = set()
    for seed in range(12):
        torch.manual_seed(seed)
        _, mixed = mix(dict(type='ClassMix'), x, u)
        for one in mixed.image[:, 0]:
            found = classes[one == 1].unique().tolist()
            assert len(found) == 1 and torch.equal(one == 1, classes == found[0])
            chosen.update(found)
    assert chosen == {0, 1, 3}


def test_classmix_tells_all_combinations_of_three_parts_apart():
    x, u = views(channels=3)
    left = torch.arange(SIDE) < SIDE // 2
    parts = torch.stack([left, left, ~left]).float()  # parts 1 and 2, or part 3
    x = x._replace(label=parts[None, :, None].expand_as(x.label))
    assert mix(dict(type='ClassMix'), x, u)[1].image.mean((1, 2, 3)).tolist() == [0.5] * 4


def test_classmix_pastes_nothing_of_a_single_class():
    x, u = views()
    assert not mix(dict(type='ClassMix'), x, u)[1].image.any()


def test_cow_region_has_about_the_asked_proportion_and_larger_spots_for_larger_sigma():
    torch.manual_seed(0)
    noise = torch.randn(3, 1, 64, 64)
    part = torch.tensor([0.2, 0.5, 0.8])
    fine = cow_region(noise, torch.full((3,), 1.0), part, 8.0)
    coarse = cow_region(noise, torch.full((3,), 6.0), part, 8.0)
    assert torch.allclose(fine.mean((1, 2, 3)), part, atol=0.05)

    def edges(mask):
        return (mask[..., 1:] != mask[..., :-1]).sum()

    assert edges(fine) > 3 * edges(coarse)


def test_every_image_has_a_proportion_of_its_own():
    cow, (x, _) = MIXERS.build(dict(type='CowMix', sigma=(1.0, 1.0))), views(n_l=16)
    part = cow.region(x, None, (64, 64)).mean((1, 2, 3))
    assert part.max() - part.min() > 0.3 and 0.1 < part.min() and part.max() < 0.9


def test_cow_region_by_hand():
    """Noise at one pixel only: the smoothed noise is highest there, half a side is below it."""
    noise = torch.zeros(999, 1, 5, 5)
    noise[..., 2, 2] = 1.0
    part = torch.linspace(0.001, 0.999, 999)
    found = cow_region(noise, torch.ones(999), part, 1.0)
    g = torch.exp(-0.5 * (torch.arange(5.0) - 2) ** 2) / math.sqrt(2 * math.pi)
    smooth = g[:, None] * g
    assert torch.equal(found[499, 0] == 1, smooth <= smooth.mean())
    quantile = smooth.std(correction=0) * torch.special.ndtri(part) + smooth.mean()
    same = (found[:, 0] == 1) == (smooth <= quantile.view(-1, 1, 1))
    assert same.flatten(1).all(1).float().mean() > 0.99  # but for rounding


@pytest.mark.parametrize('spectrum', ['code', 'paper'])
def test_fmix_region_is_as_large_as_drawn(spectrum, monkeypatch):
    monkeypatch.setattr(torch, '_standard_gamma', lambda a: torch.tensor([[1.0] * 4, [3.0] * 4]))
    x, u = views()
    _, mixed = mix(dict(type='FMix', spectrum=spectrum), x, u)
    assert mixed.image.mean((1, 2, 3)).tolist() == [0.25] * 4


@pytest.mark.parametrize('side', [15, 16])
def test_low_frequencies_are_stronger(side):
    torch.manual_seed(0)
    noise = torch.randn(4, *fmix_noise_shape((side, side)))
    image = low_frequency_image(noise, (side, side), 3.0, 'paper')
    amplitude = torch.fft.rfft2(image).abs().mean((0, 1))
    assert image.shape == (4, 1, side, side)
    assert amplitude[1, 1] > 20 * amplitude[side // 2, side // 2 - 1]


def test_amplitudes_inside_the_window_are_taken_and_phases_kept():
    torch.manual_seed(0)
    image, style = torch.rand(2, 3, 16, 18), torch.rand(2, 3, 16, 18)
    degree = torch.tensor([0.25, 1.0]).view(2, 1, 1, 1)
    mixed = torch.fft.fft2(mix_amplitude(image, style, 0.125, degree))
    old, new = torch.fft.fft2(image), torch.fft.fft2(style)
    rows, columns = torch.arange(16)[:, None], torch.arange(18)
    low = (torch.minimum(rows, 16 - rows) <= 2) & (torch.minimum(columns, 18 - columns) <= 2)
    assert low.sum() == 25
    expected = torch.where(low, (1 - degree) * old.abs() + degree * new.abs(), old.abs())
    assert torch.allclose(mixed, expected * old / old.abs(), atol=1e-3)


def test_fda_changes_the_labelled_image_alone_and_keeps_it_in_range():
    x, u = views(n_l=3, n_u=2)
    torch.manual_seed(0)
    # the preprocessor's input of grey values 0 to 255 with mean 100 and std 50
    x = x._replace(image=(255 * torch.rand(3, 1, SIDE, SIDE) - 100) / 50)
    weak = (40 * torch.rand(2, 1, SIDE, SIDE) - 100) / 50
    fda = MIXERS.build(dict(type='FDA', size=0.0, mean=100.0, std=50.0))
    styled, strong = fda(x, u, weak, None, (SIDE, SIDE))
    assert strong is u and styled.label is x.label and styled.mask is x.mask
    grey, target = styled.image * 50 + 100, weak * 50 + 100
    assert grey.min() > -1e-3 and grey.max() < 255 + 1e-3
    shift = (x.image * 50 + 100).mean((1, 2, 3)) - target[[0, 1, 0]].mean((1, 2, 3))
    moved = (x.image * 50 + 100 - shift.view(-1, 1, 1, 1)).clamp(0, 255)
    assert torch.allclose(grey, moved, atol=1e-2)


@pytest.mark.parametrize(('cfg', 'message'), [
    (dict(type='CowMix', sigma=(4, 2)), 'sigma must be a rising range'),
    (dict(type='CowMix', proportion=(0, 0.5)), r'proportion must be a rising range in \(0, 1\)'),
    (dict(type='FMix', spectrum='x'), "spectrum must be 'code' or 'paper', found 'x'"),
    (dict(type='FMix', alpha=0), 'alpha must be above 0'),
    (dict(type='FDA', size=0.5), r'size must lie in \[0, 0.5\), found 0.5'),
])  # fmt: skip
def test_unknown_options_are_named(cfg, message):
    with pytest.raises(ValueError, match=message):
        MIXERS.build(cfg)
