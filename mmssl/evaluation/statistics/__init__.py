"""What is chance in a score: resampled cases, paired tests, stable ranks, calibration."""

from mmssl.evaluation.statistics.calibration import (
    Agreement,
    Reliability,
    bland_altman,
    calibration,
    reliability_of,
    reliability_sums,
)
from mmssl.evaluation.statistics.comparing import (
    CaseScores,
    Difference,
    Ranks,
    holm,
    merge,
    rank_stability,
    welch,
    wilcoxon,
)
from mmssl.evaluation.statistics.from_results import case_scores, identity, patient
from mmssl.evaluation.statistics.resampling import (
    bootstrap_means,
    interval,
    score_intervals,
    share_ahead,
)

__all__ = [
    'Agreement',
    'CaseScores',
    'Difference',
    'Ranks',
    'Reliability',
    'bland_altman',
    'bootstrap_means',
    'calibration',
    'case_scores',
    'holm',
    'identity',
    'interval',
    'merge',
    'patient',
    'rank_stability',
    'reliability_of',
    'reliability_sums',
    'score_intervals',
    'share_ahead',
    'welch',
    'wilcoxon',
]
