import pytest
import torch
from mmengine.structures import BaseDataElement

from mmssl.models.methods.bcmda.bcmda import BCMDA, MIXED, mixture
from mmssl.models.methods.bcmda.correlation import redraw, transport
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step
from mmssl.utils.setup import load_config
from tests.tiny import GN, build, raw_batch, segmentor, set_iter


@MODELS.register_module(force=True)  # doctest imports this file once more
class BCMDAWithoutDraws(BCMDA):
    """Move the labelled images by a fixed part."""

    def moving_ratio(self, step, device):
        return 0.3


def with_prototypes(*args, **kwargs):
    """Return the config of a small segmentor with the head of the method."""
    cfg = segmentor(*args, **kwargs)
    cfg['decode_head']['type'] = 'PrototypeHead'
    return cfg


def bcmda(iteration=5, classes=2, norm=GN, **kwargs):
    cfg = dict(
        type='BCMDAWithoutDraws',
        students=dict(unet=with_prototypes(classes, norm)),
        teachers=['unet'],
        parts=[[i] for i in range(1, classes)],
        threshold=dict(type='FixedThreshold', value=0.5),
    )
    cfg.update(kwargs)
    set_iter(iteration, 10)
    return build(cfg)


def batch_of(model, n_l=2, n_u=2, side=8, classes=2, domains=None):
    raw = raw_batch(n_l, n_u, classes, side)
    raw['inputs']['box'] = torch.tensor([[1, 2, 4, 3]] * n_u)
    raw['inputs']['box2'] = torch.tensor([[0, 0, 3, 8]] * n_u)
    found = model.data_preprocessor(raw, True)['inputs']
    if domains is None:
        return Batch(found)
    known = [[BaseDataElement(metainfo=dict(domain=d)) for d in kind] for kind in domains]
    return Batch(found, dict(zip(('labelled', 'unlabelled'), known, strict=True)))


def inside(left, top, width, height):
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[top : top + height, left : left + width] = True
    return mask


BOX, BOX2 = inside(1, 2, 4, 3), inside(0, 0, 3, 8)


def virtual_of(model, batch):
    images = batch['x_w']['unet'], batch['u_w']['unet']
    return model.bridge(batch, 'unet', images, model.step)


def test_what_is_redrawn_has_the_grey_values_of_the_other_where_features_agree():
    """Four places of one kind each; u has those of x in another order."""
    order = torch.tensor([1, 2, 0, 3])
    f = 40 * torch.eye(4).view(1, 4, 2, 2)
    x = torch.tensor([[10.0, 20], [30, 40]]).view(1, 1, 2, 2)
    u = torch.tensor([[50.0, 60], [70, 80]]).view(1, 1, 2, 2)
    of_x, of_u = redraw((x, u), (f, f.flatten(2)[..., order].view_as(f)), (2, 2))
    assert torch.allclose(of_u.flatten(), x.flatten()[order])
    assert torch.allclose(of_x.flatten()[order], u.flatten())


def test_weights_sum_to_one_over_the_places_that_are_named():
    similarity = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(transport(torch.eye(6), similarity).sum(1), torch.ones(6))
    assert torch.allclose(transport(torch.ones(1, 6), similarity, 'source'), torch.ones(4))
    assert not torch.allclose(transport(torch.ones(1, 6), similarity), torch.ones(4))


@pytest.mark.parametrize('centre', [0.0, 127.5])
def test_redrawn_values_stay_grey_values(centre):
    g = torch.Generator().manual_seed(0)
    images = tuple(255 * torch.rand(2, 1, 8, 8, generator=g) for _ in range(2))
    features = tuple(torch.randn(2, 3, 8, 8, generator=g) for _ in range(2))
    for image in redraw(images, features, (4, 4), centre):
        assert image.shape == (2, 1, 8, 8) and 0 <= image.min() and image.max() <= 255
    flat = [z.expand(2, 1, 8, 8) for z in torch.full((2, 1), centre)]
    assert torch.allclose(redraw(tuple(flat), features, (4, 4), centre)[0], flat[0])


