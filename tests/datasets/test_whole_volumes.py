"""Whole volumes as samples: layouts, splits, labelled ones, what is read and what must not be."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmssl.datasets import MSD, BraTS, LeftAtrium, MixedDomainDataset, Pancreas
from mmssl.datasets.files import expansion
from mmssl.registry import DATASETS
from mmssl.structures import Draw
from mmssl.utils.setup import load_config, register_all_modules
from tests.whole_files import (
    solid,
    write_h5,
    write_left_atrium,
    write_msd,
    write_nifti,
    write_slices,
)

register_all_modules()
ROOT = Path(__file__).parents[2]
HIPPOCAMPUS = Path(os.environ.get('MMSSL_DATA', 'none')) / 'hippocampus'
LOAD = [dict(type='LoadVolume'), dict(type='LoadMask')]
BY_CASE = dict(
    image_dir='data',
    mask_dir='data',
    image_suffixes='.h5',
    mask_suffixes='.h5',
    sample='volume',
    label_map={0: 0, 1: 1},
    split=dict(type='case', test=0.25, seed=None),
    case_pattern=r'(?P<volume>(?P<case>p\d+)_[a-z])(_(?P<slice>\d+))?',
)


def build(kind, root, **options):
    return kind(str(root), prepare=LOAD, **options)


def one(dataset, name, labelled=True):
    """Return the results for one volume, by its name."""
    index = [sample.name for sample in dataset.samples].index(name)
    return dataset[Draw(index, 0, 0, labelled)]


@pytest.mark.parametrize('folder', ['2018LA_Seg_Training Set', '.'])
def test_left_atrium_reads_the_published_files_and_lists(tmp_path, folder):
    names = write_left_atrium(tmp_path, folder=folder)
    train = build(LeftAtrium, tmp_path, labelled=dict(num=2, list='train.list'))
    labelled = {train.samples[index].name for index in train.labelled_indices}
    assert labelled == set(names[:2]), 'the first of the list, not of the sorted names'
    assert {sample.name for sample in train.samples} == set(names[:5])
    image, mask = solid(1)
    found = one(train, names[1])
    assert found['img'].dtype == np.float32
    np.testing.assert_array_equal(found['img'][..., 0], image)
    np.testing.assert_array_equal(found['gt'], mask)
    assert found['ori_shape'] == image.shape and found['spacing'] is found['affine'] is None
    test = build(LeftAtrium, tmp_path, mode='test')
    assert sorted(sample.name for sample in test.samples) == sorted(names[5:])


def test_msd_takes_classes_from_its_description(tmp_path):
    write_msd(tmp_path, 10, labels=('background', 'front', 'back part'))
    train = build(MSD, tmp_path, labelled=dict(cases=3))
    assert train.metainfo['classes'] == ('background', 'front', 'back part')
    assert [len(train.labelled_indices), len(train.unlabelled_indices)] == [3, 4]
    parts = [
        {sample.name for sample in build(MSD, tmp_path, mode=mode).samples}
        for mode in ('val', 'test')
    ]
    assert [len(part) for part in parts] == [1, 2] and not parts[0] & parts[1]
    assert not {sample.name for sample in train.samples} & (parts[0] | parts[1])
    first = train[int(train.labelled_indices[0])]
    assert set(np.unique(first['gt'])) == {0, 1, 2}
    # stored (x, y, z), read (slice, row, column)
    assert first['img'].shape == (5, 6, 7, 1) and first['spacing'] == (1, 1, 1)


def test_msd_reads_the_channels_that_are_named(tmp_path):
    write_msd(tmp_path, 5, channels=('T2', 'ADC', 'FLAIR'))
    with pytest.raises(ValueError, match=r'3 channels \("T2", "ADC", "FLAIR", by .*modality='):
        build(MSD, tmp_path, mode='test')
    with pytest.raises(ValueError, match='modality names "T1".*lists "T2"'):
        build(MSD, tmp_path, mode='test', modality='T1')
    one_channel = build(MSD, tmp_path, mode='test', modality='ADC')[0]['img']
    two = build(MSD, tmp_path, mode='test', modality=['FLAIR', 'T2'])[0]['img']
    assert one_channel.shape[-1] == 1 and two.shape[-1] == 2
    np.testing.assert_array_equal(two[..., 0], two[..., 1] + 2000)
    np.testing.assert_array_equal(one_channel[..., 0], two[..., 1] + 1000)
    with pytest.raises(ValueError, match='a slice is of one frame'):
        build(MSD, tmp_path, mode='test', modality=['FLAIR', 'T2'], sample='slice')


def test_msd_without_a_description_says_what_it_needs(tmp_path):
    write_msd(tmp_path, 5)
    (tmp_path / 'dataset.json').unlink()
    with pytest.raises(FileNotFoundError, match='dataset.json does not exist.*label_map='):
        build(MSD, tmp_path, mode='test')
    own = build(MSD, tmp_path, mode='test', label_map={0: 0, (1, 2): 1})
    assert set(np.unique(own[0]['gt'])) == {0, 1}
    (tmp_path / 'dataset.json').write_text('{"labels": ["liver"]}')
    with pytest.raises(ValueError, match='has labels = .*"0": "background"'):
        build(MSD, tmp_path, mode='test')


def test_brats_and_pancreas_read_their_usual_layouts(tmp_path):
    for number, name in enumerate(('BraTS19_2013_0_1', 'BraTS19_CBICA_AAB_1', 'BraTS19_TMC_1_1')):
        image, mask = solid(number)
        write_h5(tmp_path / 'brats' / 'data' / f'{name}.h5', image, 4 * mask)
        part = ('train', 'val', 'test')[number]
        (tmp_path / 'brats' / f'{part}.txt').write_text(f'{name}\n')
    for part in ('val', 'test'):
        assert set(np.unique(build(BraTS, tmp_path / 'brats', mode=part)[0]['gt'])) == {0, 1}
    for number in range(3):
        image, mask = solid(number)
        write_h5(tmp_path / 'ct' / 'Pancreas_h5' / f'image{number:04d}_norm.h5', image, mask)
    (tmp_path / 'ct' / 'train.list').write_text('image0002\nimage0000\n')
    (tmp_path / 'ct' / 'test.list').write_text('image0001\n')
    train = build(Pancreas, tmp_path / 'ct', labelled=dict(num=1, list='train.list'))
    assert [train.samples[index].case for index in train.labelled_indices] == ['image0002']
    np.testing.assert_array_equal(train[1]['img'][..., 0], solid(2)[0])


@pytest.mark.parametrize('suffix', ['.png', '.h5'])
def test_slices_in_several_files_are_stacked_by_their_number(tmp_path, suffix):
    write_slices(tmp_path, suffix=suffix)
    png = dict(mask_dir='masks', image_suffixes='.png', mask_suffixes='.png')
    layout = {**BY_CASE, **(png if suffix == '.png' else {})}
    train = MixedDomainDataset(
        str(tmp_path), ['a'], labelled=dict(num=2, seed=None), prepare=LOAD, **layout
    )
    assert [sample.name for sample in train.samples] == [f'p{n}_a' for n in range(6)]
    assert list(train.labelled_indices) == [0, 1], 'num counts volumes'
    found = one(train, 'p1_a')
    expected = (10 * np.arange(1, 13) + 1) / (7 if suffix == '.h5' else 1)
    np.testing.assert_allclose(found['img'][:, 0, 0, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(found['gt'][:, 3, 5], np.arange(1, 13) % 2)
    assert found['ori_shape'] == (12, 4, 6)
    test = MixedDomainDataset(str(tmp_path), ['a'], mode='test', prepare=LOAD, **layout)
    assert [sample.name for sample in test.samples] == ['p6_a', 'p7_a']
    np.testing.assert_array_equal(test.read_mask(0), test[0]['gt'])


def test_a_split_or_a_gap_within_a_volume_does_not_pass_unseen(tmp_path, monkeypatch):
    write_slices(tmp_path, slices=3, suffix='.h5')
    halves = dict(BY_CASE, split=dict(type='slice', test=(0, 4), check_patients=False))
    with pytest.raises(ValueError, match='"p1_a" has 3 slices, of which the split chooses 1'):
        MixedDomainDataset(str(tmp_path), ['a'], mode='test', **halves)
    (tmp_path / 'data' / 'p7_a_2.h5').unlink()
    said = []
    monkeypatch.setattr(expansion, 'warn_once', said.append)
    MixedDomainDataset(str(tmp_path), ['a'], mode='test', **BY_CASE)
    assert len(said) == 1 and '"p7_a" has 2 slices with numbers from 1 to 3' in said[0]


def test_acdc_gives_its_training_slices_as_volumes(tmp_path):
    from mmssl.datasets import ACDC

    for patient in (1, 2, 3):
        for k in (1, 2, 10):
            write_h5(
                tmp_path / 'data' / 'slices' / f'patient00{patient}_frame01_slice_{k}.h5',
                np.full((4, 5), k / 10, np.float32),
                np.ones((4, 5), np.uint8),
            )
    for patient in (1, 4, 5):
        write_h5(tmp_path / 'data' / f'patient00{patient}_frame01.h5', *solid(patient))
    names = [f'patient00{p}_frame01_slice_{k}' for p in (3, 1, 2) for k in (1, 2, 10)]
    (tmp_path / 'train_slices.list').write_text('\n'.join(names))
    for part, patient in (('val', 5), ('test', 4)):
        (tmp_path / f'{part}.list').write_text(f'patient00{patient}_frame01\n')
    labelled = dict(cases=1, list='train_slices.list')
    train = build(ACDC, tmp_path, sample='volume', labelled=labelled)
    assert [train.samples[i].name for i in train.labelled_indices] == ['patient003_frame01']
    np.testing.assert_allclose(train[0]['img'][:, 0, 0, 0], [0.1, 0.2, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(
        build(ACDC, tmp_path, sample='volume', mode='test')[0]['img'][..., 0], solid(4)[0]
    )


@pytest.mark.parametrize('cache', [False, True, 'lazy'])
def test_masks_of_unlabelled_volumes_are_never_opened(tmp_path, cache):
    stems = write_msd(tmp_path, 8)
    options = dict(labelled=dict(num=2, seed=1), cache=cache)
    before = build(MSD, tmp_path, **options)
    unlabelled = {before.samples[i].name for i in before.unlabelled_indices}
    others = [stem for stem in stems if stem in unlabelled]
    for stem in others[:-1]:
        (tmp_path / 'labelsTr' / f'{stem}.nii.gz').write_bytes(b'noise')
    (tmp_path / 'labelsTr' / f'{others[-1]}.nii.gz').unlink()
    after = build(MSD, tmp_path, **options)
    for index in range(len(before)):
        first, second = (data[Draw(index, 3, 1, before.samples[index].labelled)]
                         for data in (before, after))  # fmt: skip
        np.testing.assert_array_equal(first['img'], second['img'])
        assert ('gt' in second) == before.samples[index].labelled == ('mask_paths' in second)


@pytest.mark.parametrize('cache', [False, True, 'lazy'])
def test_volumes_are_handed_out_read_only_without_a_copy(tmp_path, cache):
    write_msd(tmp_path, 6)
    data = build(MSD, tmp_path, labelled=dict(num=2), cache=cache)
    index = int(data.labelled_indices[0])
    first, second = data[index], data[index]
    for key in ('img', 'gt'):
        assert (first[key] is second[key]) == bool(cache)
        with pytest.raises(ValueError, match='read-only'):
            first[key][0] = 0
    assert first is not second


def test_what_a_sample_is_is_said_once(tmp_path):
    write_slices(tmp_path, volumes=4, slices=2, suffix='.h5')
    shutil.copytree(tmp_path / 'data', tmp_path / 'a')
    with pytest.raises(ValueError, match='"slice" for some domains and "volume" for others'):
        MixedDomainDataset(
            str(tmp_path), ['a', 'b'], mode='test', overrides=dict(a=dict(sample='slice')),
            **BY_CASE,
        )  # fmt: skip
    with pytest.raises(ValueError, match=r"sample = 'case' is not known \(known: slice, volume"):
        MixedDomainDataset(str(tmp_path), ['a'], mode='test', **dict(BY_CASE, sample='case'))


def test_holdout_domains_and_labels_of_all_count_volumes(tmp_path):
    for domain in ('a', 'b'):
        for number in range(6):
            write_h5(tmp_path / domain / f'p{number}_a.h5', *solid(number))
    layout = dict(
        BY_CASE, image_dir='{domain}', mask_dir='{domain}', prepare=LOAD,
        labelled=dict(domain='all', cases=3, seed=0), holdout=dict(fraction=0.3, domains='all'),
    )  # fmt: skip
    train, val = (
        MixedDomainDataset(str(tmp_path), ['a', 'b'], mode=mode, **layout)
        for mode in ('train', 'val')
    )
    named = [{(one.domain, one.name) for one in data.samples} for data in (train, val)]
    assert [len(names) for names in named] == [8, 2] and not named[0] & named[1]
    assert len(train.labelled_indices) == 3 and len(train) == 8
    own = MixedDomainDataset(
        str(tmp_path), ['a', 'b'], unlabelled_domains=['b'],
        **{**layout, 'labelled': dict(domain='a', num=2), 'holdout': None},
    )  # fmt: skip
    assert [one.domain for one in own.samples] == ['a'] * 2 + ['b'] * 5


def test_a_bundle_can_say_what_the_volumes_were(tmp_path):
    from mmssl.bundles.data import summarise

    write_msd(tmp_path / 'msd', 6, affine=np.diag([1, 2, 3, 1]))
    found = summarise(build(MSD, tmp_path / 'msd', labelled=dict(num=2)), show=False)
    assert found['domains']['MSD']['images'] == 5 and found['channels'] == [1]
    assert found['domains']['MSD']['height'] == [6] * 3
    assert found['domains']['MSD']['spacing'] == [[3] * 3, [2] * 3, [1] * 3]
    write_slices(tmp_path / 'h5', suffix='.h5')
    data = MixedDomainDataset(
        str(tmp_path / 'h5'), ['a'], labelled=dict(num=2), prepare=LOAD, **BY_CASE
    )
    assert summarise(data, show=False)['domains']['a']['intensity']['p50'][0] == 70 / 7


@pytest.mark.skipif(not HIPPOCAMPUS.is_dir(), reason='MMSSL_DATA names no folder with hippocampus')
def test_real_hippocampus():
    cfg = load_config(ROOT / 'configs' / '_base_' / 'datasets' / 'hippocampus.py')
    parts = {}
    for part in ('train', 'val', 'test'):
        dataset = cfg[f'{part}_dataloader'].dataset
        parts[part] = DATASETS.build({**dataset, 'data_root': str(HIPPOCAMPUS), 'cache': False})
    assert [len(data) for data in parts.values()] == [140, 20, 40]
    assert len(parts['train'].labelled_indices) == 8
    names = [{sample.name for sample in data.samples} for data in parts.values()]
    assert len(set.union(*names)) == 200
    for index in parts['train'].labelled_indices[:3]:
        packed = parts['train'][int(index)]['inputs']
        assert packed['x_w'].shape == (1, 32, 32, 32)
    sample = parts['test'][0]
    truth = sample['data_samples'].gt_sem_seg.data
    assert truth.shape == sample['inputs'].shape and set(truth.unique().tolist()) == {0, 1, 2}
    assert abs(float(sample['inputs'].mean())) < 1e-4
    own = MSD(str(HIPPOCAMPUS), mode='test', split=dict(type='case', test=0.2, seed=1))
    assert own.metainfo['classes'] == ('background', 'Anterior', 'Posterior')


def test_folders_that_name_their_images_and_masks(tmp_path):
    """The challenge's own layout: the same two file names in every case's folder."""
    for number in range(4):
        image, mask = solid(number)
        write_nifti(tmp_path / 'raw' / f'c{number}' / 'lgemri.nii.gz', image)
        write_nifti(tmp_path / 'raw' / f'c{number}' / 'laendo.nii.gz', mask)
    layout = dict(
        image_dir='raw/*', mask_dir='raw/*', named_by='folder', image_name='lgemri',
        mask_name='laendo', sample='volume', label_map={0: 0, 1: 1},
        split=dict(type='case', test=['c3']),
    )  # fmt: skip
    data = MixedDomainDataset(str(tmp_path), ['a'], mode='test', prepare=LOAD, **layout)
    assert [sample.name for sample in data.samples] == ['c3']
    np.testing.assert_array_equal(data[0]['img'][..., 0], solid(3)[0].T)
    (tmp_path / 'raw' / 'c3' / 'laendo.nii.gz').unlink()
    with pytest.raises(FileNotFoundError, match='no mask for image lgemri.nii.gz'):
        MixedDomainDataset(str(tmp_path), ['a'], mode='test', **layout)
