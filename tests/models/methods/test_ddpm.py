"""DDPM: the loss, and trainings through the runner."""

import math
import os
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast

from mmssl.engine.speed.step_graph import StepGraph
from mmssl.models.diffusion.unet import (
    block_shapes,
    build_unet,
    guided_diffusion_config,
    load_unet,
    read_extra,
)
from mmssl.registry import RUNNERS
from mmssl.testing import EmulatedGraphs
from mmssl.utils.setup import register_all_modules
from mmssl.visualization.curves import group_curves, read_scalars
from tests.tiny import build

ROOT = Path(__file__).parents[3]
UNET = dict(
    type='GuidedDiffusionUNet',
    base_channels=8,
    image_size=16,
    multipliers=(1, 2),
    attention=(8,),
    num_res_blocks=1,
    norm_groups=4,
)


def ddpm(**options):
    return build(dict(type='DDPM', unet=dict(UNET), **options))


def images(values) -> dict:
    """Return a batch as the loader gives it, each image of one grey value."""
    grey = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 16, 16)
    return dict(inputs=dict(u_w=grey.contiguous()), data_samples=[])


def test_a_recorded_step_is_the_step():
    """What `speed.cuda_graph` repeats, with its draws of noise and of time steps."""
    losses, graphs = [], []
    for recorder in (None, EmulatedGraphs()):
        model = ddpm()
        wrapper = OptimWrapper(torch.optim.SGD(model.students.parameters(), lr=0.1))
        if recorder:
            model.train_step = StepGraph(model, recorder)
        for t in range(6):
            torch.manual_seed(t)
            losses.append(model.train_step(images([0, 20 * t]), wrapper)['loss'].item())
        graphs.append(model.train_step)
    assert losses[:6] == losses[6:] and len(set(losses)) == 6
    assert graphs[1].recorded == 1 and not graphs[1].told


@pytest.mark.parametrize(
    'input_range, expected',
    [
        ((-1, 1), [-1.0, 0.2, 1.0]),
        ((0, 1), [0.0, 0.6, 1.0]),
    ],
)
def test_grey_values_become_the_input_range(input_range, expected):
    model = ddpm(input_range=input_range)
    x = model.data_preprocessor(images([0, 153, 255]), True)['inputs']['u_w']['denoiser']
    assert x[:, 0, 0, 0].tolist() == pytest.approx(expected)


def test_loss_by_hand():
    model = ddpm(zero_init=False)
    x = torch.rand(3, 1, 16, 16) * 2 - 1
    torch.manual_seed(5)
    loss = model.loss(x)['loss']
    torch.manual_seed(5)
    t, eps = torch.randint(0, 1000, (3,)), torch.randn(3, 1, 16, 16)
    terms = []
    for image, step, noise in zip(x, t, eps, strict=True):
        abar = math.prod(1 - (1e-4 + (0.02 - 1e-4) * i / 999) for i in range(int(step) + 1))
        x_t = math.sqrt(abar) * image + math.sqrt(1 - abar) * noise
        guess = model.students['denoiser'](x_t[None], step).sample[0]
        terms.append(((guess - noise) ** 2).mean())
    assert len(set(t.tolist())) == 3  # each image has a step of its own
    assert float(loss) == pytest.approx(float(sum(terms) / 3), rel=1e-5)


def test_starts_as_zero_with_the_average_equal():
    model = ddpm()
    model.init_weights()
    denoiser, average = model.students['denoiser'], model.teachers['denoiser']
    assert not denoiser(torch.randn(1, 1, 16, 16), 5).sample.any()
    assert all(torch.equal(v, average.state_dict()[k]) for k, v in denoiser.state_dict().items())
    assert not any(p.requires_grad for p in average.parameters())


def test_every_parameter_gets_a_gradient_in_half_precision():
    model = ddpm(zero_init=False)
    with autocast(dtype=torch.bfloat16):
        loss = model.loss(torch.zeros(2, 1, 16, 16))['loss']
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is not None for p in model.students.parameters())
    assert all(p.grad is None for p in model.teachers.parameters())


