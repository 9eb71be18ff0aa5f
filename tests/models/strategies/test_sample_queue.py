import pytest
import torch

from mmssl.engine.checkpoints.weights import load_weights
from mmssl.models.strategies import SampleQueue


def of(*numbers):
    x = torch.tensor(numbers, dtype=torch.float32)
    return [x.view(-1, 1, 1, 1).expand(-1, 1, 2, 2), x.long()]


def accept(*numbers):
    return torch.tensor(numbers, dtype=torch.bool)


def numbers(queue):
    image, label = queue.tensors
    assert torch.equal(image[:, 0, 0, 0].long(), label), 'an image lost its label'
    return label[queue.filled].tolist()


def test_the_newest_stay_and_the_refused_never_enter():
    queue = SampleQueue(3)
    assert not queue.tensors and queue.draw(2)[0] == []
    queue.push(of(1, 2), accept(0, 0))
    assert numbers(queue) == []
    queue.push(of(3, 4), accept(1, 0))
    queue.push(of(5, 6), accept(1, 1))
    assert numbers(queue) == [5, 6, 3]
    queue.push(of(7, 8), accept(0, 1))
    assert numbers(queue) == [8, 5, 6]


def test_a_batch_longer_than_the_queue_leaves_its_first_ones():
    queue = SampleQueue(2)
    queue.push(of(1, 2, 3), accept(1, 1, 1))
    assert numbers(queue) == [1, 2]


def test_what_is_drawn_is_there_and_none_is_drawn_twice():
    torch.manual_seed(0)
    queue, seen = SampleQueue(5), set()
    queue.push(of(1, 2, 3), accept(1, 1, 1))
    for _ in range(20):
        (image, label), there = queue.draw(4)
        assert there.tolist() == [True, True, True, False]
        assert torch.equal(image[:, 0, 0, 0].long(), label)
        assert sorted(label[:3].tolist()) == [1, 2, 3]
        seen.add(tuple(label[:3].tolist()))
    assert len(seen) > 1


def test_with_replacement_a_sample_may_come_again_and_only_what_is_there_counts():
    torch.manual_seed(0)
    queue, seen = SampleQueue(5), set()
    queue.push(of(1, 2), accept(1, 1))
    for _ in range(20):
        (image, label), there = queue.draw(3, replacement=True)
        assert there.tolist() == [True, True, False], 'as many as there are'
        assert torch.equal(image[:, 0, 0, 0].long(), label)
        seen.add(tuple(label[:2].tolist()))
    assert seen == {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_a_new_queue_takes_the_shapes_and_values_of_a_checkpoint():
    queue, other = (torch.nn.ModuleDict({'unet': SampleQueue(3)}) for _ in range(2))
    queue['unet'].push(of(1, 2), accept(1, 1))
    other.load_state_dict(queue.state_dict())
    assert numbers(other['unet']) == [1, 2]
    for each in (queue, other):
        each['unet'].push(of(3, 4), accept(0, 1))
    assert numbers(other['unet']) == numbers(queue['unet']) == [4, 1, 2]


def test_a_training_that_begins_with_the_weights_of_another_has_an_empty_queue():
    """Its images may be of another size, or nobody's to see."""
    old, new = (
        torch.nn.ModuleDict({'net': torch.nn.Linear(2, 2), 'queue': SampleQueue(3)})
        for _ in range(2)
    )
    old['queue'].push(of(1, 2), accept(1, 1))
    load_weights(new, old.state_dict(), 'x.pth', strict=False)
    assert torch.equal(new['net'].weight, old['net'].weight)
    assert not new['queue'].tensors and not new['queue'].filled.any()
    load_weights(new, old.state_dict(), 'x.pth', strict=True)
    assert numbers(new['queue']) == [1, 2]


def test_a_pass_keeps_no_graph():
    queue = SampleQueue(2)
    x = torch.ones(2, 1, requires_grad=True)
    queue.push([x * 2], accept(1, 1))
    assert not queue.tensors[0].requires_grad


def test_a_queue_of_no_length_is_refused():
    with pytest.raises(ValueError, match='at least 1, found 0'):
        SampleQueue(0)
