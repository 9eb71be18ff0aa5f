"""What makes a frozen trunk: its identity, its random form, and sharing it between copies."""

import zlib

import torch
from torch import Tensor, nn

from mmssl.models.weights import UNKNOWN, copy_tensors, describe_fingerprint


class TrunkIdentity(nn.Module):
    """Hold which weights a frozen trunk has.

    The persistent uint8 buffer `trunk_fingerprint` is one byte for the kind (0 nothing read yet,
    1 file, 2 random) and 32 bytes: the file's SHA-256, or the seed. Copies of a network share
    this module as they share the trunk.
    """

    trunk_fingerprint: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.raw = bytes([UNKNOWN]) * 33  # the buffer's value, so that nobody reads a device
        self.register_buffer('trunk_fingerprint', torch.zeros(33, dtype=torch.uint8))

    @property
    def known(self) -> bool:
        """Whether the trunk's weights were read."""
        return self.raw[0] != UNKNOWN

    def set(self, raw: bytes) -> None:
        """Write down the fingerprint of the weights that were read."""
        self.raw = raw
        self.trunk_fingerprint.copy_(torch.tensor(list(raw), dtype=torch.uint8, device='cpu'))

    def extra_repr(self) -> str:
        """Name the trunk."""
        return describe_fingerprint(self.raw)


def is_adapter(name: str) -> bool:
    """Say whether a parameter name belongs to an adapter and not to the frozen trunk."""
    return 'lora_' in name or 'adapter_' in name


def frozen_tensors(trunk: nn.Module) -> dict[str, Tensor]:
    """Return the trunk's own parameters and persistent buffers, without adapters.

    Names are those the trunk has without LoRA (peft's `base_layer` taken out).
    """
    state = trunk.state_dict(keep_vars=True)
    return {
        name.replace('.base_layer.', '.'): value
        for name, value in state.items()
        if not is_adapter(name)
    }


def fill(trunk: nn.Module, source: dict[str, Tensor], where: str) -> None:
    """Copy weights into a frozen trunk.

    Args:
        trunk: the encoder.
        source: tensors under the trunk's own names; others are left aside.
        where: the file's name, for messages.

    Raises:
        ValueError: a tensor is missing or has another shape.
    """
    copy_tensors(frozen_tensors(trunk), source, where)


def random_tensors(trunk: nn.Module, seed: int) -> dict[str, Tensor]:
    """Return random weights that depend on the seed and the tensors' names alone.

    They are the same on every device and whatever the global generators hold: matrices and
    kernels are normal with variance 1 / fan-in, tables of positions and biases normal with
    standard deviation 0.02, the frequencies of a position code standard normal, norms the
    identity, other biases zero.
    """
    result = {}
    for name, value in frozen_tensors(trunk).items():
        shape = value.shape
        if name.endswith('num_batches_tracked'):
            result[name] = torch.zeros(shape, dtype=torch.long, device='cpu')
        elif value.ndim == 1:
            one = name.endswith(('weight', 'running_var'))
            result[name] = torch.full(shape, float(one), device='cpu')
        else:
            generator = torch.Generator('cpu').manual_seed(zlib.crc32(f'{seed}:{name}'.encode()))
            noise = torch.randn(shape, generator=generator, device='cpu', dtype=torch.float32)
            is_table = 'rel_pos' in name or 'pos_embed' in name or 'attention_biases' in name
            scale = 0.02 if is_table else value[0].numel() ** -0.5
            result[name] = noise * (1 if 'gaussian_matrix' in name else scale)
    return result


def share_in_copy(trunk: nn.Module, memo: dict) -> None:
    """Tell a running `copy.deepcopy` to reuse everything frozen.

    Modules without adapters inside are reused whole, so that parameters and buffers stay shared
    through `.to()`; of the modules around adapters, the tensors are reused.

    Args:
        trunk: the encoder.
        memo: the deepcopy's memory, filled in place.
    """
    for name, module in trunk.named_modules():
        holds_adapter = any(is_adapter(inner) for inner, _ in module.named_parameters())
        if not holds_adapter and not is_adapter(name):
            memo[id(module)] = module
    for value in frozen_tensors(trunk).values():
        memo[id(value)] = value
