"""ACDC and M&Ms: slices and volumes, HDF5, NIfTI and PNG; the real ACDC with MMSSL_DATA."""

import os
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from fake_files import (
    ACDC_PATIENTS,
    heart_labels,
    heart_volume,
    noise,
    write_acdc,
    write_h5,
    write_nifti,
    write_png,
)

from mmssl.datasets.files import splits
from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.datasets.reading.decode import DataError
from mmssl.datasets.sets import ACDC, MNMs, MNMsVolumes
from mmssl.datasets.sets.slices import HEART

LOAD = [dict(type='LoadImage'), dict(type='LoadMask')]
ORDER = dict(cases=1, list='train_slices.list')
DATA = Path(os.environ.get('MMSSL_DATA', '')) / 'acdc_h5'
real = pytest.mark.skipif(
    not os.environ.get('MMSSL_DATA') or not DATA.is_dir(),
    reason='MMSSL_DATA names no folder with acdc_h5',
)


@pytest.fixture
def root(tmp_path):
    return write_acdc(tmp_path)


def documented(name):
    """Return a dictionary that a page of the documentation shows."""
    page = (Path(__file__).parents[2] / 'docs/en/data.md').read_text()
    block = next(b for b in re.findall(r'```python\n(.*?)```', page, re.S) if f'{name} = ' in b)
    shown: dict = {}
    exec(block, shown)
    return shown[name]


def acdc(root, **options):
    return ACDC(data_root=root, **{'labelled': ORDER, 'prepare': LOAD, **options})


def cases(dataset, indices=None):
    indices = range(len(dataset)) if indices is None else indices
    return {dataset.samples[index].case for index in indices}


@pytest.mark.parametrize('folder', ['data', 'data/slices'])
def test_acdc_in_both_layouts(tmp_path, folder):
    root = write_acdc(tmp_path, folder)
    train = acdc(root)
    assert (len(train), len(train.labelled_indices)) == (24, 6)
    assert cases(train, train.labelled_indices) == {'patient099'}
    assert cases(train, train.unlabelled_indices) == {'patient038', 'patient050', 'patient007'}
    sample = next(s for s in train.samples if s.name == 'patient099_frame01_slice_3')
    assert (sample.volume, sample.slice, sample.index) == ('patient099_frame01', '3', None)
    assert Path(sample.img_path).parent == root / folder
    expected = heart_volume(991, shape=(20, 22))
    results = train._run_prepare(train.samples.index(sample))
    assert (results['img'][..., 0] == noise(991, (3, 20, 22))[2]).mean() > 0.8
    assert (results['img'][..., 0] == (expected['image'][2] * 255).astype(np.uint8)).all()
    assert (results['gt'] == expected['label'][2]).all()
    assert train.metainfo['classes'] == ('background', 'rv', 'myo', 'lv')
    assert train.metainfo['domains'] == ['ACDC']


@pytest.mark.parametrize('mode', ['val', 'test'])
def test_volumes_give_a_sample_for_each_slice(root, mode):
    dataset = acdc(root, mode=mode, labelled=None)
    assert cases(dataset) == {f'patient{number:03d}' for number in ACDC_PATIENTS[mode]}
    assert len(dataset) == 6 * len(ACDC_PATIENTS[mode])
    assert len({sample.name for sample in dataset.samples}) == len(dataset)
    first = f'patient{min(ACDC_PATIENTS[mode]):03d}_frame02'
    index = next(i for i, s in enumerate(dataset.samples) if s.name == f'{first}_slice_2')
    sample, results = dataset.samples[index], dataset._run_prepare(index)
    assert (sample.volume, sample.slice, sample.index) == (first, '2', 1)
    stored = heart_volume(10 * min(ACDC_PATIENTS[mode]) + 2, shape=(20, 24))
    assert (results['gt'] == stored['label'][1]).all()
    assert (results['img'][..., 0] == (stored['image'][1] * 255).astype(np.uint8)).all()
    assert (results['volume'], results['index']) == (first, 1)
    assert (dataset.read_mask(index) == stored['label'][1]).all()


