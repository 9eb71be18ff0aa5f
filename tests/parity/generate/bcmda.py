"""Recompute the reference of BCMDA (pascalcpp/BCMDA, commit 864d384).

    git clone https://github.com/pascalcpp/BCMDA /tmp/BCMDA
    git -C /tmp/BCMDA checkout 864d384
    pip install einops
    python -m tests.parity.generate.bcmda /tmp/BCMDA [--check]

Two steps of `code/Prostate_train.py` and `code/Fundus_train.py` from iteration 60 of 100 on the
inputs of `tests/parity/data/symgd.npz`, with the boxes of that file (those of the other step for
the second branch), the authors' U-Net blocks at width 6 and depth 2 and their heads, maps of 8 px
and one unlabelled image of the labelled domain.
"""

import importlib
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from tests.parity.generate import cli, released, symgd

FACTS = dict(prostate=('Prostate_train.py', 384), fundus=('Fundus_train.py', 256))
"""Script, and the size of its images."""
DRAWN = (0.35, 0.8)  # of the Beta distribution, a number for each step
TERMS = (
    'loss_ul_1',
    'loss_lu_1',
    'loss_ul_2',
    'loss_lu_2',
    'loss',
    'consistency_weight',
    'share',
    'lr',
)


def small_unet(channels: int, temperature: float) -> nn.Module:
    """Return the authors' blocks, put together as in their U-Net, in two levels."""
    module = importlib.import_module('networks.unet_model_avg')
    parts = importlib.import_module('networks.unet_parts')

    class SmallUNet(module.UNet):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.temp = temperature
            self.inc = parts.DoubleConv(channels, 6)
            self.down1, self.down2 = parts.Down(6, 12), parts.Down(12, 24)
            self.up1, self.up2 = parts.Up(24, 12, False), parts.Up(12, 6, False)
            self.outc1_sim = module.StochasticClassifier(6, 2, temperature)
            self.outc2_sim = module.StochasticClassifier(6, 2, temperature)
            self.outc = parts.OutConv(6, 2)

        def forward(self, x: torch.Tensor) -> dict:
            fine = self.inc(x)
            middle = self.down1(fine)
            return dict(last_fts=self.up2(self.up1(self.down2(middle), middle), fine))

    return SmallUNet()


def of(code: Path, name: str) -> dict:
    """Return the reference of one data set."""
    arrays = {
        k.removeprefix(f'{name}_'): v
        for k, v in np.load(released.DATA / 'symgd.npz').items()
        if k.startswith(name)
    }
    file, side = FACTS[name]
    script = released.load_script(
        code / file,
        [],
        {
            '\n    iter_num = 0\n': '\n    iter_num = 60\n',
            f'patch_size = {side}': 'patch_size = 32',
        },
    )
    networks = [small_unet(arrays['in0_x_w'].shape[1], script.args.temp) for _ in range(2)]
    shapes = [
        released.fill(network, f'bcmda/{name}{role}', outc__conv__weight=3)
        for network, role in zip(networks, ('', '_teacher'), strict=True)
    ][0]
    labelled, unlabelled, boxes = symgd.batches(arrays, name)
    count = len(labelled[0]['image'])
    for i in range(2):
        greys = (torch.from_numpy(arrays[f'in{i}_{key}'])[:, 0].double() for key in ('x_w', 'u_w'))
        labelled[i].update(image_raw=next(greys), dc=torch.ones(count).long())
        unlabelled[i].update(image_raw=next(greys), dc=torch.tensor([2, 1, 2]))
    first, second = boxes[:count], boxes[count:]
    given, box = iter(networks), iter([*first, *second, *second, *first])
    drawn = iter(DRAWN)
    script.UNet = lambda **kwargs: next(given)
    script.obtain_cutmix_box = lambda **kwargs: next(box)
    script.train_data_path, script.dataset = '', mock.MagicMock()
    script.transforms = mock.MagicMock()
    vars(script.args).update(
        amp=0, threshold=0.6, domain_num=1, num_eval_iter=50, max_iterations=100, corr_resolution=8
    )
    with mock.patch.object(np.random, 'beta', lambda a, b: next(drawn)):
        steps = released.train(
            script, lambda: script.train(script.args, '.'), [labelled, unlabelled], networks
        )
    results = dict(
        shapes=shapes,
        final=dict(zip(('student', 'teacher'), map(released.norms, networks), strict=True)),
    )
    for i, step in enumerate(steps):
        step.update(share=step['stable_mask'].mean())
        results |= {
            f'terms{i}': released.pick([step], *TERMS)[0],
            f'grads{i}': step['grads'][0],
            f'virtual{i}': torch.stack(
                [step[key] for key in ('mix_lb_fix_w', 'mix_ulb_fix_w', 'mix_lb_w')]
            )[..., ::4, ::4].numpy(),
        }
    return {f'{name}_{key}': value for key, value in results.items()}


def main() -> None:
    """Recompute the reference."""
    args = cli.parse(__doc__)
    with released.checkout(Path(args.checkout, 'code'), symgd.STUBS) as code:
        results = of(code, 'prostate') | of(code, 'fundus')
    released.save('bcmda', results, args.check)


if __name__ == '__main__':
    main()
