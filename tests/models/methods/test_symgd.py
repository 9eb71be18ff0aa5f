import pytest
import torch

from mmssl.structures import Step
from tests.tiny import GN, build, raw_batch, segmentor, set_iter


def symgd(iteration=5, **kwargs):
    cfg = dict(
        type='SymGD',
        students=dict(unet=segmentor(norm=GN)),
        teachers=['unet'],
        threshold=dict(type='FixedThreshold', value=0.5),
    )
    cfg.update(kwargs)
    set_iter(iteration, 10)
    return build(cfg)


def batch_of(model, n_l=2, n_u=2, side=8):
    raw = raw_batch(n_l, n_u, side=side)
    raw['inputs']['box'] = torch.tensor([[1, 2, 4, 3]] * n_u)
    return model.data_preprocessor(raw, True)['inputs']


INSIDE = torch.zeros(8, 8, dtype=torch.bool)
INSIDE[2:5, 1:5] = True


def teacher_says(model, *answers):
    """Let the teacher's passes (direct, ul, lu) say these (probability of class 1)."""
    passes = iter(answers)

    def teacher_prob(name, x):
        p = torch.as_tensor(next(passes)).expand(len(x), 8, 8)
        return torch.stack([1 - p, p], 1)

    model.teacher_prob = teacher_prob


def test_terms_and_total_with_lambda_twice():
    model = symgd(amplitude=None)
    out = model.loss(batch_of(model))
    weight = out['weight'].item()
    assert weight == pytest.approx(model.ramp(5, 10)) and 0 < weight < 1
    total = out['sup_unet'] + weight * (out['ul_unet'] + out['lu_unet'] + out['direct_unet'])
    assert out['loss'].item() == pytest.approx(total.item(), rel=1e-6)
    batch = batch_of(model)
    taught = model.prepare(batch, model.step)[1].taught
    logits = model.forward_views('unet', {'u_s': batch['u_s']['unet']})['u_s']
    direct = model.criterion(logits, *taught['unet']['u_s'])
    assert out['direct_unet'].item() == pytest.approx(weight * direct.item(), rel=1e-5)


def test_images_labels_and_masks_are_pasted_both_ways():
    model = symgd(amplitude=None)
    batch = batch_of(model)
    teacher_says(model, 0.4, 0.4, 0.4)  # everywhere class 0, sure enough
    views, (taught, _, _) = model.prepare(batch, model.step)
    x, u_s, y = batch['x_w']['unet'], batch['u_s']['unet'], batch['y']['unet']
    ul, lu = views['ul']['unet'], views['lu']['unet']
    assert torch.equal(ul[..., INSIDE], x[..., INSIDE])
    assert torch.equal(ul[..., ~INSIDE], u_s[..., ~INSIDE])
    assert torch.equal(lu[..., INSIDE], u_s[..., INSIDE])
    assert torch.equal(lu[..., ~INSIDE], x[..., ~INSIDE])
    target = taught['unet']
    assert torch.equal(target['ul'][0][:, INSIDE], y[:, INSIDE])
    assert not target['ul'][0][:, ~INSIDE].any()
    assert torch.equal(target['lu'][0][:, ~INSIDE], y[:, ~INSIDE])


def test_labelled_pixels_count_whatever_the_teacher_says():
    model = symgd(amplitude=None, threshold=dict(type='FixedThreshold', value=0.9))
    batch = batch_of(model)
    teacher_says(model, 0.4, 0.4, 0.4)  # nowhere sure
    target = model.prepare(batch, model.step)[1].taught['unet']
    assert target['ul'][1][:, INSIDE].all() and not target['ul'][1][:, ~INSIDE].any()
    assert target['lu'][1][:, ~INSIDE].all() and not target['lu'][1][:, INSIDE].any()
    assert not target['u_s'][1].any()


@pytest.mark.parametrize('direct, ul, lu, counts_in, counts_out', [
    (0.95, 0.95, 0.95, True, True),
    (0.95, 0.95, 0.05, False, True),   # inside, lu says another class
    (0.95, 0.05, 0.95, True, False),   # outside, ul does
    (0.95, 0.95, 0.70, False, True),   # inside, lu is not sure
    (0.70, 0.95, 0.95, False, False),  # the direct prediction is not sure
])  # fmt: skip
def test_guidance_counts_where_both_labels_are_sure_and_agree(
    direct, ul, lu, counts_in, counts_out
):
    model = symgd(amplitude=None, threshold=dict(type='FixedThreshold', value=0.9))
    batch = batch_of(model)
    teacher_says(model, direct, ul, lu)
    label, mask = model.prepare(batch, model.step)[1].taught['unet']['u_s']
    assert (mask[:, INSIDE] == counts_in).all() and (mask[:, ~INSIDE] == counts_out).all()
    assert (label[:, INSIDE] == (lu > 0.5)).all() and (label[:, ~INSIDE] == (ul > 0.5)).all()


def test_the_teacher_sees_unchanged_weak_views_in_order(monkeypatch):
    model, seen = symgd(), []
    batch = batch_of(model)
    ask = model.teacher_prob
    model.teacher_prob = lambda name, x: (seen.append(x), ask(name, x))[1]
    model.prepare(batch, model.step)
    x, u_w = batch['x_w']['unet'], batch['u_w']['unet']
    assert torch.equal(seen[0], u_w)
    assert torch.equal(seen[1], torch.where(INSIDE, x, u_w))
    assert torch.equal(seen[2], torch.where(INSIDE, u_w, x))


def test_amplitudes_move_with_the_training():
    model = symgd(0, amplitude=0.2)
    batch = batch_of(model)
    x, u_w = batch['x_w']['unet'], batch['u_w']['unet']
    assert torch.allclose(model.mutate('unet', x, u_w, Step(0, 10)), x, atol=1e-5)
    late = Step(9, 10)
    moved = model.mutate('unet', x, u_w, late)
    assert (moved - x).abs().max() > 1e-3 and 0 <= moved.min() and moved.max() <= 1
    same = model.mutate('unet', x, x, late)
    assert torch.allclose(same, x, atol=1e-5), 'its own amplitudes change nothing'


def test_the_window_of_amplitudes_is_the_published_one_by_default():
    assert symgd().amplitude == 0.01


@pytest.mark.parametrize('n_l', [1, 3])
def test_other_numbers_of_labelled_images(n_l):
    model = symgd()
    assert model.loss(batch_of(model, n_l=n_l))['loss'].isfinite()


def test_a_student_without_a_teacher_is_refused():
    with pytest.raises(ValueError, match=r"name \['unet'\] in `teachers`"):
        symgd(teachers=[])
