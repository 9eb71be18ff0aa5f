import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub

from mmssl.engine.hooks.smc_ensemble_hook import SMCEnsembleHook
from tests.tiny import build, segmentor, synfoc


@pytest.fixture
def runner(tmp_path):
    """Stand in for a runner at iteration 0, with a visualizer that remembers."""
    sent = []
    visualizer = SimpleNamespace(add_scalars=lambda scalars, step: sent.append((step, scalars)))
    model = build(synfoc())
    return SimpleNamespace(
        model=model,
        bare_model=model,
        work_dir=tmp_path,
        iter=0,
        visualizer=visualizer,
        sent=sent,
        message_hub=MessageHub.get_current_instance(),
    )


def run(hook, runner, start, stop):
    for iteration in range(start, stop):
        runner.iter = iteration
        hook.after_train_iter(runner, iteration, outputs={'alpha': torch.tensor(float(iteration))})
    runner.iter = stop


def test_the_rule_has_one_switch(runner):
    hook = SMCEnsembleHook()
    hook.before_train(runner)
    assert hook.rule == 'SelfMutualConfidence'
    with pytest.raises(ValueError, match=r"model=dict\(ensemble=\{'type': 'LinearRatio'\}\)"):
        SMCEnsembleHook(rule=dict(type='LinearRatio'))


def test_curves_are_means_over_the_interval_and_drawn_at_the_end(runner, tmp_path):
    hook = SMCEnsembleHook(interval=2)
    hook.before_train(runner)
    run(hook, runner, 0, 4)
    hook.after_train(runner)
    curves = json.loads((tmp_path / 'ensemble_curves.json').read_text())
    assert curves == [{'iter': 2, 'alpha': 0.5}, {'iter': 4, 'alpha': 2.5}]
    assert runner.sent[0] == (2, {'ensemble/alpha': 0.5})
    assert (tmp_path / 'ensemble_curves.png').stat().st_size > 1000


def test_resumed_run_continues_the_curves_from_its_checkpoint(runner, tmp_path):
    hook = SMCEnsembleHook(interval=2)
    hook.before_train(runner)
    run(hook, runner, 0, 6)
    hook.before_save_checkpoint(runner, {})
    runner.iter = 4
    again = SMCEnsembleHook(interval=2)
    again.before_train(runner)
    assert [point['iter'] for point in again.history] == [2, 4]


def test_a_checkpoint_between_two_points_loses_none_of_their_iterations(runner):
    hook = SMCEnsembleHook(interval=4)
    hook.before_train(runner)
    run(hook, runner, 0, 3)
    hook.before_checkpoint(runner)
    hook.before_save_checkpoint(runner, {})
    again = SMCEnsembleHook(interval=4)
    again.before_train(runner)
    run(again, runner, 3, 4)
    assert again.history == [{'iter': 4, 'alpha': 1.5}]


def test_the_first_point_of_a_resumed_run_is_the_mean_of_what_it_saw(runner):
    hook = SMCEnsembleHook(interval=4)
    runner.iter = 2
    hook.before_train(runner)
    run(hook, runner, 2, 4)
    assert hook.history == [{'iter': 4, 'alpha': 2.5}]


def test_model_without_an_ensemble_is_refused():
    model = build(dict(type='SupOnly', students=dict(unet=segmentor())))
    with pytest.raises(TypeError, match='mixes two teachers'):
        SMCEnsembleHook().attach(model)
