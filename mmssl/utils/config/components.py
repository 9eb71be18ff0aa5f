"""Check a component's config where a registry builds it: its name, its options, their types."""

import difflib
import functools
import inspect
import os
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from mmengine.registry import Registry

from mmssl.utils.errors import SettingError, UnknownComponent, UnknownOption, did_you_mean, shown

# What a value may be where a type is asked for; a config writes tuples as lists and paths as text.
FITTING: dict[Any, tuple[type, ...]] = {
    int: (Integral,), float: (Real,), bool: (bool,), str: (str,), type(None): (type(None),),
    list: (list, tuple), tuple: (list, tuple), Sequence: (list, tuple), dict: (Mapping,),
    Mapping: (Mapping,), os.PathLike: (str, os.PathLike),
}  # fmt: skip


def check_components() -> None:
    """Let every registry, of mmengine and of what builds on it, check what it is given."""
    build = Registry.build
    if hasattr(build, '__wrapped__'):
        return

    @functools.wraps(build)
    def checked(self: Registry, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        kind = 'runner_type' if self.name == 'runner' else 'type'
        options = {**(kwargs.get('default_args') or {}), **cfg} if _is_config(cfg) else {}
        component = None
        if _is_config(cfg):
            component = _look_up(self, options, kind)
            if kind == 'type':
                check_types(component, options)
        elif not isinstance(cfg, (list, type(None))) and isinstance(cfg, (str, Real)):
            raise SettingError(f'a {self.name} is {shown(cfg)}; write dict(type=...)')
        try:
            return build(self, cfg, *args, **kwargs)
        except Exception as error:
            if component is None or kind != 'type' or hasattr(error, 'component'):
                raise
            _name_option(error, component, options)
            error.component = _call(component, options)  # type: ignore[attr-defined]
            raise

    Registry.build = checked


def _is_config(cfg: Any) -> bool:
    return isinstance(cfg, Mapping) or type(cfg).__name__ == 'Config'


def _look_up(registry: Registry, options: Mapping, kind: str) -> Callable | None:
    """Return what a config asks for.

    Raises:
        SettingError: it does not say what.
        UnknownComponent: no registry has it.
    """
    name = options.get(kind)
    if callable(name) or (kind == 'runner_type' and name is None):
        return name
    given = {key: value for key, value in options.items() if key != '_scope_'}
    if name is None:
        raise SettingError(
            f'a component has options, {given}, but no "{kind}": say what it is, {kind}=...'
        )
    if not isinstance(name, str):
        raise SettingError(f'the {kind} of a {registry.name} is {shown(name)}; give its name')
    with registry.switch_scope_and_registry(options.get('_scope_')) as there:
        try:
            component = there.get(name)
        except RuntimeError:  # a dotted name that cannot be imported
            component = None
        if component is not None:
            return component
        known = list(_names(there))
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    near = near or [k for k in known if k.lower() == name.lower()][:3]
    hint = (
        f'; did you mean {" or ".join(f"{n!r}" for n in near)}?'
        if near
        else ('; if it is your own, name its module in custom_imports')
    )
    text = f'component "{name}" is not in the registry "{registry.name}"{hint}'
    raise UnknownComponent(text.replace("'", '"'))


def _names(registry: Registry | None) -> Iterator[str]:
    while registry is not None:
        yield from registry.module_dict
        for scope, child in registry.children.items():
            yield from (f'{scope}.{name}' for name in child.module_dict)
        registry = registry.parent


def check_types(component: Callable | None, options: Mapping[str, Any]) -> None:
    """Refuse an option whose value is of another type than the component's signature says.

    Only plain types (numbers, text, lists, ...) are compared: where a signature names a class, or
    says nothing, every value is let through.

    Raises:
        SettingError: an option is of another type.
    """
    left = set(options)
    for make in constructors(component):
        parameters = inspect.signature(make).parameters
        hints = _hints(make)
        for name in left & set(parameters) & set(hints):
            value, default = options[name], parameters[name].default
            if value is default or fits(value, hints[name]):
                continue
            raise SettingError(
                f'"{_name(component)}" has {name}={shown(value)}; it must be {said(hints[name])}'
            )
        left -= set(parameters)


@functools.cache
def _hints(make: Callable) -> dict[str, Any]:
    try:
        return typing.get_type_hints(make)
    except Exception:  # names that exist for type checkers alone
        return {}


def fits(value: Any, hint: Any) -> bool:
    """Say whether a value may be given where a type is asked for; True where that is unknown.

    >>> fits(1, float), fits('1', float), fits([1, 2], tuple[int, int]), fits(True, int)
    (True, False, True, False)
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in args)
    if origin is typing.Literal:
        return value in args
    known = _fitting(origin or hint)
    if known is None:
        return True
    if isinstance(value, bool) and bool not in known and (origin or hint) is not bool:
        return False
    if not any(isinstance(value, kind) for kind in known):
        return False
    if origin in (list, Sequence) and args:
        return all(fits(item, args[0]) for item in value)
    if origin in (dict, Mapping) and args:
        return all(fits(item, args[1]) for item in value.values())
    if origin is tuple and args:
        inner = args[:1] * len(value) if args[-1] is Ellipsis else args
        return len(inner) == len(value) and all(map(fits, value, inner))
    return True


def _fitting(kind: Any) -> tuple[type, ...] | None:
    if kind in FITTING:
        return FITTING[kind]
    if isinstance(kind, type) and issubclass(kind, os.PathLike):
        return FITTING[os.PathLike]
    name = f'{getattr(kind, "__module__", "")}.{getattr(kind, "__name__", "")}'
    return (kind,) if name == 'torch.Tensor' else None


def said(hint: Any) -> str:
    """Return a type in words.

    >>> said(int | None)
    'a whole number or None'
    """
    words = {
        int: 'a whole number',
        float: 'a number',
        bool: 'True or False',
        str: 'text',
        type(None): 'None',
        dict: 'a dict',
        Mapping: 'a dict',
        list: 'a list',
        Sequence: 'a list',
        tuple: 'a list',
    }
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return ' or '.join(dict.fromkeys(said(one) for one in args))
    if origin is typing.Literal:
        return 'one of ' + ', '.join(map(repr, args))
    inner = [said(one) for one in args if one is not Ellipsis]
    if origin in (list, Sequence, tuple) and inner:
        count = f' {len(args)}' if origin is tuple and args[-1] is not Ellipsis else ''
        return f'a list of{count} ({", ".join(dict.fromkeys(inner))})'
    if origin in (dict, Mapping) and len(args) == 2 and said(args[1]) in words.values():
        return f'a dict whose values are {said(args[1])}'
    return words.get(origin or hint, getattr(hint, '__name__', str(hint)))


def _name_option(error: Exception, component: Callable | None, options: Mapping) -> None:
    """Turn Python's complaint about an option that a component does not have into ours."""
    found = re.search(r"got an unexpected keyword argument '(\w+)'", str(error))
    if not isinstance(error, TypeError) or isinstance(error, UnknownOption) or found is None:
        return
    name, known = found.group(1), option_names(component)
    if name in options and known and name not in known:
        hint = did_you_mean(name, known)
        raise UnknownOption(f'"{_name(component)}" has no option "{name}"; {hint}') from error


def _name(component: Callable | None) -> str:
    return getattr(component, '__name__', str(component))


def _call(component: Callable | None, options: Mapping) -> str:
    given = ', '.join(
        f'{key}={shown(value)}'
        for key, value in options.items()
        if key not in ('type', '_scope_')
        and not callable(value)
        and isinstance(value, (str, Real, type(None), list, tuple))
    )
    given = f'{given[:200]} ...' if len(given) > 200 else given
    return f'{_name(component)}({given})'


def constructors(component: Callable | None) -> list[Callable]:
    """Return the functions that make a component: of a class, its `__init__` and its bases'."""
    if not inspect.isclass(component):
        return [component] if inspect.isfunction(component) else []
    found = (vars(base).get('__init__') for base in inspect.getmro(component))
    makers: list[Callable] = []
    for make in filter(inspect.isfunction, found):
        makers.append(make)
        kinds = [p.kind for p in inspect.signature(make).parameters.values()]
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break  # nothing is passed on
    return makers


def option_names(component: Callable | None) -> list[str]:
    """Return the names that a component takes, or passes on to its bases."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = [
        p.name
        for make in constructors(component)
        for p in inspect.signature(make).parameters.values()
        if p.kind in kinds
    ]
    return [name for name in dict.fromkeys(names) if name != 'self']
