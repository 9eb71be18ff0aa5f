"""DINOv2: a vision transformer that has seen 142 million photographs without labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as run_again

from mmssl.models.weights import copy_tensors, find_weights, load_tensors
from mmssl.registry import MODELS
from mmssl.utils.packaged import from_extra

PATCH = 14
ARCHS: dict[str, dict[str, Any]] = {
    'vit_s': dict(embed_dims=384, depth=12, num_heads=6, out_indices=(2, 5, 8, 11)),
    'vit_b': dict(embed_dims=768, depth=12, num_heads=12, out_indices=(2, 5, 8, 11)),
    'vit_l': dict(embed_dims=1024, depth=24, num_heads=16, out_indices=(4, 11, 17, 23)),
}
WEIGHTS_OF = {'vit_s': 'dinov2_vits14', 'vit_b': 'dinov2_vitb14', 'vit_l': 'dinov2_vitl14'}


@MODELS.register_module()
class DINOv2(BaseModule):
    """Vision transformer of DINOv2 with patches of 14 pixels, its blocks those of timm.

    Oquab et al., DINOv2: Learning Robust Visual Features without Supervision,
    https://arxiv.org/abs/2304.07193. All of it trains, unless `frozen`. The positions, which it
    has for 37 x 37 patches, are interpolated to the patches of the image as in its code, without
    registers. Names of parameters are those of the published files.

    Building never needs a file. `init_weights` reads the published weights.

    Args:
        arch: `vit_s`, `vit_b`, `vit_l` (22, 86 and 304 million parameters), or a dict with
            `embed_dims`, `depth`, `num_heads`, `out_indices` and `grid`, patches on a side of
            the images it was trained on.
        out_indices: blocks whose tokens are given; by default the four of `arch`.
        checkpoint: a path, a name known to `mmssl.models.weights`, `auto` for the published
            weights of `arch`, or None for random ones.
        frozen: train nothing of it.
        with_cp: keep no activations inside blocks, compute them again in the backward pass.

    Raises:
        ValueError: an unknown `arch`, or `auto` where nothing is published.
        SettingError: timm is not installed.
    """

    any_channels: bool = True
    """Whether the network takes grey images and those in colour alike."""

    def __init__(
        self,
        arch: str | dict = 'vit_s',
        out_indices: Sequence[int] | None = None,
        checkpoint: str | None = 'auto',
        frozen: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if isinstance(arch, str) and arch not in ARCHS:
            raise ValueError(f'arch must be one of {", ".join(ARCHS)} or a dict, found {arch!r}')
        if checkpoint == 'auto' and not isinstance(arch, str):
            raise ValueError(
                f'arch={arch!r} has no published weights: take checkpoint=PATH or None'
            )
        parts = ARCHS[arch] if isinstance(arch, str) else arch
        self.checkpoint = WEIGHTS_OF[str(arch)] if checkpoint == 'auto' else checkpoint
        self.out_indices = tuple(parts['out_indices'] if out_indices is None else out_indices)
        self.with_cp = with_cp
        timm = from_extra('timm.models.vision_transformer', 'optional', 'DINOv2')
        self.vit: Any = timm.VisionTransformer(
            img_size=PATCH * parts.get('grid', 37),
            patch_size=PATCH,
            embed_dim=parts['embed_dims'],
            depth=parts['depth'],
            num_heads=parts['num_heads'],
            num_classes=0,
            init_values=1.0,
        )
        self.requires_grad_(not frozen)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the tokens of the chosen blocks, normalised, as maps (N, C, H / 14, W / 14).

        Args:
            x: (N, 1 or 3, H, W) images, as a network of ImageNet wants them.

        Raises:
            ValueError: sides are no multiples of 14 pixels.
        """
        if x.shape[-2] % PATCH or x.shape[-1] % PATCH:
            near = [max(PATCH, round(side / PATCH) * PATCH) for side in x.shape[-2:]]
            raise ValueError(
                f'DINOv2 takes images of multiples of {PATCH} pixels, got {tuple(x.shape[-2:])}: '
                f'set image_size of the data to {near[0]}, or the size of the student, '
                f'data_preprocessor.sizes.NAME.image={near[0] if near[0] == near[1] else near}'
            )
        vit, rows, columns = self.vit, x.shape[-2] // PATCH, x.shape[-1] // PATCH
        x = vit.patch_embed.proj(x.expand(-1, 3, -1, -1)).flatten(2).transpose(1, 2)
        x = torch.cat([vit.cls_token.expand(x.shape[0], -1, -1), x], 1)
        x = x + self.positions(rows, columns)
        maps = []
        for i, block in enumerate(vit.blocks):
            x = self._run(block, x)
            if i in self.out_indices:
                tokens = vit.norm(x)[:, 1:]
                maps.append(tokens.transpose(1, 2).unflatten(2, (rows, columns)))
        return tuple(maps)

    def positions(self, rows: int, columns: int) -> Tensor:
        """Return what is added to the tokens (1, 1 + rows columns, C) of an image's patches.

        The scale of the bicubic interpolation is that of a tenth of a patch more, as published.
        """
        known = self.vit.pos_embed
        side = round((known.shape[1] - 1) ** 0.5)
        if rows == columns == side:
            return known
        grid = known[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        scale = ((rows + 0.1) / side, (columns + 0.1) / side)
        grid = F.interpolate(grid, scale_factor=scale, mode='bicubic')
        return torch.cat([known[:, :1], grid.flatten(2).transpose(1, 2)], 1)

    def init_weights(self) -> None:
        """Read the published weights; their token for hidden patches is left aside.

        Raises:
            FileNotFoundError: the file is missing; the message says where to get it.
            ValueError: the file does not fit `arch`.
        """
        already = self.is_init
        super().init_weights()
        if self.checkpoint is not None and not already:
            path = find_weights(self.checkpoint)
            state = self.vit.state_dict(keep_vars=True)
            copy_tensors(state, load_tensors(path), Path(path).name)

    def compiled_regions(self) -> list[nn.Module]:
        """Return the blocks, of which all are compiled as one."""
        return list(self.vit.blocks)

    def _run(self, block: nn.Module, x: Tensor) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            return run_again(block, x, use_reentrant=False, preserve_rng_state=False)
        return block(x)
