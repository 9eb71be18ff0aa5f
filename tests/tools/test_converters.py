"""SynFoC's released checkpoints, turned into mmssl's, give the same numbers."""

import os
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from sam_parts import ARCH, build, original_sam, save_sam

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools' / 'model_converters'))
import synfoc_to_mmssl

from mmssl.models.sam.released_names import (
    sam_from_released,
    unet_from_released,
)
from tests.parity.released_names import sam_to_released, unet_to_released


def released_unet(base: int = 4, channels: int = 1, classes: int = 2) -> dict:
    """Return noise under the names and shapes of the released U-Net."""
    state, width = {}, [base * 2**i for i in range(5)]

    def block(name, a, b):
        for i, (n_in, n_out) in ((0, (a, b)), (3, (b, b))):
            state[f'{name}.{i}.weight'] = torch.randn(n_out, n_in, 3, 3) * (9 * n_in) ** -0.5
            norm = f'{name}.{i + 1}'
            state[f'{norm}.weight'] = 1 + 0.1 * torch.randn(n_out)
            state[f'{norm}.bias'] = 0.1 * torch.randn(n_out)
            state[f'{norm}.running_mean'] = 0.1 * torch.randn(n_out)
            state[f'{norm}.running_var'] = 1 + 0.1 * torch.rand(n_out)
            state[f'{norm}.num_batches_tracked'] = torch.tensor(7)

    block('inc.double_conv', channels, base)
    for i in range(4):
        block(f'down{i + 1}.maxpool_conv.1.double_conv', width[i], width[i + 1])
        wide, slim = width[4 - i], width[3 - i]
        state[f'up{i + 1}.up.weight'] = torch.randn(wide, slim, 2, 2) * wide**-0.5
        state[f'up{i + 1}.up.bias'] = torch.randn(slim)
        block(f'up{i + 1}.conv.double_conv', wide, slim)
    state['outc.conv.weight'] = torch.randn(classes, base, 1, 1)
    state['outc.conv.bias'] = torch.randn(classes)
    return state


def run_released_unet(s: dict, x: torch.Tensor) -> torch.Tensor:
    """Compute what the released U-Net computes in eval mode, from its tensors alone."""

    def double(name, x):
        for i in (0, 3):
            n = f'{name}.{i + 1}'
            x = F.conv2d(x, s[f'{name}.{i}.weight'], padding=1)
            x = F.batch_norm(
                x, s[f'{n}.running_mean'], s[f'{n}.running_var'], s[f'{n}.weight'], s[f'{n}.bias']
            ).relu()
        return x

    skips = [double('inc.double_conv', x)]
    for i in range(1, 5):
        skips.append(double(f'down{i}.maxpool_conv.1.double_conv', F.max_pool2d(skips[-1], 2)))
    x = skips.pop()
    for i in range(1, 5):
        x = F.conv_transpose2d(x, s[f'up{i}.up.weight'], s[f'up{i}.up.bias'], stride=2)
        x = double(f'up{i}.conv.double_conv', torch.cat([skips.pop(), x], 1))
    return F.conv2d(x, s['outc.conv.weight'], s['outc.conv.bias'])


def released_lora(sam, rank: int = 4) -> dict:
    """Return a LoRA file as the released code writes it: number 2 i is q, 2 i + 1 is v."""
    state = {k: v for k, v in sam.state_dict().items() if not k.startswith('image_encoder')}
    for i in range(2 * ARCH['depth']):
        state[f'w_a_{i:03d}'] = torch.randn(rank, 32) * 0.1
        state[f'w_b_{i:03d}'] = torch.randn(32, rank) * 0.1
    return state


