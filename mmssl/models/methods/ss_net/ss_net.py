"""SS-Net: outputs that withstand adversarial noise, and classes apart in the feature space."""

from collections.abc import Mapping
from typing import Any, Unpack, cast

import torch
from torch import Tensor, nn

from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Logits, Losses, Views
from mmssl.models.methods.ss_net.vat import VAT
from mmssl.models.strategies.contrastive import (
    PixelContrast,
    last_convolution,
    pixel_rows,
    record_input,
)
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step
from mmssl.utils.resize import resize_nearest


@MODELS.register_module()
class SSNet(SemiSegmentor):
    """Smoothness and class separation (MICCAI 2022).

    Wu et al., Exploring Smoothness and Class-Separation for Semi-supervised Medical Image
    Segmentation, https://arxiv.org/abs/2203.01324.

    x_w and u_w go through the student together; f are the features before its last convolution::

        M = correct f of x_w, a few for each class but the background
        L = L_x + weight(t) (VAT([x_w; u_w]) + gamma (L_c(f_x, y, M) + L_c(f_u, yhat, M)))

    with yhat the student's own prediction. L_x is Dice alone in the released code. The smoothness
    is `vat`, the separation L_c with its memory `mmssl.models.strategies.contrastive`; both span
    all ranks. The small networks of L_c are `contrast.<student>`, which need an optimiser of their
    own in the config. No teacher.

    Args:
        vat: arguments of `VAT`.
        contrast: arguments of `PixelContrast`.
        contrast_weight: gamma.

    Raises:
        ValueError: the decode head of a student has no `conv_seg`.
    """

    together = (('x_w', 'u_w'),)

    def __init__(
        self,
        *,
        vat: dict[str, Any] | None = None,
        contrast: dict[str, Any] | None = None,
        contrast_weight: float = 0.1,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        self.vat = VAT(**(vat or {}))
        self.contrast_weight = contrast_weight
        sizes = {
            name: last_convolution(name, student).in_channels
            for name, student in self.students.items()
        }
        self.contrast = nn.ModuleDict(
            {
                name: PixelContrast(size, self.label_space.table.shape[1], **(contrast or {}))
                for name, size in sizes.items()
            }
        )

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, Any]:
        """Show the unlabelled images too."""
        return {'u_w': batch['u_w']}, None

    def forward_views(self, name: str, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the logits of x_w and u_w, and under `x_f` and `u_f` their features."""
        with record_input(last_convolution(name, self.students[name])) as seen:
            logits = super().forward_views(name, views)
        x_f, u_f = torch.split(seen[0].float(), [len(views['x_w']), len(views['u_w'])])
        return {**logits, 'x_f': x_f, 'u_f': u_f}

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `vat_<student>`, and `contrast_<student>_x_w` and `_u_w`, weighted by gamma."""
        terms = {}
        for name, z in logits.items():
            terms.update(self.separation(name, z, batch['y'][name]))
            x = torch.cat([batch['x_w'][name], batch['u_w'][name]])
            terms[f'vat_{name}'] = self.smoothness(name, x)
        return terms

    def smoothness(self, name: str, x: Tensor) -> Tensor:
        """Return the adversarial term of images x."""
        student = self.students[name]

        def predict(x: Tensor) -> Tensor:
            logits = self.to_label_size(name, student(x, mode='tensor'), x)
            return self.label_space.prob(logits)

        return self.vat(predict, x, student)

    def separation(self, name: str, logits: Mapping[str, Tensor], y: Tensor) -> dict[str, Tensor]:
        """Return the contrastive terms of x_w with labels y and of u_w with its own prediction."""
        size = logits['x_f'].shape[2:]
        contrast = cast(PixelContrast, self.contrast[name])
        x_f, u_f = pixel_rows(logits['x_f']), pixel_rows(logits['u_f'])
        found = {
            view: self.label_space.class_map(self.label_space.prob(logits[view].detach()))
            for view in ('x_w', 'u_w')
        }
        y, x_hat, u_hat = (
            resize_nearest(label, size).flatten() for label in (y, found['x_w'], found['u_w'])
        )
        contrast.remember(x_f, y, (x_hat == y) & (x_hat > 0))
        return {
            f'contrast_{name}_x_w': self.contrast_weight * contrast(x_f, y),
            f'contrast_{name}_u_w': self.contrast_weight * contrast(u_f, u_hat),
        }
