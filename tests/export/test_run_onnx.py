"""The scripts of the docs do with numpy, onnxruntime and a reader alone what the package does."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from export_parts import kinds, one, trained, unet
from PIL import Image
from volume_parts import volume_config

from mmssl.apis import inference_model, init_model, predict
from mmssl.datasets.phantom.slices import generate_case
from mmssl.export import export_model

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / 'docs/en/run_onnx.py'
OF_VOLUMES = ROOT / 'docs/en/run_onnx_volume.py'


def with_what_they_need(names):
    """Return the names of packages and of those that they require, without extras."""
    found, left = set(), list(names)
    while left:
        name = re.split(r'[\s;<>=!~(\[]', left.pop())[0].lower()
        if name not in found:
            found.add(name)
            required = metadata.distribution(name).requires or ()
            left += [text for text in required if 'extra ==' not in text]
    return found


@pytest.fixture(scope='module')
def bare(tmp_path_factory):
    """Return a folder that holds numpy, Pillow, nibabel, onnxruntime and what these need, by links.

    With it as PYTHONPATH and without site-packages (`python -S`) nothing else can be imported.
    """
    folder = tmp_path_factory.mktemp('bare')
    for name in with_what_they_need(['numpy', 'pillow', 'nibabel', 'onnxruntime']):
        for file in metadata.distribution(name).files:
            top = file.parts[0]
            if top not in ('..', '__pycache__') and not (folder / top).exists():
                (folder / top).symlink_to(file.locate().parents[len(file.parts) - 1] / top)
    return folder


def python(bare, *words):
    env = {**os.environ, 'PYTHONPATH': str(bare), 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(
        [sys.executable, '-S', *map(str, words)],
        cwd=bare, env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_scripts_are_short():
    assert len(SCRIPT.read_text().splitlines()) <= 40
    assert len(OF_VOLUMES.read_text().splitlines()) <= 95


@torch.no_grad()
def undecided(model, picture):
    """Move a model's logits so that half of a picture is of either class."""
    grey = torch.from_numpy(np.atleast_3d(picture).transpose(2, 0, 1)[None].astype(np.float32))
    inputs = model.data_preprocessor.image_views(grey)
    logits = model.predict_logits(inputs, 'net')
    bias = model.students['net'].decode_head.conv_seg.bias
    bias[1] -= (logits[:, 1] - logits[:, 0]).median()


@pytest.mark.slow
@pytest.mark.parametrize(
    'model, options',
    [
        (one(unet()), {}),
        (kinds()['swin'], dict(channels=3)),
        (one(unet(), data_preprocessor=dict(sizes=dict(net=dict(image=48)))), {}),
    ],
    ids=['grey', 'colour', 'nearest'],
)
def test_script_gives_what_the_package_gives(model, options, bare, tmp_path):
    trained_model = trained(model, **options)
    volume, _ = generate_case('ScannerA', 0, 3, 64)
    picture = volume[0] if not options else np.stack(list(volume), -1)
    undecided(trained_model, picture)
    export_model(trained_model, tmp_path / 'x.onnx')
    Image.fromarray(picture[:50]).save(tmp_path / 'image.png')  # neither square nor of its size
    python(bare, SCRIPT, tmp_path / 'x.onnx', tmp_path / 'image.png', tmp_path / 'mask.png')
    (sample,) = inference_model(trained_model, [str(tmp_path / 'image.png')])
    wanted = sample.pred_sem_seg.data[0].numpy()
    with Image.open(tmp_path / 'mask.png') as file:
        assert file.mode == 'P'
        found = np.asarray(file)
    assert found.shape == (50, 64) and 0.1 < (found == 1).mean() < 0.9
    np.testing.assert_array_equal(found, wanted)


VOLUMES = {
    'turned and resampled': dict(
        prepare=[dict(type='Resample', spacing=(2.0, 1.0, None))],
    ),
    'mirrored windows in the coronal plane': dict(
        prepare=[dict(type='NormaliseIntensity', mode='percentile', percentiles=(2, 97))],
        inferer=dict(weights='gaussian', mirror=(0, 2)),
        plane='coronal',
    ),
    'two frames as stored': dict(
        prepare=[dict(type='NormaliseIntensity', mode='window', window=(20, 150), nonzero=True)],
        channels=2,
        frame=(2, 0),
        geometry='stored',
    ),
    'larger windows than the volume': dict(
        prepare=[dict(type='NormaliseIntensity', mode='minmax', window=(60, 130))],
        inferer=dict(size=(20, 16, 9), stride=(20, 8, 9)),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', VOLUMES)
def test_script_for_volumes_gives_what_the_package_gives(name, bare, tmp_path):
    options = dict(VOLUMES[name])
    cfg = volume_config(options.pop('prepare'), options.pop('channels', 1))
    cfg.model.inferer.update(options.pop('inferer', {}))
    cfg.test_dataloader.dataset.update(options)
    torch.manual_seed(0)
    model = init_model(cfg)
    rng = np.random.default_rng(1)
    shape = (13, 15, 11, 3)[: 4 if 'frame' in options else 3]
    voxels = rng.normal(100, 30, shape).round().astype(np.int16)
    # rows run backwards, and slices come first
    affine = np.array([[0, 0, 0.8, 1.0], [0, -1.5, 0, 20], [2.5, 0, 0, -7], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / 'image.nii.gz')
    wanted = predict(model, tmp_path / 'image.nii.gz')
    wanted.save(tmp_path / 'wanted.nii.gz')
    export_model(model, tmp_path / 'x.onnx')
    python(bare, OF_VOLUMES, *(tmp_path / n for n in ('x.onnx', 'image.nii.gz', 'mask.nii.gz')))
    found, wanted = (nibabel.load(tmp_path / f'{n}.nii.gz') for n in ('mask', 'wanted'))
    np.testing.assert_allclose(found.affine, wanted.affine, atol=1e-5)
    found, wanted = np.asarray(found.dataobj), np.asarray(wanted.dataobj)
    assert found.dtype == np.uint8 and len(np.unique(wanted)) == 3
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.slow
def test_nothing_else_can_be_imported(bare):
    code = (
        'import importlib.util as u; '
        'print([n for n in ("torch", "mmssl", "mmengine", "onnx", "cv2") if u.find_spec(n)])'
    )
    assert python(bare, '-c', code).strip() == '[]'
