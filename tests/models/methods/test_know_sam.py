"""KnowSAM: its two phases, what learns from what, and what the released quirks are."""

import pytest
import torch

from mmssl.models.methods.know_sam.fusion import Fusion
from mmssl.models.methods.know_sam.terms import (
    certain_patches,
    disagreement,
    distillation,
    exchange,
)
from mmssl.testing import sam_segmentor
from mmssl.testing.no_host_sync import assert_no_host_sync
from tests.tiny import GN, build, segmentor, set_iter

SIDE, NAMES = 32, ('unet', 'vnet', 'sam')


def adapted_sam(classes: int = 3, norm: dict = GN, **head) -> dict:
    """Return the config of a small SAM with adapters and learnt prompts."""
    student = sam_segmentor(classes, SIDE, type='LearnedPromptHead', width=4, **head)
    student['backbone']['type'] = 'AdapterMedSAM'
    student['decode_head'].update(norm_cfg=norm, dropout=0.0)
    return student


def know_sam(classes: int = 3, **kwargs):
    students = {name: segmentor(classes, GN) for name in NAMES[:2]}
    model = build(
        dict(
            type='KnowSAM',
            **{
                'students': {**students, 'sam': adapted_sam(classes)},
                'parts': [[i] for i in range(1, classes)],
                'exchange_start': 50,
                'fusion': dict(norm_cfg=dict(type='GN', num_groups=1)),
                **kwargs,
            },
        )
    )
    model.init_weights()
    return model


def batch(classes: int = 3, counts: tuple[int, int] = (2, 2)) -> dict:
    g = torch.Generator().manual_seed(0)
    y = torch.randint(0, classes, (counts[0], 4, 4), generator=g)
    y = y.repeat_interleave(8, 1).repeat_interleave(8, 2)
    x, u = (torch.rand(count, 1, SIDE, SIDE, generator=g) for count in counts)
    views = dict(x_w=x, y=y, u_w=u)
    return {view: {name: value for name in NAMES} for view, value in views.items()}


FIRST = {'sup_sam', 'sup_fusion'} | {
    f'{term}_{name}'
    for term in ('sup', 'distil', 'entropy', 'consistent')
    for name in ('unet', 'vnet')
}
SECOND = {'sup_exchanged_fusion'} | {
    f'{term}_{name}'
    for term in ('sup_exchanged', 'entropy_exchanged', 'consistent_exchanged', 'self')
    for name in ('unet', 'vnet')
}
RAMPED = ('consistent', 'self')


@pytest.mark.parametrize('iteration, terms', [(50, FIRST), (51, FIRST | SECOND)])
def test_terms_of_the_phases_and_what_the_ramp_weighs(iteration, terms):
    set_iter(iteration, 100)
    found = know_sam().loss(batch())
    assert set(found) - {'loss', 'weight'} == terms
    total = sum(
        value * (found['weight'] if name.startswith(RAMPED) else 1)
        for name, value in found.items()
        if name in terms
    )
    torch.testing.assert_close(found['loss'].detach(), total)


def learning(model, term: str) -> set[str]:
    """Return the parts that get a gradient from one term."""
    views = {view: batch()[view] for view in ('x_w', 'u_w')}
    logits = model.forward_students(batch(), views, model.step)
    sup, unsup = (
        loss(batch(), logits, None, model.step) for loss in (model.sup_loss, model.unsup_loss)
    )
    {**sup, **unsup[0]}[term].backward()
    parts = {**dict(model.students.items()), 'fusion': model.fusion}
    return {
        name
        for name, part in parts.items()
        if any(p.grad is not None and p.grad.any() for p in part.parameters())
    }


@pytest.mark.parametrize(
    'term, parts',
    [
        ('sup_sam', {'sam'}),  # not through the mask that asks
        ('sup_fusion', {'unet', 'vnet', 'fusion'}),
        ('distil_unet', {'unet'}),  # SAM teaches
        ('entropy_vnet', {'vnet'}),
        ('consistent_unet', {'unet'}),
        ('consistent_vnet', {'vnet'}),
        ('sup_exchanged_fusion', {'unet', 'vnet', 'fusion'}),
        ('self_vnet', {'vnet'}),
    ],
)
def test_what_learns_from_what(term, parts):
    set_iter(60, 100)
    assert learning(know_sam(), term) == parts


def test_released_quirks_leave_the_second_network_without_consistency():
    set_iter(60, 100)
    model = know_sam(4, released_quirks=True)
    found = model.loss(batch(4))
    assert torch.equal(found['consistent_vnet'], found['consistent_unet'])
    with torch.no_grad():
        views = {view: batch(4)[view] for view in ('x_w', 'u_w')}
        logits = model.forward_students(batch(4), views, model.step)
    terms, curves = model.unsup_loss(batch(4), logits, None, model.step)
    assert 'consistent_vnet' not in terms and 'consistent_vnet' in curves
    plain = know_sam(4).loss(batch(4))
    torch.testing.assert_close(plain['entropy_unet'] * 2, found['entropy_unet'])  # ln 4 = 2 ln 2
    assert plain['distil_unet'] != found['distil_unet']


