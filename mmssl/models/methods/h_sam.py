"""H-SAM: a second decoder refines what SAM's own decoder says."""

from collections.abc import Mapping
from typing import Any, Unpack

from torch import Tensor

from mmssl.models.base.label_space import ExclusiveClasses
from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Logits, Losses
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step
from mmssl.utils.resize import resize_nearest


@MODELS.register_module()
class HSAM(SemiSegmentor):
    """Hierarchical decoding of SAM (CVPR 2024), from labelled images alone.

    Cheng et al., Unleashing the Potential of SAM for Medical Adaptation via Hierarchical Decoding,
    https://arxiv.org/abs/2403.18271.

    The student's head (`HSAMHead`) has a first decoder with logits m at 4 times the embedding's
    size, and a second one with logits m' at the image's::

        L = (1 - w) L_x(m, y at m's size) + w L_x(m', y),   w = start^(decay^epoch)

    with `L_x = (1 - d) CE + d Dice`. The label comes at the image's size (the student's label size
    in `data_preprocessor.sizes`) and is brought down to m's on the nearest grid. Unlabelled images
    of a batch are not looked at. The option `stage` of `HSAMHead` chooses what predicts;
    `WarmupPolyLR` is the learning rate.

    Args:
        dice_weight: d; an explicit `sup_loss` replaces the whole of L_x.
        start: w of the first epoch.
        decay: base of the exponent; w grows towards 1.
        epochs: number of epochs that the training counts as: epoch t lasts from iteration
            t max_iters / epochs to the next one's first. Released: passes over the labelled
            images, so that max_iters is the number of passes times the batches of one.

    Raises:
        ValueError: a student has another head, or the classes overlap.
    """

    def __init__(
        self,
        *,
        dice_weight: float = 0.9,
        start: float = 0.6,
        decay: float = 0.99,
        epochs: int = 300,
        **options: Unpack[Options],
    ) -> None:
        weights = dict(ce_weight=1 - dice_weight, dice_weight=dice_weight)
        if options.get('sup_loss') is None:
            options['sup_loss'] = dict(type='DiceCELoss', eps=1e-5, **weights)
        super().__init__(**options)
        self.start, self.decay, self.epochs = start, decay, epochs
        for name, student in self.students.items():
            if not hasattr(student.decode_head, 'forward_stages'):
                raise ValueError(
                    f'HSAM needs HSAMHead, but the decode head of "{name}" is '
                    f'{type(student.decode_head).__name__}'
                )
        if not isinstance(self.label_space, ExclusiveClasses):
            raise ValueError(
                'The mask that guides H-SAM is a softmax over the classes: use '
                f'ExclusiveClasses as label_space, not '
                f'{type(self.label_space).__name__}'
            )

    def fine_weight(self, step: Step) -> float:
        """Return the weight w of the second decoder's term."""
        epoch = step.iter // (step.max_iters / self.epochs)
        weight: float = self.start ** (self.decay**epoch)
        return weight

    def forward_students(
        self, batch: Batch, views: Mapping[str, Mapping[str, Tensor]], step: Step
    ) -> dict[str, dict[str, Tensor]]:
        """Return the logits of both decoders on x_w; `ClassNoise` may ask for its classes."""
        logits = {}
        student: Any
        for name, student in self.students.items():
            features = student.extract_feat(views['x_w'][name])
            coarse, fine = student.decode_head.forward_stages(features, batch['y'][name])
            logits[name] = {'coarse': coarse.float(), 'fine': fine.float()}
        return logits

    def sup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return the weighted terms of both decoders, and `fine_weight`."""
        weight, terms, curves = self.fine_weight(step), {}, {}
        for name, z in logits.items():
            for stage, factor in (('coarse', 1 - weight), ('fine', weight)):
                y = resize_nearest(batch['y'][name], tuple(z[stage].shape[-2:]))
                loss = self.criterion(z[stage], self.label_space.encode(y))
                terms[f'sup_{name}_{stage}'] = factor * loss
            curves['fine_weight'] = weight * z['fine'].new_ones(())
        return terms, curves
