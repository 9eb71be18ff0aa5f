"""Compile the parts of networks that bear it: encoder blocks and U-Nets."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import nn


def no_compiler(device: str) -> str | None:
    """Say why nothing can be compiled for a device; None where it can."""
    if device == 'cuda':
        from torch.utils._triton import has_triton

        return None if has_triton() else 'Triton, which compiles for the GPU, is not installed'
    wanted = os.environ.get('CXX')
    names = [wanted] if wanted else ['g++', 'clang++', 'c++']
    if any(shutil.which(name) for name in names):
        return None
    return f'there is no C++ compiler ({", ".join(names)})'


def keep_cache() -> None:
    """Keep what is compiled in the user's cache, where the next run finds it."""
    home = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    os.environ.setdefault('TORCHINDUCTOR_CACHE_DIR', str(Path(home, 'mmssl', 'inductor')))
    os.environ.setdefault('TORCHINDUCTOR_FX_GRAPH_CACHE', '1')


def regions(model: nn.Module) -> Iterator[nn.Module]:
    """Give the modules of students and teachers that are compiled.

    A module offers itself by `compiled_regions`, a method that returns modules whose `forward`
    has no graph break: a network with blocks gives these, so that a block is compiled once for
    all, another gives itself.
    """
    for group in ('students', 'teachers'):
        for module in getattr(model, group, nn.ModuleDict()).modules():
            offered = getattr(module, 'compiled_regions', None)
            if callable(offered):
                yield from offered()


def compile_regions(model: nn.Module, device: str) -> int:
    """Compile the regions of a model that is being trained; at evaluation they run as written.

    Shapes are fixed, there is no graph break (else the region runs as written, which is said).
    Without a compiler nothing changes, and one line says so.

    Args:
        model: with students and teachers.
        device: `cuda` or `cpu`.

    Returns:
        The number of regions.
    """
    why = no_compiler(device)
    if why:
        print_log(f'Nothing is compiled: {why}', 'current', logging.WARNING)
        return 0
    keep_cache()
    found = list(dict.fromkeys(regions(model)))
    for module in found:
        compiled = torch.compile(module.forward, fullgraph=True, dynamic=False)
        module.forward = _Region(model, module, module.forward, compiled)
    print_log(f'{len(found)} regions will be compiled, each when it first runs', 'current')
    return len(found)


class _Region:
    """Call the compiled form of a module's forward pass while the model is in train mode."""

    def __init__(self, root: nn.Module, module: nn.Module, plain: Callable, compiled: Callable):
        self.root, self.name = root, type(module).__name__
        self.plain, self.compiled = plain, compiled
        self.works: bool | None = None  # not tried

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # Under a dispatch mode, which looks at every operation, nothing is compiled, now.
        watched = torch._C._len_torch_dispatch_stack() > 0
        if not self.root.training or self.works is False or watched:
            return self.plain(*args, **kwargs)
        if self.works:
            return self.compiled(*args, **kwargs)
        try:
            found = self.compiled(*args, **kwargs)
        except (torch._dynamo.exc.TorchDynamoException, RuntimeError) as error:
            first = ' '.join(str(error).strip().split('\n')[:2])
            print_log(
                f'{self.name} runs as written, for it cannot be compiled: {first}',
                'current', logging.WARNING,
            )  # fmt: skip
            self.works = False
            return self.plain(*args, **kwargs)
        self.works = True
        return found
