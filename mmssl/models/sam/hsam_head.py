"""H-SAM's two decoders: SAM's own, and a second one that its mask guides."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor

from mmssl.models.sam.mask_guided_decoder import (
    ClassNoise,
    MapAttention,
    MaskGuidedDecoder,
    mask_logits,
    two_way,
)
from mmssl.models.sam.sam_mask_head import SAMHeadOptions, SAMMaskHead
from mmssl.registry import MODELS
from mmssl.utils.dist import gather_over_ranks
from mmssl.utils.resize import resize_linear, resize_nearest


@MODELS.register_module()
class HSAMHead(SAMMaskHead):
    """Hierarchical decoding of H-SAM (CVPR 2024), without prompts.

    Cheng et al., Unleashing the Potential of SAM for Medical Adaptation via Hierarchical Decoding,
    https://arxiv.org/abs/2403.18271.

    With the embedding F (N, 256, h, w) and the logits m, class tokens t, features and embedding f
    of the first decoder (SAM's)::

        p  = softmax m                                at the grid h x w, guides both attentions
        s  = t f^T                                    similarity maps, one for each class
        F' = (F + noise) (1 + gate(s))                `MapAttention`
        m' = second decoder of F' (p), its features joined with the first decoder's

    m has 4 times the embedding's size, m' the image's: 16 times the embedding's for SAM, 4 times
    for LiteMedSAM. The second decoder starts random. Noise is added in training only, and no
    label is needed for it, unless `map_noise` asks for one where it exists.

    The map attention has a width of h w positions, so that parameters and work grow with the
    square of it: 1024 (512 px with stride 16, 128 px with LiteMedSAM) unless allowed.

    Args:
        num_classes: classes with background.
        stage: what `forward` returns: 2 the second decoder's logits, 3 the mean of both.
        cross_first: order of both decoders' attentions, see `two_way`.
        map_softmax: of the gate, see `MapAttention`: `positions`, or `channel` as released
            (the gate is always 1); None leaves the map attention out.
        map_heads: heads of the map attention; by default fitted to the grid.
        max_tokens: largest h w that the map attention may have.
        image_noise: standard deviation of the noise on F, as a part of its range over the batch.
        map_noise: options of `ClassNoise` on s; False for no noise, as in the code released for
            512 px.
        dropout: of the second decoder's attention.
        **options: of `SAMMaskHead`.

    Raises:
        ValueError: the grid is larger than `max_tokens`, or `stage` is neither 2 nor 3.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        stage: int = 3,
        cross_first: bool = True,
        map_softmax: str | None = 'positions',
        map_heads: int | None = None,
        max_tokens: int = 1024,
        image_noise: float = 0.2,
        map_noise: bool | Mapping = True,
        dropout: float = 0.2,
        **options: Unpack[SAMHeadOptions],
    ) -> None:
        super().__init__(num_classes, **options)
        if stage not in (2, 3):
            raise ValueError(
                f'stage must be 2 (second decoder) or 3 (mean of both), found {stage!r}'
            )
        self.stage, self.cross_first, self.image_noise = stage, cross_first, image_noise
        (h, w), (height, _) = (
            self.prompt_encoder.image_embedding_size,
            self.prompt_encoder.input_image_size,
        )
        self.map_attention = self.map_noise = None
        if map_softmax is not None:
            if h * w > max_tokens:
                raise ValueError(
                    f'The map attention would be {h * w} positions wide (grid of {h} x {w}), the '
                    f'bound is max_tokens={max_tokens}: use a smaller img_size (now {height}), '
                    'raise max_tokens (memory grows with its square), or leave the map attention '
                    'out with map_softmax=None'
                )
            self.map_attention = MapAttention(h * w, num_classes, map_heads, softmax=map_softmax)
            if map_noise is not False:
                self.map_noise = ClassNoise(**({} if map_noise is True else map_noise))
        self.mask_decoder2 = MaskGuidedDecoder(self.in_channels, num_classes, height // h, dropout)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the class logits (N, num_classes, H, W) of `stage`, at the image's size."""
        coarse, fine = self.forward_stages(inputs)
        if self.stage == 2:
            return fine
        return (resize_linear(coarse, fine.shape[-2:]) + fine) / 2

    def forward_stages(
        self, inputs: tuple[Tensor, ...], label: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the logits of both decoders.

        Args:
            inputs: features; the last is the image embedding (N, 256, h, w).
            label: class ids (N, H, W) of any size, if known; for `ClassNoise` with
                `classes='label'` alone.

        Returns:
            (N, num_classes, 4h, 4w), and (N, num_classes, H, W) at the image's size.

        Raises:
            ValueError: the embedding has another grid than the head was built for.
        """
        embedding = self._transform_inputs(inputs)
        grid, found = tuple(self.prompt_encoder.image_embedding_size), tuple(embedding.shape[2:])
        if found != grid:
            raise ValueError(
                f'HSAMHead was built for an embedding of {grid[0]} x {grid[1]}, found {found[0]} x '
                f'{found[1]}: give head and backbone the same arch and img_size'
            )
        image, position = self.with_position(embedding)
        coarse, tokens, image, features = self.decode_coarse(image, position)
        guide = resize_linear(coarse, grid).softmax(1)
        maps = (tokens @ image.flatten(2)).unflatten(2, grid)
        image = self.with_position(self.noisy(embedding))[0]
        if self.map_attention is not None:
            if self.map_noise is not None:
                if label is not None:
                    label = resize_nearest(label, coarse.shape[-2:])
                maps = self.map_noise(maps, guide, label)
            image = image * (1 + self.map_attention(maps.flatten(2)).unflatten(2, grid))
        return coarse, self.mask_decoder2(image, position, guide, features, self.cross_first)

    def with_position(
        self, embedding: Tensor, dense: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the embedding with that of mask prompts added, and its position code."""
        if dense is None:
            dense = self.prompt_encoder.no_mask_embed.weight[0, :, None, None]
        position = self.position_code(*embedding.shape[2:]).to(embedding)
        return embedding + dense, position.expand(embedding.shape[0], -1, -1, -1)

    def decode_coarse(
        self, image: Tensor, position: Tensor, sparse: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Run the first decoder.

        Args:
            image: (N, C, h, w) embedding with that of mask prompts added.
            position: its position code.
            sparse: (N, P, C) embeddings of points and boxes, None for none.

        Returns:
            Logits (N, K, 4h, 4w), class tokens (N, K, C), image (N, C, h, w) and features
            (N, C / 8, 4h, 4w).
        """
        decoder = self.mask_decoder
        tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = tokens.expand(image.shape[0], -1, -1)
        if sparse is not None:
            tokens = torch.cat([tokens, sparse], dim=1)
        tokens, image = two_way(decoder.transformer, image, position, tokens, self.cross_first)
        tokens = tokens[:, 1 : 1 + self.num_classes]
        features = decoder.output_upscaling(image)
        logits = mask_logits(decoder.output_hypernetworks_mlps, tokens, features)
        return logits, tokens, image, features

    def decode(
        self,
        embedding: Tensor,
        sparse: Tensor | None = None,
        dense: Tensor | None = None,
        decoder: Any = None,
    ) -> Tensor:
        """Return the first decoder's logits with prompts, as `SAMMaskHead.decode`.

        Raises:
            ValueError: another decoder is asked for.
        """
        if decoder is not None:
            raise ValueError('HSAMHead decodes with its own first decoder: leave decoder out')
        return self.decode_coarse(*self.with_position(embedding, dense), sparse)[0]

    def noisy(self, embedding: Tensor) -> Tensor:
        """Return the embedding with the noise of the training, scaled by the batch's range."""
        if not self.training or not self.image_noise:
            return embedding
        low, high = gather_over_ranks(torch.stack([embedding.amin(), embedding.amax()])).unbind(1)
        std = self.image_noise * (high.amax() - low.amin())
        return embedding + torch.randn_like(embedding) * std