@torch.no_grad()
def run_released_sam(sam, lora: dict, x: torch.Tensor) -> torch.Tensor:
    encoder = sam['image_encoder']
    for i, block in enumerate(encoder.blocks):
        weight = block.attn.qkv.weight
        weight[:32] += lora[f'w_b_{2 * i:03d}'] @ lora[f'w_a_{2 * i:03d}']
        weight[-32:] += lora[f'w_b_{2 * i + 1:03d}'] @ lora[f'w_a_{2 * i + 1:03d}']
    prompts = sam['prompt_encoder'](None, None, None)
    position = sam['prompt_encoder'].get_dense_pe()
    return sam['mask_decoder'].predict_masks(encoder(x), position, *prompts)[0]


def students(checkpoint: str):
    sam = build(
        'mmseg.EncoderDecoder',
        backbone=dict(type='LoRAMedSAM', arch=ARCH, img_size=64, checkpoint=checkpoint),
        decode_head=dict(
            type='SAMMaskHead', arch=ARCH, img_size=64, num_classes=2, checkpoint=None
        ),
    )
    unet = build(
        'mmseg.EncoderDecoder',
        backbone=dict(type='UNet', in_channels=1, base_channels=4),
        decode_head=dict(
            type='mmseg.FCNHead',
            num_convs=0,
            in_channels=4,
            channels=4,
            num_classes=2,
            concat_input=False,
            dropout_ratio=0,
            init_cfg=None,
            loss_decode=dict(type='mmseg.CrossEntropyLoss'),
        ),
    )
    return torch.nn.ModuleDict(dict(students=torch.nn.ModuleDict(dict(sam=sam, unet=unet)))).eval()


def test_converted_checkpoints_give_the_released_logits(tmp_path):
    trunk = str(tmp_path / 'sam.pth')
    sam = save_sam(trunk, side=64, mask_tokens=2)
    unet, lora = released_unet(), released_lora(sam)
    torch.save(unet, tmp_path / 'unet.pth')
    torch.save(lora, tmp_path / 'lora.pth')
    out = tmp_path / 'out' / 'x.pth'
    files = [str(tmp_path / 'unet.pth'), str(tmp_path / 'lora.pth'), str(out)]
    assert synfoc_to_mmssl.main([*files, '--trunk', trunk]) == 0

    net = students(trunk)
    state = torch.load(out, weights_only=True)['state_dict']
    assert net.load_state_dict(state) == ([], [])
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        got = net['students']['unet'](x[:, :1], mode='tensor')
        assert torch.allclose(got, run_released_unet(unet, x[:, :1]), atol=1e-4)
        got = net['students']['sam'](x, mode='tensor')
        assert torch.allclose(got, run_released_sam(sam, lora, x), atol=1e-3)


def test_names_read_both_ways():
    unet = released_unet()
    back = unet_to_released(unet_from_released(unet))
    assert back.keys() == unet.keys()
    sam = {f'sam.{k}': v for k, v in original_sam(64).state_dict().items()}
    sam = {k.replace('.qkv.', '.qkv.qkv.'): v for k, v in sam.items()}
    for kind in ('a_q', 'b_v'):
        sam[f'sam.image_encoder.blocks.1.attn.qkv.linear_{kind}.weight'] = torch.rand(2, 2)
    back = sam_to_released(sam_from_released(sam))
    assert back.keys() == sam.keys()
    assert all(torch.equal(value, sam[name]) for name, value in back.items())


class Evil:
    def __reduce__(self):
        return os.system, ('touch evil-was-here',)


def test_bad_files_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save(released_unet(), 'unet.pth')
    torch.save(Evil(), 'evil.pth')
    torch.save({'elsewhere.weight': torch.ones(1)}, 'other.pth')
    for lora, message in (
        ('evil.pth', 'evil.pth is refused'),
        ('other.pth', '"elsewhere.weight" is not a tensor of SynFoC'),
        ('missing.pth', 'missing.pth'),
    ):
        assert synfoc_to_mmssl.main(['unet.pth', lora, 'out.pth']) == 1
        assert message in capsys.readouterr().err
    assert not os.path.exists('out.pth') and not os.path.exists('evil-was-here')
    with pytest.raises(SystemExit):
        synfoc_to_mmssl.main([])
