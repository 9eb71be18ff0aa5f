import pytest
import torch

from mmssl.models.strategies.pseudo_label import sharpen_each as sharpen
from tests.tiny import build, raw_batch, segmentor, set_iter, sup_terms, unsup_terms


def mc_net(upsample=('bilinear', 'transposed'), classes=2, **kwargs):
    head = dict(type='MultiDecoderHead', in_channels=(4, 6), num_classes=classes, upsample=upsample)
    network = dict(
        type='EncoderDecoder',
        decode_head=head,
        backbone=dict(type='UNetEncoder', widths=(4, 6), dropout=(0, 0)),
    )
    cfg = dict(
        type='MCNet',
        students=dict(unet=network),
        parts=[[i] for i in range(1, classes)],
        sup_loss=dict(type='DiceCELoss', ce_weight=0, dice_weight=0.5),
    )
    cfg.update(kwargs)
    set_iter(5, 10)
    return build(cfg)


def batch_of(model, **kwargs):
    return model.data_preprocessor(raw_batch(**kwargs), True)['inputs']


def logits_of(*probabilities):
    """Return logits (1, 2, 1, 1) of a first class with these probabilities."""
    return [torch.tensor([p, 1 - p]).log().view(1, 2, 1, 1) for p in probabilities]


def test_mutual_consistency_by_hand():
    """Both ordered pairs, over the labelled and the unlabelled pixel, sharpened with T = 1/2."""
    model = mc_net(temperature=0.5)
    x, u = (0.6, 0.8), (0.5, 0.5)

    def sharp(p):
        return p**2 / (p**2 + (1 - p) ** 2)

    expected = sum((a - sharp(b)) ** 2 for one in (x, u) for a, b in (one, one[::-1])) / 2
    given = {'unet': {'x_w': logits_of(*x), 'u_w': logits_of(*u)}}
    assert unsup_terms(model, {}, given)['mutual_unet'].item() == pytest.approx(expected, rel=1e-5)


def test_three_decoders_make_six_pairs():
    model = mc_net(('bilinear', 'transposed', 'nearest'))
    a, b, c = 0.55, 0.6, 0.9
    pairs = [(a, b), (b, a), (a, c), (c, a), (b, c), (c, b)]
    expected = sum((p - sharpen(torch.tensor(q))) ** 2 for p, q in pairs)
    both = logits_of(a, b, c)
    found = unsup_terms(model, {}, {'unet': {'x_w': both, 'u_w': both}})['mutual_unet']
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_sharpened_side_learns_too():
    model = mc_net()
    first, second = logits_of(0.6, 0.7)
    first.requires_grad_()
    views = {'x_w': [first, second], 'u_w': [first, second]}
    unsup_terms(model, {}, {'unet': views})['mutual_unet'].backward()
    p, q = first.detach().softmax(1).requires_grad_(), second.softmax(1)
    one_way = torch.autograd.grad(((p - sharpen(q)) ** 2).mean(), p)[0]
    both_ways = torch.autograd.grad(
        ((p - sharpen(q)) ** 2).mean() + ((q - sharpen(p)) ** 2).mean(), p
    )[0]
    through_softmax = p.detach() * (both_ways - (both_ways * p.detach()).sum(1, keepdim=True))
    assert not torch.allclose(one_way, both_ways)
    assert torch.allclose(first.grad, through_softmax, atol=1e-7)


def test_the_supervised_term_is_the_sum_over_the_decoders():
    model = mc_net()
    batch = batch_of(model)
    logits = [torch.randn(2, 2, 32, 32) for _ in range(2)]
    expected = sum(model.criterion(x, batch['y']['unet']) for x in logits)
    assert torch.allclose(sup_terms(model, batch, {'unet': {'x_w': logits}})['sup_unet'], expected)


def test_sharpening_is_in_single_precision():
    p = torch.tensor([0.02, 0.3, 0.97], dtype=torch.bfloat16)
    assert sharpen(p).dtype == torch.float32
    assert sharpen(p).isfinite().all()


def test_all_views_share_one_pass(monkeypatch):
    model = mc_net()
    student, sizes = model.students['unet'], []
    original = student.extract_feat
    monkeypatch.setattr(student, 'extract_feat', lambda x: (sizes.append(len(x)), original(x))[1])
    model.loss(batch_of(model, n_l=2, n_u=3))
    assert sizes == [5]


def test_a_student_with_one_decoder_is_refused():
    model = mc_net(students=dict(unet=segmentor()))
    with pytest.raises(ValueError, match='MCNet compares the heads .* "unet" has one: give it'):
        model.loss(batch_of(model))
