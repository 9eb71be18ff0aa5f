"""Recompute the references of SSL4MIS (HiLab-git/SSL4MIS, commit 06df604).

    git clone https://github.com/HiLab-git/SSL4MIS /tmp/SSL4MIS
    git -C /tmp/SSL4MIS checkout 06df604
    python -m tests.parity.generate.ssl4mis /tmp/SSL4MIS [--check]

Two steps of each of its 2D scripts from the middle of a training, on the inputs that the files in
`tests/parity/data` hold. The U-Net's dropout has rate 0; a second U-Net takes the transformer's
place in cross teaching.
"""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from tests.parity.generate import cli, released

STUBS = (
    *released.USUAL,
    'config',
    'val_2D',
    'networks.net_factory',
    'networks.vision_transformer',
    'dataloaders.dataset',
    'dataloaders.utils',
    'augmentations',
)
MIDDLE, LATE, LAST = 15000, 24000, 30000
SHARP = dict(decoder__out_conv__weight=12.0)  # so that some pixels are sure


def plain_batch(arrays: dict, i: int) -> dict:
    """Return labelled and unlabelled images, in this order, and the labels."""
    x, y = released.scale(arrays[f'in{i}_x']), torch.from_numpy(arrays[f'in{i}_y'])
    if f'in{i}_u' in arrays:
        x = torch.cat([x, released.scale(arrays[f'in{i}_u'])])
    return dict(image=x, label=torch.cat([y, torch.zeros_like(y)])[: len(x)])


def two_views(arrays: dict, i: int) -> dict:
    """Return weak and strong views of all images, and the labels."""
    weak, strong = (
        torch.cat([released.scale(arrays[f'in{i}_{key}']) for key in keys])
        for keys in (('x', 'u'), ('xs', 'us'))
    )
    y = torch.from_numpy(arrays[f'in{i}_y'])
    return dict(image_weak=weak, image_strong=strong, label_aug=torch.cat([y, torch.zeros_like(y)]))


def run(
    code: Path,
    name: str,
    networks: Sequence[nn.Module],
    start: int,
    batch: Callable = plain_batch,
    first_lr: float | None = None,
) -> list[dict]:
    """Return the variables of two steps of `train_<name>.py`."""
    file, reference = SCRIPTS[name]
    arrays = dict(np.load(released.DATA / f'{reference}.npz'))
    batches = [batch(arrays, i) for i in range(2)]
    count = len(next(iter(batches[0].values())))
    script = released.load_script(
        code / f'train_{file}.py',
        [f'--max_iterations={LAST}', f'--batch_size={count}', f'--labeled_bs={count // 2}'],
        {'\n    iter_num = 0\n': f'\n    iter_num = {start}\n'},
    )
    given = iter(networks)
    script.net_factory = lambda *args, **kwargs: next(given)
    if 'ViT_seg' in vars(script):
        script.ViT_seg = mock.MagicMock(side_effect=lambda *args, **kwargs: next(given))
        networks[-1].load_from = lambda config: None
    for other in ('kaiming_normal_init_weight', 'xavier_normal_init_weight'):
        setattr(script, other, lambda network: network)
    script.args.patch_size = list(batches[0][next(iter(batches[0]))].shape[-2:])
    script.patients_to_slices = lambda *args: count // 2
    return released.train(
        script, lambda: script.train(script.args, '.'), [batches], networks, first_lr
    )


SCRIPTS = dict(
    mean_teacher=('mean_teacher_2D', 'mean_teacher'),
    ua_mt=('uncertainty_aware_mean_teacher_2D', 'ua_mt'),
    fixmatch=('fixmatch_standard_augs', 'fixmatch'),
    cps=('cross_pseudo_supervision_2D', 'cps'),
    cross=('cross_teaching_between_cnn_transformer_2D', 'cross_teaching'),
    urpc=('uncertainty_rectified_pyramid_consistency_2D', 'urpc'),
)


