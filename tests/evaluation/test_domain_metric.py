"""DomainMetric: averages, table, JSON, cases, spacing, and independence of the processes."""

import json
import os

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.structures import PixelData

from mmssl.compat import import_mmseg
from mmssl.evaluation import DomainMetric, binary_metrics
from mmssl.evaluation import domain_metric as module
from mmssl.evaluation.domain_table import average, format_table

META = dict(
    classes=('background', 'cup', 'rim'),
    parts={'cup': [1], 'disc': [1, 2]},
    domains=['A', 'B'],
    dataset_name='fundus',
)


def class_map(rng, size=32):
    y, x = np.mgrid[:size, :size]
    cy, cx = rng.uniform(12, 20, 2)
    distance = np.hypot(y - cy, x - cx)
    return ((distance < 9).astype(np.uint8) * 2 - (distance < 4)).astype(np.uint8)


def sample(gt, preds, domain, name, case='00', slice_='00', spacing=None, ori_shape=None):
    import_mmseg()
    from mmseg.structures import SegDataSample

    data = SegDataSample(gt_sem_seg=PixelData(data=torch.from_numpy(gt)[None]))
    for student, pred in preds.items():
        data.set_field(PixelData(data=torch.from_numpy(pred)[None]), f'pred_{student}')
    data.set_metainfo(
        dict(
            domain=domain,
            case=case,
            slice=slice_,
            name=name,
            img_path=f'/x/{domain}/{name}.png',
            ori_shape=ori_shape or gt.shape,
            spacing=spacing,
            students=list(preds),
        )
    )
    return data.to_dict()


def samples(n_a=3, n_b=5, seed=0, **kwargs):
    rng = np.random.default_rng(seed)
    result = []
    for i in range(n_a + n_b):
        gt = class_map(rng)
        preds = {'sam': class_map(rng), 'unet': class_map(rng)}
        result.append(sample(gt, preds, 'A' if i < n_a else 'B', f'{i:02d}', **kwargs))
    return result


def run(data, size=None, **kwargs):
    metric = DomainMetric(**kwargs)
    metric.dataset_meta = META
    metric.process(None, data)
    return metric.evaluate(len(data) if size is None else size)


def scores(one, student, part, spacing=None):
    classes = META['parts'][part]
    maps = [
        np.isin(one[key]['data'][0].numpy(), classes) for key in (f'pred_{student}', 'gt_sem_seg')
    ]
    return binary_metrics(*maps, spacing)


def test_means_over_images_then_domains_then_parts():
    data = samples()
    result = run(data)
    for student in ('sam', 'unet'):
        for key, name, scale in (('dsc', 'DSC', 100), ('hd95', 'HD95', 1), ('asd', 'ASD', 1)):
            table = {
                (d, p): scale
                * np.mean([scores(s, student, p)[key] for s in data if s['domain'] == d])
                for d in 'AB'
                for p in ('cup', 'disc')
            }
            assert result[f'{student}/A/cup/{name}'] == pytest.approx(table['A', 'cup'])
            assert result[f'{student}/B/disc/{name}'] == pytest.approx(table['B', 'disc'])
            # Unweighted over domains although B has more images.
            assert result[f'{student}/{name}'] == pytest.approx(np.mean(list(table.values())))


def test_hand_computed_dice_and_overlapping_parts():
    gt, pred = np.zeros((2, 16, 16), np.uint8)
    gt[4:8, 4:8] = 2
    gt[5:7, 5:7] = 1
    pred[4:8, 4:8] = 2
    result = run([sample(gt, {'unet': pred}, 'A', '0')])
    assert result['unet/A/disc/DSC'] == 100
    assert result['unet/A/cup/DSC'] == 0
    assert result['unet/A/cup/HD95'] == 100
    assert result['unet/DSC'] == 50
    assert run([sample(gt, {'unet': pred}, 'A', '0')], empty='nan')['unet/HD95'] == 0


def test_threads_change_nothing(tmp_path):
    """Neither scores nor their order, whatever is ready first."""
    data = samples(10, 30)
    alone, beside = tmp_path / 'a.json', tmp_path / 'b.json'
    assert run(data, num_workers=0, out_file=str(alone)) == run(
        data, num_workers=3, out_file=str(beside)
    )
    assert alone.read_text() == beside.read_text()


@pytest.mark.parametrize('workers', [0, 2])
def test_an_error_in_a_thread_names_the_image_and_leaves_nothing_behind(workers, monkeypatch):
    """The images that wait are given up, and the next evaluation starts afresh."""
    data, scored = samples(10, 30), []
    expected = run(samples(2, 2))

    def score(maps, *args, **kwargs):
        scored.append(maps)
        if len(scored) == 5:
            raise MemoryError('no room')
        return binary_metrics(maps, *args, **kwargs)

    monkeypatch.setattr(module, 'binary_metrics', score)
    metric = DomainMetric(num_workers=workers)
    metric.dataset_meta = META
    with pytest.raises(ValueError, match=r'Image /x/A/0\d\.png could not .* MemoryError: no room'):
        metric.process(None, data)
    assert metric._pool is None and not metric._waiting
    if workers:
        assert len(scored) < 4 * 30 and not metric.results
    monkeypatch.undo()
    metric.results.clear()
    metric.process(None, samples(2, 2))
    assert metric.evaluate(4) == expected


