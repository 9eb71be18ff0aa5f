"""Fewer, larger steps when every rank keeps the whole batch."""

import copy
import math
import os


def launched_world_size(launcher: str) -> int:
    """Return the number of processes that the launcher has announced in the environment."""
    key = {'pytorch': 'WORLD_SIZE', 'slurm': 'SLURM_NTASKS'}.get(launcher)
    return int(os.environ.get(key, 1)) if key else 1


def scale_to_world(cfg: dict, world_size: int) -> dict:
    """Divide the iterations and multiply the learning rates by the number of ranks.

    For a sampler with `per_rank=True`, whose global batch grows with the ranks. Scaled are
    `train_cfg` (`max_iters`, `val_begin`, `val_interval`), the checkpoint interval, iteration
    based schedulers (`begin`, `end`, `T_max`, `warmup`) and every optimiser's `lr`. Ramps that a
    method states in iterations are not.

    Raises:
        ValueError: the sampler shares one global batch among the ranks, so nothing grows.
    """
    cfg = copy.deepcopy(cfg)
    sampler = cfg['train_dataloader'].get('batch_sampler') or {}
    if not sampler.get('per_rank', False):
        raise ValueError(
            'scale_to_world=True needs train_dataloader.batch_sampler.per_rank=True; with '
            'per_rank=False the ranks share the global batch and nothing is to be scaled'
        )
    if world_size == 1:
        return cfg
    for key in ('max_iters', 'val_begin', 'val_interval'):
        _divide(cfg['train_cfg'], key, world_size)
    _divide((cfg.get('default_hooks') or {}).get('checkpoint') or {}, 'interval', world_size)
    for scheduler in _dicts_with_type(cfg.get('param_scheduler')):
        if not scheduler.get('by_epoch', True):
            for key in ('begin', 'end', 'T_max', 'warmup'):
                _divide(scheduler, key, world_size)
    wrapper = cfg['optim_wrapper']
    optimizers = list((wrapper.get('optimizers') or {}).values()) or [wrapper['optimizer']]
    for optimizer in optimizers:
        optimizer['lr'] = optimizer['lr'] * world_size
    return cfg


def _divide(cfg: dict, key: str, by: int) -> None:
    if cfg.get(key, 0) > 0:
        cfg[key] = math.ceil(cfg[key] / by)


def _dicts_with_type(cfg) -> list[dict]:
    if isinstance(cfg, dict):
        return [cfg] if 'type' in cfg else [d for v in cfg.values() for d in _dicts_with_type(v)]
    if isinstance(cfg, (list, tuple)):
        return [d for v in cfg for d in _dicts_with_type(v)]
    return []
