"""Runner, training loop, optimisers, hooks and checkpoint files."""

from mmssl.compat import format_entries_once, import_optimisers

import_optimisers()
format_entries_once()

from mmssl.engine.checkpoints.io import install_safe_loading  # noqa: E402

install_safe_loading()

from mmssl.engine.checkpoints.history import push_scalar  # noqa: E402
from mmssl.engine.checkpoints.io import (  # noqa: E402
    IncompleteCheckpointError,
    RefusedCheckpointError,
    UnreadableCheckpointError,
    atomic_save,
    load_checkpoint_file,
)
from mmssl.engine.hooks import *  # noqa: E402, F403
from mmssl.engine.hooks import __all__ as _hooks  # noqa: E402
from mmssl.engine.loops import SemiTrainLoop, TestLoop, ValLoop  # noqa: E402
from mmssl.engine.optim import (  # noqa: E402
    HalfOptimWrapper,
    MultiOptimWrapper,
    MultiOptimWrapperConstructor,
)
from mmssl.engine.runner import SemiRunner  # noqa: E402
from mmssl.engine.schedulers import PolyLR, WarmupPolyLR  # noqa: E402
from mmssl.engine.vis_backends import (  # noqa: E402
    LocalVisBackend,
    OptionalTensorboardVisBackend,
)

__all__ = [
    *_hooks,
    'HalfOptimWrapper',
    'IncompleteCheckpointError',
    'LocalVisBackend',
    'MultiOptimWrapper',
    'MultiOptimWrapperConstructor',
    'OptionalTensorboardVisBackend',
    'RefusedCheckpointError',
    'SemiRunner',
    'SemiTrainLoop',
    'TestLoop',
    'UnreadableCheckpointError',
    'ValLoop',
    'PolyLR',
    'WarmupPolyLR',
    'atomic_save',
    'load_checkpoint_file',
    'push_scalar',
]
