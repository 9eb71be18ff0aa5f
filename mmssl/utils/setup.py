"""Make the components known, and read configs."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

MODULES = ('datasets', 'engine', 'evaluation', 'models', 'visualization')


def register_all_modules(init_default_scope: bool = True) -> None:
    """Register every component of mmssl and install the safe checkpoint loader.

    Args:
        init_default_scope: make `mmssl` the default scope, so that names without a prefix are
            looked up in mmssl first.
    """
    for name in MODULES:
        importlib.import_module(f'mmssl.{name}')
    if init_default_scope:
        from mmengine.registry import init_default_scope as init

        init('mmssl')


def load_config(path: str | Path, options: dict[str, Any] | None = None):
    """Read a config file; the folder it lies in and the working directory become importable.

    So `custom_imports=dict(imports=['my_method'])` finds `my_method.py` beside the config.

    Args:
        path: config file.
        options: values that override the file's, by dotted name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no valid config, or an import it asks for fails.
    """
    from mmengine.config import Config

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'Config "{path}" does not exist')
    for folder in (os.getcwd(), str(path.resolve().parent)):
        if folder not in sys.path:
            sys.path.append(folder)
    try:
        cfg = Config.fromfile(str(path), import_custom_modules=False)
    except (SyntaxError, NameError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ValueError(
            f'Config "{path}" cannot be read: {type(error).__name__}: {error}'
        ) from error
    if options:
        cfg.merge_from_dict(options)
    if cfg.get('custom_imports'):
        from mmengine.utils import import_modules_from_strings

        try:
            import_modules_from_strings(**cfg.custom_imports)
        except ImportError as error:
            raise ValueError(
                f'custom_imports of "{path}": {error}. Put the file beside the config or into the '
                'folder you start from, or set PYTHONPATH'
            ) from error
    return cfg
