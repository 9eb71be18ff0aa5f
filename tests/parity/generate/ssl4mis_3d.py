"""Recompute the references of SSL4MIS on volumes (HiLab-git/SSL4MIS, commit 06df604).

    git clone https://github.com/HiLab-git/SSL4MIS /tmp/SSL4MIS
    git -C /tmp/SSL4MIS checkout 06df604
    python -m tests.parity.generate.ssl4mis_3d /tmp/SSL4MIS [--check]

Two steps of `train_mean_teacher_3D.py` and of `train_cross_pseudo_supervision_3D.py` from the
middle of a training, on 2 + 2 patches, with its V-Net of 2 filters in place of the U-Net; and two
of URPC's, `train_uncertainty_rectified_pyramid_consistency_3D.py`, with its U-Net of 2 filters.
"""

import importlib
from pathlib import Path

from tests.parity import volumes as patches
from tests.parity.generate import cli, released, volumes

STUBS = (*volumes.STUBS, 'networks.net_factory_3d', 'val_3D', 'val_urpc_util')
START, LAST = 15000, 30000
SCRIPTS = {
    'mean_teacher_3d': ('mean_teacher_3D', ('student', 'teacher')),
    'cps_3d': ('cross_pseudo_supervision_3D', ('cps1', 'cps2')),
}
TERMS = {
    'mean_teacher_3d': ('supervised_loss', 'consistency_loss', 'consistency_weight', 'loss'),
    'cps_3d': ('loss1', 'loss2', 'pseudo_supervision1', 'pseudo_supervision2', 'loss'),
}


def of(code: Path, name: str) -> dict:
    """Return the reference of one script."""
    file, salts = SCRIPTS[name]
    script = released.load_script(
        code / f'train_{file}.py',
        [f'--max_iterations={LAST}'],
        {'\n    iter_num = 0\n': f'\n    iter_num = {START}\n'},
    )
    for other in ('kaiming_normal_init_weight', 'xavier_normal_init_weight'):
        setattr(script, other, lambda network: network)
    vnet = importlib.import_module('networks.vnet').VNet
    networks, shapes = volumes.small(vnet, salts, has_dropout=True)
    batches = [volumes.batch(name, i) for i in range(2)]
    students = networks[: 2 if name == 'cps_3d' else 1]
    with volumes.quiet(script, networks, 'net_factory_3d'):
        steps = released.train(
            script,
            lambda: script.train(script.args, '.'),
            [batches],
            students,
            first_lr=0.01 * (1 - START / LAST) ** 0.9,
        )
    return dict(
        shapes=shapes,
        lr=[step['lr'] for step in steps],
        terms=released.pick(steps, *TERMS[name]),
        grads=steps[0]['grads'],
        final=[released.norms(network) for network in networks],
    )


def urpc(code: Path) -> dict:
    """Return the reference of URPC, for three classes."""
    script = released.load_script(
        code / 'train_uncertainty_rectified_pyramid_consistency_3D.py',
        [f'--max_iterations={LAST}'],
        {'\n    iter_num = 0\n': f'\n    iter_num = {START}\n'},
    )
    kind = importlib.import_module('networks.unet_3D_dv_semi').unet_3D_dv_semi
    network = kind(feature_scale=32, n_classes=3, in_channels=1)
    shapes = released.fill(network, 'urpc_3d', dsv1__weight=patches.SHARP)
    batches = [volumes.batch('urpc_3d', i) for i in range(2)]
    for batch in batches:
        batch['label'] = patches.halves(batch['label'])
    with volumes.quiet(script, [network], 'unet_3D_dv_semi'):
        steps = released.train(
            script,
            lambda: script.train(script.args, '.'),
            [batches],
            [network],
            first_lr=0.1 * (1 - START / LAST) ** 0.9,
        )
    names = ('supervised_loss', 'consistency_loss', 'consistency_weight', 'loss')
    return dict(
        shapes=shapes,
        lr=[step['lr'] for step in steps],
        terms=released.pick(steps, *names),
        grads=steps[0]['grads'][0],
        final=released.norms(network),
    )


def main() -> None:
    """Recompute the references."""
    args = cli.parse(__doc__)
    with released.checkout(Path(args.checkout, 'code'), STUBS) as code:
        for name in SCRIPTS:
            released.save(name, of(code, name), args.check)
        released.save('urpc_3d', urpc(code), args.check)


if __name__ == '__main__':
    main()
