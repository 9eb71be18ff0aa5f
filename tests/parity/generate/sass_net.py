"""Recompute the reference of SASSNet (kleinzcy/SASSnet, commit 1761aa8).

    git clone https://github.com/kleinzcy/SASSnet /tmp/SASSnet
    git -C /tmp/SASSnet checkout 1761aa8
    python -m tests.parity.generate.sass_net /tmp/SASSnet [--check]

Two iterations of `train_gan_sdfloss.py` from iteration 2,900 on 2 + 2 patches with a V-Net of 2
filters and a discriminator of 4, both with dropout at rate 0. The mean at the end of the
discriminator is that over its whole map, as at the size of the released patches. scikit-image must
be there.
"""

import importlib
from pathlib import Path

from torch import nn

from tests.parity.generate import cli, dtc, released, volumes
from tests.parity.volumes import SIZE, WIDTHS

FILTERS = 4


def steps(code: Path) -> dict:
    """Return the reference of two iterations from the middle of a training."""
    size = ', '.join(map(str, SIZE))
    script = released.load_script(
        code / 'train_gan_sdfloss.py',
        replace={
            **volumes.MAIN,
            '\n    iter_num = 0\n': f'\n    iter_num = {dtc.START}\n',
            'patch_size = (112, 112, 80)': f'patch_size = ({size})',
        },
    )
    vnet = importlib.import_module('networks.vnet_sdf').VNet
    judge = importlib.import_module('networks.discriminator').FC3DDiscriminator
    network = vnet(1, 1, WIDTHS[0], normalization='batchnorm', has_dropout=True)
    discriminator = judge(1, FILTERS)
    discriminator.avgpool = nn.AdaptiveAvgPool3d(1)
    shapes = dtc.fill(network, 'sass_net')
    of_judge = released.fill(discriminator, 'sass_net_judge')
    batches = [volumes.batch('sass_net', i) for i in range(2)]
    script.FC3DDiscriminator = lambda *args, **kwargs: discriminator
    with volumes.quiet(script, [network], 'VNet'):
        seen = released.train(script, script.main, [batches], [network, discriminator])
    names = ('loss_seg_dice', 'loss_sdf', 'loss_adv', 'consistency_weight', 'loss', 'D_loss')
    return dict(
        shapes=shapes,
        judge_shapes=of_judge,
        terms=released.pick(seen, *names),
        grads=seen[0]['grads'][0],
        judge_grads=seen[0]['grads'][1],
        final=released.norms(network),
        judge_final=released.norms(discriminator),
    )


def main() -> None:
    """Recompute the arrays."""
    args = cli.parse(__doc__)
    with released.checkout(Path(args.checkout, 'code'), dtc.STUBS) as code:
        results = steps(code)
    released.save('sass_net', results, args.check)


if __name__ == '__main__':
    main()
