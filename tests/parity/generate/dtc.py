"""Recompute the reference of DTC (HiLab-git/DTC, commit 2525b9c).

    git clone https://github.com/HiLab-git/DTC /tmp/DTC
    git -C /tmp/DTC checkout 2525b9c
    python -m tests.parity.generate.dtc /tmp/DTC [--check]

Two steps of `train_la_dtc.py` from iteration 2,900 on 2 + 2 patches with a V-Net of 2 filters, its
dropout at rate 0, and the distances of the first labels. scikit-image must be there.
"""

import importlib
from pathlib import Path

import numpy as np
from torch import nn

from tests.parity.generate import cli, released, volumes
from tests.parity.volumes import SHARP, SIZE, WIDTHS

STUBS = (*(set(volumes.STUBS) - {'skimage'}), 'utils.metrics')
START = 2900


def fill(network: nn.Module, salt: str) -> dict[str, list[int]]:
    """Give the network its weights, those of both last convolutions enlarged."""
    return released.fill(network, salt, out_conv__weight=SHARP, out_conv2__weight=SHARP)


def steps(code: Path) -> dict:
    """Return the reference of two steps from the middle of a training."""
    size = ', '.join(map(str, SIZE))
    script = released.load_script(
        code / 'train_la_dtc.py',
        replace={
            **volumes.MAIN,
            '\n    iter_num = 0\n': f'\n    iter_num = {START}\n',
            'patch_size = (112, 112, 80)': f'patch_size = ({size})',
        },
    )
    vnet = importlib.import_module('networks.vnet_sdf').VNet
    network = vnet(1, 1, WIDTHS[0], normalization='batchnorm', has_dropout=True)
    shapes = fill(network, 'dtc')
    batches = [volumes.batch('dtc', i) for i in range(2)]
    with volumes.quiet(script, [network], 'VNet'):
        seen = released.train(script, script.main, [batches], [network])
    names = ('loss_seg_dice', 'loss_sdf', 'consistency_loss', 'consistency_weight', 'loss')
    return dict(
        shapes=shapes,
        terms=released.pick(seen, *names),
        grads=seen[0]['grads'][0],
        final=released.norms(network),
        distances=np.stack([step['gt_dis'].numpy() for step in seen]),
    )


def main() -> None:
    """Recompute the arrays."""
    args = cli.parse(__doc__)
    with released.checkout(Path(args.checkout, 'code'), STUBS) as code:
        results = steps(code)
    released.save('dtc', results, args.check)


if __name__ == '__main__':
    main()
