"""DomainMetric by volume: restacking, MedPy's values, conventions, the table of structures."""

import json

import numpy as np
import pytest
import torch
from medpy.metric import binary as medpy
from mmengine.structures import PixelData

from mmssl.compat import import_mmseg
from mmssl.evaluation import DomainMetric
from mmssl.evaluation import domain_metric as module

META = dict(
    classes=('background', 'rv', 'myo', 'lv'),
    parts={'rv': [1], 'myo': [2], 'lv': [3]},
    domains=['ACDC'],
    dataset_name='acdc',
)
NAMES = {'DSC': 100, 'Jaccard': 100, 'HD95': 1, 'ASD': 1}


def volume(rng, shape):
    """Draw concentric structures that move from slice to slice, with noise between them."""
    z, y, x = np.meshgrid(*map(np.arange, shape), indexing='ij')
    cy, cx = rng.uniform(0.4, 0.6, 2) * shape[1:] + rng.uniform(-0.5, 0.5, 2) * 2
    distance = np.hypot(y - cy - 0.5 * z, x - cx)
    heart = np.select([distance < 3, distance < 6], [3, 2], 0)
    heart[(heart == 0) & (x < cx) & (abs(y - cy) < 4)] = 1
    heart[rng.random(shape) < 0.01] = 1
    return heart.astype(np.uint8)


def slices(gt, pred, name='p1_f1', case='p1', one_file=True, spacing=None):
    """Return the samples of a volume, as the test loader and the model give them."""
    import_mmseg()
    from mmseg.structures import SegDataSample

    found = []
    for index, (truth, guess) in enumerate(zip(gt, pred, strict=True)):
        data = SegDataSample(
            gt_sem_seg=PixelData(data=torch.from_numpy(truth)[None]),
            pred_unet=PixelData(data=torch.from_numpy(guess)[None]),
        )
        data.set_metainfo(dict(
            domain='ACDC', case=case, volume=name, slice=str(index + 1),
            index=index if one_file else None, name=f'{name}_slice_{index + 1}',
            img_path=f'/x/{name}.h5' if one_file else f'/x/{name}_slice_{index + 1}.h5',
            ori_shape=truth.shape, spacing=spacing, students=['unet'],
        ))  # fmt: skip
        found.append(data.to_dict())
    return found


def whole(gt, pred, name='p1_f1', case='p1', spacing=None, ori_shape=None):
    """Return the sample of a whole volume, as the test loader and the model give it."""
    data, *_ = slices(gt, pred, name, case, spacing=spacing)
    for key, one in (('gt_sem_seg', gt), ('pred_unet', pred)):
        data[key] = {'data': torch.from_numpy(one)[None]}
    return {**data, 'index': None, 'slice': None, 'ori_shape': ori_shape or gt.shape}


def run(data, meta=META, **options):
    metric = DomainMetric(**{'per': 'volume', **options})
    metric.dataset_meta = meta
    metric.process(None, data)
    return metric.evaluate(len(data))


def pairs(seed=0, count=3):
    """Return volumes of different sizes and their predictions."""
    rng = np.random.default_rng(seed)
    shapes = [(4 + number, 24 + 3 * number, 30 - 2 * number) for number in range(count)]
    return [(volume(rng, shape), volume(rng, shape)) for shape in shapes]


def samples(spacing=None, **options):
    found = []
    for number, (gt, pred) in enumerate(pairs()):
        found += slices(gt, pred, f'p{number // 2}_f{number}', f'p{number // 2}', spacing=spacing)
    return found


