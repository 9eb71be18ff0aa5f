import pytest
import torch
from torch import nn

from mmssl.models.strategies.contrastive import last_convolution as feature_channels
from tests.tiny import GN, build, raw_batch, segmentor, set_iter


def ss_net(classes=3, norm=None, **kwargs):
    student = segmentor(classes, norm) if norm else segmentor(classes)
    cfg = dict(
        type='SSNet',
        students=dict(unet=student),
        parts=[[i] for i in range(1, classes)],
        contrast=dict(channels=8, memory_size=4),
    )
    cfg.update(kwargs)
    set_iter(5, 10)
    return build(cfg)


def batch_of(model, classes=3, **kwargs):
    return model.data_preprocessor(raw_batch(classes=classes, **kwargs), True)['inputs']


def test_terms_and_total():
    model = ss_net(contrast_weight=0.2)
    out = model.loss(batch_of(model))
    names = ['vat_unet', 'contrast_unet_x_w', 'contrast_unet_u_w']
    assert all(out[name] > 0 for name in names)
    expected = out['sup_unet'] + out['weight'] * sum(out[name] for name in names)
    assert torch.allclose(out['loss'], expected)


@pytest.mark.parametrize('norm', [dict(type='BN'), GN])
def test_features_are_what_the_last_convolution_sees(norm):
    model = ss_net(norm=norm)
    batch = batch_of(model, n_l=2, n_u=3)
    logits = model.forward_views('unet', {view: batch[view]['unet'] for view in ('x_w', 'u_w')})
    assert (len(logits['x_f']), len(logits['u_f'])) == (2, 3)
    for view, features in (('x_w', 'x_f'), ('u_w', 'u_f')):
        again = model.students['unet'].decode_head.conv_seg(logits[features])
        assert torch.allclose(again, logits[view], atol=1e-6)


def test_only_correct_foreground_pixels_are_remembered(monkeypatch):
    model = ss_net()
    contrast, seen = model.contrast['unet'], {}
    monkeypatch.setattr(contrast, 'remember', lambda f, y, correct: seen.update(y=y, ok=correct))
    y = torch.randint(0, 3, (2, 4, 4))
    found = torch.randint(0, 3, (2, 4, 4))
    logits = 9 * nn.functional.one_hot(found, 3).permute(0, 3, 1, 2).float()
    features = torch.randn(2, 4, 4, 4)
    model.separation('unet', dict(x_w=logits, u_w=logits, x_f=features, u_f=features), y)
    assert torch.equal(seen['ok'], ((found == y) & (found > 0)).flatten())
    assert torch.equal(seen['y'], y.flatten())


def test_labels_come_down_to_the_size_of_the_features():
    model = ss_net()
    y = torch.zeros(2, 8, 8).long()
    logits, features = torch.randn(2, 3, 8, 8), torch.randn(2, 4, 4, 4)
    terms = model.separation('unet', dict(x_w=logits, u_w=logits, x_f=features, u_f=features), y)
    assert all(term.isfinite() for term in terms.values())


def test_smoothness_is_measured_at_the_size_of_the_labels():
    model, seen = ss_net(data_preprocessor=dict(sizes=dict(unet=dict(image=32, label=16)))), []
    model.vat = lambda predict, x, student: (seen.append(predict(x)), seen[-1].sum())[1]
    model.loss(batch_of(model))
    assert seen[0].shape[-2:] == (16, 16)


def test_parts_that_overlap():
    model = ss_net(
        classes=2,
        parts=[[1], [1, 2]],
        label_space=dict(type='OverlappingParts'),
        sup_loss=dict(type='DiceBCELoss'),
    )
    assert model.contrast['unet'].num_classes == 3
    assert model.loss(batch_of(model))['loss'].isfinite()


def test_every_parameter_has_a_gradient():
    model = ss_net()
    model.loss(batch_of(model))['loss'].backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_head_without_a_last_convolution_is_refused():
    student = build(segmentor())
    student.decode_head.conv_seg = None
    with pytest.raises(ValueError, match=r'student "unet" \(FCNHead\) has none'):
        feature_channels('unet', student)
