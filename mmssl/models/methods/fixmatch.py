"""FixMatch with a mean teacher and mixed images, and the FixMatch of SSL4MIS."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor

from mmssl.models.base.label_space import ExclusiveClasses
from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Logits, Losses, Views
from mmssl.models.strategies.mixers import View
from mmssl.models.strategies.pseudo_label import counted
from mmssl.registry import MIXERS, MODELS, THRESHOLDS
from mmssl.structures import Batch, Step


@MODELS.register_module()
class FixMatch(SemiSegmentor):
    """FixMatch (NeurIPS 2020): the weak view's confident label teaches the strong view.

    Sohn et al., FixMatch, https://arxiv.org/abs/2001.07685, in the frame of MiDSS and SynFoC::

        q = teacher(u_w),  yhat = argmax q,  W = [max q > tau]
        L = L_x + weight(t) L(student(u_s), yhat, W)

    A mixer may replace a region of u_s, yhat and W by those of the labelled image (or change the
    labelled image): the rows "+CutMix" and so on of MiDSS's supplement; with CutMix, for one
    network, the "Base" row of SynFoC's ablation. `EMATeacherHook` moves the teacher. A student
    without a teacher labels for itself in the same pass, as in the first paper.

    **A step.** `prepare` says what each student is to see and what it is taught there;
    `SemiSegmentor.loss` asks the students, and adds L_x, which is `self.criterion` on x_w and its
    label y, and weight(t) times the terms of `unsup_loss`. Views are dicts of student to tensor:
    x labelled, u unlabelled, _w weak, _s strong; the data pipeline makes them, and the box that a
    mixer pastes. `self.label_space` knows what the channels mean: `prob` is the softmax (the
    sigmoid where parts overlap), `decide` gives confidence and label, `encode` brings a mask into
    the label's form. `self.primary` is the student that predicts.

    Args:
        threshold: pixels that count.
        mixer: `CutMix`, `ClassMix`, `CowMix`, `FMix` or `FDA`; needs teachers.
        copy_paste: short for `mixer=dict(type='CutMix')`.

    Raises:
        ValueError: options do not go together.
    """

    together = (('x_w', 'u_w'),)  # of a student without a teacher: one pass, and its BatchNorm

    def __init__(
        self,
        *,
        threshold: dict[str, Any] | None = None,
        mixer: dict[str, Any] | None = None,
        copy_paste: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        if copy_paste and mixer:
            raise ValueError(f'copy_paste is the mixer CutMix, but mixer is {mixer}: give one.')
        mixer = dict(type='CutMix') if copy_paste else mixer
        if mixer and set(self.students) - set(self.teachers):
            raise ValueError(
                'Mixed images need labels before the students see them: name '
                f'{list(self.students)} in `teachers`, or drop the mixer.'
            )
        self.threshold = THRESHOLDS.build(threshold or dict(type='FixedThreshold', value=0.95))
        self.mixer = MIXERS.build(mixer) if mixer else None

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, dict[str, tuple[Tensor, Tensor]]]:
        """Show the strong view, mixed where asked for; without a teacher the weak one too."""
        views: Views = {'x_w': {}, 'u_w': {}, 'u_s': {}}
        targets = {}
        for name in self.students:
            views['x_w'][name], views['u_s'][name] = batch['x_w'][name], batch['u_s'][name]
            if name in self.teachers:
                target = self.target(self.teacher_prob(name, batch['u_w'][name]))
                targets[name] = self.mix(name, batch, target, views)
            else:
                views['u_w'][name] = batch['u_w'][name]
        return {view: images for view, images in views.items() if images}, targets

    def target(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return pseudo-label and mask of probabilities q."""
        confidence, label = self.label_space.decide(q)
        return label, counted(self.threshold, confidence, label)

    def mix(
        self, name: str, batch: Batch, target: tuple[Tensor, Tensor], views: Views
    ) -> tuple[Tensor, Tensor]:
        """Put the mixed images of a student into `views` and return the mixed target."""
        if self.mixer is None:
            return target
        y = self.label_space.encode(batch['y'][name])
        x = View(views['x_w'][name], y, torch.ones_like(y, dtype=target[1].dtype))
        u = View(views['u_s'][name], *target)
        size = batch['u_s'][self.primary].shape[2:]
        x, u = self.mixer(x, u, batch['u_w'][name], batch.get('box'), size)
        views['x_w'][name], views['u_s'][name] = x.image, u.image
        return u.label, u.mask

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `unsup_<student>` on the strong view."""
        terms = {}
        for name, z in logits.items():
            if name in self.teachers:
                target = targets[name]
            else:
                target = self.target(self.label_space.prob(z['u_w'].detach()))
            terms[f'unsup_{name}'] = self.criterion(z['u_s'], *target)
        return terms


@MODELS.register_module()
class FixMatchSSL4MIS(SemiSegmentor):
    """FixMatch as SSL4MIS trains it: no teacher, unsure pixels are background, negative learning.

    Sohn et al., FixMatch, https://arxiv.org/abs/2001.07685; the code of SSL4MIS. Weak and strong
    views go through the student in one pass each; q is its own prediction in the same step::

        yhat = argmax q where 1 - min q / max q > tau, else background
        L    = L_x + weight(t) (L(f(u_s), yhat) + L_negative of all images' weak, strong views)

    Args:
        threshold: pixels that keep their label.
        negative: loss of the weak and the strong probabilities; None leaves it out.

    Raises:
        ValueError: a student has a teacher, or parts overlap.
    """

    together = (('x_w', 'u_w'), ('x_s', 'u_s'))  # each pair shares a pass, and its BatchNorm

    def __init__(
        self,
        *,
        threshold: dict[str, Any] | None = None,
        negative: dict[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        if self.teachers:
            raise ValueError(
                'FixMatchSSL4MIS compares weak and strong views of a student that '
                f'labels for itself, but {list(self.teachers)} have teachers: set '
                'teachers=[]; with a teacher it is FixMatch.'
            )
        if not isinstance(self.label_space, ExclusiveClasses):
            raise ValueError(
                'FixMatchSSL4MIS takes unsure pixels for background and so asks for '
                "exclusive classes: use label_space=dict(type='ExclusiveClasses')."
            )
        self.threshold = THRESHOLDS.build(threshold or dict(type='FixedThreshold', value=0.95))
        self.negative: Any = MODELS.build(negative) if negative else None

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, None]:
        """Show weak and strong views; those of the labelled images are for the negative term."""
        views = {'u_w': batch['u_w'], 'u_s': batch['u_s']}
        if self.negative is not None and 'x_s' in batch:  # nothing else looks at x_s
            views['x_s'] = batch['x_s']
        return views, None

    def target(self, q: Tensor) -> Tensor:
        """Return the pseudo-label (N, H, W) of probabilities q, background where unsure."""
        confidence, label = self.label_space.decide(q)
        sure: Tensor = self.threshold(1 - q.amin(1) / confidence)
        return label * sure

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `unsup_<student>` on the strong view, and `negative_<student>` where asked for."""
        terms = {}
        for name, z in logits.items():
            label = self.target(self.label_space.prob(z['u_w'].detach()))
            counts = torch.ones_like(z['u_s'][:, 0])
            terms[f'unsup_{name}'] = self.criterion(z['u_s'], label, counts)
            if self.negative is not None:
                terms[f'negative_{name}'] = self.negative_loss(z)
        return terms

    def negative_loss(self, logits: Mapping[str, Tensor]) -> Tensor:
        """Return the negative term of the images that have a weak and a strong view."""
        pairs = [('x_w', 'x_s'), ('u_w', 'u_s')]
        pairs = [pair for pair in pairs if all(view in logits for view in pair)]
        weak, strong = (
            torch.cat([self.label_space.prob(logits[v]) for v in views])
            for views in zip(*pairs, strict=True)
        )
        term: Tensor = self.negative(weak, strong)
        return term
