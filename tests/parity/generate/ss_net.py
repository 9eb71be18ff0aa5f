"""Recompute the reference of SS-Net (ycwu1997/SS-Net, commit c0a8bf6).

    git clone https://github.com/ycwu1997/SS-Net /tmp/SS-Net
    git -C /tmp/SS-Net checkout c0a8bf6
    python -m tests.parity.generate.ss_net /tmp/SS-Net [--check]

Two steps of `train_ss_2d.py` from iteration 24,000 on the inputs of `tests/parity/data/ss_net.npz`,
the network's dropout at rate 0.
"""

import importlib
from pathlib import Path

import numpy as np
import torch

from tests.parity.generate.cli import parse
from tests.parity.generate.released import (
    DATA,
    checkout,
    fill,
    load_script,
    norms,
    pick,
    save,
    scale,
    train,
)

STUBS = (
    'tensorboardX',
    'skimage',
    'h5py',
    'SimpleITK',
    'medpy',
    'cv2',
    'utils.val_2d',
    'networks.net_factory',
    'dataloaders',
)


def memory_means(seen: dict) -> dict:
    """Return the mean of the memory of each class, which the next step would replace."""
    memory = seen['prototype_memory'].memory
    width = next(kept.shape[1] for kept in memory if kept is not None)
    return dict(
        means=np.stack([np.zeros(width) if kept is None else kept.mean(0) for kept in memory])
    )


def main() -> None:
    """Recompute the reference."""
    args, arrays = parse(__doc__), np.load(DATA / 'ss_net.npz')
    batches = [
        dict(image=scale(arrays[f'in{i}_x']), label=torch.from_numpy(arrays[f'in{i}_y']))
        for i in range(2)
    ]
    with checkout(Path(args.checkout, 'code'), STUBS) as code:
        script = load_script(
            code / 'train_ss_2d.py',
            ['--batch_size', '4', '--labeled_bs', '2'],
            {'\n    iter_num = 0\n': '\n    iter_num = 24000\n'},
        )
        network = importlib.import_module('networks.unet').UNet(1, 4)
        shapes = fill(network, 'ss_net')
        script.net_factory = lambda *args, **kwargs: network
        script.patients_to_slices = lambda *args: 2
        steps = train(
            script, lambda: script.train(script.args, '.'), [batches], [network], extra=memory_means
        )
    terms = pick(
        steps,
        'loss_seg_dice',
        'loss_lds',
        'loss_contr_labeled',
        'loss_contr_unlabeled',
        'loss',
        'consistency_weight',
    )
    save(
        'ss_net',
        dict(
            shapes=shapes,
            it0=terms[0],
            it1=terms[1],
            memory0=steps[0]['means'],
            memory1=steps[1]['means'],
            grads=steps[0]['grads'][0],
            final=norms(network),
        ),
        args.check,
    )


if __name__ == '__main__':
    main()
