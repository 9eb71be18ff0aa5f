"""A frozen SAM, MedSAM or LiteMedSAM that answers points and boxes."""

from typing import Any

import torch
from torch import Tensor, nn

from mmssl.models.sam.lora_medsam import LoRAMedSAM
from mmssl.models.sam.sam_mask_head import SAMMaskHead
from mmssl.registry import MODELS

MASK_TOKENS = 4


@MODELS.register_module()
class PromptedSAM(LoRAMedSAM):
    """Segment what points or boxes show with SAM as it was published, without training it.

    SAM: Kirillov et al., ICCV 2023. MedSAM: Ma et al., Nature Communications 2024.

    Image encoder, prompt encoder and mask decoder come from one file and are one frozen trunk in
    the sense of `LoRAMedSAM`, here without adapters: no gradient, always in eval mode, shared by
    `copy.deepcopy`, and represented in a state dict by a fingerprint that refuses other weights.
    An image goes through the encoder once, however many prompts ask about it. The mask is that of
    SAM's first token (`multimask_output=False`).

    Building never needs a file. `init_weights` reads the trunk.

    Args:
        arch: as in `LoRAMedSAM`.
        img_size: side of the square image in pixels, divisible by 16; MedSAM was trained at 1024,
            LiteMedSAM at 256.
        checkpoint: file of the whole SAM: a path, a name known to `mmssl.models.weights`,
            `auto` for the published weights of `arch`, or None for random weights (seed 0).
        random_trunk_seed: seed of random weights, used instead of `checkpoint`.
        attention: as in `LoRAMedSAM`.

    Example:
        >>> arch = dict(embed_dims=32, depth=1, num_heads=2, global_blocks=(0,))
        >>> sam = PromptedSAM(arch, img_size=32, random_trunk_seed=0)
        >>> sam.init_weights()
        >>> embedding = sam.embed(torch.zeros(2, 1, 32, 32))
        >>> boxes = torch.tensor([[[1., 1., 9., 9.], [8., 8., 30., 20.], [0., 0., 4., 31.]]])
        >>> sam.masks(embedding, boxes=boxes.expand(2, 3, 4)).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        arch: str | dict = 'vit_b',
        img_size: int = 1024,
        checkpoint: str | None = 'auto',
        random_trunk_seed: int | None = None,
        attention: str = 'plain',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            arch,
            img_size,
            rank=0,
            checkpoint=checkpoint,
            random_trunk_seed=random_trunk_seed,
            attention=attention,
            init_cfg=init_cfg,
        )
        head = SAMMaskHead(MASK_TOKENS, arch, img_size, checkpoint=None)
        self.trunk.add_module('head', head.requires_grad_(False).eval())

    @property
    def head(self) -> Any:
        """The frozen prompt encoder and decoder, a `SAMMaskHead` inside the trunk."""
        return self.trunk.head

    def _trunk_tensors(self, source: dict[str, Tensor]) -> dict[str, Tensor]:
        head = {
            f'head.{name}': value
            for name, value in source.items()
            if name.startswith(('prompt_encoder.', 'mask_decoder.'))
        }
        return {**super()._trunk_tensors(source), **head}

    def _dump_init_info(self) -> None:
        """Leave out mmengine's list of how each parameter was initialised."""

    @torch.no_grad()
    def embed(self, x: Tensor) -> Tensor:
        """Return the embedding (N, 256, h, w) of images in [0, 1], (N, 1 or 3, S, S).

        Its side is S/16; S/4 for `lite`.
        """
        return self(x)[0]

    @torch.no_grad()
    def masks(
        self,
        embedding: Tensor,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> Tensor:
        """Return the logits of one mask for each of K prompts to each of N images.

        A prompt is some points, a box, or both, and may come with a mask to mend.

        Args:
            embedding: (N, 256, h, w), from `embed`.
            points: x and y (N, K, P, 2) in pixels of the image of side `img_size`, and labels
                (N, K, P): 1 inside, 0 outside, -1 no point.
            boxes: (N, K, 4) as x1, y1, x2, y2 in the same pixels.
            masks: (N, K, 4h, 4w) logits, such as an earlier answer.

        Returns:
            (N, K, 4h, 4w); above 0 is inside.

        Raises:
            ValueError: there is neither a point nor a box.
        """
        given = boxes if points is None else points[1]
        if given is None:
            raise ValueError('PromptedSAM.masks needs points or boxes, got neither')
        n, k = given.shape[:2]
        sparse = self._embed_prompts(points, boxes).flatten(0, 1)
        images = embedding[:, None].expand(n, k, -1, -1, -1).flatten(0, 1)
        dense = None
        if masks is not None:
            dense = self.head.prompt_encoder.mask_downscaling(masks.flatten(0, 1)[:, None])
        return self.head.decode(images, sparse, dense)[:, 0].unflatten(0, (n, k))

    def _embed_prompts(self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None) -> Tensor:
        """Return SAM's embeddings of prompts, (N, K, tokens, 256), without a look at a value."""
        encoder, tokens = self.head.prompt_encoder, []
        outside, inside, *corners = (e.weight[0] for e in encoder.point_embeddings)
        code = self.head.point_code
        if points is not None:
            xy, labels = points
            if boxes is None:  # SAM puts an empty point where there is no box
                xy = torch.cat([xy, torch.zeros_like(xy[:, :, :1])], 2)
                labels = torch.cat([labels, torch.full_like(labels[:, :, :1], -1)], 2)
            labels = labels[..., None]
            kind = torch.where(labels == 1, inside, torch.where(labels == 0, outside, 0.0))
            empty = encoder.not_a_point_embed.weight[0]
            tokens.append(torch.where(labels == -1, empty, code(xy) + kind))
        if boxes is not None:
            tokens.append(code(boxes.unflatten(-1, (2, 2))) + torch.stack(corners))
        return torch.cat(tokens, 2)


def fit_image(x: Tensor, side: int, keep_ratio: bool = False) -> tuple[Tensor, tuple[int, int]]:
    """Return an image as MedSAM's authors prepare it, and the height and width that it has there.

    It is resized bicubically (antialiased) in 8 bit and min-max scaled to [0, 1]; SAM's mean and
    deviation are not used.

    Args:
        x: (C, H, W), grey values 0 to 255.
        side: of the square image that SAM takes.
        keep_ratio: bring the longer side to `side` and pad with zeros at the right and below, as
            for LiteMedSAM; otherwise both sides, whatever the aspect ratio, as for MedSAM.

    Returns:
        (C, side, side), and (height, width) without the padding.

    Example:
        >>> x, size = fit_image(torch.tensor([[[50, 100, 100, 250]]]), 4, keep_ratio=True)
        >>> x[0, :2].tolist(), size
        ([[0.0, 0.25, 0.25, 1.0], [0.0, 0.0, 0.0, 0.0]], (1, 4))
    """
    height, width = x.shape[-2:]
    size = (side, side)
    if keep_ratio:
        longer = max(height, width)
        size = (max(1, round(height * side / longer)), max(1, round(width * side / longer)))
    x = x[None].float()
    if size != (height, width):
        x = nn.functional.interpolate(x, size, mode='bicubic', antialias=True)
        x = x.round().clamp(0, 255)  # as 8 bit, so that a flat image stays flat
    low, high = x.amin(), x.amax()
    x = (x - low) / (high - low).clamp(min=1e-8)
    return nn.functional.pad(x[0], (0, side - size[1], 0, side - size[0])), size
