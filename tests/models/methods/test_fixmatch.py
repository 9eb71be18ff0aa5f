import math

import pytest
import torch

from mmssl.models.losses import NegativeLearningLoss
from mmssl.testing.no_host_sync import assert_no_host_sync
from tests.tiny import BN, GN, build, raw_batch, segmentor, set_iter, unsup_terms

SSL4MIS = dict(
    type='FixMatchSSL4MIS',
    teachers=[],
    threshold=dict(type='FixedThreshold', value=0.3),
    negative=dict(type='NegativeLearningLoss'),
)


def model_of(classes=2, norm=BN, **kwargs):
    cfg = dict(
        type='FixMatch',
        students=dict(unet=segmentor(classes, norm)),
        teachers=['unet'],
        parts=[[i] for i in range(1, classes)],
        threshold=dict(type='FixedThreshold', value=0.4),
    )
    cfg.update(kwargs)
    set_iter(5, 10)
    return build(cfg)


def batch_of(model, n_l=2, n_u=3, seed=0, **kwargs):
    raw = raw_batch(n_l, n_u, seed=seed, **kwargs)
    raw['inputs']['x_s'] = 255 - raw['inputs']['x_w']
    return model.data_preprocessor(raw, True)['inputs']


@pytest.mark.parametrize('mixer', [None, 'CutMix', 'ClassMix', 'CowMix', 'FMix', 'FDA'])
def test_every_mixer_trains(mixer):
    model = model_of(3, mixer=mixer and dict(type=mixer))
    out = model.loss(batch_of(model, classes=3))
    assert out['unsup_unet'] > 0 and out['loss'].isfinite()
    out['loss'].backward()
    assert all(p.grad is None for p in model.teachers.parameters())


def test_copy_paste_is_cutmix_with_the_labelled_image():
    short, long = model_of(copy_paste=True), model_of(mixer=dict(type='CutMix'))
    batch = batch_of(short)
    assert torch.equal(short.loss(batch)['loss'], long.loss(batch)['loss'])


def test_in_the_box_the_label_teaches_and_always_counts():
    model = model_of(3, copy_paste=True, threshold=dict(type='FixedThreshold', value=1.0))
    batch = batch_of(model, classes=3)
    label, mask = model.prepare(batch, model.step)[1]['unet']  # the teacher is nowhere sure enough
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[3:10, 2:11] = True
    assert torch.equal(mask, inside.float().expand(3, 32, 32))
    y = batch['y']['unet'][[0, 1, 0]]
    assert torch.equal(label[:, inside], y[:, inside])


def test_the_style_of_fda_is_that_of_the_weak_view():
    model = model_of(mixer=dict(type='FDA', size=0.1))
    batch = batch_of(model)
    x = model.prepare(batch, model.step)[0]['x_w']['unet']
    for view, same in (('u_s', True), ('u_w', False)):
        other = {**batch, view: {'unet': batch[view]['unet'].flip(0) / 2}}
        assert torch.equal(model.prepare(other, model.step)[0]['x_w']['unet'], x) == same


def test_fda_replaces_the_labelled_image_alone():
    plain, mixed = model_of(), model_of(mixer=dict(type='FDA', size=0.1))
    batch = batch_of(plain)
    a, b = (model.prepare(batch, model.step)[0] for model in (plain, mixed))
    assert torch.equal(a['u_s']['unet'], b['u_s']['unet'])
    assert torch.equal(a['x_w']['unet'], batch['x_w']['unet'])
    assert not torch.allclose(a['x_w']['unet'], b['x_w']['unet'], atol=1e-3)


def test_students_of_two_sizes_share_the_region():
    sizes = dict(unet=dict(image=32, label=16))
    model = model_of(norm=GN, copy_paste=True, data_preprocessor=dict(sizes=sizes))
    batch = batch_of(model)
    views, targets = model.prepare(batch, model.step)
    inside = views['u_s']['unet'][0, 0] != batch['u_s']['unet'][0, 0]
    assert inside[3:10, 2:11].float().mean() > 0.9 and not inside[10:].any()
    assert targets['unet'][1].shape == (3, 16, 16)


def test_the_box_is_at_one_place_for_students_of_all_sizes():
    sizes = dict(large=dict(image=32, label=32), small=dict(image=16, label=16))
    model = model_of(
        students={name: segmentor(norm=GN) for name in sizes},
        teachers=list(sizes),
        copy_paste=True,
        threshold=dict(type='FixedThreshold', value=1.0),
        data_preprocessor=dict(sizes=sizes),
    )
    batch = batch_of(model)
    _, targets = model.prepare(batch, model.step)
    large, small = (targets[name][1] for name in sizes)
    assert large.any() and torch.equal(small, large[:, ::2, ::2])


