"""Files of models of whole volumes: one window in, its scores out, and facts to do the rest."""

import json

import numpy as np
import pytest
import torch
from volume_parts import MONAI_NETWORKS, monai_network, volume_config

from mmssl.apis import init_model
from mmssl.export import export_model
from mmssl.export.files import open_file, read_facts
from mmssl.utils.errors import SettingError

VNET = dict(
    type='EncoderDecoder',
    backbone=dict(type='VNetEncoder', widths=(4, 4), convs=(1, 1)),
    decode_head=dict(type='VNetDecoderHead', in_channels=(4, 4), convs=(1,), num_classes=3),
)


def model(student=VNET):
    cfg = volume_config([dict(type='Resample', spacing=(2.0, 1.0, None))])
    cfg.model.students = dict(net=student)
    cfg.model.inferer.update(size=(8, 8, 6), stride=(4, 4, 3))
    torch.manual_seed(0)
    return init_model(cfg)


@pytest.mark.parametrize('name', ['v.onnx', 'v.pt2'])
@torch.no_grad()
def test_a_loop_over_the_file_is_the_prediction(name, tmp_path):
    given = model()
    facts = export_model(given, tmp_path / name, say=print)
    assert given.inferer is not None, 'the model is left as it was'
    assert facts['input']['shape'] == ['batch', 1, 8, 8, 6]
    assert facts['input']['axes'] == 'slice, row, column'
    assert facts['window']['stride'] == [4, 4, 3] and facts['window']['weights'] == 'constant'
    assert facts['preparation'] == [
        {'resample': 'linear', 'spacing_mm': [2.0, 1.0, None]},
        {'normalise': 'zscore', 'nonzero': False},
    ]
    if name.endswith('.onnx'):
        assert read_facts(tmp_path / name)['window'] == json.loads(json.dumps(facts))['window']
    run = open_file(tmp_path / name)
    volume = np.random.default_rng(0).standard_normal((1, 1, 12, 8, 9), np.float32)
    total, count = np.zeros((3, 12, 8, 9)), np.zeros((12, 8, 9))
    for z in (0, 4):
        for x in (0, 3):
            window = (slice(z, z + 8), slice(0, 8), slice(x, x + 6))
            logits = run(volume[(slice(None), slice(None), *window)])[0]
            prob = np.exp(logits - logits.max(0))
            total[(slice(None), *window)] += prob / prob.sum(0)
            count[window] += 1
    wanted = given.predict_logits({'net': torch.from_numpy(volume)}, 'net').exp()[0].numpy()
    assert np.abs(total / count - wanted).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize('network', MONAI_NETWORKS)
def test_networks_of_monai_become_files(network, tmp_path):
    """What is written is the network, where it can be of a window that its strides do not divide.

    Of a window that is mostly padding, SwinUNETR's norms enlarge the rounding too much.
    """
    size = (32, 32, 32) if network == 'SwinUNETR' else (8, 10, 9)
    given = model(monai_network(network))
    given.inferer.size = size
    before = {name: value.clone() for name, value in given.state_dict().items()}
    facts = export_model(given, tmp_path / 'x.onnx')
    assert facts['input']['shape'] == ['batch', 1, *size]
    window = np.random.default_rng(0).standard_normal((2, 1, *size), np.float32)
    wanted = given.students['net'].eval()(torch.from_numpy(window), mode='tensor')
    found = open_file(tmp_path / 'x.onnx')(window)
    np.testing.assert_allclose(found, wanted.detach(), atol=1e-4)
    given.students['net'].train()(torch.from_numpy(window), mode='tensor').sum().backward()
    assert all(torch.equal(before[name], value) for name, value in given.state_dict().items())


@pytest.mark.parametrize(('options', 'text'), [
    (dict(dynamic='size'), 'takes windows of one size, take --dynamic batch'),
    (dict(int8=True), '--int8 is for slices'),
])  # fmt: skip
def test_what_a_file_of_volumes_cannot_be(options, text, tmp_path):
    with pytest.raises(SettingError, match=text):
        export_model(model(), tmp_path / 'v.onnx', **options)
    assert not list(tmp_path.iterdir())
