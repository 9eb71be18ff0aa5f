from types import SimpleNamespace

import pytest
import torch

from mmssl.engine.hooks.ema_teacher_hook import EMATeacherHook
from tests.tiny import BN, build, raw_batch, segmentor


def model_with_teacher():
    model = build(dict(type='FixMatch', students=dict(unet=segmentor(norm=BN)), teachers=['unet']))
    with torch.no_grad():
        for p in model.students.parameters():
            p.copy_(torch.randn_like(p))
        for p in model.teachers.parameters():
            p.copy_(torch.randn_like(p))
    return model


def test_first_iteration_copies_then_the_average_settles():
    model, hook = model_with_teacher(), EMATeacherHook(momentum=0.99)
    hook.pair(model)
    s, t = (next(m['unet'].parameters()) for m in (model.students, model.teachers))
    hook.update(0)
    assert torch.equal(s, t)
    with torch.no_grad():
        s.add_(1)
    hook.update(1)
    assert torch.allclose(t, s - 0.5)
    hook.update(5000)
    assert torch.allclose(t, s - 0.5 * 0.99)


def test_the_iteration_just_done_is_the_one_that_counts():
    model, hook = model_with_teacher(), EMATeacherHook()
    hook.pair(model)
    s, t = (next(m['unet'].parameters()) for m in (model.students, model.teachers))
    expected = (s + t) / 2
    hook.after_train_iter(SimpleNamespace(iter=1), 1)
    assert torch.allclose(t, expected)


def test_without_warm_up_alpha_is_constant():
    assert EMATeacherHook(momentum=0.9, warm_up=False).alpha(0) == 0.9


@pytest.mark.parametrize('buffers', ['keep', 'copy', 'ema'])
def test_buffers(buffers):
    model, hook = model_with_teacher(), EMATeacherHook(momentum=0.5, warm_up=False, buffers=buffers)
    hook.pair(model)
    s, t = ({k: v for k, v in m['unet'].named_buffers()} for m in (model.students, model.teachers))
    key = next(k for k in s if k.endswith('running_mean'))
    s[key].fill_(2.0)
    hook.update(0)
    assert t[key].unique().item() == {'keep': 0.0, 'copy': 2.0, 'ema': 1.0}[buffers]


@pytest.mark.parametrize('mode', ['train', 'eval'])
def test_mode_is_the_hooks_choice(mode):
    model, hook = model_with_teacher(), EMATeacherHook(mode=mode)
    hook.pair(model)
    model.train()
    hook.before_train_iter(None, 0)
    assert {m.training for m in model.teachers.modules()} == {mode == 'train'}
    model.loss(model.data_preprocessor(raw_batch(), True)['inputs'])
    count = next(v for k, v in model.teachers.named_buffers() if 'num_batches' in k)
    assert count.item() == (1 if mode == 'train' else 0)


def test_model_without_teacher_is_refused():
    with pytest.raises(ValueError, match='no teacher'):
        EMATeacherHook().pair(build(dict(type='SupOnly', students=dict(unet=segmentor()))))


@pytest.mark.parametrize('kwargs', [dict(buffers='x'), dict(mode='x'), dict(momentum=1.0)])
def test_bad_options_are_refused(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        EMATeacherHook(**kwargs)


def test_pairs_go_by_name_and_a_missing_one_is_named():
    model = model_with_teacher()
    del model.teachers['unet'].decode_head.conv_seg
    with pytest.raises(KeyError, match='decode_head.conv_seg.weight'):
        EMATeacherHook().pair(model)
