"""Read a config file; whatever is wrong with it is said in one sentence, with file and line."""

import os
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmssl.utils.errors import SettingError, shown

ENDINGS = ('.py', '.json', '.yaml', '.yml')
BOMB = 10_000_000  # bytes; a config of a few kilobytes is long
MOST = 100_000  # values in a config of data; those of this package have some hundred


def read_config(path: Path):
    """Return the `mmengine.Config` of a file; custom imports are left to the caller.

    A config of Python is a program and is run. One of JSON or YAML is data: a YAML tag that asks
    for an object of Python is refused.

    Raises:
        FileNotFoundError: there is no such file.
        SettingError: the file, or one of its bases, cannot be read.
    """
    from mmengine.config import Config

    from mmssl.compat import find_own_bases, read_yaml_as_data
    from mmssl.utils.packaged import CONFIGS

    read_yaml_as_data()
    find_own_bases(CONFIGS)
    for _ in _files(path, ()):
        pass
    try:
        cfg = Config.fromfile(str(path), import_custom_modules=False)
    except (Exception, SystemExit) as error:
        place = _place(error)
        if not place and isinstance(error, KeyError) and 'Duplicate key' in str(error):
            place = ' (two of its _base_ files have the same entry; name one of them less)'
        raise SettingError(
            f'Config "{path}" cannot be read{place}: {type(error).__name__}: {_words(error)}'
        ) from error
    if not len(cfg):
        raise SettingError(f'Config "{path}" is empty: it sets nothing; start from one of configs/')
    return cfg


def _files(path: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Give a config and its bases, each looked at before it is read.

    Raises:
        FileNotFoundError: one of them does not exist.
        SettingError: one is no text, or is its own base.
    """
    from mmengine.config import Config

    real = path.resolve()
    named = f'Config "{path}"' + (f', a base of "{above[-1]}",' if above else '')
    if real in above:
        chain = ' -> '.join(file.name for file in (*above[above.index(real) :], real))
        raise SettingError(
            f'Config "{above[0]}" is a base of itself: {chain}; take one of these _base_ lines out'
        )
    if not path.exists():
        raise FileNotFoundError(f'{named} does not exist')
    if not path.is_file():
        raise SettingError(f'{named} is not a file')
    if path.suffix not in ENDINGS:
        raise SettingError(
            f'{named} ends in "{path.suffix}"; a config ends in {", ".join(ENDINGS)}'
        )
    _check_text(path, named)
    yield path
    try:
        bases = Config._get_base_files(str(path))
    except (Exception, SystemExit) as error:
        raise SettingError(
            f'{named} cannot be read{_place(error)}: {type(error).__name__}: {_words(error)}'
        ) from error
    for base in bases:
        if not isinstance(base, str):
            raise SettingError(f'{named} has {base!r} in _base_; it must be a path')
        if base.startswith('mmssl::') or ('::' not in base and '{{' not in base):
            yield from _files(Path(Config._get_cfg_path(base, str(path))[0]), (*above, real))


def _check_text(path: Path, named: str) -> None:
    if path.stat().st_size > BOMB:
        raise SettingError(f'{named} has {path.stat().st_size / 1e6:.0f} MB and is no config')
    try:
        text = path.read_bytes().decode('utf-8')
    except UnicodeDecodeError as error:
        raise SettingError(
            f'{named} is no text in UTF-8 (byte {error.start}); is it a config? Save it as UTF-8'
        ) from None
    if '\0' in text:
        raise SettingError(f'{named} is no text: it has zero bytes; is it a config?')
    if text.startswith('\ufeff'):
        raise SettingError(f'{named} begins with a byte order mark; save it as UTF-8 without one')
    if path.suffix != '.py':
        _check_data(path, named)


def _check_data(path: Path, named: str) -> None:
    import mmengine
    import yaml

    try:
        content = mmengine.load(str(path))
    except yaml.constructor.ConstructorError as error:
        raise SettingError(
            f'{named} asks for an object of Python ({error.problem}, line '
            f'{error.problem_mark.line + 1}), but a config of YAML is data and runs '
            'nothing; write that entry in a config of Python'
        ) from None
    except Exception as error:
        raise SettingError(f'{named} is no {path.suffix[1:].upper()}: {_words(error)}') from None
    if _count(content) > MOST:
        raise SettingError(
            f'{named} unfolds to more than {MOST} values: its aliases (*name) repeat each other '
            'or lead back to themselves; write out what they stand for'
        )
    if content is None:
        raise SettingError(f'{named} is empty: it sets nothing; start from one of configs/')
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise SettingError(f'{named} has no entries by name at its top, but {shown(content)}')


def _count(content: Any) -> int:
    """Count the values in a tree as far as `MOST`; what has a loop has no end."""
    number, left = 0, [content]
    while left and number <= MOST:
        node = left.pop()
        number += 1
        if isinstance(node, dict | list):
            left.extend(node.values() if isinstance(node, dict) else node)
    return number


def import_plug_ins(custom_imports: Any, path: Path) -> None:
    """Import what a config asks for in `custom_imports`.

    Raises:
        SettingError: the entry is none, a module does not exist, or one fails when it is run.
    """
    from mmengine.utils import import_modules_from_strings

    if not isinstance(custom_imports, dict) or not {'imports'} <= set(custom_imports) <= {
        'imports',
        'allow_failed_imports',
    }:
        raise SettingError(
            f'custom_imports of "{path}" is {custom_imports!r}; write '
            "custom_imports=dict(imports=['my_module'])"
        )
    try:
        import_modules_from_strings(**custom_imports)
    except (Exception, SystemExit) as error:
        cause: BaseException = error
        while isinstance(cause, ImportError) and cause.__context__ is not None:
            cause = cause.__context__  # mmengine raises its own in place of the module's
        if isinstance(cause, ModuleNotFoundError) or not _place(cause):
            raise SettingError(
                f'custom_imports of "{path}": {error}. Put the file beside the config or into the '
                'folder you start from, or set PYTHONPATH'
            ) from error
        raise SettingError(
            f'custom_imports of "{path}" fails{_place(cause)}: '
            f'{type(cause).__name__}: {_words(cause)}'
        ) from error


def _words(error: BaseException) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = ' '.join(text.split())
    return f'{text[:300]} ...' if len(text) > 300 else text


def _place(error: BaseException) -> str:
    """Return the line of the user's file that an error comes from."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f' (line {error.lineno} of {os.path.basename(error.filename or "it")})'
    ours = ('mmengine', 'mmssl', 'importlib', 'yaml')
    python = sysconfig.get_path('stdlib')
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith('<')
        and not any(f'{os.sep}{name}{os.sep}' in frame.filename for name in ours)
        and os.path.dirname(frame.filename) != python  # copy.py, of a dict that holds itself
    ]
    if not frames:
        return ''
    return f' (line {frames[-1].lineno} of {frames[-1].filename})'
