"""CPC-SAM: what its steps are made of, and what learns from what."""

import pytest
import torch

from mmssl.models.sam import CrossPromptHead
from mmssl.registry import MODELS
from mmssl.testing.no_host_sync import assert_no_host_sync
from tests.tiny import build, segmentor, set_iter, set_phase, sup_terms, unsup_terms

ARCH = dict(embed_dims=16, depth=2, num_heads=2, global_blocks=(1,))
SIDE = 32


@MODELS.register_module(force=True)  # doctest imports this file once more
class SeededCrossPromptHead(CrossPromptHead):
    """Draw an image's points alike whatever else is in the batch."""

    def make_points(self, logits):
        with torch.random.fork_rng(devices=[]):
            points = [self.seeded(one) for one in logits.split(1)]
        return tuple(torch.cat(part) for part in zip(*points, strict=True))

    def seeded(self, logits):
        torch.manual_seed(0)
        return super().make_points(logits)


def cpc_sam(classes: int = 3, head: dict | None = None, **kwargs):
    """Return a small model whose decoders predict several classes."""
    student = dict(
        type='EncoderDecoder',
        backbone=dict(type='LoRAMedSAM', arch=ARCH, img_size=SIDE, random_trunk_seed=0),
        decode_head={
            'type': 'SeededCrossPromptHead',
            'arch': ARCH,
            'img_size': SIDE,
            'checkpoint': None,
            'num_classes': classes,
            **(head or {}),
        },
    )
    model = build(
        dict(
            type='CPCSAM',
            students=dict(sam=student),
            **{'parts': [[i] for i in range(1, classes)], 'cross_start': 10, **kwargs},
        )
    )
    model.init_weights()
    return model


