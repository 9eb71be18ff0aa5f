"""Make the components known, and read configs."""

import hashlib
import importlib
import os
import sys
from pathlib import Path
from typing import Any

from mmssl.utils.config.file import import_plug_ins
from mmssl.utils.config.variables import read_with_options
from mmssl.utils.packaged import CONFIGS, find_config_file, own_or_given

MODULES = ('apis', 'datasets', 'engine', 'evaluation', 'models', 'visualization')


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


def default_folder(config: str | Path, *parents: str) -> Path:
    """Return the folder of what comes of a config: one for each config, with a readable name.

    Configs of the project keep their method and name, others their path from the folder one
    starts in; one from elsewhere its last folder with a code of the whole path.

    Args:
        config: config file.
        *parents: folders below `work_dirs`, for what is no training.

    Example:
        >>> default_folder(CONFIGS / 'ua_mt' / 'lite_fundus.py', 'browse').as_posix()
        'work_dirs/browse/ua_mt/lite_fundus'
        >>> default_folder('mine/a.py').as_posix(), default_folder('b.py').as_posix()
        ('work_dirs/mine/a', 'work_dirs/b')
    """
    path = Path(os.path.abspath(own_or_given(config)))
    if path.resolve().is_relative_to(CONFIGS.resolve()):  # also through a link
        name = path.resolve().relative_to(CONFIGS.resolve()).with_suffix('')
    elif path.is_relative_to(Path.cwd()):
        name = path.relative_to(Path.cwd()).with_suffix('')
    else:
        code = hashlib.sha256(str(path.parent).encode()).hexdigest()[:6]
        name = Path(f'{path.parent.name}-{code}', path.stem)
    return Path('work_dirs', *parents, name)


def load_config(path: str | Path, options: dict[str, Any] | None = None):
    """Read a config file; the folder it lies in and the working directory become importable.

    So `custom_imports=dict(imports=['my_method'])` finds `my_method.py` beside the config. A config
    that was composed of others names their folders in `import_from`. Variables at the top of the
    file and of its bases can be set as entries can, see `config_variables`.

    Args:
        path: config file, or the name of one of the package's own, see `find_config_file`.
        options: values that override the file's, by dotted name.

    Raises:
        FileNotFoundError: there is no such file.
        SettingError: the file is no valid config, an import it asks for fails, the file or an
            option sets a name that nothing reads, or an option does not fit into the config.
    """
    path = find_config_file(path)
    _make_importable(os.getcwd(), str(path.resolve().parent))
    cfg = read_with_options(path, options)
    _make_importable(*cfg.get('import_from', []))
    if cfg.get('custom_imports'):
        import_plug_ins(cfg.custom_imports, path)
    return cfg


def _make_importable(*folders: str) -> None:
    sys.path += [folder for folder in folders if folder not in sys.path]
