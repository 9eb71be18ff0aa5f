"""DiffusionHook: samples and exports, when and how."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from mmssl.engine.hooks import diffusion_hook
from mmssl.engine.hooks.diffusion_hook import DiffusionHook, image_grid
from mmssl.models.diffusion import unet as unet_module
from mmssl.models.diffusion.unet import load_unet, read_extra
from mmssl.registry import HOOKS, MODELS


@pytest.fixture
def runner(tmp_path):
    init_default_scope('mmssl')
    torch.manual_seed(0)
    unet = dict(
        type='GuidedDiffusionUNet',
        base_channels=8,
        image_size=16,
        multipliers=(1, 2),
        attention=(8,),
        num_res_blocks=1,
        norm_groups=4,
        dropout=0.5,
    )
    model = MODELS.build(dict(type='DDPM', unet=unet)).train()
    warnings: list[str] = []
    return SimpleNamespace(
        model=model,
        bare_model=model,
        work_dir=str(tmp_path),
        iter=0,
        max_iters=10,
        warnings=warnings,
        logger=SimpleNamespace(warning=warnings.append),
    )


def run(hook, runner, *iterations):
    for number in iterations:
        runner.iter = number - 1
        hook.after_train_iter(runner, runner.iter)


def written(tmp_path, folder='samples'):
    return sorted(file.name for file in (tmp_path / folder).iterdir())


def test_writes_at_the_interval_and_at_the_end(runner, tmp_path):
    hook = HOOKS.build(dict(type='DiffusionHook', interval=4, num=3, steps=2, batch_size=2))
    run(hook, runner, 1, 3)
    assert not list(tmp_path.iterdir())
    run(hook, runner, 4, 5, 8, 9, 10)
    assert written(tmp_path) == ['iter_000004.png', 'iter_000008.png', 'iter_000010.png']
    assert read_extra(tmp_path / 'unet') == dict(
        input_range=[-1, 1],
        image_size=16,
        num_train_timesteps=1000,
        prediction_type='epsilon',
        iterations=10,
    )


def test_it_is_the_average_that_is_written(runner, tmp_path):
    with torch.no_grad():
        for parameter in runner.model.teachers.parameters():
            parameter.add_(1)
    run(DiffusionHook(num=0), runner, 10)
    saved = load_unet(tmp_path / 'unet').state_dict()
    average = runner.model.teachers['denoiser'].state_dict()
    assert all(torch.equal(saved[k], average[k]) for k in average)
    assert not (tmp_path / 'samples').exists()


def test_the_training_is_left_as_it_was(runner):
    state, modes = torch.get_rng_state(), [m.training for m in runner.model.modules()]
    run(DiffusionHook(num=2, steps=2), runner, 10)
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in runner.model.modules()] == modes


def test_the_same_weights_give_the_same_picture(runner, tmp_path):
    """Noise is fixed and dropout is off."""
    run(DiffusionHook(interval=2, num=2, steps=2), runner, 2, 4)
    pictures = [cv2.imread(str(tmp_path / 'samples' / n)) for n in written(tmp_path)]
    assert np.array_equal(*pictures)
    run(DiffusionHook(interval=2, num=2, steps=2, seed=1), runner, 6)
    other = cv2.imread(str(tmp_path / 'samples/iter_000006.png'))
    assert not np.array_equal(other, pictures[0])


def test_images_drawn_in_parts_are_the_same(runner):
    unet, schedule = runner.model.teachers['denoiser'].eval(), runner.model.schedule
    whole, parts = (
        DiffusionHook(num=3, steps=2, batch_size=b).sample(unet, schedule) for b in (3, 2)
    )
    assert whole.shape == (3, 1, 16, 16)
    assert torch.allclose(whole, parts, atol=1e-5)


def test_broken_weights_do_not_replace_the_model(runner, tmp_path):
    hook = DiffusionHook(interval=2, num=0)
    run(hook, runner, 2)
    next(runner.model.teachers.parameters()).data.fill_(float('nan'))
    with pytest.raises(FloatingPointError, match='NaN or infinite at iteration 4; unet in the'):
        run(hook, runner, 4)
    assert read_extra(tmp_path / 'unet')['iterations'] == 2


def test_a_full_disk_stops_the_training_only_at_the_end(runner, monkeypatch):
    def full(*args):
        raise OSError('No space left on device')

    monkeypatch.setattr(unet_module, 'save_unet', full)
    hook = DiffusionHook(interval=2, num=0)
    run(hook, runner, 2)
    assert len(runner.warnings) == 1 and 'No space left' in runner.warnings[0]
    with pytest.raises(OSError, match='No space left'):
        run(hook, runner, 10)


def test_only_the_main_process_writes(runner, tmp_path, monkeypatch):
    monkeypatch.setattr(diffusion_hook, 'is_main_process', lambda: False)
    run(DiffusionHook(num=2, steps=2), runner, 10)
    assert not list(tmp_path.iterdir())


def test_grid_by_hand():
    images = torch.tensor([-1.0, 1.0, 0.0, 9.0, -9.0]).view(5, 1, 1, 1).expand(-1, 1, 2, 2)
    grid = image_grid(images, (-1, 1), gap=1)
    assert grid.shape == (5, 8, 3) and grid.dtype == np.uint8
    assert grid[..., 0].tolist() == [
        [0, 0, 0, 255, 255, 0, 128, 128],
        [0, 0, 0, 255, 255, 0, 128, 128],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [255, 255, 0, 0, 0, 0, 0, 0],
        [255, 255, 0, 0, 0, 0, 0, 0],
    ]
    assert image_grid(images / 2 + 0.5, (0, 1), gap=1)[..., 0].tolist() == grid[..., 0].tolist()
