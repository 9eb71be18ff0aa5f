"""A model that was published predicts as before, from one file."""

import numpy as np
import pytest
import torch
from bundle_parts import SIDE, mean_teacher, synfoc

from mmssl.apis import inference_model, init_model, publish
from mmssl.bundles import opening
from mmssl.bundles.archive import read_archive
from mmssl.bundles.networks import Choice
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.registry import MODELS
from mmssl.utils.errors import SettingError


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 1000, (48, 40)).astype(np.float32)


def test_teacher_alone_gives_the_masks_of_the_teacher(trained, image, tmp_path):
    cfg, path = trained(mean_teacher())
    card = publish(cfg, path, tmp_path / 'x.mmssl', Choice(teacher=True), with_data=False)
    model = init_model(tmp_path / 'x.mmssl')
    assert type(model).__name__ == 'SemiSegmentor' and not model.teachers and not model.training
    assert model.bundle == card and model.dataset_meta['classes'] == ['background', 'o']
    whole = init_model(cfg, path)
    assert whole.bundle is None
    student = inference_model(whole, image, domain='siteA')[0]
    whole.students['unet'].load_state_dict(whole.teachers['unet'].state_dict())
    (one,) = inference_model(model, image, domain='siteA')
    (two,) = inference_model(whole, image, domain='siteA')
    assert torch.equal(one.pred_unet.data, two.pred_unet.data)
    assert not torch.equal(one.pred_unet.data, student.pred_unet.data)
    other = inference_model(model, image, domain='siteB')[0]
    assert not torch.equal(one.pred_unet.data, other.pred_unet.data)  # is read by another range


@pytest.mark.parametrize('lora', ['merged', 'apart'])
def test_both_students_of_synfoc(lora, trained, image, tmp_path):
    cfg, path = trained(synfoc())
    out = tmp_path / 'x.mmssl'
    publish(cfg, path, out, Choice(everything=True, lora=lora), with_data=False)
    model, whole = init_model(out), init_model(cfg, path)
    assert model.outputs == whole.outputs == ['unet', 'sam'] and not model.teachers
    (one,), (two,) = (inference_model(m, image, domain='siteA') for m in (model, whole))
    assert one.metainfo['students'] == ['unet', 'sam']
    for name in ('pred_unet', 'pred_sam', 'pred_sem_seg'):
        assert torch.equal(one.get(name).data, two.get(name).data)
    encoder = model.students['sam'].backbone
    adapters = [name for name, _ in encoder.named_parameters() if 'lora_' in name]
    assert bool(adapters) == (lora == 'apart')


def test_merged_lora_equals_unmerged(trained, tmp_path):
    cfg, path = trained(synfoc())
    publish(cfg, path, tmp_path / 'x.mmssl', Choice('sam'), with_data=False)
    model, whole = init_model(tmp_path / 'x.mmssl'), init_model(cfg, path)
    inputs = {'sam': torch.rand(2, 1, SIDE, SIDE)}
    one, two = (m.predict_logits(inputs, 'sam') for m in (model, whole))
    assert (one - two).abs().max() < 1e-5 * two.abs().max()
    for layer in whole.students['sam'].modules():
        if hasattr(layer, 'lora_B'):
            torch.nn.init.zeros_(layer.lora_B['default'].weight)
    assert (whole.predict_logits(inputs, 'sam') - two).abs().max() > 1e-2


def test_a_student_with_its_own_preprocessor(trained, image, tmp_path):
    """As stock segmentors of mmsegmentation have one."""
    model = mean_teacher()
    own = dict(type='SegDataPreProcessor', mean=[90.0], std=[40.0])
    model['students']['unet']['data_preprocessor'] = own
    cfg, path = trained(model)
    publish(cfg, path, tmp_path / 'x.mmssl', with_data=False)
    one, two = (
        inference_model(net, image, domain='siteA')[0].pred_unet.data
        for net in (init_model(tmp_path / 'x.mmssl'), init_model(cfg, path))
    )
    assert torch.equal(one, two)
    assert init_model(tmp_path / 'x.mmssl').data_preprocessor.sizes['unet']['mean'] == [90.0]


