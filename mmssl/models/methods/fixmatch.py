"""FixMatch with a mean teacher and mixed images, and the FixMatch of SSL4MIS."""

import torch
from torch import Tensor

from mmssl.models.base.label_space import ExclusiveClasses
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.strategies.mixers import View
from mmssl.models.strategies.mixing import box_side
from mmssl.registry import MIXERS, MODELS, THRESHOLDS


@MODELS.register_module()
class FixMatch(SemiSegmentor):
    """FixMatch (NeurIPS 2020): the weak view's confident label teaches the strong view.

    Sohn et al., FixMatch, https://arxiv.org/abs/2001.07685. Two forms for segmentation are
    published; the options tell them apart.

    In the frame of MiDSS and SynFoC (the defaults, with a teacher)::

        q = teacher(u_w),  yhat = argmax q,  W = [max q > tau]
        L = L_x + weight(t) L(student(u_s), yhat, W)

    A mixer may replace a region of u_s, yhat and W by those of the labelled image (or change the
    labelled image): the rows "+CutMix" and so on of MiDSS's supplement; with CutMix, for one
    network, the "Base" row of SynFoC's ablation. `EMATeacherHook` moves the teacher.

    In SSL4MIS (no teacher, `confidence='min_max'`, `rejected='background'`, `negative`): q is the
    student's own prediction in the same step, weak and strong views go through it in one pass
    each, and pixels with `1 - min q / max q <= tau` are taught as background::

        L = L_x + weight(t) (L(student(u_s), yhat) + L_negative of all images' weak, strong views)

    **A step.** `SemiSegmentor.loss` asks `student_views` what each student is to see, leaves its
    logits in `batch['logits'][student][view]`, and adds L_x, which is `self.criterion` on x_w and
    its label y, and weight(t) times the terms of `unsup_loss`. Views are dicts of student to
    tensor: x labelled, u unlabelled, _w weak, _s strong; the data pipeline makes them, and the
    box (N, 4) that a mixer pastes. `self.label_space` knows what the channels mean: `prob` is
    the softmax (the sigmoid where parts overlap), `decide` gives confidence and label, `encode`
    brings a mask into the label's form. `self.primary` is the student that predicts.

    Args:
        threshold: pixels that count.
        mixer: `CutMix`, `ClassMix`, `CowMix`, `FMix` or `FDA`; needs teachers.
        copy_paste: short for `mixer=dict(type='CutMix')`.
        confidence: what the threshold compares, `max` or `min_max`.
        rejected: pixels that do not pass are left out (`ignore`) or `background`.
        negative: loss of the weak and the strong probabilities, e.g. `NegativeLearningLoss`.

    Raises:
        ValueError: if an option is unknown, or options do not go together.
    """

    together = (('x_w', 'u_w'), ('x_s', 'u_s'))  # each pair shares a pass, and its BatchNorm

    def __init__(
        self,
        *args,
        threshold: dict | None = None,
        mixer: dict | None = None,
        copy_paste: bool = False,
        confidence: str = 'max',
        rejected: str = 'ignore',
        negative: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if confidence not in ('max', 'min_max'):
            raise ValueError(f"confidence must be 'max' or 'min_max', found {confidence!r}")
        if rejected not in ('ignore', 'background'):
            raise ValueError(f"rejected must be 'ignore' or 'background', found {rejected!r}")
        if copy_paste and mixer:
            raise ValueError(f'copy_paste is the mixer CutMix, but mixer is {mixer}: give one.')
        mixer = dict(type='CutMix') if copy_paste else mixer
        if mixer and set(self.students) - set(self.teachers):
            raise ValueError(
                'Mixed images need labels before the students see them: name '
                f'{list(self.students)} in `teachers`, or drop the mixer.'
            )
        if negative and self.teachers:
            raise ValueError(
                'negative compares weak and strong views of a student that labels for '
                f'itself, but {list(self.teachers)} have teachers: set teachers=[].'
            )
        special = negative or confidence == 'min_max' or rejected == 'background'
        if special and not isinstance(self.label_space, ExclusiveClasses):
            raise ValueError(
                'confidence, rejected and negative ask for exclusive classes; use '
                "label_space=dict(type='ExclusiveClasses') or the defaults."
            )
        self.threshold = THRESHOLDS.build(threshold or dict(type='FixedThreshold', value=0.95))
        self.mixer = MIXERS.build(mixer) if mixer else None
        self.confidence, self.rejected = confidence, rejected
        self.negative = MODELS.build(negative) if negative else None

    def student_views(self, batch: dict) -> dict[str, dict[str, Tensor]]:
        """Return the strong view, mixed where asked for; without a teacher the weak one too."""
        batch['target'] = {}
        views: dict[str, dict[str, Tensor]] = {'x_w': {}, 'u_w': {}, 'u_s': {}, 'x_s': {}}
        for name in self.students:
            views['x_w'][name], views['u_s'][name] = batch['x_w'][name], batch['u_s'][name]
            if name in self.teachers:
                target = self.target(self.teacher_prob(name, batch['u_w'][name]))
                batch['target'][name] = self.mix(name, batch, target, views)
            else:
                views['u_w'][name] = batch['u_w'][name]
                if self.negative is not None and 'x_s' in batch:  # nothing else looks at x_s
                    views['x_s'][name] = batch['x_s'][name]
        return {view: images for view, images in views.items() if images}

    def target(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return pseudo-label and mask of probabilities q."""
        confidence, label = self.label_space.decide(q)
        if self.confidence == 'min_max':
            confidence = 1 - q.amin(1) / confidence
        passed = self.threshold(confidence)
        if self.rejected == 'background':
            return label * passed, torch.ones_like(confidence)
        return label, passed.float()

    def mix(
        self, name: str, batch: dict, target: tuple[Tensor, Tensor], views: dict
    ) -> tuple[Tensor, Tensor]:
        """Put the mixed images of a student into `views` and return the mixed target."""
        if self.mixer is None:
            return target
        y = self.label_space.encode(batch['y'][name])
        x = View(views['x_w'][name], y, torch.ones_like(y, dtype=target[1].dtype))
        u = View(views['u_s'][name], *target)
        side = box_side(batch, batch['u_s'][self.primary])  # of the square that the box is in
        x, u = self.mixer(x, u, batch['u_w'][name], batch.get('box'), side)
        views['x_w'][name], views['u_s'][name] = x.image, u.image
        return u.label, u.mask

    def unsup_loss(self, batch: dict) -> dict[str, Tensor]:
        """Return `unsup_<student>` on the strong view, and `negative_<student>` where asked for."""
        terms = {}
        for name, logits in batch['logits'].items():
            if name not in self.teachers:
                weak = self.label_space.prob(logits['u_w'].detach())
                batch['target'][name] = self.target(weak)
            terms[f'unsup_{name}'] = self.criterion(logits['u_s'], *batch['target'][name])
            if self.negative is not None:
                terms[f'negative_{name}'] = self.negative_loss(logits)
        return terms

    def negative_loss(self, logits: dict[str, Tensor]) -> Tensor:
        """Return the negative term of the images that have a weak and a strong view."""
        pairs = [('x_w', 'x_s'), ('u_w', 'u_s')]
        pairs = [pair for pair in pairs if all(view in logits for view in pair)]
        weak, strong = (
            torch.cat([self.label_space.prob(logits[v]) for v in views])
            for views in zip(*pairs, strict=True)
        )
        return self.negative(weak, strong)
