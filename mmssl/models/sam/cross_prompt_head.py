"""Two SAM mask decoders that prompt each other with points, as in CPC-SAM."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmssl.models.sam.connected import class_masks, largest_component_masks
from mmssl.models.sam.prompts import optimal_points, random_points
from mmssl.models.sam.sam_mask_head import REINITIALISED, SAMMaskHead, _build_sam_heads
from mmssl.registry import MODELS


@MODELS.register_module()
class CrossPromptHead(SAMMaskHead):
    """One prompt encoder and two mask decoders of SAM at the image's resolution.

    Each decoder has one token per class and scales up from the embedding's stride to the image:
    16 times for a ViT by four transposed convolutions (256, 64, 32, 16, 16 channels), 4 times for
    LiteMedSAM by SAM's own two. The prompt encoder has an embedding of points for each class, and
    two of box corners that stay unused and frozen. SAM's file has four (negative, positive, both
    corners); as in the released code they become the first four classes, so that class 0 is a
    negative point, class 1 a positive one; those of further classes start random. Unlike there,
    any number of classes has embeddings, and the projector that nothing uses is not built.

    Args:
        num_classes: classes with background.
        init: of the decoders. `random`: as in the released code, whose loader finds no decoder in
            SAM's file because its own have other names; it is also what makes them differ.
            `published`: both read what fits and is not of the tokens, the hyper-networks or the
            IoU head, which stay random.
        ensemble: predict with the mean of both decoders' probabilities, as the released test
            does; else with the first decoder's, as its validation does.
        **kwargs: of `SAMMaskHead`; `checkpoint` is also the prompt encoder's.

    Raises:
        ValueError: `init` is unknown.
    """

    def __init__(
        self,
        num_classes: int,
        arch: str | dict = 'vit_b',
        img_size: int = 512,
        checkpoint: str | None = 'auto',
        init: str = 'random',
        ensemble: bool = True,
        in_channels: int = 256,
        **kwargs,
    ) -> None:
        if init not in ('random', 'published'):
            raise ValueError(f'init must be "random" or "published", got "{init}"')
        super().__init__(num_classes, arch, img_size, checkpoint, 'reinit', in_channels, **kwargs)
        self.init, self.ensemble, self.img_size = init, ensemble, img_size
        stride = 4 if arch == 'lite' else 16
        second = _build_sam_heads(in_channels, img_size, stride, num_classes)[1]
        self.decoders = nn.ModuleList([self.mask_decoder, second])
        del self.mask_decoder
        for decoder in self.decoders:
            _scale_up(decoder, in_channels, stride)
            decoder.iou_prediction_head.requires_grad_(False)
        encoder = self.prompt_encoder
        encoder.num_point_embeddings = num_classes + 2
        encoder.point_embeddings = nn.ModuleList(
            nn.Embedding(1, in_channels) for _ in range(num_classes + 2)
        )
        encoder.point_embeddings[num_classes:].requires_grad_(False)
        encoder.not_a_point_embed.requires_grad_(True)

    def published_name(self, name: str) -> str | None:
        """Return what SAM's files call a tensor of this head, None if it stays random."""
        if name.startswith('prompt_encoder'):
            return name
        if self.init == 'random' or any(part in name for part in REINITIALISED):
            return None
        return 'mask_decoder.' + name.split('.', 2)[2]

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the prediction, without prompts.

        Args:
            inputs: features; the last is the image embedding (N, 256, h, w).

        Returns:
            (N, num_classes, H, W) at the image's size: with `ensemble` the logarithm of the mean
            probability, else logits.
        """
        if not self.ensemble:
            return self.coarse(inputs, 0)
        both = torch.stack([z.float().log_softmax(1) for z in self.forward_all(inputs)])
        return both.logsumexp(0) - math.log(2)

    def forward_all(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        """Return both decoders' logits without prompts."""
        return [self.coarse(inputs, which) for which in range(2)]

    def coarse(self, inputs: tuple[Tensor, ...], which: int, detach: bool = False) -> Tensor:
        """Return one decoder's logits without prompts, (N, num_classes, H, W).

        Args:
            inputs: features.
            which: the decoder, 0 or 1.
            detach: give no gradient to the `no mask` embedding, the only one in use.
        """
        no_mask = self.prompt_encoder.no_mask_embed.weight
        no_mask = (no_mask.detach() if detach else no_mask).view(1, -1, 1, 1)
        embedding = self._transform_inputs(inputs)
        return self.decode(embedding, dense=no_mask, decoder=self.decoders[which])

    def prompted(
        self, inputs: tuple[Tensor, ...], coarse: Tensor, which: int
    ) -> tuple[Tensor, Tensor]:
        """Return one decoder's logits with the optimal points and with the random points.

        Args:
            inputs: features.
            coarse: logits (N, num_classes, H, W) that the points are made of.
            which: the decoder, 0 or 1.
        """
        embedding, decoder = self._transform_inputs(inputs), self.decoders[which]
        optimal, random, labels = self.make_points(coarse)
        of_optimal, of_random = (
            self.decode(embedding, self.embed_points(xy, labels), decoder=decoder)
            for xy in (optimal, random)
        )
        return of_optimal, of_random

    @torch.no_grad()
    def make_points(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a point in the largest component of every class, in two ways.

        The optimal point is the farthest one from what is not of the component, the outside of
        the image included; the random one is any of its pixels. The label is the class. A class
        that is absent gets the background's optimal point and label 0.

        Args:
            logits: (N, C, H, W).

        Returns:
            x, y of the optimal and of the random points (N, C, 2) in pixels; labels (N, C).
        """
        masks = class_masks(logits.argmax(1), logits.shape[1])
        masks = largest_component_masks(masks)
        optimal, found = optimal_points(F.pad(masks, (1, 1, 1, 1)))
        optimal = (optimal - 1).clamp(min=0)
        background = optimal[:, :1]
        optimal, random = (
            torch.where(found[..., None], xy, background)
            for xy in (optimal, random_points(masks)[0])
        )
        classes = torch.arange(logits.shape[1], device=logits.device)
        return optimal, random, torch.where(found, classes, 0)

    def embed_points(self, xy: Tensor, labels: Tensor) -> Tensor:
        """Return the embeddings of labelled points, and after them of `not a point`.

        As SAM's own, but for labels of any class, never in reduced precision and without a look
        at their values.

        Args:
            xy: (N, P, 2) in pixels.
            labels: class of each point (N, P).

        Returns:
            (N, P + 1, 256).
        """
        encoder = self.prompt_encoder
        table = torch.cat([one.weight for one in encoder.point_embeddings[: self.num_classes]])
        points = self.point_code(xy) + F.embedding(labels, table)
        pad = encoder.not_a_point_embed.weight.expand(len(points), 1, -1)
        return torch.cat([points, pad], 1)


def _scale_up(decoder: Any, channels: int, times: int) -> None:
    """Let a mask decoder scale the embedding up by a power of two, at least 4 (SAM's own)."""
    from segment_anything.modeling.common import LayerNorm2d
    from segment_anything.modeling.mask_decoder import MLP

    steps = times.bit_length() - 1
    widths = [channels, channels // 4, channels // 8, *[channels // 16] * (steps - 2)]
    layers: list[nn.Module] = []
    for i, (width, new) in enumerate(zip(widths, widths[1:], strict=False)):
        norm = [] if i == steps - 1 else [LayerNorm2d(new)]
        layers += [nn.ConvTranspose2d(width, new, 2, stride=2), *norm, nn.GELU()]
    decoder.output_upscaling = nn.Sequential(*layers)
    decoder.output_hypernetworks_mlps = nn.ModuleList(
        MLP(channels, channels, widths[-1], 3) for _ in decoder.output_hypernetworks_mlps
    )
