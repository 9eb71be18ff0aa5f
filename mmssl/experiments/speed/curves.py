"""Whether a lever changes what is learnt by more than another seed does."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmssl.experiments.speed.start import phantom
from mmssl.utils.config.options import OptionsAction, at_least, seeds

WINDOWS = 10


def add_curves(commands: argparse._SubParsersAction) -> None:
    """Describe the command `curves`."""
    parser = commands.add_parser('curves', help='loss curves with and without levers, by seed')
    add = parser.add_argument
    add('config', nargs='?', default='synfoc/lite_phantom.py', help='config of the training')
    add('--data-root', metavar='DIR', help='its data; without it a phantom is written first')
    add('--iters', type=at_least(WINDOWS), default=200, help='of each training (default: 200)')
    add('--seeds', type=seeds, default=[0, 1, 2], help='two or more (default: 0,1,2)')
    add('--amp', action='store_true', help='the other side trains in half precision')
    add(
        '--against-cfg-options',
        nargs='+',
        default={},
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='options of the other side, such as speed.fast=True',
    )
    parser.set_defaults(run=run_curves)


def run_curves(args: argparse.Namespace) -> None:
    """Train with and without, for every seed, and print how far the curves are apart.

    Raises:
        ValueError: there is one seed alone, or nothing that differs.
    """
    if len(args.seeds) < 2:
        raise ValueError('--seeds needs two or more: their spread is the measure')
    if not (args.amp or args.against_cfg_options):
        raise ValueError('give the other side something: --amp or --against-cfg-options')
    with tempfile.TemporaryDirectory() as folder:
        data = args.data_root or phantom(Path(folder, 'data'))
        options = {
            'data_root': data,
            'train_cfg.max_iters': args.iters,
            'train_cfg.val_interval': args.iters + 1,
            'default_hooks.logger.interval': 1,
            'default_hooks.checkpoint.interval': args.iters,
        }
        sides: list[dict[int, list[float]]] = [{}, {}]
        for seed in args.seeds:
            own = {**options, 'randomness.seed': seed}
            sides[0][seed] = curve(args.config, Path(folder, f'plain{seed}'), own)
            other = {**own, **args.against_cfg_options}
            words = ['--amp'] * args.amp
            sides[1][seed] = curve(args.config, Path(folder, f'other{seed}'), other, words)
            print(f'seed {seed}: {args.iters} iterations with and without', flush=True)
    print('\n'.join(report(*sides)))


def curve(
    config: str, work_dir: Path, options: Mapping[str, object], words: Sequence[str] = ()
) -> list[float]:
    """Train, and return the mean loss of each of ten parts of the training.

    Raises:
        SystemExit: the training failed, and has said why.
    """
    given = [f'{key}={value}' for key, value in options.items()]
    command = [sys.executable, '-m', 'mmssl', 'train', config, *words, '--cfg-options', *given]
    ended = subprocess.run([*command, f"work_dir='{work_dir}'"], stdout=subprocess.DEVNULL)
    if ended.returncode:
        raise SystemExit(ended.returncode if ended.returncode > 0 else 128 - ended.returncode)
    (file,) = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    losses = [line['loss'] for line in lines if 'loss' in line]
    size = len(losses) / WINDOWS
    parts = (losses[round(i * size) : round((i + 1) * size)] for i in range(WINDOWS))
    return [statistics.fmean(part) for part in parts]


def report(plain: Mapping[int, Sequence[float]], other: Mapping[int, Sequence[float]]) -> list[str]:
    """Return the lines of the report.

    Args:
        plain: seed to curve, without the levers.
        other: the same with them.
    """
    lines = ['part      without: mean and spread of seeds      with: mean']
    inside = 0
    for i in range(WINDOWS):
        one, two = ([found[i] for found in side.values()] for side in (plain, other))
        low, high, mean = min(one), max(one), statistics.fmean(two)
        inside += low <= mean <= high
        lines.append(
            f'{i + 1:4}     {statistics.fmean(one):9.4f} ({low:.4f} to {high:.4f}){mean:16.4f}'
        )
    names = list(plain)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    between = statistics.fmean(_apart(plain[a], plain[b]) for a, b in pairs)
    within = statistics.fmean(_apart(plain[seed], other[seed]) for seed in names)
    lines.append(
        f'with and without, same seed: {within:.4f} apart (root mean square); two seeds: '
        f'{between:.4f}; the mean with lies in the spread in {inside} of {WINDOWS} parts'
    )
    return lines


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    return statistics.fmean((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
