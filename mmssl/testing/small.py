"""Small networks for tests, and where their training stands."""

from typing import Any

import torch
from torch import nn

from mmssl.structures import Step

GN: dict[str, Any] = dict(type='GN', num_groups=2)
BN: dict[str, Any] = dict(type='BN')


def segmentor(classes: int = 2, norm: dict[str, Any] = BN, channels: int = 1) -> dict[str, Any]:
    """Return the config of a stock mmsegmentation U-Net of a few thousand parameters."""
    return dict(
        type='EncoderDecoder',
        backbone=dict(
            type='mmseg.UNet',
            in_channels=channels,
            base_channels=4,
            num_stages=2,
            strides=(1, 1),
            enc_num_convs=(1, 1),
            dec_num_convs=(1,),
            downsamples=(True,),
            enc_dilations=(1, 1),
            dec_dilations=(1,),
            norm_cfg=norm,
        ),
        decode_head=dict(
            type='FCNHead',
            num_convs=0,
            in_channels=4,
            channels=4,
            concat_input=False,
            dropout_ratio=0,
            init_cfg=None,
            num_classes=classes,
            norm_cfg=norm,
        ),
    )


def volume_segmentor(
    classes: int = 2,
    norm: dict[str, Any] = BN,
    channels: int = 1,
    head: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the config of a V-Net of a few thousand parameters, without dropout.

    Args:
        classes: number of classes with background.
        norm: the norm layers.
        channels: of the volumes.
        head: further options of the head, a `VNetDecoderHead` by default.
    """
    widths, convs = (4, 6, 8), (1, 1, 1)
    return dict(
        type='EncoderDecoder',
        backbone=dict(
            type='VNetEncoder',
            in_channels=channels,
            widths=widths,
            convs=convs,
            dropout=0.0,
            norm_cfg=norm,
        ),
        decode_head={
            'type': 'VNetDecoderHead',
            'in_channels': widths,
            'convs': convs[1:],
            'dropout': 0.0,
            'norm_cfg': norm,
            'num_classes': classes,
            **(head or {}),
        },
    )


def sam_segmentor(classes: int = 2, side: int = 32, **head: Any) -> dict[str, Any]:
    """Return the config of a small SAM with adapters and random weights, for images of one side.

    Args:
        classes: number of classes with background.
        side: of the images in pixels; the logits have a quarter of it.
        **head: further options of the head, a `SAMMaskHead` by default.
    """
    arch = dict(embed_dims=16, depth=2, num_heads=2, global_blocks=(1,))
    common = dict(arch=arch, img_size=side)
    return dict(
        type='EncoderDecoder',
        backbone=dict(type='LoRAMedSAM', random_trunk_seed=0, **common),
        decode_head={
            'type': 'SAMMaskHead',
            'num_classes': classes,
            'checkpoint': None,
            **common,
            **head,
        },
    )


def build(cfg: dict[str, Any], seed: int = 0) -> nn.Module:
    """Build a model with repeatable weights, in train mode."""
    from mmengine.registry import init_default_scope

    from mmssl.registry import MODELS

    init_default_scope('mmssl')
    torch.manual_seed(seed)
    model: nn.Module = MODELS.build(cfg)
    return model.train()


def set_iter(iteration: int, max_iters: int) -> None:
    """Tell the methods that are built where the training stands."""
    from mmssl.models.base import SemiSegmentor

    SemiSegmentor.step = Step(iteration, max_iters)


def set_phase(phase: int) -> None:
    """Tell the methods which optimiser step of the iteration is under way."""
    from mmssl.models.base import SemiSegmentor

    SemiSegmentor.step = SemiSegmentor.step._replace(phase=phase)
