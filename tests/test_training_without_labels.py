"""Choosing checkpoint and student without labels, through the runner on a small phantom."""

import json
import runpy
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from test_training import ROOT, SIDE, config, phantom, same

from mmssl.engine.checkpoints.hook import CheckpointHook
from mmssl.engine.hooks.agreement_hook import CHOICE, HISTORY, MASKS
from mmssl.engine.label_free import Measured, UnlabelledImages
from mmssl.evaluation.label_free import RANKED, choose
from mmssl.experiments.jobs import Job
from mmssl.registry import RUNNERS
from mmssl.utils.setup import register_all_modules

__all__ = ['phantom']
CHOSEN = {
    'val_evaluator.selection': 'agreement',
    'default_hooks.agreement.num_images': 6,
    'train_cfg.val_interval': 2,
    'optim_wrapper.optimizers.unet.lr': 0.1,
}


def train(data, work_dir, iters=8, **updates):
    """Train and return what the message hub of the last checkpoint has, and the whole history."""
    register_all_modules()
    cfg = config(data, work_dir, iters, **{**CHOSEN, **updates})
    RUNNERS.build(cfg).train()
    path = work_dir / (work_dir / 'last_checkpoint').read_text()
    info = torch.load(path, weights_only=True)['message_hub']['info']
    # The last checkpoint is written again after its evaluation only if that is the best.
    history = json.loads((work_dir / 'summary.json').read_text())['label_free']
    assert info[HISTORY] in (history, history[:-1])
    return {**info, HISTORY: history}


@pytest.fixture(scope='module')
def reference(phantom, tmp_path_factory):
    """Train once, without interruption."""
    folder = tmp_path_factory.mktemp('reference')
    return folder, train(phantom, folder)


def test_the_best_by_agreement_is_kept_and_reported(reference):
    folder, info = reference
    students = ['sam', 'unet']
    history, choice = info[HISTORY], info[CHOICE]
    assert [e['iter'] for e in history] == [2, 4, 6, 8]
    names = ('teacher', 'students', 'confidence', 'certainty')
    for entry in history:
        assert {f'{s}/{n}' for s in students for n in names} <= set(entry['metrics'])
        assert all(0 <= value <= 1 for value in entry['metrics'].values())
    assert {f'{s}/stability' for s in students} <= set(history[1]['metrics'])
    summary = json.loads((folder / 'summary.json').read_text())
    assert summary['selection'] == 'agreement'
    kept = sorted(path.name for path in folder.glob('best_*.pth'))
    assert len(kept) == 3, 'of both students together, and of each'
    for key, those in {'agreement': students, 'sam/agreement': ['sam']}.items():
        best = choose(history, 'rank', those)
        assert choice[key] == best._asdict()
        assert f'best_{key.replace("/", "_")}_iter_{best.iter}.pth' in kept
    assert summary['without_labels']['iter'] == choice['agreement']['iter']
    assert summary['students']['sam']['chosen']['iter'] == choice['sam/agreement']['iter']
    assert summary['students']['sam']['chosen']['checkpoint'] in kept
    text = (folder / 'summary.txt').read_text()
    assert 'no label' in text and f'student {choice["agreement"]["student"]} of iteration' in text


def test_it_is_logged_beside_the_scores(reference):
    lines = [
        json.loads(line)
        for path in reference[0].glob('*/vis_data/scalars.json')
        for line in path.read_text().splitlines()
    ]
    found = [line for line in lines if 'unet/DSC' in line]
    assert found and all('unet/teacher' in line and 'agreement' in line for line in found)