def test_labels_of_unlabelled_slices_need_not_exist(root):
    def everything():
        train = acdc(root, prepare=[*LOAD, dict(type='ResizeSquare', size=16)])
        return [train._run_prepare(index) for index in range(len(train))]

    before = everything()
    unlabelled = [p for p in root.glob('data/*_slice_*.h5') if 'patient099' not in p.name]
    for number, path in enumerate(unlabelled):
        with h5py.File(path, 'a') as file:
            del file['label']
            if number % 2:
                file['label'] = noise(number, (3, 3))
    for first, second in zip(before, everything(), strict=True):
        assert first.keys() == second.keys()
        assert (first['img'] == second['img']).all()
        assert ('gt' in first) == (first['case'] == 'patient099')
        assert 'gt' not in first or (first['gt'] == second['gt']).all()
    with h5py.File(root / 'data/patient099_frame01_slice_1.h5', 'a') as file:
        del file['label']
    with pytest.raises(DataError, match=r'patient099_frame01_slice_1\.h5 has no dataset "label" '):
        everything()


def test_no_label_dataset_of_an_unlabelled_slice_is_opened(root, monkeypatch):
    opened = []
    get = h5py.File.get
    monkeypatch.setattr(
        h5py.File, 'get',
        lambda self, key, *a, **k: opened.append((Path(self.filename).name[:10], key))
        or get(self, key, *a, **k),
    )  # fmt: skip
    acdc(root, cache=True)
    assert {name for name, key in opened if key == 'label'} == {'patient099'}
    assert len({name for name, key in opened if key == 'image'}) == 4


def test_faults_of_one_file(root):
    path = root / 'data/patient028_frame01.h5'
    for keys in (dict(label=heart_labels()), dict(image=noise(0), img=noise(0))):
        write_h5(path, **keys)
        missing = 'image' if 'image' not in keys else 'label'
        message = rf'patient028_frame01\.h5 has no dataset "{missing}" \(it has: '
        with pytest.raises(DataError, match=message):
            acdc(root, mode='val', value_range='volume', cache=True)
    volume = heart_volume(1, slices=3)
    write_h5(path, image=volume['image'], label=volume['label'][:2])
    with pytest.raises(DataError, match=r'patient028_frame01\.h5 has shape \(2, 20, 24\), its '):
        acdc(root, mode='val')


def test_lists(root):
    text = (root / 'val.list').read_text()
    (root / 'val.list').write_text(text.replace('\n', '.h5\n'))
    assert cases(acdc(root, mode='val')) == {'patient028'}
    (root / 'val.list').write_text(text + 'patient777_frame01\n')
    message = rf'no image "patient777_frame01" in {root}/data or .*line 3 of .*val\.list names\.'
    with pytest.raises(ValueError, match=message):
        acdc(root, mode='val')
    (root / 'val.list').write_text('patient011_frame01\n')
    (root / 'test.list').write_text('patient011_frame02\npatient013_frame01\n')
    with pytest.raises(ValueError, match='"patient011" is in two parts of the split, val and test'):
        acdc(root)
    (root / 'test.list').unlink()
    with pytest.raises(FileNotFoundError, match=r'no list file .*test\.list'):
        acdc(root)


def test_files_in_no_list_do_not_matter(root):
    write_h5(root / 'data/atlas.h5', other=noise(0))
    write_h5(root / 'data/patient500_frame01.h5', image=noise(0))
    assert len(acdc(root)) == 24
    (root / 'val.list').write_text('atlas\n')
    with pytest.raises(ValueError, match='the name "atlas" does not fit case_pattern'):
        acdc(root, mode='val')


