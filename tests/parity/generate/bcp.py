"""Recompute the reference of BCP (DeepMed-Lab-ECNU/BCP, commit 7879f98).

    git clone https://github.com/DeepMed-Lab-ECNU/BCP /tmp/BCP
    git -C /tmp/BCP checkout 7879f98
    python -m tests.parity.generate.bcp /tmp/BCP [--check]

One step of `pre_train` and two of `self_train` of `ACDC_BCP_train.py` on the inputs of
`tests/parity/data/bcp.npz`, with the corners of the file in place of drawn ones and the network's
dropout at rate 0. SciPy finds the connected components that scikit-image does in the script.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from scipy import ndimage

from tests.parity.generate import cli, released

STUBS = (*released.USUAL, 'asyncore', 'utils.val_2d', 'networks.net_factory', 'dataloaders')


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


def main() -> None:
    """Recompute the reference."""
    args, arrays = cli.parse(__doc__), np.load(released.DATA / 'bcp.npz')
    with released.checkout(Path(args.checkout, 'code'), STUBS) as code:
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


if __name__ == '__main__':
    main()
