"""The second decoder of H-SAM: attention that the first decoder's mask guides."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmssl.utils.dist import sum_over_ranks
from mmssl.utils.resize import resize_nearest

SOFTMAX = ('positions', 'channel')
STDS = (0.35, 0.3, 0.3, 0.2, 0.2, 0.1, 0.1, 0.0, 0.0)


class MapAttention(nn.Module):
    """Self-attention of class maps over the positions of a grid, and the gate made from it.

    The K maps of T positions are K tokens of T channels::

        s    = LN(A_1(s)),  s = A_2(s),  s = LN(s + MLP(s))
        gate = softmax(ReLU(w s + b))

    Args:
        positions: T. There are about 8 T^2 + 2 T `mlp_dim` parameters.
        classes: K.
        heads: of both attentions, a divisor of T; by default the largest one up to 8 (7 for 196
            positions, 8 for 1024).
        mlp_dim: hidden width of the MLP.
        softmax: `positions`: over the grid, times T, so that an even gate is 1; `channel`: over
            the gate's single channel, which makes it 1 whatever the maps are and leaves all of
            this without a gradient, as in the released code.

    Raises:
        ValueError: `heads` does not divide the number of positions, or `softmax` is unknown.
    """

    def __init__(
        self,
        positions: int,
        classes: int,
        heads: int | None = None,
        mlp_dim: int = 2048,
        softmax: str = 'positions',
    ) -> None:
        from segment_anything.modeling.common import MLPBlock
        from segment_anything.modeling.transformer import Attention

        super().__init__()
        heads = heads or max(n for n in range(1, 9) if positions % n == 0)
        if positions % heads:
            raise ValueError(
                f'map_heads={heads} does not divide the {positions} positions of the '
                'embedding: choose a divisor, or None'
            )
        if softmax not in SOFTMAX:
            raise ValueError(f'map_softmax must be one of {SOFTMAX}, or None, found {softmax!r}')
        self.softmax = softmax
        self.attn1, self.attn2 = Attention(positions, heads), Attention(positions, heads)
        self.norm1, self.norm2 = nn.LayerNorm(positions), nn.LayerNorm(positions)
        self.mlp = MLPBlock(positions, mlp_dim, nn.ReLU)
        self.select = nn.Linear(classes, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the gate (N, 1, T) of maps (N, K, T)."""
        maps = self.norm1(self.attn1(maps, maps, maps))
        maps = self.attn2(maps, maps, maps)
        maps = self.norm2(maps + self.mlp(maps))
        score = self.select(maps.transpose(1, 2)).relu().transpose(1, 2)
        if self.softmax == 'channel':
            return score.softmax(1)
        return score.softmax(2) * score.shape[2]


