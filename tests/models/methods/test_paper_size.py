"""The paper's networks on the meta device: shapes, cost and parameters without computing."""

from pathlib import Path

import pytest
import torch
from mmengine import Config
from mmengine.registry import init_default_scope
from torch.utils.flop_counter import FlopCounterMode

import mmssl.models  # noqa: F401
from mmssl.engine.data_facts import build_model
from tests.tiny import set_iter

CONFIGS = Path(__file__).parents[3] / 'configs/synfoc'


def paper_model(name: str):
    init_default_scope('mmssl')
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    with torch.device('meta'):
        model = build_model(cfg)
    model.to('meta').train()
    return cfg, model


def meta_batch(cfg, channels: int) -> dict:
    sampler = cfg.train_dataloader.batch_sampler
    n_l, n_u, side = sampler.num_labelled, sampler.num_unlabelled, cfg.image_size

    def image(n):
        return torch.zeros(n, channels, side, side, dtype=torch.uint8, device='meta')

    y = torch.zeros(n_l, side, side, dtype=torch.uint8, device='meta')
    box = torch.zeros(n_u, 4, dtype=torch.long, device='meta')
    return dict(
        inputs=dict(x_w=image(n_l), y=y, u_w=image(n_u), u_s=image(n_u), box=box), data_samples=None
    )


def test_one_prostate_iteration_costs_what_the_published_one_does():
    set_iter(0, 60000)
    cfg, model = paper_model('prostate')
    with FlopCounterMode(display=False) as counter:
        batch = model.data_preprocessor(meta_batch(cfg, 1), True)['inputs']
        model.loss(batch)['loss'].backward()
    flops = counter.get_total_flops()
    assert 0.98 * 11.6e12 < flops <= 1.005 * 11.6e12, f'{flops / 1e12:.3f} TFLOP'


@pytest.mark.parametrize(
    'name, channels, classes, side',
    [('fundus', 3, 3, 256), ('mnms', 1, 4, 288), ('busi', 1, 2, 256)],
)
def test_the_other_configs_fit_together(name, channels, classes, side):
    set_iter(0, 60000)
    cfg, model = paper_model(name)
    batch = model.data_preprocessor(meta_batch(cfg, channels), True)['inputs']
    assert batch['x_w']['unet'].shape[1:] == (channels, side, side)
    assert batch['y']['sam'].shape[-1] == 128
    model.loss(batch)['loss'].backward()
    logits = model.students['sam'](batch['u_w']['sam'], mode='tensor')
    assert logits.shape[1:] == (classes, 128, 128)
    assert all(p.grad is not None for p in model.students.parameters() if p.requires_grad)


def test_a_checkpoint_has_no_trunk_and_stays_small():
    _, model = paper_model('prostate')
    size = sum(v.numel() * v.element_size() for v in model.state_dict().values())
    assert size < 290e6
    assert not any(
        'trunk' in k and 'lora' not in k and 'fingerprint' not in k for k in model.state_dict()
    )
    trained = sum(p.numel() for p in model.students.parameters() if p.requires_grad)
    unet = sum(p.numel() for p in model.students['unet'].parameters())
    states = 4 * (2 * (trained - unet) + unet)  # AdamW keeps two moments, SGD one
    assert size + states < 450e6


def test_there_is_one_trunk_in_memory():
    _, model = paper_model('prostate')
    unique = sum(p.numel() for p in model.parameters())
    trunk = sum(p.numel() for p in model.students['sam'].backbone.frozen_tensors().values())
    assert unique < trunk + 2 * 31.04e6 + 2 * 4.1e6