@pytest.mark.parametrize(('unit', 'spacing'), [('pixel', None), ('mm', (8.0, 1.5, 1.25))])
def test_every_structure_equals_medpy_by_volume(unit, spacing):
    result = run(samples((8.0, 1.5, 1.25)), unit=unit)
    for part, (label,) in META['parts'].items():
        theirs = []
        for gt, pred in pairs():
            masks = pred == label, gt == label
            theirs.append([
                medpy.dc(*masks), medpy.jc(*masks), medpy.hd95(*masks, voxelspacing=spacing),
                medpy.asd(*masks, voxelspacing=spacing),
            ])  # fmt: skip
        for (name, scale), value in zip(NAMES.items(), np.mean(theirs, axis=0), strict=True):
            ours = result[f'unet/ACDC/{part}/{name}'] / scale
            assert ours == pytest.approx(value, abs=1e-4, rel=0)


def hand_made():
    """Return a volume whose scores differ if its slices are stacked in another order.

    The truth is a pixel in slices 2 and 10, the prediction one in slice 4 and the right one in
    slice 10: one of two is hit, and the distances of the misses are two slices.
    """
    gt, pred = np.zeros((2, 12, 5, 5), np.uint8)
    gt[1, 2, 2] = gt[9, 2, 2] = 1
    pred[3, 2, 2] = pred[9, 2, 2] = 1
    return gt, pred


def test_volumes_of_one_name_in_two_domains_are_two():
    gt, pred = hand_made()
    data = slices(gt, pred, 'p1') + [
        {**item, 'domain': 'other', 'img_path': '/y/p1.h5'} for item in slices(gt, gt, 'p1')
    ]
    result = run(data, dict(META, domains=['ACDC', 'other']))
    assert [result[f'unet/{domain}/rv/DSC'] for domain in ('ACDC', 'other')] == [50, 100]


def test_slices_that_name_no_volume_make_one_of_each_case():
    gt, pred = hand_made()
    data = slices(gt, pred, 'a', 'a') + slices(gt, gt, 'b', 'b')
    result = run([{**item, 'volume': None} for item in data])
    assert result['unet/ACDC/rv/DSC'] == 75


@pytest.mark.parametrize('one_file', [True, False])
def test_shuffled_slices_give_the_hand_computed_score(one_file):
    data = slices(*hand_made(), one_file=one_file)
    orders = [np.arange(12), np.arange(12)[::-1], np.random.default_rng(0).permutation(12)]
    for order in orders:
        result = run([data[index] for index in order])
        assert result['unet/ACDC/rv/DSC'] == 50
        assert result['unet/ACDC/rv/Jaccard'] == pytest.approx(100 / 3)
        # Distances 2, 0 from the prediction and 2, 0 from the truth.
        assert result['unet/ACDC/rv/ASD'] == 1
        assert result['unet/ACDC/rv/HD95'] == 2
    # By name, slice 10 would come before slice 2 and the distance would be another.
    assert run(data, unit='pixel') == run(data[::-1], num_workers=0)


def test_number_in_the_file_goes_before_the_one_in_the_name():
    data = slices(*hand_made())
    for sample in data:
        sample['slice'] = str(100 - sample['index'] ** 2 % 13)
    assert run(data)['unet/ACDC/rv/HD95'] == 2


def test_slices_of_one_file_are_told_apart_and_padding_is_not_counted(monkeypatch):
    said = []
    monkeypatch.setattr(module, 'print_log', lambda text, *a, **k: said.append(text))
    data = slices(*hand_made())
    metric = DomainMetric(per='volume')
    metric.dataset_meta = META
    metric.process(None, [*data, *data[:3]])
    assert metric.evaluate(12)['unet/ACDC/rv/DSC'] == 50
    assert not any('same path' in text for text in said)


def test_volumes_of_a_case_are_scored_apart():
    gt, pred = hand_made()
    data = slices(gt, pred, 'p1_f1') + slices(gt, gt, 'p1_f2')
    assert run(data)['unet/ACDC/rv/DSC'] == 75
    with pytest.raises(ValueError, match='Case p1 of domain ACDC has two slices numbered 1, '):
        run(data, per='case')


def test_volume_is_the_case_where_none_is_named():
    data = slices(*hand_made(), one_file=False)
    for sample in data:
        del sample['volume'], sample['index']
    assert run(data)['unet/ACDC/rv/HD95'] == 2


