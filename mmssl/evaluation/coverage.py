"""Whether predictions hold anything at all: a score of 0 alone does not say so."""

from collections.abc import Mapping, Sequence

import numpy as np

PIECE = 2**22


def class_counts(class_map: np.ndarray) -> np.ndarray:
    """Return how many pixels or voxels each class id has in a class map.

    Example:
        >>> class_counts(np.array([[0, 2], [2, 0]])).tolist()
        [2, 0, 2]
    """
    flat = class_map.ravel()
    total = np.zeros(1, np.int64)
    # Piece by piece, since bincount makes a number of eight bytes of each voxel.
    for start in range(0, flat.size, PIECE):
        counts = np.bincount(flat[start : start + PIECE], minlength=len(total))
        total = counts + np.pad(total, (0, len(counts) - len(total)))
    return total


def part_sizes(
    counts: Mapping[str, np.ndarray], parts: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, int]]:
    """Return how many pixels or voxels each part has in the truth and in each prediction.

    Args:
        counts: pixels of each class; those of `gt` are the truth's, called `truth` in the result.
        parts: part to its class ids.

    Example:
        >>> part_sizes({'gt': np.array([1, 1, 2])}, {'cup': [1], 'disc': [1, 2]})
        {'truth': {'cup': 1, 'disc': 3}}
    """
    return {
        'truth' if name == 'gt' else name: {
            part: int(sum(own[i] for i in ids if i < len(own))) for part, ids in parts.items()
        }
        for name, own in counts.items()
    }


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
