"""The command that measures an iteration: what it takes and what it prints."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mmssl.experiments.cost.adapter import Setting, load_adapter
from mmssl.experiments.cost.iteration import Iteration, generated_batch, without_weights
from mmssl.experiments.cost.report import (
    as_values,
    comparison_lines,
    lines_of,
    parameters_line,
    place,
    table_of,
)
from mmssl.experiments.cost.turns import Side, prepare, ratio, take_turns
from mmssl.utils.config.options import OptionsAction, add_cfg_options, at_least
from mmssl.utils.errors import SettingError
from mmssl.utils.processes.memory import keep_freed_memory, return_freed_memory
from mmssl.utils.setup import load_config, register_all_modules

DEVICES = ('cpu', 'cuda', 'meta')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add = parser.add_argument
    add('config', help='config file of a training')
    add('--iters', type=at_least(1), default=20, help='iterations that are timed (default 20)')
    add('--warm-up', type=at_least(0), default=3, help='iterations before them (default 3)')
    add('--amp', action='store_true', help='half precision where the device computes it well')
    add('--random-weights', action='store_true', help='do not read published weights')
    add(
        '--device',
        choices=DEVICES,
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cpu, cuda, or meta: count only, compute nothing',
    )
    add(
        '--file-size',
        type=at_least(8),
        default=384,
        help='side of the generated images (default 384)',
    )
    add('--profile', action='store_true', help='print a table of the parts of the iteration')
    add(
        '--against',
        metavar='CONFIG|PATH',
        help='measure this step in turn: a config, or a Python file with make_step(setting)',
    )
    add(
        '--against-cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='the same for the other side alone; without --against that is the same config',
    )
    add(
        '--against-malloc',
        action='store_true',
        help='measure the same config in turn with memory that glibc gives back when it is freed',
    )
    add(
        '--adapter-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='what the Python file of --against is told',
    )
    add('--out', type=Path, metavar='JSON', help='write the numbers into this file')
    add_cfg_options(parser)


def run_step(args: argparse.Namespace) -> None:
    """Measure the iteration of a config, alone or beside another, and print what was found.

    Raises:
        SettingError: options that do not go together.
    """
    if args.adapter_options and not _is_adapter(args.against):
        raise SettingError('--adapter-options needs --against with a Python file that is no config')
    register_all_modules()
    cfg = _config(args.config, args)
    first = Iteration(cfg, generated_batch(cfg, args.file_size), args.device, args.amp)
    sides = [prepare(lambda: Side(args.config, first), args.warm_up, args.device)]
    if args.against_malloc and (args.against or args.against_cfg_options):
        raise SettingError(
            '--against-malloc has the same config on both sides: leave --against out'
        )
    if args.against_malloc:
        if not keep_freed_memory():
            raise SettingError(
                '--against-malloc needs glibc, and no MALLOC_ or GLIBC_TUNABLES variable that says '
                'what it does'
            )
        name = f'{args.config}, freed memory given back'
        sides.append(prepare(lambda: Side(name, _giving_back(first)), args.warm_up, args.device))
    elif args.against or args.against_cfg_options:
        sides.append(prepare(lambda: _other_side(args, first, cfg), args.warm_up, args.device))
    if args.device != 'meta':
        take_turns(sides, args.iters, args.device)
    _print(args, cfg, first, sides)
    if args.out:
        _write(args, sides)


def _giving_back(step: Iteration) -> Callable[[], Any]:
    """Return a step whose freed memory goes back to the system, as it does by itself."""

    def run() -> Any:
        return_freed_memory()
        try:
            return step()
        finally:
            keep_freed_memory()

    return run


def _config(path: str, args: argparse.Namespace) -> Any:
    cfg = load_config(path, args.cfg_options)
    if args.random_weights:
        cfg.model = without_weights(cfg.model.to_dict())
    return cfg


def _is_adapter(path: str | None) -> bool:
    """Return whether a file defines a step and is no config."""
    return path is not None and Path(path).is_file() and 'def make_step' in Path(path).read_text()


def _other_side(args: argparse.Namespace, first: Iteration, cfg: Any) -> Side:
    options = args.against_cfg_options or {}
    if _is_adapter(args.against):
        if options:
            raise SettingError('--against-cfg-options needs a config, not a file with a step')
        pairs = dict(word.partition('=')[::2] for word in args.adapter_options)
        setting = Setting(args.device, first.dtype, first.batch, cfg, pairs)
        return Side(args.against, load_adapter(args.against, setting))
    path = args.against or args.config
    other = load_config(path, {**(args.cfg_options or {}), **options})
    if args.random_weights:
        other.model = without_weights(other.model.to_dict())
    told = ' '.join(f'{key}={value}' for key, value in options.items())
    batch = generated_batch(other, args.file_size)
    step = Iteration(other, batch, args.device, args.amp)
    return Side(f'{path} {told}'.strip(), step)


def _print(args: argparse.Namespace, cfg: Any, first: Iteration, sides: list[Side]) -> None:
    from mmssl.engine.hooks.cost_hook import process_memory

    sampler = cfg.train_dataloader.batch_sampler
    precision = str(first.dtype or torch.float32).removeprefix('torch.')
    print(
        f'{args.config}: {sampler.num_labelled} + {sampler.num_unlabelled} images, {precision}, '
        f'{args.iters} iterations on {place(args.device)}'
    )
    for side in sides:
        if len(sides) > 1:
            print(f'{side.name}:')
        for line in lines_of(side, args.device, first.dtype):
            print(f'  {line}')
        if isinstance(side.step, Iteration):
            print(f'  {parameters_line(side.step)}')
        if args.profile and side.work:
            print('\n'.join(['', *table_of(side.work), '']))
    if args.device == 'cpu':
        print(f'  the process took at most {process_memory() / 2**20:,.0f} MiB, libraries and all')
    if len(sides) > 1 and args.device != 'meta':
        print('\n'.join(comparison_lines(sides[0], sides[1], args.device)))


def _write(args: argparse.Namespace, sides: list[Side]) -> None:
    from mmssl.utils.io import write_atomic

    values: dict[str, Any] = dict(
        device=place(args.device), torch=torch.__version__, sides=[as_values(s) for s in sides]
    )
    if len(sides) > 1 and args.device != 'meta':
        values['ratio'] = ratio(sides[0].times, sides[1].times)
    write_atomic(args.out, json.dumps(values, indent=1) + '\n')
