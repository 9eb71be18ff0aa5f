import copy

import pytest
import torch
from mmseg.structures import SegDataSample

from mmssl.models.base.semi_segmentor import has_batch_statistics
from mmssl.structures import Batch
from mmssl.utils.resize import resize_nearest
from tests.tiny import BN, GN, build, raw_batch, segmentor, set_iter, synfoc


def supervised(norm=BN, **kwargs):
    return build(dict(type='SupOnly', students=dict(unet=segmentor(norm=norm)), **kwargs))


def test_supervised_loss_is_the_criterion_on_the_labelled_images():
    model = supervised(GN)
    batch = model.data_preprocessor(raw_batch(), True)['inputs']
    losses = model.loss(batch)
    logits = model.students['unet'](batch['x_w']['unet'], mode='tensor')
    expected = model.criterion(logits, batch['y']['unet'])
    assert losses['loss'].item() == pytest.approx(expected.item())
    assert losses['sup_unet'].item() == losses['loss'].item()


def test_only_the_total_is_summed_by_mmengine():
    model = build(dict(type='FixMatch', students=dict(unet=segmentor()), teachers=['unet']))
    losses = model.loss(model.data_preprocessor(raw_batch(), True)['inputs'])
    total, log = model.parse_losses(losses)
    assert total.item() == losses['loss'].item()
    assert {'sup_unet', 'unsup_unet', 'weight'} <= set(log)


def test_weight_follows_the_ramp():
    model = build(dict(type='FixMatch', students=dict(unet=segmentor()), teachers=['unet']))
    batch = model.data_preprocessor(raw_batch(), True)['inputs']
    for iteration, weight in ((0, 0.006738), (15000, 0.060055), (59999, 0.999875)):
        set_iter(iteration, 60000)
        losses = model.loss(batch)
        assert losses['weight'].item() == pytest.approx(weight, abs=1e-6)
        total = losses['sup_unet'] + losses['weight'] * losses['unsup_unet']
        assert losses['loss'].item() == pytest.approx(total.item(), rel=1e-5)


def test_views_come_at_each_students_size_on_the_corner_aligned_grid():
    model = supervised(
        data_preprocessor=dict(sizes=dict(unet=dict(image=20, label=10)), mean=127.5, std=127.5)
    )
    raw = raw_batch()
    batch = model.data_preprocessor(copy.deepcopy(raw), True)['inputs']
    expected = resize_nearest(raw['inputs']['x_w'], (20, 20)).float() / 127.5 - 1
    assert torch.allclose(batch['x_w']['unet'], expected, atol=1e-6)
    assert torch.equal(batch['y']['unet'], resize_nearest(raw['inputs']['y'], (10, 10)).long())


def test_views_of_a_network_without_batch_statistics_go_through_one_call():
    calls = []
    model = build(dict(type='FixMatch', teachers=['unet'], students=dict(unet=segmentor(norm=GN))))
    model.students['unet'].register_forward_pre_hook(lambda m, args: calls.append(len(args[0])))
    model.loss(model.data_preprocessor(raw_batch(), True)['inputs'])
    assert calls == [4]
    assert not has_batch_statistics(model.students['unet'])


def test_views_of_a_network_with_batch_statistics_go_one_by_one():
    calls = []
    model = build(dict(type='FixMatch', teachers=['unet'], students=dict(unet=segmentor(norm=BN))))
    model.students['unet'].register_forward_pre_hook(lambda m, args: calls.append(len(args[0])))
    model.loss(model.data_preprocessor(raw_batch(), True)['inputs'])
    assert calls == [2, 2]


def test_teachers_start_as_their_students_and_get_no_gradient():
    model = build(dict(type='FixMatch', students=dict(unet=segmentor()), teachers=['unet']))
    model.init_weights()
    for a, b in zip(model.students.parameters(), model.teachers.parameters(), strict=True):
        assert torch.equal(a, b) and a is not b
    model.loss(model.data_preprocessor(raw_batch(), True)['inputs'])['loss'].backward()
    assert all(p.grad is None and not p.requires_grad for p in model.teachers.parameters())
    assert all(p.grad is not None for p in model.students.parameters())


