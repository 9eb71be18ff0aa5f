import pytest
import torch

from tests.tiny import build, raw_batch, segmentor, set_iter, sup_terms, unsup_terms


def small_unet(head='UNetDistanceHead', distances=2, classes=3):
    head = dict(type=head, in_channels=(4, 6), num_classes=classes)
    if 'Distance' in head['type']:
        head['distances'] = distances
    return dict(
        type='EncoderDecoder',
        decode_head=head,
        backbone=dict(type='UNetEncoder', widths=(4, 6), dropout=(0, 0)),
    )


def dtc(head='UNetDistanceHead', distances=2, classes=3, **kwargs):
    set_iter(5, 10)
    return build(
        dict(
            type='DTC',
            students=dict(unet=small_unet(head, distances, classes)),
            parts=[[i] for i in range(1, classes)],
            **kwargs,
        )
    )


def batch_of(model, distances=2, **kwargs):
    raw = raw_batch(classes=3, **kwargs)
    y = raw['inputs']['y']
    raw['inputs']['x_maps'] = torch.rand(len(y), distances, *y.shape[1:]) * 2 - 1
    return model.data_preprocessor(raw, True)['inputs']


def test_terms_by_hand():
    """Two parts of three classes in one pixel, labelled and unlabelled."""
    model = dtc(distance_weight=0.5, steepness=2.0)
    p = {'x_w': torch.tensor([0.2, 0.5, 0.3]), 'u_w': torch.tensor([0.6, 0.1, 0.3])}
    s = {'x_w': torch.tensor([0.4, -0.8]), 'u_w': torch.tensor([0.1, 0.9])}
    logits = {
        view: [p[view].log().view(1, 3, 1, 1), s[view].atanh().view(1, 2, 1, 1)] for view in p
    }
    d = torch.tensor([0.1, -0.2])
    y = torch.ones(1, 1, 1, dtype=torch.long)
    batch = dict(y=dict(unet=y), x_maps=d.view(1, 2, 1, 1))
    sup = sup_terms(model, batch, {'unet': logits})
    assert sup['sup_unet'] == model.criterion(logits['x_w'][0], y)
    assert sup['sup_distance_unet'].item() == pytest.approx((0.3**2 + 0.6**2) / 2 / 2)
    inside = {view: 1 / (1 + torch.exp(2 * s[view])) for view in s}
    expected = sum(((inside[view] - p[view][1:]) ** 2).sum() for view in p) / 4
    found = unsup_terms(model, batch, {'unet': logits})['consistency_unet']
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_both_outputs_learn_from_unlabelled_images():
    model = dtc(steepness=2.0)
    model.sup_loss = lambda *args: {}
    model.loss(batch_of(model))['loss'].backward()
    head = model.students['unet'].decode_head
    assert head.conv_seg.weight.grad.any() and head.conv_distance.weight.grad.any()


def test_distances_follow_the_label_to_the_size_of_a_student():
    sizes = dict(unet=dict(image=32, label=16))
    model = dtc(data_preprocessor=dict(sizes=sizes))
    batch = batch_of(model)
    level = model.forward_views('unet', {'x_w': batch['x_w']['unet']})['x_w'][1]
    found = model.true_distances('unet', batch, level)
    assert found.shape[2:] == level.shape[2:] == (16, 16)
    n = batch['x_maps'].shape[-1] // 16
    pooled = torch.nn.functional.avg_pool2d(batch['x_maps'], n)
    assert n == 2 and torch.allclose(found, pooled, atol=1e-6)


def test_what_is_missing_is_named():
    model = dtc()
    batch = batch_of(model)
    del batch['x_maps']
    with pytest.raises(ValueError, match='add SignedDistance to labelled_pipeline'):
        model.loss(batch)
    for distances, of_labels in ((2, 1), (1, 2)):
        model = dtc(distances=distances)
        error = f'"unet" gives {distances} and the labels have {of_labels}: set distances=2 in its'
        with pytest.raises(ValueError, match=error):
            model.loss(batch_of(model, of_labels))
    model = dtc('UNetDecoderHead')
    with pytest.raises(ValueError, match='"unet" has one: give it UNetDistanceHead or VNetDist'):
        model.loss(batch_of(model))


def test_an_auxiliary_head_is_refused():
    student = segmentor(2)
    student['auxiliary_head'] = dict(student['decode_head'])
    with pytest.raises(ValueError, match='set auxiliary_head=None'):
        build(dict(type='DTC', students=dict(unet=student)))
