"""What `SemiSegmentor` gives to a method and expects of it: the seams that plug-ins use."""

import pytest
import torch
from mmseg.structures import SegDataSample

from mmssl.models import SemiSegmentor
from mmssl.models.base.terms import split_curves
from mmssl.models.methods import BCP, DDPM, SynFoC, ZeroShotSAM
from mmssl.registry import MODELS
from mmssl.structures import Batch, Ensembling, Labelling, Pretrained, Step, Trainable
from mmssl.utils.errors import UnknownOption
from tests.tiny import BN, build, raw_batch, segmentor, set_iter

PAIR = dict(a=segmentor(), b=segmentor())


@pytest.fixture
def method():
    """Return a function that builds a method of a class body and forgets it afterwards."""
    made = []

    def build_method(students=None, **body):
        cls = type(f'Method{len(made)}OfTest', (SemiSegmentor,), body)
        MODELS.register_module(module=cls)
        made.append(cls.__name__)
        set_iter(30, 100)
        return build(dict(type=cls.__name__, students=students or dict(a=segmentor())))

    yield build_method
    for name in made:
        MODELS._module_dict.pop(name)


def losses(model, **kwargs):
    raw = raw_batch(**kwargs)
    return model.loss(model.data_preprocessor(raw, True)['inputs'], raw['data_samples'])


def test_what_prepare_returns_reaches_both_losses(method):
    seen = []

    def note(self, batch, logits, targets, step):
        seen.append((sorted(logits['a']), targets, step))
        return {f'term{len(seen)}': logits['a']['x_w'].sum()}

    model = method(
        prepare=lambda self, batch, step: ({'mine': batch['u_s']}, 'lesson'),
        sup_loss=note,
        unsup_loss=note,
    )
    losses(model)
    assert seen == [(['mine', 'x_w'], 'lesson', Step(30, 100))] * 2
    assert seen[0][2].progress == 0.3


def test_a_student_may_be_left_out_and_x_w_replaced(method):
    def prepare(self, batch, step):
        return {'x_w': {'a': 0 * batch['x_w']['a']}, 'u_w': {'b': batch['u_w']['b']}}, None

    model, seen = method(PAIR, prepare=prepare), {}
    model.unsup_loss = lambda batch, logits, *_: seen.update(logits) or {}
    out = losses(model)
    assert {name: sorted(z) for name, z in seen.items()} == {'a': ['x_w'], 'b': ['u_w']}
    assert {key for key in out if key.startswith('sup')} == {'sup_a'}


def test_curves_are_logged_and_are_no_part_of_the_loss(method):
    def unsup_loss(self, batch, logits, targets, step):
        return {'term': logits['a']['x_w'].mean()}, {'share': torch.tensor(0.25)}

    out = losses(method(unsup_loss=unsup_loss))
    assert out['share'] == 0.25
    total = out['sup_a'] + out['weight'] * out['term']
    assert out['loss'].item() == pytest.approx(total.item())


@pytest.mark.parametrize(
    'returned, message',
    [
        (lambda z: {'t': z.detach().mean()}, '"t" of unsup_loss of .* has no gradient'),
        (lambda z: {'t': z.argmax(1).float().mean()}, 'has no gradient'),
        (lambda z: {'t': z}, r'"t" .* must be a tensor of one value, found a tensor of shape'),
        (lambda z: {'t': 0.5}, 'must be a tensor of one value, found float 0.5'),
        (lambda z: {'loss': z.mean()}, '"loss", the name of an entry of the total and the ramp'),
        (lambda z: {'sup_a': z.mean()}, '"sup_a", the name of an entry of sup_loss'),
        (lambda z: ({'t': z.mean()}, {'t': z.mean()}), '"t", the name of an entry of unsup_loss'),
        (lambda z: None, 'a dict of terms by name, or a tuple .*; here it is NoneType'),
        (lambda z: [z.mean()], 'a dict of terms by name, or a tuple'),
        (lambda z: ({'t': z.mean()}, z), 'a dict of terms by name, or a tuple'),
    ],
)
def test_what_a_method_returns_is_checked_in_words(method, returned, message):
    model = method(unsup_loss=lambda self, batch, logits, *_: returned(logits['a']['x_w']))
    with pytest.raises(ValueError, match=message):
        losses(model)


