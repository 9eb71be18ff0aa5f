"""CrossMatch: weak and strong dropout of features, taught by the clean stream and by each other."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from mmssl.models.base.options import Options
from mmssl.models.base.terms import Logits, Losses
from mmssl.models.methods.unimatch import UniMatch
from mmssl.models.strategies.mixing import paste
from mmssl.models.unet.feature_noise import drop_channels
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step

Target = tuple[Tensor, Tensor]
"""Confidence and label, (N, H, W) each."""

PERTURBED = ('weak', 'strong')
"""The streams behind the clean one, each with features dropped at a rate of its own."""


class CrossMatchOptions(Options, total=False):
    """What `CrossMatch` takes."""

    threshold: dict[str, Any] | None
    unsup_criterion: dict[str, Any] | None
    weights: Mapping[str, float] | None


@MODELS.register_module()
class CrossMatch(UniMatch):
    """CrossMatch (IEEE JBHI 2024): `UniMatch` whose perturbed decodings distil from clean ones.

    Zhao et al., CrossMatch: Enhance Semi-Supervised Medical Image Segmentation with Perturbation
    Strategies and Knowledge Distillation, https://arxiv.org/abs/2405.00354, as in its released
    code, on slices and on volumes.

    In the notation of `UniMatch`, A^w and A^s decode the encoder's maps with few and with many of
    their channels dropped. y, y^w, y^s are the labels of u_w by A, A^w, A^s where their confidence
    passes tau, y_k those with the box of view k out of the labels of u' by the same stream in it,
    and M the Dice loss over the pixels that count::

        L_i = M(A(s_1), y_1) + M(A(s_2), y_2)
        L_t = (M(A^w(u_w), y) + M(A^s(u_w), y) + M(A^w(s_2), y_2) + M(A^s(s_2), y_2)) / 4
        L_p = (M(A^w(s_2), y^w_2) + M(A^s(s_2), y^s_2)) / 2
        L   = w_x L_x + w_i L_i + w_d ((1 - eta) L_t + eta L_p)

    Dropout acts in every pass, also where labels of u' are made: without it the released code lost
    five points of Dice on Left Atrium (its commit cd1e25c). A dropout before the last convolution
    acts on u' alone, as a perturbed pass has its own. The default weights are those of ACDC; Left
    Atrium has `distil=0.5`.

    Args:
        threshold: tau.
        unsup_criterion: M.
        weights: w_x (`sup`), w_i (`image`) and w_d (`distil`).
        dropout: rates of A^w and A^s.
        eta: share of L_p.

    Raises:
        ValueError: a weight has another name, or there are not two rates.
    """

    published = {'sup': 0.5, 'image': 0.125, 'distil': 0.25}

    def __init__(
        self,
        *,
        dropout: Sequence[float] = (0.25, 0.75),
        eta: float = 0.3,
        **options: Unpack[CrossMatchOptions],
    ) -> None:
        super().__init__(feature_dropout=None, **options)
        if len(dropout) != len(PERTURBED):
            raise ValueError(f'dropout={tuple(dropout)} needs a rate for each of {PERTURBED}')
        self.dropout, self.eta = tuple(dropout), eta

    @property
    def shows_strong(self) -> bool:
        """Whether anything is learnt from the strong views."""
        return True

    @torch.no_grad()
    def partner_target(self, name: str, partner: Tensor, batch: Batch) -> dict[str, Target]:
        """Return confidence and label of images u' by every stream, in train mode."""
        student = self.students[name]
        clean = self.to_label_size(name, student(partner, mode='tensor'), partner)
        _, of_streams = self.streams(name, batch['x_w'][name], partner)
        return self.targets_of({**of_streams, 'clean': clean})

    def targets_of(self, streams: Mapping[str, Tensor]) -> dict[str, Target]:
        """Return confidence and label of every stream's logits."""
        return {
            stream: self.label_space.decide(self.label_space.prob(z.detach()))
            for stream, z in streams.items()
        }

    def streams(self, name: str, x: Tensor, u: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits of x, and of u by every stream, from one pass of both."""
        student: Any = self.students[name]
        images = torch.cat([x, u])
        features = student.extract_feat(images)
        of_u = [f[len(x) :] for f in features]
        dropped = [[drop_channels(f, rate) for f in of_u] for rate in self.dropout]
        joint = [torch.cat(parts) for parts in zip(features, *dropped, strict=True)]
        with without_dropout(student.decode_head):
            logits = self.to_label_size(name, student.decode_head(joint), images)
        of_x, *of_streams = torch.split(logits, [len(x), *3 * [len(u)]])
        return of_x, dict(zip(('clean', *PERTURBED), of_streams, strict=True))

    def forward_views(self, name: str, views: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return a student's logits on x_w and u_s, and those on u_w and u_s2 by stream."""
        logits: dict[str, Any] = {}
        for plain, streamed in self.together:
            logits[plain], logits[streamed] = self.streams(name, views[plain], views[streamed])
        return logits

    def mixed(self, batch: Batch, key: str, own: Target, partner: Target) -> Target:
        """Return confidence and label of u with those of u' in its box."""
        inside = self.inside_pairs(batch, key, own[1])
        return paste(own[0], partner[0], inside), paste(own[1], partner[1], inside)

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return the weighted terms of the strong views and of the distillation."""
        terms, curves = {}, {}
        for name, z in logits.items():
            own, partner = self.targets_of(z['u_w']), targets[name]
            y_1 = self.mixed(batch, 'box', own['clean'], partner['clean'])
            y_2 = {
                stream: self.mixed(batch, 'box2', own[stream], partner[stream]) for stream in own
            }
            weak, strong = z['u_w'], z['u_s2']
            taught = [self.judge(weak[stream], own['clean'], step) for stream in PERTURBED]
            taught += [self.judge(strong[stream], y_2['clean'], step) for stream in PERTURBED]
            peers = [self.judge(strong[stream], y_2[stream], step) for stream in PERTURBED]
            distil = (1 - self.eta) * mean_of(taught) + self.eta * mean_of(peers)
            images = {'u_s': (z['u_s'], y_1), 'u_s2': (strong['clean'], y_2['clean'])}
            for view, (prediction, target) in images.items():
                term = self.judge(prediction, target, step)
                terms[f'image_{name}_{view}'] = self.weights['image'] * term
            terms[f'distil_{name}'] = self.weights['distil'] * distil
            curves[f'mask_{name}'] = self.counts(own['clean'][0], step).mean()
        return terms, curves

    def judge(self, logits: Tensor, target: Target, step: Step) -> Tensor:
        """Return M of logits and a target."""
        confidence, label = target
        loss: Tensor = self.unsup_criterion(logits, label, self.counts(confidence, step))
        return loss


def mean_of(terms: Sequence[Tensor]) -> Tensor:
    """Return the mean of scalars."""
    return torch.stack(list(terms)).mean()


@contextmanager
def without_dropout(head: nn.Module) -> Iterator[None]:
    """Switch off a decode head's own dropout, whose place the dropped channels take."""
    own = [m for m in head.modules() if isinstance(m, nn.modules.dropout._DropoutNd) and m.training]
    for module in own:
        module.eval()
    try:
        yield
    finally:
        for module in own:
            module.train()
