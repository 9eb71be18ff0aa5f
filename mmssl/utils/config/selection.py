"""What `selection='agreement'` in `val_evaluator` means for the rest of a config."""

import copy
from collections.abc import Mapping
from typing import Any

from mmssl.utils.config.settings import metrics_of

AGREEMENT = 'agreement'
HOOK = 'AgreementHook'


def by_agreement(cfg: Any) -> bool:
    """Return whether the config chooses its checkpoints without labels."""
    metrics = metrics_of(cfg.get('val_evaluator'))
    return any(m.get('selection') == AGREEMENT for m in metrics if isinstance(m, Mapping))


def with_selection(cfg: Any) -> Any:
    """Return the config as it trains: where it chooses by agreement, with the hook and its files.

    `AgreementHook` becomes the default hook `agreement`, unless the config has one. Instead of the
    files that are best by a score of the validation, `save_best` keeps `best_agreement_...`, of
    the best of all students, and `best_<student>_agreement_...`. Any other config stays as it is.
    """
    if not by_agreement(cfg):
        return cfg
    cfg = copy.deepcopy(cfg)
    hooks = [*(cfg.get('custom_hooks') or []), *(cfg.get('default_hooks') or {}).values()]
    cfg.setdefault('default_hooks', {})
    if not any(isinstance(hook, Mapping) and hook.get('type') == HOOK for hook in hooks):
        cfg['default_hooks']['agreement'] = {
            'type': HOOK, **(cfg['default_hooks'].get('agreement') or {}),
        }  # fmt: skip
    checkpoint = cfg['default_hooks'].setdefault('checkpoint', {'type': 'CheckpointHook'})
    checkpoint['save_best'] = agreement_keys(cfg)
    checkpoint.pop('rule', None)  # of the scores that are no longer asked
    return cfg


def agreement_keys(cfg: Any) -> list[str]:
    """Return what has a best file: the best of all students, if there are several, and of each."""
    kept = (cfg.get('default_hooks') or {}).get('checkpoint', {}).get('save_best') or []
    kept = [kept] if isinstance(kept, str) else list(kept)
    students = [key.rpartition('/')[0] for key in kept if '/' in key]
    if not students:
        model = cfg['model']
        named = [name for name, student in model.get('students', {}).items() if student]
        first = model.get('primary') or next(iter(named), None)
        students = [name for name in dict.fromkeys([first, *named]) if name]
    students = list(dict.fromkeys(students))
    several = [AGREEMENT] * (len(students) > 1)
    return [*several, *(f'{student}/{AGREEMENT}' for student in students)]