@pytest.mark.parametrize('options, passes', [(dict(teachers=[]), [5, 3]), (SSL4MIS, [5, 5])])
def test_without_a_teacher_the_student_labels_for_itself(options, passes, monkeypatch):
    """All images go through it once weak and once strong; the term needs no further pass."""
    model = model_of(3, **options)
    sizes, student = [], model.students['unet']
    original = student.forward
    monkeypatch.setattr(
        student, 'forward', lambda x, **kw: (sizes.append(len(x)), original(x, **kw))[1]
    )
    out = model.loss(batch_of(model, classes=3))
    assert sizes == passes
    assert all(out[name] > 0 for name in out if name.startswith(('unsup', 'negative')))
    assert 'unsup_unet' in out and ('negative_unet' in out) == ('negative' in options)


def test_contrast_of_largest_and_smallest_and_rejected_pixels_as_background(monkeypatch):
    model = model_of(3, **{**SSL4MIS, 'threshold': dict(type='FixedThreshold', value=0.8)})
    q = torch.tensor([[0.1, 0.2, 0.7], [0.2, 0.3, 0.5]]).T.view(1, 3, 1, 2)
    assert model.target(q).flatten().tolist() == [2, 0]  # 1 - 1/7 and 1 - 2/5
    seen = []
    monkeypatch.setattr(model.criterion, 'forward', lambda *args: (seen.extend(args), q.sum())[1])
    strong = torch.zeros(1, 3, 1, 2)
    unsup_terms(model, {}, {'unet': {'u_w': q.log(), 'u_s': strong}})
    logits, label, mask = seen
    assert logits is strong
    assert label.flatten().tolist() == [2, 0] and mask.flatten().tolist() == [1, 1]
    ignoring = model_of(3, threshold=dict(type='FixedThreshold', value=0.6))
    label, mask = ignoring.target(q)
    assert label.flatten().tolist() == [2, 2] and mask.flatten().tolist() == [1, 0]


def test_the_threshold_of_the_paper_is_the_default():
    assert model_of(threshold=None).threshold.value == 0.95


def test_negative_learning_by_hand():
    """Two pixels, two classes; class 0 of q lies 3 : 1 over the pixels, class 1 1 : 3."""
    q = torch.tensor([[[[0.75, 0.25]], [[0.25, 0.75]]]])
    p = torch.tensor([[[[0.9, 0.9]], [[0.1, 0.1]]]])
    a = 1 - (0.75 * math.log(4 / 3) + 0.25 * math.log(4)) / math.log(2)
    ce = [math.log(1 + math.exp(-0.5)), math.log(1 + math.exp(0.5))]
    expected = a**2 * sum(ce) / 2
    assert NegativeLearningLoss()(p, q).item() == pytest.approx(expected, rel=1e-5)


def test_negative_learning_sends_its_gradient_to_the_strong_view_alone():
    p = torch.rand(2, 3, 4, 4).softmax(1).requires_grad_()
    q = torch.rand(2, 3, 4, 4).softmax(1).requires_grad_()
    NegativeLearningLoss()(p, q).backward()
    assert p.grad is None and q.grad.abs().sum() > 0


def test_negative_learning_survives_a_class_that_is_nowhere():
    """Probabilities underflow to 0 in a whole image once logits lie some 100 apart."""
    logits = torch.tensor([0.0, -200.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4).clone()
    logits.requires_grad_()
    q = logits.softmax(1)
    loss = NegativeLearningLoss()(q.detach(), q)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize(('options', 'message'), [
    (dict(teachers=[], copy_paste=True), r"name \['unet'\] in `teachers`, or drop the mixer"),
    (dict(copy_paste=True, mixer=dict(type='FDA')), 'give one'),
    (dict(SSL4MIS, teachers=['unet']), r"\['unet'\] have teachers"),
    (dict(SSL4MIS, label_space=dict(type='OverlappingParts'), parts=[[1], [1, 2]]),
     'asks for exclusive classes'),
])  # fmt: skip
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        model_of(**options)


@pytest.mark.parametrize(
    'options',
    [
        SSL4MIS,
        *(dict(mixer=dict(type=name)) for name in ('CutMix', 'ClassMix', 'CowMix', 'FDA', 'FMix')),
    ],
)
def test_loss_needs_no_host_sync(options):
    model = model_of(norm=GN, **options)
    assert_no_host_sync(model, batch_of(model))
