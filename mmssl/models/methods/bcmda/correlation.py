"""Bidirectional correlation maps: an image drawn anew with the pixels of another one."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmssl.utils.resize import LINEAR


def resize_corners(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize (N, C, ...) linearly with aligned corners."""
    return F.interpolate(x, size=size, mode=LINEAR[len(size)], align_corners=True)


def transport(values: Tensor, similarity: Tensor, normalise: str = 'target') -> Tensor:
    """Return at each place of a target the weighted sum of a source's values.

    Args:
        values: of the source, (C, S).
        similarity: of source and target, (S, T).
        normalise: over which places the weights of a pair are a softmax: `target`, as in the
            released code, where those of one target place need not sum to 1; or `source`.

    Returns:
        Values of the target, (C, T).

    Example:
        >>> similarity = torch.tensor([[0.0, 20.0], [0.0, 20.0]])
        >>> values = torch.tensor([[1.0, 3.0]])
        >>> transport(values, similarity).round().tolist()
        [[0.0, 4.0]]
        >>> transport(values, similarity, 'source').tolist()
        [[2.0, 2.0]]
    """
    return values @ similarity.softmax({'target': 1, 'source': 0}[normalise])


@torch.no_grad()
def redraw(
    images: tuple[Tensor, Tensor],
    features: tuple[Tensor, Tensor],
    size: tuple[int, ...],
    centre: float = 0.0,
    normalise: str = 'target',
) -> tuple[Tensor, Tensor]:
    """Return each of two images with the layout of itself and the grey values of the other.

    With f and g the features of both at a small size, S = f^T g / sqrt(D) and the images there,
    `x^ = clip(u softmax(S^T))` and `u^ = clip(x softmax(S))`, enlarged linearly. One pair after the
    other, as S has a row for every pixel of one and a column for every pixel of the other.

    Args:
        images: x and u, grey values 0 to 255, (N, C, ...) each.
        features: of both, (N, D, ...) each.
        size: of the maps.
        centre: grey value that stands for nothing where weights do not sum to 1.
        normalise: see `transport`.

    Returns:
        x^ and u^, 0 to 255, (N, C, ...) each, at the images' size.
    """
    whole = tuple(images[0].shape[2:])
    x, u = (resize_corners(image.float(), size).flatten(2) - centre for image in images)
    f, g = (resize_corners(z.float(), size).flatten(2) for z in features)
    redrawn: tuple[list[Tensor], list[Tensor]] = ([], [])
    for one_x, one_u, one_f, one_g in zip(x, u, f, g, strict=True):
        similarity = one_f.T @ one_g / f.shape[1] ** 0.5
        redrawn[0].append(transport(one_u, similarity.T, normalise))
        redrawn[1].append(transport(one_x, similarity, normalise))
    of_x, of_u = ((torch.stack(rows) + centre).clamp(0, 255) for rows in redrawn)
    shape = (*x.shape[:2], *size)
    return (
        resize_corners(of_x.view(shape), whole).clamp(0, 255),
        resize_corners(of_u.view(shape), whole).clamp(0, 255),
    )
