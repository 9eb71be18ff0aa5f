"""Recompute the reference of SS-Net (ycwu1997/SS-Net, commit c0a8bf6).

    git clone https://github.com/ycwu1997/SS-Net /tmp/SS-Net
    git -C /tmp/SS-Net checkout c0a8bf6
    python -m tests.parity.generate.ss_net /tmp/SS-Net [--check]

Two steps of `train_ss_2d.py` from iteration 24,000 on the inputs of `tests/parity/data/ss_net.npz`,
and two of `train_ss_3d.py` from iteration 2,900 on 2 + 2 patches, the networks' dropout at rate 0.
"""

import importlib
from pathlib import Path

import numpy as np

from tests.parity.generate import cli, mc_net, released, volumes
from tests.parity.generate.mc_net import load, two_steps

STUBS = (*mc_net.STUBS, 'utils.test_3d_patch')
TERMS = (
    'loss_seg_dice',
    'loss_lds',
    'loss_contr_labeled',
    'loss_contr_unlabeled',
    'loss',
    'consistency_weight',
)


def memory_means(seen: dict) -> dict:
    """Return the mean of the memory of each class, which the next step would replace."""
    memory = seen['prototype_memory'].memory
    width = next(kept.shape[1] for kept in memory if kept is not None)
    return dict(
        means=np.stack([np.zeros(width) if kept is None else kept.mean(0) for kept in memory])
    )


def of_volumes(code: Path) -> dict:
    """Return the reference on patches; the heads beside the network ask for 16 filters."""
    network = importlib.import_module('networks.VNet').VNet(1, 2, 16, 'batchnorm', True)
    shapes = volumes.fill(network, 'ss_net_la')
    steps = mc_net.steps_on_patches(code / 'train_ss_3d.py', 'ss_net_la', network, memory_means)
    return dict(
        shapes=shapes,
        terms=released.pick(steps, *TERMS),
        memory=[step['means'].tolist() for step in steps],
        grads=steps[0]['grads'][0],
        final=released.norms(network),
    )


def main() -> None:
    """Recompute the reference."""
    args = cli.parse(__doc__)
    with released.checkout(Path(args.checkout, 'code'), STUBS) as code:
        script = load(code / 'train_ss_2d.py')
        network = importlib.import_module('networks.unet').UNet(1, 4)
        shapes = released.fill(network, 'ss_net')
        steps = two_steps(script, 'ss_net', network, memory_means)
        released.save('ss_net_la', of_volumes(code), args.check)
    terms = released.pick(steps, *TERMS)
    released.save(
        'ss_net',
        dict(
            shapes=shapes,
            it0=terms[0],
            it1=terms[1],
            memory0=steps[0]['means'],
            memory1=steps[1]['means'],
            grads=steps[0]['grads'][0],
            final=released.norms(network),
        ),
        args.check,
    )


if __name__ == '__main__':
    main()
