import pytest
import torch

from tests.tiny import GN, build


def unet(channels=1, classes=4, **kwargs):
    return build(
        dict(
            type='EncoderDecoder',
            backbone=dict(type='UNetEncoder', in_channels=channels, **kwargs),
            decode_head=dict(type='UNetDecoderHead', num_classes=classes),
        )
    )


@pytest.mark.parametrize('channels, count', [(1, 1813764), (30, 1817940)])
def test_parameter_count_of_the_published_network(channels, count):
    assert sum(p.numel() for p in unet(channels).parameters()) == count


def test_feature_maps_halve_and_logits_have_the_size_of_the_image():
    net = unet().eval()
    x = torch.rand(2, 1, 48, 32)
    assert [f.shape[1:] for f in net.extract_feat(x)] == [
        (16, 48, 32),
        (32, 24, 16),
        (64, 12, 8),
        (128, 6, 4),
        (256, 3, 2),
    ]
    assert net(x, mode='tensor').shape == (2, 4, 48, 32)


def test_sizes_that_are_no_multiple_of_16_work():
    assert unet().eval()(torch.rand(1, 1, 37, 50), mode='tensor').shape == (1, 4, 37, 50)


def test_dropout_grows_with_the_level():
    rates = [level[3].p for level in unet().backbone.levels]
    assert rates == [0.05, 0.1, 0.2, 0.3, 0.5]


def test_other_widths_and_norms():
    net = build(
        dict(
            type='EncoderDecoder',
            backbone=dict(type='UNetEncoder', widths=(4, 8), dropout=(0, 0), norm_cfg=GN),
            decode_head=dict(
                type='UNetDecoderHead', in_channels=(4, 8), num_classes=2, norm_cfg=GN
            ),
        )
    )
    assert net(torch.rand(1, 1, 8, 8), mode='tensor').shape == (1, 2, 8, 8)


@pytest.mark.parametrize('shape', [(1, 3, 32, 32), (1, 1, 15, 32)])
def test_wrong_channels_or_too_small_images_are_named(shape):
    with pytest.raises(ValueError, match=r'takes 1 channels of at least 16 x 16 pixels, got'):
        unet()(torch.rand(shape), mode='tensor')


def test_a_dropout_rate_for_each_level():
    with pytest.raises(ValueError, match='5 widths but 2 dropout rates'):
        unet(dropout=(0.1, 0.2))


def test_two_stems_lead_into_one_network():
    """Images and features, one by one and together; 4,320 weights more than for images alone."""
    net = build(
        dict(
            type='EncoderDecoder',
            backbone=dict(type='TwoStemUNetEncoder', feature_channels=30),
            decode_head=dict(type='UNetDecoderHead'),
        )
    ).eval()
    stem = net.backbone.feature_stem
    extra = sum(p.numel() for p in stem.parameters())
    assert sum(p.numel() for p in net.parameters()) == 1813764 + extra
    assert stem[0].weight.shape == (16, 30, 3, 3)
    image, phi = torch.rand(2, 1, 32, 32), torch.rand(1, 30, 32, 32)
    plain = unet().eval()
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if 'feature_stem' not in k})
    assert torch.equal(net(image, mode='tensor'), plain(image, mode='tensor'))
    together = net.extract_feat([image, phi])
    apart = zip(net.extract_feat(image), net.extract_feat(phi), strict=True)
    assert all(
        torch.allclose(f, torch.cat(maps), atol=1e-6)
        for f, maps in zip(together, apart, strict=True)
    )
    with pytest.raises(ValueError, match='TwoStemUNetEncoder takes 1 or 30 channels of at least'):
        net(torch.rand(1, 3, 32, 32), mode='tensor')
