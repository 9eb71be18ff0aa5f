import pytest
import torch

from mmssl.models.base.label_space import ExclusiveClasses
from mmssl.models.strategies.pseudo_label import agreement
from mmssl.registry import ENSEMBLES
from mmssl.utils.resize import resize_linear, resize_mask
from tests.tiny import BN, build, raw_batch, segmentor, set_iter, synfoc


def prepared(model, **kwargs):
    return model.data_preprocessor(raw_batch(**kwargs), True)['inputs']


def test_loss_is_the_sum_of_its_terms():
    set_iter(30000, 60000)
    model = build(synfoc())
    losses = model.loss(prepared(model))
    sup = losses['sup_sam'] + losses['sup_unet']
    unsup = sum(losses[k] for k in ('unsup_sam', 'unsup_unet', 'consistent', 'discrepant'))
    assert losses['loss'].item() == pytest.approx((sup + 0.286505 * unsup).item(), rel=1e-5)


def test_targets_are_the_ensemble_outside_and_the_label_inside_the_box():
    model = build(synfoc(threshold=dict(type='FixedThreshold', value=1.0)))  # none is sure enough
    batch = prepared(model)
    _, (taught, _) = model.prepare(batch, model.step)
    label, mask = taught['unet']
    assert torch.equal(label[:, 3:10, 2:11], batch['y']['unet'][:, 3:10, 2:11])
    assert (mask[:, 3:10, 2:11] == 1).all()
    lessons, _ = model.lessons(batch['u_w'], model.step)
    outside = torch.ones(24, 24, dtype=torch.bool)
    outside[3:10, 2:11] = False
    assert torch.equal(label[:, outside], lessons['unet'][0][:, outside])
    assert not mask[:, outside].any()


def test_image_in_the_box_is_the_weak_labelled_view():
    model = build(synfoc())
    batch = prepared(model)
    u_c = model.prepare(batch, model.step)[0]['u_c']['unet']
    assert torch.equal(u_c[..., 3:10, 2:11], batch['x_w']['unet'][..., 3:10, 2:11])
    assert torch.equal(u_c[..., 10:, :], batch['u_s']['unet'][..., 10:, :])


def test_passes_of_the_conventional_student_come_in_the_published_order():
    model, seen = build(synfoc()), []
    model.students['unet'].register_forward_pre_hook(
        lambda m, args: seen.append((len(args[0]), torch.is_grad_enabled()))
    )
    model.loss(prepared(model, n_l=1, n_u=2))
    assert seen == [(2, False), (1, True), (2, True)]


def test_no_graph_is_built_for_the_teachers_and_the_confidences():
    model = build(synfoc())
    batch = prepared(model)
    q_f, q_c, alphas, confidences = model.teach(batch['u_w'], model.step)
    assert not any(t.requires_grad for t in (q_f, q_c, *alphas.values(), *confidences.values()))


@pytest.mark.parametrize(
    'rule, value',
    [
        ('SelfMutualConfidence', 0.125),
        ('SelfConfidence', 0.5),
        ('MutualConfidence', 0.25),
        ('ConstantRatio', 0.5),
        ('LinearRatio', 0.75),
    ],
)
def test_rules_by_hand(rule, value):
    for ratio in ENSEMBLES.build(dict(type=rule))(torch.tensor([0.5]), torch.tensor([0.25]), 0.75):
        assert ratio.item() == value


def test_own_and_cross_teachers_give_each_student_one_teacher():
    model = build(synfoc(ensemble=dict(type='OwnTeacher')))
    batch = prepared(model)
    q_f, q_c, *_ = model.teach(batch['u_w'], model.step)
    lessons, _ = model.lessons(batch['u_w'], model.step)
    assert torch.equal(lessons['unet'][0], q_c.argmax(1))
    model.ensemble = ENSEMBLES.build(dict(type='CrossTeacher'))
    crossed, _ = model.lessons(batch['u_w'], model.step)
    up = resize_linear(q_f, (24, 24))
    assert torch.equal(crossed['unet'][0], up.argmax(1))
    assert torch.equal(lessons['sam'][0], resize_linear(up, (16, 16)).argmax(1))
    assert torch.equal(crossed['sam'][0], resize_linear(q_c, (16, 16)).argmax(1))


def test_a_rule_is_given_self_and_mutual_confidence_and_the_progress():
    model, seen = build(synfoc(smooth=0.0)), []
    for p in model.teachers['unet'].parameters():
        p.data += 0.1 * torch.randn_like(p)  # it disagrees with its student
    model.ensemble = lambda *args: (seen.extend(args), args[:2])[1]
    set_iter(30, 60)
    u_w = prepared(model)['u_w']
    q_f, q_c, *_ = model.teach(u_w, model.step)
    student = model.students['unet'](u_w['unet'], mode='tensor').softmax(1)
    self_conf, mutual_conf, progress = seen
    of_c = model.members(q_c)
    low = resize_mask(of_c.float(), (16, 16)) > 0
    assert torch.equal(self_conf, agreement(model.members(student), of_c, 0.0))
    assert torch.equal(mutual_conf, agreement(low, model.members(q_f), 0.0))
    assert (self_conf != mutual_conf).all() and (self_conf < 1).all() and progress == 0.5


