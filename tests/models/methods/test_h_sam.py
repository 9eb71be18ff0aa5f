import pytest
import torch
from mmengine.registry import init_default_scope

from mmssl.registry import MODELS
from mmssl.structures import Step
from tests.sam_parts import ARCH
from tests.tiny import build, raw_batch, segmentor, set_iter


def h_sam(classes=2, head=None, **kwargs):
    options = dict(
        type='HSAMHead',
        arch=ARCH,
        img_size=32,
        num_classes=classes,
        checkpoint=None,
        image_noise=0.0,
        map_noise=False,
        dropout=0.0,
    )
    student = dict(
        type='EncoderDecoder',
        decode_head={**options, **(head or {})},
        backbone=dict(type='LoRAMedSAM', arch=ARCH, img_size=32, random_trunk_seed=0),
    )
    cfg = dict(type='HSAM', students=dict(sam=student), parts=[[i] for i in range(1, classes)])
    set_iter(0, 3000)
    model = build({**cfg, **kwargs})
    model.init_weights()
    return model.train()


def batch_of(model, classes=2, **kwargs):
    return model.data_preprocessor(raw_batch(classes=classes, **kwargs), True)['inputs']


def test_terms_by_hand():
    """The label is brought down to the first decoder's size; the weights are (1 - w) and w."""
    model = h_sam(3)
    batch = batch_of(model, 3)
    out = model.loss(batch)
    x, y = batch['x_w']['sam'], batch['y']['sam']
    student = model.students['sam']
    coarse, fine = student.decode_head.forward_stages(student.extract_feat(x))
    low = y[:, [0, 4, 9, 13, 18, 22, 27, 31]][:, :, [0, 4, 9, 13, 18, 22, 27, 31]]
    loss = MODELS.build(dict(type='DiceCELoss', ce_weight=0.1, dice_weight=0.9, eps=1e-5))
    assert out['sup_sam_coarse'].item() == pytest.approx(0.4 * loss(coarse, low).item(), rel=1e-5)
    assert out['sup_sam_fine'].item() == pytest.approx(0.6 * loss(fine, y).item(), rel=1e-5)
    assert out['loss'].item() == pytest.approx(
        out['sup_sam_coarse'].item() + out['sup_sam_fine'].item(), rel=1e-6
    )


@pytest.mark.parametrize('iteration, epoch', [(0, 0), (9, 0), (10, 1), (1999, 199), (2999, 299)])
def test_weight_of_the_second_decoder(iteration, epoch):
    model = h_sam()
    weight = model.fine_weight(Step(iteration, 3000))
    assert weight == pytest.approx(0.6 ** (0.99**epoch))
    set_iter(iteration, 3000)
    assert model.loss(batch_of(model))['fine_weight'].item() == pytest.approx(weight)


def test_epochs_are_a_part_of_the_training():
    model = h_sam(epochs=4, start=0.5, decay=0.5)
    assert model.fine_weight(Step(74, 100)) == pytest.approx(0.5**0.25)
    assert model.fine_weight(Step(75, 100)) == pytest.approx(0.5**0.125)


def test_unlabelled_images_are_not_looked_at():
    model = h_sam(head=dict(image_noise=0.2, map_noise=True))
    with_u = raw_batch()
    without = raw_batch()
    for view in ('u_w', 'u_s', 'u_s2', 'box'):
        without['inputs'].pop(view)
    losses = []
    for raw in (with_u, without):
        torch.manual_seed(0)
        losses.append(model.loss(model.data_preprocessor(raw, True)['inputs'])['loss'])
    assert torch.equal(*losses)


def test_the_label_reaches_the_noise_only_where_asked(monkeypatch):
    for classes, matters in (('prediction', False), ('label', True)):
        noise = dict(classes=classes, stds=(0.5, 0.0), dropout=0.0)
        model = h_sam(head=dict(map_noise=noise))
        batch, fine = batch_of(model), []
        for flip in (False, True):
            y = torch.zeros(2, 32, 32, dtype=torch.long)
            y[:, :, 16:] = 1
            y[:, :20, 16:] = 0  # class 1 is the rarer one
            y = y.flip(-1) if flip else y
            torch.manual_seed(0)
            given = {**batch, 'y': {'sam': y}}
            logits = model.forward_students(given, {'x_w': batch['x_w']}, model.step)
            fine.append(logits['sam']['fine'])
        assert torch.allclose(*fine) != matters


def test_prediction_needs_no_label_and_follows_the_stage():
    model = h_sam().eval()
    images = {'sam': torch.rand(2, 1, 32, 32)}
    mean = model.predict_logits(images, 'sam')
    student = model.students['sam']
    coarse, fine = student.decode_head.forward_stages(student.extract_feat(images['sam']))
    up = torch.nn.functional.interpolate(coarse, (32, 32), mode='bilinear', align_corners=False)
    assert torch.allclose(mean, (up + fine) / 2, atol=1e-6)
    student.decode_head.stage = 2
    assert torch.allclose(model.predict_logits(images, 'sam'), fine, atol=1e-6)


def test_its_student_serves_other_methods_without_labels():
    """A head whose noise asks for labels goes by its prediction where there are none."""
    init_default_scope('mmssl')
    cfg = h_sam(head=dict(map_noise=dict(classes='label')))
    student = cfg.students['sam']
    logits = student(torch.rand(2, 1, 32, 32), mode='tensor')
    assert logits.shape == (2, 2, 32, 32) and student.training
    logits.square().mean().backward()
    assert all(p.grad is not None for p in student.parameters() if p.requires_grad)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match='decode head of "unet" is FCNHead'):
        build(dict(type='HSAM', students=dict(unet=segmentor())))
    with pytest.raises(ValueError, match='use ExclusiveClasses as label_space, not Overlapping'):
        h_sam(2, parts=[[1], [1, 2]], label_space=dict(type='OverlappingParts'))
