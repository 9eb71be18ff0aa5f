"""Small models of every kind of network, for the tests of exporting."""

import torch
from mmengine.config import Config

from mmssl.apis import init_model
from tests import tiny

SIDE = 32
ARCH = dict(embed_dims=32, depth=2, num_heads=2, global_blocks=(1,))
WIDTHS = (4, 4, 8, 8, 8)


def config(model: dict, side: int = SIDE, channels: int = 1, **dataset) -> Config:
    """Return the config of a training of which only the test data are described."""
    data = dict(
        type='MixedDomainDataset',
        data_root='no/such/data',
        mode='test',
        domains=['ScannerA'],
        label_map={0: 0, 255: 1},
        channels=channels,
        image_size=side,
        metainfo=dict(classes=('background', 'organ'), parts=dict(organ=[1])),
        prepare=[
            dict(type='LoadImage'),
            dict(type='ResizeSquare', interpolation='lanczos'),
            dict(type='LoadMask'),
        ],
        pipeline=[dict(type='PackTestInputs')],
    )
    loader = dict(dataset={**data, **dataset})
    return Config(dict(default_scope='mmssl', model=model, test_dataloader=loader))


def trained(model: dict, **options):
    """Build a model whose weights have moved, those of teachers and students apart."""
    torch.manual_seed(0)
    found = init_model(config(model, **options))
    with torch.no_grad():
        for name, value in found.named_parameters():
            if '.trunk.' not in name or 'lora_' in name:
                value += 0.02 * torch.randn_like(value)
    return found


def one(student: dict, **options) -> dict:
    """Return the config of a model of one student that learns from the labels alone."""
    return dict(type='SemiSegmentor', students=dict(net=student), **options)


def unet(head: str = 'UNetDecoderHead', **options) -> dict:
    """Return the U-Net of SSL4MIS with one of its heads."""
    return dict(
        type='EncoderDecoder',
        backbone=dict(type='UNetEncoder', in_channels=1, widths=WIDTHS),
        decode_head=dict(type=head, in_channels=WIDTHS, num_classes=2, **options),
    )


def dinov2() -> dict:
    """Return a small DINOv2 with its head, with random weights."""
    arch = dict(embed_dims=16, depth=4, num_heads=2, out_indices=(0, 1, 2, 3), grid=3)
    return dict(
        type='EncoderDecoder',
        backbone=dict(type='DINOv2', arch=arch, checkpoint=None),
        decode_head=dict(
            type='DPTDecoderHead',
            in_channels=[16] * 4,
            num_classes=2,
            widths=(4, 4, 8, 8),
            channels=8,
        ),
    )


def swin() -> dict:
    """Return a transformer of mmsegmentation."""
    return dict(
        type='EncoderDecoder',
        backbone=dict(
            type='SwinTransformer',
            in_channels=3,
            embed_dims=8,
            depths=(2, 2),
            num_heads=(1, 2),
            strides=(4, 2),
            out_indices=(0, 1),
            window_size=7,
        ),
        decode_head=dict(
            type='UPerHead',
            in_channels=(8, 16),
            in_index=(0, 1),
            pool_scales=(1, 2),
            channels=8,
            num_classes=2,
            norm_cfg=dict(type='BN'),
        ),
    )


def sam(head: str = 'SAMMaskHead', arch: str | dict = ARCH, side: int = SIDE, **options) -> dict:
    """Return SAM's encoder with LoRA and a decoder, with random weights."""
    backbone = dict(type='LoRAMedSAM', arch=arch, img_size=side, rank=2, checkpoint=None)
    return dict(
        type='EncoderDecoder',
        backbone=backbone,
        decode_head=dict(
            type=head, arch=arch, img_size=side, num_classes=2, checkpoint=None, **options
        ),
    )


def kinds() -> dict[str, dict]:
    """Return a model for every kind of network, by name."""
    rgb = dict(image=SIDE, channels=3, mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4])
    return {
        'mmseg_unet': one(tiny.segmentor(norm=tiny.GN)),
        'unet': one(unet()),
        'unet_two_decoders': dict(type='MCNet', students=dict(net=unet('MultiDecoderHead'))),
        'unet_pyramid': dict(type='URPC', students=dict(net=unet('UNetPyramidHead'))),
        'swin': one(swin(), data_preprocessor=dict(sizes=dict(net=rgb))),
        'sam': one(sam(lora_rank=2)),
        'h_sam': one(sam('HSAMHead')),
        'cross_prompt': one(sam('CrossPromptHead')),
        'parts': one(
            tiny.segmentor(classes=1),
            label_space=dict(type='OverlappingParts'),
            parts=[[1]],
        ),
        'fused': dict(
            type='SCSSL', students={n: tiny.segmentor(norm=tiny.GN) for n in ('one', 'two')}
        ),
    }
