"""A model is compared with the data of every loop before its first batch."""

import pytest

from mmssl.datasets.phantom.slices import PhantomSettings, write_phantom
from mmssl.models.methods.sup_only import SupOnly
from mmssl.registry import RUNNERS
from mmssl.utils.setup import load_config, register_all_modules

OTHER = dict(classes=('background', 'a', 'b'), parts=dict(a=[1], b=[2]))


@pytest.fixture
def config(tmp_path, request):
    small = dict(size=32, train_cases=1, train_slices=3, test_cases=1, test_slices=1)
    write_phantom(tmp_path / 'phantom', PhantomSettings(**small), progress=False)
    register_all_modules()
    cfg = load_config(request.config.rootpath / 'configs/sup_only/lite_phantom.py')
    cfg.work_dir = str(tmp_path / 'run')
    for loader in ('train', 'val', 'test'):
        cfg[f'{loader}_dataloader'].dataset.data_root = str(tmp_path / 'phantom')
    cfg.train_dataloader.dataset.labelled.num = 2
    cfg.train_cfg.update(max_iters=1, val_interval=1)
    cfg.launcher = 'none'
    return cfg


FAULTS = {
    'train': ('train', dict(label_map={128: 2}), 'train_dataloader.dataset: The masks have 3'),
    'val': ('val', dict(label_map={128: 2}), 'val_dataloader.dataset: The masks have 3'),
    'test, before the training': ('test', dict(label_map={128: 2}), 'test_dataloader.dataset: The'),
    'mode of test': ('test', dict(mode='tset'), "mode is 'tset'; it must be one of train, val"),
    'training images in the test': (
        'test', dict(mode='train', labelled=dict(domain='ScannerA')),
        'test_dataloader has a data set of mode="train"'),
    'training images in the validation': (
        'val', dict(mode='train', labelled=dict(domain='ScannerA')),
        'val_dataloader has a data set of mode="train"'),
    'test images in the training': (
        'train', dict(mode='test'), 'train_dataloader has a data set of mode="test"'),
}  # fmt: skip


@pytest.mark.parametrize('case', FAULTS)
def test_what_does_not_fit_is_refused_before_the_first_iteration(config, case, monkeypatch):
    role, options, message = FAULTS[case]
    dataset = config[f'{role}_dataloader'].dataset
    dataset.update(options)
    if 'label_map' in options:
        config.model.students.unet.decode_head.num_classes = 2  # what is stated is compared
        dataset.update(label_map={0: 0, 128: 2, 255: 1}, metainfo=OTHER)
    steps = []
    monkeypatch.setattr(SupOnly, 'train_step', lambda *a, **b: steps.append(1))
    with pytest.raises(ValueError, match=message):
        RUNNERS.build(config).train()
    assert not steps


def test_testing_compares_too(config):
    dataset = config.test_dataloader.dataset
    dataset.update(label_map={0: 0, 128: 2, 255: 1}, metainfo=OTHER)
    with pytest.raises(ValueError, match='test_dataloader.dataset: The masks have 3 classes'):
        RUNNERS.build(config).test()


def test_more_classes_than_the_data_have(config):
    config.model.students.unet.decode_head.num_classes = 3
    with pytest.raises(ValueError, match='networks know 3 classes, but the data set has 2'):
        RUNNERS.build(config).train()
