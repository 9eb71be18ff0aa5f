"""Networks of MONAI as students, in volumes and in slices."""

import copy

import pytest
import torch

from mmssl.models.base.several_heads import all_logits
from mmssl.models.losses.deep_supervision import coarse_of
from mmssl.utils.errors import UnknownComponent, UnknownOption
from mmssl.utils.setup import register_all_modules
from tests.tiny import build, raw_batch

DYN = dict(
    network='DynUNet',
    kernel_size=(3, 3, 3, 3),
    strides=(1, 2, 2, 2),
    upsample_kernel_size=(2, 2, 2),
    filters=(4, 6, 8, 10),
)
DEEP = dict(DYN, deep_supervision=True, deep_supr_num=2)
UNET = dict(network='UNet', channels=(4, 8, 16), strides=(2, 2))


def monai(classes=3, **cfg):
    return build(dict(type='MonaiNetwork', num_classes=classes, **cfg))


@pytest.mark.parametrize(
    'cfg, divisors',
    [
        (DYN, (8, 8, 8)),
        (UNET, (4, 4, 4)),
        (
            dict(network='SegResNet', init_filters=8, blocks_down=(1, 1, 1), blocks_up=(1, 1)),
            (4,) * 3,
        ),
        (dict(network='SegResNetDS', init_filters=4, blocks_down=(1, 1, 1), dsdepth=2), (4,) * 3),
        (dict(network='AttentionUnet', channels=(4, 8), strides=(2,)), (2, 2, 2)),
        (dict(network='BasicUNet', features=(4, 4, 4, 4, 4, 4)), (16, 16, 16)),
        (dict(network='BasicUNetPlusPlus', features=(4,) * 6, deep_supervision=True), (16,) * 3),
        (dict(network='SwinUNETR', spatial_dims=2, feature_size=12), (32, 32)),
        (
            dict(
                DYN,
                spatial_dims=2,
                strides=(1, (1, 2), 2, 2),
                upsample_kernel_size=((1, 2), 2, 2),
            ),
            (4, 8),
        ),
    ],
    ids=lambda x: x['network'] if isinstance(x, dict) else '',
)
def test_logits_have_the_size_of_an_odd_image(cfg, divisors):
    net = monai(**cfg).eval()
    assert net.divisors == divisors and net.out_channels == 3
    size = (35, 66) if len(divisors) == 2 else (17, 22, 19)
    x = torch.rand(1, 1, *size)
    found = net(x, mode='tensor')
    assert found.shape == (1, 3, *size) and coarse_of(found) == ()
    with torch.autocast('cpu', torch.bfloat16):
        assert net(x, mode='tensor').isfinite().all()


def test_padding_is_cut_off_at_the_ends():
    net = monai(**UNET).eval()
    x = torch.rand(1, 1, 8, 6, 8)
    padded = torch.nn.functional.pad(x, (0, 0, 0, 2))
    assert torch.equal(net(x, mode='tensor'), net(padded, mode='tensor')[:, :, :, :6])


@pytest.mark.parametrize(
    'cfg, sizes',
    [
        (DEEP, [(8, 8, 8), (4, 4, 4)]),
        (
            dict(network='SegResNetDS', init_filters=4, blocks_down=(1, 1, 1), dsdepth=2),
            [(8, 8, 8)],
        ),
    ],
    ids=['DynUNet', 'SegResNetDS'],
)
def test_coarse_logits_come_in_training_at_their_own_size(cfg, sizes):
    net = monai(**cfg)
    found = net(torch.rand(2, 1, 16, 16, 16), mode='tensor')
    assert [tuple(z.shape[2:]) for z in coarse_of(found)] == sizes
    assert [tuple(z.shape[2:]) for z in all_logits(net, torch.rand(2, 1, 16, 16, 16))] == [
        (16, 16, 16)
    ] * (1 + len(sizes))
    odd = coarse_of(net(torch.rand(2, 1, 16, 13, 16), mode='tensor'))
    assert odd[0].shape[2:] == (8, 7, 8)
    copy.deepcopy(net)  # no graph is kept


