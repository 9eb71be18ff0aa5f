"""What the settings of a run may be, checked in one place before anything is built."""

import difflib
import inspect
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from mmssl.utils.errors import SettingError, shown

FOREVER = 10**9  # iterations; mmengine's own "infinite"
NEVER = -1


@dataclass(frozen=True)
class Rule:
    """What a value may be.

    Args:
        kinds: its types; a bool is no number.
        low: smallest number.
        high: largest number.
        choices: texts that are allowed.
        also: values that are allowed besides.
        above: the number must be larger than `low`.
    """

    kinds: tuple[type, ...]
    low: float = 0
    high: float = FOREVER
    choices: tuple[str, ...] = ()
    also: tuple[Any, ...] = ()
    above: bool = False

    def allows(self, value: Any) -> bool:
        """Say whether a value is one of these."""
        if any(value is one or (type(value) is type(one) and value == one) for one in self.also):
            return True
        if not any(isinstance(value, kind) for kind in self.kinds) or (
            isinstance(value, (bool, str)) and type(value) not in self.kinds
        ):
            return False
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if is_number:
            return self.low <= value <= self.high and not (self.above and value == self.low)
        return not (self.choices and isinstance(value, str)) or value in self.choices

    def __str__(self) -> str:
        """Return the rule in words."""
        words = {
            Integral: 'a whole number',
            Real: 'a number',
            bool: 'True or False',
            str: 'text',
            Mapping: 'a dict',
            Sequence: 'a list',
            os.PathLike: 'a path',
        }
        said = ['one of ' + ', '.join(self.choices)] if self.choices else []
        for kind in self.kinds:
            if kind is str and self.choices:
                continue
            limits = ''
            if kind in (Integral, Real):
                limits = f' {"above" if self.above else "of at least"} {self.low}'
                if self.high != FOREVER:
                    limits = f' from {self.low} to {self.high}'
            said.append(words[kind] + limits)
        return ' or '.join([*said, *map(repr, self.also)])


def whole(low: int, high: float = FOREVER, *also: Any) -> Rule:
    """Return the rule of whole numbers."""
    return Rule((Integral,), low, high, also=also)


def one_of(*choices: str, also: tuple = ()) -> Rule:
    """Return the rule of a choice."""
    return Rule((str,), choices=choices, also=also)


PROCESSES = max(64, 8 * (os.cpu_count() or 1))
BATCH = 65536
FLAG = Rule((bool,))
DICT, DICT_OR_NONE = Rule((Mapping,)), Rule((Mapping,), also=(None,))
DICTS = Rule((Mapping, Sequence), also=(None,))
PATH, PATH_OR_NONE = Rule((str, os.PathLike)), Rule((str, os.PathLike), also=(None,))
TEXT_OR_NONE = Rule((str,), also=(None,))
# 0 is let through: such a network keeps still on purpose.
RATE = Rule((Real,), 0, 10**6)
INTERVAL = whole(1)

