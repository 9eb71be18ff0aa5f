"""What a checkpoint says of itself."""

from collections.abc import Mapping
from typing import Any


def check_meta(
    checkpoint: Any, name: str, optimizer: bool, seed: int | None, max_iters: int
) -> dict:
    """Return a checkpoint's `meta`, after a look at whether training can go on from it.

    Args:
        checkpoint: what was read.
        name: file name, for messages.
        optimizer: whether the state of the optimisers is needed.
        seed: of this run.
        max_iters: length of this run.

    Raises:
        ValueError: it cannot.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    if 'iter' not in meta or (optimizer and 'optimizer' not in checkpoint):
        raise ValueError(
            f'Checkpoint "{name}" has no optimiser state, so training cannot resume from it; '
            'use an iter_*.pth file, or start a new run from its weights with '
            f'--cfg-options load_from={name}'
        )
    for key in ('iter', 'epoch'):
        if not isinstance(meta.get(key), int) or meta[key] < 0:
            raise ValueError(
                f'Checkpoint "{name}" says {key} {meta.get(key)!r}, which is no number of '
                'them: it was not written by a training of mmssl'
            )
    if meta['iter'] > max_iters:
        raise ValueError(
            f'Checkpoint "{name}" stands at iteration {meta["iter"]}, train_cfg.max_iters is '
            f'{max_iters}: raise it, or resume from an earlier file'
        )
    there = meta.get('seed')
    if there is not None and there != seed:
        raise ValueError(
            f'Checkpoint "{name}" was trained with seed {there}, this run has {seed}; '
            f'resume with --cfg-options randomness.seed={there}'
        )
    return dict(meta)