def test_dynunets_coarse_logits_are_those_that_monai_enlarges():
    net = monai(**DEEP)
    x = torch.rand(2, 1, 16, 16, 16)
    with torch.no_grad():
        main, half, quarter = net.network(x).unbind(1)
        found = net(x, mode='tensor')
    assert torch.equal(found, main)
    for z, theirs, step in zip(coarse_of(found), (half, quarter), (2, 4), strict=True):
        assert torch.equal(z, theirs[..., ::step, ::step, ::step])


@pytest.mark.parametrize(
    'method, teachers, unsup',
    [
        ('SupOnly', [], None),
        ('MeanTeacher', ['net'], 'consistency_net'),
        ('FixMatch', ['net'], None),
    ],
)
def test_coarse_heads_learn_in_every_supervised_term(method, teachers, unsup):
    """And the teacher follows them."""
    cfg = dict(type=method, students=dict(net=dict(DEEP, type='MonaiNetwork', spatial_dims=2)))
    if teachers:
        cfg['teachers'] = teachers
    model = build(dict(cfg, parts=[[1]]))
    inputs = model.data_preprocessor(raw_batch(), True)['inputs']
    terms = model.loss(inputs)
    terms['loss'].backward()
    heads = model.students['net'].network.deep_supervision_heads
    assert all(p.grad.abs().max() > 0 for p in heads.parameters())
    assert not [k for k, p in model.students.named_parameters() if p.grad is None]


def test_the_term_weighs_the_resolutions():
    model = build(
        dict(
            type='SupOnly',
            students=dict(net=dict(DEEP, type='MonaiNetwork', spatial_dims=2)),
            parts=[[1]],
        )
    )
    inputs = model.data_preprocessor(raw_batch(), True)['inputs']
    torch.manual_seed(0)
    found = model.loss(inputs)['sup_net']
    x, y = inputs['x_w']['net'], inputs['y']['net'].long()
    z = model.students['net'](x, mode='tensor')
    torch.testing.assert_close(found, model.criterion(z, y).detach())
    assert found != model.criterion.loss(z, y)


def test_names_of_the_tensors_are_monais():
    net = monai(**DYN)
    assert {name.partition('.')[0] for name in net.state_dict()} == {'network'}
    net.network.load_state_dict(net.network.state_dict())


@pytest.mark.parametrize(
    'cfg, error, message',
    [
        (dict(network='DynUnett'), UnknownComponent, r'"DynUnett" is not in .* did you mean "Dyn'),
        (dict(UNET, stride=2), UnknownOption, r'"UNet" .* no option "stride"; did you mean "stri'),
        (dict(UNET, out_channels=2), UnknownOption, 'no option "out_channels"'),
        (dict(network='UNet'), UnknownOption, 'needs channels, strides: say what they are'),
        (dict(network='Transchex'), UnknownOption, 'fetches weights by itself'),
        (dict(UNET, divisor=(4, 4)), ValueError, r'divisor=\(4, 4\) .* one number, or 3'),
    ],
)
def test_wrong_networks_and_options_are_named(cfg, error, message):
    register_all_modules()
    with pytest.raises(error, match=message):
        monai(**cfg)


def test_wrong_images_and_networks_that_do_not_segment_are_named():
    with pytest.raises(ValueError, match=r'1 channels and 3 axes, got \(1, 1, 8, 8\)'):
        monai(**UNET)(torch.rand(1, 1, 8, 8), mode='tensor')
    with pytest.raises(ValueError, match='does not segment, or its first stride is not 1'):
        monai(**dict(DYN, strides=(2, 2, 2, 2)))(torch.rand(1, 1, 32, 32, 32), mode='tensor')


def test_a_method_that_looks_into_its_student_says_what_it_takes():
    net = monai(**UNET)
    assert not hasattr(net, 'decode_head')
    with pytest.raises(AttributeError, match='has no decode_head: .* VNetDecoderHead'):
        _ = net.decode_head
    with pytest.raises(AttributeError, match='elsewhere'):
        _ = net.elsewhere
