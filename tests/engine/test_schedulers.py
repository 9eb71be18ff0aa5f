"""The learning rates of SAMed and its kin."""

import copy
from pathlib import Path

import pytest
import torch
from engine_toy import config
from mmengine import Config
from mmengine.optim.scheduler import PolyLR as MMEnginePolyLR

from mmssl.engine import PolyLR, WarmupPolyLR
from mmssl.engine.world_scaling import scale_to_world
from mmssl.experiments.compose import scale_lengths
from mmssl.registry import PARAM_SCHEDULERS, RUNNERS

ROOT = Path(__file__).parents[2]


def optimizer(lr=0.005):
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(count, lr=0.005, **kwargs):
    """Return the rate of each of the first iterations."""
    adamw = optimizer(lr)
    schedule, found = WarmupPolyLR(adamw, **kwargs), []
    for _ in range(count):
        found.append(adamw.param_groups[0]['lr'])
        adamw.step()
        schedule.step()
    return found


def published(count, base_lr, warmup, length, power):
    """Return the rates of the released trainers: the next one is set after each step."""
    lr, found = base_lr / warmup if warmup else base_lr, []
    for i in range(count):
        found.append(lr)
        if warmup and i < warmup:
            lr = base_lr * ((i + 1) / warmup)
        else:
            lr = base_lr * (1 - (i - warmup) / length) ** power
    return found


@pytest.mark.parametrize('warmup, length, power', [(250, 18600, 0.9), (3, 40, 7), (0, 40, 0.9)])
def test_rates_are_those_of_the_released_code(warmup, length, power):
    count = min(length, 400)
    found = rates(count, warmup=warmup, end=length, power=power)
    expected = published(count, 0.005, warmup, length, power)
    assert found == pytest.approx(expected, rel=1e-12)


def test_rates_by_hand():
    found = rates(14881, warmup=250, end=18600)
    at = {
        0: 2e-5,
        1: 2e-5,
        2: 4e-5,
        125: 0.0025,
        250: 0.005,
        251: 0.005,
        9551: 0.005 * 0.5**0.9,
        14880: 0.005 * (1 - 14629 / 18600) ** 0.9,
    }
    for t, value in at.items():
        assert found[t] == pytest.approx(value, rel=1e-12), t


def test_a_training_longer_than_the_decay_ends_at_zero():
    assert rates(10, warmup=2, end=4)[7:] == [0, 0, 0]


def test_the_base_config_follows_the_length_of_the_training(tmp_path):
    base = Config.fromfile(ROOT / 'configs/_base_/schedules/samed.py')
    cfg = config(tmp_path, max_iters=6)
    cfg.param_scheduler = dict(sam=copy.deepcopy(base.param_scheduler))
    cfg.param_scheduler.sam[0].warmup = 2
    runner = RUNNERS.build(cfg)
    runner.train()
    start = cfg.optim_wrapper.optimizers.sam.lr
    lr = runner.optim_wrapper['sam'].get_lr()['lr']  # of the seventh iteration
    assert lr == pytest.approx([start * (1 - 3 / 6) ** 0.9])


def test_state_goes_on_where_it_was():
    one, two = optimizer(), optimizer()
    whole, rest = (WarmupPolyLR(net, warmup=3, end=9) for net in (one, two))
    for _ in range(5):
        one.step()
        whole.step()
    rest.load_state_dict(whole.state_dict())
    for net, schedule in ((one, whole), (two, rest)):
        net.step()
        schedule.step()
    assert one.param_groups[0]['lr'] == two.param_groups[0]['lr']


def test_warmup_shrinks_with_the_training(tmp_path):
    schedule = dict(type='WarmupPolyLR', warmup=250, end=1000, by_epoch=False)
    cfg = config(tmp_path, max_iters=1000)
    cfg.param_scheduler = [schedule]
    cfg.train_dataloader.batch_sampler.per_rank = True
    assert scale_to_world(cfg, 2).param_scheduler[0].warmup == 125
    cfg.model = dict(type='SupOnly')
    scale_lengths(cfg, 200)
    assert (cfg.param_scheduler[0].warmup, cfg.param_scheduler[0].end) == (50, 200)


@pytest.mark.parametrize(
    'kwargs, text',
    [
        (dict(by_epoch=True), 'by_epoch=False'),
        (dict(warmup=-1), 'warmup=-1'),
        (dict(end=0), 'end=0'),
    ],
)
def test_bad_options_are_named(kwargs, text):
    with pytest.raises(ValueError, match=text):
        PARAM_SCHEDULERS.build(dict(type='WarmupPolyLR', optimizer=optimizer(), **kwargs))


@pytest.mark.parametrize('length', [1, 2, 9, 500])
def test_only_the_last_iteration_of_poly_differs_from_mmengine_and_learns(length):
    found = []
    for kind in (PolyLR, MMEnginePolyLR):
        sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.03)
        schedule, rates = kind(sgd, power=0.9, begin=0, end=length, by_epoch=False), []
        for _ in range(length):
            rates.append(sgd.param_groups[0]['lr'])
            sgd.step()
            schedule.step()
        found.append(rates)
    own, stock = found
    assert own[:-1] == stock[:-1]
    assert own[-1] == pytest.approx(0.03 * (1 / length) ** 0.9, rel=1e-12)
    assert length == 1 or stock[-1] == 0


def test_configs_get_the_poly_that_learns():
    assert PARAM_SCHEDULERS.get('PolyLR') is PolyLR
