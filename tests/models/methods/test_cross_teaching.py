import pytest
import torch

from tests.models.methods.test_cps import batch_of, cps, logits
from tests.tiny import GN, segmentor, unsup_terms


def swin(classes=2):
    """Return a small Swin transformer whose logits have half the size of its input."""
    return dict(
        type='EncoderDecoder',
        backbone=dict(
            type='SwinTransformer',
            in_channels=1,
            embed_dims=8,
            patch_size=2,
            window_size=2,
            depths=(1, 1),
            num_heads=(1, 2),
            strides=(2, 2),
            out_indices=(0, 1),
        ),
        decode_head=dict(
            type='UPerHead',
            in_channels=(8, 16),
            in_index=(0, 1),
            channels=8,
            num_classes=classes,
            pool_scales=(1,),
            norm_cfg=GN,
        ),
    )


def test_cross_term_is_dice_by_hand():
    """Labels of `unet2` are 0 0: for class 0 overlap 0.9, squares 0.65 and 2; for 1 none."""
    model = cps(method='CrossTeaching')
    given = {'unet': {'u_w': logits(0.9, 0.2)}, 'unet2': {'u_w': logits(0.4, 0.3)}}
    expected = ((1 - 2 * 0.9 / 2.65) + 1) / 2
    assert unsup_terms(model, {}, given, {})['cps_unet'].item() == pytest.approx(expected, rel=1e-4)


def test_a_class_that_is_nowhere_costs_by_the_published_summand():
    """Class 1 has no label and squares 2e-5: 1 - 1e-5 / (2e-5 + 1e-5)."""
    model = cps(method='CrossTeaching')
    small = 1e-5**0.5
    given = {name: {'u_w': logits(small, small)} for name in model.students}
    background = 1 - 4 * (1 - small) / (2 + 2 * (1 - small) ** 2)
    expected = (background + 2 / 3) / 2
    assert unsup_terms(model, {}, given, {})['cps_unet'].item() == pytest.approx(expected, abs=1e-4)


def test_networks_with_logits_of_different_sizes():
    """The transformer's logits are compared at its label's size, the other's label is resized."""
    model = cps(
        method='CrossTeaching',
        students=dict(unet=segmentor(), swin=swin()),
        data_preprocessor=dict(sizes=dict(swin=dict(image=24, label=24))),
    )
    batch = batch_of(model, side=16)
    out = model.loss(batch)
    out['loss'].backward()
    assert batch['u_w']['swin'].shape[-1] == 24 and batch['u_w']['unet'].shape[-1] == 16
    assert out['cps_unet'] > 0 and out['cps_swin'] > 0
    grads = [p.grad for p in model.students['swin'].parameters() if p.grad is not None]
    assert sum(g.abs().sum() for g in grads) > 0


def test_the_cnn_segments():
    model = cps(
        method='CrossTeaching', students=dict(swin=swin(), unet=segmentor()), primary='unet'
    )
    model.eval()
    assert model.primary == 'unet'
    scores = model.predict_logits({'unet': torch.rand(1, 1, 16, 16)}, model.primary)
    assert scores.shape == (1, 2, 16, 16)