def test_ranks_order_and_padding_change_nothing(monkeypatch, tmp_path):
    data = samples(4, 5)
    alone = run(data, out_file=str(tmp_path / 'a.json'))
    ranks = []
    for rank in (0, 1):
        share = data[rank::2] + data[:rank]  # the sampler pads the shorter share
        metric = DomainMetric(out_file=str(tmp_path / 'b.json'))
        metric.dataset_meta = META
        metric.process(None, share)
        monkeypatch.setattr(module, 'all_gather_object', lambda own: ranks.append(own) or [])
        monkeypatch.setattr(module, 'is_main_process', lambda: False)
        metric.evaluate(len(data))
    assert sum(map(len, ranks)) == len(data) + 1
    monkeypatch.setattr(module, 'all_gather_object', lambda own: ranks)
    monkeypatch.setattr(module, 'is_main_process', lambda: True)
    assert metric.evaluate(len(data)) == alone
    assert (tmp_path / 'a.json').read_text() == (tmp_path / 'b.json').read_text()


def _rank(rank, port, queue):
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.distributed.init_process_group('gloo', rank=rank, world_size=2)
    data = samples(4, 5)
    queue.put(run(data[rank::2], size=len(data)))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one():
    context = torch.multiprocessing.get_context('spawn')
    queue = context.Queue()
    port = 29600 + os.getpid() % 300
    ranks = [context.Process(target=_rank, args=(r, port, queue)) for r in (0, 1)]
    for rank in ranks:
        rank.start()
    results = [queue.get(timeout=120) for _ in ranks]
    for rank in ranks:
        rank.join()
    assert results[0] == results[1] == run(samples(4, 5))


def test_cases_are_stacked_by_slice_number():
    rng = np.random.default_rng(1)
    gts = [class_map(rng) for _ in range(11)]
    preds = [class_map(rng) for _ in range(11)]
    data = [
        sample(gt, {'unet': pred}, 'A', f'00_{i}', '00', str(i))
        for i, (gt, pred) in enumerate(zip(gts, preds, strict=True))
    ]
    result = run(data[::-1], per='case')
    volume = binary_metrics(np.stack(preds) == 1, np.stack(gts) == 1)
    assert result['unet/A/cup/DSC'] == pytest.approx(100 * volume['dsc'])
    assert result['unet/A/cup/HD95'] == pytest.approx(volume['hd95'])


def test_mm_uses_the_spacing_at_the_evaluated_size():
    data = samples(2, 2, spacing=(3.0, 0.5, 0.5), ori_shape=(64, 64))
    result = run(data, unit='mm')
    expected = np.mean([scores(s, 'sam', 'cup', (1.0, 1.0))['hd95'] for s in data[:2]])
    assert result['sam/A/cup/HD95'] == pytest.approx(expected)
    rng = np.random.default_rng(5)
    gts, preds = ([class_map(rng) for _ in range(4)] for _ in range(2))
    stack = [
        sample(g, {'unet': p}, 'A', str(i), '0', str(i), (3.0, 0.5, 0.5), (64, 64))
        for i, (g, p) in enumerate(zip(gts, preds, strict=True))
    ]
    volume = binary_metrics(np.stack(preds) == 1, np.stack(gts) == 1, (3.0, 1.0, 1.0))
    assert run(stack, per='case', unit='mm')['unet/A/cup/ASD'] == pytest.approx(volume['asd'])


def test_bad_samples_and_options_are_named():
    with pytest.raises(ValueError, match=r'A/00\.png has no spacing'):
        run(samples(1, 1), unit='mm')
    no_truth = samples(1, 1)
    del no_truth[0]['gt_sem_seg']
    with pytest.raises(ValueError, match=r'A/00\.png of the test set has no truth'):
        run(no_truth)
    no_pred = samples(1, 1)
    del no_pred[1]['pred_unet']
    with pytest.raises(ValueError, match='no prediction of student "unet"'):
        run(no_pred)
    unordered = samples(2, 0, slice_=None)
    with pytest.raises(ValueError, match='slices without a number'):
        run(unordered, per='case')
    for option in ({'per': 'patient'}, {'unit': 'cm'}, {'selection': 'best'}, {'empty': 'x'}):
        with pytest.raises(ValueError, match='choose one of'):
            DomainMetric(**option)
    with pytest.raises(ValueError, match='test set is empty'):
        run([])


