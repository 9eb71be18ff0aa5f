"""The image encoder of SAM and MedSAM, rebuilt for any image size and for LoRA on q, k and v."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VIT_ARCHS = {
    'vit_b': dict(embed_dims=768, depth=12, num_heads=12, global_blocks=(2, 5, 8, 11)),
    'vit_l': dict(embed_dims=1024, depth=24, num_heads=16, global_blocks=(5, 11, 17, 23)),
    'vit_h': dict(embed_dims=1280, depth=32, num_heads=16, global_blocks=(7, 15, 23, 31)),
}
PATCH = 16
WINDOW = 14
CHANNELS = 256


class RelativePosition(nn.Module):
    """SAM's decomposed relative position: one table for rows, one for columns.

    Args:
        size: (height, width) of the token grid or window the attention runs over.
        head_dim: channels of one head.
    """

    h_index: Tensor
    w_index: Tensor

    def __init__(self, size: tuple[int, int], head_dim: int):
        super().__init__()
        self.h = nn.Parameter(torch.zeros(2 * size[0] - 1, head_dim))
        self.w = nn.Parameter(torch.zeros(2 * size[1] - 1, head_dim))
        for name, length in zip('hw', size, strict=True):
            steps = torch.arange(length)
            index = steps[:, None] - steps[None, :] + length - 1
            self.register_buffer(f'{name}_index', index, persistent=False)

    def forward(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return each query's bias to every row and to every column.

        Args:
            q: (B, h, w, d) queries, not scaled.

        Returns:
            (B, h, w, h) and (B, h, w, w).
        """
        rows = torch.einsum('bhwc,hkc->bhwk', q, self.h[self.h_index])
        columns = torch.einsum('bhwc,wkc->bhwk', q, self.w[self.w_index])
        return rows, columns


