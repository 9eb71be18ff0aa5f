"""Recompute the reference of BCP (DeepMed-Lab-ECNU/BCP, commit 7879f98).

    git clone https://github.com/DeepMed-Lab-ECNU/BCP /tmp/BCP
    git -C /tmp/BCP checkout 7879f98
    python -m tests.parity.generate.bcp /tmp/BCP [--check]

One step of `pre_train` and two of `self_train` of `ACDC_BCP_train.py` on the inputs of
`tests/parity/data/bcp.npz`, with the corners of the file in place of drawn ones and the network's
dropout at rate 0. SciPy finds the connected components that scikit-image does in the script.
The same of `LA_BCP_train.py` on 4 + 4 patches with V-Nets of 2 filters is `bcp_la.npz`.
"""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from scipy import ndimage

from tests.parity.generate import cli, released, volumes
from tests.parity.volumes import CORNERS

STUBS = (
    *volumes.STUBS,
    'utils.val_2d',
    'utils.test_3d_patch',
    'utils.feature_memory',
    'utils.contrastive_losses',
    'networks.net_factory',
)


def components(mask: np.ndarray) -> np.ndarray:
    """Return the number of each pixel's component; corners touch."""
    return ndimage.label(mask, np.ones((3,) * mask.ndim))[0]


def corners(arrays, steps: range) -> Iterator[int]:
    """Yield the rows and columns that the script draws, in its order."""
    for i in steps:
        column, row = arrays[f'corner{i}']
        yield from (int(row), int(column))


def draw(numbers: Iterator[int]):
    """Let NumPy draw given numbers."""
    return mock.patch.object(np.random, 'randint', lambda *args: next(numbers))


def batch(arrays, i: int) -> dict:
    """Return labelled and unlabelled images, in this order, and the labels."""
    images = torch.cat([released.scale(arrays[f'in{i}_{key}']) for key in 'xu'])
    y = torch.from_numpy(arrays[f'in{i}_y'])
    return dict(image=images, label=torch.cat([y, torch.zeros_like(y)]))


def used(tensors: dict) -> dict:
    """Leave out the heads that the script inherits from SS-Net and does not call."""
    return {k: v for k, v in tensors.items() if k.startswith(('encoder.', 'decoder.'))}


def on_volumes(code: Path) -> dict:
    """Return the reference of Left Atrium."""
    script = released.load_script(code / 'LA_BCP_train.py')
    script.label = components
    names = ('LAHeart', 'RandomRotFlip', 'RandomCrop', 'ToTensor', 'TwoStreamBatchSampler')
    vars(script).update(dict.fromkeys(names, mock.MagicMock()))
    vnet = importlib.import_module('networks.VNet').VNet
    networks, shapes = volumes.small(vnet, ('bcp_la',) * 3, has_dropout=True)
    for network in networks:
        network.pool = torch.nn.Identity()  # of features that the script does not look at
    first, student, teacher = networks
    batches = [volumes.batch('bcp', i, 4) for i in range(3)]
    args = script.args
    script.load_net = lambda network, path: network.load_state_dict(first.state_dict())
    with volumes.quiet(script, networks, 'net_factory'):
        with draw(iter(CORNERS[0])):
            steps = released.train(
                script, lambda: script.pre_train(args, '.'), [batches[:1]], [first]
            )
        with draw(number for corner in CORNERS[1:] for number in corner):
            steps += released.train(
                script, lambda: script.self_train(args, '.', '.'), [batches[1:]], [student]
            )
    results = dict(
        shapes=used(shapes),
        pretrain=released.pick(steps[:1], 'loss')[0],
        terms=released.pick(steps[1:], 'loss_l', 'loss_u', 'loss'),
        grads=[used(step['grads'][0]) for step in steps[:2]],
        student=used(released.norms(student)),
        teacher=used(released.norms(teacher)),
    )
    for i in (1, 2):
        labels = torch.cat([steps[i]['plab_a'], steps[i]['plab_b']])
        results[f'plab{i}'] = np.packbits(labels.byte().numpy())
    return results


def main() -> None:
    """Recompute the references."""
    args, arrays = cli.parse(__doc__), np.load(released.DATA / 'bcp.npz')
    with (
        released.checkout(Path(args.checkout, 'code'), STUBS) as code,
        mock.patch.dict(os.environ),
    ):
        of_volumes = on_volumes(code)
        script = released.load_script(
            code / 'ACDC_BCP_train.py', ['--batch_size=12', '--labeled_bs=6']
        )
        script.label = components
        script.patients_to_slices = lambda *args: 6
        script.pre_snapshot_path = '.'  # of the main part
        networks = [importlib.import_module('networks.unet').UNet_2d(1, 4) for _ in range(3)]
        shapes = [released.fill(network, 'bcp') for network in networks][0]
        first, student, teacher = networks
        given = iter(networks)
        script.BCP_net = lambda *args, **kwargs: next(given)
        with draw(corners(arrays, range(1))):
            steps = released.train(
                script, lambda: script.pre_train(script.args, '.'), [[batch(arrays, 0)]], [first]
            )
        pretrained = steps[0]['optimizer'].state_dict()

        def load(network, optimizer, path) -> None:
            network.load_state_dict(first.state_dict())
            optimizer.load_state_dict(pretrained)

        script.load_net = lambda network, path: network.load_state_dict(first.state_dict())
        script.load_net_opt = load
        with draw(corners(arrays, range(1, 3))):
            steps += released.train(
                script,
                lambda: script.self_train(script.args, '.', '.'),
                [[batch(arrays, i) for i in (1, 2)]],
                [student],
            )
    results = dict(
        shapes=used(shapes),
        terms=released.pick(steps, 'loss_dice', 'loss_ce', 'loss'),
        grads=steps[1]['grads'][0],
        student=used(released.norms(student)),
        teacher=used(released.norms(teacher)),
    )
    for i in (1, 2):
        labels = torch.cat([steps[i]['plab_a'], steps[i]['plab_b']])
        results[f'plab{i}'] = labels.byte().numpy()
    released.save('bcp', results, args.check)
    released.save('bcp_la', of_volumes, args.check)


if __name__ == '__main__':
    main()
