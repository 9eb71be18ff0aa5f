import pytest
import torch

from mmssl.models.methods.bcp.bcp import BCPTargets
from mmssl.models.strategies.mixing import halves
from mmssl.testing.no_host_sync import assert_no_host_sync
from tests.tiny import BN, GN, build, raw_batch, segmentor, set_iter, sup_terms, unsup_terms

MASKED = dict(
    type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, mask_background=True, masked_mean=True
)


def bcp(classes=2, norm=BN, iteration=50, **kwargs):
    cfg = dict(
        type='BCP',
        students=dict(unet=segmentor(classes, norm)),
        teachers=['unet'],
        parts=[[i] for i in range(1, classes)],
        sup_loss=MASKED,
    )
    cfg.update(kwargs)
    set_iter(iteration, 100)
    return build(cfg)


def batch_of(model, n_l=4, n_u=4, classes=2, **kwargs):
    raw = raw_batch(n_l, n_u, classes, **kwargs)
    return model.data_preprocessor(raw, True)['inputs']


def test_stages_follow_the_iteration():
    model = bcp(iteration=24)
    assert model.pretrain_iters == 25
    out = model.loss(batch_of(model))
    assert out['sup_unet'] > 0 and 'unsup_unet' not in out
    set_iter(25, 100)
    out = model.loss(batch_of(model))
    assert out['loss'].item() == pytest.approx((out['sup_unet'] + out['unsup_unet']).item())
    assert out['weight'] == 1


def test_shares_of_whole_numbers_lose_nothing_to_rounding():
    model = bcp(pretrain=0.29, patch=0.29)  # times 100 is 28.999999999999996
    assert model.pretrain_iters == 29
    assert model.draw_box(torch.zeros(1, 1, 100, 100)).sum() == 29 * 29


def test_one_rectangle_of_two_thirds_for_all_images():
    model = bcp()
    masks = torch.cat([model.draw_box(torch.zeros(4, 1, 256, 256)) for _ in range(200)])
    assert masks.shape[1:] == (1, 256, 256)
    assert (masks.sum((1, 2, 3)) == 170 * 170).all()
    first = masks.sum(2)[:, 0].gt(0).float().argmax(-1)
    assert first.min() >= 0 and first.max() <= 85 and len(first.unique()) > 40
    assert bcp(patch=0.5).draw_box(torch.zeros(1, 1, 288, 288)).sum() == 144 * 144


def test_pretraining_mixes_labelled_images_and_labels():
    model = bcp(iteration=0)
    batch = batch_of(model, side=9)
    views, (sup, unsup, _) = model.prepare(batch, model.step)
    (view, y_a, outside), (_, y_b, inside) = sup['unet']
    x, box = batch['x_w']['unet'], inside[0, 0] > 0
    assert view == 'x' and not views['x_w'] and unsup['unet'] == []
    assert box.sum() == 36 and torch.equal(outside[0, 0] > 0, ~box)
    for i in range(2):
        assert torch.equal(views['x']['unet'][i, 0][~box], x[2 * i, 0][~box])
        assert torch.equal(views['x']['unet'][i, 0][box], x[2 * i + 1, 0][box])
    assert torch.equal(y_a, batch['y']['unet'][0::2])
    assert torch.equal(y_b, batch['y']['unet'][1::2])


def test_selftraining_pastes_both_ways_and_labels_go_along(monkeypatch):
    model = bcp()
    batch = batch_of(model, side=9)
    seen = {}

    def pseudo_label(name, u):
        seen[len(seen)] = u
        return torch.full((len(u), 9, 9), len(seen) - 1)

    monkeypatch.setattr(model, 'pseudo_label', pseudo_label)
    views, (sup, unsup, _) = model.prepare(batch, model.step)
    x, u = batch['x_w']['unet'], batch['u_w']['unet']
    assert torch.equal(seen[0], u[0::2]) and torch.equal(seen[1], u[1::2]), 'the halves apart'
    (in_u, y_a, box), (in_x, y_b, around) = sup['unet']
    (same_u, yhat_a, around_u), (same_x, yhat_b, box_x) = unsup['unet']
    assert (in_u, in_x) == (same_u, same_x) == ('u', 'x') == tuple(views)[1:]
    assert torch.equal(box, box_x) and torch.equal(around, around_u)
    assert torch.equal(box + around, torch.ones_like(box))
    assert torch.equal(y_a, batch['y']['unet'][0::2]) and torch.equal(y_b, batch['y']['unet'][1::2])
    assert (yhat_a == 0).all() and (yhat_b == 1).all()
    inside = box > 0
    assert torch.equal(views['u']['unet'], torch.where(inside, x[0::2], u[0::2]))
    assert torch.equal(views['x']['unet'], torch.where(inside, u[1::2], x[1::2]))


