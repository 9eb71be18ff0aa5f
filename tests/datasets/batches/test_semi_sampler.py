import pickle
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from fake_files import prostate, write_prostate
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmssl.datasets.batches import SemiSampler, semi_sampler
from mmssl.structures import Draw


def data(labelled=10, unlabelled=23, seed=None):
    return SimpleNamespace(
        labelled_indices=np.arange(labelled),
        unlabelled_indices=np.arange(100, 100 + unlabelled),
        seed=seed,
    )


def sampler(num_labelled=4, num_unlabelled=5, seed=0, rank=0, world=1, monkeypatch=None, **options):
    dataset = options.pop('dataset', None) or data()
    if monkeypatch:
        monkeypatch.setattr(semi_sampler, 'get_dist_info', lambda: (rank, world))
    return SemiSampler(
        dataset=dataset,
        num_labelled=num_labelled,
        num_unlabelled=num_unlabelled,
        seed=seed,
        **options,
    )


def test_order_and_slots():
    batch = sampler().batch(3)
    assert [draw.slot for draw in batch] == [0, 1, 2, 3, 0, 1, 2, 3, 4]
    assert [draw.labelled for draw in batch] == [True] * 4 + [False] * 5
    assert all(isinstance(draw, Draw) and draw.iteration == 3 for draw in batch)
    assert all((draw.index < 100) == draw.labelled for draw in batch)