def test_volumes_of_the_training_patients(root):
    """The list of volumes names slices where the files are slices, else the volumes."""
    split = dict(ACDC.LAYOUT['split'], train='train.list')
    names = [sample.name for sample in acdc(root, split=split).samples]
    assert names == [sample.name for sample in acdc(root).samples]
    for path in root.glob('data/*_slice_*.h5'):
        path.unlink()
    for patient in ACDC_PATIENTS['train']:
        for frame in (1, 2):
            volume = heart_volume(10 * patient + frame, 3, (20, 20 + 2 * frame))
            write_h5(root / f'data/patient{patient:03d}_frame{frame:02d}.h5', **volume)
    whole = acdc(root, split=split, labelled=dict(cases=2, list='train.list'))
    assert sorted(names) == sorted(sample.name for sample in whole.samples)
    assert cases(whole, whole.labelled_indices) == {'patient099', 'patient038'}
    few = acdc(root, split=split, labelled=dict(num=4, list='train.list'))
    chosen = [few.samples[index].name for index in few.labelled_indices]
    assert chosen == [f'patient099_frame01_slice_{k}' for k in (1, 2, 3)] + [
        'patient099_frame02_slice_1'
    ]


def test_a_volume_beside_its_own_slices_is_refused(root):
    write_h5(root / 'data/patient099_frame01.h5', **heart_volume(0))
    assert len(acdc(root)) == 24
    with pytest.raises(ValueError, match='both belong to volume "patient099_frame01"'):
        acdc(root, split=dict(type='case', test=['patient007']), labelled=dict(num=0))


def test_patients_without_lists(root):
    """70, 10 and 20 % of the patients, and the rest of the training ones held out or not."""
    split = dict(type='case', train=0.5, val=0.2, test=0.3)
    found = {mode: cases(acdc(root, split=split, mode=mode, labelled=dict(num=0)))
             for mode in ('train', 'val', 'test')}  # fmt: skip
    assert found['train'] == {'patient007', 'patient011', 'patient013'}
    assert (found['val'], found['test']) == ({'patient038'}, {'patient050', 'patient099'})
    held = acdc(root, holdout=dict(cases=['patient099']), labelled=ORDER)
    assert cases(held, held.labelled_indices) == {'patient038'}
    val = acdc(root, holdout=dict(cases=['patient099']), mode='val')
    assert cases(val) == {'patient099'} and len(val) == 6


def test_validation_and_test_as_one_set(root, monkeypatch):
    warnings = []
    monkeypatch.setattr(splits, 'print_log', lambda text, **options: warnings.append(text))
    split = dict(ACDC.LAYOUT['split'], merge_val_test=True)
    assert documented('split') == split
    val, test = (acdc(root, split=split, mode=mode) for mode in ('val', 'test'))
    assert val.samples == test.samples and len(cases(val)) == 3
    assert len(warnings) == 2 and 'chosen on the images that it is scored on' in warnings[0]
    assert len(acdc(root, split=split)) == 24


def test_unlabelled_only(root):
    dataset = acdc(root, labelled=dict(num=0))
    assert len(dataset.labelled_indices) == 0 and len(dataset.unlabelled_indices) == 24


def test_nifti_volumes_by_options_alone(tmp_path):
    """The raw layout: a folder for each patient, with a file that is to be left alone."""
    for patient in (1, 2, 3):
        folder = tmp_path / f'training/patient{patient:03d}'
        for frame in (1, 12):
            name = f'patient{patient:03d}_frame{frame:02d}'
            volume = np.arange(3 * 8 * 6, dtype=np.int16).reshape(3, 8, 6) + 100
            write_nifti(folder / f'{name}.nii.gz', volume)
            write_nifti(folder / f'{name}_gt.nii.gz', np.full((3, 8, 6), 3, np.uint8))
        write_nifti(folder / f'patient{patient:03d}_4d.nii.gz', np.zeros((2, 3, 8, 6), np.int16))
    options = {**documented('raw_acdc'), 'data_root': tmp_path, 'prepare': LOAD}
    options.update(split=dict(type='case', val=0.34, test=0.34), labelled=dict(cases=1))
    train = ACDC(**options)
    assert cases(train) == {'patient001'} and len(train.labelled_indices) == 6
    test = ACDC(**options, mode='test')
    assert cases(test) == {'patient003'} and len({s.volume for s in test.samples}) == 2
    results = test._run_prepare(2)
    assert results['spacing'] == (5.0, 1.5, 1.25) and (results['gt'] == 3).all()
    assert results['img'].shape == (8, 6, 1) and results['img'].max() == 255
    assert test._run_prepare(0)['img'].min() == 0
    (tmp_path / 'training/patient003/patient003_frame01_gt.nii.gz').unlink()
    with pytest.raises(FileNotFoundError, match=r'no mask for image patient003_frame01\.nii\.gz'):
        ACDC(**options, mode='test')


