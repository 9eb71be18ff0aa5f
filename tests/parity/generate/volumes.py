"""What the generators of references on volumes share."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from unittest import mock

import torch
from torch import nn

from tests.parity import volumes
from tests.parity.generate import released

STUBS = (
    *released.USUAL,
    'torchvision',
    'torchio',
    'dataloaders',
    'test_util',
    'pandas',
    'turtle',
    'asyncore',
)
MAIN = {'if __name__ == "__main__":': 'def main():'}
QUIET = ('os', 'shutil', 'logging')


def fill(network: nn.Module, salt: str) -> dict[str, list[int]]:
    """Give a released V-Net the weights that `tests.parity.volumes` gives ours."""
    last = next(k for k in network.state_dict() if k.endswith('out_conv.weight'))
    return released.fill(network, salt, **{last.replace('.', '__'): volumes.SHARP})


def small(kind: Callable, salts: Sequence[str], **options) -> tuple[list[nn.Module], dict]:
    """Return V-Nets of few filters with weights, and the shapes of their tensors."""
    options = {'n_channels': 1, 'n_classes': 2, 'normalization': 'batchnorm', **options}
    networks = [kind(n_filters=volumes.WIDTHS[0], **options) for _ in salts]
    shapes = [fill(network, salt) for network, salt in zip(networks, salts, strict=True)]
    return networks, shapes[0]


def batch(salt: str, step: int, count: int = 2) -> dict:
    """Return labelled and unlabelled patches, in this order, and the labels."""
    views = volumes.views(salt, step, count)
    y = views['y']
    return dict(image=torch.cat([views['x_w'], views['u_w']]), label=torch.cat([y, 0 * y]))


@contextlib.contextmanager
def quiet(script: SimpleNamespace, networks: Sequence[nn.Module], kind: str) -> Iterator[None]:
    """Let a script's class or factory `kind` give these networks, and let it write nothing."""
    given = iter(networks)
    setattr(script, kind, lambda *args, **kwargs: next(given))
    for name in QUIET:
        setattr(script, name, mock.MagicMock())
    with mock.patch.dict(os.environ):
        yield
