"""Patch displacement: parts of two views of an image change places by how sure networks are."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.strategies.pseudo_label import learn_from_others
from mmssl.structures import Batch


class Move(NamedTuple):
    """Which patches go where, numbers (N,) counted in reading order, see `displace`."""

    into1: Tensor
    from2: Tensor
    into2: Tensor
    from1: Tensor


def to_patches(x: Tensor, grid: int) -> Tensor:
    """Cut pictures (N, C, H, W) or label maps (N, H, W) into grid x grid patches, (N, K, D).

    Raises:
        ValueError: the grid does not divide the size.

    Example:
        >>> to_patches(torch.arange(8).view(1, 2, 4), 2).tolist()
        [[[0, 1], [2, 3], [4, 5], [6, 7]]]
    """
    height, width = x.shape[-2:]
    if grid < 1 or height % grid or width % grid:
        raise ValueError(
            f'A grid of {grid} x {grid} patches does not divide a picture of '
            f'{height} x {width} px: give a grid that does, or images of another size'
        )
    x = torch.unflatten(
        torch.unflatten(x, -1, (grid, -1)), -3, (grid, -1)
    )  # N [C] rows h columns w
    x = x.movedim((-4, -2), (1, 2)).flatten(1, 2)
    return x.flatten(2)


def from_patches(patches: Tensor, like: Tensor, grid: int) -> Tensor:
    """Put patches (N, K, D) together again, to the shape of `like`."""
    *rest, height, width = like.shape[1:]
    x = patches.reshape(-1, grid, grid, *rest, height // grid, width // grid)
    return x.movedim((1, 2), (-4, -2)).reshape(len(x), *rest, height, width)


def displace(
    x1: Tensor, x2: Tensor, move: Move, grid: int, where: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Copy a patch of each view into the other, one after the other.

    First patch `from2` of x2 goes to `into1` of x1, then `from1` of the x1 that results goes to
    `into2` of x2, in the order of the code released with ABD.

    Args:
        x1: pictures (N, C, H, W) or label maps (N, H, W).
        x2: another view of them.
        move: the patches.
        grid: patches in a row and in a column.
        where: which of the N pictures change, boolean; all by default.

    Raises:
        ValueError: the views differ in size.

    Example:
        >>> x1, x2 = torch.tensor([[[1, 2]] * 2]), torch.tensor([[[5, 6]] * 2])
        >>> zero, one, two, three = (torch.tensor([i]) for i in range(4))
        >>> [x.tolist() for x in displace(x1, x2, Move(zero, one, two, three), 2)]
        [[[[6, 2], [1, 2]]], [[[5, 6], [2, 6]]]]
    """
    if x1.shape != x2.shape:
        raise ValueError(
            f'Patches cannot move between views of {tuple(x1.shape)} and '
            f'{tuple(x2.shape)}: give both networks images of one size'
        )
    p1, p2 = to_patches(x1, grid), to_patches(x2, grid)
    p1 = _put(p1, move.into1, p2, move.from2, where)
    p2 = _put(p2, move.into2, p1, move.from1, where)
    return from_patches(p1, x1, grid), from_patches(p2, x2, grid)


def _put(
    target: Tensor, into: Tensor, source: Tensor, which: Tensor, where: Tensor | None
) -> Tensor:
    number = torch.arange(target.shape[1], device=target.device)
    here = number == into[:, None]
    if where is not None:
        here = here & where[:, None]
    patch = source[torch.arange(len(source), device=source.device), which]
    return torch.where(here[..., None], patch[:, None], target)


def patch_confidence(scores: Tensor, grid: int) -> Tensor:
    """Return the mean of the highest probability over every patch, (N, K).

    Args:
        scores: logits of exclusive classes (N, C, H, W).
        grid: patches in a row and in a column.
    """
    return to_patches(scores.softmax(1).amax(1), grid).mean(2)


def replace_unsure(
    scores1: Tensor, scores2: Tensor, grid: int, top: int = 4, similar: float = 1.0
) -> Move:
    """Choose patches of unlabelled views: the least sure one gives way to a sure one (ABD-R).

    b and d are the least sure patches of views 1 and 2. In place of b comes, of the `top` surest
    patches of view 2, the one whose mean logits have the distribution nearest to b's,
    `KL(softmax(m1[b]) | softmax(m2[c]))`; in place of d that of view 1 nearest to d's.

    Args:
        scores1: logits of exclusive classes (N, C, H, W) on view 1.
        scores2: logits on view 2.
        grid: patches in a row and in a column.
        top: number of sure patches to choose among.
        similar: share of the pictures for which the nearest is taken; the others take the surest.
    """
    sure1, sure2 = patch_confidence(scores1, grid), patch_confidence(scores2, grid)
    mean1, mean2 = (
        torch.unflatten(to_patches(x, grid), 2, (x.shape[1], -1)).mean(3)
        for x in (scores1, scores2)
    )
    b, d = sure1.argmin(1), sure2.argmin(1)
    c, a = nearest(mean1, b, mean2, sure2, top), nearest(mean2, d, mean1, sure1, top)
    if similar < 1:
        take = torch.rand(len(a), device=a.device) < similar
        c, a = torch.where(take, c, sure2.argmax(1)), torch.where(take, a, sure1.argmax(1))
    return Move(into1=b, from2=c, into2=d, from1=a)