def test_neither_the_test_set_nor_an_unlabelled_mask_is_asked(reference, phantom, tmp_path):
    """All masks but the labelled ones are noise, and the choice is the same."""
    data = tmp_path / 'data'
    shutil.copytree(phantom, data)
    rng = np.random.default_rng(0)
    labelled = sorted((phantom / 'ScannerA/train/mask').iterdir())[:3]
    keep = {data / path.relative_to(phantom) for path in labelled}
    changed = [path for path in data.glob('*/*/mask/*.png') if path not in keep]
    for path in changed:
        cv2.imwrite(str(path), 255 * rng.integers(0, 2, (SIDE, SIDE), dtype=np.uint8))
    assert any(path.parts[-3] == 'test' for path in changed)
    info = train(data, tmp_path / 'run')
    assert info['eval_history'] != reference[1]['eval_history'], 'the scores are others'
    for key in (HISTORY, CHOICE, MASKS):
        assert same(info[key], reference[1][key]), key


def interrupted(reference, run, best: bool):
    """Make a run's folder as it was after iteration 3; return what was chosen until then."""
    shutil.copytree(reference[0], run)
    for path in [run / 'iter_6.pth', run / 'iter_8.pth', *run.glob('best_*.pth')]:
        path.unlink()
    (run / 'last_checkpoint').write_text('iter_3.pth')
    info = torch.load(run / 'iter_3.pth', weights_only=True)['message_hub']['info']
    for key in [key for key in info if key.startswith('best_ckpt') and best]:
        shutil.copy(run / 'iter_3.pth', run / info[key])
    return info[CHOICE]


def test_a_resumed_run_chooses_the_same(reference, phantom, tmp_path):
    run = tmp_path / 'run'
    interrupted(reference, run, best=True)
    info = train(phantom, run, resume=True)
    for key in (HISTORY, CHOICE, MASKS):
        assert same(info[key], reference[1][key]), key


def test_what_was_chosen_and_is_not_there_is_beaten_by_anything(
    reference, phantom, tmp_path, monkeypatch
):
    """The choice is of files that exist, also where the lost one was better than all later ones."""
    run = tmp_path / 'run'
    assert {one['iter'] for one in interrupted(reference, run, best=False).values()} == {2}

    def worse(self, masks, before):
        return {f'{name}/stability': -float(self.asked) for name in masks}

    def measure(self, model):
        self.asked = getattr(self, 'asked', 0) + 1
        scores = {f'{s}/{n}': -self.asked for s in model.outputs for n in RANKED[:3]}
        return Measured(scores, {name: [np.zeros((2, 2), np.uint8)] for name in model.outputs})

    monkeypatch.setattr(UnlabelledImages, 'measure', measure)
    monkeypatch.setattr(UnlabelledImages, 'stability', worse)
    choice = train(phantom, run, resume=True)[CHOICE]
    assert {one['iter'] for one in choice.values()} == {4}
    for key, one in choice.items():
        assert (run / f'best_{key.replace("/", "_")}_iter_{one["iter"]}.pth').is_file()


def test_a_finished_run_whose_chosen_files_are_gone_says_of_none_that_it_is_chosen(
    reference, phantom, tmp_path
):
    run = tmp_path / 'run'
    shutil.copytree(reference[0], run)
    for path in run.glob('best_*.pth'):
        path.unlink()
    RUNNERS.build(config(phantom, run, 8, **CHOSEN, resume=True)).train()
    summary = json.loads((run / 'summary.json').read_text())
    names = [own['chosen']['checkpoint'] for own in summary['students'].values()]
    if 'without_labels' in summary:  # the evaluation of iteration 8 was still to be done
        names.append(summary['without_labels']['checkpoint'])
        assert all(names)
    assert all((run / name).is_file() for name in names if name)


def test_what_cannot_be_written_is_not_chosen(phantom, tmp_path, monkeypatch):
    save = CheckpointHook._save

    def full(self, runner, path, *args, **kwargs):
        if path.name.startswith('best_') and 2 < runner.iter < 5:
            raise OSError(28, 'No space left on device')
        save(self, runner, path, *args, **kwargs)

    monkeypatch.setattr(CheckpointHook, '_save', full)
    choice = train(phantom, tmp_path, 6, **{'default_hooks.checkpoint.on_write_error': 'continue'})[
        CHOICE
    ]
    for key, one in choice.items():
        assert (tmp_path / f'best_{key.replace("/", "_")}_iter_{one["iter"]}.pth').is_file()


