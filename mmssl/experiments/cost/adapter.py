"""A training step from outside the package, to be measured beside one of a config."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmssl.utils.errors import SettingError


@dataclass(frozen=True)
class Setting:
    """What an adapter is told: the step that it makes is to be comparable.

    Attributes:
        device: `cpu` or `cuda`.
        dtype: 16 bit type of the forward pass, None for float32.
        batch: the batch of the config's step as its loader gives it (float or uint8 images on the
            CPU), `inputs` with the views by name and by student.
        cfg: the config of that step.
        options: `KEY=VALUE` of `--adapter-options`, as text.
    """

    device: str
    dtype: torch.dtype | None
    batch: dict[str, Any]
    cfg: Any
    options: Mapping[str, str]


def load_adapter(path: str | Path, setting: Setting) -> Callable[[], Any]:
    """Return the step of an adapter, a Python file whose code is run.

    The file defines `make_step(setting: Setting)`, which returns a function without arguments that
    makes one whole training iteration.

    Raises:
        SettingError: there is no such file, or it has no `make_step`.
    """
    path = Path(path)
    if not path.is_file():
        raise SettingError(
            f'--against "{path}" is neither a config nor a file; give a config, or a Python file '
            'with a function make_step(setting)'
        )
    spec = importlib.util.spec_from_file_location(f'adapter_{path.stem}', path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, 'make_step', None)):
        raise SettingError(
            f'{path} has no function make_step(setting); it returns a function that makes one '
            'training iteration'
        )
    return module.make_step(setting)