class RelPosAttention(nn.Module):
    """Multi-head attention of SAM's encoder with q, k and v as three layers.

    Args:
        dim: channels of a token.
        num_heads: attention heads.
        size: (height, width) of the token grid or window.
        mode: `plain` writes the attention matrix out as SAM does; `sdpa` folds the relative
            positions into q and k (two one-hot codes of the key's row and column), so that
            PyTorch's fused attention takes it: same result to 1e-6, less memory.
        window: side of the windows in which the grid is attended to; 0 for the whole grid. In
            `plain` SAM's block cuts them; in `sdpa` this module does, after q, k and v: what fills
            the last windows up are zeros before them, so their q, k and v are the biases, and
            nothing need be multiplied for them.
    """

    def __init__(self, dim: int, num_heads: int, size: tuple[int, int], mode: str, window: int = 0):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.mode = mode
        self.window = window
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos = RelativePosition(size, dim // num_heads)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within (B, h, w, dim), or in windows of it, and return the same shape."""
        if self.window and self.mode == 'sdpa':
            return self._in_windows(x)
        b, h, w, _ = x.shape
        q, k, v = (self._heads(layer(x)) for layer in (self.q, self.k, self.v))
        x = self._attend(q, k, v, h, w)
        x = x.view(b, self.num_heads, h * w, -1).transpose(1, 2).reshape(b, h, w, -1)
        return self.proj(x)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, h: int, w: int) -> Tensor:
        rows, columns = self.rel_pos(q.reshape(q.shape[0], h, w, -1))
        attend = self._fused if self.mode == 'sdpa' else self._plain
        return attend(q, k, v, rows, columns)

    def _in_windows(self, x: Tensor) -> Tensor:
        b, h, w, _ = x.shape
        side = self.window
        down, across = -(-h // side), -(-w // side)
        q, k, v = (self._windows(layer(x), layer.bias) for layer in (self.q, self.k, self.v))
        x = self._attend(q, k, v, side, side)
        x = x.reshape(b, down, across, self.num_heads, side, side, -1)
        x = x.permute(0, 1, 4, 2, 5, 3, 6).reshape(b, down * side, across * side, -1)
        return self.proj(x[:, :h, :w].contiguous())  # else a copy of its weights for each row

    def _windows(self, x: Tensor, fill: Tensor) -> Tensor:
        """Turn tokens (B, h, w, dim) into windows of heads, (B windows heads, side**2, d)."""
        b, h, w, dim = x.shape
        side, fill = self.window, fill.to(x.dtype)
        below, right = -h % side, -w % side
        if right:
            x = torch.cat([x, fill.expand(b, h, right, dim)], 2)
        if below:
            x = torch.cat([x, fill.expand(b, below, w + right, dim)], 1)
        x = x.view(b, (h + below) // side, side, (w + right) // side, side, self.num_heads, -1)
        return x.permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, side * side, x.shape[-1])

    def _heads(self, x: Tensor) -> Tensor:
        b, h, w, _ = x.shape
        x = x.reshape(b, h * w, self.num_heads, -1).transpose(1, 2)
        return x.reshape(b * self.num_heads, h * w, -1)

    def _plain(self, q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        attn = (q * self.scale) @ k.transpose(-2, -1)
        n, h, w, _ = rows.shape
        attn = attn.view(n, h, w, h, w) + rows[..., :, None] + columns[..., None, :]
        return attn.view(n, h * w, h * w).softmax(dim=-1) @ v

    def _fused(self, q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        n, h, w, _ = rows.shape
        row_code = torch.eye(h, dtype=k.dtype, device=k.device).repeat_interleave(w, 0)
        column_code = torch.eye(w, dtype=k.dtype, device=k.device).repeat(h, 1)
        code = torch.cat([row_code, column_code], 1).expand(n, -1, -1)
        biases = torch.cat([rows, columns], -1).reshape(n, h * w, h + w).to(q.dtype)
        q = torch.cat([q * self.scale, biases], -1)
        k = torch.cat([k, code], -1)
        # One width, a multiple of 8, for q, k and v is what the flash kernels ask for.
        width, d = -(-q.shape[-1] // 8) * 8, v.shape[-1]
        q, k, v = (F.pad(t, (0, width - t.shape[-1])) for t in (q, k, v))
        shape = (n // self.num_heads, self.num_heads, h * w, width)
        q, k, v = (t.view(shape) for t in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, scale=1.0)[..., :d]


def vit_config(arch: str | dict) -> dict:
    """Return width, depth, heads and global blocks of a SAM encoder.

    Raises:
        ValueError: the name is unknown or the dict lacks a key or has another one.
    """
    if isinstance(arch, str):
        if arch not in VIT_ARCHS:
            known = ', '.join([*VIT_ARCHS, 'lite'])
            raise ValueError(
                f'Unknown arch "{arch}": use one of {known}, or a dict with the keys '
                f'{", ".join(VIT_ARCHS["vit_b"])}'
            )
        return VIT_ARCHS[arch]
    if set(arch) != set(VIT_ARCHS['vit_b']):
        raise ValueError(
            f'An arch dict needs exactly the keys {", ".join(VIT_ARCHS["vit_b"])}, '
            f'got {", ".join(arch)}'
        )
    return dict(arch)


def build_vit(arch: str | dict, img_size: int, attention: str) -> nn.Module:
    """Build SAM's image encoder for one image size, its attention ready for LoRA.

    LayerNorms have eps 1e-6, as in SAM. The weights mean nothing yet.
    """
    from segment_anything.modeling import ImageEncoderViT

    config = vit_config(arch)
    trunk = ImageEncoderViT(
        img_size=img_size,
        patch_size=PATCH,
        embed_dim=config['embed_dims'],
        depth=config['depth'],
        num_heads=config['num_heads'],
        mlp_ratio=4,
        out_chans=CHANNELS,
        qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=WINDOW,
        global_attn_indexes=tuple(config['global_blocks']),
    )
    grid = (img_size // PATCH,) * 2
    for block in trunk.blocks:
        window = block.window_size
        size = (window, window) if window else grid
        block.attn = RelPosAttention(
            config['embed_dims'], config['num_heads'], size, attention, window
        )
    choose_attention(trunk, attention)
    return trunk


def choose_attention(trunk: Any, mode: str) -> None:
    """Let the blocks of a trunk compute attention as `mode` says, see `RelPosAttention`."""
    for block in trunk.blocks:
        block.attn.mode = mode
        # A block without a window hands its attention the whole grid.
        block.window_size = 0 if mode == 'sdpa' else block.attn.window


def vit_forward(trunk: Any, x: Tensor, run: Callable[[nn.Module, Tensor], Tensor]) -> Tensor:
    """Return the embedding (N, 256, S/16, S/16) of images (N, 3, S, S).

    Args:
        trunk: what `build_vit` returned.
        x: images.
        run: calls a block, `run(block, x)`; the place for gradient checkpointing.
    """
    x = trunk.patch_embed(x) + trunk.pos_embed
    for block in trunk.blocks:
        x = run(block, x)
    return trunk.neck(x.permute(0, 3, 1, 2))


def vit_tensors(tensors: dict[str, Tensor], trunk: Any) -> dict[str, Tensor]:
    """Turn a SAM image encoder's tensors into those of `trunk`.

    The fused qkv is cut into thirds; the position table and, in global blocks, the relative
    position tables are resized bilinearly (align_corners False) to the trunk's image size, as
    SAMed does. Which blocks are global is known by index, not by a digit in the name.

    Args:
        tensors: of the checkpoint, names without `image_encoder.`.
        trunk: what `build_vit` returned; only shapes are read.
    """
    side = trunk.pos_embed.shape[1]
    result = {}
    for name, value in tensors.items():
        if '.attn.qkv.' in name:
            for part, rows in zip('qkv', value.chunk(3), strict=True):
                result[name.replace('.qkv.', f'.{part}.')] = rows
        elif '.attn.rel_pos_' in name:
            is_global = trunk.blocks[int(name.split('.')[1])].attn.window == 0
            value = resize_relative(value, 2 * side - 1) if is_global else value
            result[name.replace('.rel_pos_', '.rel_pos.')] = value
        elif name == 'pos_embed':
            result[name] = resize_position(value, side)
        else:
            result[name] = value
    return result


def resize_position(table: Tensor, side: int) -> Tensor:
    """Resize a position table (1, h, w, C) bilinearly to (1, side, side, C)."""
    if table.shape[1:3] == (side, side):
        return table
    table = F.interpolate(
        table.permute(0, 3, 1, 2), (side, side), mode='bilinear', align_corners=False
    )
    return table.permute(0, 2, 3, 1)


def resize_relative(table: Tensor, length: int) -> Tensor:
    """Resize a relative position table (L, C) bilinearly to (length, C)."""
    if table.shape[0] == length:
        return table
    size = (length, table.shape[1])
    return F.interpolate(table[None, None], size, mode='bilinear', align_corners=False)[0, 0]
