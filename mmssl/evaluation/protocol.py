"""How the numbers of a table came about, in words, and by which config."""

import hashlib
import re
from collections.abc import Collection
from typing import TypedDict

from mmssl.evaluation.domain_table import SELECTIONS


class Conventions(TypedDict):
    """What counts where a mask is empty, see `binary_metrics`."""

    empty: str
    both_empty: str
    worst: float


def protocol_text(
    per: str,
    unit: str,
    conventions: Conventions,
    selection: str | None,
    shapes: Collection[tuple[int, ...]],
) -> str:
    """Return what stands under a table of `DomainMetric`, whose options these are.

    Args:
        per: what is scored.
        unit: of the distances.
        conventions: what counts where a mask is empty.
        selection: how the checkpoint was chosen; None says nothing of it.
        shapes: sizes of the masks that were compared.
    """
    size = 'x'.join(map(str, next(iter(shapes)))) if len(shapes) == 1 else 'their own size'
    grid = 'pixels' if per == 'slice' else 'voxels, the step between slices counting 1'
    worst = f'{conventions["worst"]:g}'
    empty = {
        'worst': f'overlap 0 and distances {worst}',
        'zero': 'overlap and distances 0',
        'nan': 'overlap 0, distances left out',
    }[conventions['empty']]
    both = {'as_empty': 'the same', 'perfect': 'overlap 1 and distances 0', 'nan': 'left out'}[
        conventions['both_empty']
    ]
    text = (
        f'per {per} at {size}; HD95 and ASD in {"mm" if unit == "mm" else grid}; ASD from '
        f'prediction to truth; one mask empty: {empty}; both empty: {both}'
    )
    return f'{text}; checkpoint: {SELECTIONS[selection]}' if selection else text


def config_hash(text: str | None) -> str | None:
    """Return the SHA-256 of a config's text without the lines that only say where it ran."""
    if not text:
        return None
    where = re.compile(r'^(work_dir|load_from|resume|launcher|log_level) = .*\n?', re.MULTILINE)
    return hashlib.sha256(where.sub('', text).encode()).hexdigest()
