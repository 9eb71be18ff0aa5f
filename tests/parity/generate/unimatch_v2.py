"""Recompute the reference of UniMatch V2 (LiheYoung/UniMatch-V2, commit f6afb4d).

    git clone https://github.com/LiheYoung/UniMatch-V2 /tmp/UniMatch-V2
    git -C /tmp/UniMatch-V2 checkout f6afb4d
    python -m tests.parity.generate.unimatch_v2 /tmp/UniMatch-V2 [--check]

Two steps of `unimatch_v2.py` in one process, on inputs drawn here, with `DPT` as it is but for its
encoder and its head, which are those of `tests/parity/small_dpt.py`, a threshold of 0.4, and the
dropped channels drawn from seeds 100 and 101 by `torch.randint` in place of the binomial law.
"""

import os
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from torch import nn

from tests.parity.generate import cli, released
from tests.parity.generate.unimatch import ARGV, box_masks
from tests.parity.small_dpt import Encoder, Head

STUBS = (
    'dataset', 'supervised', 'util.classes', 'util.ohem', 'util.dist_helper',
    'torch.utils.tensorboard',
)  # fmt: skip
SIDE, CLASSES = 42, 3
SETTINGS = dict(
    backbone='dinov2_small',
    nclass=CLASSES,
    lock_backbone=False,
    criterion=dict(name='CELoss', kwargs={}),
    lr=0.001,
    lr_multi=4.0,
    conf_thresh=0.4,
    dataset='',
    data_root='',
    crop_size=SIDE,
    batch_size=4,
    epochs=1,
)


def inputs() -> dict[str, np.ndarray]:
    """Return images, labels and boxes of two steps; an image in four has no box."""
    rng, arrays = np.random.default_rng(2), {}
    for i in range(2):
        for key in ('x', 'u_w', 'u_s1', 'u_s2'):
            arrays[f'in{i}_{key}'] = rng.integers(256, size=(4, 1, SIDE, SIDE), dtype=np.uint8)
        arrays[f'in{i}_y'] = rng.integers(CLASSES, size=(4, SIDE, SIDE), dtype=np.uint8)
        for n in (1, 2):
            boxes = rng.integers(4, SIDE // 2, size=(4, 4))
            boxes[i + n, 2:] = 0
            arrays[f'in{i}_box{n}'] = boxes
    return arrays


def loaders(arrays: dict[str, np.ndarray]) -> list[list[tuple]]:
    """Return the batches of the two loaders; no pixel is ignored."""
    labelled, unlabelled = [], []
    for i in range(2):
        y = torch.from_numpy(arrays[f'in{i}_y']).long()
        labelled.append((released.scale(arrays[f'in{i}_x']), y))
        unlabelled.append(
            (
                *(released.scale(arrays[f'in{i}_{key}']) for key in ('u_w', 'u_s1', 'u_s2')),
                torch.zeros_like(y),
                *(box_masks(arrays[f'in{i}_box{n}'], SIDE) for n in (1, 2)),
            )
        )
    return [labelled, unlabelled]


def small(dpt: type) -> nn.Module:
    """Return the released `DPT` around the small encoder and head."""
    network = dpt.__new__(dpt)
    nn.Module.__init__(network)
    network.backbone, network.head = Encoder(), Head(CLASSES)
    network.encoder_size, network.intermediate_layer_idx = 'small', dict(small=[0, 1, 2, 3])
    network.binomial = SimpleNamespace(sample=lambda shape: torch.randint(2, shape).double())
    return network


def main() -> None:
    """Recompute the reference."""
    args, arrays = cli.parse(__doc__), inputs()
    itself = lambda module, *args, **kwargs: module  # noqa: E731
    with (
        released.checkout(args.checkout, STUBS) as code,
        mock.patch.dict(os.environ, LOCAL_RANK='0'),
        mock.patch.object(nn.SyncBatchNorm, 'convert_sync_batchnorm', itself),
        mock.patch.object(nn.parallel, 'DistributedDataParallel', itself),
        mock.patch.object(torch.utils.data.distributed, 'DistributedSampler', mock.MagicMock()),
    ):
        script = released.load_script(
            Path(code, 'unimatch_v2.py'),
            replace={'parser.parse_args()': f'parser.parse_args({ARGV!r})'},
        )
        network = small(script.DPT)
        shapes = released.fill(network, 'unimatch_v2')
        script.DPT = lambda **kwargs: network
        script.open, script.yaml = mock.MagicMock(), mock.MagicMock()
        script.yaml.load.return_value = SETTINGS
        script.setup_distributed = lambda **kwargs: (0, 1)
        script.evaluate = lambda *args, **kwargs: (0.0, [])
        with (
            mock.patch.object(os, 'makedirs', lambda *args, **kwargs: None),
            mock.patch.object(torch, 'load', lambda *args, **kw: network.backbone.state_dict()),
        ):
            steps = released.train(
                script,
                script.main,
                loaders(arrays),
                [network],
                extra=lambda seen: dict(share=(seen['conf_u_w'] >= 0.4).double().mean()),
            )
    terms = released.pick(steps, 'loss_x', 'loss_u_s1', 'loss_u_s2', 'loss', 'share')
    released.save(
        'unimatch_v2',
        dict(
            **arrays,
            shapes=shapes,
            it0=terms[0],
            it1=terms[1],
            grads=steps[0]['grads'][0],
            student=released.norms(network),
            teacher=released.norms(steps[-1]['model_ema']),
        ),
        args.check,
    )


if __name__ == '__main__':
    main()
