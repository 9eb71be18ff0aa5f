"""How many iterations fit into a limit of time."""

import pytest

from mmssl.experiments import time_plan
from mmssl.experiments.time_plan import FEWEST, Cost, Plan, make_plan


def test_what_fits_is_not_shortened():
    plan = make_plan({'a': Cost(400, 1.0, 10.0, 20.0), 'b': Cost(400, 0.1)}, 30.0, 10)
    assert plan.iterations == {'a': 400, 'b': 400} and not plan.shortened and not plan.note()
    assert plan.minutes == plan.whole == pytest.approx((30 + 10 + 20 + 400 + 40) / 60, abs=0.01)


@pytest.mark.parametrize('seconds', [1.0, 2.0, 5.0, 9.0])
def test_what_does_not_fit_is_shortened_to_the_limit(seconds):
    costs = {'a': Cost(400, seconds, 10.0), 'b': Cost(800, 0.5 * seconds, 10.0)}
    plan = make_plan(costs, 30.0, 10)
    assert plan.shortened and 7 < plan.minutes <= 10
    assert abs(plan.iterations['b'] - 2 * plan.iterations['a']) <= 10
    assert all(count % 10 == 0 for count in plan.iterations.values())


def test_a_very_slow_machine_does_the_fewest():
    plan = make_plan({'a': Cost(400, 100.0), 'b': Cost(5, 100.0)}, 0.0, 1)
    assert plan.iterations == {'a': FEWEST, 'b': 5} and plan.minutes > 1
    assert f'a {FEWEST} of 400' in plan.note() and 'the limit was 1 ' in plan.note()


def test_a_plan_is_kept_whole(tmp_path):
    plan = make_plan({'a': Cost(400, 3.0)}, 0.0, 10)
    plan.write(tmp_path / 'plan.json')
    assert Plan.read(tmp_path / 'plan.json') == plan
    (tmp_path / 'plan.json').write_text('{"iterations": {}, "asked"')
    assert Plan.read(tmp_path / 'plan.json') is None is Plan.read(tmp_path / 'none.json')


def test_load_of_others(monkeypatch):
    monkeypatch.setattr(time_plan, 'usable_cores', lambda: 2)
    monkeypatch.setattr(time_plan.os, 'getloadavg', lambda: (0.6, 9.0, 9.0))
    assert time_plan.load_of_others() == ''
    monkeypatch.setattr(time_plan.os, 'getloadavg', lambda: (2.1, 0.0, 0.0))
    assert 'about 2 of 2 cores busy' in time_plan.load_of_others()