def test_png_slices_by_options_alone(tmp_path):
    for patient in range(10):
        for index in (1, 2):
            name = f'patient{patient:03d}_frame01_slice_{index}.png'
            write_png(tmp_path / 'image' / name, noise(patient))
            write_png(tmp_path / 'mask' / name, heart_labels())
    suffixes = dict(image_suffixes=('.png',), mask_suffixes=('.png',))
    split = dict(type='case', val=0.1, test=0.2)
    test = ACDC(
        data_root=tmp_path, mode='test', image_dir='image', mask_dir='mask', split=split,
        prepare=LOAD, **suffixes,
    )  # fmt: skip
    assert cases(test) == {'patient008', 'patient009'}
    assert test.samples[3].volume == 'patient009_frame01' and test.samples[3].slice == '2'
    results = test._run_prepare(3)
    assert (results['img'][..., 0] == noise(9)).all() and (results['gt'] == heart_labels()).all()


def write_mnms(root, patients=10):
    for number in range(patients):
        for frame in ('ED', 'ES'):
            volume = heart_volume(number)
            volume['image'] = volume['image'] * 900 + 30
            write_h5(root / f'data/A{number}B_{frame}.h5', **volume)


def test_mnms_by_patient_with_the_classes_of_acdc(tmp_path):
    write_mnms(tmp_path)
    options = dict(data_root=tmp_path, prepare=LOAD)
    train = MNMsVolumes(**options, labelled=dict(cases=5, seed=0))
    val, test = (MNMsVolumes(**options, mode=mode) for mode in ('val', 'test'))
    assert [len(cases(part)) for part in (train, val, test)] == [7, 2, 1]
    assert not cases(train) & cases(test) and cases(val) | cases(test) != {'A7B', 'A8B', 'A9B'}
    assert len(cases(train, train.labelled_indices)) == 5
    results = test._run_prepare(0)
    assert (results['gt'] == np.choose(heart_labels(), [0, 3, 2, 1])).all()
    assert results['img'].max() > 250 and test.metainfo['classes'] == HEART['classes']


def test_mnms_of_four_vendors_labelled_in_all(tmp_path):
    for vendor in 'AB':
        write_mnms(tmp_path / f'vendor{vendor}', patients=4)
        (tmp_path / f'vendor{vendor}/data').rename(tmp_path / f'v{vendor}')
        shutil.rmtree(tmp_path / f'vendor{vendor}')
    options = dict(
        data_root=tmp_path, domains=['vA', 'vB'], image_dir='{domain}', mask_dir='{domain}',
        split=dict(type='case', val=0.25, test=0.25), prepare=LOAD,
    )  # fmt: skip
    train = MNMsVolumes(**options, labelled=dict(domain='all', cases=3))
    found = {(train.samples[i].domain, train.samples[i].case) for i in train.labelled_indices}
    assert found == {('vA', 'A0B'), ('vA', 'A1B'), ('vB', 'A0B')}
    drawn = MNMsVolumes(**options, labelled=dict(domain='all', cases=2, seed=1))
    assert len(drawn.labelled_indices) == 2 * 2 * 3
    assert len(MNMsVolumes(**options, mode='test')) == 2 * 2 * 3