def test_conventions_for_an_empty_prediction():
    gt, _ = hand_made()
    data = slices(gt, np.zeros_like(gt)) + slices(gt, gt, 'p2_f1', 'p2')
    expected = dict(zero=0.0, worst=50.0, nan=0.0)
    for empty, distance in expected.items():
        result = run(data, empty=empty)
        assert result['unet/ACDC/rv/HD95'] == distance == result['unet/ACDC/rv/ASD']
        assert result['unet/ACDC/rv/DSC'] == 50
    assert run(data, empty='worst', worst=9.0)['unet/ACDC/rv/HD95'] == 4.5
    # Both empty: no lv anywhere.
    assert run(data, empty='zero')['unet/ACDC/lv/DSC'] == 0
    assert run(data, both_empty='perfect')['unet/ACDC/lv/DSC'] == 100


def test_faults_name_the_volume():
    gt, pred = hand_made()
    data = slices(gt, pred)
    data[3] = slices(gt[:, :4], pred[:, :4])[3]
    with pytest.raises(ValueError, match=r'Volume p1_f1 of domain ACDC has slices of different '):
        run(data)
    with pytest.raises(ValueError, match=r'Volume p1_f1 .* needs three numbers'):
        run(slices(gt, pred, spacing=(1.5, 1.25)), unit='mm')
    twice = slices(gt, pred, one_file=False) + slices(gt, pred)
    with pytest.raises(ValueError, match=r'two slices numbered 2, .*group "volume"'):
        run(twice)


def test_one_domain_gives_a_table_of_structures(monkeypatch, tmp_path):
    printed = []
    monkeypatch.setattr(module, 'print_log', lambda text, *a, **k: printed.append(text))
    result = run(samples(), empty='zero', selection='val', out_file=str(tmp_path / 'a.json'))
    lines = printed[0].strip().splitlines()
    assert lines[0].split() == ['student', 'part', *NAMES]
    rows = {line.split()[1]: line.split() for line in lines[1:5]}
    for part in ('rv', 'myo', 'lv'):
        assert rows[part][2:] == [f'{result[f"unet/ACDC/{part}/{name}"]:.2f}' for name in NAMES]
    assert rows['mean'][2:] == [f'{result[f"unet/{name}"]:.2f}' for name in NAMES]
    assert lines[5] == 'Test set: ACDC. DSC and Jaccard in %.'
    assert 'Protocol: per volume at their own size; HD95 and ASD in voxels, the step' in lines[6]
    assert 'overlap and distances 0' in lines[6] and 'on a validation set' in lines[6]
    content = json.loads((tmp_path / 'a.json').read_text())
    assert [image['volume'] for image in content['images']] == ['p0_f0', 'p0_f1', 'p1_f2']
    assert content['students']['unet']['domains']['ACDC']['count'] == 3
    assert content['protocol']['per'] == 'volume'


def test_published_number_beside_the_structures(monkeypatch):
    printed = []
    monkeypatch.setattr(module, 'print_log', lambda text, *a, **k: printed.append(text))
    known = {'unet': dict(dsc=89.98, parts={}, labelled_domain='ACDC', labels=136)}
    monkeypatch.setattr(module, 'published_dsc', lambda *args: known)
    mean = run(samples())['unet/DSC']
    lines = printed[0].strip().splitlines()
    assert lines[4].split()[-2:] == ['89.98', f'({mean - 89.98:+.2f})']
    assert lines[1].split()[-1] == '-'
    assert lines[6] == 'Published: labels from ACDC (136 images).'


@pytest.mark.parametrize(('unit', 'spacing'), [('pixel', None), ('mm', (8.0, 1.5, 1.25))])
def test_whole_volumes_score_as_their_stacked_slices(unit, spacing):
    data = [
        whole(gt, pred, f'p{number // 2}_f{number}', f'p{number // 2}', spacing)
        for number, (gt, pred) in enumerate(pairs())
    ]
    assert run(data, unit=unit) == run(samples(spacing), unit=unit)
    assert run(data, unit=unit, num_workers=0) == run(data[::-1], unit=unit)


