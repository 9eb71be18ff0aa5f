"""Statistics are averaged over the processes; all else stays each one's own, and is resumed."""

import pytest
import torch
from rank_buffers import Queue, by_hand, trained

from mmssl.engine.hooks.sync_buffers_hook import buffer_kinds, differing_buffers
from mmssl.testing.two_processes import run_two


@pytest.fixture(scope='module')
def hands(tmp_path_factory):
    folder = tmp_path_factory.mktemp('hands')
    run_two(by_hand, str(folder))
    return [torch.load(folder / f'{rank}.pth', weights_only=True) for rank in range(2)]


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs')
    run_two(trained, str(folder))
    return folder, [torch.load(folder / f'{rank}.pth', weights_only=True) for rank in range(2)]


def test_statistics_are_averaged_and_a_queue_is_not(hands):
    for rank, one in enumerate(hands):
        assert torch.equal(one['state']['norm.running_mean'], torch.full((2,), 0.5))
        frozen = torch.rand(7, generator=torch.Generator().manual_seed(0))
        assert torch.equal(one['state']['frozen.running_var'], frozen), 'equal ones do not move'
        assert set(one['found']) == {'queue.pictures'}, 'NaN is equal to NaN, scratch is not saved'
        assert torch.equal(one['found']['queue.pictures'][rank], torch.full((3, 4), rank + 1.0))


def test_a_module_may_declare_what_its_buffers_are(hands):
    for one in hands:
        assert torch.equal(one['averaged'], torch.full((3, 4), 1.5))
        assert 'queue.threshold must be equal on all processes' in one['said']


def test_a_resumed_run_gives_each_process_its_own(runs):
    folder, found = runs
    for whole, parts in found:
        assert torch.equal(whole['pictures'], parts['pictures'])
        assert whole['draws'] == parts['draws']
    assert not torch.equal(found[0][0]['pictures'], found[1][0]['pictures'])
    assert torch.equal(found[0][0]['running'], found[1][0]['running'])
    saved = torch.load(folder / 'whole' / 'iter_8.pth', weights_only=True)
    kept = saved['rank_buffers']['queue.pictures']
    assert torch.equal(torch.stack(kept), torch.stack([one['pictures'] for one, _ in found]))


def test_no_two_processes_and_no_two_iterations_draw_the_same(runs):
    draws = [draw for one, _ in runs[1] for draw in one['draws']]
    assert len(set(draws)) == len(draws) == 8


def test_a_declaration_that_fits_no_buffer_is_refused():
    queue = Queue()
    for wrong in ({'picture': 'local'}, {'pictures': 'mine'}):
        queue.over_ranks = wrong
        with pytest.raises(ValueError, match=r'Queue.over_ranks has .* \(pictures, count'):
            list(buffer_kinds(queue))
    assert differing_buffers(Queue()) == {}, 'one process has nobody to differ from'
