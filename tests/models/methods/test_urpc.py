import math

import pytest
import torch
from torch.nn import functional as F

from tests.tiny import build, raw_batch, segmentor, set_iter, sup_terms


def urpc(classes=2, **kwargs):
    head = dict(
        type='UNetPyramidHead', in_channels=(4, 6, 8), num_classes=classes, noise=('dropout',)
    )
    network = dict(
        type='EncoderDecoder',
        decode_head=head,
        backbone=dict(type='UNetEncoder', widths=(4, 6, 8), dropout=(0, 0, 0)),
    )
    cfg = dict(type='URPC', students=dict(unet=network), parts=[[i] for i in range(1, classes)])
    cfg.update(kwargs)
    set_iter(5, 10)
    return build(cfg)


def batch_of(model, **kwargs):
    return model.data_preprocessor(raw_batch(**kwargs), True)['inputs']


def test_consistency_by_hand():
    """Two heads on two pixels: they differ on the first, agree on the second."""
    p = torch.tensor([[[0.8, 0.2], [0.5, 0.5]], [[0.4, 0.6], [0.5, 0.5]]])  # head, pixel, class
    heads = [x.log().T.view(1, 2, 1, 2) for x in p]
    expected = 0
    for mine in ((0.8, 0.2), (0.4, 0.6)):
        d = sum(m * math.log(m / x) for m, x in zip((0.6, 0.4), mine, strict=True))
        w = math.exp(-d)
        square = 2 * 0.2**2 * w / 4  # over two classes and two pixels
        expected += (square / ((w + 1) / 2) + d / 2) / 2
    assert urpc().consistency(heads).item() == pytest.approx(expected, rel=1e-5)


def test_gradients_flow_through_weights_and_mean():
    heads = torch.randn(2, 1, 3, 1, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: urpc().consistency(list(z)), heads)


def test_heads_that_agree_cost_nothing_and_certain_ones_stay_finite():
    model = urpc()
    logits = torch.randn(2, 2, 4, 4)
    assert model.consistency([logits] * 3).abs() < 1e-6
    certain = torch.tensor([300.0, -300.0]).view(1, 2, 1, 1).requires_grad_()
    loss = model.consistency([certain, -certain])
    loss.backward()
    assert loss.isfinite() and certain.grad.isfinite().all()


def test_parts_that_overlap_are_compared_by_yes_and_no():
    model = urpc(
        label_space=dict(type='OverlappingParts'),
        parts=[[1], [1, 2]],
        sup_loss=dict(type='DiceBCELoss'),
    )
    a, b = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 4)
    binary = urpc().consistency([torch.stack([x[:, 0], 0 * x[:, 0]], 1) for x in (a, b)])
    assert model.consistency([a[:, :1], b[:, :1]]).item() == pytest.approx(binary.item(), rel=1e-5)
    assert model.loss(batch_of(model, classes=3))['loss'].isfinite()


def test_the_supervised_term_is_the_mean_over_the_heads():
    model = urpc()
    batch = batch_of(model)
    logits = [torch.randn(2, 2, 32, 32) for _ in range(3)]
    expected = sum(model.criterion(x, batch['y']['unet']) for x in logits) / 3
    assert torch.allclose(sup_terms(model, batch, {'unet': {'x_w': logits}})['sup_unet'], expected)


def test_the_main_head_predicts():
    model = urpc().eval()
    x = torch.rand(2, 1, 16, 16)
    student = model.students['unet']
    main = student.decode_head.forward_all(student.extract_feat(x))[0]
    assert torch.equal(model.predict_logits({'unet': x}, 'unet'), main)


def test_a_stock_segmentor_with_an_auxiliary_head_is_a_student():
    cfg = segmentor()
    cfg['auxiliary_head'] = dict(cfg['decode_head'], in_channels=8, channels=8, in_index=0)
    cfg['decode_head'] = dict(cfg['decode_head'], in_index=1)
    model = urpc(students=dict(unet=cfg))
    terms = model.loss(batch_of(model))
    assert terms['pyramid_unet'] > 0
    assert torch.allclose(
        terms['loss'], terms['sup_unet'] + terms['weight'] * terms['pyramid_unet']
    )


def test_a_student_with_one_head_is_refused():
    model = urpc(students=dict(unet=segmentor()))
    with pytest.raises(ValueError, match='URPC compares the heads .* "unet" has one: give it'):
        model.loss(batch_of(model))


def test_side_heads_learn_at_the_size_of_the_label():
    """Nearest enlargement: the gradient of a side logit is the sum over the pixels it covers."""
    model = urpc()
    batch = batch_of(model)
    seen = {}
    model.students['unet'].decode_head.sides[0].register_forward_hook(
        lambda module, args, out: seen.update(side=out)
    )
    side = model.forward_views('unet', {'x_w': batch['x_w']['unet']})['x_w'][1]
    assert torch.equal(side, F.interpolate(seen['side'], size=(32, 32)))
