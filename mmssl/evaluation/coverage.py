"""Whether predictions hold anything at all: a score of 0 alone does not say so."""

from collections.abc import Mapping, Sequence

import numpy as np

PIECE = 2**22


def classes_in(class_map: np.ndarray) -> tuple[int, ...]:
    """Return the class ids that a class map has.

    Example:
        >>> classes_in(np.array([[0, 2], [2, 0]]))
        (0, 2)
    """
    flat = class_map.ravel()
    # Piece by piece, since bincount makes a number of eight bytes of each voxel.
    pieces = [flat[start : start + PIECE] for start in range(0, flat.size, PIECE)]
    return tuple(sorted({c for p in pieces for c in np.flatnonzero(np.bincount(p)).tolist()}))


def part_sizes(
    maps: Mapping[str, np.ndarray], parts: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, int]]:
    """Return how many pixels or voxels each part has in the truth and in each prediction.

    Args:
        maps: class maps; `gt` is the truth, which is called `truth` in the result.
        parts: part to its class ids.

    Example:
        >>> part_sizes({'gt': np.array([0, 1, 2, 2])}, {'cup': [1], 'disc': [1, 2]})
        {'truth': {'cup': 1, 'disc': 3}}
    """
    found = {}
    for name, classes in maps.items():
        counts = np.bincount(classes.ravel())
        found['truth' if name == 'gt' else name] = {
            part: int(sum(counts[i] for i in ids if i < len(counts))) for part, ids in parts.items()
        }
    return found


def nothing_predicted(items: Sequence[Mapping], parts: Mapping[str, Sequence[int]]) -> list[str]:
    """Return a line for each student, domain and part without a predicted pixel.

    Args:
        items: one for each image: `domain`, and `seen`, which has the classes of the truth (`gt`)
            and of each student's prediction.
        parts: part to its class ids.
    """
    lines = []
    for domain in dict.fromkeys(item['domain'] for item in items):
        own = [item['seen'] for item in items if item['domain'] == domain]
        found = {name: {c for seen in own for c in seen.get(name, ())} for name in own[0]}
        for part, classes in parts.items():
            if not found['gt'] & {*classes}:
                lines.append(
                    f'The truth of {domain} has no {part} in any of its {len(own)} images.'
                )
                continue
            lines += [
                f'Student "{student}" predicts no {part} in any of the {len(own)} images of '
                f'{domain}.'
                for student in found
                if student != 'gt' and not found[student] & {*classes}
            ]
    return lines
