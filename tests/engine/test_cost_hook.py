import json
from types import SimpleNamespace

import pytest
from engine_toy import config

from mmssl.engine.hooks.cost_hook import CostHook, read_cost
from mmssl.registry import RUNNERS


def test_a_run_and_its_continuation_are_one_cost(tmp_path):
    hooks = {'custom_hooks': [dict(type='CostHook', warm_up=1)]}
    RUNNERS.build(config(tmp_path, **hooks, **{'train_cfg.max_iters': 4})).train()
    assert list(json.loads((tmp_path / 'cost.json').read_text())) == ['0']
    RUNNERS.build(config(tmp_path, **hooks, resume=True, **{'train_cfg.max_iters': 6})).train()
    sittings = json.loads((tmp_path / 'cost.json').read_text())
    assert [(k, v['iterations']) for k, v in sittings.items()] == [('0', 4), ('4', 2)]
    cost = read_cost(tmp_path)
    assert cost['time'] > 0 and cost['memory'] > 50 and cost['device']


def test_the_median_is_taken_after_the_warm_up(tmp_path):
    hook = CostHook(warm_up=1)
    runner = SimpleNamespace(work_dir=tmp_path, iter=0)
    hook.before_train(runner)
    hook.times = [9.0, 0.1, 1.5, 0.2]  # the mean is another
    hook.write(runner)
    assert read_cost(tmp_path)['time'] == pytest.approx(200)


def test_sittings_are_weighted_by_their_iterations_and_repeats_replaced(tmp_path):
    def sitting(n, time, memory, device='CPU'):
        return dict(iterations=n, time=time, memory=memory, device=device)

    content = {'0': sitting(30, 10.0, 100.0), '30': sitting(10, 50.0, 80.0, 'GPU')}
    (tmp_path / 'cost.json').write_text(json.dumps(content))
    assert read_cost(tmp_path) == dict(time=20.0, memory=100.0, device='CPU, GPU')
    hook = CostHook()
    hook.begin, hook.times = 20, [0.1]  # iterations from 20 on are made again
    hook.write(SimpleNamespace(work_dir=tmp_path))
    assert list(json.loads((tmp_path / 'cost.json').read_text())) == ['0', '20']
    assert read_cost(tmp_path / 'nowhere') == {}
