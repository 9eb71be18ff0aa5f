"""SAM, MedSAM and LiteMedSAM image encoders: a frozen trunk with LoRA adapters."""

import copy
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as run_again

from mmssl.models.sam.adapters import add_adapters
from mmssl.models.sam.frozen_trunk import (
    TrunkIdentity,
    fill,
    frozen_tensors,
    is_adapter,
    random_tensors,
    share_in_copy,
)
from mmssl.models.sam.sam_vit import (
    CHANNELS,
    PATCH,
    build_vit,
    choose_attention,
    vit_forward,
    vit_tensors,
)
from mmssl.models.sam.tiny_vit import (
    build_tiny_vit,
    choose_tiny_attention,
    tiny_vit_forward,
    tiny_vit_tensors,
)
from mmssl.models.weights import (
    FILE,
    SEED,
    describe_fingerprint,
    file_sha256,
    find_weights,
    fingerprint,
    load_tensors,
)
from mmssl.registry import MODELS

DEFAULT_WEIGHTS = {
    'vit_b': 'medsam_vit_b',
    'vit_l': 'sam_vit_l',
    'vit_h': 'sam_vit_h',
    'lite': 'lite_medsam',
}


def default_weights(arch: str | dict, checkpoint: str | None) -> str | None:
    """Return the weights that `checkpoint='auto'` stands for.

    Raises:
        ValueError: there is no default, because `arch` is a dict of one's own.
    """
    if checkpoint != 'auto':
        return checkpoint
    if not isinstance(arch, str) or arch not in DEFAULT_WEIGHTS:
        raise ValueError(
            f'arch={arch!r} has no published weights: give checkpoint=PATH, or checkpoint=None '
            'for random ones'
        )
    return DEFAULT_WEIGHTS[arch]


