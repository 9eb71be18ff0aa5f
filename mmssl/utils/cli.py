"""What the command line tools share: errors as one line, and exit codes."""

import difflib
import errno
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType

from mmssl.utils.machine import loading_fault, no_room, place_gone
from mmssl.utils.processes import end_with_launcher
from mmssl.utils.signals import signals
from mmssl.utils.threads import wait_quietly

PACKAGE = Path(__file__).resolve().parents[1]
USER_ERRORS = (ValueError, LookupError, OSError, FloatingPointError, ImportError, TypeError)
# Of the machine, wherever they come up: no right, no folder, no room.
NO_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOSPC)
BUILDERS = ('build_from_cfg', 'build_runner_from_cfg', 'build_model_from_cfg')

# Exit codes: something the user can set right, and a name that does not exist in a config.
USER_ERROR, TYPO = 1, 2


def run(main: Callable[[], None]) -> None:
    """Run a tool; print what a user can set right as one line, and exit with a code.

    Errors that mmssl raises on purpose end with code 1, an unknown component in a config with 2,
    Ctrl-C with 130, another signal that asks to end with 75. Everything else, and everything with
    `MMSSL_DEBUG=1`, shows its traceback.
    """
    end_with_launcher()
    wait_quietly()
    try:
        main()
    except KeyboardInterrupt as interrupt:
        _say_interrupted(interrupt)
    except Exception as error:
        if signals.raised:  # a library made something else of the interruption
            _say_interrupted(KeyboardInterrupt())
        if os.environ.get('MMSSL_DEBUG', '0') not in ('', '0'):
            raise
        text, code = explain(error)
        if text is None:
            raise
        rank = os.environ.get('RANK', os.environ.get('SLURM_PROCID'))
        where = f'[rank {rank}] ' if rank is not None else ''
        print(f'{where}error: {text}', file=sys.stderr)
        _leave(code)


def _say_interrupted(interrupt: KeyboardInterrupt) -> None:
    text = str(interrupt)
    print(f'\ninterrupted{": " + text if text else ""}', file=sys.stderr)
    _leave(signals.exit_code())


def is_first(launcher: str) -> bool:
    """Tell whether this is the first of the processes that a launcher started."""
    rank = os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0'))
    return launcher == 'none' or rank == '0'


def _leave(code: int) -> None:
    # A rank that waits for the others at exit would keep the failure from them.
    sys.stdout.flush()
    sys.stderr.flush()
    if 'RANK' in os.environ or 'SLURM_PROCID' in os.environ:
        os._exit(code)
    sys.exit(code)


def explain(error: BaseException) -> tuple[str | None, int]:
    """Return the line for a user and the exit code; None if the error is no user's."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    text = unknown_component(error, frames) or unknown_option(error, frames)
    if text is not None:
        return text, TYPO
    text = (missing_type(error) or wrong_channels(error) or lonely_image(error)
            or no_place(error) or loading_fault(error))
    if text is not None:
        return text, USER_ERROR
    if isinstance(error, USER_ERRORS) and (_raised_here(error.__traceback__) or _in_worker(error)):
        return message(error), USER_ERROR
    return no_room(error) or place_gone(error), USER_ERROR


def message(error: BaseException) -> str:
    """Return an error's own words, also when a data loading worker passed it on."""
    text = str(error.args[0]) if len(error.args) == 1 else str(error)
    if 'Original Traceback' in text:
        text = re.split(rf'\n(?:[\w.]+\.)?{type(error).__name__}: ', text)[-1]
        if isinstance(error, KeyError):
            text = text.strip().strip('"\'')
    return ' '.join(text.split())


def _raised_here(trace: TracebackType | None) -> bool:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and _is_ours(trace.tb_frame.f_code.co_filename)


def _in_worker(error: BaseException) -> bool:
    files = re.findall(r'File "([^"]+)", line', str(error))
    return 'Original Traceback' in str(error) and bool(files) and _is_ours(files[-1])


def _is_ours(file: str) -> bool:
    path = Path(file).resolve()
    return path.is_relative_to(PACKAGE) or path.is_relative_to(PACKAGE.parent / 'tools')


