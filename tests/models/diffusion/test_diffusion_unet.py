"""Denoising U-Nets: sizes of the papers, numbering of the blocks, files."""

import json
import shutil

import pytest
import torch
from diffusers import UNet2DModel

from mmssl.models.diffusion import unet as module
from mmssl.models.diffusion.unet import (
    block_module,
    block_outputs,
    block_shapes,
    build_unet,
    check_steps,
    guided_diffusion_config,
    load_unet,
    noise_schedule,
    num_blocks,
    read_extra,
    save_unet,
    unet_sha256,
)

TINY = guided_diffusion_config(8, 16, (1, 2, 2), attention=(8, 4), norm_groups=4)
# guided-diffusion's output blocks at C = 256 and 256 px: channels and side
SHEET = [
    (1024, 8),
    (1024, 8),
    (1024, 16),
    (1024, 16),
    (1024, 16),
    (1024, 32),
    (512, 32),
    (512, 32),
    (512, 64),
    (512, 64),
    (512, 64),
    (512, 128),
    (256, 128),
    (256, 128),
    (256, 256),
    (256, 256),
    (256, 256),
    (256, 256),
]


def tiny(seed: int = 0):
    torch.manual_seed(seed)
    return build_unet(TINY).eval()


@pytest.fixture
def folder(tmp_path):
    save_unet(tiny(), tmp_path / 'unet', dict(input_range=[-1, 1]))
    return tmp_path / 'unet'


@pytest.mark.parametrize(
    'variant, parameters',
    [
        ('effective', 495_921_665),
        ('yaml', 552_797_953),
    ],
)
def test_paper_size(variant, parameters):
    cfg = guided_diffusion_config(variant=variant)
    with torch.device('meta'):
        unet = build_unet(cfg)
    assert sum(p.numel() for p in unet.parameters()) == parameters
    shapes = block_shapes(unet, 256)
    assert [shapes[i] for i in range(18)] == [(c, side, side) for c, side in SHEET]


def test_small_recipe():
    cfg = guided_diffusion_config(32, 64, (1, 2, 4, 4))
    assert block_shapes(cfg, 64, (6, 2, 4)) == {6: (64, 32, 32), 2: (128, 16, 16), 4: (128, 16, 16)}
    with torch.device('meta'):
        assert sum(p.numel() for p in build_unet(cfg).parameters()) == 6_928_929


@pytest.mark.parametrize(
    'options, said',
    [
        (dict(variant='lsun'), 'known are effective, yaml'),
        (dict(heads=4), r"unknown options \['heads'\]; known are num_heads"),
        (dict(multipliers=(1, 2, 3, 4), image_size=64), 'heads of several widths'),
        (dict(head_channels=100), r'heads of 100 channels do not divide levels of \[1024\]'),
    ],
)
def test_wrong_architectures_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        guided_diffusion_config(**options)


def test_blocks_are_counted_from_the_bottom_with_upsamplers_inside():
    unet = tiny()
    assert num_blocks(unet) == 9
    assert block_module(unet, 0) is unet.up_blocks[0].attentions[0]
    assert block_module(unet, 2) is unet.up_blocks[0].upsamplers[0]
    assert block_module(unet, 4) is unet.up_blocks[1].attentions[1]
    assert block_module(unet, 7) is unet.up_blocks[2].resnets[1]
    assert block_module(unet, 8) is unet.up_blocks[2].resnets[2]


def test_block_outputs_are_what_flows_through_the_network():
    unet, x, t = tiny(), torch.randn(2, 1, 16, 16), torch.tensor([3, 900])
    seen = []
    handles = [
        unet.up_blocks[0].register_forward_hook(lambda m, i, o: seen.append(o)),
        unet.conv_norm_out.register_forward_hook(lambda m, i, o: seen.append(i[0])),
    ]
    with torch.no_grad():
        unet(x, t)
    for handle in handles:
        handle.remove()
    last, second = block_outputs(unet, x, t, (8, 2))
    assert torch.equal(second, seen[0]) and torch.equal(last, seen[1])
    assert not last.requires_grad


def test_block_outputs_stop_early_and_leave_no_hook():
    unet, ran = tiny(), []
    handle = unet.up_blocks[1].register_forward_hook(lambda *a: ran.append(1))
    block_outputs(unet, torch.randn(1, 1, 16, 16), 5, (2, 0))
    assert not ran
    handle.remove()
    assert not any(m._forward_hooks for m in unet.modules())


@pytest.mark.parametrize('index', [-1, 9])
def test_block_out_of_range(index):
    with pytest.raises(ValueError, match=f'block {index} is out of range; .* 0 to 8'):
        block_outputs(tiny(), torch.randn(1, 1, 16, 16), 5, (2, index))


def test_block_of_another_kind():
    cfg = guided_diffusion_config(64, 16, (1, 1))
    with torch.device('meta'):
        unet = build_unet({**cfg, 'up_block_types': ('AttnSkipUpBlock2D', 'UpBlock2D')})
    with pytest.raises(ValueError, match='block 1 is in a AttnSkipUpBlock2D'):
        block_module(unet, 1)


def test_step_out_of_range():
    check_steps((0, 999))
    with pytest.raises(ValueError, match=r'time steps \[1000, -1\] are out of range; .* 0 to 999'):
        check_steps((50, 1000, -1))


