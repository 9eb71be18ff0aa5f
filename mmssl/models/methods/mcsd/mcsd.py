"""MCSD: diffusion features and two strong views guide a U-Net."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor

from mmssl.models.base.terms import Logits, Losses, Terms, Views, split_curves
from mmssl.models.methods.mcsd.guidance import GUIDANCE
from mmssl.models.methods.mcsd.shared import has_two_stems, joint_logits
from mmssl.models.methods.unimatch import UniMatch, UniMatchOptions
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step


@MODELS.register_module()
class MCSD(UniMatch):
    """Multi-consistency for semi-supervised medical image segmentation with diffusion models.

    The authors' repository (yunzhuC/MCSD) holds networks and the features' extraction, but no
    training; this is a reconstruction on UniMatch, from which its code descends. Network A sees
    images, network B the features phi of a frozen denoiser (`DiffusionFeatureNeck`) on the same
    weak view. In the notation of `UniMatch`, with A's pseudo-label of the weak view::

        DIC (image level)    w_i sum_s M(A(s), yhat, W) over two strong views with CutMix
        DFM (feature level)  w_f M(B(phi(u_w)), argmax p, [max p >= tau])
        L = w_x L_x + DIC + DFM

    As released, A and B share nothing and A's pseudo-label carries no gradient, so DFM does not
    reach A: with and without it A is the same to the last bit. What B adds shows in `inference`
    alone.

    Features are computed from the weak view itself, or read from a cache of the unaugmented slice
    and moved by the weak view's geometry (`u_maps` and `u_grid` in the batch).

    Three options, none of which is in the released code, let the features reach A. They may be
    combined:

    - Shared weights: `feature_student` names a network with two stems (`TwoStemUNetEncoder`). It is
      A and B at once, and the feature stream a perturbation of one network, as UniMatch's dropped
      channels are: x_w, u_w and phi(u_w) are one batch behind the stems.
    - `guidance`: B has a say in yhat and W. With `agreement` a pixel of the weak view counts where
      B has A's label; with `confident` label and confidence are those of the more confident one. B
      follows A (DFM) and the labels.
    - `distillation`: features of A on u_w are drawn to phi(u_w), see `FeatureDistillation`. It
      needs no network B, and nothing at test time.

    Args:
        neck: the diffusion features; None leaves all that needs them out.
        image_level: whether to use DIC.
        feature_student: name of network B.
        label_features: train B on the labelled slices too (`w_x L_x(B(phi(x_w)), y)`); as
            published, B only follows A.
        inference: what `pred_sem_seg` is: `a` predicts from network A alone, without diffusion
            model; `b` from B alone; `mean` from the mean of both networks' probabilities, which is
            the prediction `mean`.
        guidance: None, `agreement` or `confident`.
        distillation: config of `FeatureDistillation`.
        **options: of `UniMatch`; `feature_dropout` is off by default. The article speaks of "random
            network dropout": the U-Net's own, as here, or these dropped channels (0.5).

    Raises:
        ValueError: an option is unknown, or asks for a network, a neck or labels that are not
            there.
    """

    def __init__(
        self,
        *,
        neck: dict[str, Any] | None = None,
        image_level: bool = True,
        feature_student: str = 'feature_unet',
        label_features: bool = False,
        inference: str = 'a',
        guidance: str | None = None,
        distillation: dict[str, Any] | None = None,
        **options: Unpack[UniMatchOptions],
    ) -> None:
        options.setdefault('feature_dropout', None)
        super().__init__(**options)
        self.feature_student, self.has_b = feature_student, feature_student in self.students
        self.shared = self.has_b and has_two_stems(self.students[feature_student])
        if self.has_b and not self.image_students:
            raise ValueError(
                f'"{feature_student}" is the only network: give it a TwoStemUNetEncoder, or the '
                'images a network of their own.'
            )
        if inference not in ('a', 'b', 'mean') or (inference != 'a' and not self.has_b):
            raise ValueError(f"inference={inference!r}: choose 'a', or with a neck 'b' or 'mean'.")
        if (self.has_b or distillation is not None) != (neck is not None):
            raise ValueError(
                f'The diffusion features need both `neck` and a student "{feature_student}", or '
                f'`neck` and `distillation`; neck is {neck}, the students are '
                f'{list(self.students)}, distillation is {distillation}.'
            )
        if guidance is not None:
            self._check_guidance(guidance, image_level and label_features)
        if not image_level:
            self.weights['image'] = 0.0
        self.neck: Any = MODELS.build(neck) if neck else None
        if self.primary == feature_student:  # a written config has its keys in another order
            self.primary = self.image_students[0]
        self.label_features = label_features
        self.inference, self.guidance = inference, guidance
        self.distillation: Any = MODELS.build(distillation) if distillation else None
        if self.distillation is not None:
            self.distillation.attach(self.students[self.primary])

    def _check_guidance(self, guidance: str, independent: bool) -> None:
        if guidance not in GUIDANCE:
            raise ValueError(f'guidance={guidance!r}: choose one of {list(GUIDANCE)} or None.')
        if not (self.has_b and independent):
            raise ValueError(
                f'guidance={guidance!r} needs strong views that are taught and a network B that '
                'learns from labels: set image_level=True, label_features=True and a student '
                f'"{self.feature_student}".'
            )

    def init_weights(self) -> None:
        """Initialise the networks, and compare the diffusion model with its feature cache."""
        super().init_weights()
        if self.neck is not None:
            self.neck.init_weights()

    @property
    def image_students(self) -> list[str]:
        """Names of the students that see images: all but a network B of its own."""
        return [name for name in self.students if self.shared or name != self.feature_student]

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, Any]:
        """Show the views of UniMatch to A, and the features to B.

        Beside the targets of UniMatch stand the features to be drawn to, under `u_phi`.
        """
        views, targets = super().prepare(batch, step)
        views['x_w'] = {name: batch['x_w'][name] for name in self.image_students}
        if self.neck is None:
            return views, targets
        targets['u_phi'] = self.features(batch, 'u', slice(0, None, 2))
        if self.has_b:
            views['u_phi'] = {self.feature_student: targets['u_phi']}
        if self.has_b and self.label_features:
            x_phi = views.setdefault('x_phi', {}) if self.shared else views['x_w']
            x_phi[self.feature_student] = self.features(batch, 'x', slice(None))
        return views, targets

    def features(self, batch: Batch, kind: str, which: slice) -> Tensor:
        """Return the features of labelled (`x`) or unlabelled (`u`) weak views, (N, D, H, W)."""
        maps = batch.get(f'{kind}_maps')
        if maps is not None:
            phi: Tensor = self.neck.from_maps(maps[which], batch[f'{kind}_grid'][which])
        else:
            phi = self.neck(batch[f'{kind}_w'][self.primary][which])
        return phi

    @torch.no_grad()
    def partner_target(self, name: str, partner: Tensor, batch: Batch) -> Any:
        """Return confidence and label of images u', of A as B guides it."""
        of_a = super().partner_target(name, partner, batch)
        if self.guidance is None:
            return of_a
        phi = self.features(batch, 'u', slice(1, None, 2))
        of_b = self.label_space.decide(self.student_prob(self.feature_student, phi))
        return GUIDANCE[self.guidance](of_a, of_b)

    def strong_target(
        self, name: str, weak: tuple[Tensor, Tensor], logits: Logits
    ) -> tuple[Tensor, Tensor]:
        """Return confidence and label that the strong views follow, of A as B guides it."""
        if self.guidance is None:
            return weak
        prob_b = self.label_space.prob(logits[self.feature_student]['u_phi'].detach())
        return GUIDANCE[self.guidance](weak, self.label_space.decide(prob_b))

    def forward_views(self, name: str, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a student's logits, and under `u_map` A's features that are drawn to phi."""
        if self.distillation is None or name != self.primary:
            return self.forward_streams(name, views)
        with self.distillation.record(self.students[name]) as seen:
            logits = self.forward_streams(name, views)
        first = len(views['x_w'])  # the first pass begins with x_w and u_w
        return {**logits, 'u_map': seen[0][first : first + len(views['u_w'])]}

    def forward_streams(self, name: str, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a student's logits; weak images and features go together behind two stems."""
        phi = {view: views[view] for view in ('x_phi', 'u_phi') if view in views}
        if not self.shared or not phi:
            return super().forward_views(name, views)
        weak = {view: views[view] for view in ('x_w', 'u_w')}
        found = joint_logits(self.students[name], weak, phi, self.feature_dropout)
        logits = {view: self.to_label_size(name, z, weak['x_w']) for view, z in found.items()}
        strong = {view: x for view, x in views.items() if view not in found}
        return {**logits, **(super().forward_views(name, strong) if strong else {})}

    def sup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return the weighted supervised terms, with that of the features of a shared network."""
        terms, curves = split_curves(super().sup_loss(batch, logits, targets, step))
        for name, z in logits.items():
            if 'x_phi' in z:
                y = self.label_space.encode(batch['y'][name])
                terms[f'sup_{name}_phi'] = self.weights['sup'] * self.criterion(z['x_phi'], y)
        return terms, curves

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return the weighted terms of UniMatch, of B, and of the features that are drawn."""
        terms, curves = split_curves(super().unsup_loss(batch, logits, targets, step))
        if self.distillation is not None:
            u_map = logits[self.primary]['u_map']
            terms['distillation'] = self.distillation(u_map, targets['u_phi'])
        return terms, curves

    def feature_loss(self, name: str, logits: Logits, target: tuple[Tensor, Tensor]) -> Terms:
        """Return B's term, which follows the primary network A, and A's with dropped channels."""
        terms = super().feature_loss(name, logits, target)
        if self.has_b and name == self.primary:
            term = self.unsup_criterion(logits[self.feature_student]['u_phi'], *target)
            terms['feature'] = self.weights['feature'] * term
        return terms

    @property
    def of_features(self) -> str:
        """Name of the prediction from the features."""
        return f'{self.feature_student}_phi' if self.shared else self.feature_student

    @property
    def outputs(self) -> list[str]:
        """Names of the predictions: A's, and before it what `inference` asks for."""
        asked = {'a': [], 'b': [self.of_features], 'mean': ['mean']}[self.inference]
        return [*asked, *super().outputs]

    @torch.no_grad()
    def predict_logits(self, inputs: dict[str, Tensor], name: str, teacher: bool = False) -> Tensor:
        """Return scores of the classes (N, C, H, W), see `SemiSegmentor.predict_logits`."""
        if name not in (self.of_features, 'mean'):
            return super().predict_logits(inputs, name, teacher)
        features = {self.feature_student: self.neck(inputs[self.primary])}
        of_b = super().predict_logits(features, self.feature_student)
        if name == self.of_features:
            return of_b
        of_a = super().predict_logits(inputs, self.primary)
        return ((of_a.softmax(1) + of_b.softmax(1)) / 2).log()