def unknown_component(error: BaseException, frames: list[FrameType]) -> str | None:
    """Explain a component name that no registry has, with the nearest names that exist."""
    found = re.search(r"'?([\w.]+) is not in the (?:[\w.]+::)?([\w -]+) registry", str(error))
    if not isinstance(error, KeyError) or found is None:
        return None
    name, kind = found.groups()
    registries = [f.f_locals.get('registry') for f in frames if f.f_code.co_name in BUILDERS]
    known = _names(registries[-1]) if registries and registries[-1] is not None else []
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    near = near or [k for k in known if k.lower() == name.lower()][:3]
    hint = f'; did you mean {" or ".join(repr(n) for n in near)}?' if near else (
        '; if it is your own, name its module in custom_imports'
    )
    return f'component "{name}" is not in the registry "{kind}"{hint}'.replace("'", '"')


def _names(registry) -> list[str]:
    names = []
    while registry is not None:
        names += list(registry.module_dict)
        for scope, child in registry.children.items():
            names += [f'{scope}.{name}' for name in child.module_dict]
        registry = registry.parent
    return names


def unknown_option(error: BaseException, frames: list[FrameType]) -> str | None:
    """Explain an option that a component does not have, with the nearest that it has."""
    found = re.search(r"got an unexpected keyword argument '(\w+)'", str(error))
    builder = next((f for f in reversed(frames) if f.f_code.co_name in BUILDERS), None)
    if not isinstance(error, TypeError) or found is None or builder is None:
        return None
    component = builder.f_locals.get('obj_cls')
    makers = _constructors(component)
    passed_on = frames[frames.index(builder) + 1 :]  # as `**kwargs`, to a base class
    if any(frame.f_code not in [make.__code__ for make in makers] for frame in passed_on):
        return None
    known = _options(makers)
    near = difflib.get_close_matches(found.group(1), known, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f'it has {", ".join(known)}'
    return f'"{component.__name__}" has no option "{found.group(1)}"; {hint}'


def no_place(error: BaseException) -> str | None:
    """Explain that something cannot be written where it belongs."""
    if not isinstance(error, OSError) or error.errno not in NO_PLACE or error.filename is None:
        return None
    return (f'"{error.filename}": {error.strerror}; choose another place, for example with '
            '--work-dir, or set its rights')


def missing_type(error: BaseException) -> str | None:
    """Explain that options were given to a component which no base config names."""
    text = str(error.args[0]) if error.args else ''
    found = re.search(r'must contain the key "type", but got (\{.*\})', text, re.DOTALL)
    if not isinstance(error, KeyError) or found is None:
        return None
    given = ' '.join(found.group(1).split())
    return f'a component has options, {given}, but no "type": say what it is, type=...'


def wrong_channels(error: BaseException) -> str | None:
    """Explain that a network takes grey images and is given colour ones, or the other way round."""
    found = re.search(r'to have ([13]) channels, but got ([13]) channels instead', str(error))
    if not isinstance(error, RuntimeError) or found is None:
        return None
    wanted, given = found.groups()
    repeat = ', or data_preprocessor.sizes.<student>.channels=3' if given == '1' else ''
    return (f'a network takes images of {wanted} channel(s), the data set gives {given}: set '
            f'in_channels={given} in the backbone of the student{repeat}')


def lonely_image(error: BaseException) -> str | None:
    """Explain that a network has no batch statistics of one image."""
    if not isinstance(error, ValueError) or 'more than 1 value per channel' not in str(error):
        return None
    return ('a network with BatchNorm, which needs two values of each channel, is given one image '
            'of one process: raise batch_sampler.num_labelled and num_unlabelled to two for each '
            "process, or give the student norm_cfg=dict(type='GN', num_groups=...)")


def _constructors(component: Callable | None) -> list[Callable]:
    """Return the functions that make a component: of a class, its `__init__` and its bases'."""
    if not inspect.isclass(component):
        return [component] if inspect.isfunction(component) else []
    found = (vars(base).get('__init__') for base in inspect.getmro(component))
    return [make for make in found if inspect.isfunction(make)]


def _options(makers: Sequence[Callable]) -> list[str]:
    """Return the names that the first of the functions takes, or passes on to the next one."""
    known: list[str] = []
    for make in makers:
        parameters = inspect.signature(make).parameters.values()
        known += [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in dict.fromkeys(known) if name != 'self']