def test_processed_slices_of_mnms_by_patient(tmp_path):
    """The colour masks of the mixed-domain papers: both folders pooled and split anew."""
    for vendor in ('vendorA', 'vendorB'):
        for case in range(10):
            folder = tmp_path / vendor / ('test' if case > 7 else 'train')
            for index in range(2):
                mask = np.zeros((20, 24, 3), np.uint8)
                mask[4:8, 4:8, 0] = mask[9:12, 4:8, 1] = mask[14:18, 4:8, 2] = 255
                write_png(folder / f'image/{case:03d}{index:03d}.png', noise(case))
                write_png(folder / f'mask/{case:03d}{index:03d}.png', mask)
    options = {**documented('mnms_by_patient'), 'data_root': tmp_path, 'prepare': LOAD}
    options['domains'] = ['vendorA', 'vendorB']
    train = MNMs(**options)
    assert len(train) == 2 * 7 * 2 and len(train.labelled_indices) == 5 * 2
    test = MNMs(**options, mode='test')
    assert len(test) == 2 * 1 * 2
    gt = test._run_prepare(0)['gt']
    assert gt[[5, 10, 15], 5].tolist() == [1, 2, 3]


def test_patients_of_folders_are_compared_if_asked(tmp_path):
    for part, patients in (('train', (1, 2)), ('test', (2, 3))):
        for patient in patients:
            write_h5(tmp_path / part / f'p{patient}_1.h5', image=noise(0), label=heart_labels())
    options = dict(
        data_root=tmp_path, domains=['x'], image_dir='{split}', mask_dir='{split}',
        image_suffixes=('.h5',), mask_suffixes=('.h5',), label_map={0: 0, 1: 1, 2: 2, 3: 3},
        case_pattern=r'(?P<case>p\d)_(?P<slice>\d)', labelled=dict(num=1),
    )  # fmt: skip
    assert len(MixedDomainDataset(**options)) == 2
    split = dict(type='folder', check_patients=True)
    for mode in ('train', 'test'):
        with pytest.raises(ValueError, match='"p2" is in two parts of the split, train and test'):
            MixedDomainDataset(**options, split=split, mode=mode)
    shutil.move(tmp_path / 'test/p2_1.h5', tmp_path / 'test/p4_1.h5')
    assert len(MixedDomainDataset(**options, split=split, mode='test')) == 2


def test_layout_faults(root):
    for options, message in (
        (dict(value_range=(1, 0)), r'value_range = \(1, 0\): give \(low, high\)'),
        (dict(value_range='slice'), "value_range = 'slice'"),
        (dict(spacing=(1.0,)), r'spacing = \(1\.0,\): give'),
        (dict(image_suffixes=('.png', '.h5'), mask_suffixes=('.png',)), 'Images and masks share'),
        (dict(split=dict(type='list', seed=1)), 'must say what train, val or test hold'),
    ):
        with pytest.raises(ValueError, match=message):
            acdc(root, **options)


PUBLISHED = {
    3: (68, '099 038 050'),
    7: (136, '099 038 050 100 058 021 049'),
    14: (256, '099 038 050 100 058 021 049 020 072 040 060 089 004 056'),
}


@real
@pytest.mark.parametrize(('share', 'count'), [(0.05, 3), (0.1, 7), (0.2, 14)])
def test_published_subsets_of_the_real_data(share, count):
    slices, patients = PUBLISHED[count]
    for spec in (dict(cases=count), dict(cases=share), dict(num=slices)):
        train = ACDC(data_root=DATA, labelled=dict(spec, list='train_slices.list'))
        assert len(train.labelled_indices) == slices and len(train) == 1312
        found = cases(train, train.labelled_indices)
        assert found == {f'patient{number}' for number in patients.split()}


@real
def test_real_validation_and_test_volumes():
    for mode, volumes, slices in (('val', 20, 210), ('test', 40, 380)):
        dataset = ACDC(data_root=DATA, mode=mode, prepare=LOAD)
        assert len({s.volume for s in dataset.samples}) == volumes and len(dataset) == slices
        results = dataset._run_prepare(4)
        assert results['img'].dtype == np.uint8 and results['gt'].max() == 3


@real
def test_real_patients_without_lists():
    split = dict(type='case', val=0.1, test=0.2)
    found = [
        cases(ACDC(data_root=DATA, split=split, mode=mode, labelled=dict(num=0)))
        for mode in ('train', 'val', 'test')
    ]
    assert [len(patients) for patients in found] == [70, 10, 20]
    assert len(set.union(*found)) == 100