def test_agreement_counts_empty_pairs_as_perfect_and_averages_overlapping_parts():
    a, b = torch.zeros(2, 4, 4).long(), torch.zeros(2, 4, 4).long()
    a[1, 0, 0] = 1
    one, two = ExclusiveClasses([[1]], 3), ExclusiveClasses([[1], [1, 2]], 3)
    assert agreement(one.members(a), one.members(b)).tolist() == pytest.approx([1, 1 / 2.001])
    b[1, 0, 0] = 2
    cup_disc = agreement(two.members(a), two.members(b))[1].item()
    assert cup_disc == pytest.approx((1 / 2.001 + 3 / 3.001) / 2)
    assert agreement(one.members(a), one.members(b), smooth=0)[1].item() == 0


def test_part_of_a_class_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match='from 1 to 1'):
        build(synfoc(parts=[[2]]))


def test_loss_runs_on_the_meta_device_so_nothing_waits_for_the_device():
    model = build(synfoc(classes=3, parts=[[1], [1, 2]])).to('meta')
    raw = raw_batch(classes=3)
    raw['inputs'] = {k: v.to('meta') for k, v in raw['inputs'].items()}
    losses = model.loss(model.data_preprocessor(raw, True)['inputs'])
    losses['loss'].backward()
    assert losses['loss'].is_meta


def test_fewer_labelled_than_unlabelled_images_work():
    model = build(synfoc())
    assert torch.isfinite(model.loss(prepared(model, n_l=1, n_u=3))['loss'])


def test_a_stock_backbone_takes_the_place_of_the_unet():
    resnet = dict(
        type='EncoderDecoder',
        backbone=dict(
            type='ResNet',
            depth=18,
            in_channels=1,
            base_channels=8,
            norm_cfg=BN,
            num_stages=1,
            strides=(1,),
            dilations=(1,),
            out_indices=(0,),
        ),
        decode_head=dict(
            type='FCNHead',
            in_channels=8,
            channels=4,
            num_convs=1,
            num_classes=2,
            concat_input=False,
            norm_cfg=BN,
        ),
    )
    model = build(synfoc(students=dict(sam=segmentor(), unet=resnet)))
    optimizer = torch.optim.SGD(model.students.parameters(), lr=0.05)
    batch, losses = prepared(model), []
    for _ in range(4):
        optimizer.zero_grad()
        out = model.loss(batch)
        out['loss'].backward()
        optimizer.step()
        losses.append(out['sup_unet'].item())
    assert batch['y']['unet'].shape[-1] == 24 and losses[-1] < losses[0]


def test_the_foundation_model_comes_first_in_the_consistency():
    model, seen = build(synfoc()), []
    model.consistency.register_forward_pre_hook(lambda module, logits: seen.extend(logits))
    model.loss(prepared(model))
    assert [z.shape[-1] for z in seen] == [16, 24]


def test_the_confidences_are_smoothed_as_released_by_default():
    assert build(synfoc()).smooth == 1


def test_without_consistency_the_terms_are_left_out():
    losses = (model := build(synfoc(consistency=None))).loss(prepared(model))
    assert 'consistent' not in losses and 'discrepant' not in losses
    losses = (model := build(synfoc(consistency=dict(type='ConsistencyLoss')))).loss(
        prepared(model)
    )
    assert 'discrepant' in losses and 'consistent' not in losses


def test_overlapping_parts_train_with_sigmoid_heads_and_predict_classes():
    parts = [[1], [1, 2]]
    model = build(
        synfoc(
            classes=2,
            parts=parts,
            label_space=dict(type='OverlappingParts'),
            sup_loss=dict(type='DiceBCELoss'),
            consistency=dict(type='CDCRLoss', activation='sigmoid'),
            threshold=dict(type='FixedThreshold', value=0.6, strict=False),
        )
    )
    batch = prepared(model, classes=3)
    losses = model.loss(batch)
    losses['loss'].backward()
    assert all(p.grad is not None for p in model.students.parameters())
    sup = model.criterion(
        model.students['sam'](batch['x_w']['sam'], mode='tensor')[..., ::2, ::2] * 0,
        model.label_space.encode(batch['y']['sam']),
    )
    assert torch.isfinite(sup) and torch.isfinite(losses['loss'])
    logits = torch.tensor([[-3.0, 3.0], [3.0, 3.0], [-3.0, -3.0]]).t().view(1, 2, 1, 3)
    assert model.label_space.class_scores(logits).argmax(1).tolist() == [[[2, 1, 0]]]
    assert model.label_space.class_map(logits.sigmoid()).tolist() == [[[2, 1, 0]]]
    prob = torch.tensor([[0.04, 0.7], [0.5, 0.49]]).view(2, 2, 1, 1)
    confidence, label = model.label_space.decide(prob)
    assert label.flatten().tolist() == [0, 1, 1, 0]
    assert confidence.flatten().tolist() == pytest.approx([0.96, 0.7, 0.5, 0.51])


def test_overlapping_parts_need_a_channel_each():
    with pytest.raises(ValueError, match='channel for each of the 2 parts'):
        build(synfoc(classes=3, parts=[[1], [1, 2]], label_space=dict(type='OverlappingParts')))


@pytest.mark.parametrize('consistency', [dict(type='CDCRLoss'), dict(type='ConsistencyLoss')])
def test_a_consistency_over_classes_is_refused_where_parts_overlap(consistency):
    options = dict(parts=[[1], [1, 2]], sup_loss=dict(type='DiceBCELoss'), consistency=consistency)
    with pytest.raises(ValueError, match="OverlappingParts: take .* activation='sigmoid'"):
        build(synfoc(label_space=dict(type='OverlappingParts'), **options))
