import pytest
import torch

from mmssl.models.losses import KLConsistencyLoss, MSEConsistencyLoss
from tests.tiny import BN, GN, build, raw_batch, segmentor, set_iter, unsup_terms


def model_of(kind='MeanTeacher', classes=2, norm=BN, **kwargs):
    cfg = dict(
        type=kind,
        students=dict(unet=segmentor(classes, norm)),
        teachers=['unet'],
        parts=[[i] for i in range(1, classes)],
    )
    cfg.update(kwargs)
    set_iter(5, 10)
    return build(cfg)


def batch_of(model, n_l=2, n_u=3, **kwargs):
    return model.data_preprocessor(raw_batch(n_l, n_u, **kwargs), True)['inputs']


def differ(model):
    """Give the teacher other weights than the student."""
    with torch.no_grad():
        for p in model.teachers.parameters():
            p.mul_(1.5).add_(0.05)


def test_terms_total_and_the_weight_of_a_tenth():
    model = model_of()
    differ(model)
    set_iter(15000, 30000)
    out = model.loss(batch_of(model))
    assert out['consistency_unet'] > 0
    assert out['weight'].item() == pytest.approx(0.02865048)  # exp(-5 / 4) / 10
    expected = out['sup_unet'] + out['weight'] * out['consistency_unet']
    assert out['loss'].item() == pytest.approx(expected.item(), rel=1e-6)


def test_same_weights_without_noise_agree():
    model = model_of(norm=GN, noise_std=0.0)
    assert model.loss(batch_of(model))['consistency_unet'] < 1e-12


def test_consistency_is_the_mean_squared_distance_to_the_teacher():
    model = model_of(norm=GN, noise_std=0.0)
    differ(model)
    batch = batch_of(model)
    term = model.loss(batch)['consistency_unet']
    x = batch['u_w']['unet']
    p = model.students['unet'](x, mode='tensor').softmax(1)
    q = model.teachers['unet'](x, mode='tensor').softmax(1)
    assert term.item() == pytest.approx(((p - q) ** 2).mean().item(), rel=1e-4)


def test_labelled_and_unlabelled_images_share_the_student_pass(monkeypatch):
    model = model_of()
    sizes, student = [], model.students['unet']
    original = student.forward
    monkeypatch.setattr(
        student, 'forward', lambda x, **kw: (sizes.append(len(x)), original(x, **kw))[1]
    )
    model.loss(batch_of(model))
    assert sizes == [5]


def test_consistency_waits_for_its_start():
    model = model_of(start=6)
    differ(model)
    assert model.loss(batch_of(model))['consistency_unet'] == 0
    set_iter(6, 10)
    assert model.loss(batch_of(model))['consistency_unet'] > 0


def test_only_the_student_gets_a_gradient():
    model = model_of()
    differ(model)
    batch = batch_of(model)
    logits = {'unet': model.forward_views('unet', {'u_w': batch['u_w']['unet']})}
    sum(unsup_terms(model, batch, logits).values()).backward()
    assert sum(p.grad.abs().sum() for p in model.students.parameters()) > 0
    assert all(p.grad is None for p in model.teachers.parameters())


def test_every_student_needs_a_teacher():
    with pytest.raises(ValueError, match=r"Every student needs a teacher: name \['b'\]"):
        model_of(students=dict(a=segmentor(), b=segmentor()), teachers=['a'])


def test_other_consistency_and_parts():
    model = model_of(
        classes=2,
        consistency=dict(type='KLConsistencyLoss', channels=1),
        label_space=dict(type='OverlappingParts'),
        parts=[[1], [1, 2]],
        sup_loss=dict(type='DiceBCELoss'),
    )
    assert isinstance(model.consistency, KLConsistencyLoss)
    assert model.loss(batch_of(model, classes=3))['loss'].isfinite()


def test_masked_mean_by_hand():
    p = torch.tensor([[0.9, 0.2], [0.1, 0.8]]).view(1, 2, 1, 2)
    q = torch.tensor([[0.5, 0.5], [0.5, 0.5]]).view(1, 2, 1, 2)
    first = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    assert MSEConsistencyLoss()(p, q, first).item() == pytest.approx(0.16)
    each = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 2)  # a mask for each channel
    assert MSEConsistencyLoss(channels=2)(p, q, each).item() == pytest.approx((0.16 + 0.09) / 2)
    assert MSEConsistencyLoss()(p, q, 0 * first).item() == 0
    with pytest.raises(ValueError, match='channels must be at least 1'):
        MSEConsistencyLoss(channels=0)


def test_divergence_of_a_sure_target_is_finite():
    p, q = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1), torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    assert KLConsistencyLoss()(p, q).isfinite()
    assert KLConsistencyLoss()(q, q) == 0
