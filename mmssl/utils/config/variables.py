"""Read a config so that the variables at its top can be set, and nothing is set in vain.

A top-level name of a config is an entry, which a runner reads, or a variable, which the file itself
or one built on it reads: `image_size = 64`. A base is evaluated with the values that a config built
on it, or the command line, gives to its variables. A name that is neither is refused.
"""

import ast
import copy
import difflib
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mmssl.utils.config.file import read_config
from mmssl.utils.config.merge import drop_contradicted, without_idle_delete
from mmssl.utils.config.options import merge_options
from mmssl.utils.errors import SettingError, did_you_mean

BASE = '_base_'
ENTRIES = (
    # of mmengine's runner
    'model', 'work_dir', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg',
    'val_cfg', 'test_cfg', 'auto_scale_lr', 'optim_wrapper', 'param_scheduler', 'val_evaluator',
    'test_evaluator', 'default_hooks', 'custom_hooks', 'data_preprocessor', 'load_from', 'resume',
    'launcher', 'env_cfg', 'log_processor', 'log_level', 'visualizer', 'default_scope',
    'randomness', 'experiment_name', 'cfg',
    # of what it is built with and of what is asked of the whole config
    'activation_checkpointing', 'compile', 'custom_imports', 'efficient_conv_bn_eval',
    'find_unused_parameters', 'import_from', 'model_wrapper_cfg', 'overwrite', 'published',
    'recipe', 'runner_type', 'scale_to_world', 'skip_mismatched', 'speed', 'sync_bn',
)  # fmt: skip
"""Top-level names that are read at run time."""
ROUNDS = 8
"""A variable may be made of another one, and that of a third; so deep."""


class Source(NamedTuple):
    """A config file and the top-level names in it.

    Attributes:
        path: the file.
        assigned: names that it sets.
        read: names that it reads, its own or, by `_base_.name`, of its bases.
        set_above: names that files built on it set.
    """

    path: str
    assigned: frozenset[str]
    read: frozenset[str]
    set_above: frozenset[str]


def read_with_options(path: Path, options: Mapping[str, Any] | None = None):
    """Read a config file, with values for its entries and variables.

    Args:
        path: config file.
        options: values by dotted name, as after `--cfg-options`.

    Returns:
        The config without its variables, which have done their work.

    Raises:
        FileNotFoundError: there is no such file.
        SettingError: a file cannot be read, a file or an option sets a name that nothing reads, or
            an option does not fit.
    """
    options = dict(options or {})
    with _mixing_what_goes_together():
        cfg = read_config(path)
        sources = list(sources_of(path))
        known = variables(sources)
        _check_names(cfg, sources, known)
        chosen = {name.split('.')[0] for name in options}
        private = {name for name in cfg if name.startswith('_')}  # of a plug-in, or of a script
        for name in sorted(chosen - known - private - {*ENTRIES}):
            raise SettingError(f'The config has no entry "{name}"; {_way_out(name, cfg, known)}')
        own = {key: value for key, value in options.items() if key.split('.')[0] in known}
        cfg = _with_variables(cfg, path, sources, known, own)
        merge_options(cfg, {key: value for key, value in options.items() if key not in own})
    for name in [name for name in cfg if name not in ENTRIES and not name.startswith('_')]:
        del cfg._cfg_dict[name]
    return cfg


def sources_of(path: str | Path, set_above: frozenset[str] = frozenset()) -> Iterator[Source]:
    """Give a config file, then its bases, theirs, and so on."""
    from mmengine.config import Config

    path = os.path.abspath(os.path.expanduser(path))
    if not path.endswith('.py') or Config._is_lazy_import(path):
        return
    tree = ast.parse(Path(path).read_text(encoding='utf-8'))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    assigned = frozenset(node.id for node in names if isinstance(node.ctx, ast.Store))
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    read |= {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == BASE
    }
    yield Source(path, assigned - {BASE}, frozenset(read), set_above)
    for base in Config._get_base_files(path):
        base_path, _ = Config._get_cfg_path(base, path)
        yield from sources_of(base_path, set_above | assigned)


def variables(sources: list[Source]) -> set[str]:
    """Return the names that are set in the files and read in them, but are no entries."""
    assigned = {name for source in sources for name in source.assigned}
    return assigned & {name for source in sources for name in source.read} - {*ENTRIES}


def _check_names(cfg, sources: list[Source], known: set[str]) -> None:
    """Refuse a top-level name of a file that nothing reads.

    A whole config, such as a run leaves in its work folder, may bear the variables of the bases
    that it was made of; there only what looks like a slip is refused, and the rest is told.
    """
    unread = [
        name
        for name in cfg
        if name not in known and name not in ENTRIES and not name.startswith('_')
    ]
    for name in unread:
        path = next((source.path for source in sources if name in source.assigned), cfg.filename)
        hint = _way_out(name, cfg, known)
        if len(sources) > 1 or difflib.get_close_matches(name, ENTRIES, n=1, cutoff=0.8):
            raise SettingError(f'"{path}" sets "{name}", which nothing reads; {hint}')
    if unread:
        warnings.warn(
            f'Nothing reads {", ".join(unread)} of "{cfg.filename}": changing them there changes '
            'nothing',
            stacklevel=3,
        )


