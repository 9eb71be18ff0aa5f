"""Run a released training script, as it stands in a checkout, on the inputs of a reference.

Nothing of the authors' code is kept here. A script is executed from the checkout with a few
replacements of its text (the iteration it starts at), its data loader gives the reference's
batches, CUDA calls do nothing and everything is computed in float64. At each step of an optimiser
the script's own variables are kept, which hold every term of the loss.
"""

import contextlib
import importlib.abc
import importlib.machinery
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tests.parity.float64 import float64
from tests.parity.recipe import recipe

DATA = Path(__file__).parent.parent / 'data'
USUAL = ('tensorboardX', 'skimage', 'imageio', 'h5py', 'SimpleITK', 'medpy', 'cv2')
"""Packages that most scripts import for what is not compared: logs, files, metrics."""
SEED = 100  # of the first step; the second has the next one


class Finished(Exception):
    """The loader has no further batch."""


class _Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Give an empty module for packages that a script imports and its steps do not use."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = set(names)

    def find_spec(self, name: str, path=None, target=None):
        """Return a spec for the stubbed names and what is below them."""
        if name in self.names or any(name.startswith(f'{stub}.') for stub in self.names):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec) -> ModuleType:
        """Return a module of which every attribute exists."""
        module = ModuleType(spec.name)
        module.__getattr__ = lambda attribute: _attribute(attribute)
        return module

    def exec_module(self, module) -> None:
        """Do nothing."""


def _attribute(name: str):
    if name.startswith('__'):
        raise AttributeError(name)
    return mock.MagicMock(name=name)


@contextlib.contextmanager
def checkout(folder: str | Path, stubs: Sequence[str] = ()) -> Iterator[Path]:
    """Import from a checkout's folder, without CUDA, in float64; yield the folder.

    Args:
        folder: the folder that the authors' imports start from.
        stubs: modules that the scripts import and that the compared steps do not need.

    Raises:
        FileNotFoundError: if the folder is not there.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder} is not there: give the path of a checkout')
    before, finder = set(sys.modules), _Stubs(stubs)
    sys.meta_path.insert(0, finder)
    sys.path.insert(0, str(folder))
    itself = lambda self, *args, **kwargs: self  # noqa: E731
    try:
        with (
            float64(),
            mock.patch.object(torch.Tensor, 'cuda', itself),
            mock.patch.object(nn.Module, 'cuda', itself),
            mock.patch.multiple(
                torch, float=torch.get_default_dtype(), float32=torch.get_default_dtype()
            ),
        ):
            yield folder
    finally:
        sys.path.remove(str(folder))
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], '__file__', None)
            if file is None or str(file).startswith(str(folder)):
                del sys.modules[name]


def load_script(path: Path, argv: Sequence[str] = (), replace: dict[str, str] | None = None):
    """Execute a script up to its main part and return its names.

    Raises:
        ValueError: if a text to be replaced does not stand in the script exactly once.
    """
    source = path.read_text()
    for old, new in (replace or {}).items():
        if source.count(old) != 1:
            raise ValueError(
                f'{old!r} stands {source.count(old)} times in {path.name}, not once: '
                'check out the commit that the generator names'
            )
        source = source.replace(old, new)
    script = SimpleNamespace(__file__=str(path), __name__='released')
    with mock.patch.object(sys, 'argv', [path.name, *argv]):
        exec(compile(source, str(path), 'exec'), vars(script))
    return script


class Loader(list):
    """The reference's batches, each with its own seed, and then the end of the training."""

    sampler = mock.MagicMock()

    def __len__(self) -> int:
        """Return a length of the epoch that the scripts can divide by."""
        return 16

    def __iter__(self) -> Iterator[dict]:
        """Yield the batches once."""
        for i, batch in enumerate(list.__iter__(self)):
            torch.manual_seed(SEED + i)
            yield batch
        raise Finished