@pytest.mark.parametrize('loader', ['torch', 'mmengine'])
def test_weights_of_students_alone_serve_the_teachers_too(loader):
    from mmengine.runner.checkpoint import load_state_dict

    cfg = dict(type='FixMatch', students=dict(unet=segmentor()), teachers=['unet'])
    source, model = build(cfg, seed=1), build(cfg, seed=2)
    weights = {k: v for k, v in source.state_dict().items() if k.startswith('students.')}
    if loader == 'torch':
        model.load_state_dict(weights)
    else:
        load_state_dict(model, weights, strict=True)
    for a, b in zip(source.students.parameters(), model.teachers.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not any(k.startswith('teachers.') for k in weights)


def test_prediction_has_the_size_of_the_label_for_every_student():
    from mmengine.structures import PixelData

    model = build(
        dict(type='SupOnly', primary='b', students=dict(a=segmentor(), b=segmentor(norm=GN)))
    ).eval()
    sample = SegDataSample(metainfo=dict(ori_shape=(50, 40)))
    sample.gt_sem_seg = PixelData(data=torch.zeros(1, 21, 17, dtype=torch.uint8))
    other = SegDataSample(metainfo=dict(ori_shape=(50, 40)))
    data = dict(
        inputs=[torch.zeros(1, 16, 16, dtype=torch.uint8)] * 2, data_samples=[sample, other]
    )
    first, second = model.test_step(data)
    assert first.pred_a.data.shape == first.pred_b.data.shape == (1, 21, 17)
    assert second.pred_sem_seg.data.shape == (1, 50, 40)
    assert first.students == ['b', 'a']
    assert torch.equal(first.pred_sem_seg.data, first.pred_b.data)


def test_prediction_is_brought_to_the_label_on_the_corner_aligned_grid():
    from mmseg.structures import SegDataSample

    model = build(dict(type='SupOnly', students=dict(net=segmentor(5))))
    diagonal = torch.eye(5).view(1, 5, 5, 1).expand(1, 5, 5, 5)  # row i is of class i
    model.predict_logits = lambda inputs, name: diagonal
    sample = SegDataSample(metainfo=dict(ori_shape=(3, 3)))
    model.predict({}, [sample])
    assert sample.pred_sem_seg.data[0, :, 0].tolist() == [0, 2, 4]


def test_pseudo_labels_are_the_class_maps_of_the_teachers():
    model = build(
        dict(type='SemiSegmentor', students=dict(net=segmentor(norm=GN)), teachers=['net'])
    )
    for p in model.teachers.parameters():
        p.data.neg_()
    x = torch.rand(2, 1, 16, 16)
    teacher, student = (
        nets['net'](x, mode='tensor').argmax(1) for nets in (model.teachers, model.students)
    )
    found = model.pseudo_labels({'net': x})
    assert torch.equal(found['net'], teacher) and not torch.equal(teacher, student)


@pytest.mark.parametrize(
    'kwargs, word',
    [
        (dict(teachers=['net']), 'teachers'),
        (dict(primary='net'), 'primary'),
        (dict(data_preprocessor=dict(sizes=dict(net=dict(image=8)))), 'sizes'),
    ],
)
def test_unknown_student_names_are_refused(kwargs, word):
    with pytest.raises(ValueError, match=word):
        supervised(**kwargs)


def test_none_drops_an_inherited_student():
    model = build(dict(type='SupOnly', students=dict(a=segmentor(), b=None)))
    assert list(model.students) == ['a']
    assert model.data_preprocessor.students == ('a',)


@pytest.mark.filterwarnings('error')
def test_students_are_built_without_advice_on_losses_that_are_not_used():
    one_channel = segmentor()
    one_channel['decode_head']['out_channels'] = 1
    supervised()
    build(
        dict(
            type='SupOnly',
            students=dict(unet=one_channel),
            sup_loss=dict(type='DiceBCELoss'),
            label_space=dict(type='OverlappingParts'),
        )
    )


def small_logits(side_head=False):
    """Return a segmentor whose logits have half of the image's side."""
    cfg = segmentor()
    half = dict(cfg['decode_head'], in_channels=8, channels=8, in_index=0)
    return dict(cfg, auxiliary_head=half) if side_head else dict(cfg, decode_head=half)


@pytest.mark.parametrize(
    'method, options',
    [
        ('SupOnly', {}),
        ('MeanTeacher', dict(teachers=['unet'])),
        ('FixMatch', dict(teachers=['unet'], mixer=dict(type='CutMix'))),
        ('UniMatch', {}),
        ('SSNet', {}),
    ],
)
def test_logits_are_brought_to_the_size_of_the_images_unless_a_label_size_is_named(method, options):
    raw = raw_batch()
    raw['inputs']['box2'] = raw['inputs']['box']
    terms = []
    for sizes in ({}, dict(unet=dict(label=32))):
        model = build(
            dict(
                type=method,
                students=dict(unet=small_logits()),
                data_preprocessor=dict(sizes=sizes),
                **options,
            )
        )
        torch.manual_seed(0)
        terms.append(model.loss(model.data_preprocessor(raw, True)['inputs'])['loss'])
    assert torch.equal(*terms)


def test_a_label_of_another_size_than_the_logits_is_named():
    model = supervised(data_preprocessor=dict(sizes=dict(unet=dict(image=16))))
    with pytest.raises(ValueError, match=r'do not fit a label \(2, 32, 32\).*sizes'):
        model.loss(model.data_preprocessor(raw_batch(), True)['inputs'])


NAMES = ('background', 'cup', 'rim')
DISC = dict(cup=[1], disc=[1, 2])


def several(parts=None, channels=3, **kwargs):
    students = dict(unet=segmentor(channels))
    return build(dict(type='SupOnly', students=students, parts=parts, **kwargs))


def test_masks_with_a_class_that_the_networks_lack_are_refused():
    model = supervised()
    model.check_data({})
    model.check_data(dict(classes=NAMES, num_classes=2))  # the label map makes both one
    with pytest.raises(ValueError, match='3 classes .*rim.*, but the networks know 2: set'):
        model.check_data(dict(classes=NAMES, num_classes=3))


def test_networks_with_a_class_that_the_data_lack_are_refused():
    several().check_data(dict(classes=NAMES, num_classes=2))  # named, though no value means it
    with pytest.raises(ValueError, match='know 3 classes, but the data set has 2 .*background'):
        several().check_data(dict(classes=NAMES[:2], num_classes=2))
    overlapping = dict(label_space=dict(type='OverlappingParts'), sup_loss=dict(type='DiceBCELoss'))
    model = several([[1], [1, 2]], 2, **overlapping)
    with pytest.raises(ValueError, match='know 3 classes, but the data set has 2'):
        model.check_data(dict(classes=NAMES[:2], num_classes=2))


def test_parts_that_are_not_given_are_those_of_the_data():
    model = several()
    assert model.label_space.table.int().tolist() == [[0, 1, 0], [0, 0, 1]]  # each class
    model.check_data(dict(classes=NAMES, num_classes=3, parts=DISC))
    assert model.label_space.table.int().tolist() == [[0, 1, 0], [0, 1, 1]]
    with pytest.raises(ValueError, match=r'parts=\[\[1\], \[1, 2\]\], but .*scores \[\[1\]\] .cup'):
        model.check_data(dict(classes=NAMES, num_classes=3, parts=dict(cup=[1])))  # then of val


@pytest.mark.parametrize('parts', [[[1]], [[1], [2]], [[1], [1, 2], [2]], [[2, 1]]])
def test_parts_that_differ_from_those_of_the_data_are_refused(parts):
    metainfo = dict(classes=NAMES, num_classes=3, parts=DISC)
    several([[2, 1], [1]]).check_data(metainfo)  # the order says nothing
    with pytest.raises(ValueError, match='scores .*cup, disc.: set parts=None in the model'):
        several(parts).check_data(metainfo)


def test_parts_of_nothing_are_refused():
    with pytest.raises(ValueError, match=r'parts=\[\] has no part: set parts=None'):
        several([])
    with pytest.raises(ValueError, match='OverlappingParts with 2 channels needs `parts`'):
        several(None, 2, label_space=dict(type='OverlappingParts'))


def test_students_with_other_channels_are_refused():
    with pytest.raises(ValueError, match="channels, {'a': 2, 'b': 3}: set num_classes"):
        build(dict(type='SupOnly', students=dict(a=segmentor(), b=segmentor(3))))


def test_an_auxiliary_head_that_would_not_learn_is_refused():
    with pytest.raises(ValueError, match=r"\['unet'\] have an auxiliary_head: set"):
        build(dict(type='SupOnly', students=dict(unet=small_logits(side_head=True))))


def test_one_channel_for_two_classes_is_a_part_and_not_two_classes():
    student = segmentor()
    student['decode_head']['out_channels'] = 1
    with pytest.raises(ValueError, match='the networks have 1: set num_classes=2'):
        build(dict(type='SupOnly', students=dict(unet=student)))
    model = build(
        dict(
            type='SupOnly',
            students=dict(unet=student),
            sup_loss=dict(type='DiceBCELoss'),
            label_space=dict(type='OverlappingParts'),
        )
    )
    assert model.loss(model.data_preprocessor(raw_batch(), True)['inputs'])['loss'] > 0
    assert model.predict_logits({'unet': torch.rand(1, 1, 8, 8)}, 'unet').shape == (1, 2, 8, 8)


@pytest.mark.parametrize('view', ['u_s', 'box', 'u_w'])
def test_views_of_unlabelled_images_are_missed_together(view):
    batch = Batch(dict(x_w=1, y=1))
    with pytest.raises(ValueError, match=f'"{view}": add unlabelled images .*num_unlabelled'):
        batch[view]


def test_labelled_images_are_missed():
    model = supervised()
    raw = raw_batch()
    del raw['inputs']['x_w'], raw['inputs']['y']
    with pytest.raises(ValueError, match='"x_w": add labelled images .*num_labelled'):
        model.loss(model.data_preprocessor(raw, True)['inputs'])


PAIR = dict(unet=segmentor(), other=segmentor())


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='FixMatch', teachers=['unet'], mixer=dict(type='CutMix')),
        dict(type='SymGD', teachers=['unet']),
        dict(type='CPS', students=PAIR, cutmix=True),
        dict(type='UniMatch', feature_dropout=None),
        synfoc(),
    ],
    ids=lambda cfg: cfg['type'],
)
def test_boxes_are_drawn_in_a_square_of_any_side(cfg):
    """A box of a square of twice the side, in twice the pixels, is the same box."""
    cfg, raw, losses = dict(dict(students=dict(unet=segmentor())), **cfg), raw_batch(), []
    side = raw['inputs']['x_w'].shape[-1] if cfg['type'] != 'SynFoC' else 24
    model = build(cfg)
    for factor in (1, 2):
        box = factor * torch.tensor([[4, 6, 9, 7, side]] * 2)
        raw['inputs']['box2'] = raw['inputs']['box'] = box
        torch.manual_seed(0)
        losses.append(model.loss(model.data_preprocessor(raw, True)['inputs'])['loss'])
    assert torch.equal(*losses)
