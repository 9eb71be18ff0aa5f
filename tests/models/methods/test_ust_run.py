import pytest
import torch

from mmssl.models.methods.symgd import SymGD
from mmssl.models.methods.ust_run import USTRUN, ReliableQueue
from mmssl.registry import MODELS
from mmssl.structures import Step
from mmssl.testing.no_host_sync import assert_no_host_sync
from tests.tiny import GN, build, raw_batch, segmentor, set_iter


@MODELS.register_module(force=True)  # doctest imports this file once more
class USTRUNInOrder(USTRUN):
    """Mix with the labelled images in order, as SymGD does."""

    partners = SymGD.partners


def ust_run(iteration=5, kind='USTRUN', **kwargs):
    cfg = dict(
        type=kind,
        students=dict(unet=segmentor(norm=GN)),
        teachers=['unet'],
        threshold=dict(type='FixedThreshold', value=0.5),
        amplitude=None,
    )
    if kind != 'SymGD':
        cfg.update(start=0, ceiling=1.0)
    cfg.update(kwargs)
    set_iter(iteration, 10)
    return build(cfg)


def batch_of(model, n_l=2, n_u=2, side=8, seed=0):
    raw = raw_batch(n_l, n_u, side=side, seed=seed)
    raw['inputs']['box'] = torch.tensor([[1, 2, 4, 3]] * n_u)
    return model.data_preprocessor(raw, True)['inputs']


def with_hardness(model, *values):
    """Let the images of the next passes be that hard."""
    passes = iter(values)
    model.hardness = lambda *args: torch.tensor(next(passes))


def theta(model):
    return model.reliable['unet'].threshold.item()


def test_without_a_queue_it_is_symgd():
    """Two steps; the second one mixes in order too, and whatever is reliable is not shown."""
    one, other = ust_run(kind='USTRUNInOrder'), ust_run(kind='SymGD')
    other.load_state_dict(one.state_dict(), strict=False)
    for seed in range(2):
        a, b = (model.loss(batch_of(model, seed=seed)) for model in (one, other))
        assert all(torch.equal(a[name], value) for name, value in b.items())


def test_reliable_images_enter_and_theta_only_falls_when_they_do():
    model = ust_run(ceiling=0.1)
    queue = model.reliable['unet']
    with_hardness(model, [0.5, 0.1], [0.02, 0.08], [0.3, 0.079], [0.5, 0.5])
    model.loss(batch_of(model, seed=1))
    assert not queue.filled.any() and theta(model) == pytest.approx(0.1), 'h < theta, never above'
    batch = batch_of(model, seed=2)
    model.loss(batch)
    assert queue.filled.sum() == 2 and theta(model) == pytest.approx(0.08)
    images, labels, masks, hardness = queue.tensors
    label, mask = model.pseudo_label('unet', batch['u_w']['unet'])
    assert torch.equal(images[:2], batch['u_w']['unet'])
    assert torch.equal(labels[:2], label) and torch.equal(masks[:2], mask)
    model.loss(batch_of(model, seed=3))
    assert hardness[:3].tolist() == pytest.approx([0.079, 0.02, 0.08])
    assert theta(model) == pytest.approx(0.08), 'the largest in the queue, not the newest'
    model.loss(batch_of(model, seed=4))
    assert theta(model) == pytest.approx(1.0005 * 0.08)


def test_theta_grows_to_its_ceiling_and_no_further():
    queue = ReliableQueue(2, ceiling=0.1, growth=1.5)
    queue.update([torch.zeros(1)], torch.tensor([0.04]))
    seen = []
    for _ in range(4):
        queue.update([torch.zeros(1)], torch.tensor([1.0]))
        seen.append(queue.threshold.item())
    assert seen == pytest.approx([0.06, 0.09, 0.1, 0.1])


def test_old_images_leave_and_theta_follows():
    queue = ReliableQueue(2, ceiling=0.5)
    queue.update([torch.zeros(2)], torch.tensor([0.4, 0.1]))
    assert queue.threshold.item() == pytest.approx(0.4)
    queue.update([torch.zeros(1)], torch.tensor([0.2]))
    assert queue.tensors[-1].tolist() == pytest.approx([0.2, 0.4])
    queue.update([torch.zeros(1)], torch.tensor([0.3]))
    assert queue.threshold.item() == pytest.approx(0.3)


def test_hardness_is_that_of_student_and_teacher_and_empty_pairs_are_hard():
    model = ust_run(students=dict(unet=segmentor(3, GN)), parts=[[1], [2]])
    label = torch.zeros(2, 8, 8, dtype=torch.long)
    label[0, :2], label[0, 4:] = 1, 2
    logits = torch.nn.functional.one_hot(label, 3).movedim(-1, 1).float()
    logits[0, :, 1] = torch.tensor([1.0, 0, 0])[:, None]
    model.students['unet'].forward = lambda x, mode: logits
    found = model.hardness('unet', logits, label, Step(5, 10))
    dice = [(2 * 8 + 1) / (8 + 16 + 1.001), (2 * 32 + 1) / (64 + 1.001)]
    assert found.tolist() == pytest.approx([1 - sum(dice) / 2, 1.0])


def test_nothing_is_reliable_before_the_start():
    model = ust_run(4, start=5)
    label = torch.zeros(2, 8, 8, dtype=torch.long)
    x = batch_of(model)['u_w']['unet']
    assert model.hardness('unet', x, label, Step(4, 10)).tolist() == [1, 1]
    model.loss(batch_of(model))
    assert not model.reliable['unet'].filled.any()