@pytest.mark.parametrize(
    't, abar, signal, noise',
    [
        (50, 0.96995, 0.9849, 0.1733),
        (150, 0.78589, 0.8865, 0.4627),
        (250, 0.52142, 0.7221, 0.6918),
    ],
)
def test_noise_levels(t, abar, signal, noise):
    schedule, one, zero = noise_schedule(), torch.ones(1, 1), torch.zeros(1, 1)
    assert float(schedule.alphas_cumprod[t]) == pytest.approx(abar, abs=5e-6)
    step = torch.tensor([t])
    assert float(schedule.add_noise(one, zero, step)) == pytest.approx(signal, abs=5e-5)
    assert float(schedule.add_noise(zero, one, step)) == pytest.approx(noise, abs=5e-5)


def test_saved_and_loaded(folder):
    unet, x, t = load_unet(folder, in_channels=1), torch.randn(2, 1, 16, 16), torch.tensor([3, 9])
    assert not unet.training and not any(p.requires_grad for p in unet.parameters())
    saved = tiny()
    assert all(
        torch.equal(p, q)
        for p, q in zip(unet.state_dict().values(), saved.state_dict().values(), strict=True)
    )
    with torch.no_grad():
        torch.testing.assert_close(unet(x, t).sample, saved(x, t).sample)
    assert read_extra(folder) == dict(input_range=[-1, 1])


def test_diffusers_reads_the_folder_and_its_own_are_read(folder, tmp_path):
    theirs = UNet2DModel.from_pretrained(folder, low_cpu_mem_usage=False)
    theirs.save_pretrained(tmp_path / 'pipeline' / 'unet')
    loaded = load_unet(tmp_path / 'pipeline')
    assert torch.equal(loaded.conv_in.weight, tiny().conv_in.weight)
    assert read_extra(tmp_path / 'pipeline') == {}


def test_digest_tells_weights_and_architectures_apart(folder, tmp_path):
    digest = unet_sha256(folder)
    save_unet(tiny(), tmp_path / 'same', dict(input_range=[0, 1]))
    save_unet(tiny(1), tmp_path / 'weights', {})
    shutil.copytree(folder, tmp_path / 'config')
    config = json.loads((folder / 'config.json').read_text())
    (tmp_path / 'config' / 'config.json').write_text(json.dumps({**config, 'norm_eps': 1e-6}))
    assert unet_sha256(tmp_path / 'same') == digest
    assert unet_sha256(tmp_path / 'weights') != digest
    assert unet_sha256(tmp_path / 'config') != digest


def test_a_failed_save_leaves_the_old_model(folder, monkeypatch):
    digest, unet = unet_sha256(folder), tiny(1)

    def full(target, **kwargs):
        target.mkdir()
        (target / 'config.json').write_text('half')
        raise OSError('No space left on device')

    monkeypatch.setattr(unet, 'save_pretrained', full)
    with pytest.raises(OSError, match='No space'):
        save_unet(unet, folder, {})
    assert unet_sha256(folder) == digest
    assert [f.name for f in folder.parent.iterdir()] == ['unet']


def test_save_replaces_the_old_model(folder):
    save_unet(tiny(1), folder, dict(iterations=2))
    assert torch.equal(load_unet(folder).conv_in.weight, tiny(1).conv_in.weight)
    assert read_extra(folder) == dict(iterations=2)


def _pickle_only(folder):
    (folder / module.WEIGHTS).unlink()
    torch.save(tiny().state_dict(), folder / 'diffusion_pytorch_model.bin')


def _other_shape(folder):
    config = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({**config, 'layers_per_block': 1}))


@pytest.mark.parametrize(
    'spoil, kind, said',
    [
        (shutil.rmtree, FileNotFoundError, 'no diffusion model in .*unet.*train one with'),
        (lambda f: (f / 'config.json').unlink(), FileNotFoundError, 'unet has no config.json'),
        (lambda f: (f / module.WEIGHTS).unlink(), FileNotFoundError, f'has no {module.WEIGHTS}'),
        (_pickle_only, ValueError, r'only as pickle \(diffusion_pytorch_model.bin\)'),
        (lambda f: (f / module.WEIGHTS).write_bytes(b'x' * 100), ValueError, 'cannot be loaded'),
        (_other_shape, ValueError, r'does not fit its config.json: \d+ \w+ tensors, the first is'),
        (lambda f: (f / 'config.json').write_text('{"_cl'), ValueError, 'config.json is not JSON'),
        (
            lambda f: (f / 'config.json').write_text('{"_class_name": "AutoencoderKL"}'),
            ValueError,
            'describes a AutoencoderKL; needed is a UNet2DModel',
        ),
        (
            lambda f: (f / 'config.json').write_text('{"num_class_embeds": 10}'),
            ValueError,
            'needs class labels',
        ),
        (lambda f: None, ValueError, 'takes 1 channels, but the images have 3'),
    ],
)
def test_what_cannot_be_loaded_is_said(folder, spoil, kind, said):
    spoil(folder)
    with pytest.raises(kind, match=said):
        load_unet(folder, in_channels=3 if kind is ValueError and 'takes' in said else 1)