def with_teacher(code: Path, name: str) -> dict:
    """Return the reference of Mean Teacher, UA-MT or FixMatch."""
    unet = importlib.import_module('networks.unet')
    networks = [unet.UNet(1, 4) for _ in range(2)]
    shapes = [
        released.fill(network, f'{name}_{kind}', **SHARP)
        for network, kind in zip(networks, ('student', 'teacher'), strict=True)
    ]
    steps = run(code, name, networks, MIDDLE, two_views if name == 'fixmatch' else plain_batch)
    if name == 'fixmatch':
        for step in steps:
            step['negative'] = step['as_weight'] * step['comp_loss']
            step['unsup'] = step['unsup_loss'] - step['negative']
        terms = released.pick(steps, 'sup_loss', 'unsup', 'negative', 'consistency_weight', 'loss')
    else:
        names = ['supervised_loss', 'consistency_loss', 'consistency_weight', 'loss']
        if name == 'ua_mt':
            for step in steps:
                step['share'] = step['mask'].mean()
            names.append('share')
        terms = released.pick(steps, *names)
    results = dict(
        shapes=shapes[0],
        it0=terms[0],
        it1=terms[1],
        grads=steps[0]['grads'][0],
        final=released.norms(networks[0]),
    )
    if name != 'fixmatch':  # whose teacher takes no part
        results['teacher'] = released.norms(networks[1])
    return results


def of_two_networks(code: Path, name: str) -> dict:
    """Return the reference of CPS or cross teaching."""
    unet = importlib.import_module('networks.unet')
    networks = [unet.UNet(1, 4) for _ in range(2)]
    shapes = [released.fill(network, f'{name}{i + 1}') for i, network in enumerate(networks)]
    steps = run(code, name, networks, LATE, first_lr=0.01 * (1 - LATE / LAST) ** 0.9)
    terms = released.pick(
        steps,
        'loss1',
        'loss2',
        'pseudo_supervision1',
        'pseudo_supervision2',
        'loss',
        'consistency_weight',
    )
    return dict(
        shapes=shapes[0],
        lr0=steps[0]['lr'],
        lr1=steps[1]['lr'],
        it0=terms[0],
        it1=terms[1],
        grads=steps[1]['grads'],
        final=[released.norms(network) for network in networks],
    )


def urpc(code: Path) -> dict:
    """Return the reference of URPC, its noise on features off, and one draw of its drop."""
    unet = importlib.import_module('networks.unet')
    with (
        mock.patch.object(unet, 'Dropout', lambda x, p: x),
        mock.patch.object(unet, 'FeatureDropout', lambda x: x),
        mock.patch.object(unet.FeatureNoise, 'forward', lambda self, x: x),
    ):
        network = unet.UNet_URPC(1, 4)
        shapes = released.fill(network, 'urpc')
        steps = run(code, 'urpc', [network], LATE)
    terms = released.pick(
        steps, 'supervised_loss', 'consistency_loss', 'loss', 'consistency_weight'
    )
    f = torch.from_numpy(np.load(released.DATA / 'urpc.npz')['f'])
    with mock.patch.object(np.random, 'uniform', lambda low, high: 0.8):
        dropped = unet.FeatureDropout(f)
    return dict(
        shapes=shapes,
        it0=terms[0],
        it1=terms[1],
        grads=steps[0]['grads'][0],
        final=released.norms(network),
        dropped=dropped.numpy(),
    )


def main() -> None:
    """Recompute all six references."""
    args = cli.parse(__doc__)
    with released.checkout(Path(args.checkout, 'code'), STUBS) as code:
        for name in ('mean_teacher', 'ua_mt', 'fixmatch'):
            released.save(name, with_teacher(code, name), args.check)
        for name in ('cps', 'cross'):
            released.save(SCRIPTS[name][1], of_two_networks(code, name), args.check)
        released.save('urpc', urpc(code), args.check)


if __name__ == '__main__':
    main()
