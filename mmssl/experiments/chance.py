"""Which differences between the rows of a table are more than chance."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mmssl.evaluation.statistics import CaseScores, Difference

MARK = '≈'

Tested = tuple[Sequence[Mapping[str, Any]], str]
"""The `images` of a file of results, and the student whose scores count."""


class Chance(NamedTuple):
    """What can be said of the rows of a table beyond their means.

    Attributes:
        metric: the score that is compared.
        intervals: of each row, over patients.
        best: name of the row with the best mean.
        differences: the best against every other row.
    """

    metric: str
    intervals: dict[str, tuple[float, float]]
    best: str
    differences: 'list[Difference]'

    @property
    def title(self) -> str:
        """The title of the column of intervals."""
        return f'{self.metric}, 95 % over patients'

    def cell(self, name: str) -> str:
        """Return the interval of a row, with a mark where it may be as good as the best."""
        if name not in self.intervals:
            return '-'
        low, high = self.intervals[name]
        alike = {one.name for one in self.differences if one.by_chance}
        return f'{low:.2f} to {high:.2f}' + f' {MARK}' * (name in alike)

    def words(self) -> list[str]:
        """Say what the column means, and how the best compares with each other row."""
        said = (
            f'{self.title}: bootstrap interval, patients drawn anew within each domain; it does '
            'not contain the spread of trainings.'
        )
        if not self.differences:
            return [said]
        legend = (
            f'{MARK}: within chance of the best, {self.best} (paired bootstrap, Wilcoxon with '
            "Holm's correction and, where both have several trainings, Welch's t test)."
        )
        return [said, legend, *(one.words(self.best) for one in self.differences)]

    def line(self, domain: str) -> str:
        """Say in a line how the rows compare on one domain."""
        alike = [one.name for one in self.differences if one.by_chance]
        behind = [one.name for one in self.differences if not one.by_chance]
        parts = [f'within chance of it {", ".join(alike)}'] if alike else []
        parts += [f'behind by more than chance {", ".join(behind)}'] if behind else []
        return f'On {domain} alone {self.best} is best; {"; ".join(parts)}.'

    def content(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            'metric': self.metric,
            'intervals': self.intervals,
            'best': self.best,
            'differences': [
                {**one._asdict(), 'by_chance': one.by_chance} for one in self.differences
            ],
        }


def find_chance(methods: Mapping[str, Sequence[Tested]], metric: str) -> Chance | None:
    """Compare the rows of a table on the images that all have.

    Args:
        methods: name of each row to its trainings; rows without any are left out.
        metric: which score.

    Returns:
        None where there are no scores of single images, or no common ones.
    """
    from mmssl.evaluation.statistics import case_scores  # heavy

    scores = case_scores({k: runs for k, runs in methods.items() if runs}, metric)
    return None if scores is None else chance_of(scores, metric)


def chance_of(scores: 'CaseScores', metric: str) -> Chance | None:
    """Compare the rows of a table; None where there is no number.

    Args:
        scores: of the rows on the same images.
        metric: which score it is.
    """
    from mmssl.evaluation.statistics import interval  # heavy

    draws, means = scores.draws(), scores.means()
    order = sorted(range(len(means)), key=lambda i: -means[i] if scores.greater else means[i])
    order = [i for i in order if means[i] == means[i]]
    if not order:
        return None
    best = scores.names[order[0]]
    intervals = {name: interval(draws[:, i]) for i, name in enumerate(scores.names)}
    differences = scores.differences(best, draws) if len(scores.names) > 1 else []
    return Chance(metric, intervals, best, differences)


def by_domain(methods: Mapping[str, Sequence[Tested]], metric: str) -> dict[str, Chance]:
    """Compare the rows on each domain alone, where there are several.

    Args:
        methods: name of each row to its trainings.
        metric: which score.
    """
    images = [image for runs in methods.values() for found, _ in runs for image in found]
    domains = list(dict.fromkeys(str(image['domain']) for image in images))
    found = {}
    for domain in domains if len(domains) > 1 else ():
        own = {
            name: [
                ([one for one in images if one['domain'] == domain], who) for images, who in runs
            ]
            for name, runs in methods.items()
        }
        chance = find_chance(own, metric)
        if chance is not None:
            found[domain] = chance
    return found
