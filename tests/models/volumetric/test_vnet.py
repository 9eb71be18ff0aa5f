"""The V-Net as a student of mmsegmentation's segmentor."""

import pytest
import torch
from torch import nn

from mmssl.models.volumetric import VNetDecoderHead, VNetEncoder
from tests.tiny import GN, build

WIDTHS = (4, 8, 16, 32, 64)


def vnet(widths=WIDTHS, channels=1, classes=2, encoder=None, **head):
    return build(
        dict(
            type='EncoderDecoder',
            backbone=dict(
                type='VNetEncoder', in_channels=channels, widths=widths, **(encoder or {})
            ),
            decode_head=dict(
                **{'type': 'VNetDecoderHead', **head}, in_channels=widths, num_classes=classes
            ),
        )
    )


def test_parameters_of_the_published_network_and_none_for_slices():
    with torch.device('meta'):
        net = vnet((16, 32, 64, 128, 256))
    assert sum(p.numel() for p in net.parameters()) == 9_448_866
    assert {p.ndim for p in net.parameters()} == {1, 5}
    assert not any(isinstance(m, nn.Conv2d | nn.Dropout2d) for m in net.modules())


def test_maps_halve_and_logits_have_the_size_of_the_volume():
    net = vnet().eval()
    x = torch.rand(2, 1, 32, 48, 16)
    assert [f.shape[1:] for f in net.extract_feat(x)] == [
        (4, 32, 48, 16),
        (8, 16, 24, 8),
        (16, 8, 12, 4),
        (32, 4, 6, 2),
        (64, 2, 3, 1),
    ]
    assert net(x, mode='tensor').shape == (2, 2, 32, 48, 16)


@pytest.mark.parametrize('upsample', ['transposed', 'trilinear', 'nearest'])
def test_odd_sizes_come_back(upsample):
    net = vnet(upsample=upsample).eval()
    assert net(torch.rand(1, 1, 21, 35, 9), mode='tensor').shape == (1, 2, 21, 35, 9)


@pytest.mark.parametrize('kind', ['trilinear', 'nearest'])
def test_a_kernel_of_one_voxel_commutes_with_the_interpolation(kind):
    """It stands before the interpolation, for less work, and gives what it would behind it."""
    up = vnet(upsample=kind, kernel=1).decode_head.ups[0].double().eval()
    x = torch.rand(1, 64, 2, 3, 2, dtype=torch.float64)
    late = up.conv(
        nn.functional.interpolate(
            x, scale_factor=2, mode=kind, align_corners=kind == 'trilinear' or None
        )
    )
    torch.testing.assert_close(up(x, (4, 6, 4)), up.norm(late).relu())


def test_norms_by_the_names_of_slices_are_those_of_volumes():
    for cfg, kind in (
        (dict(type='BN'), nn.BatchNorm3d),
        (dict(type='IN'), nn.InstanceNorm3d),
        (GN, nn.GroupNorm),
    ):
        net = vnet(encoder=dict(norm_cfg=cfg), norm_cfg=cfg)
        norms = {type(m) for m in net.modules() if 'Norm' in type(m).__name__}
        assert norms == {kind}
        assert net(torch.rand(1, 1, 32, 32, 32), mode='tensor').isfinite().all()


def test_dropout_is_of_whole_channels_at_the_smallest_map_and_before_the_logits():
    net = vnet()
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout3d)] == [0.5, 0.5]
    last = net.extract_feat(torch.rand(1, 1, 32, 32, 32))[-1].flatten(2).abs().sum(2)
    assert 0 < (last == 0).sum() < 64
    x = torch.rand(1, 1, 32, 32, 32)
    assert not torch.equal(net(x, mode='tensor'), net(x, mode='tensor'))
    net.eval()
    assert torch.equal(net(x, mode='tensor'), net(x, mode='tensor'))


@pytest.mark.parametrize('shape', [(1, 1, 32, 32), (1, 3, 16, 16, 16)])
def test_slices_and_other_channels_are_named(shape):
    with pytest.raises(ValueError, match=r"takes volumes \(N, 1, D, H, W\), got .*'volume'"):
        vnet()(torch.rand(shape), mode='tensor')


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match='5 widths but 2 numbers in convs'):
        vnet(encoder=dict(convs=(1, 2)))
    with pytest.raises(ValueError, match='5 maps but 2 numbers in convs'):
        vnet(convs=(1, 2))
    with pytest.raises(ValueError, match="upsample must be one of .*, found 'bicubic'"):
        vnet(upsample='bicubic')


def test_two_axes_without_norm():
    """A V-Net of slices without norm layers, as KnowSAM has it: 3 x 3 convolutions, any side."""
    plain = dict(axes=2, dropout=0.0, norm_cfg=dict(type='none'))
    for early in (False, True):
        encoder = VNetEncoder(1, (4, 6, 8), (1, 1, 2), early_skips=early, **plain)
        head = VNetDecoderHead((4, 6, 8), 3, (1, 1), **plain)
        maps = encoder(torch.rand(2, 1, 13, 18))
        assert [tuple(x.shape[1:]) for x in maps] == [(4, 13, 18), (6, 7, 9), (8, 4, 5)]
        assert head(maps).shape == (2, 3, 13, 18)
        kinds = {type(module).__name__ for net in (encoder, head) for module in net.modules()}
        assert not any('3d' in kind or 'Norm' in kind for kind in kinds)
        level = encoder.levels[1](encoder.downs[0](maps[0]))
        assert torch.equal(maps[1], level) != early
    with pytest.raises(ValueError, match='takes images .N, 1, H, W.'):
        encoder(torch.rand(2, 1, 8, 8, 8))
    with pytest.raises(ValueError, match='axes must be 2 .slices. or 3'):
        VNetEncoder(axes=4)
