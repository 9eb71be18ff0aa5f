"""The options by which diffusion features reach the network that predicts."""

import pytest
import torch
from test_mcsd import batch_of, mcsd

from mmssl.models.methods.mcsd.guidance import GUIDANCE
from mmssl.models.unet.feature_noise import drop_channels
from mmssl.registry import MODELS
from tests.tiny import GN, segmentor

WIDTHS = (4, 6, 8)
DISTILLATION = dict(type='FeatureDistillation', layer='decode_head.convs.0', dim=3, weight=1.0)


def unet(backbone='UNetEncoder', dropout=0.0, **kwargs):
    rates = (dropout,) * 3
    return dict(
        type='EncoderDecoder',
        backbone=dict(type=backbone, widths=WIDTHS, dropout=rates, norm_cfg=GN, **kwargs),
        decode_head=dict(type='UNetDecoderHead', in_channels=WIDTHS, num_classes=2, norm_cfg=GN),
    )


TWO_STEMS = unet('TwoStemUNetEncoder', feature_channels=3)
VARIANTS = {
    'shared': dict(feature_student='unet', students=dict(unet=TWO_STEMS)),
    'agreement': dict(guidance='agreement', label_features=True),
    'confident': dict(guidance='confident', label_features=True),
    'distillation': dict(distillation=DISTILLATION, students=dict(unet=unet())),
}


def gradient_of_a(scale, **options):
    """Return A's gradient where the features are `scale` times the stand-in's."""
    model = mcsd(**options)
    with torch.no_grad():
        model.neck.scale.copy_(model.neck.scale * scale)
    for name, p in model.students.named_parameters():  # so that A and B differ in some pixels
        p.data += torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name)))
    model.loss(batch_of(model))['loss'].backward()
    return {
        name: p.grad
        for name, p in model.students.unet.named_parameters()
        if 'feature_stem' not in name
    }


@pytest.mark.parametrize('variant', VARIANTS)
def test_features_reach_a(variant):
    one, other = (gradient_of_a(s, **VARIANTS[variant]) for s in (1.0, -2.0))
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_features_do_not_reach_a_without_an_option():
    one, other = (gradient_of_a(s, label_features=True) for s in (1.0, -2.0))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize('variant', VARIANTS)
def test_a_predicts_without_features(variant):
    model = mcsd(**VARIANTS[variant]).eval()
    image = {'unet': torch.rand(1, 1, 32, 32)}
    found = model.predict_logits(image, 'unet')
    assert torch.equal(found, model.students.unet(image['unet'], mode='tensor'))
    assert model.neck.calls == [] and model.outputs == ['unet']


# a: shared weights


def test_the_shared_network_differs_in_its_stem_alone():
    model = mcsd(**VARIANTS['shared'])
    encoder = model.students.unet.backbone
    stems = {id(p) for stem in (encoder.levels[0], encoder.feature_stem) for p in stem.parameters()}
    model.students.unet(model.neck(torch.rand(1, 1, 32, 32)), mode='tensor').sum().backward()
    for name, p in model.students.unet.named_parameters():
        own = id(p) not in stems or name.startswith('backbone.feature_stem')
        assert (p.grad is not None) == own, name


@pytest.mark.parametrize('dropout', [None, 0.5])
def test_the_shared_stream_follows_the_weak_label_of_the_same_network(dropout):
    model = mcsd(**VARIANTS['shared'], feature_dropout=dropout)
    batch = batch_of(model)
    out = model.loss(batch)
    terms = {'sup_unet', 'image_unet_u_s', 'image_unet_u_s2', 'feature'}
    assert set(out) == {'loss', 'mask', 'weight', *terms, *(['feature_unet'] if dropout else [])}
    u_w, net = batch['u_w']['unet'][0::2], model.students.unet
    confidence, label = net(u_w, mode='tensor').softmax(1).max(1)
    of_phi = net(model.neck(u_w), mode='tensor')
    expected = model.unsup_criterion(of_phi, label, (confidence >= 0.5).float())
    assert out['feature'].item() == pytest.approx(0.25 * expected.item(), rel=1e-5)


def test_dropped_channels_of_the_shared_network_are_those_of_its_images(monkeypatch):
    seen = []

    def record(f, rate):
        seen.append((len(f), rate))
        return drop_channels(f, rate)

    monkeypatch.setattr('mmssl.models.methods.mcsd.shared.drop_channels', record)
    model = mcsd(**VARIANTS['shared'], feature_dropout=0.5)
    model.loss(batch_of(model))
    assert seen == [(2 + 2, 0.5)] * len(WIDTHS)  # x_w and u_w, not the 2 features


def test_labels_on_the_shared_stream_are_a_term_of_their_own():
    model = mcsd(**VARIANTS['shared'], label_features=True)
    batch = batch_of(model)
    out = model.loss(batch)
    z = model.students.unet(model.neck(batch['x_w']['unet']), mode='tensor')
    expected = model.weights['sup'] * model.criterion(z, batch['y']['unet'])
    assert out['sup_unet_phi'].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_shared_network_predicts_from_features_under_another_name():
    model = mcsd(**VARIANTS['shared'], inference='mean').eval()
    image = torch.rand(1, 1, 32, 32)
    net = model.students.unet
    of_a, of_b = (net(x, mode='tensor') for x in (image, model.neck(image)))
    assert model.outputs == ['mean', 'unet']
    assert torch.equal(model.predict_logits({'unet': image}, 'unet'), of_a)
    assert torch.equal(model.predict_logits({'unet': image}, 'unet_phi'), of_b)
    mean = model.predict_logits({'unet': image}, 'mean').exp()
    assert torch.allclose(mean, (of_a.softmax(1) + of_b.softmax(1)) / 2, atol=1e-6)


