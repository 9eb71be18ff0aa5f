"""Recompute the references of ABD (chy-upc/ABD, commit 4efd525).

    git clone https://github.com/chy-upc/ABD /tmp/ABD
    git -C /tmp/ABD checkout 4efd525
    pip install einops
    python -m tests.parity.generate.abd /tmp/ABD [--check]

Two steps of `self_train` of `train_ACDC_BCP.py` and of `train_ACDC_Cross_Teaching.py` on the inputs
of `tests/parity/data/abd_*.npz`, the networks' dropout at rate 0. In the first step `random` lets
every displacement happen, in the second none. A second U-Net takes the transformer's place.
"""

import importlib
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from tests.parity.generate import cli, released
from tests.parity.generate.bcp import components, corners, draw, used

STUBS = (
    *released.USUAL,
    'val_2D',
    'networks.net_factory',
    'networks.vision_transformer',
    'networks.config',
    'dataloaders',
)
PATCHES = 4  # in each direction


class Batch(dict):
    """A batch that chooses the branch of `random` when its step begins.

    Args:
        arrays: the reference.
        i: number of the step.
        chance: what `random.random` is to return in it.
    """

    def __init__(self, arrays, i: int, chance: mock.Mock) -> None:
        def images(*keys: str) -> torch.Tensor:
            return torch.cat([released.scale(arrays[f'in{i}_{key}']) for key in keys])

        y, ys = (torch.from_numpy(arrays[f'in{i}_{key}']) for key in ('y', 'ys'))
        super().__init__(
            image=images('x', 'u'),
            image_strong=images('xs', 'us'),
            label=torch.cat([y, torch.zeros_like(y)]),
            label_strong=torch.cat([ys, torch.zeros_like(ys)]),
        )
        self.i, self.chance = i, chance

    def __getitem__(self, key: str):
        """Return a view; the first one begins the step."""
        self.chance.return_value = 0.0 if self.i == 0 else 1.0
        return super().__getitem__(key)


def run(
    script, function: str, args: tuple, networks: list[nn.Module], arrays, **options
) -> list[dict]:
    """Return the variables of two steps."""
    script.patients_to_slices = lambda *args: 6
    script.args.patch_size = arrays['in0_x'].shape[-1] // PATCHES
    displacement = importlib.import_module('utils.displacement')
    with mock.patch.object(displacement.random, 'random') as chance:
        batches = [Batch(arrays, i, chance) for i in range(2)]
        return released.train(
            script,
            lambda: getattr(script, function)(script.args, *args),
            [batches],
            networks,
            **options,
        )


def over_bcp(code: Path) -> dict:
    """Return the reference over BCP."""
    arrays = np.load(released.DATA / 'abd_bcp.npz')
    networks = [importlib.import_module('networks.unet').UNet_2d(1, 4) for _ in range(3)]
    shapes = [released.fill(network, 'abd') for network in networks][0]
    script = released.load_script(code / 'train_ACDC_BCP.py', ['--batch_size=12', '--labeled_bs=6'])
    script.label, script.pre_snapshot_path = components, '.'
    given = iter(networks)
    script.BCP_net = lambda *args, **kwargs: next(given)
    script.load_net = script.load_net_opt = lambda *args: None  # they are filled
    with draw(corners(arrays, range(2))):
        steps = run(script, 'self_train', ('.', '.'), networks[:2], arrays)
    for step in steps:
        for n in '12':
            step[f'mixed{n}'] = (step[f'loss_dice_{n}'] + step[f'loss_ce_{n}']) / 2
    terms = released.pick(
        steps, 'mixed1', 'mixed2', *(f'pseudo_supervision{n}' for n in '1234'), 'loss'
    )
    final1, final2, teacher = (used(released.norms(network)) for network in networks)
    return dict(
        shapes=used(shapes),
        terms=terms,
        grads1=steps[0]['grads'][0],
        grads2=steps[0]['grads'][1],
        final1=final1,
        final2=final2,
        teacher=teacher,
    )


def over_cross_teaching(code: Path) -> dict:
    """Return the reference over cross teaching, whose steps lie far apart in the training."""
    arrays = np.load(released.DATA / 'abd_cross_teaching.npz')
    networks = [importlib.import_module('networks.unet').UNet(1, 4) for _ in range(2)]
    shapes = [released.fill(network, f'abd{i + 1}') for i, network in enumerate(networks)][0]
    first, second = (int(i) for i in arrays['iters'])
    script = released.load_script(
        code / 'train_ACDC_Cross_Teaching.py',
        ['--batch_size=12', '--labeled_bs=6'],
        {
            '\n    iter_num = 0\n': f'\n    iter_num = {first}\n',
            'iter_num = iter_num + 1': f'iter_num = {second}',
        },
    )
    script.UNet = lambda *args, **kwargs: networks[0]
    networks[1].load_from = lambda config: None
    script.ViT_seg = lambda *args, **kwargs: networks[1]
    steps = run(script, 'train', ('.',), networks, arrays)
    for step in steps:
        step.update({f'trouble{n - 2}': 2 * step[f'loss{n}'] for n in (3, 4)})
    names = ('loss1', 'loss2', 'trouble1', 'trouble2', *(f'pseudo_supervision{n}' for n in '1234'))
    terms = released.pick(steps, *names, 'consistency_weight', 'loss')
    return dict(
        shapes=shapes,
        terms=terms,
        grads1=steps[0]['grads'][0],
        grads2=steps[0]['grads'][1],
        final1=released.norms(networks[0]),
        final2=released.norms(networks[1]),
    )


def main() -> None:
    """Recompute both references."""
    args = cli.parse(__doc__)
    with released.checkout(Path(args.checkout, 'code'), STUBS) as code:
        released.save('abd_bcp', over_bcp(code), args.check)
        released.save('abd_cross_teaching', over_cross_teaching(code), args.check)


if __name__ == '__main__':
    main()
