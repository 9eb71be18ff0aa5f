import pytest
import torch
from torch import nn

from mmssl.models.strategies.mixing import pairs
from mmssl.structures import Batch
from tests.tiny import BN, GN, build, raw_batch, segmentor, set_iter, unsup_terms


def unimatch(classes=2, norm=BN, **kwargs):
    cfg = dict(
        type='UniMatch',
        students=dict(unet=segmentor(classes, norm)),
        parts=[[i] for i in range(1, classes)],
        threshold=dict(type='FixedThreshold', value=0.5, strict=False),
    )
    cfg.update(kwargs)
    set_iter(0, 10)
    return build(cfg)


def batch_of(model, n_u=4, classes=2, side=32, **kwargs):
    raw = raw_batch(2, n_u, classes, side, **kwargs)
    raw['inputs']['box2'] = torch.tensor([[10, 1, 5, 6]] * n_u)
    return model.data_preprocessor(raw, True)['inputs']


def test_terms_and_total():
    model = unimatch()
    out = model.loss(batch_of(model))
    terms = ['sup_unet', 'image_unet_u_s', 'image_unet_u_s2', 'feature_unet']
    assert all(out[term] > 0 for term in terms)
    assert out['loss'].item() == pytest.approx(sum(out[term].item() for term in terms), rel=1e-6)
    assert 0 < out['mask'] <= 1


def test_no_pixel_over_the_threshold_gives_exactly_zero():
    model = unimatch(threshold=dict(type='FixedThreshold', value=1.0, strict=True))
    out = model.loss(batch_of(model))
    assert [out[t].item() for t in ('image_unet_u_s', 'image_unet_u_s2', 'feature_unet')] == [0] * 3
    assert out['mask'] == 0


def test_masked_dice_by_hand():
    """Two classes, three pixels, of which the last does not count."""
    model = unimatch()
    logits = torch.tensor([[[[0.0, 0.0, 5.0]], [[0.0, 0.0, -5.0]]]])
    target, mask = torch.tensor([[[0, 1, 1]]]), torch.tensor([[[1.0, 1.0, 0.0]]])
    # each class: overlap 0.5, probabilities squared 0.25 + 0.25, target 1: 1 - 1 / 1.5
    assert model.unsup_criterion(logits, target, mask).item() == pytest.approx(1 / 3, abs=1e-4)


def test_a_pixel_at_the_default_threshold_counts():
    confidence = torch.tensor([0.94, 0.95, 0.96])
    assert unimatch(threshold=None).threshold(confidence).tolist() == [False, True, True]


def test_labels_and_confidences_are_mixed_in_the_box():
    """Partner's label and confidence inside the box of u, own ones outside; boxes of u' unused."""
    model = unimatch()
    batch = batch_of(model, n_u=2, side=8)
    batch['box'] = torch.tensor([[1, 2, 3, 2], [0, 0, 8, 8]])
    views, _ = model.prepare(batch, model.step)
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[2:4, 1:4] = True
    u, partner = batch['u_s']['unet']
    mixed = views['u_s']['unet']
    assert mixed.shape[0] == 1
    assert torch.equal(mixed[0, 0][inside], partner[0][inside])
    assert torch.equal(mixed[0, 0][~inside], u[0][~inside])

    seen = {}

    class Record(nn.Module):
        def forward(self, logits, target, mask):
            seen[len(seen)] = target, mask
            return logits.sum() * 0

    model.unsup_criterion = Record()
    confidence = torch.full((1, 8, 8), 0.2)  # the partner is unsure and says class 1
    partners = {'unet': (confidence, torch.ones(1, 8, 8, dtype=torch.long))}
    own = torch.stack([torch.full((1, 8, 8), 3.0), torch.zeros(1, 8, 8)], 1)  # sure of class 0
    logits = {'unet': {v: own for v in ('u_w', 'u_s', 'u_s2', 'u_f')}}
    unsup_terms(model, batch, logits, partners)
    target, mask = seen[0]
    assert torch.equal(target[0], inside.long()), 'labels'
    assert torch.equal(mask[0], (~inside).float()), 'confidences'
    target, mask = seen[2]  # the feature stream is not mixed
    assert not target.any() and mask.all()


def test_the_partner_is_predicted_in_eval_mode_and_the_mode_is_restored():
    model = unimatch()
    student = model.students['unet']
    before = {k: v.clone() for k, v in student.state_dict().items() if 'running' in k}
    model.prepare(batch_of(model), model.step)
    assert student.training and all(m.training for m in student.modules())
    assert all(torch.equal(v, student.state_dict()[k]) for k, v in before.items())


def test_weak_views_share_their_batch_statistics_and_so_do_the_strong_ones(monkeypatch):
    model = unimatch(feature_dropout=None)
    sizes, student = [], model.students['unet']
    original = student.forward
    monkeypatch.setattr(
        student, 'forward', lambda x, **kw: (sizes.append(len(x)), original(x, **kw))[1]
    )
    model.loss(batch_of(model))
    assert sizes == [2, 4, 4]  # partner u', [x_w; u_w], [u_s; u_s2]


def test_dropped_channels_reach_only_the_feature_stream():
    model = unimatch(norm=GN, feature_dropout=0.999)
    batch = batch_of(model)
    views = {'x_w': batch['x_w']['unet'], 'u_w': batch['u_w']['unet'][0::2]}
    logits = model.forward_views('unet', views)
    clean = model.students['unet'](views['u_w'], mode='tensor')
    assert torch.allclose(logits['u_w'], clean, atol=1e-5)
    assert not torch.allclose(logits['u_f'], clean, atol=1e-2)


def test_unlabelled_images_alone_give_a_gradient():
    model = unimatch(weights=dict(sup=0.0))
    model.loss(batch_of(model))['loss'].backward()
    grads = [p.grad.abs().sum() for p in model.parameters() if p.grad is not None]
    assert sum(grads) > 0


@pytest.mark.parametrize('classes', [2, 5])
def test_other_class_counts(classes):
    model = unimatch(classes)
    assert model.loss(batch_of(model, classes=classes, side=24))['loss'].isfinite()


def test_odd_number_of_unlabelled_images_is_refused():
    model = unimatch()
    with pytest.raises(ValueError, match='mixed in pairs, but there are 3'):
        model.loss(batch_of(model, n_u=3))


def test_missing_strong_view_is_named():
    with pytest.raises(ValueError, match='no view "u_s2": add a StrongView'):
        pairs(Batch({'u_w': {}}), 'u_s2', ['unet'])


def test_unknown_weight_is_named():
    with pytest.raises(ValueError, match=r"\['picture'\]; known are \['sup', 'image', 'feature'\]"):
        unimatch(weights=dict(picture=1.0))


def test_pseudo_labels_are_the_students_class_maps():
    model = unimatch(norm=GN).eval()
    x = torch.rand(2, 1, 16, 16)
    maps = model.pseudo_labels({'unet': x})
    assert torch.equal(maps['unet'], model.students['unet'](x, mode='tensor').argmax(1))
