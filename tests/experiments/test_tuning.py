"""Equal tuning budgets: what is tried, on which cases, and what is chosen."""

import json
import sys
from pathlib import Path

import pytest
from mmengine import Config

sys.path.insert(0, str(Path(__file__).parents[1] / 'utils'))

from mmssl.experiments.axes import parse_axes
from mmssl.experiments.held_out import hold_out, tuning_config
from mmssl.experiments.trials import Plan, Search, expand
from mmssl.registry import DATASETS
from tests.fake_files import TEST_PIPELINE, prostate, write_prostate

METHOD = dict(
    model=dict(ramp=dict(scale=0.1), start=40, flag=True),
    optim_wrapper=dict(optimizers=dict(sam=dict(lr=1.2e-4), unet=dict(lr=0.03, betas=(0.9, 1.0)))),
)


class Pretended:
    """A job whose score is that of its options; `fails` when x is 0."""

    def __init__(self, name, options, ledger):
        self.name, self.options, self.ledger = name, options, ledger

    def state(self):
        return 'done' if self.name in self.ledger else 'new'


def search(tmp_path, ledger, trials, sampler, tune=('a.x=0,1,2,3', 'a.y=0,10'), metric='DSC'):
    axes = tuple(parse_axes(tune, '--tune'))
    plan = Plan(axes, trials, sampler, 0, metric, 0.25)
    return Search(
        'mine',
        plan,
        METHOD,
        lambda labels, options: Pretended(','.join(labels), options, ledger),
        lambda job: float(job.options['a.x']) + float(job.options['a.y']),
        tmp_path / 'tuning.json',
        'config',
    )


def go(one, ledger, stop=99):
    """Make the trials; return their names in order."""
    made, failed = [], {}
    while waiting := one.waiting(failed):
        for job in waiting:
            if len(made) == stop:
                return made
            made.append(job.name)
            if job.options['a.x'] == '0':
                failed[job.name] = 'loss is not finite'
            else:
                ledger.add(job.name)
    return made


@pytest.mark.parametrize('sampler', ['grid', 'tpe'])
def test_as_many_different_settings_as_asked_for_and_the_best_is_chosen(tmp_path, sampler):
    ledger = set()
    one = search(tmp_path, ledger, 8, sampler)
    assert one.chosen is None
    made = go(one, ledger)
    assert len(made) == len(set(made)) == 8, 'no setting twice, of all eight'
    assert one.chosen == ('3', '10') and one.tried['0', '10'] is None
    assert one.options(one.chosen) == {'a.x': '3', 'a.y': '10'}
    assert search(tmp_path, set(), 8, sampler).chosen == ('3', '10'), 'noted'
    assert search(tmp_path, set(), 7, sampler).chosen is None, 'of another plan'
    assert search(tmp_path / 'b', set(ledger), 8, sampler, metric='HD95').waiting({}) != []


@pytest.mark.parametrize('sampler', ['grid', 'tpe'])
def test_an_interrupted_search_goes_on_with_the_same_settings(tmp_path, sampler):
    whole, ledger = set(), set()
    made = go(search(tmp_path / 'whole', whole, 6, sampler), whole)
    first = go(search(tmp_path, ledger, 6, sampler), ledger, stop=3)
    second = go(search(tmp_path, ledger, 6, sampler), ledger)
    again = [name for name in second if name in first]
    assert all(name.startswith('0,') for name in again), 'what failed is tried again'
    assert sorted({*first, *second}) == sorted(made)


def test_the_lowest_distance_is_the_best(tmp_path):
    ledger = set()
    one = search(tmp_path, ledger, 8, 'grid', metric='HD95')
    go(one, ledger)
    assert one.chosen == ('1', '0')


def test_a_method_whose_trials_all_fail_is_told(tmp_path):
    one = search(tmp_path, set(), 2, 'grid', tune=('a.x=0', 'a.y=1,2'))
    with pytest.raises(ValueError, match='Every trial of mine failed, the first one: loss is not'):
        go(one, set())
    assert not (tmp_path / 'tuning.json').exists(), 'to be tried again'


