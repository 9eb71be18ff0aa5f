"""Zero-shot SAM: what the foundation model gives without training, to be tested only."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import Tensor, nn

from mmssl.models.base.label_space import OverlappingParts
from mmssl.models.sam.connected import largest_component_masks
from mmssl.models.sam.prompted_sam import fit_image
from mmssl.models.sam.prompts import (
    UNASKED,
    mask_boxes,
    optimal_points,
    random_points,
    scale_boxes,
    scale_points,
)
from mmssl.registry import MODELS
from mmssl.structures import Step
from mmssl.utils.resize import resize_linear


@MODELS.register_module()
class ZeroShotSAM(BaseModel):
    """Prompt a frozen SAM for each part of each image and put the answers together.

    MedSAM: Ma et al., Segment anything in medical images, Nature Communications 2024,
    https://doi.org/10.1038/s41467-024-44824-z. It was trained with boxes alone.

    An image goes through the encoder once, prepared by `fit_image`. For each part k the decoder
    gets a box or points made of a mask, and answers with logits l_k, resized bilinearly to the
    size of the truth.

    **Rule.** Parts may overlap (the cup lies inside the disc). Class c scores the sum of l_k over
    the parts that it belongs to, the background 0, and the highest score is predicted: the most
    probable class if the parts are independent (`OverlappingParts`). A part whose mask is empty
    is not asked for and not predicted.

    Masks come from the truth, which makes the result an upper bound and no segmentation without
    labels, or from the prediction of another model. There is nothing to train: run
    `tools/test.py CONFIG none`.

    Args:
        sam: config of a `PromptedSAM`.
        parts: class ids of each part, e.g. [[1], [1, 2]] for cup and disc.
        prompt: `box` or `point`.
        margin: pixels of SAM's image by which each side of a box moves out.
        num_points: of each part; the first is the innermost pixel, further ones are random.
        source: `truth`, or dict(config=FILE, checkpoint=FILE) of any model of mmssl, or of a bundle
            with checkpoint=None; it is read at the first image and sees it as its own config's
            test pipeline prepares it.
        largest_component: ask for the largest component of each mask, not for all of it.
        keep_ratio: resize to the longer side and pad with zeros, as LiteMedSAM does.
        seed: of the random points, which depend on it and on the image's name alone.

    Raises:
        ValueError: an option is unknown or out of its range; at test, a truth is missing; and on
            any attempt to train.
    """

    step = Step()
    phases = 1
    students: Mapping[str, nn.Module] = {}
    teachers: Mapping[str, nn.Module] = {}
    outputs: Sequence[str] = ('sam',)

    def __init__(
        self,
        sam: dict[str, Any],
        parts: Sequence[Sequence[int]] = ((1,),),
        prompt: str = 'box',
        margin: int = 0,
        num_points: int = 1,
        source: str | Mapping[str, Any] = 'truth',
        largest_component: bool = False,
        keep_ratio: bool = False,
        seed: int = 0,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if prompt not in ('box', 'point'):
            raise ValueError(f"prompt must be 'box' or 'point', got {prompt!r}")
        if margin < 0 or num_points < 1:
            raise ValueError(f'margin={margin} must be at least 0, num_points={num_points} 1')
        if source != 'truth' and set(source) != {'config', 'checkpoint'}:
            raise ValueError(
                f"source must be 'truth' or dict(config=..., checkpoint=...), got {source!r}"
            )
        self.sam = MODELS.build(sam)
        self.label_space = OverlappingParts(parts, len(parts))
        self.prompt, self.margin, self.num_points = prompt, margin, num_points
        self.source: Any = source
        self._source_model: Any = None
        self.largest_component, self.keep_ratio, self.seed = largest_component, keep_ratio, seed

    def init_weights(self) -> None:
        """Read the frozen SAM."""
        self.sam.init_weights()
        self._is_init = True

    def check_data(self, metainfo: Mapping[str, Any]) -> None:
        """Compare the classes with those of a data set; the parts are those to ask SAM for."""
        self.label_space.meet(metainfo, compare_parts=False)

    def forward(
        self, inputs: Sequence[Tensor], data_samples: Any = None, mode: str = 'predict'
    ) -> list[Any]:
        """Return predictions; there is no other mode."""
        if mode != 'predict':
            raise ValueError(
                f"ZeroShotSAM has no mode '{mode}', it is not trained: "
                'run tools/test.py CONFIG none'
            )
        return self.predict(inputs, data_samples)

    def predict(self, inputs: Sequence[Tensor], data_samples: Sequence[Any]) -> list[Any]:
        """Add `pred_sam` and `pred_sem_seg`, class ids at the truth's size, to the samples.

        Args:
            inputs: images (C, H, W), uint8, of any sizes.
            data_samples: what is known of them; with `source='truth'` the truth too.
        """
        found = self.scores(inputs, data_samples)
        for one, sample in zip(found, data_samples, strict=True):
            label = one.argmax(0, keepdim=True).to(torch.uint8)
            sample.pred_sam = PixelData(data=label)
            sample.pred_sem_seg = PixelData(data=label.clone())
            sample.set_metainfo({'students': list(self.outputs)})
        return list(data_samples)

    @torch.no_grad()
    def scores(
        self,
        inputs: Sequence[Tensor],
        data_samples: Sequence[Any],
        name: str = 'sam',
        teacher: bool = False,
    ) -> list[Tensor]:
        """Return the class scores (C, h, w) of each image at its truth's size.

        Args:
            inputs: images (C, H, W), uint8, of any sizes.
            data_samples: what is known of them; with `source='truth'` the truth too.
            name: of the prediction, the only one.
            teacher: there is none.
        """
        canvas = [fit_image(x, self.sam.img_size, self.keep_ratio) for x in inputs]
        embedding = self.sam.embed(torch.stack([x for x, _ in canvas]))
        masks = self.source_masks(inputs, data_samples)
        asked = [
            self.ask(mask, size, sample)
            for mask, (_, size), sample in zip(masks, canvas, data_samples, strict=True)
        ]
        prompts, found = (torch.stack(x) for x in zip(*asked, strict=True))
        if self.prompt == 'box':
            logits = self.sam.masks(embedding, boxes=prompts)
        else:
            labels = prompts.new_ones(prompts.shape[:-1])
            logits = self.sam.masks(embedding, (prompts, labels))
        logits = resize_linear(logits.float(), (self.sam.img_size,) * 2)
        scores = []
        for one, there, (_, size), sample in zip(logits, found, canvas, data_samples, strict=True):
            shape = sample.gt_sem_seg.shape if 'gt_sem_seg' in sample else sample.ori_shape
            one = resize_linear(one[None, :, : size[0], : size[1]], shape[-2:])
            one = torch.where(there[:, None, None], one, UNASKED)
            scores.append(self.label_space.class_scores(one)[0])
        return scores

    def source_masks(self, inputs: Sequence[Tensor], data_samples: Sequence[Any]) -> list[Tensor]:
        """Return the parts (K, h, w) of each image that prompts are made of."""
        if self.source == 'truth':
            for sample in data_samples:
                if 'gt_sem_seg' not in sample:
                    raise ValueError(
                        f'Image {sample.get("img_path")} has no truth to take a '
                        f'{self.prompt} from: set source=dict(config=..., '
                        'checkpoint=...)'
                    )
            labels = [sample.gt_sem_seg.data for sample in data_samples]
        else:
            labels = [one.pred_sem_seg.data for one in self.ask_source(inputs)]
        masks = [
            self.label_space.members_of_classes(y.to(self.label_space.table.device).long())[:, 0]
            for y in labels
        ]
        return [largest_component_masks(m) for m in masks] if self.largest_component else masks

    def ask_source(self, inputs: Sequence[Tensor]) -> list[Any]:
        """Return what the other model predicts for images (C, H, W)."""
        if self._source_model is None:
            device = self.label_space.table.device
            self._source_model = MODELS.build(dict(self.source, type='OtherModel', device=device))
        found: list[Any] = self._source_model(inputs)
        return found

    def ask(self, masks: Tensor, size: tuple[int, int], sample: Any) -> tuple[Tensor, Tensor]:
        """Return what to ask of the parts (K, h, w) of an image, and which parts there are (K,).

        It is a box (K, 4) or points (K, P, 2) in pixels of the image of `size` that SAM sees.
        """
        if self.prompt == 'box':
            boxes, found = mask_boxes(masks)
            return scale_boxes(boxes, masks.shape[-2:], size, self.margin), found
        name = ':'.join(str(sample.get(key)) for key in ('domain', 'name', 'index'))
        generator = torch.Generator(masks.device)
        generator.manual_seed(zlib.crc32(f'{self.seed}:{name}'.encode()))
        xy, found = optimal_points(masks, generator)
        points = [xy, *(random_points(masks, generator)[0] for _ in range(self.num_points - 1))]
        return scale_points(torch.stack(points, 1), masks.shape[-2:], size), found
