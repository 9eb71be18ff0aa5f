"""Extraction: announced, complete, resumed, shared among ranks, refused where it does not fit."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / 'tests' / part) for part in ('', 'datasets')]
from denoiser_parts import OPTIONS, write_model  # noqa: E402
from fake_files import PREPARE, noise, prostate, write_png, write_prostate  # noqa: E402

from mmssl.datasets.prepared import PreparedSlices, image_batch  # noqa: E402
from mmssl.models.diffusion import DiffusionFeatureNeck  # noqa: E402
from mmssl.models.diffusion.cache import FeatureCache  # noqa: E402
from mmssl.models.diffusion.features import join_maps  # noqa: E402

TOOL = ROOT / 'tools/extract_diffusion_features.py'
SLICES, LENGTH = 18, 2 * (16 * 8 * 8 + 16 * 16 * 16)


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('extract_tool', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp('models') / 'one')


@pytest.fixture
def place(tmp_path, model):
    """A folder with data and a config, whose pipeline already reads the cache to be made."""
    load = dict(type='LoadDiffusionFeatures', cache_dir=str(tmp_path / 'features'))
    neck = dict(type='DiffusionFeatureNeck', model=model, cache_dir=load['cache_dir'], **OPTIONS)
    dataset = prostate(
        write_prostate(tmp_path / 'data'), prepare=PREPARE,
        head=[load, dict(type='TrackGeometry')],
    )  # fmt: skip
    cfg = dict(
        default_scope='mmssl',
        model=dict(type='MCSD', neck=neck),
        train_dataloader=dict(dataset=dataset),
    )
    Config(cfg).dump(tmp_path / 'config.py')
    return tmp_path


def run(tool, place, monkeypatch, *args):
    monkeypatch.setattr(sys, 'argv', ['extract', str(place / 'config.py'), *map(str, args)])
    tool.main()


def slices(place):
    from mmssl.registry import DATASETS

    cfg = Config.fromfile(place / 'config.py').train_dataloader.dataset
    return PreparedSlices(DATASETS.build({**cfg, 'head': []}))


def test_every_slice_is_there_and_right(tool, place, model, monkeypatch, capsys):
    run(tool, place, monkeypatch, '--batch-size', 4)
    out = capsys.readouterr().out
    assert f'{SLICES} slices of 16 px' in out
    assert f'{2 * LENGTH:,} bytes a slice, {SLICES * 2 * LENGTH / 1e6:.1f} MB in all; 0 are' in out
    assert f'is complete: wrote {SLICES} slices' in out
    cache, neck, found = FeatureCache(place / 'features'), DiffusionFeatureNeck(model, **OPTIONS), 0
    for index in range(SLICES):
        s = slices(place)[index]
        wanted = join_maps(neck.block_maps(image_batch([s])))[0].numpy()
        maps = cache.read(s['domain'], s['name'], s['img'])
        np.testing.assert_allclose(maps, wanted, atol=2e-3, rtol=2e-3)
        found += len(set(maps.tolist())) > 100
    assert found == SLICES
    assert cache.spec == neck.spec


def test_announced_before_anything_is_computed(tool, place, monkeypatch, capsys):
    def fail(*args):
        raise RuntimeError('begins')

    monkeypatch.setattr(tool, 'extract', fail)
    with pytest.raises(RuntimeError, match='begins'):
        run(tool, place, monkeypatch)
    assert 'bytes a slice' in capsys.readouterr().out


def test_an_interrupted_run_goes_on(tool, place, monkeypatch, capsys):
    extract = tool.extract

    def some(*args):
        for number, count in enumerate(extract(*args)):
            yield count
            if number == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(tool, 'extract', some)
    with pytest.raises(KeyboardInterrupt):
        run(tool, place, monkeypatch, '--batch-size', 4)
    files = {f: f.stat().st_mtime_ns for f in (place / 'features').rglob('*.safetensors')}
    assert len(files) == 8
    monkeypatch.setattr(tool, 'extract', extract)
    run(tool, place, monkeypatch)
    assert '8 are there' in capsys.readouterr().out
    assert all(f.stat().st_mtime_ns == time for f, time in files.items())
    assert len(list((place / 'features').rglob('*.safetensors'))) == SLICES
    monkeypatch.setattr(DiffusionFeatureNeck, 'block_maps', lambda *args: 1 / 0)
    run(tool, place, monkeypatch)
    assert 'was complete' in capsys.readouterr().out


def test_a_changed_image_and_a_torn_file_are_done_again(tool, place, monkeypatch, capsys):
    run(tool, place, monkeypatch)
    write_png(place / 'data/A/train/image/00_00.png', noise(99))
    torn = place / 'features/B/01_01.safetensors'
    torn.write_bytes(torn.read_bytes()[:100])
    run(tool, place, monkeypatch)
    assert 'wrote 2 slices' in capsys.readouterr().out


def test_amp_is_close(tool, place, monkeypatch):
    monkeypatch.setattr('mmssl.engine.precision.has_bfloat16', lambda: True)
    monkeypatch.setattr('mmssl.engine.precision.slowness', lambda: 0.5)  # else maybe float32
    run(tool, place, monkeypatch, '--out', place / 'full')
    run(tool, place, monkeypatch, '--out', place / 'amp', '--amp')
    s = slices(place)[0]
    one, two = (
        FeatureCache(place / n).read(s['domain'], s['name'], s['img']).astype(float)
        for n in ('full', 'amp')
    )
    assert 0 < np.abs(one - two).mean() < 0.05 * one.std()


def test_the_pipeline_reads_what_was_written(tool, place, monkeypatch):
    from mmssl.registry import DATASETS

    run(tool, place, monkeypatch)
    dataset = DATASETS.build(Config.fromfile(place / 'config.py').train_dataloader.dataset)
    inputs = dataset[int(dataset.unlabelled_indices[0])]['inputs']
    assert inputs['u_maps'].shape == (LENGTH,)
    assert inputs['u_maps'].dtype == torch.float16
    assert inputs['u_grid'].max() < 16 * 16


def test_what_stops_it_is_one_line(tool, place, monkeypatch):
    def refused(text, *args, error=ValueError):
        with pytest.raises(error, match=text) as raised:
            run(tool, place, monkeypatch, *args)
        assert '\n' not in str(raised.value)

    run(tool, place, monkeypatch)
    options = ['--cfg-options']
    refused(r'steps \[5, 40\], not \[5, 41\]', *options, 'model.neck.steps=[5,41]')
    other = write_model(place / 'other', seed=1)
    refused('model .* not .*Change neck.cache_dir', *options, f'model.neck.model={other}')
    refused(
        'no diffusion model in gone', *options, 'model.neck.model=gone', error=FileNotFoundError
    )
    rgb = write_model(place / 'rgb', in_channels=3, out_channels=3)
    refused(
        'takes 3 channels, the images have 1',
        '--out',
        place / 'x',
        *options,
        f'model.neck.model={rgb}',
    )
    refused(
        'of 16x16 pixels',
        '--out',
        place / 'y',
        *options,
        'train_dataloader.dataset.prepare.2.size=32',
    )
    refused('has no DiffusionFeatureNeck', *options, 'model.neck=None')
    refused('--batch-size is 0', '--batch-size', 0)


def test_a_full_disk_is_seen_before(tool, place, monkeypatch):
    usage = tool.shutil.disk_usage(place)
    monkeypatch.setattr(tool.shutil, 'disk_usage', lambda _: usage._replace(free=2 * LENGTH))
    with pytest.raises(ValueError, match=r'has room for 0\.0 MB, 0\.4 MB are needed'):
        run(tool, place, monkeypatch)
    assert list((place / 'features').rglob('*.safetensors')) == []


@pytest.mark.slow
def test_two_ranks_share_the_slices(place):
    command = [
        sys.executable,
        '-m',
        'torch.distributed.run',
        '--standalone',
        '--nproc_per_node=2',
        str(TOOL),
        str(place / 'config.py'),
        '--launcher',
        'pytorch',
    ]
    env = dict(os.environ, OMP_NUM_THREADS='1')
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count(f'wrote {SLICES} slices') == 1
    cache, prepared = FeatureCache(place / 'features'), slices(place)
    for index in range(SLICES):
        s = prepared[index]
        assert cache.has(s['domain'], s['name'], s['img'])
