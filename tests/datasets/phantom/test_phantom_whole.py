"""The phantom's whole volumes: their layout, how they lie, and that the base config reads them."""

import importlib.util
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from mmengine import Config
from nibabel.orientations import aff2axcodes

from mmssl.datasets.phantom.slices import draw_case
from mmssl.datasets.phantom.whole import STORED, WholeSettings, write_phantom_whole
from mmssl.datasets.reading import open_image, read_volume
from mmssl.registry import DATASETS
from mmssl.utils.setup import register_all_modules

ROOT = Path(__file__).parents[3]
SMALL = WholeSettings(
    ('ScannerC', 'ScannerA'), train_cases=2, val_cases=1, test_cases=1, slices=6
)  # fmt: skip
TOOL = ROOT / 'tools' / 'dataset_converters' / 'make_phantom.py'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('phantom') / 'mri'
    assert write_phantom_whole(folder, SMALL, progress=False)
    assert not write_phantom_whole(folder, SMALL, progress=False)
    return folder


def test_files_and_lists(root):
    names = [f'patient{number:03d}' for number in range(1, 5)]
    files = {p.relative_to(root).as_posix() for p in root.rglob('*') if p.is_file()}
    assert files == {'settings.json'} | {
        f'{scanner}/{file}'
        for scanner in SMALL.domains
        for file in (
            *(f'{kind}/{name}.nii.gz' for kind in ('image', 'mask') for name in names),
            *(f'{split}.list' for split in ('train', 'val', 'test')),
        )
    }
    assert (root / 'ScannerA' / 'train.list').read_text().split() == names[:2]
    assert json.loads((root / 'settings.json').read_text())['layout'] == 'nifti'


@pytest.mark.parametrize('scanner, stored', [('ScannerA', STORED[0]), ('ScannerC', STORED[2])])
def test_scanners_store_one_anatomy_in_orders_of_their_own(root, scanner, stored):
    path = root / scanner / 'image' / 'patient001.nii.gz'
    assert ''.join(aff2axcodes(nibabel.load(path).affine)) == stored
    assert open_image(str(path)).spacing == (8, 2, 2)
    grey, zones = draw_case(scanner, [0, 5, 0], 6, 48, 1.3)
    # The phantom's rows run to the back and its columns to the left, those that are read not.
    inside = np.s_[:, 8:40, 8:40]
    expected = np.rint(4 * grey[inside])[:, ::-1, ::-1]
    np.testing.assert_array_equal(read_volume(str(path), 'image'), expected)
    mask = read_volume(str(root / scanner / 'mask' / 'patient001.nii.gz'), 'label')
    np.testing.assert_array_equal(mask, zones[inside][:, ::-1, ::-1])
    assert 0.02 < (mask > 0).mean() < 0.3 and set(np.unique(mask)) == {0, 1, 2}


def test_the_base_config_gives_its_patches(tmp_path):
    register_all_modules()
    spec = importlib.util.spec_from_file_location('make_phantom', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    counts = ['--train-cases', '4', '--val-cases', '1', '--test-cases', '1', '--slices', '10']
    assert tool.main([str(tmp_path / 'mri'), '--layout', 'nifti', *counts]) == 0
    cfg = Config.fromfile(ROOT / 'configs' / '_base_' / 'datasets' / 'phantom_mri.py')
    train = DATASETS.build(dict(cfg.train_dataloader.dataset, data_root=str(tmp_path / 'mri')))
    assert [len(train.labelled_indices), len(train.unlabelled_indices)] == [2, 2]
    packed = train[int(train.labelled_indices[0])]
    assert packed['inputs']['x_w'].shape == (1, *cfg.patch_size)
    assert packed['inputs']['y'].shape == cfg.patch_size
    for name in ('val', 'test'):
        dataset = dict(cfg[f'{name}_dataloader'].dataset, data_root=str(tmp_path / 'mri'))
        assert len(DATASETS.build(dataset)) == 1
