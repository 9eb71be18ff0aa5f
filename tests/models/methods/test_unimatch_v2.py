import pytest
import torch
from torch import nn

from mmssl.engine.hooks.ema_teacher_hook import EMATeacherHook
from mmssl.models.unet.feature_noise import keep_complementary, logits_of_changed_maps
from tests.models.methods.test_unimatch import batch_of
from tests.tiny import BN, GN, build, segmentor, set_iter

CE = nn.functional.cross_entropy


def v2(norm=GN, **kwargs):
    cfg = dict(
        type='UniMatchV2',
        students=dict(unet=segmentor(2, norm)),
        teachers=['unet'],
        parts=[[1]],
        threshold=dict(type='FixedThreshold', value=0.5, strict=False),
    )
    cfg.update(kwargs)
    set_iter(0, 10)
    return build(cfg)


def test_what_one_view_keeps_the_other_loses():
    torch.manual_seed(0)
    maps = [torch.rand(8, 5, 3, 3) + 1, torch.rand(8, 5, 2, 2) + 1, torch.rand(8, 64, 1, 1) + 1]
    kept = keep_complementary(maps)
    factors = [(y / x)[:, :, 0, 0] for x, y in zip(maps, kept, strict=True)]
    assert torch.equal(factors[0].round(), factors[1].round())  # of one width
    for m, x, y in zip(factors, maps, kept, strict=True):
        first, second = m.round().chunk(2)
        assert (first + second == 2).all()
        assert torch.allclose(y, x * m.round()[..., None, None])  # whole channels
        identity = (first == 1).all(1)
        assert identity.sum() == 2, 'half of the 4 pairs'
        assert set(first[~identity].unique().tolist()) == {0.0, 2.0}
    assert ((factors[0].round() == 1).all(1) == (factors[2].round() == 1).all(1)).all()
    other = (keep_complementary(maps)[2] / maps[2])[:, :, 0, 0].round()
    assert not torch.equal(other, factors[2].round()), 'drawn anew'


def test_an_odd_number_of_images_has_no_complement():
    with pytest.raises(ValueError, match='need pairs of images, found 3'):
        keep_complementary([torch.ones(3, 2, 1, 1)])


@pytest.mark.parametrize('network', ['UNetEncoder', 'UNet'])
def test_channels_of_the_encoder_are_dropped(network):
    """Also where encoder and decoder are one backbone; all five maps, none of the decoder."""
    whole = network == 'UNet'
    widths = [4, 8, 16, 32, 64]
    backbone = dict(type='UNet', in_channels=1, base_channels=4) if whole else dict(
        type='UNetEncoder', widths=widths, dropout=(0,) * 5
    )  # fmt: skip
    head = dict(
        type='FCNHead', num_convs=0, in_channels=4, channels=4, concat_input=False,
        dropout_ratio=0, num_classes=2,
    ) if whole else dict(type='UNetDecoderHead', in_channels=widths, num_classes=2)  # fmt: skip
    net = build(dict(type='EncoderDecoder', backbone=backbone, decode_head=head)).eval()
    x, seen = torch.rand(2, 1, 32, 32), []

    def change(maps):
        seen.extend(m.shape[1] for m in maps)
        return [torch.zeros_like(m) for m in maps]

    plain = logits_of_changed_maps(net, x, list)
    assert torch.equal(plain, net(x, mode='tensor'))
    changed = logits_of_changed_maps(net, x, change)
    assert seen == widths
    assert torch.allclose(changed[0], changed[1]), 'nothing of the image is left'
    assert not torch.allclose(plain[0], plain[1])


def by_hand(model, batch, student):
    """Return the terms of the two strong views; `student` gives the logits of both."""
    prob = model.teachers.unet(batch['u_w']['unet'], mode='tensor').softmax(1)
    confidence, label = prob.max(1)
    mixed = {}
    for view, key in (('u_s', 'box'), ('u_s2', 'box2')):
        left, top, width, height = batch[key][0][:4].tolist()
        rows, columns = slice(top, top + height), slice(left, left + width)
        values = []
        for value in (batch[view]['unet'], label, confidence):
            value, partner = value.clone(), value.flip(0)
            value[..., rows, columns] = partner[..., rows, columns]
            values.append(value)
        mixed[view] = values
    logits = student(torch.cat([images for images, _, _ in mixed.values()]))
    terms = {}
    for z, (view, (_, y, c)) in zip(logits.chunk(2), mixed.items(), strict=True):
        terms[f'image_unet_{view}'] = 0.25 * (CE(z, y, reduction='none') * (c >= 0.5)).mean()
    return terms


def moved(model):
    for seed, p in enumerate(model.teachers.parameters()):
        p.data += 0.5 * torch.randn(p.shape, generator=torch.Generator().manual_seed(seed))
    model.teachers.eval()
    return model


@pytest.mark.parametrize('complementary', [True, False])
def test_terms_by_hand(complementary):
    model = moved(v2(complementary=complementary))
    batch = batch_of(model, n_u=3 + complementary)
    net = model.students.unet

    def student(x):
        torch.manual_seed(7)
        if complementary:
            return logits_of_changed_maps(net, x, keep_complementary)
        return net(x, mode='tensor')

    expected = by_hand(model, batch, student)
    torch.manual_seed(7)
    out = model.loss(batch)
    expected['sup_unet'] = 0.5 * CE(net(batch['x_w']['unet'], mode='tensor'), batch['y']['unet'])
    assert set(out) == {'loss', 'weight', 'mask_unet', *expected}
    for name, value in expected.items():
        assert out[name].item() == pytest.approx(value.item(), rel=1e-5), name
    assert out['loss'].item() == pytest.approx(sum(v.item() for v in expected.values()), rel=1e-5)


def test_labelled_images_keep_their_channels_and_their_own_pass():
    """The two strong views share batch statistics, the labelled images have their own."""
    model = v2(norm=BN)
    sizes = []
    layer = next(m for m in model.students.unet.modules() if isinstance(m, nn.BatchNorm2d))
    layer.register_forward_hook(lambda module, args, result: sizes.append(len(args[0])))
    batch = batch_of(model)
    model.loss(batch)
    assert sorted(sizes) == [2, 8]


def test_the_teacher_averages_its_buffers_and_uses_them():
    model = v2(norm=BN)
    model.train()
    hook = EMATeacherHook(momentum=0.996, buffers='ema', mode='eval')
    hook.pair(model)
    hook.set_mode()
    assert not model.teachers.training
    name, statistic = next(
        (k, v) for k, v in model.students.unet.named_buffers() if k.endswith('running_mean')
    )
    teacher = dict(model.teachers.unet.named_buffers())[name]
    before = teacher.clone()
    model.loss(batch_of(model))
    assert torch.equal(teacher, before), 'its own pass changes nothing'
    hook.update(1)
    assert not torch.equal(statistic, before)
    assert torch.allclose(teacher, 0.5 * before + 0.5 * statistic)


def test_every_student_needs_a_teacher():
    with pytest.raises(ValueError, match=r"name \['unet'\] in `teachers`"):
        v2(teachers=[])


def test_weights_are_named():
    with pytest.raises(
        ValueError, match=r"weights has \['feature'\]; known are \['sup', 'image'\]"
    ):
        v2(weights=dict(feature=0.5))


def test_diagnosis_looks_at_the_teacher():
    model = moved(v2())
    images = {'unet': torch.rand(2, 1, 32, 32)}
    of_teacher = model.teachers.unet(images['unet'], mode='tensor').argmax(1)
    assert torch.equal(model.pseudo_labels(images)['unet'], of_teacher)