def test_an_evaluation_without_gradients_is_no_fault(method):
    model = method(unsup_loss=lambda self, batch, logits, *_: {'t': logits['a']['x_w'].mean()})
    with torch.no_grad():
        assert losses(model)['loss'].isfinite()


def test_a_student_may_see_the_batch_and_what_another_one_says(method):
    def forward_students(self, batch, views, step):
        a = self.forward_views('a', {'u_w': views['u_w']['a']})
        hint = a['u_w'].detach().mean() + batch['u_s']['b']
        return {'a': a, 'b': self.forward_views('b', {'hinted': hint})}

    model = method(
        PAIR,
        prepare=lambda self, batch, step: ({'u_w': batch['u_w']}, None),
        forward_students=forward_students,
        unsup_loss=lambda self, b, z, *_: {'t': z['b']['hinted'].mean() + z['a']['u_w'].mean()},
    )
    assert losses(model)['t'].isfinite()


def test_a_method_knows_where_its_images_come_from(method):
    seen = []

    def prepare(self, batch, step):
        seen.append((batch.about('domain'), batch.about('case', labelled=True)))
        return {}, None

    raw = raw_batch()
    raw['data_samples'] = dict(
        labelled=[SegDataSample(metainfo=dict(domain='A', case=str(i))) for i in range(2)],
        unlabelled=[SegDataSample(metainfo=dict(domain=d, case='9')) for d in 'BC'],
    )
    model = method(prepare=prepare)
    data = model.data_preprocessor(raw, True)
    model(**data, mode='loss')
    assert seen == [(['B', 'C'], ['0', '1'])]
    with pytest.raises(ValueError, match='do not say "scanner": add it to meta_keys'):
        Batch(data['inputs'], raw['data_samples']).about('scanner')
    with pytest.raises(ValueError, match='2 unlabelled images, but the batch says of 0'):
        Batch(data['inputs']).about('domain')


def test_a_fused_prediction_has_a_name_of_its_own(method):
    def predict_logits(self, inputs, name, teacher=False):
        if name != 'fused':
            return SemiSegmentor.predict_logits(self, inputs, name, teacher)
        return sum(SemiSegmentor.predict_logits(self, inputs, n).softmax(1) for n in self.students)

    model = method(
        PAIR,
        outputs=property(lambda self: ['fused', *self.students]),
        predict_logits=predict_logits,
    ).eval()
    images = model.data_preprocessor(dict(inputs=torch.rand(2, 1, 16, 16) * 255))['inputs']
    samples = [SegDataSample(metainfo=dict(ori_shape=(16, 16))) for _ in range(2)]
    found = model.predict(images, samples)
    fused = predict_logits(model, images, 'fused').argmax(1)
    for sample, expected in zip(found, fused, strict=True):
        assert sample.metainfo['students'] == ['fused', 'a', 'b']
        assert torch.equal(sample.pred_sem_seg.data[0], expected.byte())
        assert {'pred_fused', 'pred_a', 'pred_b'} <= set(sample.keys())


def test_options_are_named():
    with pytest.raises(TypeError, match='positional'):
        SemiSegmentor(dict(a=segmentor()))
    with pytest.raises(UnknownOption, match='no option "noise_sd"; did you mean "noise_std"'):
        build(dict(type='MeanTeacher', students=PAIR, teachers=['a', 'b'], noise_sd=1))


def test_methods_answer_what_hooks_ask(method):
    model = method()
    assert isinstance(model, Trainable) and isinstance(model, Labelling)
    assert not isinstance(model, Pretrained | Ensembling)
    students = dict(unet=segmentor(norm=BN))
    assert isinstance(build(dict(type='BCP', students=students, teachers=['unet'])), Pretrained)
    for cls in (DDPM, BCP, SynFoC, ZeroShotSAM):
        asked = ('step', 'phases', 'outputs', 'check_data')
        assert all(hasattr(cls, name) for name in asked), cls


def test_curves_are_split_from_terms():
    assert split_curves({}) == ({}, {})
    with pytest.raises(ValueError, match='here it is tuple'):
        split_curves(({}, {}, {}))
