import math

import pytest
import torch

from tests.models.methods.test_mean_teacher import batch_of, differ, model_of
from tests.tiny import GN, segmentor, set_iter


def test_terms_and_curve():
    model = model_of('UAMT', classes=3)
    differ(model)
    out = model.loss(batch_of(model, classes=3))
    assert out['consistency_unet'] > 0
    assert 0 <= out['mask_unet'] <= 1


def test_only_sure_pixels_count(monkeypatch):
    """Half of the pixels have a uniform teacher, the others a sure one."""
    model = model_of('UAMT', noise_std=0.0)
    q = torch.full((3, 2, 32, 32), 0.5)
    q[:, 0, :16], q[:, 1, :16] = 1.0, 0.0
    monkeypatch.setattr(model, 'teacher_prob', lambda name, x: q.repeat(len(x) // 3, 1, 1, 1))
    p = torch.rand(3, 2, 32, 32).softmax(1)
    batch = dict(u_w={'unet': torch.zeros(3, 1, 32, 32)})
    terms, curves = model.consistency_terms('unet', {'u_w': p.log()}, batch, model.step)
    assert curves['mask_unet'] == 0.5
    assert terms['consistency_unet'].item() == pytest.approx(
        ((p - q)[:, :, :16] ** 2).mean().item(), rel=1e-5
    )


def test_four_classes_as_published_and_as_meant(monkeypatch):
    published = model_of('UAMT', classes=4, noise_std=0.0)
    meant = model_of(
        'UAMT',
        classes=4,
        noise_std=0.0,
        threshold=dict(type='UncertaintyThreshold', classes=4),
        consistency=dict(type='MSEConsistencyLoss'),
    )
    q = torch.full((3, 4, 4, 4), 0.1)
    q[:, 0] = 0.7  # entropy 0.94: above ln 2, below 3/4 ln 4
    sure = torch.full((3, 4, 4, 4), 0.01)
    sure[:, 0] = 0.97
    logits, batch = {'u_w': torch.rand(3, 4, 4, 4)}, dict(u_w={'unet': torch.zeros(3, 1, 4, 4)})
    found = {}
    for prob in (q, sure):
        for model in (published, meant):
            monkeypatch.setattr(
                model, 'teacher_prob', lambda name, x, prob=prob: prob.repeat(len(x) // 3, 1, 1, 1)
            )
            terms, _ = model.consistency_terms('unet', logits, batch, model.step)
            found[prob is sure, model is meant] = terms['consistency_unet'].item()
    assert found[False, False] == 0 < found[False, True]
    assert found[True, False] == pytest.approx(2 * found[True, True], rel=1e-5)


def test_teacher_passes_and_their_noise(monkeypatch):
    model = model_of('UAMT', norm=GN)
    seen, original = [], model.teacher_prob
    monkeypatch.setattr(
        model, 'teacher_prob', lambda name, x: (seen.append(x), original(name, x))[1]
    )
    batch = batch_of(model)
    model.loss(batch)
    assert [len(x) for x in seen] == [3, 6, 6, 6, 6]
    noise = [(x - batch['u_w']['unet'].repeat(len(x) // 3, 1, 1, 1)) for x in seen]
    assert all(n.abs().max() <= 0.2 + 1e-6 and n.std() > 0.05 for n in noise)
    assert not torch.allclose(noise[1][:3], noise[1][3:]), 'both halves have their own'


def test_parts_have_entropy_and_mask_of_their_own():
    model = model_of(
        'UAMT',
        label_space=dict(type='OverlappingParts'),
        parts=[[1], [1, 2]],
        students=dict(unet=segmentor(2)),
        sup_loss=dict(type='DiceBCELoss'),
    )
    half = torch.full((1, 2, 1, 1), 0.5)
    assert model.uncertainty(half).flatten().tolist() == pytest.approx([math.log(2)] * 2, abs=1e-4)
    assert model.loss(batch_of(model, classes=3))['loss'].isfinite()


def test_no_sure_pixel_gives_exactly_zero():
    model = model_of('UAMT', threshold=dict(type='UncertaintyThreshold', start=0.0))
    differ(model)
    set_iter(0, 10**9)
    out = model.loss(batch_of(model))
    assert out['consistency_unet'] == 0 == out['mask_unet']