LOADER = {
    '': DICT_OR_NONE,
    '.num_workers': whole(0, PROCESSES),
    '.batch_size': whole(1, BATCH),
    '.prefetch_factor': whole(1, 1024, None),
    '.timeout': Rule((Real,), 0, FOREVER),
    '.persistent_workers': FLAG,
    '.pin_memory': FLAG,
    '.drop_last': FLAG,
    '.dataset': DICT,
    '.dataset.mode': one_of('train', 'val', 'test'),
    '.dataset.data_root': PATH_OR_NONE,
    '.dataset.domains': Rule((str, Sequence), also=(None,)),
    '.dataset.labelled': DICT_OR_NONE,
    '.dataset.labelled.num': whole(0, FOREVER, None),  # 0: a diffusion model needs none
    '.sampler': DICT_OR_NONE,
    '.batch_sampler': DICT_OR_NONE,
    '.batch_sampler.num_labelled': whole(0, BATCH),
    '.batch_sampler.num_unlabelled': whole(0, BATCH),
}
RULES = {
    'model': DICT,
    'work_dir': PATH,
    'load_from': PATH_OR_NONE,
    'resume': FLAG,
    'experiment_name': TEXT_OR_NONE,
    'default_scope': TEXT_OR_NONE,
    'compile': Rule((bool, Mapping), also=(None,)),
    'speed': DICT_OR_NONE,
    'launcher': one_of('none', 'pytorch', 'slurm', 'mpi'),
    'scale_to_world': FLAG,
    'find_unused_parameters': FLAG,
    'log_level': Rule(
        (str, Integral),
        0,
        100,
        choices=('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL', 'WARN', 'FATAL', 'NOTSET'),
    ),
    **{
        f'{split}_dataloader{key}': rule
        for key, rule in LOADER.items()
        for split in ('train', 'val', 'test')
    },
    'train_cfg': DICT_OR_NONE,
    'train_cfg.max_iters': whole(1),
    'train_cfg.max_epochs': whole(1),
    'train_cfg.val_interval': INTERVAL,
    'train_cfg.val_begin': whole(0),
    'val_cfg': DICT_OR_NONE,
    'test_cfg': DICT_OR_NONE,
    'val_evaluator': DICTS,
    'test_evaluator': DICTS,
    'optim_wrapper': DICT_OR_NONE,
    'optim_wrapper.accumulative_counts': whole(1),
    'optim_wrapper.clip_grad': DICT_OR_NONE,
    'optim_wrapper.paramwise_cfg': DICT_OR_NONE,
    'optim_wrapper.optimizer': DICT,
    'optim_wrapper.optimizers': DICT,
    'optim_wrapper.optimizers.*': DICT_OR_NONE,
    **{
        f'optim_wrapper.{name}.{key}': RATE
        for key in ('lr', 'weight_decay', 'eps')
        for name in ('optimizer', 'optimizers.*')
    },
    **{
        f'optim_wrapper.{name}.momentum': Rule((Real,), 0, 1)
        for name in ('optimizer', 'optimizers.*')
    },
    'param_scheduler': DICTS,
    **{
        f'param_scheduler.{where}{key}': rule
        for where in ('', '*.', '*.*.')
        for key, rule in {
            'begin': whole(0),
            'end': whole(1, FOREVER, 'max_iters'),
            'by_epoch': FLAG,
        }.items()
    },
    'default_hooks': DICT_OR_NONE,
    'default_hooks.*': DICT_OR_NONE,
    'custom_hooks': Rule((Sequence,), also=(None,)),
    'custom_hooks.*': DICT,
    'default_hooks.*.interval': whole(0, FOREVER, NEVER),  # 0 of the visualization draws none
    **{f'default_hooks.{name}.interval': INTERVAL for name in ('logger', 'loss_guard')},
    'default_hooks.checkpoint.interval': whole(1, FOREVER, NEVER),
    'default_hooks.checkpoint.max_keep_ckpts': whole(1, FOREVER, NEVER),
    'default_hooks.checkpoint.save_begin': whole(0),
    'default_hooks.checkpoint.save_best': Rule((str, Sequence), also=(None,)),
    'default_hooks.checkpoint.by_epoch': FLAG,
    'default_hooks.visualization.test_interval': INTERVAL,
    'custom_hooks.*.interval': whole(0, FOREVER, NEVER),  # 0 is DiffusionHook's "only at the end"
    'env_cfg': DICT,
    'env_cfg.cudnn_benchmark': FLAG,
    'env_cfg.mp_cfg': DICT_OR_NONE,
    'env_cfg.mp_cfg.mp_start_method': one_of('fork', 'spawn', 'forkserver', also=(None,)),
    'env_cfg.mp_cfg.opencv_num_threads': whole(0, 4096),
    'env_cfg.dist_cfg': DICT_OR_NONE,
    'env_cfg.dist_cfg.timeout': Rule((Real,), 0, FOREVER, above=True),
    'env_cfg.dist_cfg.backend': TEXT_OR_NONE,
    'env_cfg.resource_limit': whole(1),
    'log_processor': DICT_OR_NONE,
    'log_processor.window_size': INTERVAL,
    'log_processor.by_epoch': FLAG,
    'log_processor.num_digits': whole(0, 16),
    'visualizer': DICT_OR_NONE,
    'randomness': DICT,
    'randomness.seed': whole(0, 2**32 - 1, None),
    'randomness.deterministic': FLAG,
    'randomness.diff_rank_seed': FLAG,
}
# The entries that these may have, because what reads them does not say.
ENTRIES = {
    'randomness': ('seed', 'deterministic', 'diff_rank_seed'),
    'env_cfg': ('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'),
    'env_cfg.mp_cfg': ('mp_start_method', 'opencv_num_threads'),
}
TOGETHER = (
    ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    ('val_dataloader', 'val_cfg', 'val_evaluator'),
    ('test_dataloader', 'test_cfg', 'test_evaluator'),
)


