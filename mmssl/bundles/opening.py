"""From the file of a bundle to what builds a model, checked."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmssl.bundles.archive import BundleError, Contents, read_archive
from mmssl.bundles.check import check_config
from mmssl.bundles.networks import fill_trunks
from mmssl.engine.checkpoints.weights import load_weights
from mmssl.models.weights import WEIGHTS

SPARE = 64 * 2**20
"""Bytes of tensors that a model may make besides those that it is given."""


def open_bundle(path: str | Path) -> Contents:
    """Read a bundle and check that building its model runs and opens nothing else.

    Raises:
        FileNotFoundError: there is no such file.
        BundleError: it is refused; the message says what of it.
    """
    contents = read_archive(path)
    plug_ins = contents.card.get('plug_ins')
    name = Path(path).name
    check_config(contents.config, name, plug_ins if isinstance(plug_ins, dict) else {})
    return contents


@contextmanager
def bounded_by(contents: Contents | None) -> Iterator[None]:
    """Keep a model under construction from taking more memory than its tensors explain.

    Args:
        contents: the bundle; None for a model of another source, which is not bounded.

    Raises:
        BundleError: the config describes a larger network.
    """
    if contents is None:
        yield
        return
    held = sum(value.nbytes for value in contents.tensors.values())
    trunks = sum(WEIGHTS[name].size for name in _weights_named(contents.config['model']))
    with _Bounded(4 * (held + trunks) + SPARE):
        yield


class _Bounded(TorchDispatchMode):
    """Count the tensors that are made of a size, and end it where there are too many.

    Args:
        limit: bytes, at 4 for each number.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit, self.left = limit, limit

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        size = args[0] if args else None
        if isinstance(size, list | tuple) and all(isinstance(one, int) for one in size):
            self.left -= 4 * math.prod(size)
            if self.left < 0:
                raise BundleError(
                    'The bundle is refused: its config describes networks that need more than '
                    f'{self.limit:,} bytes, but its tensors are smaller'
                )
        return func(*args, **(kwargs or {}))


def _weights_named(node: Any) -> Iterator[str]:
    """Give the published weights that a config names."""
    if isinstance(node, Mapping):
        name = node.get('checkpoint')
        if isinstance(name, str) and name in WEIGHTS:
            yield name
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from _weights_named(child)


def fill_model(model: nn.Module, contents: Contents) -> None:
    """Give a model that was built from a bundle's config its tensors.

    Raises:
        FileNotFoundError: LoRA is apart from a trunk whose file is missing.
        ValueError: the tensors are not the model's.
    """
    rest = fill_trunks(model, contents.tensors, 'the bundle')
    load_weights(model, {'state_dict': rest}, 'the bundle', strict=True)
