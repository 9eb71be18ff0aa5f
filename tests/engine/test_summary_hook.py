"""SummaryHook: three rows a student, history that survives resuming, words about the choice."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub

from mmssl.engine.hooks.summary_hook import HISTORY, SummaryHook
from mmssl.evaluation import published_dsc


class Logger:
    def __init__(self):
        self.infos, self.warnings = [], []

    def info(self, text):
        self.infos.append(text)

    def warning(self, text):
        self.warnings.append(text)


@pytest.fixture
def runner(tmp_path, request):
    dataset = SimpleNamespace(labelled_indices=np.arange(20))
    cfg = Config(dict(train_dataloader=dict(dataset=dict(labelled=dict(domain='BIDMC', num=20)))))
    return SimpleNamespace(
        message_hub=MessageHub.get_instance('summary' + request.node.nodeid),
        work_dir=str(tmp_path),
        logger=Logger(),
        iter=0,
        cfg=cfg,
        model=torch.nn.Identity(),
        train_dataloader=SimpleNamespace(dataset=dataset),
    )


CURVES = {'sam': [50, 60, 90, *range(70, 79)], 'unet': [10, 20, 30, *range(60, 69)]}


def evaluate(hook, runner, number):
    metrics = {'sam/BIDMC/prostate/DSC': 1.0}
    for student, curve in CURVES.items():
        metrics[f'{student}/DSC'] = torch.tensor(float(curve[number])).item()
        metrics[f'{student}/HD95'] = 100.0 - curve[number]
    runner.iter = 500 * (number + 1)
    hook.after_val_epoch(runner, metrics)


def train(hook, runner, numbers=range(12)):
    hook.before_train(runner)
    for number in numbers:
        evaluate(hook, runner, number)
    hook.after_train(runner)


def test_last_mean_and_chosen_stand_side_by_side(runner, tmp_path):
    runner.message_hub.update_info('best_ckpt_sam/DSC', '/x/best_sam_DSC_iter_1500.pth')
    train(SummaryHook(), runner)
    sam = json.loads((tmp_path / 'summary.json').read_text())['students']['sam']
    assert sam['last'] == {'iter': 6000, 'metrics': {'DSC': 78, 'HD95': 22}}
    tail = CURVES['sam'][-10:]
    assert sam['last_k']['mean']['DSC'] == pytest.approx(np.mean(tail))
    assert sam['last_k']['std']['DSC'] == pytest.approx(np.std(tail))
    assert sam['chosen']['iter'] == 1500 and sam['chosen']['metrics']['DSC'] == 90
    assert sam['chosen']['checkpoint'] == 'best_sam_DSC_iter_1500.pth'
    text = (tmp_path / 'summary.txt').read_text()
    assert [line.split()[:2] for line in text.splitlines()[1:4]] == [
        ['sam', 'last'],
        ['sam', 'last'],
        ['sam', 'chosen'],
    ]
    assert f'{np.mean(tail):.2f} ± {np.std(tail):.2f}' in text
    assert 'TEST set' in text and 'Chosen file of sam' in text
    assert text.strip() in runner.logger.infos[-1]


def test_a_second_evaluator_with_fewer_scores_has_a_row(runner, tmp_path):
    hook = SummaryHook(metrics=('DSC', 'HD95', 'Jaccard'))
    hook.before_train(runner)
    hook.after_val_epoch(runner, {'sam/DSC': 50.0, 'sam/HD95': 3.0, 'x/DSC': 1.0, 'y/Jaccard': 2.0})
    hook.after_train(runner)
    lines = (tmp_path / 'summary.txt').read_text().splitlines()
    header = lines[0].split()
    assert header[-3:] == ['DSC', 'HD95', 'Jaccard']
    rows = [line.split() for line in lines if '±' not in line and ' last ' in line]
    last = {row[0]: row[-3:] for row in rows}
    assert last['sam'] == ['50.00', '3.00', '-'] and last['x'] == ['1.00', '-', '-']
    assert last['y'] == ['-', '-', '2.00']


def test_students_are_chosen_apart(runner, tmp_path):
    train(SummaryHook(selection='val'), runner)
    students = json.loads((tmp_path / 'summary.json').read_text())['students']
    assert students['unet']['chosen']['iter'] == 6000
    assert students['sam']['chosen']['iter'] == 1500


def test_last_is_a_choice_too_and_only_test_warns(runner, tmp_path):
    runner.message_hub.update_info('last_ckpt', '/x/iter_6000.pth')
    train(SummaryHook(selection='last'), runner)
    content = json.loads((tmp_path / 'summary.json').read_text())
    assert content['students']['sam']['chosen']['iter'] == 6000
    assert content['students']['sam']['chosen']['checkpoint'] == 'iter_6000.pth'
    assert not runner.logger.warnings
    SummaryHook(selection='test').before_train(runner)
    assert 'TEST set' in runner.logger.warnings[0]
    with pytest.raises(ValueError, match='selection'):
        SummaryHook(selection='best')


@pytest.mark.parametrize('form', [
    lambda metric: metric,
    lambda metric: [dict(type='Other'), metric],
    lambda metric: dict(type='Evaluator', metrics=[dict(type='Other'), metric]),
])  # fmt: skip
def test_the_evaluator_in_the_config_says_what_the_hook_does_not(runner, form):
    runner.cfg.val_evaluator = form(dict(selection='val', published=dict(method='synfoc')))
    hook = SummaryHook()
    hook.before_train(runner)
    assert hook.selection == 'val' and hook.published == dict(method='synfoc')
    assert not runner.logger.warnings


def test_history_is_plain_and_a_repeated_evaluation_replaces_itself(runner, tmp_path):
    hook = SummaryHook()
    train(hook, runner)
    whole = (tmp_path / 'summary.json').read_text()
    runner.message_hub.update_info(HISTORY, None)
    for number in range(8):
        evaluate(hook, runner, number)
    buffer = io.BytesIO()
    torch.save(runner.message_hub.get_info(HISTORY), buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    evaluate(hook, runner, 8)  # done, but after the checkpoint; the run dies here
    runner.message_hub.update_info(HISTORY, saved)
    train(SummaryHook(), runner, range(7, 12))
    assert (tmp_path / 'summary.json').read_text() == whole


def test_history_is_bounded_but_keeps_the_best(runner):
    hook = SummaryHook(max_history=4, last_k=3)
    for number in range(12):
        evaluate(hook, runner, number)
    history = runner.message_hub.get_info(HISTORY)
    assert [e['iter'] for e in history] == [1500, 5000, 5500, 6000]


def test_published_number_of_the_labelled_domain_stands_below(runner, tmp_path):
    runner.message_hub.update_info('dataset_meta', dict(dataset_name='prostate'))
    train(SummaryHook(published=dict(method='synfoc')), runner)
    assert runner.message_hub.get_info('labelled') == dict(domain='BIDMC', count=20)
    lines = (tmp_path / 'summary.txt').read_text().splitlines()
    assert [line.split()[1:] for line in lines if ' published ' in line] == [
        ['published', '87.92'],
        ['published', '87.63'],
    ]


def test_one_line_of_the_config_names_the_published_numbers(runner, tmp_path):
    runner.cfg.published = 'synfoc'
    runner.message_hub.update_info('dataset_meta', dict(dataset_name='prostate'))
    train(SummaryHook(), runner)
    assert 'published 87.92' in ' '.join((tmp_path / 'summary.txt').read_text().split())
    train(SummaryHook(selection='val'), runner)  # not of the images of that number
    assert 'published' not in (tmp_path / 'summary.txt').read_text().lower()
    SummaryHook().before_test(runner)
    assert published_dsc(None, 'prostate')['unet']['dsc'] == 87.63


def test_without_evaluation_no_summary_is_written(runner, tmp_path):
    train(SummaryHook(), runner, range(0))
    assert 'No evaluation' in runner.logger.infos[-1]
    assert [path.name for path in tmp_path.iterdir()] == ['about.json']


def test_labels_of_a_ratio_are_counted_at_test(runner):
    runner.cfg.train_dataloader.dataset.labelled = dict(domain='benign', ratio=1 / 4)
    meta = dict(published_counts=dict(train=dict(benign=350, malignant=168)))
    runner.test_dataloader = SimpleNamespace(dataset=SimpleNamespace(metainfo=meta))
    SummaryHook().before_test(runner)
    assert runner.message_hub.get_info('labelled') == dict(domain='benign', count=129)


def test_every_sitting_says_what_started_and_what_is_labelled(runner, tmp_path):
    def sample(domain, case, labelled):
        return SimpleNamespace(domain=domain, case=case, labelled=labelled)

    runner.train_dataloader.dataset.samples = [
        sample('A', '1', True), sample('A', '1', True), sample('A', '2', False),
        sample('B', '1', False),
    ]  # fmt: skip
    SummaryHook().before_train(runner)
    runner.iter = 40
    SummaryHook().before_train(runner)
    runner.iter = 20
    SummaryHook().before_train(runner)
    about = json.loads((tmp_path / 'about.json').read_text())
    assert list(about) == ['0', '20'], 'what began later is no part of the run any more'
    assert about['20']['data'] == {
        'A': {'images': 3, 'labelled': 2, 'cases': 2, 'labelled_cases': 1},
        'B': {'images': 1, 'labelled': 0, 'cases': 1, 'labelled_cases': 0},
    }
    assert about['0']['command'] and about['0']['versions']['numpy'] == np.__version__
    assert about['0']['machine']['cores'] >= 1
