"""MCSD trained through the runner on phantom volumes: leakage, resume, two ranks, inference."""

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from denoiser_parts import write_model
from mmengine import Config
from test_training import same_training

from mmssl.datasets.phantom.volumes import VolumeSettings, write_phantom_volumes
from mmssl.registry import RUNNERS
from mmssl.utils.setup import register_all_modules
from tests.tiny import BN, segmentor

ROOT = Path(__file__).parents[1]
SIDE = 32


@pytest.fixture(scope='module')
def phantom(tmp_path_factory):
    """Write volumes of 4 + 1 + 1 patients, 3 slices each."""
    root = tmp_path_factory.mktemp('volumes') / 'data'
    write_phantom_volumes(
        root,
        VolumeSettings(size=48, train_cases=4, val_cases=1, test_cases=1, slices=3),
        progress=False,
    )
    return root


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp('model') / 'unet', sample_size=SIDE)


def config(data, work_dir, model, iters=4, **updates) -> Config:
    """Return the config of a short run with small networks; features are computed online."""
    cfg = Config.fromfile(ROOT / 'configs/mcsd/lite_phantom.py')
    cfg.model.students = dict(unet=segmentor(3, BN), feature_unet=segmentor(3, BN, channels=4))
    cfg.model.neck = dict(
        type='DiffusionFeatureNeck', model=str(model), steps=(50, 150), blocks=(0, 1), out_dim=4
    )
    cfg.model.threshold.value = 0.4
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.dataset.update(data_root=str(data))
        next(s for s in loader.dataset.prepare if s.type == 'ResizeSquare').size = SIDE
    cfg.train_dataloader.dataset.head = []
    cfg.train_dataloader.dataset.labelled.cases = 1
    cfg.train_dataloader.batch_sampler.update(num_labelled=2, num_unlabelled=4)
    for step in cfg.train_dataloader.dataset.unlabelled_pipeline:
        if step.type == 'RandomPasteBox':
            step.size = SIDE
    cfg.work_dir, cfg.experiment_name = str(work_dir), uuid.uuid4().hex
    cfg.train_cfg.update(max_iters=iters, val_interval=2)
    cfg.default_hooks.checkpoint.update(interval=2, max_keep_ckpts=-1)
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.log_level = 'WARNING'
    cfg.merge_from_dict(updates)
    return cfg


def train(*args, **kwargs) -> dict:
    """Train and return the last checkpoint."""
    register_all_modules()
    cfg = config(*args, **kwargs)
    RUNNERS.build(cfg).train()
    path = Path(cfg.work_dir, (Path(cfg.work_dir) / 'last_checkpoint').read_text())
    return torch.load(path, weights_only=True)


@pytest.fixture(scope='module')
def reference(phantom, model, tmp_path_factory):
    """Train once, without interruption."""
    return train(phantom, tmp_path_factory.mktemp('reference'), model)


def test_both_networks_and_the_projection_learn(reference, phantom, model, tmp_path):
    start = train(phantom, tmp_path, model, iters=2)['state_dict']
    for name in ('students.unet', 'students.feature_unet', 'neck.projection'):
        assert any(
            k.startswith(name) and not torch.equal(v, start[k])
            for k, v in reference['state_dict'].items()
        ), name


def test_the_checkpoint_holds_no_diffusion_model(reference):
    neck = [k for k in reference['state_dict'] if k.startswith('neck.')]
    assert neck and all(k.startswith(('neck.projection', 'neck.feature_key')) for k in neck)
    assert all(
        value.numel() < 10_000
        for key, value in reference['state_dict'].items()
        if key.startswith('neck.')
    )


@pytest.mark.parametrize('how', ['noise', 'deleted'])
def test_unlabelled_masks_do_not_leak(how, reference, phantom, model, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(phantom, data)
    labelled = (phantom / 'train_slices.list').read_text().split()[0].split('_')[0]
    rng, changed = np.random.default_rng(0), 0
    for path in (data / 'data' / 'slices').glob('*.h5'):
        if path.name.startswith(labelled):
            continue
        with h5py.File(path, 'r+') as file:
            if how == 'deleted':
                del file['label']
            else:
                file['label'][...] = rng.integers(0, 256, file['label'].shape, dtype=np.uint8)
        changed += 1
    assert changed == 9
    assert same_training(train(data, tmp_path / 'run', model), reference)


def test_resumed_training_is_the_uninterrupted_one(reference, phantom, model, tmp_path):
    train(phantom, tmp_path, model)
    (tmp_path / 'iter_4.pth').unlink()
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_2.pth'))
    assert same_training(train(phantom, tmp_path, model, resume=True), reference)


def test_network_a_is_tested_without_the_diffusion_model(reference, phantom, tmp_path):
    torch.save({'state_dict': reference['state_dict']}, tmp_path / 'trained.pth')
    register_all_modules()
    cfg = config(phantom, tmp_path, tmp_path / 'nowhere', load_from=str(tmp_path / 'trained.pth'))
    metrics = RUNNERS.build(cfg).test()
    assert 'unet/DSC' in metrics and not any('feature_unet' in key for key in metrics)


def unet(**backbone):
    parts = dict(widths=(4, 6), dropout=(0, 0), norm_cfg=BN)
    head = dict(type='UNetDecoderHead', in_channels=(4, 6), num_classes=3, norm_cfg=BN)
    encoder = dict(type='UNetEncoder', **parts)
    return dict(type='EncoderDecoder', backbone={**encoder, **backbone}, decode_head=head)


DISTILLATION = {
    'model.students': dict(_delete_=True, unet=unet()),
    'model.neck.projection': 'pca',
    'model.distillation': dict(type='FeatureDistillation', layer='decode_head.convs.0', dim=4),
    'optim_wrapper.optimizers': dict(
        feature_unet=None, neck=None, distillation=dict(type='SGD', lr=0.01)
    ),
}
SHARED = {
    'model.students': dict(_delete_=True, unet=unet(type='TwoStemUNetEncoder', feature_channels=4)),
    'model.feature_student': 'unet',
    'optim_wrapper.optimizers': dict(feature_unet=None),
}


@pytest.mark.parametrize('variant', [DISTILLATION, SHARED], ids=['distillation', 'shared'])
def test_features_that_reached_a_are_not_needed_to_test_it(variant, phantom, model, tmp_path):
    trained = train(phantom, tmp_path / 'run', model, iters=2, **variant)
    torch.save({'state_dict': trained['state_dict']}, tmp_path / 'trained.pth')
    cfg = config(
        phantom,
        tmp_path,
        tmp_path / 'nowhere',
        **variant,
        load_from=str(tmp_path / 'trained.pth'),
    )
    metrics = RUNNERS.build(cfg).test()
    assert 'unet/DSC' in metrics and not any('phi' in key for key in metrics)


def test_training_without_the_diffusion_model_is_refused(phantom, tmp_path):
    with pytest.raises((FileNotFoundError, ValueError), match='nowhere'):
        train(phantom, tmp_path, tmp_path / 'nowhere')


@pytest.mark.slow
def test_two_processes_train(phantom, model, tmp_path):
    cfg = config(phantom, tmp_path / 'run', model, iters=2)
    cfg.dump(tmp_path / 'config.py')
    done = subprocess.run(
        ['bash', str(ROOT / 'tools/dist_train.sh'), str(tmp_path / 'config.py'), '2'],
        capture_output=True, text=True, timeout=300, check=False, cwd=ROOT,
        env=dict(os.environ, PYTHON=sys.executable, OMP_NUM_THREADS='1'),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / 'run' / 'iter_2.pth').exists()