def test_spacing_of_a_volume_is_that_of_the_scored_size():
    (gt, pred), *_ = pairs()
    half = tuple(side / 2 for side in gt.shape)
    result = run([whole(gt, pred, spacing=(8.0, 1.5, 1.25), ori_shape=half)], unit='mm')
    wanted = medpy.hd95(pred == 1, gt == 1, voxelspacing=(4.0, 0.75, 0.625))
    assert result['unet/ACDC/rv/HD95'] == pytest.approx(wanted, rel=1e-6)


def test_whole_volumes_are_scored_by_volume_alone():
    gt, pred = hand_made()
    for per in ('slice', 'case'):
        with pytest.raises(ValueError, match=rf"p1_f1.h5 is a whole volume, but per='{per}'"):
            run([whole(gt, pred)], per=per)
    with pytest.raises(ValueError, match=r'p1_f1.h5 has the spacing \(1.5, 1.25\), but a volume'):
        run([whole(gt, pred, spacing=(1.5, 1.25))], unit='mm')


def test_an_empty_prediction_of_a_volume_counts_nothing_as_published():
    """As UA-MT's evaluation: (0, 0, 0, 0) where nothing is predicted."""
    gt, pred = hand_made()
    empty = whole(gt, np.zeros_like(gt), 'p2_f1', 'p2')
    result = run([whole(gt, pred), empty], empty='zero')
    alone = run([whole(gt, pred)], empty='zero')
    for name in NAMES:
        assert result[f'unet/ACDC/rv/{name}'] == alone[f'unet/ACDC/rv/{name}'] / 2


def test_means_of_volumes_come_with_an_interval_over_cases(monkeypatch, tmp_path):
    printed = []
    monkeypatch.setattr(module, 'print_log', lambda text, *a, **k: printed.append(text))
    rng = np.random.default_rng(3)
    data, values = [], []
    for number in range(12):
        gt, pred = volume(rng, (4, 24, 24)), volume(rng, (4, 24, 24))
        data.append(whole(gt, pred, f'p{number // 2}_f{number % 2}', f'p{number // 2}'))
        values.append(100 * medpy.dc(pred == 3, gt == 3))
    run(data, out_file=str(tmp_path / 'a.json'))
    content = json.loads((tmp_path / 'a.json').read_text())
    interval = content['students']['unet']['interval']
    low, high = interval['parts']['lv']['DSC']
    # The six patients drawn with both their volumes, by hand.
    patients = np.mean(np.reshape(values, (6, 2)), axis=1)
    means = patients[np.random.default_rng(1).integers(6, size=(20000, 6))].mean(1)
    wanted = np.percentile(means, [2.5, 97.5])
    assert [low, high] == pytest.approx(wanted, abs=0.05 * np.ptp(wanted)), 'of 2,000 draws'
    alone = np.asarray(values)[np.random.default_rng(1).integers(12, size=(20000, 12))].mean(1)
    wide = np.percentile(alone, [2.5, 97.5])
    assert abs(low - wide[0]) + abs(high - wide[1]) > 0.1 * np.ptp(wide), 'not each by itself'
    low, high = interval['mean']['DSC']
    assert low < content['students']['unet']['mean']['DSC'] < high
    last = printed[0].strip().splitlines()[-1]
    assert last.startswith(f'95 % interval of unet over 6 cases: DSC {low:.2f} to {high:.2f}, Jacc')
    run(data, out_file=str(tmp_path / 'b.json'), intervals=False)
    assert 'interval' not in json.loads((tmp_path / 'b.json').read_text())['students']['unet']
    assert '95 %' not in printed[2]
    run(data[:2])
    assert '95 %' not in printed[-1], 'of one patient'
