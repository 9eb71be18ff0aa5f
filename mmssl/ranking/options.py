"""The options of the command line that say how cases are ranked."""

import argparse
from collections.abc import Sequence

from mmssl.utils.config.options import at_least

MEASURES = ('disagreement', 'entropy', 'distance')
SLICES = ('mean', 'top', 'max')


def add_ranking_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options, without importing what ranks."""
    add = parser.add_argument
    add(
        '--measures',
        nargs='+',
        metavar='NAME[=WEIGHT]',
        help=f'what makes the score: {", ".join(MEASURES)} (default: all that there are, alike)',
    )
    add(
        '--slices',
        choices=SLICES,
        default='top',
        help='the value of a case: mean of its images, of their highest quarter (default), highest',
    )
    add(
        '--diversity',
        type=at_least(1),
        default=3,
        metavar='K',
        help='take cases far apart among the K times N highest scores (default 3); 1 takes the '
        'highest',
    )
    add('--balance', action='store_true', help='share the N out evenly to the domains')


def parse_measures(words: Sequence[str] | None) -> dict[str, float] | None:
    """Read `NAME[=WEIGHT]`; None where nothing is given.

    Raises:
        ValueError: there is no such measure, or its weight is no number above 0.

    Example:
        >>> parse_measures(['entropy=2', 'distance'])
        {'entropy': 2.0, 'distance': 1.0}
    """
    if words is None:
        return None
    weights = {}
    for word in words:
        name, _, weight = word.partition('=')
        if name not in MEASURES:
            raise ValueError(f'There is no measure "{name}" (known: {", ".join(MEASURES)})')
        try:
            weights[name] = float(weight or 1)
        except ValueError:
            weights[name] = 0.0
        if not 0 < weights[name] < float('inf'):
            raise ValueError(f'--measures "{word}" must be NAME=NUMBER, as in entropy=2')
    return weights