def test_a_factor_multiplies_the_numbers_of_a_methods_own_config():
    assert expand(METHOD, {'lr*': '3'}) == {
        'optim_wrapper.optimizers.sam.lr': '0.00036',
        'optim_wrapper.optimizers.unet.lr': '0.09',
    }
    assert expand(METHOD, {'unet.lr*': '0.1', 'a.b': '7'}) == {
        'optim_wrapper.optimizers.unet.lr': '0.003',
        'a.b': '7',
    }
    assert expand(METHOD, {'start*': '0.3'}) == {'model.start': '12'}, 'whole numbers stay so'
    with pytest.raises(ValueError, match=r'--tune rate\*: the config has no number "rate"'):
        expand(METHOD, {'rate*': '3'})
    with pytest.raises(ValueError, match=r'--tune lr\*: the factor "big" is no number'):
        expand(METHOD, {'lr*': 'big'})


@pytest.fixture
def cfg(tmp_path):
    """Three domains of four cases; three cases of A have labels."""
    root = write_prostate(tmp_path / 'data', cases=4, per_case=2)
    return Config(
        dict(
            train_dataloader=dict(dataset=prostate(root, labelled=dict(domain='A', num=6))),
            test_dataloader=dict(
                dataset=prostate(root, mode='test', labelled=None, pipeline=TEST_PIPELINE)
            ),
            val_dataloader=dict(dataset=1),
            val_cfg=1,
            val_evaluator=1,
        )
    )


def masks(dataset):
    return {path for sample in dataset.samples for path in sample.mask_paths or ()}


def test_trials_use_the_labels_of_the_training_and_no_other(cfg):
    whole = DATASETS.build(cfg.train_dataloader.dataset)
    held = hold_out(cfg, 0.25, 0)
    assert held.words.startswith('1 of 3 labelled cases (A: ')
    tuned = tuning_config(cfg, held, validate=False)
    assert tuned.val_dataloader is tuned.val_cfg is tuned.val_evaluator is None
    training = DATASETS.build(tuned.train_dataloader.dataset)
    scored = DATASETS.build(tuned.test_dataloader.dataset)
    assert not masks(training) & masks(scored) and len(masks(scored)) == 2
    assert masks(training) | masks(scored) == masks(whole)
    assert not any('/test/' in path for path in masks(scored))
    assert len(training) == len(whole) - 2, 'what is scored is no unlabelled image either'
    assert hold_out(cfg, 0.9, 0).labelled, 'a holdout of the config is kept'


def test_the_share_and_the_seed_say_which_cases(cfg):
    def held(share, seed):
        return hold_out(cfg, share, seed).holdout['cases']

    assert len(held(0.6, 0)) == 2 and len(held(0.99, 0)) == 2, 'one is left to train on'
    assert len({tuple(held(0.3, seed)) for seed in range(6)}) > 1 and held(0.3, 1) == held(0.3, 1)


def test_labels_of_all_domains(cfg):
    cfg.train_dataloader.dataset.labelled = dict(domain='all', list=['A/00', 'B/01', 'B/02'])
    held = hold_out(cfg, 0.25, 0)
    assert held.holdout['domains'] == ['B'], 'of which the most cases are labelled'
    assert len(held.labelled['list']) == 4 and held.labelled['domain'] == 'all'
    tuned = tuning_config(cfg, held, validate=True)
    assert tuned.val_dataloader == tuned.test_dataloader and tuned.val_cfg == 1
    assert len(DATASETS.build(tuned.train_dataloader.dataset).labelled_indices) == 4
    assert {sample.domain for sample in DATASETS.build(tuned.val_dataloader.dataset).samples} == {
        'B'
    }


@pytest.mark.parametrize('num', [1, 2, 3])
def test_a_case_that_is_labelled_in_part_is_not_held_out(cfg, num):
    """Its other images have no labels: `num` slices are one case, or one and a part of another."""
    cfg.train_dataloader.dataset.labelled.seed = None
    cfg.train_dataloader.dataset.labelled.num = num
    if num == 3:
        assert hold_out(cfg, 0.5, 0).holdout['cases'] == ['00']
        return
    with pytest.raises(ValueError, match='--tune needs two labelled cases'):
        hold_out(cfg, 0.5, 0)


def test_the_record_says_what_was_tried(tmp_path):
    ledger = set()
    one = search(tmp_path, ledger, 2, 'grid', tune=('a.x=1,2', 'a.y=5'))
    go(one, ledger)
    tried = json.loads((tmp_path / 'tuning.json').read_text())['tried']
    assert sorted(one['score'] for one in tried) == [6.0, 7.0]
    assert one.content()['chosen'] == {'a.x': '2', 'a.y': '5'}
