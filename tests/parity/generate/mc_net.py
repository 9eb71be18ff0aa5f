"""Recompute the reference of MC-Net and MC-Net+ (ycwu1997/MC-Net, commit fee453c).

    git clone https://github.com/ycwu1997/MC-Net /tmp/MC-Net
    git -C /tmp/MC-Net checkout fee453c
    python -m tests.parity.generate.mc_net /tmp/MC-Net [--check]

Two steps of `train_mcnet_2d.py` from iteration 24,000, with `mcnet2d_v1` and `mcnet2d_v2`, on the
inputs of `tests/parity/data/mc_net.npz`, and two of `train_mcnet_3d.py` from iteration 2,900 with
`MCNet3d_v2` of 2 filters on 2 + 2 patches, the networks' dropout at rate 0.
"""

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
from torch import nn

from tests.parity import volumes as patches
from tests.parity.generate import cli, released, volumes

STUBS = (
    *released.USUAL,
    'torchvision',
    'utils.val_2d',
    'utils.test_patch',
    'networks.net_factory',
    'dataloaders',
)
DATA_PARTS = ('LAHeart', 'RandomRotFlip', 'RandomCrop', 'ToTensor', 'TwoStreamBatchSampler')
START_3D = 2900


def two_steps(
    script: SimpleNamespace,
    reference: str,
    network: nn.Module,
    extra: Callable = lambda seen: {},
) -> list[dict]:
    """Return the variables of two steps of one of the authors' scripts for slices.

    Args:
        script: from `released.load_script`.
        reference: name of the file with the inputs.
        network: which it is to train.
        extra: as in `released.train`.
    """
    batches = released.labelled_batches(np.load(released.DATA / f'{reference}.npz'))
    script.net_factory = lambda *args, **kwargs: network
    script.patients_to_slices = lambda *args: 2
    run = functools.partial(script.train, script.args, '.')
    return released.train(script, run, [batches], [network], extra=extra)


def load(path: Path) -> SimpleNamespace:
    """Return the names of one of these scripts, which is to begin in the middle."""
    begin = {'\n    iter_num = 0\n': '\n    iter_num = 24000\n'}
    return released.load_script(path, ['--batch_size', '4', '--labeled_bs', '2'], begin)


def of(code: Path, kind: str) -> dict:
    """Return the reference of one network, `MCNet2d_v1` or `MCNet2d_v2`."""
    script = load(code / 'train_mcnet_2d.py')
    network = getattr(importlib.import_module('networks.unet'), kind)(1, 4)
    shapes = released.fill(network, 'mc_net')
    steps = two_steps(script, 'mc_net', network)
    terms = released.pick(steps, 'loss_seg_dice', 'loss_consist', 'loss', 'consistency_weight')
    results = dict(
        shapes=shapes,
        it0=terms[0],
        it1=terms[1],
        grads=steps[0]['grads'][0],
        final=released.norms(network),
    )
    return {f'{kind}_{key}': value for key, value in results.items()}


def steps_on_patches(
    path: Path, reference: str, network: nn.Module, extra: Callable = lambda seen: {}
) -> list[dict]:
    """Return the variables of two steps of one of the authors' scripts for volumes."""
    begin = {**volumes.MAIN, '\n    iter_num = 0\n': f'\n    iter_num = {START_3D}\n'}
    script = released.load_script(path, [], begin)
    for name in DATA_PARTS:
        setattr(script, name, mock.MagicMock())
    batches = [volumes.batch(reference, i) for i in range(2)]
    with volumes.quiet(script, [network], 'net_factory'):
        return released.train(script, script.main, [batches], [network], extra=extra)


def of_volumes(code: Path) -> dict:
    """Return the reference of `MCNet3d_v2`."""
    kind = importlib.import_module('networks.VNet').MCNet3d_v2
    network = kind(1, 2, patches.WIDTHS[0], 'batchnorm', has_dropout=True)
    sharp = {f'decoder{i}__out_conv__weight': patches.SHARP for i in (1, 2, 3)}
    shapes = released.fill(network, 'mc_net_la', **sharp)
    steps = steps_on_patches(code / 'train_mcnet_3d.py', 'mc_net_la', network)
    return dict(
        shapes=shapes,
        terms=released.pick(steps, 'loss_seg_dice', 'loss_consist', 'consistency_weight', 'loss'),
        grads=steps[0]['grads'][0],
        final=released.norms(network),
    )


def main() -> None:
    """Recompute the reference."""
    args = cli.parse(__doc__)
    with released.checkout(Path(args.checkout, 'code'), STUBS) as code:
        results = [of(code, kind) for kind in ('MCNet2d_v1', 'MCNet2d_v2')]
        released.save('mc_net_la', of_volumes(code), args.check)
    released.save('mc_net', {**results[0], **results[1]}, args.check)


if __name__ == '__main__':
    main()
