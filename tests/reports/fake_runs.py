"""Folders as trainings and tests leave them, of made-up discs; what is scored is what is drawn."""

import json

import numpy as np

from mmssl.evaluation import binary_metrics
from mmssl.evaluation.domain_table import average

PARTS = {'cup': [1], 'disc <b>&': [1, 2]}
DOMAINS = ('Site "A"', 'B<script>alert(1)</script>', 'Ünïcode 医')


def disc(rng, side, shift=0.0, size=1.0):
    y, x = np.mgrid[:side, :side] / side
    distance = np.hypot(y - 0.5 - shift, x - 0.5) / size
    return ((distance < 0.3).astype(np.uint8) * 2 - (distance < 0.15)).astype(np.uint8)


def write_cases(
    folder, seed=0, error=0.05, domains=DOMAINS, unmasked=(), patients=4, slices=1, side=32,
    student='unet',
):  # fmt: skip
    """Write saved cases and their results; return the content of the results."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number, domain in enumerate(domains):
        for patient in range(patients):
            for at in range(slices):
                truth = disc(rng, side)
                pred = disc(
                    rng, side, error * (number + 1) * rng.normal(), 1 + error * rng.normal()
                )
                if number == patient == 1:
                    pred[:] = 0
                name = f'{patient:02d}_{at:02d}'
                about = {
                    'domain': domain, 'case': f'{patient:02d}', 'volume': f'{patient:02d}',
                    'slice': f'{at:02d}', 'index': None, 'name': name, 'spacing': None,
                    'ori_shape': [2 * side, 3 * side],
                }  # fmt: skip
                noise = rng.integers(0, 60, (side, side))
                arrays = {
                    'image': (noise + 60 * truth + 20 * number).astype(np.uint8),
                    f'pred_{student}': pred,
                    f'teacher_{student}': np.roll(pred, 1, 0),
                    f'prob_{student}': (
                        np.stack([pred == c for c in range(3)]) * 200 + 18
                    ).astype(np.uint8),
                }  # fmt: skip
                if domain not in unmasked:
                    arrays['truth'] = truth
                    images.append({**about, 'key': name, **_scores(pred, truth, student)})
                arrays['about'] = np.array(json.dumps(about))
                np.savez_compressed(folder / f'{number}_{name}.npz', **arrays)
    about = {
        'dataset_name': 'fake', 'classes': ['background', 'cup', 'rim'], 'parts': PARTS,
        'palette': [[0, 0, 0], [230, 60, 60], [60, 140, 230]], 'domains': list(domains),
        'students': [student], 'teachers': [student],
    }  # fmt: skip
    (folder / 'cases.json').write_text(json.dumps(about))
    content = results(images, student)
    (folder / 'results.json').write_text(json.dumps(content))
    return content


def _scores(pred, truth, student):
    rows, sizes = {}, {'truth': {}, student: {}}
    for part, ids in PARTS.items():
        one, other = np.isin(pred, ids), np.isin(truth, ids)
        raw = binary_metrics(one, other)
        rows[part] = {
            'DSC': 100 * raw['dsc'], 'Jaccard': 100 * raw['jaccard'], 'HD95': raw['hd95'],
            'ASD': raw['asd'],
        }  # fmt: skip
        sizes['truth'][part], sizes[student][part] = int(other.sum()), int(one.sum())
    return {'sizes': sizes, 'mm': None, 'scores': {student: rows}}


def results(images, student='unet'):
    """Return the content of a file of results."""
    return {
        'dataset': 'fake',
        'students': average(images, ('DSC', 'Jaccard', 'HD95', 'ASD')) if images else {},
        'published': {},
        'protocol': {'text': 'per slice at 32x32', 'per': 'slice', 'unit': 'pixel'},
        'images': images,
        'cases': '.',
        'about': {'config': 'x/y.py', 'checkpoint': 'iter_9.pth', 'command': 'mmssl test x'},
    }  # fmt: skip


def write_training(folder, steps=40, max_iters=40, nan_at=None, method='MeanTeacher', seed=0):
    """Write what a training leaves."""
    log = folder / '20260101_000000' / 'vis_data'
    log.mkdir(parents=True)
    lines = []
    for step in range(10, steps + 1, 10):
        loss = float('nan') if step == nan_at else 1 / step
        lines.append(
            {'loss': loss, 'sup_unet': 0.5 / step, 'unet.lr': 0.01, 'alpha': 0.9, 'step': step}
        )
        lines.append({'unet/DSC': 50.0 + step, 'unet/A/cup/DSC': 40.0, 'unet/B/cup/DSC': 60.0,
                      'step': step})  # fmt: skip
    (log / 'scalars.json').write_text('\n'.join(json.dumps(line) for line in lines) + '\n{"torn')
    settings = {
        'model.type': repr(method), 'train_cfg.max_iters': str(max_iters),
        'model.students.unet.backbone.type': "'UNet'", 'randomness.seed': str(seed),
        'optim_wrapper.optimizers.unet.lr': '0.01', 'optim_wrapper.optimizers.unet.type': "'SGD'",
    }  # fmt: skip
    (folder / 'run.json').write_text(json.dumps({'settings': settings}))
    about = {
        'command': 'mmssl train x/y.py', 'time': '2026-01-01', 'commit': 'abc1234', 'versions': {},
        'machine': {'device': 'GPU', 'cores': 2, 'system': 'Linux'},
        'data': {'A': {'images': 40, 'labelled': 4, 'cases': 10, 'labelled_cases': 1},
                 'B': {'images': 60, 'labelled': 0, 'cases': 12, 'labelled_cases': 0}},
    }  # fmt: skip
    (folder / 'about.json').write_text(json.dumps({'0': about}))
    (folder / 'cost.json').write_text(
        json.dumps({'0': {'iterations': steps, 'time': 50.0, 'memory': 900.0, 'device': 'CPU'}})
    )
    if steps == max_iters:
        entry = {'iter': steps, 'metrics': {'DSC': 50.0 + steps}}
        summary = {
            'selection': 'test', 'metric': 'DSC',
            'students': {'unet': {
                'last': entry, 'chosen': {'iter': 20, 'metrics': {'DSC': 95.5}},
                'last_k': {'iters': [20, steps], 'mean': {'DSC': 77.0}, 'std': {'DSC': 1.0}},
            }},
        }  # fmt: skip
        (folder / 'summary.json').write_text(json.dumps(summary))
    return folder