def test_epochs_are_permutations_that_drop_the_rest_and_reshuffle():
    stream = sampler(num_unlabelled=5).unlabelled
    assert stream.batches == 4
    epochs = [[i for k in range(4) for i in stream.batch(4 * e + k)] for e in range(3)]
    assert all(len(set(epoch)) == 20 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    # Another image is left out each time.
    left_out = [set(range(100, 123)) - set(epoch) for epoch in epochs]
    assert left_out[0] != left_out[1]
    expected = np.random.default_rng([0, 1, 2]).permutation(np.arange(100, 123))[5:10]
    assert stream.batch(9) == expected.tolist()


def test_images_repeat_where_there_are_fewer_than_the_batch_needs():
    stream = sampler(num_labelled=4, dataset=data(labelled=3)).labelled
    drawn = [i for k in range(6) for i in stream.batch(k)]
    assert len(drawn) == 24
    assert all(sorted(drawn[3 * e : 3 * e + 3]) == [0, 1, 2] for e in range(8))


def test_streams_and_seeds_differ():
    first = sampler(5, 5, dataset=data(20, 20))
    labelled, unlabelled = first.labelled.batch(0), first.unlabelled.batch(0)
    assert [i + 100 for i in labelled] != unlabelled
    assert labelled != sampler(5, 5, seed=1, dataset=data(20, 20)).labelled.batch(0)
    assert first.batch(7) == sampler(5, 5, dataset=data(20, 20)).batch(7)


@pytest.mark.parametrize('start', [0, 1, 7, 60000])
def test_resume_is_exact(start):
    whole = sampler()
    resumed = sampler(start_iter=start)
    expected = [whole.batch(start + k) for k in range(5)]
    assert list(islice(resumed, 5)) == expected
    skipped = sampler()
    skipped.skip(start)
    assert list(islice(skipped, 5)) == expected


def test_ranks_share_the_batch(monkeypatch):
    whole = sampler(4, 6).batch(11)
    parts = [sampler(4, 6, rank=r, world=2, monkeypatch=monkeypatch).batch(11) for r in range(2)]
    assert parts[0] == whole[:2] + whole[4:7]
    assert parts[1] == whole[2:4] + whole[7:]
    assert sampler(4, 6, world=2, monkeypatch=monkeypatch).batch_size == 5


def test_batch_per_rank(monkeypatch):
    two = [sampler(2, 3, rank=r, world=2, per_rank=True, monkeypatch=monkeypatch) for r in range(2)]
    whole = sampler(4, 6, monkeypatch=monkeypatch).batch(5)
    assert sorted(two[0].batch(5) + two[1].batch(5)) == sorted(whole)
    assert two[0].batch_size == 5


def test_batch_that_the_ranks_cannot_share(monkeypatch):
    message = (
        r'4 labelled images cannot be shared by 3 ranks. Use 1 or 2 or 4 rank\(s\) for the '
        r'effective batch 4 \+ 4, or per_rank=True for an effective batch of 12 \+ 12'
    )
    with pytest.raises(ValueError, match=message):
        sampler(4, 4, world=3, monkeypatch=monkeypatch)
    with pytest.raises(ValueError, match=r'5 unlabelled images .* by 2 ranks. Use 1 rank'):
        sampler(4, 5, world=2, monkeypatch=monkeypatch)


def test_effective_batch_is_logged(monkeypatch):
    logged = []
    monkeypatch.setattr(semi_sampler, 'print_log', lambda text, **options: logged.append(text))
    sampler(4, 4, world=2, monkeypatch=monkeypatch)
    assert logged == ['effective batch 4 labelled + 4 unlabelled on 2 ranks']


def test_a_batch_larger_than_what_there_is_is_said(monkeypatch):
    said = []
    monkeypatch.setattr(
        semi_sampler,
        'print_log',
        lambda text, logger=None, level=20: level == 30 and said.append(text),
    )
    sampler(num_labelled=10, num_unlabelled=23)
    assert not said
    sampler(num_labelled=11, num_unlabelled=24)
    assert said == [
        f'num_{kind} = {n + 1}, but the data set has {n} {kind} images: images repeat '
        'within a batch.'
        for kind, n in (('labelled', 10), ('unlabelled', 23))
    ]


def test_labels_only():
    control = sampler(4, 0, dataset=data(unlabelled=0))
    assert all(draw.labelled for draw in control.batch(2)) and len(control.batch(2)) == 4
    # The same labelled images as with unlabelled ones beside them.
    assert control.batch(2) == sampler(4, 5).batch(2)[:4]


def test_faults():
    with pytest.raises(ValueError, match='num_unlabelled = 5, but the data set has 0 unlabelled'):
        sampler(dataset=data(unlabelled=0))
    with pytest.raises(ValueError, match='has 0 labelled images. Label some in .*labelled, or set'):
        sampler(dataset=data(labelled=0))
    for number in (-1, 1.5):
        with pytest.raises(ValueError, match=f'num_labelled = {number}: give a whole number'):
            sampler(number, 2)
    with pytest.raises(ValueError, match='both 0'):
        sampler(0, 0)
    with pytest.raises(ValueError, match='needs a MixedDomainDataset, found list'):
        SemiSampler(dataset=[1, 2])


def test_the_data_set_takes_the_seed():
    dataset = data()
    sampler(seed=5, dataset=dataset)
    assert dataset.seed == 5
    sampler(seed=6, dataset=dataset)
    assert dataset.seed == 5


def test_length_is_that_of_the_longer_stream():
    assert len(sampler(4, 5)) == 4  # 23 // 5
    assert len(sampler(1, 23)) == 10
    assert pickle.loads(pickle.dumps(Draw(1, 2, 3, True))) == (1, 2, 3, True)


@pytest.mark.parametrize('workers', [0, 2])
def test_loader_of_the_stock_runner(tmp_path, workers):
    cfg = Config(
        dict(
            batch_size=1,
            num_workers=workers,
            sampler=dict(type='DefaultSampler', shuffle=True),
            batch_sampler=dict(type='SemiSampler', num_labelled=2, num_unlabelled=3),
            collate_fn=dict(type='semi_collate'),
            dataset=prostate(write_prostate(tmp_path)),
        )
    )
    with DefaultScope.overwrite_default_scope('mmssl'):
        loader = Runner.build_dataloader(cfg, seed=4)
    assert loader.batch_sampler.seed == loader.dataset.seed == 4
    batch = next(iter(loader))
    assert {key: len(value) for key, value in batch['inputs'].items()} == dict(
        x_w=2, x_s=2, y=2, u_w=3, u_s=3, box=3
    )
    draws = loader.batch_sampler.batch(0)
    drawn = [loader.dataset.samples[draw.index].name for draw in draws]
    samples = batch['data_samples']['labelled'] + batch['data_samples']['unlabelled']
    assert [sample.name for sample in samples] == drawn
