import pytest
import torch
from mmseg.structures import SegDataSample
from torch import nn

from mmssl.registry import MODELS
from tests.tiny import GN, build, raw_batch, segmentor, set_iter


class Forgets:
    """In the place of a list of calls."""

    def append(self, call):
        pass


@MODELS.register_module(force=True)
class StandInNeck(nn.Module):
    """Features (N, 3, H, W) without a diffusion model: three learned multiples of the image."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.0, 2.0, -1.0]).view(1, 3, 1, 1))
        self.calls = []

    def init_weights(self):
        self.calls.append('compared')

    def forward(self, images):
        self.calls.append('online')
        return self.scale * images

    def from_maps(self, maps, grid):
        self.calls.append('cached')
        n, side = len(grid), grid.shape[-1]
        taken = torch.gather(maps.float(), 1, grid.flatten(1).clamp_min(0).long())
        return self.scale * taken.view(n, 1, side, side)


def mcsd(neck=True, classes=2, **kwargs):
    students = dict(unet=segmentor(classes, GN))
    if neck:
        students['feature_unet'] = segmentor(classes, GN, channels=3)
    cfg = dict(
        type='MCSD',
        students=students,
        parts=[[i] for i in range(1, classes)],
        neck=dict(type='StandInNeck') if neck else None,
        threshold=dict(type='FixedThreshold', value=0.5, strict=False),
    )
    cfg.update(kwargs)
    set_iter(0, 10)
    return build(cfg)


def batch_of(model, classes=2, side=32):
    raw = raw_batch(2, 4, classes, side)
    raw['inputs']['box2'] = torch.tensor([[10, 1, 5, 6]] * 4)
    return model.data_preprocessor(raw, True)['inputs']


def test_terms_of_both_levels():
    model = mcsd()
    out = model.loss(batch_of(model))
    terms = ['sup_unet', 'image_unet_u_s', 'image_unet_u_s2', 'feature']
    assert set(out) == {'loss', 'mask', 'weight', *terms}
    assert all(out[term] > 0 for term in terms)
    assert out['loss'].item() == pytest.approx(sum(out[t].item() for t in terms), rel=1e-6)


@pytest.mark.parametrize(
    'options, terms',
    [
        (dict(image_level=False), {'sup_unet', 'feature'}),
        (dict(neck=False), {'sup_unet', 'image_unet_u_s', 'image_unet_u_s2'}),
        (
            dict(feature_dropout=0.5),
            {'sup_unet', 'image_unet_u_s', 'image_unet_u_s2', 'feature', 'feature_unet'},
        ),
        (
            dict(label_features=True),
            {'sup_unet', 'sup_feature_unet', 'image_unet_u_s', 'image_unet_u_s2', 'feature'},
        ),
    ],
    ids=['DFM', 'DIC', 'dropped channels', 'labels on B'],
)
def test_ablations_leave_terms_out(options, terms):
    model = mcsd(**options)
    assert set(model.loss(batch_of(model))) - {'loss', 'mask', 'weight'} == terms


def test_dfm_alone_needs_no_strong_view():
    model = mcsd(image_level=False)
    batch = batch_of(model)
    for key in ('u_s', 'u_s2', 'box', 'box2'):
        del batch[key]
    assert model.loss(batch)['feature'] > 0


def test_the_feature_term_trains_b_and_the_projection_but_not_a():
    model = mcsd(weights=dict(sup=0.0, image=0.0))
    model.loss(batch_of(model))['loss'].backward()
    gradient = {
        name: sum(p.grad.abs().sum().item() for p in part.parameters() if p.grad is not None)
        for name, part in [*model.students.items(), ('neck', model.neck)]
    }
    assert gradient['feature_unet'] > 0 and gradient['neck'] > 0
    assert gradient['unet'] == 0


@pytest.mark.parametrize('others', [(), ('unet2',)], ids=['A alone', 'A and another'])
def test_the_feature_term_compares_b_with_the_weak_label_of_a(others):
    images = {name: segmentor(2, GN) for name in ('unet', *others)}
    model = mcsd(students=dict(images, feature_unet=segmentor(2, GN, channels=3)))
    batch = batch_of(model)
    out = model.loss(batch)
    u_w = batch['u_w']['unet'][0::2]
    prob = model.students['unet'](u_w, mode='tensor').softmax(1)
    confidence, label = prob.max(1)
    b = model.students['feature_unet'](model.neck(u_w), mode='tensor')
    expected = model.unsup_criterion(b, label, (confidence >= 0.5).float())
    assert out['feature'].item() == pytest.approx(0.25 * expected.item(), rel=1e-5)


def test_cached_features_give_what_online_ones_do():
    model = mcsd(label_features=True)
    batch = batch_of(model)
    online = model.loss(batch)
    assert model.neck.calls == ['online', 'online']
    for kind in 'xu':
        images = batch[f'{kind}_w']['unet'].flatten(1)
        moves = range(len(images))  # every map lies elsewhere, and its grid says where
        batch[f'{kind}_maps'] = torch.stack([images[i].roll(i) for i in moves])
        batch[f'{kind}_grid'] = torch.stack(
            [torch.arange(32 * 32).roll(-i).view(32, 32) for i in moves]
        )
    cached = model.loss(batch)
    assert model.neck.calls[2:] == ['cached', 'cached']
    assert {k: v.item() for k, v in cached.items()} == pytest.approx(
        {k: v.item() for k, v in online.items()}, rel=1e-6
    )


def test_prediction_comes_from_a_alone_by_default():
    model = mcsd().eval()
    images = {'unet': torch.rand(1, 1, 32, 32), 'feature_unet': torch.rand(1, 1, 32, 32)}
    scores = model.predict_logits(images, 'unet')
    assert torch.equal(scores, model.students['unet'](images['unet'], mode='tensor'))
    assert model.neck.calls == []
    assert model.image_students == ['unet']


def test_mean_of_both_networks_by_hand():
    model = mcsd(inference='mean').eval()
    images = {'unet': torch.rand(1, 1, 32, 32)}
    a = model.students['unet'](images['unet'], mode='tensor').softmax(1)
    b = model.students['feature_unet'](model.neck(images['unet']), mode='tensor').softmax(1)
    mean = model.predict_logits(images, 'mean')
    assert torch.allclose(mean.exp(), (a + b) / 2, atol=1e-6)
    of_b = model.predict_logits(images, 'feature_unet')
    assert torch.allclose(of_b.softmax(1), b, atol=1e-6)
    for inference, expected in (('mean', mean), ('b', of_b)):
        model.inference = inference
        sample = model.predict(images, [SegDataSample(metainfo=dict(ori_shape=(32, 32)))])[0]
        assert torch.equal(sample.pred_sem_seg.data.long(), expected.argmax(1))
        found = model.predict_logits(images, 'unet').softmax(1)
        assert torch.allclose(found, a, atol=1e-6), 'A stays what it is'


def test_what_b_learns_does_not_reach_a():
    """A's gradient is the same with and without DFM."""
    gradients = []
    for neck in (True, False):
        model = mcsd(neck=neck)
        model.students['unet'].load_state_dict(mcsd().students['unet'].state_dict())
        model.loss(batch_of(model))['loss'].backward()
        gradients.append([p.grad.clone() for p in model.students['unet'].parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_cache_and_model_are_compared_before_training():
    model = mcsd()
    model.init_weights()
    assert model.neck.calls == ['compared']


def test_the_order_of_the_students_does_not_matter():
    model = mcsd(students=dict(feature_unet=segmentor(2, GN, channels=3), unet=segmentor(2, GN)))
    assert model.primary == 'unet'
    assert model.loss(batch_of(model))['feature'] > 0


def test_neck_and_network_b_come_together():
    with pytest.raises(ValueError, match='need both `neck` and a student "feature_unet"'):
        mcsd(students=dict(unet=segmentor(2, GN)))
    with pytest.raises(ValueError, match=r"inference='both': choose 'a'"):
        mcsd(inference='both')
    with pytest.raises(ValueError, match="inference='mean': choose 'a', or with a neck"):
        mcsd(neck=False, inference='mean')


def test_published_networks_have_the_published_size():
    def net(channels):
        return dict(
            type='EncoderDecoder',
            backbone=dict(type='UNetEncoder', in_channels=channels),
            decode_head=dict(type='UNetDecoderHead', num_classes=4),
        )

    model = build(
        dict(
            type='MCSD',
            students=dict(unet=net(1), feature_unet=net(30)),
            parts=[[1], [2], [3]],
            neck=dict(type='StandInNeck'),
        )
    )
    assert sum(p.numel() for p in model.students.parameters()) == 3_631_704