def test_file_has_means_images_protocol_and_no_nan(tmp_path):
    gt = np.zeros((8, 8), np.uint8)
    gt[2:4, 2:4] = 1
    out = tmp_path / 'sub' / 'scores.json'
    hub = MessageHub.get_current_instance()
    hub.update_info('cfg', "lr = 0.1\nwork_dir = '/a'\n")
    run([sample(gt, {'unet': 0 * gt}, 'A', '7')], empty='nan', selection='test', out_file=str(out))
    content = json.loads(out.read_text())
    assert content['images'][0]['name'] == '7'
    assert content['images'][0]['scores']['unet']['cup']['HD95'] is None
    assert content['students']['unet']['domains']['A']['count'] == 1
    three = [{'domain': d, 'scores': {'net': {'cup': {'DSC': 1.0}}}} for d in 'ABA']
    found = average(three, ['DSC'])
    counts = {name: domain['count'] for name, domain in found['net']['domains'].items()}
    assert counts == {'A': 2, 'B': 1}, 'each of its own images'
    assert content['protocol']['empty'] == 'nan'
    assert 'TEST set' in content['protocol']['text']
    assert content['config_sha256'] == module.config_hash("lr = 0.1\nwork_dir = '/b'\n")
    assert content['config_sha256'] != module.config_hash("lr = 0.2\nwork_dir = '/a'\n")


def test_table_stands_beside_the_published_numbers():
    data = [dict(s, domain={'A': 'Domain1', 'B': 'Domain2'}[s['domain']]) for s in samples()]
    items = [
        {
            'domain': s['domain'],
            'scores': {
                student: {
                    part: {'DSC': 100 * scores(s, student, part)['dsc'], 'HD95': 1.0}
                    for part in META['parts']
                }
                for student in ('unet', 'sam')
            },
        }
        for s in data
    ]
    averages = average(items, ('DSC', 'HD95'), ['Domain2', 'Domain1'])
    published = {
        'sam': {
            'dsc': 89.37,
            'parts': {'cup': 85.44, 'disc': 93.29},
            'labelled_domain': 'Domain1',
            'labels': 20,
        }
    }
    lines = format_table(averages, published, 'sam').splitlines()
    assert lines[0].split() == [
        'student',
        'part',
        'Domain2',
        'Domain1',
        '|',
        'DSC',
        'HD95',
        '|',
        'published',
        'DSC',
    ]
    assert len(lines) == 7
    assert len({line.index('|') for line in lines}) >= 1
    row = lines[-1].split()
    mean = averages['sam']['mean']['DSC']
    assert row[:2] == ['sam*', 'mean']
    assert row[-2:] == ['89.37', f'({mean - 89.37:+.2f})']
    assert lines[1].split()[-1] == '-'


def test_published_column_is_printed_for_the_labelled_domain(monkeypatch):
    printed = []
    monkeypatch.setattr(module, 'print_log', lambda text, *a, **k: printed.append(text))
    spec = dict(method='synfoc', labels=20, labelled_domain='Domain1')
    run(samples(), published=spec)
    assert '89.37' in printed[0] and 'LABELLED domains' in printed[0]
    assert 'Protocol: per slice at 32x32; HD95 and ASD in pixels' in printed[0]
    run(samples(), published={**spec, 'labelled_domain': 'elsewhere'})
    assert 'ublished' not in printed[1]


@pytest.mark.parametrize('per', ['slice', 'case'])
def test_a_prediction_of_nothing_at_all_is_said(per, monkeypatch):
    said = []
    monkeypatch.setattr(
        module, 'print_log', lambda text, logger=None, level=20: level == 30 and said.append(text)
    )
    data = samples()
    for number, one in enumerate(data):
        one['slice'] = f'{number:02d}'
    for one in data:  # nothing of the cup by sam in A, nothing at all by unet in B
        pred = one['pred_sam' if one['domain'] == 'A' else 'pred_unet']['data']
        pred[pred == 1] = 2 if one['domain'] == 'A' else 0
        pred[pred == 2] = 2 if one['domain'] == 'A' else 0
    run(data, per=per)
    assert said == [
        'Student "sam" predicts no cup in any of the 3 images of A.',
        'Student "unet" predicts no cup in any of the 5 images of B.',
        'Student "unet" predicts no disc in any of the 5 images of B.',
    ]
    data[4]['pred_unet']['data'][0, 0, 0] = 1  # a single pixel is something
    said.clear()
    run(data, per=per)
    assert said == ['Student "sam" predicts no cup in any of the 3 images of A.']
    said.clear()
    for one in data:
        truth = one['gt_sem_seg']['data']
        truth[truth == 1] = 2
    run(data, per=per)
    assert said == [
        f'The truth of {d} has no cup in any of its {n} images.' for d, n in (('A', 3), ('B', 5))
    ]
