"""Adapters of two linear layers around the parts of a frozen SAM, as KnowSAM and SC-SAM train."""

from typing import Any

from torch import Tensor, nn

BESIDE = 0.5
"""Weight of the adapter beside an MLP."""


class Bottleneck(nn.Sequential):
    """Two linear layers with a GELU between them, the middle narrower.

    Args:
        dim: channels in and out.
        ratio: of the channels in the middle to them.
        zero: start at zero, so that nothing is changed at first; else as PyTorch initialises it.

    Example:
        >>> import torch
        >>> Bottleneck(8)(torch.ones(1, 8)).any().item()
        False
    """

    def __init__(self, dim: int, ratio: float = 0.25, zero: bool = True) -> None:
        last = nn.Linear(int(dim * ratio), dim)
        super().__init__(nn.Linear(dim, int(dim * ratio)), nn.GELU(), last)
        if zero:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)


class AfterLayer(nn.Module):
    """A layer, then an adapter: `y + A(y)` with y of the layer."""

    def __init__(self, layer: nn.Module, adapter: nn.Module) -> None:
        super().__init__()
        self.base_layer, self.adapter_after = layer, adapter

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's result, changed."""
        y: Tensor = self.base_layer(x)
        return y + self.adapter_after(y)


class BesideLayer(nn.Module):
    """A layer and an adapter side by side: `f(x) + A(x) / 2`."""

    def __init__(self, layer: nn.Module, adapter: nn.Module) -> None:
        super().__init__()
        self.base_layer, self.adapter_beside = layer, adapter

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both."""
        y: Tensor = self.base_layer(x)
        return y + BESIDE * self.adapter_beside(x)


def adapt_encoder(trunk: Any, ratio: float = 0.25, zero: bool = True) -> None:
    """Put an adapter after every attention and one beside every MLP of SAM's image encoder.

    Args:
        trunk: of `build_vit` or `build_tiny_vit`, changed in place; all else in it stays as it is.
        ratio: see `Bottleneck`.
        zero: see `Bottleneck`.
    """
    for block in [module for module in trunk.modules() if hasattr(module, 'attn')]:
        last = block.attn.proj
        block.attn.proj = AfterLayer(last, Bottleneck(last.out_features, ratio, zero))
        block.mlp = BesideLayer(block.mlp, Bottleneck(last.out_features, ratio, zero))


class AdaptedTwoWay(nn.Module):
    """SAM's two-way transformer with adapters: after its attentions, beside its MLPs, at the end.

    In a layer the same adapter follows all three attentions; that of the end follows the last
    attention and the last norm.

    Args:
        transformer: `TwoWayTransformer` of segment-anything; it keeps its weights.
        zero: see `Bottleneck`.
        released: let the tokens attend to each other as the released code of KnowSAM does: with
            the position code in the values and in the skip connection too, and with a skip
            connection in the first layer. SAM was not trained so.
    """

    def __init__(self, transformer: Any, zero: bool = True, released: bool = False) -> None:
        super().__init__()
        dim = transformer.embedding_dim
        self.base_layer, self.released = transformer, released
        self.adapter_after, self.adapter_beside = (
            nn.ModuleList(Bottleneck(dim, zero=zero) for _ in transformer.layers) for _ in range(2)
        )
        self.adapter_end = Bottleneck(dim, zero=zero)

    def forward(self, image: Tensor, position: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens (N, P, C) and the image (N, h w, C).

        Args:
            image: embedding (N, C, h, w).
            position: its position code, of the same shape.
            tokens: (N, P, C).
        """
        keys, key_pe = (x.flatten(2).transpose(1, 2) for x in (image, position))
        queries, base = tokens, self.base_layer
        parts = zip(base.layers, self.adapter_after, self.adapter_beside, strict=True)
        for layer, after, beside in parts:
            queries = self._among(layer, after, queries, tokens)
            out = layer.cross_attn_token_to_image(queries + tokens, keys + key_pe, keys)
            queries = layer.norm2(queries + out + after(out))
            out = layer.mlp(queries) + BESIDE * beside(queries)
            queries = layer.norm3(queries + out)
            out = layer.cross_attn_image_to_token(keys + key_pe, queries + tokens, queries)
            keys = layer.norm4(keys + out + after(out))
        out = base.final_attn_token_to_image(queries + tokens, keys + key_pe, keys)
        queries = base.norm_final_attn(queries + out + self.adapter_end(out))
        return queries + self.adapter_end(queries), keys

    def _among(self, layer: Any, after: nn.Module, queries: Tensor, tokens: Tensor) -> Tensor:
        """Return the tokens after they have attended to each other."""
        first = layer.skip_first_layer_pe
        if self.released:
            queries = queries if first else queries + tokens
            out = layer.self_attn(queries, queries, queries)
            return layer.norm1(queries + out + after(out))
        q = queries if first else queries + tokens
        out = layer.self_attn(q, q, queries)
        out = out + after(out)
        return layer.norm1(out if first else queries + out)
