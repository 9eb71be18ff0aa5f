"""Published numbers of every method on the data set of a report."""

from collections.abc import Sequence
from typing import Any

from mmssl.evaluation.published import load_published
from mmssl.reports.gather import Method
from mmssl.utils.packaged import CONFIGS


def published_rows(methods: Sequence[Method]) -> list[dict[str, Any]]:
    """Return a row for each student of each metafile that has the data set, best DSC first.

    Where a metafile has several numbers of labels, that of the runs is taken.

    Returns:
        `name`, and `mean` (metric to number).
    """
    runs = [run for method in methods for run in method.runs]
    dataset = next((run.result.get('dataset') for run in runs if run.result.get('dataset')), None)
    if dataset is None:
        return []
    labels = next((n for run in runs if isinstance(n := run.setting(LABELS), int)), None)
    rows = []
    for folder in sorted(path.parent.name for path in CONFIGS.glob('*/metafile.yml')):
        found = load_published(folder, dataset, labels) or load_published(folder, dataset)
        for student, entry in found.items():
            name = f'{folder}, {student} ({entry["labels"]} labels)'
            rows.append({'name': name, 'mean': entry['mean']})
    return sorted(rows, key=lambda row: -row['mean'].get('DSC', 0))


LABELS = 'train_dataloader.dataset.labelled.num'
