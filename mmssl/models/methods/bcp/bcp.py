"""BCP: labelled and unlabelled images are pasted into each other, both ways."""

from collections.abc import Mapping
from itertools import groupby
from typing import NamedTuple, Unpack, cast

import torch
from torch import Tensor

from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Logits, Losses, Views
from mmssl.models.sam.connected import largest_components
from mmssl.models.strategies.mixing import cuboid_mask, halves, paste, repeat_to
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step
from mmssl.utils.dist import from_first_rank
from mmssl.utils.resize import fit_mask, resize_mask, size_like

Parts = list[tuple[str, Tensor, Tensor]]
"""View, label (N, H, W) and mask of its pixels, for each term."""


class BCPTargets(NamedTuple):
    """Which label holds where in the mixed images.

    Attributes:
        sup: student to the parts that come from labelled images.
        unsup: student to those that come from unlabelled ones, none in the pre-training.
        images: view to student to the mixed images.
    """

    sup: dict[str, Parts]
    unsup: dict[str, Parts]
    images: Views


class BCPOptions(Options, total=False):
    """What `BCP` takes."""

    pretrain: float
    patch: float
    u_weight: float
    largest_component: bool
    joint_pretrain: bool


@MODELS.register_module()
class BCP(SemiSegmentor):
    """Bidirectional copy-paste for semi-supervised medical image segmentation (CVPR 2023).

    Bai et al., https://arxiv.org/abs/2305.00673.

    a and b are the even and the odd images of the batch, labelled (x, y) or unlabelled (u). One
    mask M for the whole iteration is 0 in a rectangle (cuboid) of two thirds of the sides and 1
    around it; `L(z, y; M)` is `(Dice + CE) / 2` over the pixels of M. First, for a share of the
    iterations, labelled images are pasted into each other (pre-training)::

        x = x_a M + x_b (1 - M),    L = L(f(x), y_a; M) + L(f(x), y_b; 1 - M)

    then, with yhat the largest component of each class of the teacher's argmax (self-training)::

        u' = u_a M + x_a (1 - M),   L_u = w L(f(u'), yhat_a; M) + L(f(u'), y_a; 1 - M)
        x' = x_b M + u_b (1 - M),   L_x = L(f(x'), y_b; M) + w L(f(x'), yhat_b; 1 - M)

    There is no threshold and no ramp. `EMATeacherHook` moves the teacher; `PretrainHook` starts
    the self-training from the best weights of the pre-training and their optimiser state. In a
    volume the rectangle is a cuboid.

    Args:
        pretrain: share of the iterations spent on the pre-training, 0 for none.
        patch: side of the rectangle as a share of the image's.
        u_weight: w.
        largest_component: keep the largest component of each class of a pseudo-label; otherwise
            all of it.
        joint_pretrain: let L of the pre-training count the mixed label as one, as the released code
            does on Left Atrium, and not its two parts.

    Raises:
        ValueError: a share is out of its range, or the primary student has no teacher.
    """

    def __init__(
        self,
        *,
        pretrain: float = 0.25,
        patch: float = 2 / 3,
        u_weight: float = 0.5,
        largest_component: bool = True,
        joint_pretrain: bool = False,
        **options: Unpack[Options],
    ) -> None:
        options.setdefault('ramp', dict(type='ConstantRamp'))
        super().__init__(**options)
        if not 0 <= pretrain < 1 or not 0 < patch < 1:
            raise ValueError(f'pretrain={pretrain} must lie in [0, 1) and patch={patch} in (0, 1)')
        if self.primary not in self.teachers:
            raise ValueError(
                f'{type(self).__name__} takes its pseudo-labels from a teacher of '
                f'"{self.primary}": add teachers=["{self.primary}"]'
            )
        self.pretrain, self.patch = pretrain, patch
        self.u_weight, self.largest_component = u_weight, largest_component
        self.joint_pretrain = joint_pretrain

    @property
    def pretrain_iters(self) -> int:
        """Number of iterations of the pre-training."""
        return round(self.pretrain * self.step.max_iters)

    @property
    def pretrained(self) -> list[str]:
        """Names of the students that are pre-trained; the others start as the primary one."""
        return self.names

    @property
    def names(self) -> list[str]:
        """Names of the students, the primary one first."""
        return sorted(self.students, key=lambda name: (name != self.primary, name))

    @torch.no_grad()
    def start_from_pretrained(self) -> None:
        """Give teachers, and students that were not pre-trained, the pre-trained weights."""
        for name, student in self.students.items():
            if name not in self.pretrained:
                student.load_state_dict(self.students[self.primary].state_dict())
        for name, teacher in self.teachers.items():
            teacher.load_state_dict(self.students[name].state_dict())

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, BCPTargets]:
        """Show the mixed images; the targets say which label holds where in them."""
        box = self.draw_box(batch['x_w'][self.primary])
        pretraining = step.iter < self.pretrain_iters
        mix = self.mix_labelled if pretraining else self.mix_both
        views: Views = {'x_w': {}}
        targets = BCPTargets({}, {}, views)
        for name in self.pretrained if pretraining else self.names:
            mixed, targets.sup[name], targets.unsup[name] = mix(batch, name, box)
            for view, x in mixed.items():
                views.setdefault(view, {})[name] = x
        return views, targets

    def draw_box(self, x: Tensor) -> Tensor:
        """Return a mask (1, 1, ...) that is 1 in the rectangle or cuboid, one for all ranks."""
        size = x.shape[2:]
        sides = [int(side * self.patch + 1e-6) for side in size]
        rooms = [whole - side for whole, side in zip(size, sides, strict=True)]
        corner = torch.cat(  # the last axis first; axes of one length are drawn at once
            [
                torch.randint(room, (len(list(alike)),), device=x.device)
                for room, alike in groupby(reversed(rooms))
            ]
        )
        starts = from_first_rank(corner).flip(0)[:, None, None].unbind(0)
        return cuboid_mask(starts, sides, size)

    def mix_labelled(
        self, batch: Batch, name: str, box: Tensor
    ) -> tuple[dict[str, Tensor], Parts, Parts]:
        """Return the view of the pre-training and (view, label, mask) of its terms."""
        (x_a, x_b), (y_a, y_b) = self.labelled(batch, name)
        x = paste(x_a, x_b, resize_mask(box, x_a.shape[2:]))
        if self.joint_pretrain:
            y = paste(y_a, y_b, resize_mask(box, size_like(y_a, box.dim() - 2)))
            return {'x': x}, [('x', y, torch.ones_like(box))], []
        return {'x': x}, [('x', y_a, 1 - box), ('x', repeat_to(y_b, len(y_a)), box)], []

    def mix_both(
        self, batch: Batch, name: str, box: Tensor
    ) -> tuple[dict[str, Tensor], Parts, Parts]:
        """Return the views of the self-training, and (view, label, mask) of both kinds of terms."""
        (x_a, x_b), (y_a, y_b) = self.labelled(batch, name)
        u_a, u_b = halves(batch['u_w'][name])
        yhat_a, yhat_b = self.pseudo_label(name, u_a), self.pseudo_label(name, u_b)
        y_a, yhat_b = repeat_to(y_a, len(u_a)), repeat_to(yhat_b, len(x_b))
        inside = resize_mask(box, x_a.shape[2:])
        views = {'u': paste(u_a, x_a, inside), 'x': paste(x_b, u_b, inside)}
        return (
            views,
            [('u', y_a, box), ('x', y_b, 1 - box)],
            [('u', yhat_a, 1 - box), ('x', yhat_b, box)],
        )

    def labelled(
        self, batch: Batch, name: str
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return the even and odd labelled images, and their labels."""
        y = self.label_space.encode(batch['y'][name])
        return halves(batch['x_w'][name], 'labelled'), halves(y, 'labelled')

    @torch.no_grad()
    def pseudo_label(self, name: str, u: Tensor) -> Tensor:
        """Return what the student's teacher, else the primary one's, says of an image."""
        prob = self.teacher_prob(name if name in self.teachers else self.primary, u)
        label = self.label_space.decide(prob)[1]
        if not self.largest_component:
            return label
        return largest_components(label, self.label_space.table.shape[1], prob.dim() - 2)

    def sup_loss(self, batch: Batch, logits: Logits, targets: BCPTargets, step: Step) -> Losses:
        """Return `sup_<student>`, the pixels of labelled images."""
        return {
            f'sup_{name}': self.mixed_loss(logits[name], parts)
            for name, parts in targets.sup.items()
        }

    def unsup_loss(self, batch: Batch, logits: Logits, targets: BCPTargets, step: Step) -> Losses:
        """Return `unsup_<student>`, the pixels of unlabelled images; none in the pre-training."""
        return {
            f'unsup_{name}': self.u_weight * self.mixed_loss(logits[name], parts)
            for name, parts in targets.unsup.items()
            if parts
        }

    def mixed_loss(self, logits: Mapping[str, Tensor], parts: Parts) -> Tensor:
        """Return the sum of L over (view, label, mask)."""
        terms = (
            self.criterion(logits[view], label, fit_mask(mask, label))
            for view, label, mask in parts
        )
        return cast(Tensor, sum(terms))
