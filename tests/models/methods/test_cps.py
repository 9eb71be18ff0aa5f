import pytest
import torch

from mmssl.structures import Batch
from tests.tiny import BN, GN, build, raw_batch, segmentor, set_iter, unsup_terms


def cps(classes=2, norm=GN, method='CPS', **kwargs):
    cfg = dict(
        type=method,
        parts=[[i] for i in range(1, classes)],
        students=dict(unet=segmentor(classes, norm), unet2=segmentor(classes, norm)),
    )
    cfg.update(kwargs)
    set_iter(5, 10)
    return build(cfg)


def batch_of(model, n_u=4, classes=2, side=16, **kwargs):
    raw = raw_batch(2, n_u, classes, side, **kwargs)
    return Batch(model.data_preprocessor(raw, True)['inputs'])


def logits(*p):
    """Return logits (1, 2, 1, n) of pixels that are of class 1 with these probabilities."""
    p = torch.tensor(p)
    return torch.stack([1 - p, p]).log()[None, :, None]


def test_each_follows_the_other_by_hand():
    """Class 1 where p > 1/2: labels 1 0 of the first student, 0 0 of the second one."""
    model = cps(cps_weight=2.0)
    given = {'unet': {'u_w': logits(0.9, 0.2)}, 'unet2': {'u_w': logits(0.4, 0.3)}}
    terms = {name: term.item() for name, term in unsup_terms(model, {}, given, {}).items()}
    expected = {
        'cps_unet': -torch.tensor([0.1, 0.8]).log().mean().item() * 2,
        'cps_unet2': -torch.tensor([0.4, 0.7]).log().mean().item() * 2,
    }
    assert terms == pytest.approx(expected, rel=1e-5)


def test_labelled_images_count_where_asked_for():
    model = cps(on_labelled=True)
    given = {
        'unet': {'x_w': logits(0.9), 'u_w': logits(0.2)},
        'unet2': {'x_w': logits(0.7), 'u_w': logits(0.3)},
    }
    expected = -torch.tensor([0.9, 0.8]).log().mean().item()  # labels 1 of x_w and 0 of u_w
    assert unsup_terms(model, {}, given, {})['cps_unet'].item() == pytest.approx(expected, rel=1e-5)


def test_three_students_learn_from_two_each():
    model = cps(students={name: segmentor() for name in 'abc'})
    given = {'a': {'u_w': logits(0.9)}, 'b': {'u_w': logits(0.4)}, 'c': {'u_w': logits(0.7)}}
    expected = -torch.tensor([0.1, 0.9]).log().sum().item()
    assert unsup_terms(model, {}, given, {})['cps_a'].item() == pytest.approx(expected, rel=1e-5)


def test_pseudo_labels_carry_no_gradient():
    model = cps()
    model.loss(batch_of(model))  # the batch works
    given = {name: {'u_w': logits(0.9, 0.2).requires_grad_()} for name in model.students}
    unsup_terms(model, {}, given, {})['cps_unet'].backward()
    assert given['unet']['u_w'].grad.abs().sum() > 0
    assert given['unet2']['u_w'].grad is None


def test_total_is_ramped():
    model = cps(ramp=dict(type='ConstantRamp', scale=0.25))
    out = model.loss(batch_of(model))
    sup, unsup = (sum(out[f'{kind}_{name}'] for name in model.students) for kind in ('sup', 'cps'))
    assert out['loss'].item() == pytest.approx((sup + 0.25 * unsup).item(), rel=1e-6)


def test_labelled_and_unlabelled_share_their_batch_statistics(monkeypatch):
    model = cps(norm=BN)
    sizes, student = [], model.students['unet']
    original = student.forward
    monkeypatch.setattr(
        student, 'forward', lambda x, **kw: (sizes.append(len(x)), original(x, **kw))[1]
    )
    model.loss(batch_of(model))
    assert sizes == [6]


def test_cutmix_mixes_images_and_labels_alike():
    """Inside the box u' with its label, outside u with its own; half as many images."""
    model = cps(cutmix=True)
    batch = batch_of(model, n_u=2, side=8)
    batch['box'] = torch.tensor([[1, 2, 3, 2], [0, 0, 8, 8]])
    u, partner = batch['u_w']['unet']
    calls = []

    def paint(name, views):  # class 1 for the partner everywhere, class 0 for u
        calls.append((name, torch.is_grad_enabled()))
        z = logits(*[0.1] * 8).expand(1, 2, 8, 8)
        return {'u': z, 'partner': z.flip(1)}

    model.forward_views = paint
    views, targets = model.prepare(batch, model.step)
    mixed = views['u_m']['unet']
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[2:4, 1:4] = True
    assert mixed.shape == (1, 1, 8, 8)
    assert torch.equal(mixed[0, 0][inside], partner[0][inside])
    assert torch.equal(mixed[0, 0][~inside], u[0][~inside])
    assert torch.equal(targets['unet'][0], inside.long())
    assert calls == [('unet', False), ('unet2', False)]


def test_cutmix_trains_on_the_mixed_labels():
    model = cps(cutmix=True)
    out = model.loss(batch_of(model))
    assert out['cps_unet'] > 0 and out['loss'].isfinite()
    target = torch.tensor([[[1, 1]]])
    given = {name: {'u_m': logits(0.25, 0.25)} for name in model.students}
    targets = {'unet': target, 'unet2': target}
    expected = -torch.tensor(0.25).log().item()
    assert unsup_terms(model, {}, given, targets)['cps_unet'].item() == pytest.approx(
        expected, rel=1e-5
    )


def test_cutmix_refuses_an_odd_number():
    model = cps(cutmix=True)
    with pytest.raises(ValueError, match='in pairs, but there are 3 on a process'):
        model.loss(batch_of(model, n_u=3))


def test_students_start_differently():
    model = cps()
    model.init_weights()
    a, b = (model.students[name].state_dict() for name in ('unet', 'unet2'))
    kernels = [key for key in a if a[key].dim() == 4]
    assert kernels and all(not torch.equal(a[key], b[key]) for key in kernels)


def test_one_student_is_refused():
    with pytest.raises(ValueError, match=r"needs two students .* found \['unet'\]"):
        cps(students=dict(unet=segmentor()))


def test_parts_that_overlap():
    model = cps(
        2,
        label_space=dict(type='OverlappingParts'),
        parts=[[1], [1, 2]],
        sup_loss=dict(type='DiceBCELoss'),
        unsup_criterion=dict(type='DiceBCELoss', dice_weight=0),
    )
    out = model.loss(batch_of(model, classes=3))
    assert out['cps_unet'] > 0 and out['loss'].isfinite()