def _way_out(name: str, cfg, known: set[str]) -> str:
    """Say what to write in place of a name that nothing reads."""
    places = list(_places(name, cfg))
    if places:
        more = f' and {", ".join(places[1:3])}' if places[1:] else ''
        return f'set {places[0]}{more}'
    there = sorted({*known, *(entry for entry in cfg if entry in ENTRIES)})
    near = difflib.get_close_matches(name, [*there, *ENTRIES], n=1)
    return did_you_mean(name, near or there)


def _places(name: str, node: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Give the dotted names below the top that end in a name."""
    for key, value in node.items():
        if key == name and path:
            yield '.'.join([*path, name])
        if isinstance(value, Mapping):
            yield from _places(name, value, (*path, str(key)))


def _with_variables(cfg, path: Path, sources: list[Source], known: set[str], own: dict):
    """Read the files again until every base has the values that are given to its variables.

    Args:
        cfg: the config as its files stand.
        path: config file.
        sources: it and its bases.
        known: the variables.
        own: options for variables.
    """
    chosen = {name.split('.')[0] for name in own}
    places = {
        source.path: source.assigned & known & (source.set_above | chosen) for source in sources
    }
    given: dict[str, dict[str, ast.expr]] = {}
    for _ in range(ROUNDS if any(places.values()) else 0):
        wanted = copy.deepcopy(cfg)
        merge_options(wanted, own)
        values = {
            file: {name: _literal(name, wanted[name]) for name in names if name in wanted}
            for file, names in places.items()
        }
        if _dumped(values) == _dumped(given):
            return cfg
        given = values
        try:
            with _assigning(given):
                cfg = read_config(path)
        except SettingError as error:
            texts = {
                f'{name}={ast.unparse(value)}'
                for names in given.values()
                for name, value in names.items()
                if name in chosen or not chosen
            }
            raise SettingError(f'{", ".join(sorted(texts))} does not fit: {error}') from error
    if given:
        names = sorted({name for values in given.values() for name in values})
        raise SettingError(
            f'Variables of "{path}" are set in a circle ({", ".join(names)}): a config gives its '
            "base a value that it makes of the base's; state the value"
        )
    return cfg


def _literal(name: str, value: Any) -> ast.expr:
    text = repr(_plain(value))
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise SettingError(
            f'The variable "{name}" of a base config cannot be {text}: give it a number, a text, '
            'or a list or dictionary of these'
        ) from None
    return ast.parse(text, mode='eval').body


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(one) for one in value)
    return value


def _dumped(values: dict[str, dict[str, ast.expr]]) -> dict:
    return {
        file: {name: ast.dump(value) for name, value in names.items()}
        for file, names in values.items()
    }


class _Assign(ast.NodeTransformer):
    """Follow every assignment to a name by one of the value that is given for it."""

    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self.values = values

    def visit_Assign(self, node: ast.stmt) -> list[ast.stmt]:
        """Add the assignments."""
        names = [
            one.id
            for one in ast.walk(node)
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
        ]
        return [
            node,
            *(
                ast.Assign([ast.Name(name, ast.Store())], copy.deepcopy(self.values[name]))
                for name in names
                if name in self.values
            ),
        ]

    visit_AugAssign = visit_AnnAssign = visit_Assign


@contextmanager
def _assigning(values: Mapping[str, Mapping[str, ast.expr]]):
    """Let mmengine read config files with given values for some of their variables.

    It copies each file before it runs it; the copy gets the values.
    """
    from mmengine.config import Config

    plain = Config._substitute_predefined_vars

    def substitute(filename: str, copied: str) -> None:
        plain(filename, copied)
        if values.get(filename):
            tree = ast.parse(Path(copied).read_text(encoding='utf-8'))
            tree = ast.fix_missing_locations(_Assign(values[filename]).visit(tree))
            Path(copied).write_text(ast.unparse(tree), encoding='utf-8')

    Config._substitute_predefined_vars = staticmethod(substitute)
    try:
        yield
    finally:
        Config._substitute_predefined_vars = staticmethod(plain)


@contextmanager
def _mixing_what_goes_together():
    """Let mmengine merge configs by `drop_contradicted`."""
    from mmengine.config import Config

    plain = Config._merge_a_into_b

    def merge(a: dict, b: dict, allow_list_keys: bool = False) -> dict:
        if isinstance(b, Mapping):
            b = drop_contradicted(b, a, by_parts=allow_list_keys)
            a = without_idle_delete(a, b)
        return plain(a, b, allow_list_keys)

    Config._merge_a_into_b = staticmethod(merge)
    try:
        yield
    finally:
        Config._merge_a_into_b = staticmethod(plain)