class ClassNoise(nn.Module):
    """Dropout and noise on class maps in training, more of it where a class is rare.

    `s + mean(s) + std(c) n` with n ~ N(0, 1), and c the class of the position. The standard
    deviation is the one in the table at the class's rank among the classes present in the batch
    (of all ranks), the rarest first; of classes as frequent the first.

    Args:
        stds: the table; classes beyond it have its last entry.
        dropout: rate of dropped values.
        classes: `prediction`: the first decoder's; `label`: the label of the images that have
            one, as in the released code.
        resize: of the label to the grid: `nearest`, or `storage` for its first values in memory,
            which is what the released code takes (the upper part of the first images).

    Raises:
        ValueError: an option has another value, or the table is empty.
    """

    stds: Tensor

    def __init__(
        self,
        stds: Sequence[float] = STDS,
        dropout: float = 0.1,
        classes: str = 'prediction',
        resize: str = 'nearest',
    ) -> None:
        super().__init__()
        if not len(stds):
            raise ValueError('map_noise.stds is empty: give a value, or set map_noise=False')
        if classes not in ('prediction', 'label'):
            raise ValueError(
                f"map_noise.classes must be 'prediction' or 'label', found {classes!r}"
            )
        if resize not in ('nearest', 'storage'):
            raise ValueError(f"map_noise.resize must be 'nearest' or 'storage', found {resize!r}")
        self.dropout, self.classes, self.resize = dropout, classes, resize
        self.register_buffer('stds', torch.tensor(stds, dtype=torch.float), persistent=False)

    def forward(self, maps: Tensor, guide: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the maps with noise in training, else as they are.

        Args:
            maps: (N, K, h, w).
            guide: the first decoder's probabilities, (N, K, h, w).
            label: class ids (N, H, W) at the size of the first decoder's logits.
        """
        if not self.training:
            return maps
        classes = guide.argmax(1)
        if self.classes == 'label' and label is not None:
            classes = self.at_grid(label, classes.shape)
        maps = F.dropout(maps, self.dropout)
        total, count = sum_over_ranks(torch.stack([maps.sum(), maps.new_full((), maps.numel())]))
        std = self.std_of(classes, maps.shape[1]).to(maps)
        return maps + total / count + std[:, None] * torch.randn_like(maps)

    def at_grid(self, label: Tensor, shape: Sequence[int]) -> Tensor:
        """Return a label (N, H, W) at the shape (N, h, w)."""
        if self.resize == 'nearest':
            return resize_nearest(label, tuple(shape[1:]))
        return label.flatten()[: math.prod(shape)].view(shape)

    def std_of(self, classes: Tensor, num_classes: int) -> Tensor:
        """Return the standard deviation at every position of class ids (N, h, w)."""
        counts = sum_over_ranks(F.one_hot(classes, num_classes).sum((0, 1, 2)).float())
        index = torch.arange(num_classes, device=counts.device)
        tie = (counts[:, None] == counts) & (index[:, None] < index)
        before = (counts[:, None] < counts) | tie  # class i is rarer than class j
        rank = (before & (counts[:, None] > 0)).sum(0)
        return self.stds[rank.clamp(max=len(self.stds) - 1)][classes]


class MaskGuidedDecoder(nn.Module):
    """Decoder with one token per class, guided by a mask, that ends at the image's size.

    Args:
        channels: of the image embedding.
        num_classes: classes with background.
        stride: of the image embedding in pixels, a power of two from 4 to 16.
        dropout: rate after the tokens' attention to the image, in training.

    Raises:
        ValueError: another stride.
    """

    def __init__(self, channels: int, num_classes: int, stride: int, dropout: float = 0.2) -> None:
        from segment_anything.modeling.common import LayerNorm2d
        from segment_anything.modeling.mask_decoder import MLP
        from segment_anything.modeling.transformer import Attention, TwoWayTransformer

        super().__init__()
        if stride not in (4, 8, 16):
            raise ValueError(
                f'the embedding has a stride of {stride} pixels, but the decoder '
                'scales up 4, 8 or 16 times'
            )
        self.dropout = dropout
        self.transformer = TwoWayTransformer(2, channels, 8, 2048, attention_downsample_rate=1)
        self.transformer.final_attn_token_to_image = Attention(channels, 8, downsample_rate=2)
        self.mask_tokens = nn.Embedding(num_classes, channels)
        widths = [channels // n for n in (1, 4, 8)]
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(widths[0], widths[1], 2, 2),
            LayerNorm2d(widths[1]),
            nn.GELU(),
            nn.ConvTranspose2d(widths[1], widths[2], 2, 2),
            nn.GELU(),
        )
        layers, width = [], 2 * widths[2]
        for factor in (min(stride // 4, 2), max(stride // 8, 1)):
            layers += [
                nn.ConvTranspose2d(width, width // 2, factor, factor),
                LayerNorm2d(width // 2),
                nn.GELU(),
            ]
            width //= 2
        self.skip_connect = nn.Sequential(*layers)
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(channels, channels, width, 5) for _ in range(num_classes)
        )

    def forward(
        self, image: Tensor, position: Tensor, guide: Tensor, fine: Tensor, cross_first: bool
    ) -> Tensor:
        """Return logits (N, K, stride h, stride w).

        Args:
            image: embedding (N, channels, h, w).
            position: its position code, of the same shape.
            guide: class probabilities (N, K, h, w).
            fine: the first decoder's features (N, channels / 8, 4h, 4w).
            cross_first: see `two_way`.
        """
        tokens = self.mask_tokens.weight.expand(image.shape[0], -1, -1)
        dropout = self.dropout if self.training else 0.0
        tokens, image = two_way(
            self.transformer, image, position, tokens, cross_first, guide.flatten(2), dropout
        )
        image = self.skip_connect(torch.cat([self.output_upscaling(image), fine], 1))
        return mask_logits(self.output_hypernetworks_mlps, tokens, image)


def mask_logits(mlps: nn.ModuleList, tokens: Tensor, image: Tensor) -> Tensor:
    """Return the product of the class tokens' (N, K, C) weights with features (N, c, H, W)."""
    weights = torch.stack([mlp(tokens[:, i]) for i, mlp in enumerate(mlps)], 1)
    return (weights @ image.flatten(2)).unflatten(2, image.shape[2:])


def two_way(
    transformer: Any,
    image: Tensor,
    position: Tensor,
    tokens: Tensor,
    cross_first: bool = True,
    guide: Tensor | None = None,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Run SAM's two-way transformer, optionally guided by a mask.

    Args:
        transformer: `TwoWayTransformer` of segment-anything.
        image: embedding (N, C, h, w).
        position: its position code (N, C, h, w).
        tokens: (N, P, C).
        cross_first: let the tokens attend to the image before they attend to each other, as in
            the code released with H-SAM; SAM does it the other way round.
        guide: factors (N, P, h w) of the attention between tokens and image.
        dropout: rate after the tokens' attention to the image.

    Returns:
        The tokens (N, P, C) and the image (N, C, h, w).
    """
    h, w = image.shape[2:]
    keys, key_pe = (x.flatten(2).transpose(1, 2) for x in (image, position))
    queries = tokens
    for layer in transformer.layers:
        queries, keys = two_way_block(
            layer, queries, keys, tokens, key_pe, cross_first, guide, dropout
        )
    out = transformer.final_attn_token_to_image(queries + tokens, keys + key_pe, keys)
    queries = transformer.norm_final_attn(queries + out)
    return queries, keys.transpose(1, 2).unflatten(2, (h, w))


def two_way_block(
    layer: Any,
    queries: Tensor,
    keys: Tensor,
    query_pe: Tensor,
    key_pe: Tensor,
    cross_first: bool,
    guide: Tensor | None,
    dropout: float,
) -> tuple[Tensor, Tensor]:
    """Run a layer of `two_way` and return tokens (N, P, C) and image (N, T, C)."""

    def cross(x: Tensor) -> Tensor:
        out = attend(layer.cross_attn_token_to_image, x + query_pe, keys + key_pe, keys, guide)
        return layer.norm2(x + F.dropout(out, dropout))

    def among(x: Tensor) -> Tensor:
        if layer.skip_first_layer_pe:
            return layer.norm1(layer.self_attn(x, x, x))
        q = x + query_pe
        return layer.norm1(x + layer.self_attn(q, q, x))

    queries = among(cross(queries)) if cross_first else cross(among(queries))
    queries = layer.norm3(queries + layer.mlp(queries))
    back = None if guide is None else guide.transpose(1, 2)
    out = attend(layer.cross_attn_image_to_token, keys + key_pe, queries + query_pe, queries, back)
    return queries, layer.norm4(keys + out)


def attend(
    attention: Any, q: Tensor, k: Tensor, v: Tensor, factors: Tensor | None = None
) -> Tensor:
    """Attend with weights `softmax(q k^T / sqrt(c))`, times `factors`, not normalised again.

    Args:
        attention: `Attention` of segment-anything.
        q: queries (N, P, C).
        k: keys (N, T, C).
        v: values (N, T, C).
        factors: (N, P, T), the same for all heads.
    """
    if factors is None:
        return attention(q, k, v)
    heads = attention.num_heads
    q, k, v = (
        project(x).unflatten(2, (heads, -1)).transpose(1, 2)
        for project, x in ((attention.q_proj, q), (attention.k_proj, k), (attention.v_proj, v))
    )
    weights = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).softmax(-1) * factors[:, None]
    return attention.out_proj((weights @ v).transpose(1, 2).flatten(2))
