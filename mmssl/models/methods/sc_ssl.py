"""SC-SSL, a sketch: a network that corrects two others teaches them."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Logits, Losses, Views, split_curves
from mmssl.models.losses.consistency import edge_distance
from mmssl.models.strategies.contrastive import (
    class_contrast,
    last_convolution,
    pixel_rows,
    record_input,
)
from mmssl.models.volumetric.blocks import for_volumes
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step
from mmssl.utils.resize import resize_linear, resize_nearest


@MODELS.register_module()
class SCSSL(SemiSegmentor):
    """A sketch of self-correcting co-training; NOT the published method.

    Miao et al., SC-SSL: Self-Correcting Collaborative and Contrastive Co-Training Model for
    Semi-Supervised Medical Image Segmentation, IEEE TMI 2024, doi 10.1109/TMI.2023.3336534.

    Neither code nor the text of the article is public. The abstract names the parts: two networks,
    a module that turns their outputs into a better target, a constraint on the shape of the
    outputs, and a contrastive loss that the target guides. Every formula, weight and layer below
    is a guess, so a result of this class is no result of SC-SSL. With p_i the probabilities of
    network i, g the correcting module and [.,.] channels side by side::

        yhat = argmax g([p_1, p_2])(u),   G = softmax g([p_1, p_2])(u),  both without gradient
        L    = sum_i L_x(p_i) + L_x(g([p_1, p_2]))                             (g alone learns)
               + weight(t) sum_i (L(p_i(u), yhat) + s |grad p_i - grad G|^2 + c InfoNCE_i)

    InfoNCE_i pulls each pixel's projected features (what the last convolution of network i sees)
    to the mean of its class in the batch, away from those of the others; every class counts the
    same. g predicts at test time, as `corrected`.

    Args:
        channels: of the two hidden layers of g and of the projections.
        norm_cfg: norm layers of g.
        structure_weight: s.
        contrast_weight: c.
        temperature: of InfoNCE.

    Raises:
        ValueError: there are not two students, or one's decode head has no `conv_seg`.
    """

    together = (('x_w', 'u_w'),)

    def __init__(
        self,
        *,
        channels: int = 16,
        norm_cfg: dict[str, Any] | None = None,
        structure_weight: float = 1.0,
        contrast_weight: float = 0.1,
        temperature: float = 0.1,
        **options: Unpack[Options],
    ) -> None:
        options.setdefault('ramp', dict(type='GaussianRamp', scale=0.1, stairs=200))
        super().__init__(**options)
        if len(self.students) != 2:
            raise ValueError(f'SCSSL needs two students, found {list(self.students)}')
        self.order = sorted(self.students)  # a written config has its keys in another order
        primary: Any = self.students[self.primary]
        out: int = primary.out_channels
        last = {name: last_convolution(name, student) for name, student in self.students.items()}
        # of slices or of volumes, as the students'
        conv: type[nn.Module] = type(last[self.primary])
        like = dict(conv_cfg=dict(type=conv.__name__), norm_cfg=norm_cfg or dict(type='BN'))
        if conv is nn.Conv3d:
            like['norm_cfg'] = for_volumes(like['norm_cfg'])
        self.corrector = nn.Sequential(
            ConvModule(2 * out, channels, 3, padding=1, **like),
            ConvModule(channels, channels, 3, padding=1, **like),
            conv(channels, out, 1),
        )
        self.project = nn.ModuleDict(
            {name: conv(last[name].in_channels, channels, 1) for name in self.students}
        )
        self.structure_weight, self.contrast_weight = structure_weight, contrast_weight
        self.temperature = temperature

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, Any]:
        """Show the unlabelled images too."""
        return {'u_w': batch['u_w']}, None

    def forward_views(self, name: str, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the logits of x_w and u_w, and under `u_f` the features of u_w."""
        with record_input(last_convolution(name, self.students[name])) as seen:
            logits = super().forward_views(name, views)
        return {**logits, 'u_f': seen[0][len(views['x_w']) :]}

    def correct(self, logits: Sequence[Tensor]) -> Tensor:
        """Return the logits of g on those of the students in `order`, which get no gradient."""
        size = logits[0].shape[2:]
        probs = [resize_linear(self.label_space.prob(z.detach()), size) for z in logits]
        z: Tensor = self.corrector(torch.cat(probs, 1))
        return z.float()

    def sup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return the supervised terms of both students and of g."""
        z = self.correct([logits[name]['x_w'] for name in self.order])
        y = self.label_space.encode(batch['y'][self.order[0]])
        terms, curves = split_curves(super().sup_loss(batch, logits, targets, step))
        return {**terms, 'sup_corrector': self.criterion(z, y)}, curves

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `cross_`, `structure_` and `contrast_<student>`."""
        with torch.no_grad():
            z = self.correct([logits[name]['u_w'] for name in self.order])
            corrected = self.label_space.prob(z)
            target = self.label_space.decide(corrected)[1]
            classes = self.label_space.class_map(corrected)
        terms = {}
        for name, own in logits.items():
            size = own['u_w'].shape[2:]
            p, g = self.label_space.prob(own['u_w']), resize_linear(corrected, size)
            terms[f'cross_{name}'] = self.criterion(own['u_w'], resize_nearest(target, size))
            terms[f'structure_{name}'] = self.structure_weight * edge_distance(p, g)
            f = self.project[name](own['u_f']).float()
            label = resize_nearest(classes, f.shape[2:]).flatten()
            terms[f'contrast_{name}'] = self.contrast_weight * class_contrast(
                pixel_rows(f), label, self.label_space.table.shape[1], self.temperature
            )
        return terms

    @property
    def outputs(self) -> list[str]:
        """Names of the predictions: g's, which is no student's, then those of the students."""
        return ['corrected', *super().outputs]

    @torch.no_grad()
    def predict_logits(self, inputs: dict[str, Tensor], name: str, teacher: bool = False) -> Tensor:
        """Return scores of the classes (N, C, H, W); `corrected` are those of g."""
        if name != 'corrected':
            return super().predict_logits(inputs, name, teacher)
        z = self.correct([self.students[n](inputs[n], mode='tensor') for n in self.order])
        return self.label_space.class_scores(resize_linear(z, inputs[self.primary].shape[2:]))
