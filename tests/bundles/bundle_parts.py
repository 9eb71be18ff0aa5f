"""Small models, their config and checkpoint, for the tests of bundles."""

import copy

import torch
from mmengine.config import Config

from mmssl.apis import init_model
from tests import tiny

SIDE = 32


def medsam(rank: int = 2, **backbone) -> dict:
    """Return a student with a frozen trunk, adapters, and a mask decoder that has some, too."""
    arch = dict(embed_dims=32, depth=2, num_heads=2, global_blocks=(1,))
    backbone = {'checkpoint': None, **backbone}
    return dict(
        type='EncoderDecoder',
        backbone=dict(type='LoRAMedSAM', arch=arch, img_size=SIDE, rank=rank, **backbone),
        decode_head=dict(
            type='SAMMaskHead', img_size=SIDE, num_classes=2, checkpoint=None, lora_rank=2
        ),
    )


def config(model: dict) -> Config:
    """Return the config of a training of which only the test data are described."""
    data = dict(
        type='MixedDomainDataset',
        data_root='/some/where',
        mode='test',
        domains=['siteA', 'siteB'],
        label_map={0: 0, 255: 1},
        image_size=SIDE,
        value_range=(0, 1000),
        image_key='scan/image',
        overrides=dict(siteB=dict(value_range=(-3000, 3000))),
        metainfo=dict(classes=('background', 'organ'), palette=[[0, 0, 0], [9, 8, 7]]),
        prepare=[dict(type='LoadImage'), dict(type='ResizeSquare'), dict(type='LoadMask')],
        pipeline=[dict(type='PackTestInputs')],
    )
    return Config(dict(default_scope='mmssl', model=model, test_dataloader=dict(dataset=data)))


def mean_teacher() -> dict:
    """Return a student and its teacher."""
    student = tiny.segmentor(norm=tiny.GN)
    return dict(type='MeanTeacher', students=dict(unet=student), teachers=['unet'])


def synfoc() -> dict:
    """Return two students, one with LoRA."""
    cfg = tiny.synfoc(primary='unet')
    cfg['students']['sam'] = medsam()
    cfg['data_preprocessor']['sizes']['sam'] = dict(image=SIDE, label=8)
    return cfg


def write_checkpoint(model: dict, path) -> Config:
    """Write a checkpoint in which every tensor that learns has moved; return its config."""
    cfg = config(model)
    torch.manual_seed(0)
    net = init_model(copy.deepcopy(cfg))
    with torch.no_grad():
        for name, value in net.named_parameters():
            if '.trunk.' not in name or 'lora_' in name:
                value += 0.1 * torch.randn_like(value)
    history = [dict(iter=5, metrics={'unet/DSC': 80.0, 'sam/DSC': 70.0})]
    torch.save(
        dict(
            state_dict=net.state_dict(),
            meta=dict(iter=6, seed=3, cfg='secret', dataset_meta=dict(classes=['background', 'o'])),
            message_hub=dict(info=dict(eval_history=history)),
        ),
        path,
    )
    return cfg
