"""The U-Net of SynFoC."""

import pytest
import torch
from sam_parts import build


def network(in_channels: int, classes: int, base: int = 64, **kwargs):
    return build(
        'mmseg.EncoderDecoder',
        backbone=dict(type='UNet', in_channels=in_channels, base_channels=base, **kwargs),
        decode_head=dict(
            type='mmseg.FCNHead',
            num_convs=0,
            in_channels=base,
            channels=base,
            num_classes=classes,
            concat_input=False,
            dropout_ratio=0,
            init_cfg=None,
            loss_decode=dict(type='mmseg.CrossEntropyLoss'),
        ),
    )


@pytest.mark.parametrize(
    'in_channels, classes, want',
    [
        (1, 2, 31_036_546),
        (3, 3, 31_037_763),
        (1, 4, 31_036_676),
    ],
)
def test_parameters_of_the_paper(in_channels, classes, want):
    with torch.device('meta'):
        net = network(in_channels, classes)
    assert sum(p.numel() for p in net.parameters()) == want


@pytest.mark.parametrize('size', [(16, 16), (37, 50)])
def test_output_has_the_size_of_the_image(size):
    net = network(1, 3, base=4)
    assert net(torch.rand(2, 1, *size), mode='tensor').shape == (2, 3, *size)


def test_norm_is_a_config_line():
    net = network(1, 2, base=4, norm_cfg=dict(type='GN', num_groups=2)).double().train()
    x = torch.rand(2, 1, 32, 32, dtype=torch.float64)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
    assert torch.allclose(net(x, mode='tensor')[:1], net(x[:1], mode='tensor'), atol=1e-12)


def test_weights_start_as_pytorch_makes_them():
    torch.manual_seed(1)
    net = build('UNet', in_channels=3, base_channels=4)
    torch.manual_seed(1)
    assert torch.equal(net.stem[0].weight, torch.nn.Conv2d(3, 4, 3, bias=False).weight)
    net.init_weights()
    torch.manual_seed(1)
    assert torch.equal(net.stem[0].weight, torch.nn.Conv2d(3, 4, 3, bias=False).weight)


def test_a_too_small_image_is_named():
    with pytest.raises(ValueError, match='at least 16 x 16 pixels, got 8 x 32'):
        network(1, 2, base=4)(torch.rand(1, 1, 8, 32), mode='tensor')
