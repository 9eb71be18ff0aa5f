"""The base config of the phantom's volumes reads what `make_phantom.py --layout volumes` writes."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmssl.datasets.batches.collate import semi_collate
from mmssl.datasets.phantom.volumes import VolumeSettings, write_phantom_volumes
from mmssl.registry import DATA_SAMPLERS, DATASETS

CONFIG = Path(__file__).parents[3] / 'configs/_base_/datasets/phantom_volumes.py'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('phantom') / 'volumes'
    settings = VolumeSettings(size=48, train_cases=4, val_cases=1, test_cases=2, slices=4)
    write_phantom_volumes(folder, settings, progress=False)
    return folder


@pytest.fixture(scope='module')
def build(root):
    cfg = Config.fromfile(CONFIG)

    def make(part):
        return DATASETS.build({**cfg[f'{part}_dataloader'].dataset, 'data_root': str(root)})

    return make


def test_labelled_are_the_first_patients_of_the_list(build):
    dataset = build('train')
    assert len(dataset) == 16
    labelled = {dataset.samples[index].case for index in dataset.labelled_indices}
    assert labelled == {'patient001', 'patient002'}


def test_batch_has_every_view(build):
    dataset = build('train')
    sampler = DATA_SAMPLERS.build({**Config.fromfile(CONFIG).train_dataloader.batch_sampler,
                                   'dataset': dataset, 'seed': 0})  # fmt: skip
    inputs = semi_collate([dataset[draw] for draw in next(iter(sampler))])['inputs']
    shapes = {view: tuple(tensor.shape) for view, tensor in inputs.items()}
    image = (1, 64, 64)
    assert shapes == dict(
        x_w=(4, *image), y=(4, 64, 64), u_w=(8, *image), u_s=(8, *image), u_s2=(8, *image),
        box=(8, 5), box2=(8, 5),
    )  # fmt: skip
    assert set(torch.unique(inputs['y']).tolist()) == {0, 1, 2}
    assert inputs['u_w'].max() > 150


@pytest.mark.parametrize(('part', 'volumes'), [('val', [5]), ('test', [6, 7])])
def test_volumes_are_read_slice_by_slice_with_their_own_masks(build, root, part, volumes):
    dataset = build(part)
    names = [f'patient{number:03d}_frame01' for number in volumes]
    assert [sample.volume for sample in dataset.samples] == [n for n in names for _ in range(4)]
    for index in range(len(dataset)):
        sample = dataset[index]
        info = sample['data_samples'].metainfo
        assert sample['inputs'].shape == (1, 64, 64)
        with h5py.File(root / f'data/{info["volume"]}.h5') as file:
            label = file['label'][info['index']]
        gt = sample['data_samples'].gt_sem_seg.data[0].numpy()
        assert gt.shape == (48, 48) and (gt == label).all()
    assert np.unique([s.slice or s.index for s in dataset.samples]).size == 4
