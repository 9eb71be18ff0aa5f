"""Turned first and squared then, as published, or the other way round; and how far they differ."""

import importlib.util
import re
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from fake_files import write_acdc, write_h5
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from scipy.ndimage import rotate, zoom

from mmssl.registry import DATASETS, TRANSFORMS
from mmssl.structures import Draw
from mmssl.utils.setup import load_config

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/analysis_tools/compare_orders.py'
SIDE = 16


@pytest.fixture
def root(tmp_path):
    return write_acdc(tmp_path / 'acdc')


@pytest.fixture
def load(root, tmp_path):
    """Read the config that the page on configs shows, on a small data set."""
    page = (ROOT / 'docs/en/configs.md').read_text()
    text = re.search(r'<!-- config turned_first.py -->\n```python\n(.*?)```', page, re.S)[1]
    path = tmp_path / 'turned_first.py'
    path.write_text(text.replace('configs/', f'{ROOT}/configs/'))
    init_default_scope('mmssl')

    def read(**options):
        data = 'train_dataloader.dataset.'
        return load_config(
            path,
            {
                'data_root': str(root),
                'image_size': SIDE,
                f'{data}labelled.cases': 1,
                'train_dataloader.num_workers': 0,
                'train_dataloader.persistent_workers': False,
                **{data + key: value for key, value in options.items()},
            },
        )

    return read


def turned(rng, array):
    """SSL4MIS's turns of one array, with the draws of `rng`."""
    if rng.random() < 0.5:
        turns, axis = int(rng.integers(4)), int(rng.integers(2))
        return np.flip(np.rot90(array, turns), axis)
    if rng.random() < 0.5:
        return rotate(array, int(rng.integers(-20, 20)), order=0, reshape=False)
    return array


def by_hand(sample, key, seed):
    """Return what SSL4MIS makes of a slice as it is stored: turned, then a square."""
    with h5py.File(sample.img_path) as file:
        array = file[key][()]
    array = (array * 255 if key == 'image' else array).astype(np.uint8)
    array = turned(np.random.default_rng(seed), array)
    return zoom(array, (SIDE / array.shape[0], SIDE / array.shape[1]), order=0)


@pytest.mark.parametrize('cache', [True, False, 'lazy'])
def test_published_order_is_turning_first(load, cache):
    dataset = DATASETS.build(load(cache=cache).train_dataloader.dataset)
    differ = 0
    for draw in (Draw(index, iteration, 3, labelled) for iteration in range(8)
                 for labelled, indices in ((True, dataset.labelled_indices),
                                           (False, dataset.unlabelled_indices))
                 for index in map(int, indices[:4])):  # fmt: skip
        sample, inputs = dataset.samples[draw.index], dataset[draw]['inputs']
        seed = [0, draw.iteration, draw.slot, int(not draw.labelled)]
        image = inputs['x_w' if draw.labelled else 'u_w'][0].numpy()
        np.testing.assert_array_equal(image, by_hand(sample, 'image', seed))
        if draw.labelled:
            np.testing.assert_array_equal(inputs['y'].numpy(), by_hand(sample, 'label', seed))
            with h5py.File(sample.img_path) as file:
                label = file['label'][()]
            square = zoom(label, (SIDE / label.shape[0], SIDE / label.shape[1]), order=0)
            other = turned(np.random.default_rng(seed), square)
            differ += (other != inputs['y'].numpy()).any()
    assert differ  # the other order would not have passed


def test_slices_of_several_sizes_make_a_batch(load):
    cfg = load(cache=True).train_dataloader
    cfg.sampler = dict(type='DefaultSampler')
    loader = Runner.build_dataloader(cfg, seed=0)
    shapes = {results['ori_shape'] for results in loader.dataset.cache._results.values()}
    assert len(shapes) > 1
    inputs = next(iter(loader))['inputs']
    assert inputs['x_w'].shape == (12, 1, SIDE, SIDE) and inputs['y'].shape == (12, SIDE, SIDE)
    for key, box in (('u_w', 'box'), ('u_s', 'box'), ('u_s2', 'box2')):
        assert inputs[key].shape == (24, 1, SIDE, SIDE)
        assert inputs[box].any() and (inputs[box][:, :2] + inputs[box][:, 2:4] <= SIDE).all()


@pytest.mark.parametrize('interpolation', ['zoom', 'bilinear'])
def test_the_grid_becomes_square_with_the_mask(interpolation):
    mask = np.arange(6 * 9, dtype=np.uint8).reshape(6, 9)
    results = dict(img=mask[..., None], gt=mask, grid=mask.astype(np.float32))
    square = TRANSFORMS.build(dict(type='ResizeSquare', size=7, interpolation=interpolation))
    results = square(results)
    assert results['grid'].dtype == np.float32
    np.testing.assert_array_equal(results['grid'], results['gt'])


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location('compare_orders', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tool_prints_the_dice_of_both_orders(tool, load, root, tmp_path, monkeypatch, capsys):
    cfg = load()
    scores = tool.compare(cfg.train_dataloader.dataset, 4, 7)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    chosen = np.random.default_rng(7).permutation(dataset.labelled_indices)[:4]
    for index, score in zip(chosen, scores, strict=True):
        with h5py.File(dataset.samples[index].img_path) as file:
            label = file['label'][()]
        square = zoom(label, (SIDE / label.shape[0], SIDE / label.shape[1]), order=0)
        one = turned(np.random.default_rng((7, index)), square) > 0
        two = by_hand(dataset.samples[index], 'label', (7, index)) > 0
        assert score == 2 * (one & two).sum() / (one.sum() + two.sum())
    assert len(scores) == 4 and scores.min() < 1
    # The usual order of a config is found as well, and an empty mask is left out.
    name = Path(dataset.samples[chosen[0]].img_path)
    with h5py.File(name) as file:
        image = file['image'][()]
    write_h5(name, image=image, label=np.zeros(image.shape, np.uint8))
    monkeypatch.setattr(sys, 'argv', [
        'compare', str(ROOT / 'configs/unimatch/acdc.py'), '--number', '4', '--seed', '7',
        '--cfg-options', f'data_root={root}', f'image_size={SIDE}',
        'train_dataloader.dataset.labelled.cases=1'])  # fmt: skip
    tool.main()
    rest = scores[1:]
    assert (
        f'3 of 4 masks with a foreground: mean Dice {rest.mean():.3f}, worst {rest.min():.3f}; '
        f'{(rest < 1).sum()} differ'
    ) in capsys.readouterr().out


def test_tool_needs_both_steps(tool, load):
    dataset = load().train_dataloader.dataset
    pipeline = dataset.labelled_pipeline
    with pytest.raises(ValueError, match='no ResizeSquare, so'):
        tool.find_steps({**dataset, 'labelled_pipeline': pipeline[:1]})
    with pytest.raises(ValueError, match='no RandomRotFlipRotate or RandomRotate'):
        tool.find_steps({**dataset, 'labelled_pipeline': pipeline[1:]})