def test_terms_by_hand():
    """Logits 0 of two classes: CE ln 2, masked Dice by class counts; pseudo-labels weigh half."""
    model = bcp()
    logits = {'u': torch.zeros(1, 2, 1, 3), 'x': torch.zeros(1, 2, 1, 3)}
    label = torch.tensor([[[0, 1, 1]]])
    box = torch.tensor([[[[0.0, 0.0, 1.0]]]])
    targets = BCPTargets(
        {'unet': [('u', label, box)]}, {'unet': [('u', label, 1 - box)]}, images={}
    )
    sup, unsup = (of(model, {}, {'unet': logits}, targets) for of in (sup_terms, unsup_terms))
    log2 = 0.693147
    # in the box one pixel of class 1: 1 - 2 * .5 / (1 + .25) and, without a pixel, 1
    inside = (log2 + (1 + 0.2) / 2) / 2
    # around it a pixel of each class: 1 - 2 * .5 / (1 + .5) for both
    around = (log2 + 1 / 3) / 2
    assert sup['sup_unet'].item() == pytest.approx(inside, abs=1e-5)
    assert unsup['unsup_unet'].item() == pytest.approx(around / 2, abs=1e-5)


def test_pseudo_labels_are_the_largest_components_of_the_teacher(monkeypatch):
    model, bare = bcp(), bcp(largest_component=False)
    prob = torch.zeros(1, 2, 1, 5)
    prob[0, 1, 0] = torch.tensor([0.9, 0.2, 0.8, 0.7, 0.1])
    prob[:, 0] = 1 - prob[:, 1]
    for m in (model, bare):
        monkeypatch.setattr(m, 'teacher_prob', lambda name, u: prob)
    assert model.pseudo_label('unet', None).tolist() == [[[0, 0, 1, 1, 0]]]
    assert bare.pseudo_label('unet', None).tolist() == [[[1, 0, 1, 1, 0]]]


def test_the_second_stage_gives_the_teacher_its_student():
    model = bcp()
    for p in model.students.parameters():
        p.data += 1
    model.start_from_pretrained()
    for a, b in zip(model.students.parameters(), model.teachers.parameters(), strict=True):
        assert torch.equal(a, b) and a is not b


def test_each_student_has_the_labels_and_the_weights_of_its_own_teacher(monkeypatch):
    model = bcp(students=dict(unet=segmentor(), unet2=segmentor()), teachers=['unet', 'unet2'])
    asked, original = [], model.teacher_prob
    monkeypatch.setattr(
        model, 'teacher_prob', lambda name, u: (asked.append(name), original(name, u))[1]
    )
    model.prepare(batch_of(model), model.step)
    assert asked == ['unet', 'unet', 'unet2', 'unet2']
    model.start_from_pretrained()
    for name, teacher in model.teachers.items():
        for a, b in zip(model.students[name].parameters(), teacher.parameters(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize('n_l, n_u', [(2, 6), (6, 2), (3, 5), (5, 3)])
@pytest.mark.parametrize('iteration', [0, 50])
def test_halves_of_other_sizes(n_l, n_u, iteration):
    model = bcp(iteration=iteration)
    assert model.loss(batch_of(model, n_l, n_u))['loss'].isfinite()


def test_a_single_image_is_refused():
    with pytest.raises(ValueError, match='there is 1 unlabelled image on a process: make num_unla'):
        halves(torch.zeros(1, 2), 'unlabelled')


@pytest.mark.parametrize(
    'parts, space', [([[1], [2]], 'ExclusiveClasses'), ([[1], [1, 2]], 'OverlappingParts')]
)
@pytest.mark.parametrize('iteration', [0, 50])
def test_classes_and_parts(parts, space, iteration):
    sup_loss = MASKED if space == 'ExclusiveClasses' else dict(type='DiceBCELoss', masked_mean=True)
    classes = 3 if space == 'ExclusiveClasses' else 2
    model = bcp(
        students=dict(unet=segmentor(classes)),
        parts=parts,
        sup_loss=sup_loss,
        label_space=dict(type=space),
        iteration=iteration,
    )
    assert model.loss(batch_of(model, classes=3, side=24))['loss'].isfinite()


def test_students_with_labels_of_another_size():
    sizes = dict(unet=dict(image=32, label=16))
    model = bcp(data_preprocessor=dict(sizes=sizes))
    assert model.loss(batch_of(model))['loss'].isfinite()


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(pretrain=1.0), r'pretrain=1.0 must lie in \[0, 1\)'),
        (dict(patch=0.0), r'patch=0.0 in \(0, 1\)'),
        (dict(teachers=[]), r'BCP takes its pseudo-labels from a teacher of "unet": add teachers='),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        bcp(**options)


@pytest.mark.parametrize('iteration', [0, 50])
def test_no_stage_needs_a_host_sync(iteration):
    model = bcp(norm=GN, iteration=iteration)
    assert_no_host_sync(model, batch_of(model))
