"""The four data sets, on fake files of their layouts and, with MMSSL_DATA, on real samples."""

import os
from pathlib import Path

import numpy as np
import pytest
from fake_files import disk_mask, noise, slices, write_pairs, write_png
from PIL import Image

from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.datasets.sets import BUSI, Fundus, MNMs, Prostate

LOAD = [dict(type='LoadImage'), dict(type='LoadMask')]
DATA = Path(os.environ.get('MMSSL_DATA', ''))
real = pytest.mark.skipif(
    not os.environ.get('MMSSL_DATA'), reason='MMSSL_DATA names no folder with real samples'
)


def prepared(dataset) -> list[dict]:
    return [dataset._run_prepare(index) for index in range(len(dataset))]


def write_prostate(root):
    for domain in Prostate.DOMAINS:
        write_pairs(root / domain / 'train', slices(2, 2))
        write_pairs(root / domain / 'test', slices(1, 1))


def write_fundus(root):
    for domain in Fundus.DOMAINS:
        for part in ('train', 'test'):
            folder = root / domain / part / 'ROIs'
            for number, name in enumerate(('g0001', 'n0002')):
                write_png(folder / 'image' / f'{name}.png', noise(number, (20, 24, 3)))
                mask = disk_mask()
                mask[6:9, 8:12] = 128
                write_png(folder / 'mask' / f'{name}.png', np.repeat(mask[..., None], 3, axis=2))


def write_mnms(root):
    for domain in MNMs.DOMAINS:
        for part, case in (('train', '000'), ('test', '076')):
            for index in range(2):
                name = f'{case}{index:03d}.png'
                write_png(root / domain / part / 'image' / name, noise(index))
                mask = np.zeros((20, 24, 3), np.uint8)
                for channel in range(3):
                    mask[4 * channel + 2 : 4 * channel + 6, 5:9, channel] = 255
                write_png(root / domain / part / 'mask' / name, mask)


def write_busi(root):
    for domain, count in (('benign', 11), ('malignant', 7)):
        for number in range(1, count + 1):
            name = f'{domain} ({number})'
            write_png(root / domain / f'{name}.png', np.repeat(noise(number)[..., None], 3, axis=2))
            mask = Image.fromarray(disk_mask(inside=255, outside=0))
            mask.convert(('1', 'L', 'RGB', 'RGBA')[number % 4]).save(
                root / domain / f'{name}_mask.png'
            )
    write_png(root / 'benign/benign (4)_mask_1.png', disk_mask(inside=0, outside=255))


SETS = {
    Prostate: (write_prostate, 'BIDMC', {1}, 1),
    Fundus: (write_fundus, 'Domain2', {1, 2}, 3),
    MNMs: (write_mnms, 'vendorA', {1, 2, 3}, 1),
    BUSI: (write_busi, 'benign', {1}, 1),
}


@pytest.mark.parametrize('kind', SETS)
def test_layouts(tmp_path, kind):
    write, domain, ids, channels = SETS[kind]
    write(tmp_path)
    labelled = dict(domain=domain, num=1)
    train = kind(data_root=tmp_path, labelled=labelled, prepare=LOAD)
    test = kind(data_root=tmp_path, mode='test', prepare=LOAD)
    assert len(train.labelled_indices) == 1 and len(train.unlabelled_indices)
    for results in prepared(test):
        assert set(np.unique(results['gt'])) - {0} == ids
        assert results['img'].shape[2] == channels
    info = test.metainfo
    assert info['domains'] == list(kind.DOMAINS)
    assert set(info['published_counts']['train']) == set(kind.DOMAINS)
    assert max(i for part in info['parts'].values() for i in part) == len(info['classes']) - 1


def test_mnms_channels(tmp_path):
    write_mnms(tmp_path)
    test = MNMs(data_root=tmp_path, mode='test', prepare=LOAD)
    assert test.samples[0].case == '076' and test.samples[1].slice == '001'
    gt = prepared(test)[0]['gt']
    assert gt[:, 5].tolist() == [0] * 2 + [1] * 4 + [2] * 4 + [3] * 4 + [0] * 6
    overlap = np.zeros((20, 24, 3), np.uint8)
    overlap[3, 3] = (255, 255, 0)
    write_png(tmp_path / 'vendorA/test/mask/076000.png', overlap)
    with pytest.raises(ValueError, match=r'Domain "vendorA": Mask .* \[255, 255, 0\]'):
        prepared(test)


