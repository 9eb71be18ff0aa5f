"""Several optimiser steps in one iteration, as the model asks for them."""

import pytest
import torch
from engine_toy import ToyMetric, config
from same_runs import assert_same_run
from test_distributed import ranks

from mmssl.registry import RUNNERS

PHASED = {'model.type': 'PhasedToyModel'}
STEP = {'model.norm': 'gn', 'optim_wrapper.optimizers.sam.type': 'SGD'}


def train(work_dir, **options):
    ToyMetric.count = 0
    runner = RUNNERS.build(config(work_dir, **PHASED, **options))
    runner.train()
    return runner


def scalars(runner, name):
    values, counts = runner.message_hub.get_scalar(f'train/{name}').data
    return [float(v) for v in values], len(counts)


def test_every_phase_is_a_step_on_the_same_batch_and_terms_are_merged(tmp_path):
    seen = []
    runner = RUNNERS.build(config(tmp_path, max_iters=4, **PHASED))
    original = runner.model.train_step

    def train_step(data, optim_wrapper):
        before = runner.model.students['sam'][0].weight.detach().clone()
        terms = original(data, optim_wrapper)
        moved = not torch.equal(before, runner.model.students['sam'][0].weight)
        number = int(data['inputs'][0][3])
        seen.append((runner.model.step.iter, runner.model.step.phase, number, moved))
        return terms

    runner.model.train_step = train_step
    runner.train()
    one, two = [(0, 0, 0, True), (1, 0, 1, True)], [(2, 2), (3, 3)]
    # a student without a gradient rests, AdamW's momentum included
    assert seen == one + [(i, phase, n, phase == 0) for i, n in two for phase in (0, 1)]
    (loss, count), (sam, _), (unet, steps) = (
        scalars(runner, name) for name in ('loss', 'sup_sam', 'sup_unet')
    )
    assert count == 4 and steps == 2
    assert loss[:2] == sam[:2]
    assert loss[2:] == pytest.approx([a + b for a, b in zip(sam[2:], unet, strict=True)])


def test_schedules_count_iterations(tmp_path):
    rates = train(tmp_path, **{'train_cfg.max_iters': 8}).optim_wrapper.get_lr()['unet.lr']
    assert rates == [pytest.approx(0.1 * (1 / 8) ** 0.9)], 'the rate of the last of 8 iterations'


def test_resumed_run_is_bit_identical(tmp_path):
    train(tmp_path / 'whole')
    train(tmp_path / 'part', **{'train_cfg.max_iters': 4})
    train(tmp_path / 'part', resume=True)
    assert_same_run(tmp_path / 'whole', tmp_path / 'part')


def test_accumulation_over_iterations_is_refused(tmp_path):
    with pytest.raises(ValueError, match='accumulative_counts=2 cannot be used .* 2 optimiser'):
        train(tmp_path, **{'optim_wrapper.accumulative_counts': 2})


@pytest.mark.slow
def test_two_ranks_are_one_process(tmp_path):
    done = ranks('phases', tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = torch.load(tmp_path / 'states_0.pth', weights_only=True)
    assert all(torch.equal(one[key], two[key]) for key in one)
    runner = RUNNERS.build(config(tmp_path / 'single', max_iters=4, **PHASED, **STEP))
    for module in runner.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    runner.train()
    for key, value in runner.model.state_dict().items():
        torch.testing.assert_close(one[key], value, atol=1e-6, rtol=1e-5)