def check_settings(cfg: Mapping[str, Any]) -> None:
    """Check the settings of a run by type and range, and that what belongs together is there.

    Options of components are checked where these are built.

    Raises:
        SettingError: a setting does not fit; named are the value and what it may be.
    """
    found = {
        name: (value, rule)
        for key, rule in RULES.items()  # the last, exact rule counts
        for name, value in _find(cfg, key.split('.'))
    }
    for name, (value, rule) in found.items():
        if not rule.allows(value):
            raise SettingError(f'{name} is {shown(value)}; it must be {rule}')
    for key, known in {**ENTRIES, **_loader_entries()}.items():
        for _, node in _find(cfg, key.split('.')):
            _check_entries(key, node, known)
    if cfg.get('model') is None:
        raise SettingError(
            'the config has no model; set model=dict(type=...) or name a base '
            'config of configs/_base_/models in _base_'
        )
    if cfg.get('work_dir') is None:
        raise SettingError('the config has no work_dir; set work_dir="..." or --work-dir')
    if 'seed' not in cfg.get('randomness', ('seed',)):
        raise SettingError('randomness has no seed; set randomness.seed=1337, or None to draw one')
    _check_together(cfg)
    _check_schedulers(cfg.get('param_scheduler'), 'param_scheduler')
    _check_numbers(cfg, '')
    _check_evaluators(cfg)


def _find(node: Any, parts: list[str], name: str = '') -> Iterator[tuple[str, Any]]:
    """Give dotted name and value of every entry of a pattern, `*` being any entry or item."""
    if not parts:
        yield name, node
        return
    items: Mapping = {}
    if isinstance(node, Mapping):
        items = node
    elif isinstance(node, Sequence) and not isinstance(node, str):
        items = {str(number): item for number, item in enumerate(node)}
    for key in list(items) if parts[0] == '*' else [k for k in (parts[0],) if k in items]:
        yield from _find(items[key], parts[1:], f'{name}.{key}' if name else str(key))


def _loader_entries() -> dict[str, tuple[str, ...]]:
    from torch.utils.data import DataLoader

    names = (*inspect.signature(DataLoader.__init__).parameters, 'num_batch_per_epoch')
    known = tuple(name for name in names if name != 'self')
    return {f'{split}_dataloader': known for split in ('train', 'val', 'test')}


def _check_entries(key: str, node: Any, known: Sequence[str]) -> None:
    for name in set(node or ()) - set(known):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f'it has {", ".join(known)}'
        raise SettingError(f'{key} has no entry "{name}"; {hint}')


def _check_together(cfg: Mapping[str, Any]) -> None:
    for group in TOGETHER:
        there = [name for name in group if cfg.get(name) is not None]
        if there and len(there) < len(group):
            lost = ' and '.join(name for name in group if name not in there)
            raise SettingError(
                f'the config has {" and ".join(there)} but no {lost}: set all of '
                f'{", ".join(group)}, or all of them to None'
            )
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if loader is not None and loader.get('dataset') is None:
            raise SettingError(
                f'{split}_dataloader has no dataset; set {split}_dataloader.dataset=dict(type=...)'
            )


def _check_schedulers(node: Any, name: str) -> None:
    """Refuse what is no scheduler, nor a list or a dict (one for each optimiser) of them."""
    if isinstance(node, (list, tuple)):
        for number, item in enumerate(node):
            _check_schedulers(item, f'{name}.{number}')
    elif isinstance(node, Mapping) and 'type' not in node and name.count('.') < 1:
        for key, item in node.items():
            _check_schedulers(item, f'{name}.{key}')
    elif isinstance(node, Mapping) and 'type' not in node or isinstance(node, (str, Real)):
        raise SettingError(
            f"{name} is {shown(node)}, which is no scheduler; write dict(type='PolyLR', ...)"
        )


def _check_numbers(node: Any, name: str) -> None:
    """Refuse numbers that are none, wherever they stand."""
    if isinstance(node, float) and math.isnan(node):
        raise SettingError(f'{name} is nan, which is no number; give one')
    if isinstance(node, Mapping):
        for key, value in node.items():
            _check_numbers(value, f'{name}.{key}' if name else str(key))
    elif isinstance(node, (list, tuple)):
        for number, value in enumerate(node):
            _check_numbers(value, f'{name}.{number}')


def _check_evaluators(cfg: Mapping[str, Any]) -> None:
    for split in ('val', 'test'):
        evaluator = cfg.get(f'{split}_evaluator')
        if evaluator is not None and not evaluator:
            raise SettingError(
                f'{split}_evaluator is empty; name a metric, for example '
                f"{split}_evaluator=dict(type='DomainMetric')"
            )


def make_work_dir(folder: str | os.PathLike) -> Path:
    """Make the folder of a run.

    Raises:
        SettingError: that is not possible, or nothing can be written there.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        writable = os.access(path, os.W_OK | os.X_OK)
    except (OSError, ValueError) as error:
        why = getattr(error, 'strerror', None) or str(error)
        raise SettingError(
            f'the work folder "{folder}" cannot be made ({why}); choose another '
            'place with --work-dir'
        ) from None
    if not writable:
        raise SettingError(
            f'nothing can be written into the work folder "{folder}"; choose '
            'another place with --work-dir, or set its rights'
        )
    return path