def nearest(own: Tensor, unsure: Tensor, other: Tensor, sure: Tensor, top: int) -> Tensor:
    """Return which of the other view's `top` surest patches is like this view's unsure one, (N,).

    Args:
        own: mean logits (N, K, C) of the patches of this view.
        unsure: number of its unsure patch (N,).
        other: mean logits of the other view's patches.
        sure: confidence (N, K) of the other view's patches.
        top: number of patches to choose among.
    """
    rows = torch.arange(len(own), device=own.device)
    candidates = sure.topk(top, dim=1).indices
    q = own[rows, unsure].log_softmax(-1)[:, None]
    p = other[rows[:, None], candidates].log_softmax(-1)
    divergence = (q.exp() * (q - p)).sum(-1)
    return candidates[rows, divergence.argmin(1)]


def trouble_sure(scores1: Tensor, scores2: Tensor, grid: int) -> Move:
    """Choose patches of labelled views: the surest one gives way to the least sure (ABD-I)."""
    sure1, sure2 = patch_confidence(scores1, grid), patch_confidence(scores2, grid)
    return Move(
        into1=sure1.argmax(1), from2=sure2.argmin(1), into2=sure2.argmax(1), from1=sure1.argmin(1)
    )


class DisplacementOptions(Options, total=False):
    """What `Displacement` takes."""

    grid: int
    top: int
    similar: float


class Seen(NamedTuple):
    """What two networks see.

    Attributes:
        batch: the batch, in which the second network has its strong views.
        both: view to student to weak and strong view at its size.
    """

    batch: Batch
    both: dict[str, dict[str, tuple[Tensor, Tensor]]]


class Displacement(SemiSegmentor):
    """The base of methods whose two networks see parts of each other's views.

    Chi et al., Adaptive Bidirectional Displacement for Semi-Supervised Medical Image Segmentation
    (ABD, CVPR 2024), https://arxiv.org/abs/2405.00378.

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
        self,
        *,
        grid: int = 4,
        top: int = 4,
        similar: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if len(self.students) != 2:
            raise ValueError(
                f'{type(self).__name__} displaces patches between the views of two '
                f'students, found {list(self.students)}'
            )
        if not 1 <= top <= grid * grid:
            raise ValueError(f'top={top} must lie between 1 and the {grid * grid} patches')
        self.second = next(name for name in self.students if name != self.primary)
        self.grid, self.top, self.similar = grid, top, similar

    def show_strong(self, batch: Batch) -> Seen:
        """Give the second network its strong views and their labels, in a batch of its own."""
        seen, both = Batch(batch), {}
        for weak, strong in {'x_w': 'x_s', 'y': 'y_s', 'u_w': 'u_s'}.items():
            other = batch.get(strong, batch['y']) if weak == 'y' else batch[strong]
            both[weak] = {name: (batch[weak][name], other[name]) for name in self.students}
            seen[weak] = {**batch[weak], self.second: other[self.second]}
        return Seen(seen, both)

    def displaced(
        self,
        move: Callable[..., Move],
        logits: dict[str, Tensor],
        both: dict[str, tuple[Tensor, Tensor]],
        where: Tensor | None = None,
        y: dict[str, tuple[Tensor, Tensor]] | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return every student's logits on both displaced views, and their labels.

        Args:
            move: chooses the patches from both networks' scores.
            logits: of each network on its own view.
            both: weak and strong view at each student's size.
            where: which images change; all by default.
            y: labels of both views, where they move along.

        Raises:
            ValueError: the images are volumes.
        """
        if logits[self.primary].dim() != 4:
            raise ValueError(
                f'{type(self).__name__} displaces patches of slices, found volumes '
                f'{tuple(logits[self.primary].shape)}: set sample="slice" in the data set, or take '
                'another method'
            )
        scores = [
            self.label_space.class_scores(logits[name].detach())
            for name in (self.primary, self.second)
        ]
        patches = move(*scores, self.grid)

        def joined(views: tuple[Tensor, Tensor]) -> Tensor:
            return torch.cat(displace(*views, patches, self.grid, where))

        found = {name: self.forward_views(name, {'d': joined(both[name])})['d'] for name in both}
        return found, {name: joined(views) for name, views in (y or {}).items()}

    def replace_unsure(self, scores1: Tensor, scores2: Tensor, grid: int) -> Move:
        """Choose patches of unlabelled images (ABD-R)."""
        return replace_unsure(scores1, scores2, grid, top=self.top, similar=self.similar)

    def follow(self, term: str, logits: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `<term>_<student>`: each network on the other one's labels."""
        labels = {name: self.label_space.harden(z) for name, z in logits.items()}
        losses = learn_from_others(logits, labels, self.unsup_criterion)
        return {f'{term}_{name}': loss for name, loss in losses.items()}