def test_pairs_are_redrawn_by_themselves():
    g = torch.Generator().manual_seed(0)
    images = tuple(255 * torch.rand(2, 1, 8, 8, generator=g) for _ in range(2))
    features = tuple(torch.randn(2, 3, 8, 8, generator=g) for _ in range(2))
    both = redraw(images, features, (4, 4))
    alone = redraw(tuple(z[1:] for z in images), tuple(z[1:] for z in features), (4, 4))
    assert torch.allclose(both[0][1:], alone[0]) and torch.allclose(both[1][1:], alone[1])


def test_virtual_images_are_mixed_by_a_fixed_and_by_a_moving_part(monkeypatch):
    model = bcmda(ratio=0.25)
    batch = batch_of(model)
    x, u = batch['x_w']['unet'], batch['u_w']['unet']
    grey = torch.full_like(x, 51.0)  # 0.2 in the network's scale
    monkeypatch.setattr('mmssl.models.methods.bcmda.bcmda.redraw', lambda *args: (grey, 2 * grey))
    found = model.virtual_images('unet', (x, u), (x, u), model.step)
    assert torch.allclose(found.x, 0.75 * x + 0.25 * 0.2, atol=1e-6)
    assert torch.allclose(found.u, 0.75 * u + 0.25 * 0.4, atol=1e-6)
    assert torch.allclose(found.x_moving, 0.7 * x + 0.3 * 0.2, atol=1e-6)
    model.keep_black = True
    x[0, 0, 3] = 0
    kept = model.virtual_images('unet', (x, u), (x, u), model.step).x
    assert not kept[0, 0, 3].any() and torch.allclose(kept[0, 0, 4], found.x[0, 0, 4], atol=1e-6)


def test_without_a_part_virtual_images_are_the_originals():
    model = bcmda(type='BCMDA', ratio=0.0)
    batch = batch_of(model)
    virtual = virtual_of(model, batch)[0]
    assert torch.allclose(virtual.x, batch['x_w']['unet'], atol=1e-6)
    assert torch.allclose(virtual.u, batch['u_w']['unet'], atol=1e-6)
    assert torch.allclose(virtual.x_moving, batch['x_w']['unet'], atol=1e-6)


def test_the_moving_part_grows_to_the_fixed_one():
    model = bcmda(type='BCMDA', ratio=0.5, beta=2.0)
    torch.manual_seed(0)
    means = {}
    for t in (0, 2, 5, 9):
        drawn = torch.stack([model.moving_ratio(Step(t, 10), 'cpu') for _ in range(400)])
        assert drawn.min() >= 0 and drawn.max() <= min(0.5, t / 10)
        means[t] = drawn.mean().item()
    assert means[0] == 0 and means[2] == pytest.approx(0.1, abs=0.01)
    assert means[5] == pytest.approx(0.25, abs=0.02) == means[9]


def test_the_box_and_what_is_around_it_come_from_one_image_each():
    model = bcmda()
    batch = batch_of(model)
    virtual, label, mask = virtual_of(model, batch)
    views, (taught, _) = model.prepare(batch, model.step)
    assert set(views) == set(MIXED)
    y, one = batch['y']['unet'], torch.ones_like(mask)
    for branch, box, new, old in (
        (1, BOX, virtual.x, virtual.u),
        (2, BOX2, virtual.x_moving, batch['u_s']['unet']),
    ):
        pairs = {f'ul{branch}': (old, new, label, y, mask, one)}
        pairs[f'lu{branch}'] = (new, old, y, label, one, mask)
        for view, (around, within, *targets) in pairs.items():
            image, (truth, counts) = views[view]['unet'], taught['unet'][view]
            assert torch.equal(image[..., box], within[..., box])
            assert torch.equal(image[..., ~box], around[..., ~box])
            assert torch.equal(truth[:, box], targets[1][:, box])
            assert torch.equal(truth[:, ~box], targets[0][:, ~box])
            assert torch.equal(counts[:, box], targets[3][:, box])
            assert torch.equal(counts[:, ~box], targets[2][:, ~box])