def batch(classes: int = 3) -> dict:
    g = torch.Generator().manual_seed(0)
    y = torch.randint(0, classes, (2, SIDE // 8, SIDE // 8), generator=g)
    y = y.repeat_interleave(8, 1).repeat_interleave(8, 2)
    return dict(
        x_w={'sam': torch.rand(2, 1, SIDE, SIDE, generator=g)},
        y={'sam': y},
        u_w={'sam': torch.rand(3, 1, SIDE, SIDE, generator=g)},
    )


@pytest.fixture
def at():
    """Tell where the training stands, and forget it afterwards."""

    def tell(iteration: int, phase: int = 0) -> None:
        set_iter(iteration, 100)
        set_phase(phase)

    yield tell
    set_phase(0)


FIRST = {'sup_sam'}
SECOND = {'prompted_1_sam', 'cross_2_sam', 'consistent_1_sam'}
THIRD = {'prompted_2_sam', 'cross_1_sam', 'consistent_2_sam'}


@pytest.mark.parametrize(
    'three_steps, iteration, phases, terms',
    [
        (True, 9, 1, [FIRST]),
        (True, 10, 3, [FIRST, SECOND, THIRD]),
        (False, 9, 1, [FIRST]),
        (False, 10, 1, [FIRST | SECOND | THIRD]),
    ],
)
def test_terms_of_every_step(at, three_steps, iteration, phases, terms):
    model = cpc_sam(three_steps=three_steps)
    at(iteration)
    assert model.phases == phases
    for phase, expected in enumerate(terms):
        at(iteration, phase)
        found = model.loss(batch())
        assert set(found) - {'loss', 'weight'} == expected
        total = sum(found[name] for name in expected)
        torch.testing.assert_close(found['loss'].detach(), total)


def test_one_sum_is_the_sum_of_the_three_losses(at):
    model = cpc_sam()
    with torch.no_grad():
        steps = [(at(10, phase), model.loss(batch())['loss'])[1] for phase in range(3)]
        model.three_steps = False
        torch.testing.assert_close(model.loss(batch())['loss'], sum(steps))


def test_weights_scale_their_terms(at):
    at(10)
    with torch.no_grad():
        one = cpc_sam(three_steps=False).loss(batch())
        two = cpc_sam(three_steps=False, cross_weight=0.8, prompt_weight=0.0).loss(batch())
    for i in (1, 2):
        torch.testing.assert_close(two[f'cross_{i}_sam'], 2 * one[f'cross_{i}_sam'])
        assert one[f'consistent_{i}_sam'] > 0 and two[f'consistent_{i}_sam'] == 0
        assert torch.equal(one[f'prompted_{i}_sam'], two[f'prompted_{i}_sam'])


def got_gradient(model, term: str) -> set[str]:
    """Return the parts that learn from one term."""
    batch_ = batch()
    views = {'x_w': batch_['x_w'], 'u_w': batch_['u_w']}
    logits = {'sam': model.ask('sam', {k: v['sam'] for k, v in views.items()}, model.step)}
    terms = {**sup_terms(model, batch_, logits), **unsup_terms(model, batch_, logits)}
    model.zero_grad()
    terms[term].backward()
    student = model.students['sam']
    parts = {
        'first': student.decode_head.decoders[0],
        'second': student.decode_head.decoders[1],
        'encoder': student.backbone,
        'no_mask': student.decode_head.prompt_encoder.no_mask_embed,
        'points': student.decode_head.prompt_encoder.point_embeddings,
    }
    return {
        name
        for name, part in parts.items()
        if any(p.grad is not None and p.grad.any() for p in part.parameters())
    }


@pytest.mark.parametrize(
    'phase, term, parts',
    [
        (1, 'prompted_1_sam', {'first', 'encoder', 'no_mask', 'points'}),
        (1, 'cross_2_sam', {'second', 'encoder'}),  # not through the points, q or `no mask`
        (1, 'consistent_1_sam', {'first', 'encoder', 'no_mask', 'points'}),
        (2, 'prompted_2_sam', {'second', 'encoder', 'no_mask', 'points'}),
        (2, 'cross_1_sam', {'first', 'encoder'}),
        (2, 'consistent_2_sam', {'second', 'encoder', 'no_mask', 'points'}),
    ],
)
def test_what_learns_from_what(at, phase, term, parts):
    at(10, phase)
    assert got_gradient(cpc_sam(), term) == parts


def test_first_step_teaches_both_decoders_without_points(at):
    at(10, 0)
    assert got_gradient(cpc_sam(), 'sup_sam') == {'first', 'second', 'encoder', 'no_mask'}


def test_pseudo_label_is_the_class_of_the_highest_mean_probability():
    model = cpc_sam()
    optimal = torch.tensor([0.6, 0.4, 1e-9]).log().view(1, 3, 1, 1)
    random = torch.tensor([0.2, 0.35, 0.45]).log().view(1, 3, 1, 1)
    assert model.pseudo_label(optimal, random).tolist() == [[[0]]]  # 0.8, 0.75, 0.45
    random = torch.tensor([0.1, 0.35, 0.55]).log().view(1, 3, 1, 1)
    assert model.pseudo_label(optimal, random).tolist() == [[[1]]]  # 0.7, 0.75, 0.55
    # the sum of the logits would say otherwise


@pytest.mark.parametrize('phase', [0, 1, 2])
def test_no_step_needs_a_host_sync(at, phase):
    at(10, phase)
    model = cpc_sam(head=dict(type='CrossPromptHead'))
    assert_no_host_sync(model, batch())


def test_prediction_is_the_mean_of_the_decoders_or_the_first():
    x = batch()['u_w']
    for ensemble in (True, False):
        model = cpc_sam(head=dict(ensemble=ensemble)).eval()
        student = model.students['sam']
        with torch.no_grad():
            one, two = student.decode_head.forward_all(student.extract_feat(x['sam']))
        want = (one.softmax(1) + two.softmax(1)) / 2 if ensemble else one.softmax(1)
        torch.testing.assert_close(model.predict_logits(x, 'sam').softmax(1), want)


def test_pseudo_labels_are_both_decoders(at):
    model, x = cpc_sam(), batch()['u_w']
    maps = model.pseudo_labels(x)
    assert set(maps) == {'sam_1', 'sam_2'}
    at(10, 1)
    u = model.ask('sam', {'x_w': batch()['x_w']['sam'], 'u_w': x['sam']}, model.step)['u_w']
    assert torch.equal(maps['sam_1'], model.pseudo_label(u['optimal_1'], u['random_1']))


def test_overlapping_parts_are_refused():
    with pytest.raises(ValueError, match='label_space is OverlappingParts: use ExclusiveClasses'):
        cpc_sam(2, parts=[[1], [1, 2]], label_space=dict(type='OverlappingParts'))


def test_another_head_is_refused():
    with pytest.raises(ValueError, match='"unet" has a FCNHead: give it a CrossPromptHead'):
        build(dict(type='CPCSAM', students=dict(unet=segmentor()), parts=[[1]]))
