"""The command that predicts: its words, one mask or a folder, its exit codes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_input import last_line
from identity import GREY, IdentityModel, labels
from PIL import Image

from mmssl.utils.cli import run

ROOT = Path(__file__).parents[2]
CLASSES = labels((12, 10))


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('predict_tool', ROOT / 'tools/predict.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def call(tool, tmp_path, monkeypatch, capsys):
    """Call the tool with a model that needs no training; return exit code and what it said."""
    monkeypatch.setattr(tool, 'open_model', lambda args: (IdentityModel(), {'model': args.model}))
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'in').mkdir()
    Image.fromarray(CLASSES * GREY).save(tmp_path / 'in' / 'a.png')

    def do(*words):
        code = 0
        try:
            run(lambda: tool.main([*map(str, words)]))
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return do


def test_one_image_into_one_mask(call, tmp_path):
    code, out, _ = call('m.mmssl', 'in/a.png', 'mask.png')
    assert code == 0 and 'Wrote mask.png' in out and f'tumour: {(CLASSES == 2).sum()} voxels' in out
    assert (np.asarray(Image.open(tmp_path / 'mask.png')) == CLASSES).all()


def test_a_folder_and_once_more(call, tmp_path):
    code, out, err = call('m.mmssl', 'in', 'out', '--overlay', '--min-size', 'tumour=2')
    assert code == 0 and '1 of 1 masks are in out' in out and '100%' in err
    code, out, _ = call('m.mmssl', 'in', 'out', '--overlay', '--min-size', 'tumour=2')
    assert code == 0 and '1 of 1 images are done before' in out
    code, _, err = call('m.mmssl', 'in', 'out')
    assert code == 1 and 'choose another folder' in last_line(err)


def test_bad_images_are_listed_and_end_with_1(call, tmp_path):
    (tmp_path / 'in' / 'b.png').write_bytes(b'none')
    code, out, err = call('m.mmssl', 'in', 'out')
    assert code == 1 and '1 of 2 masks' in out and 'error: 1 image(s)' in err
    assert 'b.png: ' in last_line(err)
    code, _, err = call('m.mmssl', 'in/b.png', 'mask.png')
    assert code == 1 and last_line(err).startswith('error: ')


@pytest.mark.parametrize(
    'words, message',
    [
        (['m.mmssl', 'in'], 'INPUT OUTPUT, found 1'),
        (['config.py', 'in', 'out'], 'CHECKPOINT INPUT OUTPUT, found 2'),
        (['m.mmssl', 'gone', 'out'], '"gone" does not exist'),
        (['m.mmssl', 'in/a.png', 'mask.nii.gz'], r'is a file .png: name it so'),
        (['m.mmssl', 'in/a.png', 'in/a.png'], 'would overwrite'),
        (['m.mmssl', 'in/a.png', 'mask.png', '--overlay'], '--overlay is asked for: name a folder'),
        (['m.mmssl', 'in', 'out', '--min-size', 'x=y'], '--min-size "x=y" must be'),
        (['m.mmssl', 'in', 'out', '--value-range', '5'], 'must be volume or LOW,HIGH'),
        (['m.mmssl', 'in', 'out', '--largest', 'lung'], 'no part "lung"'),
        (['m.mmssl', 'in', 'out', '--student', 'c'], 'no student "c"'),
        (['m.mmssl', 'in', 'out', '--batch-size', '0'], 'must be at least 1'),
    ],
)
def test_faults_of_the_command_line_are_one_line(call, words, message):
    code, _, err = call(*words)
    assert code in (1, 2) and message in last_line(err) and 'Traceback' not in err


def test_a_config_with_its_checkpoint_and_options(tool, tmp_path, monkeypatch):
    """The real model: the weights are the checkpoint's, options reach the config."""
    import copy

    from identity import config

    from mmssl.apis import init_model, predict
    from tests import tiny

    cfg = config(32)
    cfg.model = dict(type='SupOnly', students=dict(unet=tiny.segmentor(3)))
    torch.manual_seed(3)
    model = init_model(copy.deepcopy(cfg))
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / 'w.pth')
    cfg.dump(tmp_path / 'c.py')
    Image.fromarray(CLASSES * GREY).save(tmp_path / 'a.png')
    words = [tmp_path / 'c.py', tmp_path / 'w.pth', tmp_path / 'a.png', tmp_path / 'mask.png']
    options = ['--device', 'cpu', '--cfg-options', 'test_dataloader.dataset.value_range=[0,300]']
    assert tool.main([*map(str, words), *options]) == 0
    cfg.test_dataloader.dataset.value_range = (0, 300)
    expected = predict(init_model(cfg, tmp_path / 'w.pth'), str(tmp_path / 'a.png')).classes
    assert (np.asarray(Image.open(tmp_path / 'mask.png')) == expected).all()


def test_none_is_the_checkpoint_of_what_is_not_trained(tool, tmp_path):
    from bundles.bundle_parts import config
    from sam_parts import ARCH

    from tests import tiny

    cfg = config(dict(type='SupOnly', students=dict(unet=tiny.segmentor())))
    cfg.test_dataloader.dataset.pop('overrides')
    cfg.dump(tmp_path / 'c.py')
    Image.fromarray(CLASSES * GREY).save(tmp_path / 'a.png')
    words = [str(tmp_path / name) for name in ('c.py', 'a.png', 'mask.png')]
    words.insert(1, 'none')
    with pytest.raises(ValueError, match='are trained: name a checkpoint'):
        tool.main(words)
    sam = dict(type='PromptedSAM', arch=ARCH, img_size=64, random_trunk_seed=0)
    cfg.model = dict(type='ZeroShotSAM', sam=sam)
    cfg.dump(tmp_path / 'c.py')
    with pytest.raises(ValueError, match='has no truth to take a box from'):
        tool.main(words)