def says(model, linear, prototypes):
    """Let the teacher's head say these probabilities of class 1 everywhere."""
    head = model.teachers['unet'].decode_head

    def logits(p, x):
        p = torch.as_tensor(p).view(-1, 1, 1).expand(len(x), *x.shape[2:])
        return torch.stack([1 - p, p], 1).log()

    head.conv_seg.forward = lambda x: logits(linear, x)
    head.prototype_scores = lambda x, weights: logits(prototypes, x)


@pytest.mark.parametrize('prototypes, p', [(0.95, 0.95), (0.85, 0.3), (0.05, 0.3)])
def test_prototypes_correct_where_they_are_sure_of_a_foreground(prototypes, p):
    model = bcmda(threshold=dict(type='FixedThreshold', value=0.9))
    says(model, 0.3, prototypes)
    found = model.teacher_says('unet', batch_of(model)['u_w']['unet'])[1]
    assert torch.allclose(found[:, 1], torch.tensor(p)), 'sure of the background is not enough'


def test_any_foreground_class_that_is_sure_corrects_all_classes():
    model = bcmda(classes=3)
    head = model.teachers['unet'].decode_head
    head.conv_seg.forward = lambda x: x.new_zeros(len(x), 3, *x.shape[2:])
    head.prototype_scores = lambda x, weights: (
        torch.tensor([0.1, 0.2, 0.7]).log().view(1, 3, 1, 1) + x.new_zeros(len(x), 3, *x.shape[2:])
    )
    p = model.teacher_says('unet', batch_of(model, classes=3)['u_w']['unet'])[1]
    assert torch.allclose(p[0, :, 0, 0], torch.tensor([0.1, 0.2, 0.7]))


def test_overlapping_parts_are_corrected_each_by_itself():
    model = bcmda(
        classes=2, parts=[[1], [1, 2]], label_space=dict(type='OverlappingParts'),
        sup_loss=dict(type='DiceBCELoss'),
    )  # fmt: skip
    head = model.teachers['unet'].decode_head
    head.conv_seg.forward = lambda x: x.new_zeros(len(x), 2, *x.shape[2:])
    p = torch.tensor([0.3, 0.9])
    head.prototype_scores = lambda x, weights: (
        torch.logit(p).view(1, 2, 1, 1) + x.new_zeros(len(x), 2, *x.shape[2:])
    )
    found = model.teacher_says('unet', batch_of(model)['u_w']['unet'])[1]
    assert torch.allclose(found[0, :, 0, 0], torch.tensor([0.5, 0.9]))


def test_the_label_is_that_of_the_real_and_of_the_virtual_image():
    model = bcmda(threshold=dict(type='FixedThreshold', value=0.6))
    batch, asked = batch_of(model), []
    u_w, features = batch['u_w']['unet'], torch.zeros(2, 4, 8, 8)

    def teacher_says(name, x):
        asked.append(x)
        p = torch.tensor(0.9 if torch.equal(x, u_w) else 0.1).expand(len(x), 8, 8)
        return features, torch.stack([1 - p, p], 1)

    model.teacher_says = teacher_says
    virtual, _, mask = virtual_of(model, batch)
    assert torch.equal(asked[0], u_w) and torch.equal(asked[2], virtual.u)
    assert not mask.any(), 'their mean is unsure'


def test_images_of_the_labelled_domain_stay_as_they_are_if_that_is_asked():
    domains = (['a', 'a'], ['a', 'b'])
    plain, switched = bcmda(), bcmda(same_domain=True)
    batch = batch_of(plain, domains=domains)
    (all_virtual, *_), (virtual, label, _) = (virtual_of(m, batch) for m in (plain, switched))
    x, u = batch['x_w']['unet'], batch['u_w']['unet']
    for one, original, everywhere in zip(virtual, (x, u, x), all_virtual, strict=True):
        assert torch.equal(one[0], original[0]) and torch.equal(one[1], everywhere[1])
        assert not torch.equal(everywhere[0], original[0])
    own = switched.label_space.decide(switched.teacher_says('unet', u)[1])[1]
    assert torch.equal(label[0], own[0])


