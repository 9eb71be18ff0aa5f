"""Published numbers, read from the metafiles next to the configs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import MessageHub


def load_published(method: str, dataset: str, labels: int | None = None) -> dict[str, dict]:
    """Read a method's published numbers on a data set.

    Args:
        method: folder of the method under `configs`, e.g. `synfoc`.
        dataset: name of the data set in the metafile, e.g. `prostate`.
        labels: number of labelled images; None takes all, unless the tables have several counts.

    Returns:
        For each student `mean` (metric name to value, the mean over the labelled domains),
        `labelled` (labelled domain to its DSC in percent: a number, or part to number) and
        `labels`. Empty where the metafile is not there, has no such entry, or has several of
        which none is asked for.

    Example:
        >>> load_published('no_such_method', 'prostate')
        {}
    """
    path = _metafile(method)
    if path is None:
        return {}
    import yaml

    found: dict[str, dict] = {}
    counts = set()
    for model in yaml.safe_load(path.read_text(encoding='utf-8')).get('Models', []):
        for result in model.get('Results', []):
            student, count = result.get('Student'), result.get('Labelled Images')
            fits = result.get('Dataset') == dataset and labels in (None, count)
            if fits and student is not None:
                counts.add(count)
                found[student] = {
                    'mean': dict(result.get('Metrics', {})),
                    'labelled': dict(result.get('Labelled Domain DSC', {})),
                    'labels': count,
                }
    return found if len(counts) == 1 else {}


def published_dsc(
    spec: str | Mapping[str, Any] | None, dataset: str | None = None
) -> dict[str, dict]:
    """Find the published DSC that a run with this labelled domain can be compared with.

    What the run says of itself comes from the message hub, where `SummaryHook` notes it.

    Args:
        spec: the method; or `method`, and optionally `dataset`, `labels`, `labelled_domain`. None
            takes the `published` of the run. What the run says about its labels (`labelled`) goes
            before `labels` and `labelled_domain`.
        dataset: name of the data set under test, used where `spec` names none.

    Returns:
        For each student `dsc` (percent, mean over the parts and over the test sets of all
        domains), `parts` (part to DSC, may be empty), `labelled_domain` and `labels`.
    """
    hub = MessageHub.get_current_instance()
    spec = spec or hub.get_info('published')
    if not spec:
        return {}
    spec = dict(method=spec) if isinstance(spec, str) else spec
    labelled = hub.get_info('labelled') or {}
    domain = labelled.get('domain') or spec.get('labelled_domain')
    labels = labelled.get('count') or spec.get('labels')
    numbers = load_published(spec['method'], spec.get('dataset') or dataset or '', labels)
    found = {}
    for student, entry in numbers.items():
        value = entry['labelled'].get(domain)
        if value is None:
            continue
        parts = dict(value) if isinstance(value, Mapping) else {}
        mean = sum(parts.values()) / len(parts) if parts else float(value)
        found[student] = {
            'dsc': round(mean, 2),
            'parts': parts,
            'labelled_domain': domain,
            'labels': entry['labels'],
        }
    return found


def _metafile(method: str) -> Path | None:
    """Return the metafile of a method in the installed package or in a source checkout."""
    package = Path(__file__).resolve().parents[1]
    for root in (package / '.mim' / 'configs', package.parent / 'configs'):
        path = root / method / 'metafile.yml'
        if path.is_file():
            return path
    return None
