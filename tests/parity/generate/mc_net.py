"""Recompute the reference of MC-Net and MC-Net+ (ycwu1997/MC-Net, commit fee453c).

    git clone https://github.com/ycwu1997/MC-Net /tmp/MC-Net
    git -C /tmp/MC-Net checkout fee453c
    python -m tests.parity.generate.mc_net /tmp/MC-Net [--check]

Two steps of `train_mcnet_2d.py` from iteration 24,000, with `mcnet2d_v1` and `mcnet2d_v2`, on the
inputs of `tests/parity/data/mc_net.npz`, the networks' dropout at rate 0.
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


def of(code: Path, kind: str) -> dict:
    """Return the reference of one network, `MCNet2d_v1` or `MCNet2d_v2`."""
    arrays = np.load(DATA / 'mc_net.npz')
    batches = [
        dict(image=scale(arrays[f'in{i}_x']), label=torch.from_numpy(arrays[f'in{i}_y']))
        for i in range(2)
    ]
    script = load_script(
        code / 'train_mcnet_2d.py',
        ['--batch_size', '4', '--labeled_bs', '2'],
        {'\n    iter_num = 0\n': '\n    iter_num = 24000\n'},
    )
    network = getattr(importlib.import_module('networks.unet'), kind)(1, 4)
    shapes = fill(network, 'mc_net')
    script.net_factory = lambda *args, **kwargs: network
    script.patients_to_slices = lambda *args: 2
    steps = train(script, lambda: script.train(script.args, '.'), [batches], [network])
    terms = pick(steps, 'loss_seg_dice', 'loss_consist', 'loss', 'consistency_weight')
    results = dict(
        shapes=shapes, it0=terms[0], it1=terms[1], grads=steps[0]['grads'][0], final=norms(network)
    )
    return {f'{kind}_{key}': value for key, value in results.items()}


def main() -> None:
    """Recompute the reference."""
    args = parse(__doc__)
    with checkout(Path(args.checkout, 'code'), STUBS) as code:
        results = [of(code, kind) for kind in ('MCNet2d_v1', 'MCNet2d_v2')]
    save('mc_net', {**results[0], **results[1]}, args.check)


if __name__ == '__main__':
    main()
