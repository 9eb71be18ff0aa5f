"""Recompute the references of CrossMatch (AiEson/CrossMatch, commit 59772e0).

    git clone https://github.com/AiEson/CrossMatch /tmp/CrossMatch
    git -C /tmp/CrossMatch checkout 59772e0
    python -m tests.parity.generate.crossmatch /tmp/CrossMatch [--check]

Two steps of its `ACDC/train_cross_match.py`, in one process with a threshold of 0.4, on the inputs
of `unimatch.npz` (`crossmatch.npz`), and two of its `LA/code/train_cross_match.py` from the middle
of a training, on 2 + 2 + 2 patches with a V-Net of 2 filters (`crossmatch_la.npz`). The networks'
own dropout has rate 0; the dropped channels are drawn from seeds 100 and 101.
"""

import importlib
import os
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from tests.parity import volumes as inputs
from tests.parity.generate import cli, released, unimatch, volumes

START = 7000
TERMS = ('loss_x', 'loss_u_s1', 'loss_u_s2', 'loss_u_w_kd', 'loss', 'share')


def share(seen: dict) -> dict:
    """Return the part of the voxels that count."""
    return dict(share=1 - seen['ignores'].mean())


def patches(step: int) -> list[tuple]:
    """Return the batches of the three loaders of a step: unlabelled, pasted, labelled."""
    views = inputs.crossmatch_views(step)
    boxes = [inputs.cuboid_mask(views[key][0::2]) for key in ('box', 'box2')]
    own, partner = ([views[key][i::2] for key in ('u_w', 'u_s', 'u_s2')] for i in range(2))
    return [(*own, *boxes), (*partner, *boxes), (views['x_w'], views['y'])]


def on_patches(code: Path) -> dict:
    """Return the reference of Left Atrium."""
    main = 'def main():\n    global conf_thresh, pervious_bset_dice'
    script = released.load_script(
        code / 'train_cross_match.py',
        ['--optimizer=SGD', '--label_num=8'],
        {
            'if __name__ == "__main__":': main,
            '\n    iter_num = 0\n': f'\n    iter_num = {START}\n',
        },
    )
    ramp = script.ramps.sigmoid_rampup(START - 1, 17000)
    script.conf_thresh = (0.75 + 0.25 * ramp) * np.log(2)
    vnet = importlib.import_module('networks.vnet').VNet
    networks, shapes = volumes.small(vnet, ['crossmatch'], has_dropout=True)
    loaders = [list(batches) for batches in zip(*(patches(i) for i in range(2)), strict=True)]
    with (
        volumes.quiet(script, networks, 'VNet'),
        mock.patch.object(torch.utils.data.sampler, 'RandomSampler', mock.MagicMock()),
    ):
        steps = released.train(script, script.main, loaders, networks, extra=share)
    return results(shapes, steps, networks[0])


def on_slices(code: Path) -> dict:
    """Return the reference of ACDC."""
    itself = lambda module, *args, **kwargs: module  # noqa: E731
    with (
        mock.patch.dict(os.environ, LOCAL_RANK='0'),
        mock.patch.object(nn.SyncBatchNorm, 'convert_sync_batchnorm', itself),
        mock.patch.object(nn.parallel, 'DistributedDataParallel', itself),
        mock.patch.object(torch.utils.data.distributed, 'DistributedSampler', mock.MagicMock()),
        mock.patch.object(torch.distributed, 'barrier', lambda: None),
    ):
        script = released.load_script(
            code / 'train_cross_match.py',
            replace={'parser.parse_args()': f'parser.parse_args({unimatch.ARGV!r})'},
        )
        network = importlib.import_module('model.unet').UNet(1, 4)
        shapes = released.fill(network, 'crossmatch')
        script.UNet = lambda **kwargs: network
        script.open, script.yaml = mock.MagicMock(), mock.MagicMock()
        script.yaml.load.return_value = dict(
            unimatch.SETTINGS, T=1.0, drop_rate=0.5, use_threshold_relax=False
        )
        script.setup_distributed = lambda **kwargs: (0, 1)
        arrays = np.load(released.DATA / 'unimatch.npz')
        with mock.patch.object(os, 'makedirs', lambda *args, **kwargs: None):
            steps = released.train(
                script, script.main, unimatch.loaders(arrays), [network], extra=share
            )
    return results(shapes, steps, network)


def results(shapes: dict, steps: list[dict], network: nn.Module) -> dict:
    """Return what is kept of two steps."""
    return dict(
        shapes=shapes,
        terms=released.pick(steps, *TERMS),
        lr=[step['lr'] for step in steps],
        grads=steps[0]['grads'][0],
        final=released.norms(network),
    )


def main() -> None:
    """Recompute both references."""
    args = cli.parse(__doc__)
    stubs = (*volumes.STUBS, *unimatch.STUBS, 'util.thresh_helper')
    with released.checkout(Path(args.checkout, 'ACDC'), stubs) as code:
        slices = on_slices(code)
    with released.checkout(Path(args.checkout, 'LA', 'code'), volumes.STUBS) as code:
        patches = on_patches(code)
    released.save('crossmatch', slices, args.check)
    released.save('crossmatch_la', patches, args.check)


if __name__ == '__main__':
    main()
