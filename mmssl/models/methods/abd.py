"""ABD: parts of two views change places by confidence, on cross teaching and on BCP."""

from collections.abc import Callable

import torch
from torch import Tensor

from mmssl.models.displacement import Move, displace, replace_unsure, trouble_sure
from mmssl.models.methods.bcp import BCP
from mmssl.models.methods.cross_teaching import CrossTeaching
from mmssl.models.semi_segmentor import SemiSegmentor
from mmssl.registry import MODELS
from mmssl.structures import resize_nearest

VIEWS = {'x_w': 'x_s', 'y': 'y_s', 'u_w': 'u_s'}
"""What the second network gets in the place of what."""


class Displacement(SemiSegmentor):
    """Adaptive bidirectional displacement (CVPR 2024): what both of its forms have.

    Chi et al., https://arxiv.org/abs/2405.00378.

    The first network (`primary`) sees weak views, the second one strong views, which may have
    labels of their own (`y_s`, if a hole was cut into them). Of both views, cut into a grid of
    patches, the least sure patch is replaced by a sure one of the other view that is like it
    (`replace_unsure`); both networks see both displaced views and follow each other on them.

    Args:
        grid: patches in a row and in a column.
        top: number of sure patches among which the one that is most alike is taken.
        similar: share of the images for which that one is taken; the others take the surest.

    Raises:
        ValueError: there are other than two students, or fewer than `top` patches.
    """

    def __init__(
        self, *args, grid: int = 4, top: int = 4, similar: float = 1.0, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        if len(self.students) != 2:
            raise ValueError(f'{type(self).__name__} displaces patches between the views of two '
                             f'students, found {list(self.students)}')
        if not 1 <= top <= grid * grid:
            raise ValueError(f'top={top} must lie between 1 and the {grid * grid} patches')
        self.second = next(name for name in self.students if name != self.primary)
        self.grid, self.top, self.similar = grid, top, similar

    def show_strong(self, batch: dict) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
        """Give the second network its strong views, and return both views in both sizes.

        Raises:
            ValueError: the batch has no strong view.
        """
        both = {}
        for weak, strong in VIEWS.items():
            if strong not in batch and strong != 'y_s':
                kind = 'labelled' if strong == 'x_s' else 'unlabelled'
                raise ValueError(f'The batch has no view "{strong}": add a StrongView to '
                                 f'{kind}_pipeline.')
            other = batch.get(strong, batch[weak])
            both[weak] = {name: (batch[weak][name], other[name]) for name in self.students}
            batch[weak] = {**batch[weak], self.second: other[self.second]}
        return both

    def displaced(
        self, move: Callable[..., Move], logits: dict[str, Tensor], both: dict[str, tuple],
        where: Tensor | None = None, y: dict[str, tuple] | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return every student's logits on both displaced views, and their labels.

        Args:
            move: chooses the patches from both networks' scores.
            logits: of each network on its own view.
            both: weak and strong view at each student's size.
            where: which images change; all by default.
            y: labels of both views, where they move along.
        """
        scores = [self.label_space.class_scores(logits[name].detach())
                  for name in (self.primary, self.second)]
        patches = move(*scores, self.grid)

        def joined(views: tuple[Tensor, Tensor]) -> Tensor:
            return torch.cat(displace(*views, patches, self.grid, where))

        found = {name: self.forward_views(name, {'d': joined(both[name])})['d'] for name in both}
        return found, {name: joined(views) for name, views in (y or {}).items()}

    def replace_unsure(self, *args) -> Move:
        """Choose patches of unlabelled images (ABD-R)."""
        return replace_unsure(*args, top=self.top, similar=self.similar)

    def follow(self, term: str, logits: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `<term>_<student>`: each network on the other one's labels."""
        labels = {name: self.label_space.decide(self.label_space.prob(z.detach()))[1]
                  for name, z in logits.items()}
        other = {self.primary: self.second, self.second: self.primary}
        return {f'{term}_{name}': self.unsup_criterion(
            z, resize_nearest(labels[other[name]], z.shape[-2:])) for name, z in logits.items()}


@MODELS.register_module()
class ABDCrossTeaching(Displacement, CrossTeaching):
    """ABD over cross teaching, see `Displacement`.

    With views 1 (weak) and 2 (strong), `~` displaced views and the labels yhat_j of the other
    network on the same picture::

        L = sum_i L_x(f_i(x_i), y_i) + 2 L_x(f_i(x~), y~)
                + weight(t) [Dice(f_i(u_i), yhat_j) + Dice(f_i(u~), yhat_j)]

    In x~ (ABD-I), for half of the images, the surest patch of each view gives way to the least
    sure one of the other, with its label; the term ends after two thirds of the training.

    Args:
        trouble: weight of ABD-I.
        trouble_prob: share of the labelled images that are displaced.
        trouble_until: share of the training in which ABD-I counts.
        **kwargs: of `Displacement` and `CrossTeaching`.

    Raises:
        ValueError: `cutmix` is set.
    """

    def __init__(
        self, *args, trouble: float = 2.0, trouble_prob: float = 0.5,
        trouble_until: float = 2 / 3, **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if self.cutmix:
            raise ValueError('ABDCrossTeaching displaces patches in place of cutmix: remove cutmix')
        self.trouble, self.trouble_prob = trouble, trouble_prob
        self.trouble_until = trouble_until

    def student_views(self, batch: dict) -> dict[str, dict[str, Tensor]]:
        """Return weak views for the first network and strong ones for the second."""
        batch['both'] = self.show_strong(batch)
        return {'x_w': batch['x_w'], **super().student_views(batch)}

    def sup_loss(self, batch: dict) -> dict[str, Tensor]:
        """Return `sup_<student>`, and `trouble_<student>` on displaced labelled images."""
        terms, both = super().sup_loss(batch), batch['both']
        counts = self.iter <= self.trouble_until * self.max_iters
        x = both['x_w'][self.primary][0]
        where = torch.rand(len(x), device=x.device) < self.trouble_prob
        # when the term is over, the images still enter the statistics of BatchNorm, as published
        with torch.set_grad_enabled(counts and torch.is_grad_enabled()):
            logits, y = self.displaced(
                trouble_sure, {name: z['x_w'] for name, z in batch['logits'].items()},
                both['x_w'], where, both['y'])
        if counts:
            terms.update({f'trouble_{name}': self.trouble * self.criterion(
                z, self.label_space.encode(y[name])) for name, z in logits.items()})
        return terms

    def unsup_loss(self, batch: dict) -> dict[str, Tensor]:
        """Return the terms of cross teaching, and `displaced_<student>` on displaced images."""
        own = {name: z['u_w'] for name, z in batch['logits'].items()}
        logits, _ = self.displaced(self.replace_unsure, own, batch['both']['u_w'])
        return {**super().unsup_loss(batch), **self.follow('displaced', logits)}


@MODELS.register_module()
class ABDBCP(Displacement, BCP):
    """ABD over BCP, see `Displacement`.

    The pre-training is BCP's, of the first network alone; both start from its weights and
    optimiser state. Then, with m_1 and m_2 the mixed images of BCP made of weak and of strong
    views, pseudo-labels of both by the one teacher, which follows the first network, and one
    rectangle for both::

        L = sum_i L_BCP(f_i(m_i)) + Dice(f_i(m_i), yhat_j) + Dice(f_i(m~), yhat_j)

    For half of the images the most similar of the surest patches is taken, for the others the
    surest. There is no ramp, and ABD-I is not used.

    Args:
        unsup_criterion: loss of the networks on each other's labels.
        **kwargs: of `Displacement` and `BCP`.
    """

    def __init__(
        self, *args, similar: float = 0.5, unsup_criterion: dict | None = None, **kwargs
    ) -> None:
        super().__init__(*args, similar=similar, **kwargs)
        self.unsup_criterion = MODELS.build(
            unsup_criterion or dict(type='DiceCELoss', ce_weight=0, eps=1e-5))

    @property
    def pretrained(self) -> list[str]:
        """Names of the students that are pre-trained: the first one."""
        return [self.primary]

    def student_views(self, batch: dict) -> dict[str, dict[str, Tensor]]:
        """Return the mixed images, for the second network those of the strong views."""
        if self.iter >= self.pretrain_iters:
            self.show_strong(batch)
        batch['mixed'] = super().student_views(batch)
        return batch['mixed']

    def unsup_loss(self, batch: dict) -> dict[str, Tensor]:
        """Return the terms of BCP, and `cps_<student>` and `displaced_<student>`."""
        terms = super().unsup_loss(batch)
        if not terms:
            return terms
        own = {name: torch.cat([z['u'], z['x']]) for name, z in batch['logits'].items()}
        mixed = [torch.cat([batch['mixed'][view][name] for view in ('u', 'x')])
                 for name in (self.primary, self.second)]
        logits, _ = self.displaced(
            self.replace_unsure, own, dict.fromkeys(self.students, tuple(mixed)))
        return {**terms, **self.follow('cps', own), **self.follow('displaced', logits)}
