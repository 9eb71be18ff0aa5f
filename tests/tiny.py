"""Small networks and batches shared by the tests."""

import torch
from mmengine.registry import init_default_scope

from mmssl.structures import Step

GN, BN = dict(type='GN', num_groups=2), dict(type='BN')


def segmentor(classes: int = 2, norm: dict = BN, channels: int = 1) -> dict:
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


def synfoc(classes: int = 2, parts=((1,),), **kwargs) -> dict:
    """Return a SynFoC of two small networks: inputs of 32 and 24 px, labels of 16 and 24."""
    cfg = dict(
        type='SynFoC',
        students=dict(sam=segmentor(classes, GN), unet=segmentor(classes, BN)),
        teachers=['sam', 'unet'],
        parts=parts,
        threshold=dict(type='FixedThreshold', value=0.5),
        consistency=dict(type='CDCRLoss'),
        data_preprocessor=dict(
            sizes=dict(sam=dict(image=32, label=16), unet=dict(image=24, label=24))
        ),
    )
    cfg.update(kwargs)
    return cfg


def raw_batch(n_l: int = 2, n_u: int = 2, classes: int = 2, side: int = 32, seed: int = 0) -> dict:
    """Return a collated batch of noise as the loader gives it."""
    g = torch.Generator().manual_seed(seed)

    def image(n: int) -> torch.Tensor:
        return torch.randint(0, 256, (n, 1, side, side), generator=g, dtype=torch.uint8)

    y = torch.randint(0, classes, (n_l, side, side), generator=g, dtype=torch.uint8)
    box = torch.tensor([[2, 3, 9, 7]] * n_u)
    return dict(
        inputs=dict(x_w=image(n_l), y=y, u_w=image(n_u), u_s=image(n_u), u_s2=image(n_u), box=box),
        data_samples=dict(labelled=[], unlabelled=[]),
    )


def build(cfg: dict, seed: int = 0):
    """Build a model with repeatable weights."""
    from mmssl.registry import MODELS

    init_default_scope('mmssl')
    torch.manual_seed(seed)
    model = MODELS.build(cfg)
    model.train()
    return model


def sup_terms(model, batch: dict, logits: dict, targets=None) -> dict:
    """Return the supervised terms of logits, without the curves beside them."""
    return _terms(model.sup_loss, batch, logits, targets, model.step)


def unsup_terms(model, batch: dict, logits: dict, targets=None) -> dict:
    """Return the unsupervised terms of logits, without the curves beside them."""
    return _terms(model.unsup_loss, batch, logits, targets, model.step)


def _terms(loss, *args) -> dict:
    from mmssl.models.base.terms import split_curves

    return split_curves(loss(*args))[0]


def set_iter(iteration: int, max_iters: int) -> None:
    """Tell the models where the training stands."""
    from mmssl.models.base import SemiSegmentor

    SemiSegmentor.step = Step(iteration, max_iters)


def set_phase(phase: int) -> None:
    """Tell the models which optimiser step of the iteration is under way."""
    from mmssl.models.base import SemiSegmentor

    SemiSegmentor.step = SemiSegmentor.step._replace(phase=phase)
