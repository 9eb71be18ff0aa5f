"""Deterministic tensors of the numeric references: same name, shape and salt, same values."""

import math
import zlib

import torch


def recipe(name: str, shape: tuple[int, ...], salt: str) -> torch.Tensor:
    """Return the reference tensor of the parameter or buffer `name`, in the authors' naming."""
    generator = torch.Generator().manual_seed(zlib.crc32(f'{salt}:{name}'.encode()))
    if name.endswith('num_batches_tracked'):
        return torch.zeros(shape, dtype=torch.long)
    if name.endswith('running_mean'):
        return torch.zeros(shape)
    if name.endswith('running_var'):
        return torch.ones(shape)
    values = torch.randn(shape, generator=generator, dtype=torch.float32)
    if name.endswith('gaussian_matrix'):
        return values
    if name.endswith('bias'):
        return 0.05 * values
    if len(shape) == 1:
        return 1 + 0.1 * values
    if 'rel_pos' in name or 'pos_embed' in name:
        return 0.05 * values
    return values / math.sqrt(max(math.prod(shape[1:]), 1))
