"""SC-SAM: a U-Net points SAM at what it sees, and each learns from the other's labels."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor

from mmssl.models.base.label_space import ExclusiveClasses
from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Logits, Losses, Views
from mmssl.models.sam.connected import class_masks
from mmssl.models.sam.prompts import random_pixels, scale_points, spread_pixels
from mmssl.models.strategies.uncertainty import mean_entropy
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step
from mmssl.utils.resize import resize_linear

PIXELS = {'random': random_pixels, 'spread': spread_pixels}


@MODELS.register_module()
class SCSAM(SemiSegmentor):
    """Bidirectional co-training of a U-Net and a SAM with adapters (ISBI 2026).

    SC-SAM: From Specialist to Generalist: Unlocking SAM's Learning Potential on Unlabeled Medical
    Images, https://arxiv.org/abs/2601.17934. Of the logits z of the U-Net each class of argmax z
    gives points inside and outside it, which ask a SAM for the class, beside box tokens that are
    learnt from the image (`LearnedPromptHead`); its logits are s. With a the labelled images x and
    u_w together, p the probabilities of z, and H the entropy::

        L = S(z(x)) + S(z(u_w), argmax s(u_w)) + e H(p(a))
            + S(s(x)) + weight(t) S(s(u_w), argmax z(u_w))

    S is cross-entropy + Dice, and no gradient goes through points and labels. Every image has one
    view; SAM's trust in the U-Net grows with weight(t). SAM predicts, asked with points. There is
    no teacher.

    Args:
        network: name of the U-Net.
        foundation: name of the SAM.
        points: how many inside each class, and how many outside.
        train_points: which: `random`, or `spread` evenly over the pixels in their order.
        test_points: which are asked with at test; `random` as released, where every test gives
            other masks.
        transposed: exchange x and y of the points, as the released code does.
        entropy_weight: e.
        released_quirks: divide H by ln 2 whatever the number of classes, as the released code.

    Raises:
        ValueError: the label space has overlapping parts, a student is missing or has another
            head, or points are to be of an unknown kind.
    """

    together = (('x_w', 'u_w'),)

    def __init__(
        self,
        *,
        network: str = 'unet',
        foundation: str = 'sam',
        points: int = 5,
        train_points: str = 'random',
        test_points: str = 'spread',
        transposed: bool = False,
        entropy_weight: float = 0.9,
        released_quirks: bool = False,
        **options: Unpack[Options],
    ) -> None:
        options.setdefault('ramp', dict(type='GaussianRamp', length=1 / 4))
        super().__init__(**options)
        self.network, self.foundation = network, foundation
        self._check_names('network and foundation', [network, foundation])
        self.primary = network  # sees the images first, in whatever order the students stand
        if not isinstance(self.label_space, ExclusiveClasses):
            raise ValueError(
                f'SCSAM points at the classes of a pixel, but label_space is '
                f'{type(self.label_space).__name__}: use ExclusiveClasses'
            )
        sam: Any = self.students[foundation]
        if not hasattr(sam.decode_head, 'embed_points') or not hasattr(
            sam.decode_head, 'box_tokens'
        ):
            raise ValueError(
                f'SCSAM asks "{foundation}" with points for each class, but it has a '
                f'{type(sam.decode_head).__name__}: give it a LearnedPromptHead'
            )
        for kind in (train_points, test_points):
            if kind not in PIXELS:
                raise ValueError(f'points are one of {", ".join(PIXELS)}, found {kind!r}')
        self.classes: int = sam.out_channels
        self.points, self.transposed = points, transposed
        self.train_points, self.test_points = train_points, test_points
        self.entropy_weight, self.released_quirks = entropy_weight, released_quirks

    @property
    def image_students(self) -> list[str]:
        """The U-Net; SAM is asked with what it says."""
        return [self.network]

    @property
    def outputs(self) -> list[str]:
        """Names of the predictions: SAM's, asked with the U-Net's points, and the U-Net's own."""
        return [self.foundation, self.network]

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, Any]:
        """Show the unlabelled images too."""
        return {'u_w': batch['u_w']}, None

    def forward_students(
        self, batch: Batch, views: Mapping[str, Mapping[str, Tensor]], step: Step
    ) -> dict[str, dict[str, Tensor]]:
        """Return the logits of the U-Net and of SAM by view."""
        z = self.forward_views(self.network, {view: x[self.network] for view, x in views.items()})
        x = torch.cat([of_view[self.foundation] for of_view in views.values()])
        s = self.ask_sam(x, torch.cat(list(z.values())), self.train_points)
        parts = torch.split(s, [len(one) for one in z.values()])
        return {self.network: z, self.foundation: dict(zip(z, parts, strict=True))}

    def ask_sam(self, x: Tensor, z: Tensor, kind: str) -> Tensor:
        """Return SAM's logits on images, asked with points of logits z (N, C, H, W)."""
        sam: Any = self.students[self.foundation]
        points = self.make_points(z.detach(), sam.decode_head.img_size, kind)
        s = sam.decode_head.prompted(sam.extract_feat(x), points=points)
        return resize_linear(s.float(), z.shape[2:])

    @torch.no_grad()
    def make_points(self, z: Tensor, side: int, kind: str) -> tuple[Tensor, Tensor]:
        """Return the points that ask for each class.

        Args:
            z: logits (N, C, H, W).
            side: of SAM's images.
            kind: `random` or `spread`.

        Returns:
            x and y (N, C, 2 points, 2) in pixels of SAM's images, first those inside; and labels
            (N, C, 2 points): 1 inside, 0 outside, -1 where a class has not so many pixels.
        """
        masks = class_masks(z.argmax(1), z.shape[1])
        places, labels = [], []
        for label, where in ((1, masks), (0, ~masks)):
            xy, found = PIXELS[kind](where, self.points)
            places.append(scale_points(xy, z.shape[2:], (side, side)))
            labels.append(torch.where(found, label, -1))
        xy = torch.cat(places, 2)
        return xy.flip(-1) if self.transposed else xy, torch.cat(labels, 2)

    def sup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return what weight(t) does not weigh: the labels, and what the U-Net learns on u_w."""
        name, z = self.network, logits[self.network]
        y = self.label_space.encode(batch['y'][name])
        guess = logits[self.foundation]['u_w'].detach().argmax(1)
        classes = 2 if self.released_quirks else self.classes
        both = torch.cat([z[view].softmax(1) for view in ('x_w', 'u_w')])
        return {
            f'sup_{name}': self.criterion(z['x_w'], y),
            f'sup_{self.foundation}': self.criterion(logits[self.foundation]['x_w'], y),
            f'follow_{name}': self.criterion(z['u_w'], guess),
            f'entropy_{name}': self.entropy_weight * mean_entropy(both, classes),
        }

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `follow_<SAM>`: what SAM learns from the U-Net's labels."""
        guess = logits[self.network]['u_w'].detach().argmax(1)
        term = self.criterion(logits[self.foundation]['u_w'], guess)
        return {f'follow_{self.foundation}': term}

    @torch.no_grad()
    def predict_logits(self, inputs: dict[str, Tensor], name: str, teacher: bool = False) -> Tensor:
        """Return scores of the classes (N, C, H, W), see `outputs`."""
        if name != self.foundation or teacher:
            return super().predict_logits(inputs, name, teacher)
        x = inputs[self.network]
        z = resize_linear(self.students[self.network](x, mode='tensor').float(), x.shape[2:])
        s = self.ask_sam(inputs.get(name, x), z, self.test_points)
        return self.label_space.class_scores(s)

    @torch.no_grad()
    def pseudo_labels(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the class maps (N, H, W) of both, which teach each other."""
        return {name: self.predict_logits(inputs, name).argmax(1) for name in self.outputs}