# b: guidance


@pytest.mark.parametrize(
    'kind, confidence, label',
    [('agreement', [0.9, 0.0, 0.0, 0.7], [1, 1, 1, 0]),
     ('confident', [0.9, 0.8, 0.8, 0.7], [1, 1, 0, 0])],
)  # fmt: skip
def test_what_two_networks_make_of_a_pixel(kind, confidence, label):
    a = torch.tensor([0.9, 0.8, 0.6, 0.7]), torch.tensor([1, 1, 1, 0])
    b = torch.tensor([0.6, 0.7, 0.8, 0.7]), torch.tensor([1, 0, 0, 0])
    found = GUIDANCE[kind](a, b)
    assert torch.equal(found[0], torch.tensor(confidence))
    assert found[1].tolist() == label


@pytest.mark.parametrize('kind', GUIDANCE)
def test_strong_views_follow_a_and_b_and_b_follows_a(kind):
    """By hand, boxes and partners included."""
    model = mcsd(guidance=kind, label_features=True)
    batch = batch_of(model)
    out = model.loss(batch)
    a, b = model.students.unet, model.students.feature_unet

    def decided(u):
        of_a, of_b = (
            net(x, mode='tensor').softmax(1).max(1) for net, x in ((a, u), (b, model.neck(u)))
        )
        return of_a, GUIDANCE[kind](of_a, of_b)

    u_w = batch['u_w']['unet']
    (own, weak), (_, partner) = decided(u_w[0::2]), decided(u_w[1::2])
    for view, key in (('u_s', 'box'), ('u_s2', 'box2')):
        inside = model.inside_pairs(batch, key, u_w[0::2])[:, 0] > 0
        confidence, label = (torch.where(inside, q, p) for p, q in zip(weak, partner, strict=True))
        images = batch[view]['unet']
        z = a(torch.where(inside[:, None], images[1::2], images[0::2]), mode='tensor')
        expected = 0.125 * model.unsup_criterion(z, label, (confidence >= 0.5).float())
        assert out[f'image_unet_{view}'].item() == pytest.approx(expected.item(), rel=1e-5)
    z = b(model.neck(u_w[0::2]), mode='tensor')
    follows = 0.25 * model.unsup_criterion(z, own[1], (own[0] >= 0.5).float())
    assert out['feature'].item() == pytest.approx(follows.item(), rel=1e-5)
    assert out['sup_feature_unet'] > 0


@pytest.mark.parametrize(
    'options', [dict(), dict(label_features=True, image_level=False), dict(neck=False)]
)
def test_guidance_needs_a_network_b_that_learns_and_strong_views(options):
    with pytest.raises(ValueError, match='needs strong views that are taught and a network B'):
        mcsd(guidance='agreement', **options)


# c: distillation


@pytest.mark.parametrize('loss', ['cosine', 'l2'])
def test_the_term_of_the_distillation_by_hand(loss):
    distillation = dict(DISTILLATION, loss=loss, weight=0.5)
    model = mcsd(distillation=distillation, students=dict(unet=unet()))
    batch = batch_of(model)
    out = model.loss(batch)
    assert set(out) - {'loss', 'mask', 'weight'} == {
        'sup_unet', 'image_unet_u_s', 'image_unet_u_s2', 'distillation'
    }  # fmt: skip
    u_w, net = batch['u_w']['unet'][0::2], model.students.unet
    f = net.decode_head.climb(net.extract_feat(u_w))[0]  # at half the size
    h = model.distillation.head(f)
    phi = torch.nn.functional.avg_pool2d(model.neck(u_w), 2)
    if loss == 'l2':
        expected = (h - phi).square().mean()
    else:
        expected = 1 - ((h * phi).sum(1) / (h.norm(dim=1) * phi.norm(dim=1))).mean()
    assert out['distillation'].item() == pytest.approx(0.5 * expected.item(), rel=1e-5)


def test_the_features_that_are_drawn_are_those_of_the_weak_view_alone():
    """Also where other streams go through the decoder with it."""
    found = []
    for dropout in (None, 0.5):
        model = mcsd(distillation=DISTILLATION, students=dict(unet=unet()), feature_dropout=dropout)
        model.distillation.head.load_state_dict(
            dict(weight=torch.ones(3, 6, 1, 1), bias=torch.zeros(3))
        )
        found.append(model.loss(batch_of(model))['distillation'].item())
    assert found[1] == pytest.approx(found[0], rel=1e-6)


def test_distillation_teaches_the_encoder_and_the_head_but_not_the_projection():
    model = mcsd(**VARIANTS['distillation'], weights=dict(sup=0.0, image=0.0))
    model.loss(batch_of(model))['loss'].backward()
    assert model.students.unet.backbone.levels[0][0].weight.grad.abs().sum() > 0
    assert model.distillation.head.weight.grad.abs().sum() > 0
    assert model.neck.scale.grad is None


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(layer='decode_head.convs.7'), r'"decode_head.convs.7" is no module .* head has'),
        (dict(loss='l1'), "loss must be one of .* found 'l1'"),
    ],
)
def test_what_the_distillation_does_not_know_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        module = MODELS.build(dict(DISTILLATION, **options))
        module.attach(MODELS.build(unet()))


def test_a_single_network_needs_two_stems():
    with pytest.raises(ValueError, match='"unet" is the only network: give it a TwoStem'):
        mcsd(feature_student='unet', students=dict(unet=segmentor(2, GN)))
    with pytest.raises(ValueError, match='both have 1 channels: set feature_channels'):
        MODELS.build(dict(TWO_STEMS['backbone'], feature_channels=1))
