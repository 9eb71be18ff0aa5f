"""The command `mmssl export`: a bundle or a config and a checkpoint in, a checked file out."""

import runpy
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from mmengine.config import Config

from mmssl.apis import init_model, publish
from mmssl.export import files
from mmssl.export.check import phantom_images
from tests import tiny

TOOL = Path(__file__).parents[2] / 'tools/deployment/export.py'


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Write config, checkpoint and bundle of a small model; return their folder."""
    folder = tmp_path_factory.mktemp('model')
    data = dict(
        type='MixedDomainDataset',
        data_root='no/such/data',
        mode='test',
        domains=['ScannerA'],
        label_map={0: 0, 255: 1},
        image_size=32,
        metainfo=dict(classes=('background', 'organ')),
        prepare=[dict(type='LoadImage'), dict(type='ResizeSquare')],
        pipeline=[dict(type='PackTestInputs')],
    )
    student = tiny.segmentor(norm=tiny.GN)
    cfg = Config(
        dict(
            default_scope='mmssl',
            model=dict(type='MeanTeacher', students=dict(unet=student), teachers=['unet']),
            test_dataloader=dict(dataset=data),
            test_cfg=dict(type='TestLoop', fp16='auto'),
        )
    )
    torch.manual_seed(0)
    net = init_model(cfg)
    with torch.no_grad():
        for value in net.parameters():
            value += 0.05 * torch.randn_like(value)
    torch.save(dict(state_dict=net.state_dict(), meta={}), folder / 'model.pth')
    cfg.dump(folder / 'config.py')
    publish(folder / 'config.py', folder / 'model.pth', folder / 'x.mmssl', with_data=False)
    return folder


def export(monkeypatch, *words):
    """Run the tool and return its exit code."""
    monkeypatch.setattr(sys, 'argv', ['export.py', *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(TOOL), run_name='__main__')
        raise SystemExit(0)
    return ended.value.code


def run(path, image):
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return session.run(None, {'image': image})[0]


def test_bundle_and_checkpoint_give_one_file(model, tmp_path, monkeypatch, capsys):
    image = phantom_images(2, 1, (32, 32))
    found = []
    for words in ([model / 'x.mmssl'], [model / 'config.py', model / 'model.pth']):
        assert export(monkeypatch, *words, tmp_path / 'x.onnx', '--dynamic', 'batch') == 0
        found.append(run(tmp_path / 'x.onnx', image))
    np.testing.assert_array_equal(*found)
    trained = init_model(model / 'config.py', model / 'model.pth')
    with torch.no_grad():
        inputs = trained.data_preprocessor.image_views(torch.from_numpy(image))
        wanted = trained.predict_logits(inputs, 'unet').numpy()
    np.testing.assert_allclose(found[0], wanted, atol=1e-4, rtol=0)
    shown = capsys.readouterr().out
    assert 'phantom images of 32 x 32 px: logits differ by' in shown and 'arg-max equal' in shown


def test_difference_ends_with_code_1_and_leaves_nothing(model, tmp_path, monkeypatch, capsys):
    words = [model / 'x.mmssl', tmp_path / 'x.onnx', '--tolerance', '1e-12']
    assert export(monkeypatch, *words) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: x.onnx is not the network') and '--tolerance' in error
    assert not list(tmp_path.iterdir())


def test_config_without_a_checkpoint_is_refused(model, tmp_path, monkeypatch, capsys):
    assert export(monkeypatch, model / 'config.py', tmp_path / 'x.onnx') == 2
    assert 'or a config and a checkpoint' in capsys.readouterr().err


def test_missing_package_says_what_to_install(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    assert export(monkeypatch, model / 'x.mmssl', tmp_path / 'x.onnx') == 1
    error = capsys.readouterr().err
    assert 'Exporting needs onnxruntime, which' in error and "'mmssl[deploy]'" in error
    assert not list(tmp_path.iterdir())


def test_weights_that_no_onnx_file_holds(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, 'LARGEST', 100)
    assert export(monkeypatch, model / 'x.mmssl', tmp_path / 'x.onnx') == 1
    assert 'do not fit into one ONNX file' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
