"""Recompute the reference of the V-Net (yulequan/UA-MT, commit 88ed29a).

    git clone https://github.com/yulequan/UA-MT /tmp/UA-MT
    git -C /tmp/UA-MT checkout 88ed29a
    python -m tests.parity.generate.vnet /tmp/UA-MT [--check]

Logits of `networks/vnet.py` with the weights of `recipe.py`, in train mode, dropout replaced by a
fixed factor for each channel, which shows where it stands; and the shapes of its tensors at the
width of the paper.
"""

import importlib
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from tests.parity.generate import cli, released
from tests.parity.recipe import recipe

SIZE = (16, 32, 16)


def weigh_channels(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Take the place of dropout: multiply each channel by a factor of its own."""
    factors = torch.linspace(0.5, 1.5, x.shape[1], dtype=x.dtype)
    return x * factors.view(1, -1, *(1,) * (x.ndim - 2))


def logits(module, norm: str) -> torch.Tensor:
    """Return the logits of a V-Net of one norm on two volumes."""
    network = module.VNet(1, 3, 4 if norm == 'batchnorm' else 16, norm, has_dropout=True)
    released.fill(network, norm)
    x = recipe(norm, (2, 1, *SIZE), 'volumes')
    with mock.patch.object(nn.Dropout3d, 'forward', weigh_channels), torch.no_grad():
        return network.train()(x)


def main() -> None:
    """Recompute the reference."""
    args = cli.parse(__doc__)
    with released.checkout(Path(args.checkout, 'code')):
        module = importlib.import_module('networks.vnet')
        paper = module.VNet(1, 2, 16, 'batchnorm', has_dropout=True)
        results = dict(shapes={k: list(v.shape) for k, v in paper.state_dict().items()})
        for norm in ('batchnorm', 'groupnorm', 'instancenorm'):
            # every third voxel of each axis keeps the file small
            results[norm] = logits(module, norm)[..., ::3, ::3, ::3].numpy()
    released.save('vnet', results, args.check)


if __name__ == '__main__':
    main()