@MODELS.register_module()
class LoRAMedSAM(BaseModule):
    """Image encoder of SAM or MedSAM with LoRA on q and v.

    SAM: Kirillov et al., ICCV 2023. MedSAM: Ma et al., Nature Communications 2024. LoRA as in
    SAMed: Zhang and Liu, arXiv 2304.13785.

    Only the adapters train: W x + B A x, A Kaiming-uniform, B zero, scale 1. The trunk is frozen,
    always in eval mode, never in a state dict and shared by `copy.deepcopy`, so that a teacher
    costs its adapters. A state dict carries `identity.trunk_fingerprint` instead; loading one
    reads the trunk if that has not happened yet, and refuses one made on another trunk.

    Building never needs a file. `init_weights` reads the trunk.

    Args:
        arch: `vit_b`, `vit_l`, `vit_h`, `lite` (LiteMedSAM), or a dict with `embed_dims`,
            `depth`, `num_heads` and `global_blocks`.
        img_size: side of the square image in pixels, divisible by 16.
        rank: of the adapters; 0 for none at all, a plain frozen encoder.
        targets: which of `q`, `k`, `v`, `proj` of each attention get one.
        lora_blocks: `all`, a number k (the last k attention blocks), or a list of indices.
        in_channels: channels of the images, 1 or 3; one channel is repeated three times.
        checkpoint: file of the trunk: a path, a name known to `mmssl.models.weights`, `auto`
            for the published weights of `arch`, or None for a random trunk (seed 0).
        random_trunk_seed: seed of a random trunk, used instead of `checkpoint`.
        attention: `plain`, or `sdpa` for PyTorch's fused attention (the same to rounding).
        with_cp: keep no activations inside blocks, compute them again in the backward pass.
    """

    any_channels: bool = True
    """Whether the network takes grey images and those in colour alike."""

    without_adapters = {'rank': 0}
    """The options with which it is built as `merge_adapters` leaves it."""

    def __init__(
        self,
        arch: str | dict = 'vit_b',
        img_size: int = 512,
        rank: int = 4,
        targets: Sequence[str] = ('q', 'v'),
        lora_blocks: str | int | Sequence[int] = 'all',
        in_channels: int = 3,
        checkpoint: str | None = 'auto',
        random_trunk_seed: int | None = None,
        attention: str = 'plain',
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        _check_options(img_size, rank, targets, in_channels, attention)
        self.checkpoint, self.random_trunk_seed = checkpoint, random_trunk_seed
        if random_trunk_seed is None:
            self.checkpoint = default_weights(arch, checkpoint)
        self.img_size = img_size
        self.with_cp = with_cp
        self.is_lite = arch == 'lite'
        self.stride = 4 if self.is_lite else PATCH
        self.out_channels = CHANNELS
        self.identity = TrunkIdentity()
        self.trunk = (
            build_tiny_vit(img_size, attention)
            if self.is_lite
            else build_vit(arch, img_size, attention)
        )
        self.trunk.requires_grad_(False)
        if rank:
            _add_adapters(self.trunk, rank, targets, lora_blocks)
        self._register_state_dict_hook(_drop_trunk)
        self.train(self.training)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Return the image embedding.

        Args:
            x: (N, 1 or 3, S, S) images in [0, 1].

        Returns:
            One tensor (N, 256, S/16, S/16); S/4 for `lite`.

        Raises:
            RuntimeError: the trunk was never read.
            ValueError: the images have another size than the model was built for.
        """
        if not self.identity.known and not x.is_meta:
            raise RuntimeError(
                'The frozen trunk was not read yet: call init_weights() or load a checkpoint '
                'before the first forward pass.'
            )
        if x.shape[1] not in (1, 3) or x.shape[-2:] != (self.img_size, self.img_size):
            raise ValueError(
                f'LoRAMedSAM takes images of 1 or 3 channels and {self.img_size} x '
                f'{self.img_size} pixels (img_size), got {tuple(x.shape)}'
            )
        forward = tiny_vit_forward if self.is_lite else vit_forward
        return (forward(self.trunk, x.expand(-1, 3, -1, -1), self._run),)

    def set_attention(self, mode: str) -> None:
        """Compute attention as `attention=mode` does; the weights stay."""
        (choose_tiny_attention if self.is_lite else choose_attention)(self.trunk, mode)

    def compiled_regions(self) -> list[nn.Module]:
        """Return the blocks, of which all of one kind are compiled as one."""
        trunk: Any = self.trunk
        return [] if self.is_lite else list(trunk.blocks)

    def _run(self, block: nn.Module, x: Tensor) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            return run_again(block, x, use_reentrant=False, preserve_rng_state=False)
        return block(x)

    def train(self, mode: bool = True) -> 'LoRAMedSAM':
        """Set the mode; the trunk stays in eval mode, so that its statistics never move."""
        super().train(mode)
        self.trunk.eval()
        return self

    def init_weights(self) -> None:
        """Read the frozen trunk, unless that has happened (a teacher shares its student's)."""
        super().init_weights()
        if not self.identity.known:
            self.load_trunk()

    def load_trunk(self) -> None:
        """Read the frozen trunk from the configured file, or make the configured random one.

        Raises:
            FileNotFoundError: the file is missing; the message says where to get it.
            ValueError: the file does not fit the architecture.
        """
        self._fill_trunk(self._configured_trunk())

    def frozen_tensors(self) -> dict[str, Tensor]:
        """Return the trunk's frozen parameters and buffers under their names without LoRA."""
        return frozen_tensors(self.trunk)

    def _configured_trunk(self, stored: bytes | None = None) -> bytes:
        """Return the fingerprint the config asks for; an open seed is taken from `stored`."""
        if self.random_trunk_seed is not None:
            return fingerprint(SEED, self.random_trunk_seed)
        if self.checkpoint is None:
            return stored if stored and stored[0] == SEED else fingerprint(SEED, 0)
        return fingerprint(FILE, file_sha256(find_weights(self.checkpoint)))

    def _fill_trunk(self, raw: bytes) -> None:
        if raw[0] == SEED:
            seed = int.from_bytes(raw[1:], 'little')
            fill(self.trunk, random_tensors(self.trunk, seed), 'the random trunk')
        else:
            assert self.checkpoint is not None  # or the fingerprint would be a seed's
            path = find_weights(self.checkpoint)
            fill(self.trunk, self._trunk_tensors(load_tensors(path)), Path(path).name)
        self.identity.set(raw)

    def _trunk_tensors(self, source: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of a weight file under the trunk's names."""
        tensors = {
            name.removeprefix('image_encoder.'): value
            for name, value in source.items()
            if name.startswith('image_encoder.')
        }
        convert = tiny_vit_tensors if self.is_lite else vit_tensors
        return convert(tensors, self.trunk)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        """Check the trunk's identity and hide the trunk from the search for missing keys."""
        key = f'{prefix}identity.trunk_fingerprint'
        if key in state_dict:
            self._require_trunk(bytes(state_dict[key].tolist()))
        elif any(name.startswith(f'{prefix}trunk.') for name in state_dict):
            if not self.identity.known:
                self.load_trunk()
            warnings.warn(
                'The checkpoint does not say on which frozen trunk it was trained; using '
                f'{describe_fingerprint(self.identity.raw)}.',
                stacklevel=2,
            )
            state_dict[key] = self.identity.trunk_fingerprint
        own = {
            f'{prefix}trunk.{name}': value
            for name, value in self.trunk.state_dict(keep_vars=True).items()
            if not is_adapter(name)
        }
        args[3].extend(name for name in own if name in state_dict)  # unexpected keys
        state_dict.update(own)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _require_trunk(self, stored: bytes) -> None:
        known = self.identity.known
        own = self.identity.raw if known else self._configured_trunk(stored)
        if own != stored:
            raise ValueError(
                f'The checkpoint was trained on {describe_fingerprint(stored)}, the model has '
                f"{describe_fingerprint(own)}: set the backbone's checkpoint (or "
                'random_trunk_seed) to the one it was trained on.'
            )
        if not known:
            self._fill_trunk(own)

    def __deepcopy__(self, memo: dict) -> 'LoRAMedSAM':
        """Copy the adapters; share every frozen parameter and buffer."""
        share_in_copy(self.trunk, memo)
        memo[id(self.identity)] = self.identity
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        for name, value in self.__dict__.items():
            new.__dict__[name] = copy.deepcopy(value, memo)
        return new


def _drop_trunk(module: LoRAMedSAM, state: dict, prefix: str, _metadata: dict) -> None:
    """Take the frozen trunk out of a state dict."""
    start = f'{prefix}trunk.'
    for name in [n for n in state if n.startswith(start) and not is_adapter(n)]:
        del state[name]


def _check_options(img_size, rank, targets, in_channels, attention) -> None:
    if img_size % PATCH or img_size < PATCH:
        raise ValueError(f'img_size must be divisible by {PATCH}, got {img_size}')
    if rank < 0:
        raise ValueError(f'rank must be at least 1, or 0 for no adapters, got {rank}')
    if not targets or not set(targets) <= {'q', 'k', 'v', 'proj'}:
        raise ValueError(f'targets must be some of q, k, v, proj, got {targets}')
    if in_channels not in (1, 3):
        raise ValueError(f'in_channels must be 1 or 3, got {in_channels}')
    if attention not in ('plain', 'sdpa'):
        raise ValueError(f'attention must be "plain" or "sdpa", got "{attention}"')


def _add_adapters(trunk, rank, targets, lora_blocks) -> None:
    """Put LoRA layers around the chosen projections of the chosen attention blocks."""
    blocks = [name for name, _ in trunk.named_modules() if name.endswith('.attn')]
    indices: Sequence[int] = range(len(blocks))
    if lora_blocks != 'all':
        asked = indices[-lora_blocks:] if isinstance(lora_blocks, int) else lora_blocks
        chosen = [index for index in asked if index in indices]
        count = lora_blocks if isinstance(lora_blocks, int) else len(lora_blocks)
        if len(chosen) != count or not chosen:
            raise ValueError(
                f'lora_blocks={lora_blocks!r} does not fit an encoder of {len(blocks)} attention '
                'blocks: use "all", how many of the last ones, or a list of indices'
            )
        indices = chosen
    names = [f'{blocks[index]}.{target}' for index in indices for target in targets]
    pattern = '|'.join(re.escape(name) for name in names)
    add_adapters(trunk, f'({pattern})', rank)