def test_a_network_without_norm_layers(trained, tmp_path):
    model, none, widths = mean_teacher(), dict(type='none'), (4, 8)
    model['students']['unet'].update(
        backbone=dict(
            type='VNetEncoder', axes=2, norm_cfg=none, widths=widths, convs=(1, 1), dropout=0
        ),
        decode_head=dict(
            type='VNetDecoderHead', axes=2, norm_cfg=none, in_channels=widths, convs=(1,)
        ),
    )
    cfg, path = trained(model)
    publish(cfg, path, tmp_path / 'x.mmssl', with_data=False)
    inputs = {'unet': torch.rand(1, 1, SIDE, SIDE)}
    one, two = (
        m.predict_logits(inputs, 'unet')
        for m in (init_model(tmp_path / 'x.mmssl'), init_model(cfg, path))
    )
    assert torch.equal(one, two)


def test_options_for_a_bundle(trained, tmp_path):
    cfg, path = trained(mean_teacher())
    publish(cfg, path, tmp_path / 'x.mmssl', with_data=False)
    model = init_model(tmp_path / 'x.mmssl', cfg_options={'test_cfg.fp16': 'float32'})
    assert model.cfg.test_cfg.fp16 == 'float32' and model.precision.dtype is None
    with pytest.raises(ValueError, match='A bundle has its weights'):
        init_model(tmp_path / 'x.mmssl', path)


class Negated(SemiSegmentor):
    """A method that predicts something else than its student says."""

    def predict_logits(self, inputs: dict, name: str, teacher: bool = False) -> torch.Tensor:
        return -super().predict_logits(inputs, name, teacher)


def test_a_method_with_a_prediction_of_its_own_is_kept_whole(trained, image, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS.module_dict, 'Negated', Negated)
    cfg, path = trained({**mean_teacher(), 'type': 'Negated'})
    out = tmp_path / 'x.mmssl'
    with pytest.raises(SettingError, match='its prediction needs more than this network'):
        publish(cfg, path, out, Choice('unet'), with_data=False)
    assert not out.exists()
    card = publish(cfg, path, out, Choice(everything=True), with_data=False)
    assert card['plug_ins'] == {'Negated': Negated.__module__}
    model, whole = init_model(out), init_model(cfg, path)
    assert type(model) is Negated
    (one,), (two,) = (inference_model(m, image, domain='siteA') for m in (model, whole))
    assert torch.equal(one.pred_unet.data, two.pred_unet.data)


class Fused(SemiSegmentor):
    """A method whose prediction is no student's."""

    @property
    def outputs(self) -> list[str]:
        return ['fusion', *super().outputs]

    def predict_logits(self, inputs: dict, name: str, teacher: bool = False) -> torch.Tensor:
        return super().predict_logits(inputs, 'unet', teacher)


def test_a_prediction_of_several_networks_is_published_whole(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS.module_dict, 'Fused', Fused)
    cfg, path = trained({**mean_teacher(), 'type': 'Fused'})
    out = tmp_path / 'x.mmssl'
    with pytest.raises(SettingError, match='"fusion" needs several networks.*--all.*student unet'):
        publish(cfg, path, out, with_data=False)
    publish(cfg, path, out, Choice(everything=True), with_data=False)
    assert init_model(out).outputs == ['fusion', 'unet']


def test_what_opens_otherwise_is_not_left(trained, tmp_path, monkeypatch):
    """The finished file is opened before it takes its place."""
    cfg, path = trained(mean_teacher())

    def other(file):
        contents = read_archive(file)
        return contents._replace(tensors={k: v + 1 for k, v in contents.tensors.items()})

    monkeypatch.setattr(opening, 'read_archive', other)
    with pytest.raises(SettingError, match='would predict something else'):
        publish(cfg, path, tmp_path / 'x.mmssl', with_data=False)
    assert [file.name for file in tmp_path.iterdir()] == ['model.pth']
