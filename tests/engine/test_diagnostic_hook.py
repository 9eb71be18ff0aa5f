"""DiagnosticHook: right numbers, own images, history, and a model left as it was."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.structures import PixelData

from mmssl.compat import import_mmseg
from mmssl.engine.hooks.diagnostic_hook import HISTORY, DiagnosticHook
from mmssl.registry import DATASETS
from mmssl.structures import VoxelData
from tests import tiny


@DATASETS.register_module()
class DiagnosticImages:
    """Six images of two domains; the image is its truth, 200 inside and 0 outside."""

    metainfo = dict(classes=('background', 'disc'), parts={'disc': [1]})

    def __init__(self, truth=True):
        self.truth = truth

    def __len__(self):
        return 6

    def __getitem__(self, index):
        import_mmseg()
        from mmseg.structures import SegDataSample

        mask = torch.zeros(1, 32, 32, dtype=torch.uint8)
        mask[0, 4 : 10 + 2 * index, 4:20] = 1
        sample = SegDataSample(
            metainfo=dict(domain='AAABBB'[index], name=str(index), img_path=f'/x/{index}.png')
        )
        if self.truth:
            sample.gt_sem_seg = PixelData(data=mask)
        return dict(inputs=200 * mask, data_samples=sample)


class Teachers(torch.nn.Module):
    """One that sees the truth, one that sees nothing, and an alpha of each image."""

    def data_preprocessor(self, batch, training):
        return dict(inputs=torch.stack(batch['inputs']))

    def pseudo_labels(self, inputs):
        right = (inputs[:, 0] > 0).long()
        low = right[:, ::2, ::2]
        alpha = right.double().mean((1, 2))
        return dict(unet=0 * right, sam=right, ensemble=low, alpha=alpha, mutual=torch.tensor(0.25))


def make_runner(model, tmp_path):
    scalars, infos = {}, []
    runner = SimpleNamespace(
        model=model,
        work_dir=str(tmp_path),
        iter=0,
        max_iters=20,
        scalars=scalars,
        infos=infos,
        message_hub=MessageHub.get_current_instance(),
        visualizer=SimpleNamespace(add_scalars=lambda values, step: scalars.update({step: values})),
        logger=SimpleNamespace(info=infos.append),
    )
    return runner


def run(hook, runner, start=0, stop=20):
    hook.before_train(runner)
    for runner.iter in range(start, stop):
        hook.after_train_iter(runner, runner.iter)
    hook.after_train(runner)


def test_quality_and_confidences_are_those_of_the_images(tmp_path):
    runner = make_runner(Teachers(), tmp_path)
    run(DiagnosticHook(dict(type='DiagnosticImages'), interval=8, batch_size=4), runner)
    history = json.loads((tmp_path / 'diagnostic/pseudo_labels.json').read_text())['history']
    assert [r['iter'] for r in history] == [8, 16, 20]
    record = history[0]
    assert record['mean']['sam'] == pytest.approx(1, abs=1e-4)
    sizes = np.array([(6 + 2 * i) * 16 for i in range(6)])
    assert record['mean']['unet'] == pytest.approx(np.mean(1 / (sizes + 1.001)), rel=1e-4)
    assert 0.8 < record['mean']['ensemble'] < 1
    assert record['domains']['A']['unet'] == pytest.approx(
        np.mean(1 / (sizes[:3] + 1.001)), rel=1e-4
    )
    assert record['values'] == pytest.approx({'alpha': sizes.mean() / 1024, 'mutual': 0.25})
    assert runner.scalars[8]['diagnostic/sam'] == record['mean']['sam']
    assert (tmp_path / 'diagnostic/pseudo_labels.png').stat().st_size > 5000
    assert 'early (iterations 8-8): sam 1.000, ensemble' in runner.infos[-1]


@DATASETS.register_module()
class DiagnosticVolumes(DiagnosticImages):
    """Six volumes of two sizes, whose truth lies on a finer grid than the network's."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        flat = sample['data_samples'].gt_sem_seg.data
        truth = flat[:, None].repeat(1, 4 + 2 * (index // 3), 1, 1)
        sample['inputs'] = 200.0 * truth[:, ::2, ::2, ::2]
        del sample['data_samples'].gt_sem_seg
        sample['data_samples'].gt_sem_seg = VoxelData(data=truth)
        return sample


class VolumeTeachers(Teachers):
    """One that sees the truth of volumes (N, C, D, H, W), and one that sees nothing."""

    def pseudo_labels(self, inputs):
        right = (inputs[:, 0] > 0).long()
        self.seen = [*getattr(self, 'seen', ()), tuple(right.shape)]
        return dict(unet=0 * right, sam=right, alpha=right.double().mean((1, 2, 3)))


def test_volumes_of_several_sizes_are_measured(tmp_path):
    model = VolumeTeachers()
    runner = make_runner(model, tmp_path)
    run(DiagnosticHook(dict(type='DiagnosticVolumes'), interval=20, batch_size=2), runner)
    assert model.seen == [(2, 2, 16, 16), (1, 2, 16, 16), (2, 3, 16, 16), (1, 3, 16, 16)]
    (record,) = json.loads((tmp_path / 'diagnostic/pseudo_labels.json').read_text())['history']
    voxels = np.array([(6 + 2 * i) * 16 * (4 + 2 * (i // 3)) for i in range(6)])
    assert record['mean']['unet'] == pytest.approx(np.mean(1 / (voxels + 1.001)), rel=1e-4)
    assert record['mean']['sam'] > 0.9  # the nearest voxels of a grid half as fine
    assert set(record['domains']) == {'A', 'B'}
    assert 0 < record['values']['alpha'] < 1


def test_images_are_taken_evenly(tmp_path):
    runner = make_runner(Teachers(), tmp_path)
    run(DiagnosticHook(dict(type='DiagnosticImages'), interval=20, num_images=3), runner)
    content = json.loads((tmp_path / 'diagnostic/pseudo_labels.json').read_text())
    assert content['images'] == ['0', '2', '5']


def test_a_resumed_run_continues_the_history(tmp_path):
    cfg = dict(type='DiagnosticImages')
    runner = make_runner(Teachers(), tmp_path)
    run(DiagnosticHook(cfg, interval=4), runner)
    whole = (tmp_path / 'diagnostic/pseudo_labels.json').read_text()
    run(DiagnosticHook(cfg, interval=4), runner, start=7)
    assert (tmp_path / 'diagnostic/pseudo_labels.json').read_text() == whole
    assert len(runner.message_hub.get_info(HISTORY)) == 5


@pytest.mark.parametrize('training', [True, False])
def test_the_training_goes_on_as_if_nothing_was_measured(tmp_path, training):
    model = tiny.build(tiny.synfoc())
    model.students['sam'].eval()
    modes = {n: m.training for n, m in model.named_modules()}
    state = {n: v.clone() for n, v in model.state_dict().items()}
    random = torch.get_rng_state()
    hook = DiagnosticHook(dict(type='DiagnosticImages'), interval=1, training=training)
    run(hook, make_runner(model, tmp_path), stop=1)
    assert {n: m.training for n, m in model.named_modules()} == modes
    assert all(torch.equal(v, state[n]) for n, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    record = MessageHub.get_current_instance().get_info(HISTORY)[0]
    assert set(record['mean']) == {'sam', 'unet', 'ensemble'}


def test_what_does_not_fit_is_named(tmp_path):
    runner = make_runner(Teachers(), tmp_path)
    with pytest.raises(ValueError, match=r'/x/0\.png has no truth'):
        DiagnosticHook(dict(type='DiagnosticImages', truth=False)).before_train(runner)
    runner.model = torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match='Linear for pseudo_labels'):
        DiagnosticHook(dict(type='DiagnosticImages')).before_train(runner)
    with pytest.raises(ValueError, match='interval and batch_size'):
        DiagnosticHook(dict(type='DiagnosticImages'), interval=0)
