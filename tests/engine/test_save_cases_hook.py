"""SaveCasesHook: what a test saw and said, also of domains whose masks nobody has."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmssl.datasets.phantom.slices import PhantomSettings, write_phantom
from mmssl.engine.hooks.save_cases_hook import _picture

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def cases(tmp_path_factory):
    """Test a random network on two scanners, the second without masks, by the tool."""
    folder = tmp_path_factory.mktemp('cases')
    settings = PhantomSettings(
        domains=('ScannerA', 'ScannerB'), size=32, train_cases=1, train_slices=2, test_cases=2,
        test_slices=2,
    )  # fmt: skip
    write_phantom(folder / 'phantom', settings, progress=False)
    shutil.rmtree(folder / 'phantom/ScannerB/test/mask')
    spec = importlib.util.spec_from_file_location('test_tool', ROOT / 'tools/test.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    config = str(ROOT / 'configs/sup_only/lite_phantom.py')
    words = [config, 'none', '--save-cases', str(folder / 'cases'), '--work-dir', str(folder / 'w')]
    words += ['--cfg-options', f'data_root={folder}/phantom', 'domains=[ScannerA,ScannerB]']
    words += ['test_dataloader.dataset.without_masks=ScannerB']
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['test.py', *words])
        tool.main()
    return folder / 'cases'


def test_a_case_has_image_truth_predictions_and_probabilities(cases):
    with np.load(cases / 'ScannerA_00_01.npz', allow_pickle=False) as case:
        about = json.loads(str(case['about']))
        arrays = {key: case[key] for key in case.files if key != 'about'}
    assert about['domain'] == 'ScannerA' and about['case'] == '00' and about['slice'] == '01'
    assert about['ori_shape'] == [32, 32]
    assert {*arrays} == {'image', 'truth', 'pred_unet', 'prob_unet'}
    assert all(array.dtype == np.uint8 for array in arrays.values())
    assert arrays['image'].shape == arrays['truth'].shape == arrays['pred_unet'].shape == (64, 64)
    prob = arrays['prob_unet'].astype(int)
    assert prob.shape == (2, 64, 64) and np.abs(prob.sum(0) - 255).max() <= 1
    sure = prob[0] != prob[1]
    assert (prob.argmax(0) == arrays['pred_unet'])[sure].all()
    assert len({path.name for path in cases.glob('*.npz')}) == 8


def test_a_domain_without_masks_is_predicted_and_not_scored(cases):
    about = json.loads((cases / 'cases.json').read_text())
    assert about['without_masks'] == ['ScannerB'] and about['students'] == ['unet']
    results = json.loads((cases / 'results.json').read_text())
    assert {image['domain'] for image in results['images']} == {'ScannerA'}
    assert len(results['images']) == 4 and list(results['students']['unet']['domains']) == [
        'ScannerA'
    ]
    with np.load(cases / 'ScannerB_00_00.npz') as case:
        assert 'truth' not in case.files and case['pred_unet'].shape == (32, 32)
    assert results['cases'] == '.' and results['about']['checkpoint'] == 'none'
    assert results['about']['versions']['torch'] == torch.__version__.partition('+')[0]


def test_sizes_in_the_results_are_those_of_the_masks(cases):
    results = json.loads((cases / 'results.json').read_text())
    image = next(one for one in results['images'] if one['name'] == '00_01')
    with np.load(cases / 'ScannerA_00_01.npz') as case:
        assert image['sizes']['truth'] == {'organ': int((case['truth'] == 1).sum())}
        assert image['sizes']['unet'] == {'organ': int((case['pred_unet'] == 1).sum())}
        both = int(((case['truth'] == 1) & (case['pred_unet'] == 1)).sum())
    sizes = image['sizes']['truth']['organ'] + image['sizes']['unet']['organ']
    assert image['scores']['unet']['organ']['DSC'] == pytest.approx(200 * both / sizes)


def test_a_missing_mask_names_the_way_out(cases):
    from mmssl.registry import DATASETS
    from mmssl.utils.setup import load_config, register_all_modules

    register_all_modules()
    options = {'data_root': str(cases.parent / 'phantom'), 'domains': ['ScannerA', 'ScannerB']}
    cfg = load_config(ROOT / 'configs/sup_only/lite_phantom.py', options)
    with pytest.raises(FileNotFoundError, match=r'without_masks=\["ScannerB"\]'):
        DATASETS.build(cfg.test_dataloader.dataset)


def test_values_that_are_no_grey_levels_are_stretched():
    values = torch.linspace(-3, 5, 1000).reshape(1, 10, 100)
    picture = _picture(values)
    assert picture.shape == (10, 100) and picture.min() == 0 and picture.max() == 255
    assert _picture(torch.full((3, 4, 5), 7, dtype=torch.uint8)).shape == (4, 5, 3)
    volume = torch.arange(24, dtype=torch.uint8).reshape(1, 2, 3, 4)
    assert (_picture(volume) == volume[0].numpy()).all()
