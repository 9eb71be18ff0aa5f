"""SAM's mask decoder as a decode head that gives one logit map per class."""

import warnings
from collections.abc import Iterable
from typing import Any, TypedDict

import torch
from mmengine.logging import print_log
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor

from mmssl.models.sam.adapters import add_adapters
from mmssl.models.sam.frozen_trunk import is_adapter
from mmssl.models.sam.lora_medsam import default_weights
from mmssl.models.weights import find_weights, load_tensors
from mmssl.registry import MODELS

REINITIALISED = ('mask_tokens', 'output_hypernetworks_mlps', 'iou_prediction_head')


class SAMHeadOptions(TypedDict, total=False):
    """What `SAMMaskHead` takes next to the number of classes."""

    arch: str | dict[str, Any]
    img_size: int
    checkpoint: str | None
    init: str
    in_channels: int
    loss_decode: dict[str, Any] | None
    lora_rank: int | None


@MODELS.register_module()
class SAMMaskHead(BaseDecodeHead):
    """Prompt encoder and mask decoder of SAM, one mask token per class, as in SAMed.

    Without prompts the decoder sees the image embedding, the `no mask` embedding and one output
    token per class; the masks of all tokens are the class logits (token 0 is the background).
    Parameters that then get no gradient (point embeddings, mask down-scaling, IoU head) are
    frozen: the result is the same, and distributed training needs no search for them.

    Args:
        num_classes: classes with background.
        arch: of the image encoder; decides the embedding's stride and the default weights.
        img_size: side of the image in pixels.
        checkpoint: file of the weights: a path, a name known to `mmssl.models.weights`, `auto`
            for the published weights of `arch`, or None to keep the random initialisation.
        init: `partial_load`: every tensor of the file whose shape fits, which is what the
            released SynFoC code does (mask tokens are random unless there are four classes);
            `reinit`: mask tokens, hyper-networks and IoU head stay random, as SAMed describes.
        in_channels: channels of the embedding.
        loss_decode: used only when the head is trained by itself in mmsegmentation.
        lora_rank: rank of LoRA adapters on q and v of every attention of the decoder's
            transformer, whose own weights are then frozen, as in SAMed_s; None trains them all.

    Raises:
        ValueError: `init` is unknown or `lora_rank` below 1.
    """

    without_adapters = {'lora_rank': None}
    """The options with which it is built as `merge_adapters` leaves it."""

    def __init__(
        self,
        num_classes: int,
        arch: str | dict = 'vit_b',
        img_size: int = 512,
        checkpoint: str | None = 'auto',
        init: str = 'partial_load',
        in_channels: int = 256,
        loss_decode: dict | None = None,
        lora_rank: int | None = None,
        **kwargs,
    ):
        if lora_rank is not None and lora_rank < 1:
            raise ValueError(f'lora_rank must be at least 1, or None for no LoRA, got {lora_rank}')
        if init not in ('partial_load', 'reinit'):
            raise ValueError(f'init must be "partial_load" or "reinit", got "{init}"')
        loss_decode = loss_decode or dict(type='mmseg.CrossEntropyLoss')
        kwargs = dict(init_cfg=None, dropout_ratio=0, **kwargs)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # two classes on two channels are meant
            super().__init__(
                in_channels, in_channels, num_classes=num_classes, loss_decode=loss_decode, **kwargs
            )
        self.img_size = img_size
        del self.conv_seg
        self.checkpoint = default_weights(arch, checkpoint)
        self.init = init
        stride = 4 if arch == 'lite' else 16
        self.prompt_encoder, self.mask_decoder = _build_sam_heads(
            in_channels, img_size, stride, num_classes
        )
        for module in (
            self.prompt_encoder.point_embeddings,
            self.prompt_encoder.not_a_point_embed,
            self.prompt_encoder.mask_downscaling,
            self.mask_decoder.iou_prediction_head,
        ):
            module.requires_grad_(False)
        if lora_rank is not None:
            add_adapters(self.mask_decoder.transformer, r'.*\.[qv]_proj', lora_rank)

    def init_weights(self) -> None:
        """Read the weights of prompt encoder and decoder by the chosen rule."""
        already = self.is_init
        super().init_weights()
        if self.checkpoint is not None and not already:
            self._load_published(self.checkpoint)

    @torch.no_grad()
    def _load_published(self, checkpoint: str) -> None:
        path = find_weights(checkpoint)
        source = load_tensors(path)
        kept = []
        state = self.state_dict(keep_vars=True)
        state = {name: value for name, value in state.items() if not is_adapter(name)}
        for name, value in state.items():
            published = self.published_name(name)
            found = None if published is None else source.get(published)
            if found is None or found.shape != value.shape:
                kept.append(name)
            else:
                value.copy_(found)
        if len(kept) == len(state):
            raise ValueError(f'{path} holds no prompt encoder and mask decoder of SAM')
        print_log(
            f'{type(self).__name__} ({self.init}): read {path}; '
            f'random: {", ".join(_whole_parts(kept, state)) or "nothing"}',
            logger='current',
        )

    def published_name(self, name: str) -> str | None:
        """Return what SAM's files call a tensor of this head, None if it stays random."""
        skip = self.init == 'reinit' and any(part in name for part in REINITIALISED)
        return None if skip else name.replace('.base_layer.', '.')

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Return class logits without any prompt.

        Args:
            inputs: features; the last is the image embedding (N, 256, h, w).

        Returns:
            (N, num_classes, 4h, 4w).
        """
        return self.decode(self._transform_inputs(inputs))

    def decode(
        self,
        embedding: Tensor,
        sparse: Tensor | None = None,
        dense: Tensor | None = None,
        decoder: Any = None,
    ) -> Tensor:
        """Return the logits of all mask tokens, image i with prompts i.

        SAM's own decoder repeats each image for every prompt; here row i of the batch is one
        image with its prompts.

        Args:
            embedding: (N, 256, h, w) image embeddings.
            sparse: (N, P, 256) embeddings of points and boxes, None for none.
            dense: (N, 256, h, w) embeddings of mask prompts, None for `no mask`.
            decoder: the mask decoder, by default the head's own.

        Returns:
            (N, num_classes, 4h, 4w).
        """
        decoder = self.mask_decoder if decoder is None else decoder
        n, c, h, w = embedding.shape
        tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = tokens.expand(n, -1, -1)
        if sparse is not None:
            tokens = torch.cat([tokens, sparse], dim=1)
        if dense is None:
            dense = self.prompt_encoder.no_mask_embed.weight.view(1, c, 1, 1)
        position = self.position_code(h, w).to(embedding).expand(n, -1, -1, -1)
        tokens, image = decoder.transformer(embedding + dense, position, tokens)
        image = decoder.output_upscaling(image.transpose(1, 2).reshape(n, c, h, w))
        weights = torch.stack(
            [mlp(tokens[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)], 1
        )
        return (weights @ image.flatten(2)).unflatten(2, image.shape[2:])

    def position_code(self, h: int, w: int) -> Tensor:
        """Return SAM's position code of a grid, (1, 256, h, w).

        It is the sine and cosine of a random projection of the pixel centres in [-1, 1], never
        in reduced precision.
        """
        matrix = self.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
        options = dict(device=matrix.device, dtype=matrix.dtype)
        y = (torch.arange(h, **options) + 0.5) * (2 / h) - 1
        x = (torch.arange(w, **options) + 0.5) * (2 / w) - 1
        angle = 2 * torch.pi * (x[None, :, None] * matrix[0] + y[:, None, None] * matrix[1])
        return torch.cat([angle.sin(), angle.cos()], -1).permute(2, 0, 1)[None]

    def point_code(self, xy: Tensor, in_pixels: bool = True) -> Tensor:
        """Return SAM's position code (..., 256) of points (..., 2).

        It has no matrix product, so that coordinates are never rounded to reduced precision.

        Args:
            xy: x and y.
            in_pixels: whether they are pixels of the image of side `img_size`, whose centres are
                meant, and not yet in [-1, 1].
        """
        rows = self.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
        if in_pixels:
            xy = (xy.float() + 0.5) * (2 / self.img_size) - 1
        x, y = xy.to(rows.dtype).unsqueeze(-2).unbind(-1)
        angle = 2 * torch.pi * (x * rows[0] + y * rows[1])
        return torch.cat([angle.sin(), angle.cos()], -1)


def _whole_parts(names: list[str], all_names: Iterable[str]) -> list[str]:
    """Return names, with a part of the head of which all are there as one.

    Example:
        >>> _whole_parts(['a.x', 'b.x'], ['a.x', 'a.y', 'b.x'])
        ['a.x', 'b']
    """
    others = {name.split('.')[0] for name in set(all_names) - set(names)}
    parts = {name: name.split('.')[0] for name in names}
    return list(dict.fromkeys(name if parts[name] in others else parts[name] for name in names))


def _build_sam_heads(channels: int, img_size: int, stride: int, num_classes: int):
    """Build SAM's prompt encoder and its mask decoder with one token per class."""
    from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer

    grid = (img_size // stride,) * 2
    prompt_encoder = PromptEncoder(
        embed_dim=channels,
        image_embedding_size=grid,
        input_image_size=(img_size, img_size),
        mask_in_chans=16,
    )
    transformer = TwoWayTransformer(depth=2, embedding_dim=channels, num_heads=8, mlp_dim=2048)
    mask_decoder = MaskDecoder(
        transformer_dim=channels,
        transformer=transformer,
        num_multimask_outputs=num_classes - 1,
    )
    return prompt_encoder, mask_decoder
