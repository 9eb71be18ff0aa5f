"""SAM's mask decoder asked for every class, with box tokens that are learnt from the image."""

from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmssl.models.sam.bottleneck_adapters import AdaptedTwoWay
from mmssl.models.sam.sam_mask_head import SAMHeadOptions, SAMMaskHead, _build_sam_heads
from mmssl.models.unet.unet_encoder import conv_block
from mmssl.registry import MODELS
from mmssl.utils.resize import resize_linear

MASK_TOKENS = 4


class BoxTokens(nn.Module):
    """Make the two tokens of each of some boxes out of an image embedding.

    Args:
        channels: of the embedding and of a token.
        width: of the convolutions.
        boxes: how many.
        dropout: rate in the convolutions and behind the linear layers.
        norm_cfg: the norm layers.
    """

    def __init__(
        self, channels: int, width: int, boxes: int, dropout: float, norm_cfg: dict | None
    ) -> None:
        super().__init__()
        ends = [channels, width, width, width, width]
        self.convs = nn.ModuleList(
            conv_block(low, high, dropout, norm_cfg)
            for low, high in zip(ends[:-1], ends[1:], strict=True)
        )
        self.last = nn.Conv2d(width, width, 1)
        self.tokens = nn.Sequential(
            nn.Linear(width, 4 * boxes * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * boxes * width, 2 * boxes * channels),
            nn.Dropout(dropout),
        )
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 2 boxes, channels) of an embedding (N, channels, h, w)."""
        for i, conv in enumerate(self.convs):
            x = conv(F.max_pool2d(x, 2, ceil_mode=True) if i % 2 else x)
        tokens: Tensor = self.tokens(self.last(x).mean((2, 3)))
        return tokens.unflatten(1, (-1, self.channels))


@MODELS.register_module()
class LearnedPromptHead(SAMMaskHead):
    """Prompt encoder and mask decoder of SAM, asked once for each class, background included.

    A class is asked for with tokens in the place of a box, made from the embedding by a small
    network of its own, and with a mask or points where they are given. The answer is that of SAM's
    first mask token; those of all classes are the logits. The decoder's transformer has adapters
    (`AdaptedTwoWay`).

    Args:
        num_classes: classes with background.
        boxes: boxes for each class, of two tokens.
        width: of the networks that make them.
        frozen: train nothing of SAM itself, as KnowSAM; SC-SAM trains all that gets a gradient.
        dropout: rate in those networks.
        norm_cfg: their norm layers.
        released_quirks: do as the released code where that is hardly meant: the order of
            attention in `AdaptedTwoWay`, adapters that start at random, two MLPs of the
            transformer that stay random and frozen because their names are not those of SAM's
            file, and positions of points in pixels where the code of positions takes [0, 1].
        **options: of `SAMMaskHead` but `init` and `lora_rank`.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        boxes: int = 1,
        width: int = 256,
        frozen: bool = True,
        dropout: float = 0.1,
        norm_cfg: dict | None = None,
        released_quirks: bool = False,
        **options: Unpack[SAMHeadOptions],
    ) -> None:
        super().__init__(num_classes, **options)
        self.released_quirks = released_quirks
        channels, (side, _) = self.in_channels, self.prompt_encoder.image_embedding_size
        self.mask_decoder: Any = _build_sam_heads(
            channels, self.img_size, self.img_size // side, MASK_TOKENS
        )[1]
        for part in (self.prompt_encoder, self.mask_decoder):
            part.requires_grad_(not frozen)
        for unused in (
            self.prompt_encoder.point_embeddings[2:],
            self.prompt_encoder.mask_downscaling,
            self.mask_decoder.iou_prediction_head,
            self.mask_decoder.output_hypernetworks_mlps[1:],
        ):
            unused.requires_grad_(False)
        self.mask_decoder.transformer = AdaptedTwoWay(
            self.mask_decoder.transformer, zero=not released_quirks, released=released_quirks
        )
        self.box_tokens = nn.ModuleList(
            BoxTokens(channels, width, boxes, dropout, norm_cfg) for _ in range(num_classes)
        )

    def published_name(self, name: str) -> str | None:
        """Return what SAM's files call a tensor of this head, None if it stays random."""
        random_mlp = self.released_quirks and '.layers.' in name and '.mlp.' in name
        if random_mlp or name.startswith('box_tokens.'):
            return None
        return super().published_name(name)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the class logits (N, num_classes, 4h, 4w) with the learnt tokens alone."""
        return self.prompted(inputs)

    def prompted(
        self,
        inputs: tuple[Tensor, ...],
        masks: Tensor | None = None,
        points: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the class logits (N, num_classes, 4h, 4w).

        Args:
            inputs: features; the last is the image embedding (N, 256, h, w).
            masks: logits (N, num_classes, H, W) of any size that ask for the classes.
            points: x and y (N, num_classes, P, 2) in pixels of the image of side `img_size`, and
                labels (N, num_classes, P): 1 inside, 0 outside, -1 no point.
        """
        embedding = self._transform_inputs(inputs)
        sparse = torch.stack([tokens(embedding) for tokens in self.box_tokens], 1)
        if points is not None:
            sparse = torch.cat([self.embed_points(*points), sparse], 2)
        dense = None
        if masks is not None:
            size = [4 * side for side in embedding.shape[2:]]
            one = resize_linear(masks, size).flatten(0, 1)[:, None]
            dense = self.prompt_encoder.mask_downscaling(one)
        classes = len(self.box_tokens)
        images = embedding.repeat_interleave(classes, 0)
        logits = self.decode(images, sparse.flatten(0, 1), dense)[:, 0]
        return logits.unflatten(0, (-1, classes))

    def embed_points(self, xy: Tensor, labels: Tensor) -> Tensor:
        """Return SAM's embeddings (..., P, 256) of points, without a look at a value."""
        encoder = self.prompt_encoder
        outside, inside = (encoder.point_embeddings[i].weight[0] for i in range(2))
        if self.released_quirks:
            code = self.point_code(2 * (xy.float() + 0.502) - 1, in_pixels=False)
        else:
            code = self.point_code(xy)
        labels = labels[..., None]
        kind = torch.where(labels == 1, inside, outside)
        return torch.where(labels == -1, encoder.not_a_point_embed.weight[0], code + kind)
