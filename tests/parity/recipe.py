"""Deterministic tensors of the numeric references: same name, shape and salt, same values."""

import math
import zlib
from collections.abc import Callable

import torch

SINGLE = torch.float32  # also where float32 stands for float64


def normal(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Return what `torch.randn` draws in float32, but for its rounding, which depends on the CPU.

    The uniform numbers are the same on every CPU; their logarithm, sine and cosine are not, without
    AVX2. Here they are taken in float64, and the result has the default type. Source: the
    Box-Muller transform of PyTorch's `normal_fill`, in blocks of 16, the last of which is drawn
    anew where the blocks do not divide the size.
    """
    size = math.prod(shape)
    if size < 16:
        return torch.randn(shape, generator=generator, dtype=SINGLE).to(torch.get_default_dtype())
    rest = size % 16
    drawn = torch.rand(size + 16 * bool(rest), generator=generator, dtype=SINGLE).double()
    values = torch.empty(size, dtype=torch.float64)
    values[: size - rest] = _box_muller(drawn[: size - rest])
    if rest:
        values[-16:] = _box_muller(drawn[size:])
    return values.view(shape).to(torch.get_default_dtype())


def _box_muller(uniform: torch.Tensor) -> torch.Tensor:
    first, second = uniform.view(-1, 2, 8).unbind(1)
    radius, angle = (-2 * (1 - first).log()).sqrt(), 2 * math.pi * second
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1).flatten()


def single(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Return what `torch.randn` draws in float32 on this CPU."""
    return torch.randn(shape, generator=generator, dtype=SINGLE)


def recipe(name: str, shape: tuple[int, ...], salt: str, draw: Callable = normal) -> torch.Tensor:
    """Return the reference tensor of the parameter or buffer `name`, in the authors' naming.

    Args:
        name: of the tensor.
        shape: of the tensor.
        salt: tells networks with the same names apart.
        draw: `normal`, or `single` for the weights of a reference that was computed in float32.
    """
    generator = torch.Generator().manual_seed(zlib.crc32(f'{salt}:{name}'.encode()))
    if name.endswith('num_batches_tracked'):
        return torch.zeros(shape, dtype=torch.long)
    if name.endswith('running_mean'):
        return torch.zeros(shape)
    if name.endswith('running_var'):
        return torch.ones(shape)
    values = draw(shape, generator)
    if name.endswith('gaussian_matrix'):
        return values
    if name.endswith('bias'):
        return 0.05 * values
    if len(shape) == 1:
        return 1 + 0.1 * values
    if 'rel_pos' in name or 'pos_embed' in name:
        return 0.05 * values
    return values / math.sqrt(max(math.prod(shape[1:]), 1))


def unit(name: str, shape: tuple[int, ...], salt: str) -> torch.Tensor:
    """Return the reference tensor `name` with values of unit variance."""
    return recipe(name, shape, salt) * math.sqrt(math.prod(shape[1:]))
