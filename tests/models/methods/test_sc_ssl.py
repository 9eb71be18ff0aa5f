import pytest
import torch
from mmseg.structures import SegDataSample

from mmssl.models.losses.consistency import edge_distance
from mmssl.models.strategies.contrastive import class_contrast
from tests.tiny import GN, build, raw_batch, segmentor, set_iter, sup_terms, unsup_terms


def sc_ssl(**kwargs):
    cfg = dict(
        type='SCSSL', students=dict(unet=segmentor(norm=GN), unet2=segmentor(norm=GN)), norm_cfg=GN
    )
    cfg.update(kwargs)
    set_iter(9, 10)
    return build(cfg)


def batch_of(model, **kwargs):
    return model.data_preprocessor(raw_batch(**kwargs), True)['inputs']


def test_it_says_that_it_is_a_sketch():
    assert 'NOT the published method' in type(sc_ssl()).__doc__


def test_terms_and_total():
    model = sc_ssl()
    out = model.loss(batch_of(model))
    sup = ['sup_unet', 'sup_unet2', 'sup_corrector']
    unsup = [
        f'{kind}_{name}'
        for kind in ('cross', 'structure', 'contrast')
        for name in ('unet', 'unet2')
    ]
    assert set(out) == {'loss', 'weight', *sup, *unsup}
    total = sum(out[k] for k in sup) + out['weight'] * sum(out[k] for k in unsup)
    assert out['loss'].item() == pytest.approx(total.item(), rel=1e-6)


def test_the_corrector_learns_from_labels_alone_and_the_students_not_through_it():
    model = sc_ssl()
    model.sup_loss = lambda *args: {}
    model.loss(batch_of(model))['loss'].backward()
    assert all(p.grad is None for p in model.corrector.parameters())
    assert all(p.grad is not None for p in model.project.parameters())
    model = sc_ssl()
    batch = batch_of(model)
    logits = {
        name: {'x_w': student(batch['x_w'][name], mode='tensor')}
        for name, student in model.students.items()
    }
    sup_terms(model, batch, logits)['sup_corrector'].backward()
    assert all(p.grad is None for p in model.students.parameters())
    assert all(p.grad is not None for p in model.corrector.parameters())


def test_the_primary_prediction_is_the_corrected_one():
    model = sc_ssl()
    with torch.no_grad():
        model.corrector[-1].weight.zero_()
        model.corrector[-1].bias.copy_(torch.tensor([0.0, 1.0]))
    model.eval()
    images = batch_of(model)['x_w']
    assert model.outputs == ['corrected', 'unet', 'unet2']
    assert (model.predict_logits(images, 'corrected').argmax(1) == 1).all()
    for name, student in model.students.items():
        own = model.predict_logits(images, name)
        assert torch.allclose(own, student(images[name], mode='tensor'))
    samples = [SegDataSample(metainfo=dict(ori_shape=(20, 20))) for _ in images['unet']]
    for sample in model.predict(images, samples):
        assert sample.pred_sem_seg.data.all() and sample.pred_corrected.data.all()
        assert not sample.pred_unet.data.all()


def test_the_order_of_the_students_does_not_matter():
    model = sc_ssl(students=dict(unet2=segmentor(norm=GN), unet=segmentor(norm=GN)))
    assert model.order == ['unet', 'unet2']


def test_features_are_those_of_the_unlabelled_images():
    model = sc_ssl()
    batch = batch_of(model, n_l=2, n_u=3)
    logits = model.forward_views('unet', {v: batch[v]['unet'] for v in ('x_w', 'u_w')})
    again = model.students['unet'].decode_head.conv_seg(logits['u_f'])
    assert torch.allclose(again, logits['u_w'], atol=1e-6)


def test_the_structure_is_that_of_the_edges():
    model = sc_ssl(structure_weight=2.0)
    for p in model.corrector[-1].parameters():
        p.data.zero_()  # the corrected map is flat
    batch = batch_of(model)
    logits = {
        name: model.forward_views(name, {v: batch[v][name] for v in ('x_w', 'u_w')})
        for name in model.students
    }
    p = logits['unet']['u_w'].softmax(1)
    found = unsup_terms(model, batch, logits)['structure_unet']
    assert found.item() == pytest.approx(2 * edge_distance(p, 0 * p).item(), rel=1e-5)


def test_students_of_two_sizes():
    sizes = dict(unet=dict(image=32, label=32), unet2=dict(image=16, label=16))
    model = sc_ssl(data_preprocessor=dict(sizes=sizes))
    assert model.loss(batch_of(model))['loss'].isfinite()


def test_a_teacher_predicts_by_itself():
    model = sc_ssl(teachers=['unet']).eval()
    images = batch_of(model)['x_w']
    own = model.teachers['unet'](images['unet'], mode='tensor')
    assert torch.allclose(model.predict_logits(images, 'unet', teacher=True), own)


def test_edges_by_hand():
    p = torch.tensor([[[[0.0, 0.5], [1.0, 0.5]]]])
    # to the right 0.5 and -0.5, downwards 1 and 0
    assert edge_distance(p, torch.zeros_like(p)).item() == pytest.approx(0.25 + 0.5)


def test_every_class_weighs_alike_and_missing_ones_nothing():
    f = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    label = torch.tensor([0, 0, 2])
    once = class_contrast(f, label, 3, 0.5)
    again = class_contrast(f[[0, 0, 0, 2]], label[[0, 0, 0, 2]], 5, 0.5)
    expected = torch.log1p(torch.tensor(-2.0).exp())  # log(1 + exp(-1 / 0.5))
    assert once.item() == pytest.approx(expected.item(), rel=1e-5)
    assert again.item() == pytest.approx(expected.item(), rel=1e-5)


def test_other_numbers_of_students_are_refused():
    with pytest.raises(ValueError, match=r"two students, found \['unet'\]"):
        sc_ssl(students=dict(unet=segmentor(norm=GN)))