def test_a_training_does_not_notice_that_it_is_measured(reference, phantom, tmp_path):
    cfg = config(phantom, tmp_path, 8, **{k: v for k, v in CHOSEN.items() if 'agree' not in k})
    cfg.val_evaluator.selection = 'last'
    RUNNERS.build(cfg).train()
    one, other = (
        torch.load(folder / 'iter_8.pth', weights_only=True) for folder in (tmp_path, reference[0])
    )
    assert all(same(one[key], other[key]) for key in ('state_dict', 'optimizer'))
    assert not list(tmp_path.glob('*agreement*'))


@pytest.mark.parametrize('key', ['agreement', 'unet/agreement'])
def test_the_test_says_who_chose_and_reports_the_chosen_student(
    reference, phantom, tmp_path, monkeypatch, key
):
    folder, info = reference
    cfg = config(phantom, tmp_path / 'test', **CHOSEN)
    (tmp_path / 'config.py').write_text(cfg.pretty_text)
    job = Job('x', folder, str(tmp_path / 'config.py'), {}, checkpoint=key)
    monkeypatch.setattr('sys.argv', [
        'test.py', str(tmp_path / 'config.py'), str(job.weights()),
        '--work-dir', str(tmp_path / 'test'), '--out', str(tmp_path / 'result.json'),
    ])  # fmt: skip
    runpy.run_path(str(ROOT / 'tools/test.py'))['main']()
    result = json.loads((tmp_path / 'result.json').read_text())
    assert result['protocol']['selection'] == 'agreement'
    assert 'no label' in result['protocol']['text']
    expected = info[CHOICE][key]['student']
    assert result['chosen'] in (expected, info[CHOICE]['agreement']['student'])
    shutil.copy(tmp_path / 'result.json', folder / job.result.name)
    assert job.scores()[0] == result['chosen'] and job.scores('sam')[0] == 'sam'


def test_a_rule_of_the_config_chooses(reference, phantom, tmp_path):
    info = train(phantom, tmp_path, **{'default_hooks.agreement.rule': 'certainty'})
    assert same(info[HISTORY], reference[1][HISTORY])
    assert (
        info[CHOICE]['agreement'] == choose(info[HISTORY], 'certainty', ['sam', 'unet'])._asdict()
    )
    assert Path(tmp_path, f'best_agreement_iter_{info[CHOICE]["agreement"]["iter"]}.pth').is_file()


def test_a_method_without_teacher_is_judged_by_what_it_has(phantom, tmp_path):
    """And the log says so."""
    register_all_modules()
    cfg = config(phantom, tmp_path, 4, **CHOSEN, **{'default_hooks.agreement.rule': 'teacher'})
    model = dict(type='SupOnly', students=dict(unet=cfg.model.students.unet))
    sizes = {'unet': cfg.model.data_preprocessor.sizes.unet}
    cfg.model = dict(**model, data_preprocessor=dict(cfg.model.data_preprocessor, sizes=sizes))
    cfg.custom_hooks = []
    cfg.optim_wrapper.optimizers = {'unet': cfg.optim_wrapper.optimizers.unet}
    cfg.param_scheduler = []
    cfg.default_hooks.checkpoint.save_best = ['unet/DSC']
    cfg.log_level = 'INFO'
    RUNNERS.build(cfg).train()
    (log,) = tmp_path.glob('*/*.log')
    said = 'mean rank in confidence, stability; this method has no teacher, students'
    assert said in log.read_text()
    summary = json.loads((tmp_path / 'summary.json').read_text())
    best = choose(summary['label_free'], 'rank', ['unet'])
    assert summary['without_labels'] == {
        'iter': best.iter,
        'student': 'unet',
        'checkpoint': f'best_unet_agreement_iter_{best.iter}.pth',
    }
    assert [path.name for path in tmp_path.glob('best_*.pth')] == [
        summary['without_labels']['checkpoint']
    ], 'one student, one file'
