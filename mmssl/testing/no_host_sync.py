"""A check that a computation never waits for its device."""

from collections.abc import Callable

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

MAKERS = {torch.tensor, torch.as_tensor, torch.asarray, torch.Tensor.new_tensor}
INDEXING = {torch.Tensor.__getitem__, torch.Tensor.__setitem__}


class NoCopies(TorchFunctionMode):
    """Raise AssertionError where a value of the host is copied to the meta device.

    On a GPU such a copy waits like a look at a value does, but the meta device lets it pass: a
    tensor made of Python numbers, `x.to(device)`, an index that is a list.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        if not any(x.is_meta for x in tree_leaves((given, out)) if isinstance(x, torch.Tensor)):
            return out
        assert func not in MAKERS, f'{func.__name__} copies numbers to the device'
        assert all(x.is_meta or x.dim() == 0 for x in given), f'{func} takes a tensor of the host'
        if func in INDEXING:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            assert not any(isinstance(i, list) for i in index), 'a list as index is copied'
        return out


def to_meta(x):
    """Move a nested dict of tensors."""
    return {k: to_meta(v) for k, v in x.items()} if isinstance(x, dict) else x.to('meta')


def assert_no_host_sync(model: torch.nn.Module, batch: dict) -> None:
    """Compute the loss of a batch (view to student to tensor) where any look at a value fails.

    The model moves to the meta device and stays there. It has to be without BatchNorm, which
    counts its batches on the host.
    """
    model.to('meta')
    batch = to_meta(batch)
    with NoCopies():
        loss: Callable[[dict], dict] = model.loss  # type: ignore[assignment]  # a method
        assert loss(batch)['loss'].is_meta
