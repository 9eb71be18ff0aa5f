import copy
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_files import (
    disk_mask,
    noise,
    prostate,
    slices,
    write_pairs,
    write_png,
    write_prostate,
)
from torch.utils.data import DataLoader

from mmssl.datasets.batches import SemiSampler
from mmssl.datasets.batches.collate import semi_collate
from mmssl.datasets.files import counts
from mmssl.datasets.files.counts import compare_counts
from mmssl.datasets.reading.decode import DataError
from mmssl.registry import DATASETS
from mmssl.structures import Draw


@pytest.fixture
def root(tmp_path):
    return write_prostate(tmp_path / 'images of masks')


def build(root, **options):
    return DATASETS.build(prostate(root, **options))


def names(dataset, indices):
    return [f'{dataset.samples[i].domain}/{dataset.samples[i].name}' for i in indices]


def equal(first, second) -> bool:
    """Compare two packed samples or batches bit by bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(equal, first, second))
    if torch.is_tensor(first):
        return torch.equal(first, second)
    if hasattr(first, 'metainfo'):
        return first.metainfo == second.metainfo
    return first == second


def test_labelled_and_unlabelled_parts(root):
    dataset = build(root)
    assert len(dataset) == 18
    assert names(dataset, dataset.labelled_indices) == ['A/00_00', 'A/00_01']
    unlabelled = names(dataset, dataset.unlabelled_indices)
    assert unlabelled[:4] == ['A/01_00', 'A/01_01', 'A/02_00', 'A/02_01'] and len(unlabelled) == 16
    assert dataset.samples[0].case == '00' and dataset.samples[1].slice == '01'
    assert all(dataset.samples[i].mask_paths is None for i in dataset.unlabelled_indices)


def test_restricted_pool(root):
    assert build(root, domains='A').domains == ['A']
    dataset = build(root, unlabelled_domains=['B'])
    assert len(dataset.labelled_indices) == 2
    assert {dataset.samples[i].domain for i in dataset.unlabelled_indices} == {'B'}


def test_modes_test_and_val(root):
    dataset = build(root, mode='test', labelled=None)
    assert [s.domain for s in dataset.samples] == ['A', 'A', 'B', 'B', 'C', 'C']
    assert len(dataset.labelled_indices) == 6
    sample = dataset[3]
    info = sample['data_samples'].metainfo
    assert (info['domain'], info['case'], info['slice'], info['name']) == ('B', '00', '01', '00_01')
    assert sample['data_samples'].gt_sem_seg.data.max() == 1
    holdout = dict(fraction=0.3, seed=None)
    val, train = build(root, mode='val', holdout=holdout), build(root, holdout=holdout)
    assert [(s.domain, s.case) for s in val.samples] == [('A', '02')] * 2
    assert len(train) == 16 and not {s.img_path for s in val.samples} & {
        s.img_path for s in train.samples
    }
    everywhere = build(root, mode='val', holdout=dict(fraction=0.3, domains='all'))
    assert {s.domain for s in everywhere.samples} == {'A', 'B', 'C'}
    # In testing neither the held-out images nor the labelled domain matter.
    options = dict(mode='test', domains=['B', 'C'], labelled=dict(domain='A'))
    for held in ('all', 'labelled'):
        holdout = dict(fraction=0.3, domains=held)
        assert len(build(root, **options, holdout=holdout)) == 4
    with pytest.raises(ValueError, match='no validation part: give holdout'):
        build(root, mode='val')


@pytest.mark.parametrize('cache', [False, True, 'lazy'])
def test_unlabelled_masks_are_never_read(root, cache):
    """Noise in place of the unlabelled masks, or no mask at all, changes nothing."""

    def batches():
        dataset = build(root, cache=cache)
        sampler = SemiSampler(dataset=dataset, num_labelled=2, num_unlabelled=4, seed=3)
        return [semi_collate([dataset[d] for d in sampler.batch(i)]) for i in range(6)]

    before = batches()
    for path in root.glob('*/train/mask/*.png'):
        if (path.parts[-4], path.stem) not in (('A', '00_00'), ('A', '00_01')):
            write_png(path, noise(5, (3, 3)))
    assert equal(before, batches())
    for path in root.glob('*/train/mask/*.png'):
        if (path.parts[-4], path.stem) not in (('A', '00_00'), ('A', '00_01')):
            path.unlink()
    assert equal(before, batches())
    shutil.rmtree(root / 'B/train/mask')
    assert equal(before, batches())
    # The labelled masks do matter.
    write_png(root / 'A/train/mask/00_00.png', disk_mask(inside=255, outside=0))
    assert not equal(before, batches())


def test_no_file_of_unlabelled_masks_is_touched(root, monkeypatch):
    """Not even looked at: every path that is opened is an image or a labelled mask."""
    opened = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, 'read_bytes', lambda p: opened.append(p) or read_bytes(p))
    dataset = build(root, cache=True)
    for index in range(len(dataset)):
        dataset[index]
    masks = {path for path in opened if path.parent.name == 'mask'}
    assert {path.name for path in masks} == {'00_00.png', '00_01.png'}
    assert {path.parts[-4] for path in masks} == {'A'}


def test_sample_depends_on_seed_iteration_and_slot_alone(root):
    dataset = build(root, seed=7)
    draw = Draw(5, 3, 1, False)
    first = dataset[draw]
    dataset[2]
    assert equal(first, dataset[draw]) and equal(first, build(root, seed=7)[draw])
    others = [
        build(root, seed=8)[draw],
        dataset[Draw(5, 4, 1, False)],
        dataset[Draw(5, 3, 2, False)],
    ]
    assert not any(equal(first, other) for other in others)


def test_a_labelled_and_an_unlabelled_draw_of_one_slot_are_two(root):
    dataset = build(root, pipeline=[])
    labelled, unlabelled = (dataset[Draw(0, 3, 1, flag)]['rng'].random(4) for flag in (True, False))
    assert not np.array_equal(labelled, unlabelled)


def test_labelled_image_drawn_without_its_label(root):
    for cache in (False, True, 'lazy'):
        dataset = build(root, cache=cache, pipeline=[])
        for labelled in (False, True, False, True):
            results = dataset[Draw(0, 0, 0, labelled)]
            assert results['labelled'] == labelled
            assert ('gt' in results) == ('mask_paths' in results) == labelled
    with pytest.raises(ValueError, match='drawn with a label but has none'):
        build(root)[Draw(9, 0, 0, True)]


@pytest.mark.parametrize('cache', [False, True, 'lazy'])
@pytest.mark.parametrize('workers', [0, 2])
def test_cache_and_workers_change_nothing(root, cache, workers):
    def batches(cache, workers):
        dataset = build(root, cache=cache)
        sampler = SemiSampler(dataset=dataset, num_labelled=2, num_unlabelled=3, seed=0)
        loader = DataLoader(
            dataset, batch_sampler=sampler, num_workers=workers, collate_fn=semi_collate
        )
        return [batch for batch, _ in zip(loader, range(8), strict=False)]

    assert equal(batches(False, 0), batches(cache, workers))


def test_cached_arrays_cannot_be_spoilt(root):
    dataset = build(root, cache=True)
    before = dataset.cache.get(0)
    spoilt = dataset.cache.get(0)
    spoilt['img'][:] = 0
    assert (dataset.cache.get(0)['img'] == before['img']).all() and before['img'].any()
    assert len(dataset.cache) == 18 and dataset.cache.num_bytes == 18 * 256 + 2 * 256
    with pytest.raises(ValueError, match='has cache=2; it must be'):
        build(root, cache=2)


def test_pipelines_of_the_two_kinds(root):
    pack = [dict(type='PackSemiInputs')]
    dataset = build(root, unlabelled_pipeline=pack)
    assert set(dataset[9]['inputs']) == {'u_w'} and set(dataset[0]['inputs']) == {'x_w', 'x_s', 'y'}
    plain = build(root, pipeline=pack)[0]['inputs']['x_w']
    draws = [Draw(0, k, 0, True) for k in range(4)]
    assert any(not torch.equal(plain, dataset[d]['inputs']['x_w']) for d in draws)
    dataset = build(root, labelled_pipeline=pack)
    assert all(torch.equal(plain, dataset[d]['inputs']['x_w']) for d in draws)


def test_head_comes_first_in_both_pipelines(root):
    plain, headed = build(root), build(root, head=[dict(type='TrackGeometry')])
    assert 'x_grid' not in plain[0]['inputs']
    for index, kind in ((0, 'x'), (len(headed) - 1, 'u')):
        grid = headed[index]['inputs'][f'{kind}_grid']
        assert grid.shape == headed[index]['inputs'][f'{kind}_w'].shape[1:]


def test_metainfo_by_default_and_given(root):
    info = build(root).metainfo
    assert info['classes'] == ('background', 'class1') and info['parts'] == {'class1': [1]}
    assert info['num_classes'] == 2  # as the label map has, whatever names there are
    assert info['domains'] == ['A', 'B', 'C'] and len(info['palette']) == 2
    given = dict(classes=['background', 'gland'], parts={'gland': [1]}, dataset_name='mine')
    info = build(root, metainfo=given).metainfo
    assert info['parts'] == {'gland': [1]} and info['dataset_name'] == 'mine'
    with pytest.raises(ValueError, match='class id 1, but there are only 1 classes'):
        build(root, metainfo=dict(classes=['background']))
    with pytest.raises(ValueError, match='Part "gland" = .* 1 to 1'):
        build(root, metainfo=dict(parts={'gland': [2]}))


def test_flat_tree_with_a_split_of_its_own_for_each_domain(tmp_path):
    write_pairs(tmp_path / 'A', slices(4, 2))
    write_pairs(tmp_path / 'B', slices(4, 2))
    (tmp_path / 'A/train.txt').write_text('\n'.join(slices(4, 2)[:5]))
    (tmp_path / 'A/test.txt').write_text('\n'.join(slices(4, 2)[5:]))
    options = dict(
        domains=['A', 'B'],
        image_dir='{domain}/image',
        mask_dir='{domain}/mask',
        case_pattern=None,  # both splits cut through cases
        split=dict(type='slice', test=(3, None, 4)),
        overrides=dict(A=dict(split=dict(type='list', train='A/train.txt', test='A/test.txt'))),
    )
    train, test = build(tmp_path, **options), build(tmp_path, mode='test', **options)
    assert names(test, range(len(test))) == [
        'A/02_01', 'A/03_00', 'A/03_01', 'B/01_01', 'B/03_01',
    ]  # fmt: skip
    assert len(train) == 5 + 6


def test_label_map_of_one_domain(root):
    options = dict(label_map={0: 0, 255: 1}, overrides=dict(A=dict(label_map={0: 1, 255: 0})))
    dataset = build(root, mode='test', **options)
    first, last = dataset[0], dataset[len(dataset) - 1]
    assert first['data_samples'].gt_sem_seg.data.float().mean() < 0.4
    assert last['data_samples'].gt_sem_seg.data.float().mean() > 0.6


def test_several_masks_of_an_image_in_one_folder(tmp_path):
    for name in ('benign (1)', 'benign (10)', 'benign (2)'):
        write_png(tmp_path / f'benign/{name}.png', noise(1))
        write_png(tmp_path / f'benign/{name}_mask.png', disk_mask(inside=255, outside=0))
    second = np.zeros((20, 24), np.uint8)
    second[:2] = 255
    write_png(tmp_path / 'benign/benign (2)_mask_1.png', second)
    options = dict(
        domains=['benign'],
        image_dir='{domain}',
        mask_dir='{domain}',
        mask_name='{name}_mask*',
        split=dict(type='slice', train=(0, 1)),
        labelled=dict(num=1),
        label_map={0: 0, 255: 1},
        case_pattern=None,
    )
    dataset = build(tmp_path, mode='test', **options)
    assert [s.name for s in dataset.samples] == ['benign (10)', 'benign (2)']
    assert [len(s.mask_paths) for s in dataset.samples] == [1, 2]
    single, merged = (dataset._run_prepare(i)['gt'].sum() for i in range(2))
    assert merged > single
    with pytest.raises(ValueError, match='share "{domain}": tell them apart'):
        build(tmp_path, **{**options, 'mask_name': '{name}'})


def test_published_counts_are_compared_once(root, monkeypatch):
    published = dict(train=dict(A=6, B=7), test=9)
    metainfo = dict(dataset_name='once', published_counts=published)
    messages = []
    monkeypatch.setattr(counts, 'print_log', lambda text, **options: messages.append(text))
    build(root, metainfo=metainfo)
    build(root, metainfo=metainfo)
    assert len(messages) == 1
    assert 'once: the number of train images differs' in messages[0]
    assert 'B 6 (published: 7)' in messages[0] and 'A 6' not in messages[0]


def test_published_total_counts_only_with_all_domains(root):
    dataset = build(root, mode='test')
    found = {domain: dataset._index(domain).total for domain in 'ABC'}
    published = dict(train=dict(A=6, B=6, C=6), test=9)
    info = dict(dataset_name='x', published_counts=published)
    assert 'all domains 6 (published: 9)' in compare_counts(info, 'test', found)
    assert compare_counts(info, 'test', {'A': found['A'], 'B': found['B']}) is None
    assert compare_counts({**info, 'published_counts': {}}, 'test', found) is None
    assert compare_counts(info, 'train', {'A': found['A']}) is not None


FAULTS = {
    'data root': (dict(data_root='/nowhere'), 'data_root "/nowhere" does not exist'),
    'mode': (dict(mode='trian'), 'mode = "trian" is not known .known: train, val, test'),
    'labelled domain': (
        dict(labelled=dict(domain='D', num=1)),
        'labelled.domain names domain "D", which is not known .known: A, B, C',
    ),
    'override': (dict(overrides=dict(E={})), 'overrides names domain "E"'),
    'pool': (dict(unlabelled_domains=['F']), 'unlabelled_domains names domain "F"'),
    'no labels': (dict(labelled=None), 'needs labelled=dict'),
    'typo in labelled': (dict(labelled=dict(domain='A', nmu=2)), 'unknown key "nmu"'),
    'twice': (dict(domains=['A', 'A']), 'give each name once'),
    'too many': (
        dict(labelled=dict(domain='A', num=99)), 'asks for 99 .*domain "A" has 6.*at most 6'
    ),
    'option': (dict(lable_map={}), 'option "lable_map" is not known .known: image_dir'),
    'no label map': (dict(label_map=None), 'label_map is missing'),
    'case': (dict(case_pattern='x(?P<case>.)'), 'Domain "A": the name "00_00" does not fit'),
    'split': (dict(image_dir='{domain}/image'), 'put {split} into it'),
    'split type': (dict(split=dict(type='fraction', test=0.2)), 'leave {split} out'),
}  # fmt: skip


@pytest.mark.parametrize('fault', FAULTS)
def test_config_faults(root, fault):
    options, message = FAULTS[fault]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        build(root, **options)


def test_labelled_image_without_mask(root):
    (root / 'A/train/mask/00_01.png').unlink()
    with pytest.raises(FileNotFoundError) as error:
        build(root)
    message = str(error.value)
    assert 'Domain "A" has no mask for image 00_01.png' in message and '\n' not in message
    assert "domains=['B', 'C']" in message and 'another labelled.domain' in message
    assert str(root / 'A/train/mask/00_01') in message
    build(root, labelled=dict(domain='B', num=2))


def test_test_image_without_mask_and_mask_without_image(root):
    (root / 'B/test/mask/00_01.png').unlink()
    with pytest.raises(FileNotFoundError, match='Domain "B" has no mask for image 00_01.png'):
        build(root, mode='test')
    (root / 'B/test/image/00_01.png').unlink()
    build(root, mode='test')
    write_png(root / 'B/test/mask/09_09.png', disk_mask())
    message = r'Domain "B" has a mask without image: .*09_09.*domains=\[\'A\', \'C\'\]'
    with pytest.raises(FileNotFoundError, match=message):
        build(root, mode='test')
    write_png(root / 'A/train/mask/09_09.png', disk_mask())
    with pytest.raises(FileNotFoundError, match='Domain "A" has a mask without image'):
        build(root)


def test_missing_and_empty_folders(root):
    shutil.rmtree(root / 'C/train')
    with pytest.raises(
        FileNotFoundError, match=r'Domain "C": there is no folder .*\[\'A\', \'B\'\]'
    ):
        build(root)
    (root / 'C/train/image').mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r'Domain "C": no image in .*\.png'):
        build(root)
    build(root, domains=['A', 'B'], overrides=dict(C=dict(channels=1)))


def test_what_is_no_regular_file_is_no_image(root):
    before = len(build(root))
    folder = root / 'A/train/image'
    os.mkfifo(folder / '77_77.png')
    (folder / '78_78.png').mkdir()
    (folder / '79_79.png').symlink_to('/dev/zero')
    os.mkfifo(root / 'A/train/mask/00_00.PNG')
    assert len(build(root)) == before
    write_png(root / '81_81.png', noise(0))
    (folder / '81_81.png').symlink_to(root / '81_81.png')
    write_png(root / 'A/train/mask/81_81.png', disk_mask())
    assert len(build(root)) == before + 1


def test_faults_found_when_a_sample_is_read(root):
    dataset = build(root)
    write_png(root / 'A/train/mask/00_00.png', disk_mask(inside=3))
    message = r'Domain "A": Mask .*00_00\.png has value 3, .*0 -> 1, 255 -> 0.*domains='
    with pytest.raises(DataError, match=message):
        dataset[0]
    with pytest.raises(DataError, match=message):
        build(root, cache=True)
    write_png(root / 'A/train/mask/00_00.png', disk_mask(shape=(20, 20)))
    with pytest.raises(
        DataError, match=r'Domain "A": .*00_00\.png .*same size|Domain "A": .*20x20'
    ):
        dataset[0]
    image = root / 'B/train/image/00_00.png'
    image.write_bytes(image.read_bytes()[:60])
    with pytest.raises(DataError, match=r'Domain "B": .*00_00\.png is broken or cut off'):
        dataset[6]


def test_two_images_of_one_name(root):
    write_png(root / 'B/train/image/00_00.jpg', noise(0))
    with pytest.raises(ValueError, match=r'Domain "B": .*00_00\.jpg and .*the same name'):
        build(root)


def test_config_is_left_as_it_was(root):
    cfg = prostate(root, overrides=dict(B=dict(spacing=(0.5, 0.5))))
    before = copy.deepcopy(cfg)
    dataset = DATASETS.build(cfg)
    assert cfg == before
    assert dataset[6]['data_samples'].metainfo['spacing'] == (0.5, 0.5)