def train(
    script,
    run: Callable,
    loaders: Sequence[Sequence],
    networks: Sequence[nn.Module],
    first_lr: float | None = None,
    extra: Callable = lambda seen: {},
) -> list[dict]:
    """Run a script's training until a loader's batches end.

    Args:
        script: from `load_script`.
        run: calls its training.
        loaders: batches of its data loaders, in the order in which it makes them.
        networks: of which the gradients are kept.
        first_lr: learning rate of the first step, for a schedule that sets it after each step.
        extra: makes further values of the variables before they change.

    Returns:
        For each step the script's variables at the last optimiser's step, with `grads`, for each
        network the norms of its gradients, and `lr`, the optimiser's rate.
    """
    steps = []

    def keep(optimizer, args, kwargs) -> None:
        frame = sys._getframe()
        while frame.f_code.co_filename != script.__file__:
            frame = frame.f_back
        grads = [
            {k: p.grad.norm().item() for k, p in network.named_parameters() if p.grad is not None}
            for network in networks
        ]
        seen = dict(frame.f_locals, grads=grads)
        if steps and steps[-1]['loss'] is seen['loss']:
            steps.pop()  # of the first of two optimisers
        if first_lr is not None and not steps:
            optimizer.param_groups[0]['lr'] = first_lr
        steps.append({**seen, **extra(seen), 'lr': optimizer.param_groups[0]['lr']})

    given = iter(loaders)
    script.DataLoader = lambda *args, **kwargs: Loader(next(given, ()))
    script.SummaryWriter = mock.MagicMock()
    handle = register_optimizer_step_pre_hook(keep)
    try:
        run()
    except Finished:
        return steps
    finally:
        handle.remove()
    raise RuntimeError('the script ended before its batches did')


def fill(network: nn.Module, salt: str, **factors: float) -> dict[str, list[int]]:
    """Give a network the weights of the recipe and no dropout; return the shapes of its tensors.

    Args:
        network: the released network.
        salt: the recipe's.
        factors: of the tensors, by the end of their names with `__` for a dot.
    """
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    weights = {name: recipe(name, tuple(shape), salt) for name, shape in shapes.items()}
    for name, factor in factors.items():
        weights[name.replace('__', '.')] *= factor
    network.load_state_dict(weights)
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d | nn.Dropout3d):
            module.p = 0.0
    return shapes


def norms(network: nn.Module) -> dict[str, float]:
    """Return the norm of every tensor of a network."""
    return {k: v.double().norm().item() for k, v in network.state_dict().items()}


def scale(image: np.ndarray) -> torch.Tensor:
    """Return 8-bit images in [0, 1]."""
    return torch.from_numpy(image).double() / 255


def labelled_batches(arrays: Mapping[str, np.ndarray], count: int = 2) -> list[dict]:
    """Return images in [0, 1] and their labels, a batch for each step, by the names of SSL4MIS."""
    return [
        dict(image=scale(arrays[f'in{i}_x']), label=torch.from_numpy(arrays[f'in{i}_y']))
        for i in range(count)
    ]


def pick(steps: Sequence[dict], *names: str) -> list[list[float]]:
    """Return named variables of the steps as numbers."""
    return [[float(torch.as_tensor(step[name]).detach()) for name in names] for step in steps]


def distance(old: np.ndarray, new: np.ndarray) -> float:
    """Return how far two references are apart, relative to the largest value of each array."""
    if old.dtype.kind == 'U':
        old, new = (np.array(list(_numbers(json.loads(str(x))))) for x in (old, new))
    old, new = old.astype(float), new.astype(float)
    if old.shape != new.shape:
        return float('inf')
    return float(np.abs(old - new).max(initial=0) / max(np.abs(old).max(initial=0), 1e-30))


def _numbers(tree) -> Iterator[float]:
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list):
        for part in tree:
            yield from _numbers(part)
    elif tree is not None and not isinstance(tree, str):
        yield float(tree)


def save(name: str, results: dict, check: bool = False) -> None:
    """Put results into a reference beside its inputs, and print how far each has moved.

    Args:
        name: of the reference in `tests/parity/data`, without its ending.
        results: arrays, and trees of numbers that are kept as JSON.
        check: write nothing.

    Raises:
        SystemExit: under `check`, if a result is not that of the file.
    """
    path = DATA / f'{name}.npz'
    arrays = dict(np.load(path)) if path.is_file() else {}
    worst = 0.0
    for key, value in results.items():
        new = np.array(json.dumps(value)) if _is_tree(value) else np.asarray(value)
        moved = distance(arrays[key], new) if key in arrays else float('inf')
        worst = max(worst, moved)
        print(f'{name:<20} {key:<14} moved by {moved:.1e}')
        arrays[key] = new
    if not check:
        np.savez_compressed(path, **arrays)
    elif worst > 1e-9:
        raise SystemExit(f'{path.name} is not what the checkout computes: off by {worst:.1e}')


def _is_tree(value) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    )
