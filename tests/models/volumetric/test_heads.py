"""The networks for volumes that predict several times."""

import pytest
import torch
from torch import nn

from mmssl.models.base.several_heads import all_logits
from mmssl.models.methods.caussl.kernel_independence import common_kernels
from mmssl.models.strategies.contrastive import last_convolution, record_input
from tests.tiny import build

WIDTHS = (4, 6, 8, 10)
V_NET = dict(type='VNetEncoder', convs=(1, 1, 1, 1), dropout=0)
U_NET = dict(type='UNet3DEncoder')
THREE = ('transposed', 'trilinear', 'nearest')


def network(head, backbone=V_NET, widths=WIDTHS):
    if head['type'].startswith('VNet'):
        head = {'convs': (1, 1, 1), 'dropout': 0, **head}
    return build(
        dict(
            type='EncoderDecoder',
            backbone=dict(backbone, widths=widths),
            decode_head=dict(head, in_channels=widths, num_classes=3),
        )
    )


def test_distances_stand_beside_the_logits_of_a_plain_v_net():
    """Both see the same map, of which dropout leaves the same channels."""
    torch.manual_seed(0)
    several = network(dict(type='VNetDistanceHead', distances=2, dropout=0.5))
    plain = network(dict(type='VNetDecoderHead', dropout=0.5))
    state = several.state_dict()
    plain.load_state_dict({k: v for k, v in state.items() if 'conv_distance' not in k})
    head, x = several.decode_head, torch.rand(2, 1, 16, 16, 8)
    features = several.extract_feat(x)
    torch.manual_seed(1)
    logits, distances = head.forward_all(features)
    torch.manual_seed(1)
    assert torch.equal(logits, plain.decode_head(features))
    assert distances.shape == (2, 2, 16, 16, 8)
    head.conv_distance.load_state_dict(
        {key: value[:2] for key, value in head.conv_seg.state_dict().items()}
    )
    logits, distances = head.forward_all(features)
    assert torch.equal(distances, logits[:, :2])


@pytest.mark.parametrize(
    'backbone, head, count',
    [
        ('VNetEncoder', dict(type='VNetMultiDecoderHead'), 12_347_716),
        ('VNetEncoder', dict(type='VNetMultiDecoderHead', upsample=THREE), 15_246_566),
        ('VNetEncoder', dict(type='VNetDistanceHead', num_classes=1), 9_448_866),
        ('UNet3DEncoder', dict(type='UNet3DDecoderHead'), 5_884_050),
        ('UNet3DEncoder', dict(type='UNet3DPyramidHead'), 5_884_504),
    ],
    ids=['MC-Net', 'MC-Net+', 'DTC', '3D U-Net', 'URPC'],
)
def test_as_many_parameters_as_released(backbone, head, count):
    with torch.device('meta'):
        net = build(
            dict(
                type='EncoderDecoder',
                backbone=dict(type=backbone),
                decode_head={'num_classes': 2, **head},
            )
        )
    assert sum(p.numel() for p in net.parameters()) == count
    assert {p.ndim for p in net.parameters()} == {1, 5}


def test_the_trained_decoders_hold_a_plain_v_net():
    several = network(dict(type='VNetMultiDecoderHead', upsample=THREE))
    plain = network(dict(type='VNetDecoderHead'))
    plain.load_state_dict({k: v for k, v in several.state_dict().items() if '.others.' not in k})
    x = torch.rand(2, 1, 16, 16, 8)
    found = all_logits(several, x)
    assert torch.equal(found[0], plain(x, mode='tensor')) and len(found) == 3
    assert not torch.equal(found[1], found[2])


def test_kernels_that_all_decoders_share_are_those_outside_the_upsampling():
    head = network(dict(type='VNetMultiDecoderHead', upsample=THREE, kernel=1)).decode_head
    kernels = common_kernels([head, *head.others])
    assert [len(k) for k in kernels[0]] == [3, 8, 6, 4]  # conv_seg and a convolution a step


@pytest.mark.parametrize(
    'backbone, head',
    [
        (V_NET, dict(type='VNetPyramidHead')),
        (U_NET, dict(type='UNet3DPyramidHead', dropout=(0, 0, 0))),
    ],
)
def test_every_scale_predicts_at_the_size_of_the_volume(backbone, head):
    student = network(head, backbone)
    x = torch.rand(2, 1, 16, 24, 8)
    main, *sides = all_logits(student, x)
    assert torch.equal(main, student(x, mode='tensor'))
    assert [tuple(y.shape) for y in (main, *sides)] == [(2, 3, 16, 24, 8)] * 3
    smooth = [y.diff(dim=2).diff(dim=2).abs().mean() / y.std() for y in (main, *sides)]
    assert smooth[0] > smooth[1] > smooth[2], 'from the largest map to the smallest'


def test_noise_reaches_the_sides_in_training_alone():
    student = network(dict(type='VNetPyramidHead', noise=('dropout', 'attention')))
    x = torch.rand(2, 1, 16, 16, 16)
    a, b = all_logits(student, x), all_logits(student, x)
    assert torch.equal(a[0], b[0]) and not torch.equal(a[2], b[2])
    student.eval()
    assert torch.equal(*(torch.stack(all_logits(student, x)) for _ in range(2)))
    with pytest.raises(ValueError, match='VNetPyramidHead has 2 side outputs but 1 entries'):
        network(dict(type='VNetPyramidHead', noise=(None,)))


def test_features_before_the_last_convolution_are_those_of_the_volume():
    """SS-Net's contrast compares them."""
    student = network(dict(type='VNetDecoderHead'))
    last = last_convolution('vnet', student)
    assert isinstance(last, nn.Conv3d) and last.in_channels == 4
    with record_input(last) as seen:
        student(torch.rand(1, 1, 8, 16, 8), mode='tensor')
    assert seen[0].shape == (1, 4, 8, 16, 8)


def test_the_3d_u_net_takes_odd_sizes_and_names_what_is_too_small():
    student = network(dict(type='UNet3DDecoderHead', dropout=(0, 0, 0.3)), U_NET)
    assert student(torch.rand(1, 1, 21, 9, 16), mode='tensor').shape == (1, 3, 21, 9, 16)
    student.init_weights()
    kernel = student.decode_head.convs[0][0].weight
    assert kernel.std().item() == pytest.approx((2 / (18 * 27)) ** 0.5, rel=0.1)
    with pytest.raises(ValueError, match='halves a volume 3 times and needs at least 8 voxels'):
        student(torch.rand(1, 1, 21, 7, 16), mode='tensor')
    with pytest.raises(ValueError, match='has 4 maps but 4 numbers in dropout'):
        network(dict(type='UNet3DDecoderHead'), U_NET)
