"""What a run is, as text in its folder and in its checkpoints, and what may change in it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmssl.utils.config.settings import differing, flatten, in_words, matters
from mmssl.utils.io import write_atomic

FILE = 'run.json'
# Entries of a config that a training reads; the others are helpers and what reports.
READ = (
    'activation_checkpointing', 'auto_scale_lr', 'custom_hooks', 'data_preprocessor',
    'default_hooks', 'efficient_conv_bn_eval', 'find_unused_parameters', 'model',
    'model_wrapper_cfg', 'optim_wrapper', 'param_scheduler', 'randomness', 'runner_type',
    'scale_to_world', 'speed', 'sync_bn', 'train_cfg', 'train_dataloader', 'val_cfg',
    'val_dataloader', 'val_evaluator',
)  # fmt: skip
# What a run is: these do not change on the way. Everything else is taken over.
FIXED = (
    'model', 'data_preprocessor', 'custom_hooks', 'randomness', 'sync_bn', 'runner_type',
    'train_dataloader.dataset', 'train_dataloader.sampler', 'train_dataloader.batch_sampler.type',
    'train_cfg.type', 'optim_wrapper.type', 'optim_wrapper.constructor',
    'optim_wrapper.optimizer.type', 'optim_wrapper.loss_scale', 'training images',
)  # fmt: skip
MOVABLE = ('data_root', 'cache_dir', 'cache')  # where something lies


def run_settings(cfg: Config | ConfigDict, dataset=None) -> dict[str, str]:
    """Return every setting of a training that can change its result, by dotted name.

    Args:
        cfg: the config.
        dataset: the training data; with `samples` it is asked for their names.
    """
    read = {name: cfg.to_dict()[name] for name in READ if cfg.get(name) is not None}
    settings = {key: value for key, value in flatten(read).items() if matters(key)}
    samples = getattr(dataset, 'samples', None)
    if samples:
        names = sorted(f'{s.domain}/{s.name}/{s.labelled}' for s in samples)
        code = hashlib.sha256('\n'.join(names).encode()).hexdigest()[:8]
        labelled = sum(bool(s.labelled) for s in samples)
        settings['training images'] = f'{len(names)} with {labelled} labelled (names {code})'
    return settings


def is_fixed(key: str) -> bool:
    """Return whether a setting says what the run is, so that a resumed one must have the same."""
    if key.rpartition('.')[2] in MOVABLE:
        return False
    if key.startswith('optim_wrapper.optimizers.') and key.endswith('.type'):
        return True
    return any(key == name or key.startswith(f'{name}.') for name in FIXED)


def compare(there: Mapping[str, str], here: Mapping[str, str]) -> tuple[str, str]:
    """Return in words which fixed settings differ, and which others."""
    keys = differing(there, here)
    fixed = [key for key in keys if is_fixed(key)]
    # The names of a component's options tell less than that it is another one.
    fixed.sort(key=lambda key: (not key.endswith('type'), key.count('.')))
    free = [key for key in keys if not is_fixed(key)]
    return in_words(fixed, there, here, 4), in_words(free, there, here, 12)


def write_settings(work_dir: str | Path, settings: Mapping[str, str]) -> None:
    """Write the settings of a run into its folder."""
    write_atomic(Path(work_dir) / FILE, json.dumps({'settings': settings}, indent=1) + '\n')


def read_settings(work_dir: str | Path) -> dict[str, str] | None:
    """Return the settings of the run in a folder; None where there are none to be read."""
    try:
        content = json.loads((Path(work_dir) / FILE).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return plain_settings(content.get('settings') if isinstance(content, dict) else None)


def plain_settings(value: object) -> dict[str, str] | None:
    """Return settings as they came out of a file; None for what are none."""
    if not isinstance(value, dict) or not value:
        return None
    texts = all(isinstance(k, str) and isinstance(v, str) for k, v in value.items())
    return dict(value) if texts else None


def refuse_used(
    work_dir: str | Path, there: Mapping[str, str] | None, here: Mapping[str, str]
) -> None:
    """Say why a new run does not begin in the folder of another.

    Raises:
        ValueError: always.
    """
    if there is None:
        what = 'a run of which it does not say what it is'
    else:
        keys = differing(there, here)
        keys.sort(key=lambda key: (not is_fixed(key), not key.endswith('type'), key.count('.')))
        what = f'another run: {in_words(keys, there, here, 4)}' if keys else 'this very run'
    on = 'go on with it (--resume), ' * (there == here)
    raise ValueError(
        f'{work_dir} holds {what}. Its files are not overwritten without a word: {on}choose '
        'another --work-dir, or throw it away (--overwrite)'
    )
