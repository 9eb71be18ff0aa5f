"""Which networks of a model are asked, how often, and what they say together."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmssl.structures import Predicting

TURNS: dict[str, tuple[tuple[int, bool], ...]] = {
    'none': ((0, False),),
    'flips': ((0, False), (0, True), (2, False), (2, True)),
    'turns': tuple((quarter, False) for quarter in range(4)),
    'all': tuple((quarter, flip) for quarter in range(4) for flip in (False, True)),
}
"""Name to the ways in which an image is turned: quarter turns, and whether it is mirrored first."""


MIRRORS = tuple(axes for number in range(4) for axes in combinations((-3, -2, -1), number))
"""Axes along which a whole volume is mirrored, in all combinations."""


class Network(NamedTuple):
    """A student of a model, or its teacher."""

    name: str
    teacher: bool = False


def choose_networks(
    model: Predicting, student: str | None = None, teacher: bool = False, ensemble: bool = False
) -> list[Network]:
    """Return the networks that are asked; nothing else of the model runs.

    Args:
        model: of `init_model`.
        student: name of a prediction, see `SemiSegmentor.outputs`; None is the model's first.
        teacher: ask teachers in place of students.
        ensemble: ask all students, or all teachers; their probabilities are averaged.

    Raises:
        ValueError: there is no such student or teacher, or nothing to make an ensemble of.
    """
    teachers, outputs = [*getattr(model, 'teachers', ())], list(model.outputs)
    students = [*dict.fromkeys([*outputs, *getattr(model, 'image_students', ())])]
    known = f'students: {", ".join(students)}; teachers: {", ".join(teachers) or "none"}'
    if ensemble and student is not None:
        raise ValueError(f'An ensemble is of all students: leave out student="{student}".')
    if student is not None and student not in students:
        raise ValueError(f'The model has no student "{student}" ({known}).')
    if teacher and not teachers:
        raise ValueError(f'The model has no teacher ({known}): ask its student.')
    if ensemble:
        names = teachers if teacher else [*getattr(model, 'image_students', ())]
        if len(names) < 2:
            raise ValueError(f'There are no two networks for an ensemble ({known}).')
        return [Network(name, teacher) for name in names]
    if teacher:
        name = student or (outputs[0] if outputs[0] in teachers else teachers[0])
        if name not in teachers:
            raise ValueError(f'Student "{name}" has no teacher ({known}).')
        return [Network(name, True)]
    return [Network(student or outputs[0])]


def all_networks(model: Predicting) -> list[Network]:
    """Return every student and teacher of a model."""
    students = getattr(model, 'image_students', None) or model.outputs
    return [
        *(Network(name) for name in students),
        *(Network(name, True) for name in getattr(model, 'teachers', ())),
    ]


def ask(
    model: Predicting, data: Mapping[str, Any], networks: Sequence[Network], tta: str = 'none'
) -> dict[Network, list[Tensor]]:
    """Return what each network says of each image: scores or log-probabilities (C, h, w).

    The highest is predicted, the softmax gives probabilities. With test-time augmentation they
    are the logarithm of the mean of the probabilities over the turned images.

    Args:
        model: of `init_model`.
        data: a batch as the preprocessor gives it at test time.
        networks: who is asked.
        tta: name of `TURNS`.

    Raises:
        ValueError: images that are not square are to be turned.
    """
    found: dict[Network, list[Tensor]] = {}
    changes = _changes(data['inputs'], tta)
    for network in networks:
        total: list[Tensor] = []
        for change, back in changes:
            inputs = _each(data['inputs'], change)
            scores = model.scores(inputs, data['data_samples'], network.name, network.teacher)
            if len(changes) == 1:
                total = [*scores]
                break
            # Summed as they come: the probabilities of a volume are large.
            probs = [back(one).float().softmax(0) for one in scores]
            total = [a.add_(b) for a, b in zip(total, probs, strict=True)] if total else probs
        if len(changes) > 1:
            total = [one.div_(len(changes)).log_() for one in total]
        found[network] = total
    return found


Change = Callable[[Tensor], Tensor]


def _changes(inputs: Any, tta: str) -> list[tuple[Change, Change]]:
    """Return the ways in which images are changed, and how what is said of them is put back.

    Raises:
        ValueError: whole volumes are to be turned.
    """
    if tta == 'none':
        return [(lambda x: x, lambda x: x)]
    first = next(iter(inputs.values() if isinstance(inputs, Mapping) else inputs))
    if not isinstance(inputs, Mapping) or first.dim() == 4:
        return [
            (partial(turn, quarter=q, flip=f), partial(turn_back, quarter=q, flip=f))
            for q, f in TURNS[tta]
        ]
    if tta != 'flips':
        raise ValueError(
            f'tta="{tta}" turns images by a quarter, and whole volumes are not: use tta="flips".'
        )
    return [(partial(torch.flip, dims=axes), partial(torch.flip, dims=axes)) for axes in MIRRORS]


def turn(x: Tensor, quarter: int, flip: bool) -> Tensor:
    """Mirror the columns if asked, then turn the last two axes.

    Raises:
        ValueError: an image that is not square is to be turned by an odd number of quarters.
    """
    if quarter % 2 and x.shape[-1] != x.shape[-2]:
        raise ValueError(
            f'Images of {x.shape[-2]} x {x.shape[-1]} are not square, so that they cannot be '
            'turned: use tta="flips".'
        )
    return torch.rot90(x.flip(-1) if flip else x, quarter, (-2, -1))


def turn_back(x: Tensor, quarter: int, flip: bool) -> Tensor:
    """Undo `turn`."""
    x = torch.rot90(x, -quarter, (-2, -1))
    return x.flip(-1) if flip else x


def _each(inputs: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(inputs, Mapping):
        return {name: change(x) for name, x in inputs.items()}
    return [change(x) for x in inputs]


def mean_of(probs: Sequence[Tensor]) -> Tensor:
    """Return the mean of class probabilities, (C, h, w) each."""
    return probs[0] if len(probs) == 1 else torch.stack([*probs]).mean(0)


def entropy(prob: Tensor) -> Tensor:
    """Return the entropy (h, w) of class probabilities (C, h, w), 1 where all are equal.

    Example:
        >>> entropy(torch.tensor([1.0, 0.5, 0.5, 0.0]).view(2, 1, 2).flip(2)).shape
        torch.Size([1, 2])
    """
    return torch.special.entr(prob).sum(0).clamp_min(0) / math.log(max(len(prob), 2))


def disagreement(probs: Sequence[Tensor]) -> Tensor:
    """Return how far networks disagree, (h, w), from 0 to 1.

    It is the Jensen-Shannon divergence of their probabilities (C, h, w), the entropy of the mean
    less the mean of the entropies, over its largest value, the logarithm of the smaller of the
    number of networks and of classes (Lin, IEEE Trans. Inf. Theory 37, 1991).
    """
    classes = len(probs[0])
    gain = entropy(mean_of(probs)) - mean_of([entropy(prob) for prob in probs])
    most = math.log(min(len(probs), max(classes, 2))) / math.log(max(classes, 2))
    return (gain / most).clamp(0, 1)
