"""Recompute the reference of SymGD (MQinghe/MiDSS, commit fd76f81).

    git clone https://github.com/MQinghe/MiDSS /tmp/MiDSS
    git -C /tmp/MiDSS checkout fd76f81
    python -m tests.parity.generate.symgd /tmp/MiDSS [--check]

Two steps of `train.py` from iteration 60 of 100 on the inputs of `tests/parity/data/symgd.npz`, for
Prostate and Fundus, with the file's boxes and degrees in place of drawn ones and the authors' U-Net
blocks at width 6 and depth 2.
"""

import importlib
import random
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from tests.parity.generate import cli, released

STUBS = ('tensorboardX', 'skimage', 'medpy', 'cv2', 'dataloaders')
GREYS = dict(prostate=(255, 0), fundus=(255, 0, 128))  # of the label images, by class
ITERATIONS = dict(prostate=60000, fundus=30000)  # that the script sets
TERMS = (
    'sup_loss',
    'unsup_loss_ul',
    'unsup_loss_lu',
    'unsup_loss_s',
    'loss',
    'consistency_weight',
    'share',
    'share_direct',
    'lr',
)


class SmallUNet(nn.Module):
    """The authors' blocks, put together as in their U-Net, in two levels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        parts = importlib.import_module('networks.unet_parts')
        self.inc = parts.DoubleConv(channels, 6)
        self.down1, self.down2 = parts.Down(6, 12), parts.Down(12, 24)
        self.up1, self.up2 = parts.Up(24, 12, False), parts.Up(12, 6, False)
        self.outc = parts.OutConv(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits of the image's size."""
        fine = self.inc(x)
        middle = self.down1(fine)
        return self.outc(self.up2(self.up1(self.down2(middle), middle), fine))


def batches(arrays: dict, name: str) -> tuple[list[dict], list[dict], list[torch.Tensor]]:
    """Return labelled and unlabelled batches as the script's loaders give them, and the boxes."""
    labelled, unlabelled, boxes = [], [], []
    for i in range(2):
        x, u, us = (
            (torch.from_numpy(arrays[f'in{i}_{key}']).float() - 127.5) / 127.5
            for key in ('x_w', 'u_w', 'u_s')
        )
        y = torch.tensor(GREYS[name])[torch.from_numpy(arrays[f'in{i}_y']).long()]
        domain = torch.zeros(len(x))
        labelled.append(dict(image=x, label=y, dc=domain))
        unlabelled.append(dict(image=u, strong_aug=us, label=y, dc=domain))
        for column, row, width, height in arrays[f'in{i}_box']:
            mask = torch.zeros(x.shape[-2:])
            mask[row : row + height, column : column + width] = 1
            boxes.append(mask)
    return labelled, unlabelled, boxes


def of(code: Path, name: str) -> dict:
    """Return the reference of one data set."""
    arrays = {
        k.removeprefix(f'{name}_'): v
        for k, v in np.load(released.DATA / 'symgd.npz').items()
        if k.startswith(name)
    }
    script = released.load_script(
        code / 'train.py',
        [f'--dataset={name}'],
        {
            '\n    iter_num = 0\n': '\n    iter_num = 60\n',
            '.astype(np.float32)': '',
            f'args.max_iterations = {ITERATIONS[name]}': 'args.max_iterations = 100',
        },
    )
    networks = [SmallUNet(arrays['in0_x_w'].shape[1]) for _ in range(2)]
    shapes = [
        released.fill(network, f'symgd/{name}{role}', outc__conv__weight=3)
        for network, role in zip(networks, ('', '_teacher'), strict=True)
    ][0]
    given = iter(networks)
    labelled, unlabelled, boxes = batches(arrays, name)
    box = iter(boxes)
    degree = iter(np.concatenate([arrays['rho0'], arrays['rho1']]))
    script.UNet = lambda **kwargs: next(given)
    script.obtain_cutmix_box = lambda **kwargs: next(box)
    script.train_data_path, script.dataset = '', mock.MagicMock()
    script.transforms = mock.MagicMock()
    vars(script.args).update(amp=0, threshold=0.6, LB=0.1, domain_num=1, num_eval_iter=50)
    with mock.patch.object(random, 'uniform', lambda low, high: high * next(degree)):
        steps = released.train(
            script, lambda: script.train(script.args, '.'), [labelled, unlabelled], networks
        )
    results = dict(
        shapes=shapes,
        final=dict(zip(('student', 'teacher'), map(released.norms, networks), strict=True)),
    )
    for i, step in enumerate(steps):
        step.update(share=step['mask'].mean(), share_direct=step['mask_w'].mean())
        results |= {
            f'terms{i}': released.pick([step], *TERMS)[0],
            f'grads{i}': step['grads'][0],
            f'mutated{i}': step['move_transx'][:, :, ::4, ::4].numpy(),
        }
    return {f'{name}_{key}': value for key, value in results.items()}


def main() -> None:
    """Recompute the reference."""
    args = cli.parse(__doc__)
    with released.checkout(Path(args.checkout, 'code'), STUBS) as code:
        results = of(code, 'prostate') | of(code, 'fundus')
    released.save('symgd', results, args.check)


if __name__ == '__main__':
    main()
