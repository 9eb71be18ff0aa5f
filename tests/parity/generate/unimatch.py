"""Recompute the reference of UniMatch (LiheYoung/UniMatch, commit 0324f3d).

    git clone https://github.com/LiheYoung/UniMatch /tmp/UniMatch
    git -C /tmp/UniMatch checkout 0324f3d
    python -m tests.parity.generate.unimatch /tmp/UniMatch [--check]

Two steps of `more-scenarios/medical/unimatch.py` on the inputs of `tests/parity/data/unimatch.npz`,
in one process, with the U-Net's own dropout at rate 0, a threshold of 0.4, and the dropped channels
drawn from seeds 100 and 101.
"""

import importlib
import os
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from tests.parity.generate import cli, released

STUBS = ('dataset', 'util.classes', 'util.dist_helper', 'torch.utils.tensorboard')
ARGV = [f'--{key}=.' for key in ('config', 'labeled-id-path', 'unlabeled-id-path', 'save-path')]
SETTINGS = dict(
    nclass=4,
    lr=0.01,
    conf_thresh=0.4,
    dataset='',
    data_root='',
    crop_size=32,
    batch_size=2,
    epochs=1,
)


def box_masks(boxes: np.ndarray, side: int) -> torch.Tensor:
    """Return masks (N, S, S) of boxes of column, row, width and height."""
    masks = torch.zeros(len(boxes), side, side)
    for mask, (column, row, width, height) in zip(masks, boxes, strict=True):
        mask[row : row + height, column : column + width] = 1
    return masks


def loaders(arrays) -> list[list[tuple]]:
    """Return batches of the three loaders: labelled, unlabelled, and those that are pasted."""
    labelled, unlabelled, pasted = [], [], []
    for i in range(2):

        def images(*keys: str, i=i) -> list[torch.Tensor]:
            return [released.scale(arrays[f'in{i}_{key}']) for key in keys]

        y = torch.from_numpy(arrays[f'in{i}_y']).long()
        boxes = [box_masks(arrays[f'in{i}_box{n}'], y.shape[-1]) for n in (1, 2)]
        labelled.append((*images('x'), y))
        unlabelled.append((*images('u_w', 'u_s1', 'u_s2'), *boxes))
        pasted.append((*images('m_w', 'm_s1', 'm_s2'), *boxes))
    return [labelled, unlabelled, pasted]


def main() -> None:
    """Recompute the reference."""
    args, arrays = cli.parse(__doc__), np.load(released.DATA / 'unimatch.npz')
    itself = lambda module, *args, **kwargs: module  # noqa: E731
    with (
        released.checkout(Path(args.checkout, 'more-scenarios', 'medical'), STUBS) as code,
        mock.patch.dict(os.environ, LOCAL_RANK='0'),
        mock.patch.object(nn.SyncBatchNorm, 'convert_sync_batchnorm', itself),
        mock.patch.object(nn.parallel, 'DistributedDataParallel', itself),
        mock.patch.object(torch.utils.data.distributed, 'DistributedSampler', mock.MagicMock()),
        mock.patch.object(torch.distributed, 'barrier', lambda: None),
    ):
        script = released.load_script(
            code / 'unimatch.py', replace={'parser.parse_args()': f'parser.parse_args({ARGV!r})'}
        )
        network = importlib.import_module('model.unet').UNet(1, 4)
        shapes = released.fill(network, 'unimatch')
        script.UNet = lambda **kwargs: network
        script.open, script.yaml = mock.MagicMock(), mock.MagicMock()
        script.yaml.load.return_value = SETTINGS
        script.setup_distributed = lambda **kwargs: (0, 1)
        with mock.patch.object(os, 'makedirs', lambda *args, **kwargs: None):
            steps = released.train(
                script,
                script.main,
                loaders(arrays),
                [network],
                extra=lambda seen: dict(share=(seen['conf_u_w'] >= 0.4).double().mean()),
            )
    terms = released.pick(steps, 'loss_x', 'loss_u_s1', 'loss_u_s2', 'loss_u_w_fp', 'loss', 'share')
    released.save(
        'unimatch',
        dict(
            shapes=shapes,
            it0=terms[0],
            it1=terms[1],
            grads=steps[0]['grads'][0],
            logits_x=steps[0]['pred_x'].detach()[:, :, ::4, ::4].numpy(),
            final=released.norms(network),
        ),
        args.check,
    )


if __name__ == '__main__':
    main()