def test_prostate_mask_is_inverted(tmp_path):
    write_prostate(tmp_path)
    gt = prepared(Prostate(data_root=tmp_path, mode='test', prepare=LOAD))[0]['gt']
    assert (gt == (disk_mask() == 0)).all()


def test_busi_split_ratio_and_merging(tmp_path):
    write_busi(tmp_path)
    test = BUSI(data_root=tmp_path, mode='test', prepare=LOAD)
    # The last int(0.2 n) in the order of the file names: 11 -> 2, 7 -> 1.
    assert [s.name for s in test.samples] == ['benign (8)', 'benign (9)', 'malignant (7)']
    train = BUSI(data_root=tmp_path, labelled=dict(domain='benign', ratio=1 / 4), prepare=LOAD)
    chosen = [train.samples[i].name for i in train.labelled_indices]
    assert chosen == ['benign (1)', 'benign (10)', 'benign (11)']  # int((9 + 6) / 4) = 3
    everything = BUSI(data_root=tmp_path, labelled=dict(domain='benign'), prepare=LOAD)
    merged = next(s for s in everything.samples if s.name == 'benign (4)')
    assert len(merged.mask_paths) == 2
    assert prepared(everything)[everything.samples.index(merged)]['gt'].min() == 1


def test_the_same_from_a_config_alone(tmp_path):
    write_busi(tmp_path)
    options = dict(data_root=tmp_path, mode='test', prepare=LOAD)
    layout = {**BUSI.LAYOUT, 'split': dict(type='fraction', test=0.2, seed=None)}
    plain = MixedDomainDataset(domains=['benign', 'malignant'], **options, **layout)
    named = BUSI(**options)
    assert plain.samples == named.samples
    pairs = zip(prepared(plain), prepared(named), strict=True)
    assert all((a['gt'] == b['gt']).all() for a, b in pairs)


REAL = {
    Prostate: ('ProstateSlice', [d for d in Prostate.DOMAINS if d != 'I2CVB'], 5),
    Fundus: ('Fundus', None, 4),
    MNMs: ('mnms', None, 12),
    BUSI: ('Dataset_BUSI_with_GT', None, 2),
}


@real
@pytest.mark.parametrize('kind', REAL)
def test_real_samples(kind):
    folder, domains, tests = REAL[kind]
    root = DATA / 'midss_samples' / folder
    test = kind(data_root=root, domains=domains, mode='test', prepare=LOAD)
    assert len(test) == tests
    for results in prepared(test):
        assert results['gt'].max() == len(test.metainfo['classes']) - 1
    labelled = dict(domain=test.domains[0], num=1)
    train = kind(data_root=root, domains=domains, labelled=labelled, prepare=LOAD)
    prepared(train)


@real
def test_real_mask_without_its_image():
    """In the published sample, I2CVB pairs image 00_01 with mask 00_00."""
    root = DATA / 'midss_samples' / 'ProstateSlice'
    message = (
        r'"I2CVB" has no mask for image 00_01.png .*00_00.png is a mask without image.*domains='
    )
    with pytest.raises(FileNotFoundError, match=message):
        Prostate(data_root=root, labelled=dict(domain='I2CVB', num=1))
    train = Prostate(data_root=root, labelled=dict(domain='UCL', num=1), prepare=LOAD)
    assert 'I2CVB' in {train.samples[i].domain for i in train.unlabelled_indices}
    prepared(train)


@real
def test_real_fundus_in_a_flat_tree():
    options = dict(
        data_root=DATA / 'fundus',
        domains=['Domain1_DrishtiGS', 'Domain3_REFUGEtrain'],
        image_dir='{domain}/image',
        mask_dir='{domain}/mask',
        split=dict(type='slice', test=(3, None, 4)),
        overrides=dict(
            Domain1_DrishtiGS=dict(
                split=dict(type='list', train='{domain}/train.txt', test='{domain}/test.txt')
            )
        ),
        prepare=LOAD,
    )
    train = Fundus(labelled=dict(domain='Domain1_DrishtiGS', num=20), **options)
    test = Fundus(mode='test', **options)
    assert (len(train.labelled_indices), len(train.unlabelled_indices)) == (20, 30 + 241)
    assert [sum(s.domain == d for s in test.samples) for d in test.domains] == [51, 80]
    assert {s.name[0] for s in test.samples if s.domain == 'Domain3_REFUGEtrain'} == {'g', 'n'}
    assert set(np.unique(test._run_prepare(60)['gt'])) == {0, 1, 2}
