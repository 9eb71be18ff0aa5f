import pytest
import torch
from torch import nn

from mmssl.models.base.several_heads import all_logits
from mmssl.models.unet.feature_noise import drop_attended, scale_randomly
from tests.tiny import build, segmentor

WIDTHS = (4, 6, 8, 10)


def network(head=None, widths=WIDTHS, **kwargs):
    return build(
        dict(
            type='EncoderDecoder',
            backbone=dict(type='UNetEncoder', widths=widths, dropout=(0,) * len(widths)),
            decode_head=dict(in_channels=widths, num_classes=3, **head),
            **kwargs,
        )
    )


def parameters(head):
    return sum(
        p.numel()
        for p in build(
            dict(type='EncoderDecoder', backbone=dict(type='UNetEncoder'), decode_head=head)
        ).parameters()
    )


@pytest.mark.parametrize(
    'head, count',
    [
        (dict(type='UNetDecoderHead'), 1_813_764),
        (dict(type='MultiDecoderHead'), 2_577_624),
        (dict(type='MultiDecoderHead', upsample=('bilinear', 'transposed', 'nearest')), 3_210_924),
        (
            dict(
                type='MultiDecoderHead', upsample=('bilinear', 'transposed', 'nearest', 'bicubic')
            ),
            3_844_224,
        ),
        (dict(type='UNetPyramidHead'), 1_831_060 - 9_220),
    ],
    ids=['U-Net', 'MC-Net', 'MC-Net+', 'four decoders', 'URPC'],
)
def test_as_many_parameters_as_published(head, count):
    assert parameters(head) == count


@pytest.mark.parametrize('side', [16, 21])
@pytest.mark.parametrize('upsample', ['bilinear', 'transposed', 'nearest', 'bicubic'])
def test_every_upsampling_comes_back_to_the_size_of_the_image(upsample, side):
    student = network(dict(type='UNetDecoderHead', upsample=upsample))
    assert student(torch.rand(2, 1, side, side), mode='tensor').shape == (2, 3, side, side)


def test_unknown_upsampling_is_refused():
    with pytest.raises(ValueError, match="upsample must be one of .* found 'linear'"):
        network(dict(type='UNetDecoderHead', upsample='linear'))


def test_the_trained_decoders_hold_a_plain_u_net():
    """The first decoder has a lone decoder's names and predicts what it would."""
    several, plain = network(dict(type='MultiDecoderHead')), network(dict(type='UNetDecoderHead'))
    weights = {k: v for k, v in several.state_dict().items() if '.others.' not in k}
    plain.load_state_dict(weights)
    x = torch.rand(2, 1, 16, 16)
    assert torch.equal(several(x, mode='tensor'), plain(x, mode='tensor'))
    first, second = all_logits(several, x)
    assert torch.equal(first, plain(x, mode='tensor')) and not torch.equal(first, second)


def test_the_pyramid_looks_from_the_image_to_the_smallest_map():
    """Side logits come at the main one's size, constant on the squares of their own grid."""
    student = network(dict(type='UNetPyramidHead', noise=(None, None)))
    main, half, quarter = all_logits(student, torch.rand(2, 1, 16, 16))
    assert main.shape == half.shape == quarter.shape == (2, 3, 16, 16)
    for logits, size in ((half, 2), (quarter, 4)):
        assert torch.equal(
            logits,
            logits[..., ::size, ::size].repeat_interleave(size, -1).repeat_interleave(size, -2),
        )
    assert not torch.equal(
        half, half[..., ::4, ::4].repeat_interleave(4, -1).repeat_interleave(4, -2)
    )


def test_noise_reaches_the_sides_in_training_alone():
    student = network(dict(type='UNetPyramidHead', noise=('dropout', 'attention')))
    x = torch.rand(2, 1, 16, 16)
    a, b = all_logits(student, x), all_logits(student, x)
    assert torch.equal(a[0], b[0])
    assert not torch.equal(a[2], b[2])
    student.eval()
    a, b = all_logits(student, x), all_logits(student, x)
    assert all(torch.equal(i, j) for i, j in zip(a, b, strict=True))


@pytest.mark.parametrize(
    'noise, message',
    [
        (('dropout',), 'has 2 side outputs but 1 entries in noise'),
        (
            ('dropout', 'salt'),
            r"noise has \['salt'\]; known are \['dropout', 'attention', 'scale'\]",
        ),
    ],
)
def test_wrong_noise_is_refused(noise, message):
    with pytest.raises(ValueError, match=message):
        network(dict(type='UNetPyramidHead', noise=noise))


def test_attention_drops_from_each_image_its_most_active_pixels():
    x = torch.tensor([[1.0, 2.0], [8.0, 10.0]]).view(2, 1, 1, 2)
    found = drop_attended(x, 0.75, 0.75)
    assert found.flatten().tolist() == [1, 0, 0, 0]  # 8 is above 0.75 * 10 too


def test_scaling_noise_is_one_map_for_all_images_within_its_span():
    x = torch.ones(3, 2, 8, 8)
    found = scale_randomly(x)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    assert 0.7 <= found.min() < 0.8 and 1.2 < found.max() <= 1.3


def test_auxiliary_heads_of_a_stock_segmentor_count():
    cfg = segmentor(classes=3)
    aux = dict(cfg['decode_head'], in_channels=8, channels=8, in_index=0)
    for heads, count in ((None, 1), (aux, 2), ([aux, aux], 3)):
        student = build(
            dict(cfg, decode_head=dict(cfg['decode_head'], in_index=1), auxiliary_head=heads)
        )
        logits = all_logits(student, torch.rand(2, 1, 16, 16))
        assert [tuple(y.shape) for y in logits] == [(2, 3, 16, 16)] * count
    assert isinstance(student.auxiliary_head, nn.ModuleList)