def test_consistency_is_over_all_classes():
    p = torch.tensor([0.7, 0.2, 0.1]).view(1, 3, 1, 1)
    q = torch.tensor([0.5, 0.4, 0.1]).view(1, 3, 1, 1)
    each = [disagreement(p[:, i : i + 1], q[:, i : i + 1]) for i in range(3)]
    torch.testing.assert_close(disagreement(p, q), sum(each) / 3)
    torch.testing.assert_close(disagreement(p, q, slice(-1, None)), each[-1])


def test_distillation_follows_the_teacher_over_the_classes():
    z = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert distillation(z, z + 1, 10, 3) < 1e-6
    assert distillation(z, 2 * z, 10, 3) > 1e-2


def test_patches_with_the_lowest_mean_are_exchanged():
    u = torch.ones(2, 1, 8, 8)
    u[0, :, 2:4, 6:] = 0.5
    u[0, :, :2, :2] = 0.2
    u[1, :, 4:, :2] = 0.1
    mask = certain_patches(u, grid=4, count=2)
    assert mask.sum((1, 2, 3)).tolist() == [8, 8]
    assert torch.equal(mask, (u < 1).float())


def test_exchange_repeats_the_fewer_images():
    x, u = torch.zeros(1, 2, 2), torch.ones(3, 2, 2)
    left = torch.tensor([[1.0, 0], [1, 0]]).view(1, 1, 2, 2)
    in_x, in_u = exchange(x, u, left, 1 - left.expand(3, -1, -1, -1))
    assert in_x.tolist() == [[[1, 0], [1, 0]]]
    assert in_u.tolist() == [[[1, 0], [1, 0]]] * 3


def test_exchanged_labels_are_those_of_the_pasted_patches():
    set_iter(60, 100)
    model, raw = know_sam(), batch()
    views = {view: raw[view] for view in ('x_w', 'u_w')}
    with torch.no_grad():
        found = model.forward_students(raw, views, model.step)
        images, labels = model.exchanged(raw, views, found)
    guess, y = found['sam']['u_w'].argmax(1), raw['y']['unet']
    x, u = (raw[view]['unet'] for view in ('x_w', 'u_w'))
    from_u = (images['x_m']['unet'] == u)[:, 0]
    assert from_u.flatten(1).float().mean(1).tolist() == [5 / 16] * 2
    assert torch.equal(labels['x_m'], torch.where(from_u, guess, y))
    from_x = (images['u_m']['unet'] == x)[:, 0]
    assert torch.equal(labels['u_m'], torch.where(from_x, y, guess))


def test_fusion_sees_where_both_agree():
    """Its agreement is 1 where both probabilities of a class are on one side of 1/2."""
    fusion, seen = Fusion(2), []
    fusion.agreement.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    one = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1).repeat(2, 1, 1, 2)
    two = one.clone()
    two[:, :, :, 1] = two[:, :, :, 1].flip(1)
    fusion(one, two)
    assert seen[0][0, :, 0].tolist() == [[1, 0], [1, 0]]


def test_predictions_are_the_fused_one_first():
    model, x = know_sam().eval(), batch()['u_w']
    assert model.outputs == ['fusion', 'unet', 'vnet', 'sam']
    with torch.no_grad():
        want = model.fusion(*(model.students[n](x[n], mode='tensor') for n in NAMES[:2]))
        torch.testing.assert_close(model.predict_logits(x, 'fusion'), want)
        asked = model.ask_sam(x['sam'], want)
        torch.testing.assert_close(model.predict_logits(x, 'sam'), asked)
        alone = model.students['sam'](x['sam'], mode='tensor')
    assert not torch.allclose(torch.nn.functional.interpolate(alone, SIDE), asked, atol=1e-3)
    assert set(model.pseudo_labels(x)) == {'sam', 'fusion'}


def test_the_order_of_the_students_in_the_config_changes_no_prediction():
    """A written config has its keys sorted."""
    students = {'sam': adapted_sam(), **{name: segmentor(3, GN) for name in ('vnet', 'unet')}}
    model = know_sam(students=students)
    assert model.outputs == ['fusion', 'unet', 'vnet', 'sam'] and model.primary == 'unet'


@pytest.mark.parametrize('iteration', [10, 60])
def test_no_phase_needs_a_host_sync(iteration):
    set_iter(iteration, 100)
    assert_no_host_sync(know_sam(), batch())


@pytest.mark.parametrize(
    'change, error',
    [
        (dict(label_space=dict(type='OverlappingParts')), 'use ExclusiveClasses'),
        (dict(networks=('unet', 'swin')), r"names \['swin'\]"),
        (dict(foundation='unet'), '"unet" with masks, but it has a FCNHead: give it a Learned'),
    ],
)
def test_what_does_not_fit_is_refused(change, error):
    if 'label_space' in change:
        change = {**change, 'parts': [[1], [2], [1, 2]]}
    with pytest.raises(ValueError, match=error):
        know_sam(**change)