def test_domains_of_unlabelled_images_are_not_looked_at_by_default():
    model = bcmda()
    assert not model.same_domain
    assert model.loss(batch_of(model))['loss'].isfinite(), 'the batch does not say them'
    with pytest.raises(ValueError, match='says of 0 what they are'):
        switched = bcmda(same_domain=True)
        switched.loss(batch_of(switched))


@pytest.mark.parametrize('ratio', [0.0, 0.4, 1.0])
def test_each_branch_has_a_prototype_of_its_own(ratio):
    found = mixture(ratio)
    assert sum(found[1]) == pytest.approx(1) == sum(found[2])
    assert found[1] == found[2][::-1] and found[1][0] >= found[1][1]
    assert found[1][0] == pytest.approx(2 / (3 + ratio))


def test_the_loss_is_the_half_of_four_means_over_convolution_and_prototypes():
    model = bcmda()
    batch = batch_of(model)
    terms = model.loss(batch)
    assert terms['weight'] == 1
    total = sum(terms[f'{view}_unet'] for view in MIXED)
    assert terms['loss'].item() == pytest.approx(total.item(), rel=1e-6)
    views, targets = model.prepare(batch, model.step)
    head = model.students['unet'].decode_head
    f = model.students['unet'].extract_feat(views['lu2']['unet'])[-1]
    weights = mixture(model.prototype_ramp(5, 10))[2]
    scores = [head.conv_seg(f), head.prototype_scores(f, weights)]
    losses = [model.criterion(z, *targets.taught['unet']['lu2']) for z in scores]
    assert terms['lu2_unet'].item() == pytest.approx(sum(losses).item() / 4, rel=1e-5)


def test_scores_are_cosines():
    head = bcmda().students['unet'].decode_head
    f = torch.zeros(1, head.channels, 1, 1)
    f[:, 0] = 7
    head.mu1.data.zero_()
    head.mu2.data.zero_()
    head.mu1.data[0, 0], head.mu2.data[1, 1] = 3, 5
    head.mu1.data[1, 0] = 5
    found = head.prototype_scores(f, (0.5, 0.5)).flatten() * head.temperature
    assert found.tolist() == pytest.approx([1, 0.5**0.5])


def test_convolution_and_both_prototypes_learn_and_no_teacher_does():
    model = bcmda()
    model.loss(batch_of(model))['loss'].backward()
    head = model.students['unet'].decode_head
    for parameter in (head.conv_seg.weight, head.mu1, head.mu2):
        assert parameter.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.teachers.parameters())


@pytest.mark.parametrize('n_l', [1, 3])
def test_other_numbers_of_labelled_images(n_l):
    model = bcmda()
    assert model.loss(batch_of(model, n_l=n_l))['loss'].isfinite()


def test_batch_statistics_take_a_pass_for_each_mixed_image():
    model = bcmda(norm=dict(type='BN'))
    model.loss(batch_of(model))
    counts = [
        {int(v) for k, v in networks.state_dict().items() if k.endswith('num_batches_tracked')}
        for networks in (model.students, model.teachers)
    ]
    assert counts == [{4}, {3}], 'x_w is not shown to the student; the teacher sees u, x and v_u'


@pytest.mark.parametrize('config, channels, parameters', [
    ('prostate', 1, 31_036_802), ('fundus', 3, 31_037_954), ('mnms', 1, 31_037_188),
])  # fmt: skip
def test_the_network_is_as_large_as_the_published_one(config, channels, parameters):
    cfg = load_config(f'configs/bcmda/{config}.py').model.students.unet
    cfg.backbone.in_channels = channels
    cfg.decode_head.num_classes = 4 if config == 'mnms' else 2
    with torch.device('meta'):
        student = MODELS.build(cfg)
    assert sum(p.numel() for p in student.parameters()) == parameters


def test_another_head_and_another_softmax_are_refused():
    with pytest.raises(
        ValueError, match='needs PrototypeHead, but the decode head of "unet" is FCN'
    ):
        bcmda(students=dict(unet=segmentor(norm=GN)))
    with pytest.raises(ValueError, match="'target' or 'source', found 'both'"):
        bcmda(normalise='both')
    with pytest.raises(ValueError, match=r"name \['unet'\] in `teachers`"):
        bcmda(teachers=[])
