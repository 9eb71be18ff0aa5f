"""Labelled cases that are kept out of training, to tune on; test data stay closed."""

from collections.abc import Mapping
from typing import Any, NamedTuple

TRANSFORMS = ('prepare', 'head', 'pipeline', 'labelled_pipeline', 'unlabelled_pipeline')


class HeldOut(NamedTuple):
    """Which labelled cases are not trained on.

    Attributes:
        labelled: option `labelled` of the training set, with the other cases alone.
        holdout: option `holdout` of training and validation set.
        words: what they are, for a reader.
    """

    labelled: dict[str, Any]
    holdout: dict[str, Any]
    words: str


def hold_out(cfg: Mapping[str, Any], share: float, seed: int) -> HeldOut:
    """Choose among the labelled cases of a config; no label beyond these is used.

    A config whose training set has a `holdout` keeps it. Else a share of the cases of which all
    images are labelled, at least one, is held out, of the domain with the most such cases.

    Args:
        cfg: a whole config.
        share: of the cases.
        seed: of the choice.

    Raises:
        ValueError: there are too few cases.
    """
    from mmssl.datasets.files.ordering import shuffled
    from mmssl.registry import DATASETS

    given = cfg['train_dataloader']['dataset']
    labelled = dict(given.get('labelled') or {})
    if given.get('holdout'):
        return HeldOut(labelled, dict(given['holdout']), f'holdout={dict(given["holdout"])}')
    options = {key: value for key, value in given.items() if key not in TRANSFORMS}
    dataset = DATASETS.build({**options, 'cache': False})
    images: dict[tuple[str, str], list] = {}
    for sample in dataset.samples:
        images.setdefault((sample.domain, sample.case), []).append(sample)
    known = [key for key, found in images.items() if any(one.labelled for one in found)]
    whole: dict[str, list[str]] = {}
    for domain, case in known:
        if all(one.labelled for one in images[domain, case]):
            whole.setdefault(domain, []).append(case)
    if not whole or len(known) < 2:
        raise ValueError(
            f'--tune needs two labelled cases, of which one can be held out; of {len(known)} '
            f'labelled case(s) {sum(map(len, whole.values()))} are labelled in whole. Label more, '
            'or give train_dataloader.dataset a holdout'
        )
    domain = max(whole, key=lambda name: len(whole[name]))
    count = min(max(1, round(share * len(whole[domain]))), len(known) - 1)
    held = sorted(shuffled(sorted(whole[domain]), seed)[-count:])
    several = labelled.get('domain') == 'all'
    kept = [
        f'{one.domain}/{one.name}' if several else one.name
        for one in dataset.samples
        if one.labelled and not (one.domain == domain and one.case in held)
    ]
    where = {key: labelled[key] for key in ('domain',) if labelled.get(key) is not None}
    shown = ', '.join(held[:6]) + (f' and {len(held) - 6} more' if len(held) > 6 else '')
    return HeldOut(
        {**where, 'list': kept},
        {'cases': held, 'domains': [domain]},
        f'{len(held)} of {len(known)} labelled cases ({domain}: {shown})',
    )


def tuning_config(cfg: Any, held: HeldOut, validate: bool) -> Any:
    """Return a config that trains without the held-out cases and is tested on them.

    Args:
        cfg: config of a method; it is changed.
        held: the cases.
        validate: score them while training too, where the checkpoint is chosen by that.
    """
    training = cfg.train_dataloader.dataset
    training.labelled, training.holdout = held.labelled, held.holdout
    options = {'mode': 'val', 'labelled': held.labelled, 'holdout': held.holdout, 'cache': False}
    cfg.test_dataloader.dataset = {**cfg.test_dataloader.dataset, **options}
    for part in ('dataloader', 'evaluator', 'cfg'):
        cfg[f'val_{part}'] = cfg.get(f'val_{part}') if validate else None
    if validate:
        cfg.val_dataloader = cfg.test_dataloader
    return cfg
