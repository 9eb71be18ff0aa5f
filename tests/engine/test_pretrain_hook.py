"""The second stage starts from the best of the first, and a resumed run does the same."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from engine_toy import ToyModel, config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.logging import MessageHub

from mmssl.engine import load_checkpoint_file
from mmssl.engine.hooks import SummaryHook
from mmssl.registry import HOOKS, METRICS, MODELS, RUNNERS

SGD = dict(type='SGD', lr=0.1, momentum=0.9)
STAGE = 6


@MODELS.register_module()
class ToyStages(ToyModel):
    """Six iterations of pre-training; `sam` is pre-trained or starts as `unet`."""

    primary = 'unet'

    def __init__(self, pretrained=('sam', 'unet'), pretrain_iters=STAGE, **kwargs):
        super().__init__(norm='gn', **kwargs)
        self.pretrained, self.pretrain_iters = list(pretrained), pretrain_iters

    def start_from_pretrained(self):
        if 'sam' not in self.pretrained:
            self.students['sam'].load_state_dict(self.students['unet'].state_dict())


@METRICS.register_module()
class StageMetric(BaseMetric):
    """The score of unet rises with the iterations, that of sam falls."""

    default_prefix = ''

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        done = MessageHub.get_current_instance().get_info('iter') * 1.0
        return {'unet/DSC': done, 'sam/DSC': -done}


@HOOKS.register_module()
class Spy(Hook):
    """Note what the second stage starts with."""

    priority = 'LOWEST'
    seen: dict = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == STAGE:
            states = {name: w.state_dict() for name, w in runner.optim_wrapper.items()}
            buffers = {
                n: [s['momentum_buffer'] for s in state['state'].values()]
                for n, state in states.items()
            }
            self.seen.update(
                weights={k: v.clone() for k, v in runner.model.state_dict().items()},
                momentum={n: [b.clone() for b in bs] for n, bs in buffers.items()},
                where={n: [b.data_ptr() for b in bs] for n, bs in buffers.items()},
                lr=states['unet']['param_groups'][0]['lr'],
                info=dict(runner.message_hub.runtime_info),
                files={p.name for p in Path(runner.work_dir).glob('*.pth')},
            )


def train(work_dir, monitor='sam/DSC', hook=None, **options):
    """Train for ten iterations with a validation after every second one."""
    cfg = config(work_dir, max_iters=10, **options)
    cfg.model.type = options.get('model.type', 'ToyStages')
    cfg.optim_wrapper.optimizers = dict(sam=SGD, unet=SGD)
    cfg.train_cfg.val_interval = options.get('train_cfg.val_interval', 2)
    cfg.default_hooks.checkpoint.update(interval=2, max_keep_ckpts=-1, save_best=['sam/DSC'])
    cfg.val_evaluator = dict(type='StageMetric')
    cfg.custom_hooks = [
        dict(type='PretrainHook', monitor=monitor, **(hook or {})),
        dict(type='Spy'),
    ]
    runner = RUNNERS.build(cfg)
    runner.train()
    return runner


def read(folder, name):
    return load_checkpoint_file(Path(folder) / name)


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


def test_the_second_stage_starts_from_the_best_weights_and_their_optimiser_state(tmp_path):
    train(tmp_path)
    best, seen = read(tmp_path, 'iter_2.pth'), Spy.seen
    assert_equal(seen['weights'], best['state_dict'])
    for name in ('sam', 'unet'):
        expected = [s['momentum_buffer'] for s in best['optimizer'][name]['state'].values()]
        assert len(expected) == len(seen['momentum'][name]) > 0
        assert all(map(torch.equal, seen['momentum'][name], expected))
    last = read(tmp_path, 'iter_6.pth')
    assert not torch.equal(
        seen['weights']['students.unet.0.weight'], last['state_dict']['students.unet.0.weight']
    )
    assert seen['lr'] == last['optimizer']['unet']['param_groups'][0]['lr'], 'as scheduled'
    assert seen['lr'] != best['optimizer']['unet']['param_groups'][0]['lr']


def test_optimisers_start_anew_where_asked_for(tmp_path):
    train(tmp_path, hook=dict(keep_optimizer=False))
    assert_equal(Spy.seen['weights'], read(tmp_path, 'iter_2.pth')['state_dict'])
    assert Spy.seen['momentum'] == dict(sam=[], unet=[])


def test_the_best_of_the_run_is_chosen_in_the_second_stage(tmp_path):
    runner = train(tmp_path)
    assert not any('best_score' == key or 'best_ckpt' == key for key in Spy.seen['info'])
    assert not any(name.startswith('best') for name in Spy.seen['files'])
    assert [p.name for p in tmp_path.glob('best*.pth')] == ['best_sam_DSC_iter_8.pth']
    assert runner.message_hub.get_info('best_score') == -8
    kept = read(tmp_path, 'pretrained.pth')
    assert kept['meta']['iter'] == 2, 'untouched by the second stage'
    beside = {'last_ckpt', 'keep_ckpt_ids', 'extra_ckpt_id'}
    assert not beside & kept['message_hub']['info'].keys(), 'no run goes on from it'


def test_students_without_pretraining_take_the_primary_one_s_place(tmp_path):
    train(tmp_path, monitor=None, **{'model.pretrained': ['unet']})
    best, seen = read(tmp_path, 'iter_6.pth'), Spy.seen  # the score of unet rises
    for key, value in seen['weights'].items():
        source = key.replace('students.sam', 'students.unet')
        assert torch.equal(value, best['state_dict'][source]), key
    one, two = seen['momentum']['sam'], seen['momentum']['unet']
    assert len(one) == len(two) > 0 and all(map(torch.equal, one, two))
    assert not set(seen['where']['sam']) & set(seen['where']['unet']), 'buffers of their own'


@pytest.mark.parametrize('last', [4, 6, 8])
def test_resumed_in_either_stage_and_between_them(tmp_path, last):
    one = train(tmp_path / 'whole')
    part = tmp_path / 'part'
    train(part)
    for path in part.glob('iter_*.pth'):
        if int(path.stem[5:]) > last:
            path.unlink()
    (part / 'last_checkpoint').write_text(str(part / f'iter_{last}.pth'))
    two = train(part, resume=True)
    resumed, whole = (read(folder, 'iter_10.pth') for folder in (part, tmp_path / 'whole'))
    assert_equal(resumed['state_dict'], whole['state_dict'])
    assert [run.message_hub.get_info('best_score') for run in (one, two)] == [-8, -8]


def test_of_equal_scores_the_first_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(
        StageMetric, 'compute_metrics', lambda self, results: {'unet/DSC': 50.0, 'sam/DSC': 50.0}
    )
    train(tmp_path)
    assert read(tmp_path, 'pretrained.pth')['meta']['iter'] == 2


def test_without_validation_the_last_weights_are_taken(tmp_path):
    runner = train(tmp_path, **{'train_cfg.val_interval': 8, 'model.pretrained': ['unet']})
    assert not (tmp_path / 'pretrained.pth').exists()
    assert torch.equal(
        Spy.seen['weights']['students.unet.0.weight'],
        read(tmp_path, 'iter_6.pth')['state_dict']['students.unet.0.weight'],
    )
    assert 'No validation in the 6 iterations of pre-training' in runner_log(runner)


def runner_log(runner) -> str:
    return ''.join(p.read_text() for p in Path(runner.work_dir).rglob('*.log'))


def test_no_pretraining_does_nothing(tmp_path):
    train(tmp_path, **{'model.pretrain_iters': 0})
    assert not (tmp_path / 'pretrained.pth').exists()


def test_a_score_that_is_not_there_is_named(tmp_path):
    with pytest.raises(KeyError, match=r'monitor is "unet/IoU".*it gives .*unet/DSC'):
        train(tmp_path, monitor='unet/IoU')


def test_a_model_of_one_stage_is_refused(tmp_path):
    with pytest.raises(ValueError, match='ToyModel has none: remove the hook'):
        train(tmp_path, **{'model.type': 'ToyModel'})


def test_the_summary_counts_the_second_stage_alone():
    hook, hub = SummaryHook(), MessageHub.get_current_instance()
    for iteration, stage_ends in ((2, True), (4, False)):
        runner = SimpleNamespace(message_hub=hub, iter=iteration)
        hook.after_val_epoch(runner, {'unet/DSC': 10.0 / iteration})
        if stage_ends:
            hook.after_stage(runner)
    history = hub.get_info('eval_history')
    assert [evaluation['iter'] for evaluation in history] == [4]