def test_a_half_of_the_partners_comes_from_the_queue():
    model = ust_run()
    batch = batch_of(model, n_l=3, n_u=4)
    label = torch.ones(4, 8, 8, dtype=torch.long)
    mask = torch.zeros(4, 8, 8)
    old = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 8, 8) + 100
    model.reliable['unet'].update([old, label, mask], torch.tensor([0.1, 0.2, 2.0, 2.0]))
    torch.manual_seed(0)
    places, kinds = set(), set()
    for _ in range(30):
        x, y, counts = model.partners(batch, 'unet', Step(5, 10))
        kept = x[:, 0, 0, 0] >= 100
        assert kept.sum() == 2
        assert set(x[kept][:, 0, 0, 0].tolist()) <= {100.0, 101.0}, 'only those let in'
        assert not counts[kept].any() and y[kept].all(), 'with their label and mask'
        assert counts[~kept].all()
        for image, truth in zip(x[~kept], y[~kept], strict=True):
            (source,) = (i for i, own in enumerate(batch['x_w']['unet']) if torch.equal(own, image))
            assert torch.equal(truth, batch['y']['unet'][source])
        places.add(tuple(kept.tolist()))
        kinds.add(tuple(x[kept][:, 0, 0, 0].tolist()))
    assert len(places) > 3 and (100.0, 100.0) in kinds, 'in any order, with replacement'


def test_one_reliable_image_takes_one_place():
    model = ust_run()
    batch = batch_of(model, n_l=2, n_u=4)
    old = [torch.full((1, 1, 8, 8), 100.0), torch.ones(1, 8, 8).long(), torch.ones(1, 8, 8)]
    model.reliable['unet'].update(old, torch.tensor([0.1]))
    x = model.partners(batch, 'unet', Step(5, 10))[0]
    assert (x[:, 0, 0, 0] >= 100).sum() == 1


@pytest.mark.parametrize('unreliable', [True, False])
def test_the_hardest_image_joins_ul_in_the_next_iteration(unreliable):
    model, seen = ust_run(unreliable=unreliable), []
    model.criterion.register_forward_pre_hook(lambda _, given: seen.append((*map(len, given[:2]),)))
    for _ in range(2):
        model.loss(batch_of(model))
    ul = [seen[1], seen[5]]  # x, ul, lu and u_s of each iteration
    assert ul == [(2, 2), (3, 3) if unreliable else (2, 2)]
    assert len(model.hardest) == unreliable


def test_the_hardest_image_is_kept_and_mended_in_the_box_around_both_foregrounds():
    model = ust_run(unreliable=True)
    with_hardness(model, [0.2, 0.9])
    batch = batch_of(model)
    batch['y']['unet'] = torch.zeros(2, 8, 8, dtype=torch.long)
    batch['y']['unet'][:, 3, 2] = 1
    model.prepare(batch, model.step)
    (image, label, mask), u_w = model.hardest['unet'].tensors, batch['u_w']['unet']
    assert torch.equal(image, u_w[1:])
    label, mask = torch.zeros(1, 8, 8).long(), torch.zeros(1, 8, 8)
    label[:, 5, 6] = 1
    mended, taught, counts = model.mend(batch, 'unet', image, label, mask)
    inside = torch.zeros(8, 8).bool()
    inside[3:6, 2:7] = True
    assert torch.equal(mended[..., ~inside], image[..., ~inside])
    assert any(torch.equal(mended[0][..., inside], x[..., inside]) for x in batch['x_w']['unet'])
    assert taught[0].nonzero().tolist() == [[3, 2]], 'the label in the box is the labelled one'
    assert torch.equal(counts[0] > 0, inside)


def test_without_any_foreground_the_box_is_a_drawn_one():
    model = ust_run(unreliable=True)
    batch = batch_of(model)
    batch['y']['unet'] = torch.zeros(2, 8, 8, dtype=torch.long)
    empty = torch.zeros(1, 8, 8)
    counts = model.mend(batch, 'unet', batch['u_w']['unet'][:1], empty.long(), empty)[2]
    inside = torch.zeros(8, 8)
    inside[2:5, 1:5] = 1
    assert torch.equal(counts[0], inside)


def test_a_checkpoint_has_queue_threshold_and_hardest_image():
    """A model that is loaded goes on as the one that was saved, drawing alike."""
    one, other = (ust_run(unreliable=True) for _ in range(2))
    with_hardness(one, [0.2, 0.9])
    one.loss(batch_of(one))
    del one.hardness
    other.load_state_dict(one.state_dict())
    assert theta(other) == theta(one) == pytest.approx(0.9)
    totals = []
    for model in (one, other):
        torch.manual_seed(0)
        totals.append(model.loss(batch_of(model, seed=1))['loss'])
    assert torch.equal(*totals)
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_neither_queue_nor_hardest_image_is_looked_at_on_the_host():
    model = ust_run(unreliable=True)
    batch = batch_of(model)
    model.loss(batch)
    assert_no_host_sync(model, batch)


def test_the_students_pass_moves_its_running_statistics():
    """Four passes as in SymGD and the one on u_w, as in the released code."""
    model = ust_run(students=dict(unet=segmentor()))
    model.loss(batch_of(model))
    counts = {
        int(value)
        for name, value in model.students.state_dict().items()
        if name.endswith('num_batches_tracked')
    }
    assert counts == {5}