@pytest.mark.parametrize(
    'call, said',
    [
        (lambda: ddpm(input_range=(1, 0)), r'low < high; found \(1, 0\)'),
        (lambda: ddpm()(dict(x_w={}), mode='loss'), r"needs the view u_w, the batch has \['x_w'\]"),
        (lambda: ddpm()(dict(u_w={}), mode='predict'), "mode='predict'"),
    ],
)
def test_wrong_use_is_said(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize(
    'name, parameters, blocks',
    [
        ('acdc', 495_921_665, {2: (1024, 16, 16), 4: (1024, 16, 16), 6: (512, 32, 32)}),
        ('mnms', 495_921_665, {2: (1024, 16, 16), 4: (1024, 16, 16), 6: (512, 32, 32)}),
        ('lite_acdc', 6_928_929, {2: (128, 16, 16), 4: (128, 16, 16), 6: (64, 32, 32)}),
        ('lite_phantom', 2_013_697, {2: (64, 16, 16), 4: (64, 16, 16), 6: (32, 32, 32)}),
    ],
)
def test_configs(name, parameters, blocks):
    cfg = Config.fromfile(ROOT / f'configs/mcsd/ddpm_{name}.py')
    unet = dict(cfg.model.unet)
    unet.pop('type')
    unet = guided_diffusion_config(**unet)
    with torch.device('meta'):
        assert sum(p.numel() for p in build_unet(unet).parameters()) == parameters
    size = unet['sample_size']
    assert block_shapes(unet, size, (2, 4, 6)) == blocks
    assert cfg.train_dataloader.dataset.labelled == dict(num=0)
    assert cfg.train_dataloader.dataset.image_size == size
    assert not any(
        cfg.get(f'{mode}_{part}')
        for mode in ('val', 'test')
        for part in ('dataloader', 'evaluator', 'cfg')
    )


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Write 12 images without masks."""
    root = tmp_path_factory.mktemp('slices')
    (root / 'A/train/image').mkdir(parents=True)
    for number in range(12):
        noise = np.random.default_rng(number).integers(0, 256, (16, 16), dtype=np.uint8)
        assert cv2.imwrite(str(root / f'A/train/image/{number:02d}.png'), noise)
    return root


def config(data, work_dir, iters: int = 4, **updates) -> Config:
    """Return the small recipe of the phantom, smaller."""
    cfg = Config.fromfile(ROOT / 'configs/mcsd/ddpm_lite_phantom.py')
    cfg.model.unet = dict(UNET)
    own = dict(
        type='MixedDomainDataset',
        data_root=str(data),
        domains=['A'],
        labelled=dict(num=0),
        label_map={0: 0, 255: 1},
        prepare=[dict(type='LoadImage')],
    )
    cfg.train_dataloader.dataset = dict(own, pipeline=cfg.train_dataloader.dataset.pipeline)
    cfg.train_dataloader.batch_sampler.num_unlabelled = 4
    cfg.train_cfg.max_iters = iters
    cfg.default_hooks.checkpoint.update(interval=2, max_keep_ckpts=-1)
    cfg.default_hooks.logger.interval = 1
    cfg.custom_hooks[1].update(interval=2, num=2, steps=2)
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.work_dir, cfg.experiment_name = str(work_dir), uuid.uuid4().hex
    cfg.log_level = 'WARNING'
    cfg.merge_from_dict(updates)
    return cfg


def train(cfg) -> dict:
    """Train and return the last checkpoint."""
    register_all_modules()
    RUNNERS.build(cfg).train()
    path = Path(cfg.work_dir, (Path(cfg.work_dir) / 'last_checkpoint').read_text())
    return torch.load(path, weights_only=True)


def weights(checkpoint: dict) -> dict:
    return checkpoint['state_dict']


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope='module')
def reference(data, tmp_path_factory):
    """Train four iterations, without interruption."""
    folder = tmp_path_factory.mktemp('reference')
    return folder, train(config(data, folder))


def test_training_leaves_a_model_samples_and_a_curve(reference):
    folder, checkpoint = reference
    saved = load_unet(folder / 'unet', in_channels=1).state_dict()
    average = {
        k.removeprefix('teachers.denoiser.'): v
        for k, v in weights(checkpoint).items()
        if k.startswith('teachers.')
    }
    assert same(saved, average)
    assert read_extra(folder / 'unet')['input_range'] == [-1, 1]
    names = sorted(file.name for file in (folder / 'samples').iterdir())
    assert names == ['iter_000002.png', 'iter_000004.png']
    assert len(group_curves(read_scalars(folder))['Losses']['loss']) == 4


def test_the_average_moves_apart_from_the_network(reference):
    state = weights(reference[1])
    name = 'denoiser.conv_in.weight'
    assert not torch.equal(state[f'students.{name}'], state[f'teachers.{name}'])


def test_resumed_training_is_bit_exact(reference, data, tmp_path):
    train(config(data, tmp_path, iters=2))
    resumed = train(config(data, tmp_path, resume=True))
    assert resumed['meta']['iter'] == 4
    assert same(weights(resumed), weights(reference[1]))
    states = [c['optimizer']['denoiser']['state'] for c in (resumed, reference[1])]
    assert all(
        torch.equal(states[0][i][k], states[1][i][k])
        for i in states[0]
        for k in ('exp_avg', 'exp_avg_sq')
    )


def test_samples_and_exports_do_not_touch_the_training(reference, data, tmp_path):
    cfg = config(data, tmp_path)
    cfg.custom_hooks = cfg.custom_hooks[:1]
    assert same(weights(train(cfg)), weights(reference[1]))


@pytest.mark.slow
def test_two_processes_stay_equal_and_draw_different_noise(data, tmp_path):
    path = tmp_path / 'config.py'
    config(data, tmp_path / 'run').dump(path)
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    command = [
        sys.executable,
        '-m',
        'torch.distributed.run',
        '--nproc_per_node=2',
        f'--master_port={port}',
        str(Path(__file__).with_name('run_ddpm_ranks.py')),
        str(path),
        str(tmp_path),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ranks = [torch.load(tmp_path / f'{r}.pth') for r in range(2)]
    assert same(ranks[0]['state'], ranks[1]['state'])
    assert not torch.equal(ranks[0]['noise'], ranks[1]['noise'])
    assert (tmp_path / 'run/unet/diffusion_pytorch_model.safetensors').exists()
