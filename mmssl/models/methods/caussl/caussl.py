"""CauSSL: networks that learn from each other are kept independent of each other."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from mmssl.models.base.label_space import ExclusiveClasses
from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.several_heads import SeveralHeads, mutual_distance
from mmssl.models.base.terms import Logits, Losses
from mmssl.models.methods.caussl.kernel_independence import KernelIndependence, common_kernels
from mmssl.models.methods.cps import CPS, CPSOptions
from mmssl.models.strategies.pseudo_label import sharpen_classes
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step


class CauSSLOptions(Options, total=False):
    """What `CauSSL` takes."""

    coefficient: float
    start: int
    every: int
    independence: Mapping[str, Any] | None


class CauSSLOnCPS(CauSSLOptions, CPSOptions, total=False):
    """What `CauSSL` and `CPS` take."""


class CauSSL(SemiSegmentor):
    """The game that both forms of CauSSL (ICCV 2023) play on top of a method's own loss.

    Miao et al., CauSSL: Causality-inspired Semi-supervised Learning for Medical Image
    Segmentation, ICCV 2023.

    Linear maps P_i try to make the kernels W_i of each network (or decoder) from those of the
    others, and the networks learn to make that hard (`KernelIndependence` has I and the maps)::

        every `every` iterations after `start`:   P_i <- max I(W_i | P_i)   (`steps` of Adam)
        from then on:                             L = L_method + c sum_i I(W_i | P_i)

    The others' kernels get no gradient in I(W_i | P_i). The maps are no part of an optimiser of
    the config; they and Adam's averages are in the checkpoint.

    Args:
        coefficient: c.
        start: iteration (from 0) after which the game begins.
        every: iterations between two phases of the maps.
        independence: options of `KernelIndependence` (`steps`, `lr`, `std`).
    """

    def __init__(
        self,
        *,
        coefficient: float = 3.0,
        start: int = 500,
        every: int = 60,
        independence: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.coefficient, self.start, self.every = coefficient, start, every
        kernels = common_kernels(self.rivals())
        rows = [len(kernel) for kernel in kernels[0]]
        self.independence = KernelIndependence(rows, len(kernels), **(independence or {}))

    def rivals(self) -> list[nn.Module]:
        """Return the networks that are to be independent; each form of the method says which."""
        raise NotImplementedError(f'{type(self).__name__} must define `rivals`')

    def loss(
        self, inputs: Mapping[str, Any], data_samples: Mapping[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """Return the method's terms and `independence_<i>` of every network."""
        t = self.step.iter
        if t > self.start and t % self.every == 0:
            self.independence.maximise(common_kernels(self.rivals()))
        losses = super().loss(inputs, data_samples)
        if t < (self.start // self.every + 1) * self.every:
            return losses
        values = self.with_gradient(self.independence(common_kernels(self.rivals())))
        total = losses['loss'] + self.coefficient * values.sum()
        terms = {f'independence_{i}': value for i, value in enumerate(values.detach())}
        return {**losses, 'loss': total, **terms}

    def with_gradient(self, values: Tensor) -> Tensor:
        """Return I of each network, detached where its network does not learn from it."""
        return values


@MODELS.register_module()
class CPSCauSSL(CauSSL, CPS):
    """CauSSL on cross pseudo supervision: the kernels of two students are kept independent.

    The cross term is on from iteration `cps_start` on, with `cps_weight` 0.3; see `CPS` for it.

    Args:
        cps_start: last iteration (from 0) without the cross term.
        **options: of `CauSSL` and `CPS`.
    """

    def __init__(self, *, cps_start: int = 400, **options: Unpack[CauSSLOnCPS]) -> None:
        options.setdefault('cps_weight', 0.3)
        super().__init__(**options)
        self.cps_start = cps_start

    def rivals(self) -> list[nn.Module]:
        """Return the students, in an order that does not depend on the config's."""
        return [self.students[name] for name in sorted(self.students)]

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return the cross terms, none at the beginning."""
        if step.iter <= self.cps_start:
            return {}
        return super().unsup_loss(batch, logits, targets, step)


@MODELS.register_module()
class MCCauSSL(CauSSL, SeveralHeads):
    """CauSSL on the mutual consistency of decoders: one encoder, several independent decoders.

    With the decoders' probabilities p_i on u_w (`MultiDecoderHead`)::

        L = sum_i L_x(p_i) + weight(t) sum_{i != j} mean (p_i - sharpen(p_j))^2 + c sum_i I(W_i)

    without a gradient through the sharpened side. Only kernels that all decoders have in the same
    shape take part; so upsampling, in which they differ, does not.

    Args:
        temperature: T of the sharpening.
        first_only: give the first decoder alone the gradient of its I, as the released code does
            (there both sides are detached for the other decoders).
        **options: of `CauSSL`.

    Raises:
        ValueError: parts overlap, over which this sharpening means nothing.
    """

    average = False

    def __init__(
        self,
        *,
        temperature: float = 0.5,
        first_only: bool = True,
        **options: Unpack[CauSSLOptions],
    ) -> None:
        options.setdefault('start', 40)
        super().__init__(**options)
        if not isinstance(self.label_space, ExclusiveClasses):
            raise ValueError(
                'MCCauSSL sharpens over exclusive classes, found label_space '
                f'{type(self.label_space).__name__}: leave label_space out'
            )
        self.temperature = temperature
        self.first_only = first_only

    def rivals(self) -> list[nn.Module]:
        """Return the decoders of the primary student."""
        head = self.students[self.primary].decode_head
        return [head, *getattr(head, 'others', ())]

    def with_gradient(self, values: Tensor) -> Tensor:
        """Return I of each decoder."""
        return torch.cat([values[:1], values[1:].detach()]) if self.first_only else values

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `mutual_<student>`."""
        terms = {}
        for name, views in logits.items():
            p = [self.label_space.prob(z) for z in views['u_w']]
            sharp = [sharpen_classes(p_i.detach(), self.temperature) for p_i in p]
            terms[f'mutual_{name}'] = mutual_distance(p, sharp)
        return terms
