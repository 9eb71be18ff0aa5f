"""SC-SAM: what points SAM at the classes, and what learns from what."""

import pytest
import torch

from mmssl.testing.no_host_sync import assert_no_host_sync
from tests.models.methods.test_know_sam import SIDE, adapted_sam, batch
from tests.tiny import GN, build, segmentor, set_iter


def sc_sam(classes: int = 3, **kwargs):
    model = build(
        dict(
            type='SCSAM',
            **{
                'students': dict(
                    sam=adapted_sam(classes, frozen=False), unet=segmentor(classes, GN)
                ),
                'parts': [[i] for i in range(1, classes)],
                **kwargs,
            },
        )
    )
    model.init_weights()
    return model


def logits_of(labels: torch.Tensor, classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).float()


@pytest.mark.parametrize('kind', ['random', 'spread'])
def test_points_lie_inside_and_outside_of_their_class(kind):
    labels = torch.randint(0, 3, (2, 12, 16), generator=torch.Generator().manual_seed(0))
    labels[1][labels[1] == 2] = 0
    labels[1, 3, 7], labels[1, 3, 8] = 2, 2  # two pixels of five
    xy, kinds = sc_sam().make_points(logits_of(labels, 3), SIDE, kind)
    assert xy.shape == (2, 3, 10, 2) and kinds.shape == (2, 3, 10)
    assert kinds[1, 2].tolist() == [1, 1, -1, -1, -1, 0, 0, 0, 0, 0]
    assert set(kinds[0].flatten().tolist()) == {0, 1}
    # in pixels of the image of 32 x 32 that SAM sees
    column, row = (xy[..., 0] * 16 / SIDE).long(), (xy[..., 1] * 12 / SIDE).long()
    for n in range(2):
        for c in range(3):
            places = list(zip(row[n, c].tolist(), column[n, c].tolist(), strict=True))
            inside = [int(labels[n, y, x] == c) for y, x in places]
            given = kinds[n, c].tolist()
            assert all(k in (-1, i) for k, i in zip(given, inside, strict=True))
            for wanted in (0, 1):
                chosen = [p for p, k in zip(places, given, strict=True) if k == wanted]
                assert len(set(chosen)) == len(chosen)  # none twice


def test_transposed_points_have_row_and_column_exchanged():
    labels = torch.randint(0, 3, (2, 32, 32), generator=torch.Generator().manual_seed(0))
    z = logits_of(labels, 3)
    one = sc_sam().make_points(z, SIDE, 'spread')[0]
    other = sc_sam(transposed=True).make_points(z, SIDE, 'spread')[0]
    assert torch.equal(other, one.flip(-1)) and not torch.equal(other, one)


def test_points_at_test_are_the_same_twice_unless_asked_for():
    x = batch()['u_w']
    for kind, same in (('spread', True), ('random', False)):
        model = sc_sam(test_points=kind).eval()
        with torch.no_grad():
            for name, value in model.students['sam'].named_parameters():
                if 'point_embeddings' in name:
                    value.mul_(20)
        one, two = (model.predict_logits(x, 'sam') for _ in range(2))
        assert torch.equal(one, two) == same


def test_sam_predicts_first_asked_with_the_points_of_the_unet():
    model, x = sc_sam().eval(), batch()['u_w']
    assert model.outputs == ['sam', 'unet'] and model.image_students == ['unet']
    assert model.primary == 'unet', 'though a written config has its keys sorted'
    asked = []
    ask = model.ask_sam
    model.ask_sam = lambda *args: (asked.append(args[1]), ask(*args))[1]
    scores = model.predict_logits(x, 'sam')
    assert scores.shape == (2, 3, SIDE, SIDE)
    torch.testing.assert_close(asked[0], model.predict_logits(x, 'unet'))
    assert set(model.pseudo_labels(x)) == {'sam', 'unet'}


@pytest.mark.parametrize(
    'term, part', [('follow_unet', 'unet'), ('entropy_unet', 'unet'), ('follow_sam', 'sam')]
)
def test_each_learns_from_the_other_without_moving_it(term, part):
    set_iter(60, 100)
    model, raw = sc_sam(), batch()
    views = {view: raw[view] for view in ('x_w', 'u_w')}
    logits = model.forward_students(raw, views, model.step)
    losses = [f(raw, logits, None, model.step) for f in (model.sup_loss, model.unsup_loss)]
    {**losses[0], **losses[1]}[term].backward()
    moved = {
        name
        for name, student in model.students.items()
        if any(p.grad is not None and p.grad.any() for p in student.parameters())
    }
    assert moved == {part}


def test_weights_of_the_terms():
    set_iter(5, 100)
    found = sc_sam().loss(batch())
    assert set(found) == {
        'loss', 'weight', 'sup_unet', 'sup_sam', 'follow_unet', 'entropy_unet', 'follow_sam'
    }  # fmt: skip
    plain = sum(found[k] for k in ('sup_unet', 'sup_sam', 'follow_unet', 'entropy_unet'))
    total = plain + found['weight'] * found['follow_sam']
    torch.testing.assert_close(found['loss'].detach(), total)
    assert 0 < found['weight'] < 1
    set_iter(25, 100)  # a quarter of the training
    assert sc_sam().loss(batch())['weight'] == 1
    quirks = sc_sam(released_quirks=True).loss(batch())['entropy_unet']
    ratio = torch.tensor(3.0).log() / torch.tensor(2.0).log()
    torch.testing.assert_close(quirks, found['entropy_unet'] * ratio)


def test_loss_needs_no_host_sync():
    assert_no_host_sync(sc_sam(), batch())


@pytest.mark.parametrize(
    'change, error',
    [
        (dict(label_space=dict(type='OverlappingParts')), 'use ExclusiveClasses'),
        (dict(network='swin'), r"names \['swin'\]"),
        (dict(foundation='unet'), 'with points for each class, but it has a FCNHead'),
        (dict(test_points='best'), 'points are one of random, spread'),
    ],
)
def test_what_does_not_fit_is_refused(change, error):
    if 'label_space' in change:
        change = {**change, 'parts': [[1], [2], [1, 2]]}
    with pytest.raises(ValueError, match=error):
        sc_sam(**change)
