"""MCSD: diffusion features and two strong views guide a U-Net."""

from typing import Any, Unpack

import torch
from torch import Tensor

from mmssl.models.base.terms import Logits, Terms, Views
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

    A and B share nothing and A's pseudo-label carries no gradient, so DFM does not reach A: with
    and without it A is the same to the last bit. What B adds shows in `inference` alone.

    Features are computed from the weak view itself, or read from a cache of the unaugmented slice
    and moved by the weak view's geometry (`u_maps` and `u_grid` in the batch).

    Args:
        neck: the diffusion features; None leaves DFM out (then network B is not needed).
        image_level: whether to use DIC.
        feature_student: name of network B.
        label_features: train B on the labelled slices too (`w_x L_x(B(phi(x_w)), y)`); as
            published, B only follows A.
        inference: what `pred_sem_seg` is: `a` predicts from network A alone, without diffusion
            model; `b` from B alone; `mean` from the mean of both networks' probabilities, which is
            the prediction `mean`.
        **options: of `UniMatch`; `feature_dropout` is off by default. The article speaks of "random
            network dropout": the U-Net's own, as here, or these dropped channels (0.5).

    Raises:
        ValueError: an option is unknown, or network B and the neck do not come together.
    """

    def __init__(
        self,
        *,
        neck: dict[str, Any] | None = None,
        image_level: bool = True,
        feature_student: str = 'feature_unet',
        label_features: bool = False,
        inference: str = 'a',
        **options: Unpack[UniMatchOptions],
    ) -> None:
        options.setdefault('feature_dropout', None)
        super().__init__(**options)
        if inference not in ('a', 'b', 'mean') or (inference != 'a' and neck is None):
            raise ValueError(f"inference={inference!r}: choose 'a', or with a neck 'b' or 'mean'.")
        if (feature_student in self.students) != (neck is not None):
            raise ValueError(
                f'The diffusion features need both `neck` and a student "{feature_student}"; '
                f'neck is {neck}, the students are {list(self.students)}.'
            )
        if not image_level:
            self.weights['image'] = 0.0
        self.neck: Any = MODELS.build(neck) if neck else None
        self.feature_student = feature_student
        if self.primary == feature_student:  # a written config has its keys in another order
            self.primary = self.image_students[0]
        self.label_features = label_features
        self.inference = inference

    def init_weights(self) -> None:
        """Initialise the networks, and compare the diffusion model with its feature cache."""
        super().init_weights()
        if self.neck is not None:
            self.neck.init_weights()

    @property
    def image_students(self) -> list[str]:
        """Names of the students that see images: all but network B."""
        return [name for name in self.students if name != self.feature_student]

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, Any]:
        """Show the views of UniMatch to A, and the features to B."""
        views, partners = super().prepare(batch, step)
        views['x_w'] = {name: batch['x_w'][name] for name in self.image_students}
        if self.neck is not None:
            views['u_f'] = {self.feature_student: self.features(batch, 'u', slice(0, None, 2))}
            if self.label_features:
                views['x_w'][self.feature_student] = self.features(batch, 'x', slice(None))
        return views, partners

    def features(self, batch: Batch, kind: str, which: slice) -> Tensor:
        """Return the features of labelled (`x`) or unlabelled (`u`) weak views, (N, D, H, W)."""
        maps = batch.get(f'{kind}_maps')
        if maps is not None:
            phi: Tensor = self.neck.from_maps(maps[which], batch[f'{kind}_grid'][which])
        else:
            phi = self.neck(batch[f'{kind}_w'][self.primary][which])
        return phi

    def feature_loss(self, name: str, logits: Logits, target: tuple[Tensor, Tensor]) -> Terms:
        """Return B's term, which follows the primary network A, and A's with dropped channels."""
        terms = super().feature_loss(name, logits, target)
        if self.neck is not None and name == self.primary:
            term = self.unsup_criterion(logits[self.feature_student]['u_f'], *target)
            terms['feature'] = self.weights['feature'] * term
        return terms

    @property
    def outputs(self) -> list[str]:
        """Names of the predictions: A's, and before it what `inference` asks for."""
        asked = {'a': [], 'b': [self.feature_student], 'mean': ['mean']}[self.inference]
        return [*asked, *super().outputs]

    @torch.no_grad()
    def predict_logits(self, inputs: dict[str, Tensor], name: str, teacher: bool = False) -> Tensor:
        """Return scores of the classes (N, C, H, W), see `SemiSegmentor.predict_logits`."""
        if name not in (self.feature_student, 'mean'):
            return super().predict_logits(inputs, name, teacher)
        features = {self.feature_student: self.neck(inputs[self.primary])}
        of_b = super().predict_logits(features, self.feature_student)
        if name == self.feature_student:
            return of_b
        of_a = super().predict_logits(inputs, self.primary)
        return ((of_a.softmax(1) + of_b.softmax(1)) / 2).log()
