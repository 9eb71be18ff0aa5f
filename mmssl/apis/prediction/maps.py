"""From what networks say of an image to its maps: classes, probabilities, uncertainty."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mmssl.apis.prediction.networks import Network, disagreement, entropy, mean_of
from mmssl.apis.prediction.wishes import Wishes
from mmssl.utils.resize import best_class, classes_at, planes_at, resize_linear, resize_nearest

Maps = dict[str, tuple[Tensor, type]]
"""Name to a map and its type in numpy: `classes` and those that are wished."""


def maps_of(
    scores: Mapping[Network, Tensor],
    size: tuple[int, ...],
    asked: Sequence[Network],
    others: Sequence[Network],
    wishes: Wishes,
) -> Maps:
    """Return class ids, uint8 (*size), and the other maps that are asked for, float16.

    Args:
        scores: what each network says, (C, ...).
        size: of the image, (H, W), or (D, H, W) of a whole volume.
        asked: the networks whose mean counts.
        others: those that may disagree.
        wishes: how.
    """
    more = wishes.probabilities or wishes.uncertainty
    if len(asked) == 1 and not more and (len(size) == 3 or not wishes.smooth):
        return {'classes': (classes_at(scores[asked[0]][None], size)[0], np.uint8)}
    of = _of_volume if len(size) == 3 else _of_slice
    return of(scores, size, asked, others, wishes)


def _of_slice(
    scores: Mapping[Network, Tensor],
    size: tuple[int, ...],
    asked: Sequence[Network],
    others: Sequence[Network],
    wishes: Wishes,
) -> Maps:
    """Return the maps of a slice: made at the size of the networks, then brought to the image's."""
    # Networks of several sizes meet at that of the largest.
    largest = max((one.shape[-2:] for one in scores.values()), key=np.prod)
    probs = {
        network: resize_linear(one.softmax(0)[None], largest)[0] for network, one in scores.items()
    }
    prob = mean_of([probs[network] for network in asked])
    if wishes.smooth:
        classes = resize_linear(prob[None], size)[0].argmax(0)
    else:
        best = (scores[asked[0]] if len(asked) == 1 else prob).argmax(0)
        classes = resize_nearest(best[None], size)[0]
    found: Maps = {'classes': (classes.to(torch.uint8), np.uint8)}
    for name, one in _more(probs, prob, others, wishes).items():
        values = one if name == 'probabilities' else one[None]
        resized = resize_linear(values[None], size)[0]
        found[name] = (resized if name == 'probabilities' else resized[0], np.float16)
    return found


def _of_volume(
    scores: Mapping[Network, Tensor],
    size: tuple[int, ...],
    asked: Sequence[Network],
    others: Sequence[Network],
    wishes: Wishes,
) -> Maps:
    """Return the maps of a whole volume, made a few planes at a time at the image's size."""
    found: dict[str, Tensor] = {}
    streams = [planes_at(one[None], size, lambda some: some.softmax(1)) for one in scores.values()]
    for pieces in zip(*streams, strict=True):
        planes = pieces[0][0]
        probs = {network: one[0] for network, (_, one) in zip(scores, pieces, strict=True)}
        prob = mean_of([probs[network] for network in asked])
        maps = {'classes': best_class(prob[None])[0], **_more(probs, prob, others, wishes)}
        for name, one in maps.items():
            if name not in found:
                dtype = torch.uint8 if name == 'classes' else torch.float16
                found[name] = torch.empty((*one.shape[:-3], *size), dtype=dtype)
            found[name][..., planes, :, :] = one
    return {n: (one, np.uint8 if n == 'classes' else np.float16) for n, one in found.items()}


def _more(
    probs: Mapping[Network, Tensor], prob: Tensor, others: Sequence[Network], wishes: Wishes
) -> dict[str, Tensor]:
    """Return the maps that are asked for besides the classes."""
    found = {'probabilities': prob} if wishes.probabilities else {}
    if wishes.uncertainty:
        found['entropy'] = entropy(prob)
        if len(others) > 1:
            found['disagreement'] = disagreement([probs[other] for other in others])
    return found
