"""KnowSAM: two networks teach each other, prompt a SAM with what they agree on, and follow it."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor

from mmssl.models.base.label_space import ExclusiveClasses
from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Curves, Logits, Losses, Terms, Views
from mmssl.models.methods.know_sam.fusion import Fusion
from mmssl.models.methods.know_sam.terms import (
    certain_patches,
    disagreement,
    distillation,
    exchange,
)
from mmssl.models.strategies.uncertainty import entropy, mean_entropy
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step
from mmssl.utils.resize import resize_linear

VIEWS = ('x_w', 'u_w')
MIXED = ('x_m', 'u_m')


@MODELS.register_module()
class KnowSAM(SemiSegmentor):
    """Learnable prompting SAM-induced knowledge distillation (IEEE TMI 2025).

    Huang et al., https://arxiv.org/abs/2412.13742. Of the logits z_1, z_2 of two networks on an
    image `Fusion` makes f; each class of f, without gradient, asks a SAM with adapters for a mask
    (`LearnedPromptHead`), whose logits are s. With x labelled images, a = x and u_w together, p_i
    the probabilities of z_i, and H the entropy::

        L_i  = S(z_i(x)) + KD(z_i(a), s(a)) + e H(p_i(a)) + weight(t) BCE(p_i(a), p_j(a))
        L    = (L_1 + L_2) / 2 + S(f(x)) + S(s(x))

    where the second of a pair gets no gradient. After `exchange_start` iterations the patches of
    which f is the most certain are exchanged between a labelled and an unlabelled image, and
    argmax s(u_w) is the label of u_w there; on the exchanged images m, u_m the unlabelled ones::

        C_i  = BCE(p_i(m), p_j(m)) + S(z_i(u_m), argmax f(u_m))
        M_i  = S(z_i(m)) + e H(p_i(m)) + weight(t) C_i
        L   += (M_1 + M_2) / 2 + S(f(m))

    S is cross-entropy + Dice. Every image has one view. f predicts, as `fusion`; SAM is needed to
    train alone. No teacher.

    Args:
        networks: names of the two students.
        foundation: name of the SAM.
        fusion: further options of `Fusion`.
        exchange_start: iteration after which patches are exchanged.
        grid: patches along each side of an image.
        patches: how many of an image are exchanged.
        entropy_weight: e.
        temperature: of the distillation.
        released_quirks: compute what the released code does where that is hardly meant: KD over
            rows of 2 channels whatever the number of classes, BCE of the last class alone and no
            gradient from it for the second network, H over ln 2 whatever the number of classes.

    Raises:
        ValueError: the label space has overlapping parts, or a student is missing or has another
            head.
    """

    together = (VIEWS, MIXED)

    def __init__(
        self,
        *,
        networks: tuple[str, str] = ('unet', 'vnet'),
        foundation: str = 'sam',
        fusion: dict[str, Any] | None = None,
        exchange_start: int = 12000,
        grid: int = 4,
        patches: int = 5,
        entropy_weight: float = 0.9,
        temperature: float = 10.0,
        released_quirks: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        self.networks, self.foundation = tuple(networks), foundation
        self._check_names('networks and foundation', [*networks, foundation])
        if self.primary == foundation:  # a written config has its keys in another order
            self.primary = self.networks[0]
        if not isinstance(self.label_space, ExclusiveClasses):
            raise ValueError(
                f'KnowSAM compares the classes of a pixel, but label_space is '
                f'{type(self.label_space).__name__}: use ExclusiveClasses'
            )
        sam: Any = self.students[foundation]
        if not hasattr(sam.decode_head, 'prompted'):
            raise ValueError(
                f'KnowSAM asks "{foundation}" with masks, but it has a '
                f'{type(sam.decode_head).__name__}: give it a LearnedPromptHead'
            )
        self.classes: int = sam.out_channels
        self.fusion = Fusion(self.classes, **(fusion or {}))
        self.exchange_start, self.grid, self.patches = exchange_start, grid, patches
        self.entropy_weight, self.temperature = entropy_weight, temperature
        self.released_quirks = released_quirks

    @property
    def image_students(self) -> list[str]:
        """The two networks; SAM is asked with what they say."""
        return list(self.networks)

    @property
    def outputs(self) -> list[str]:
        """Names of the predictions: the fused one, those of both networks, and SAM's."""
        return ['fusion', *self.networks, self.foundation]

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, Any]:
        """Show the unlabelled images too."""
        return {'u_w': batch['u_w']}, None

    def forward_students(
        self, batch: Batch, views: Mapping[str, Mapping[str, Tensor]], step: Step
    ) -> dict[str, dict[str, Any]]:
        """Return the logits of the networks, of `fusion` and of SAM by view.

        In the second phase those of the exchanged images stand beside, as `x_m` and `u_m`, and
        their labels under `exchanged`.
        """
        found = self.look(views)
        masks = torch.cat([found['fusion'][view] for view in VIEWS]).detach()
        x = torch.cat([views[view][self.foundation] for view in VIEWS])
        s = torch.split(self.ask_sam(x, masks), [len(z) for z in found['fusion'].values()])
        found[self.foundation] = dict(zip(VIEWS, s, strict=True))
        if step.iter > self.exchange_start:
            images, labels = self.exchanged(batch, views, found)
            for name, z in self.look(images).items():
                found[name].update(z)
            found['exchanged'] = labels
        return found

    def look(self, views: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
        """Return the logits of both networks and of the fusion on two views seen together."""
        found = {
            name: self.forward_views(name, {view: x[name] for view, x in views.items()})
            for name in self.networks
        }
        first, second = (torch.cat(list(found[name].values())) for name in self.networks)
        counts = [len(z) for z in found[self.networks[0]].values()]
        fused = torch.split(self.fusion(first, second), counts)
        return {**found, 'fusion': dict(zip(views, fused, strict=True))}

    def ask_sam(self, x: Tensor, masks: Tensor) -> Tensor:
        """Return SAM's logits on images when it is asked with masks (N, C, H, W), at their size."""
        sam: Any = self.students[self.foundation]
        z = sam.decode_head.prompted(sam.extract_feat(x), masks)
        return resize_linear(z.float(), masks.shape[2:])

    @torch.no_grad()
    def exchanged(
        self, batch: Batch, views: Mapping[str, Mapping[str, Tensor]], found: Logits
    ) -> tuple[Views, dict[str, Tensor]]:
        """Return the images with exchanged patches for both networks, and their labels."""
        masks = {
            view: certain_patches(entropy(z.softmax(1)), self.grid, self.patches)
            for view, z in found['fusion'].items()
        }
        inside = [masks[view] for view in VIEWS]
        images: Views = {view: {} for view in MIXED}
        for name in self.networks:
            both = exchange(*(views[view][name] for view in VIEWS), *inside)
            for view, x in zip(MIXED, both, strict=True):
                images[view][name] = x
        y = self.label_space.encode(batch['y'][self.networks[0]])
        guess = found[self.foundation]['u_w'].argmax(1)
        return images, dict(zip(MIXED, exchange(y, guess, *inside), strict=True))

    def sup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return what weight(t) does not weigh: the labels, entropy and distillation."""
        y = self.label_space.encode(batch['y'][self.networks[0]])
        s = both(logits[self.foundation], VIEWS)
        terms = {
            f'sup_{name}': self.criterion(logits[name]['x_w'], y)
            for name in ('fusion', self.foundation)
        }
        for name in self.networks:
            z = both(logits[name], VIEWS)
            width = 2 if self.released_quirks else self.classes
            terms[f'sup_{name}'] = self.criterion(logits[name]['x_w'], y) / 2
            terms[f'distil_{name}'] = distillation(z, s, self.temperature, width) / 2
            terms[f'entropy_{name}'] = self.entropy_of(z)
        if 'exchanged' in logits:
            y = both(logits['exchanged'], MIXED)
            for name in (*self.networks, 'fusion'):
                z, share = both(logits[name], MIXED), 1 if name == 'fusion' else 2
                terms[f'sup_exchanged_{name}'] = self.criterion(z, y) / share
                if name != 'fusion':
                    terms[f'entropy_exchanged_{name}'] = self.entropy_of(z)
        return terms

    def entropy_of(self, z: Tensor) -> Tensor:
        """Return the entropy term of a network's logits."""
        classes = 2 if self.released_quirks else self.classes
        return self.entropy_weight / 2 * mean_entropy(z.softmax(1), classes)

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `consistent_<network>`; with exchanged patches theirs, and `self_<network>`."""
        terms, curves = self.consistency(logits, VIEWS, 'consistent')
        if 'exchanged' in logits:
            more, also = self.consistency(logits, MIXED, 'consistent_exchanged')
            terms, curves = {**terms, **more}, {**curves, **also}
            target = logits['fusion']['u_m'].detach().argmax(1)
            for name in self.networks:
                terms[f'self_{name}'] = self.criterion(logits[name]['u_m'], target) / 2
        return terms, curves

    def consistency(
        self, logits: Logits, views: tuple[str, str], term: str
    ) -> tuple[Terms, Curves]:
        """Return the terms that draw the two networks together."""
        first, second = self.networks
        p, q = (both(logits[name], views).softmax(1) for name in self.networks)
        if self.released_quirks:
            last = slice(-1, None)
            one = disagreement(p, q, last) / 2  # the released second term is the same number
            return {f'{term}_{first}': one}, {f'{term}_{second}': one.detach()}
        return {
            f'{term}_{first}': disagreement(p, q) / 2,
            f'{term}_{second}': disagreement(q, p) / 2,
        }, {}

    @torch.no_grad()
    def predict_logits(self, inputs: dict[str, Tensor], name: str, teacher: bool = False) -> Tensor:
        """Return scores of the classes (N, C, H, W), see `outputs`."""
        if name not in ('fusion', self.foundation) or teacher:
            return super().predict_logits(inputs, name, teacher)
        x = inputs[self.networks[0]]
        first, second = (
            resize_linear(self.students[network](inputs[network], mode='tensor'), x.shape[2:])
            for network in self.networks
        )
        z = self.fusion(first.float(), second.float())
        if name == self.foundation:
            z = self.ask_sam(inputs.get(name, x), z)
        return self.label_space.class_scores(z)

    @torch.no_grad()
    def pseudo_labels(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the class maps (N, H, W) of SAM, which teaches, and of the fusion."""
        return {
            name: self.predict_logits(inputs, name).argmax(1)
            for name in (self.foundation, 'fusion')
        }


def both(of: Mapping[str, Tensor], views: tuple[str, str]) -> Tensor:
    """Return what is known of two views, one behind the other."""
    return torch.cat([of[view] for view in views])
