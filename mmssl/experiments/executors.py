"""Where the runs of a grid take place: the options of the command line, and what they mean."""

import argparse
import os
from pathlib import Path

from mmssl.experiments.local import Local
from mmssl.experiments.runs import Executor
from mmssl.utils.config.options import at_least, split_option


def add_executor_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where runs take place."""
    add = parser.add_argument
    add(
        '--gpus',
        help='all, or GPUs separated by commas, one run at a time on each; a GPU named twice '
        'gets two (default: one run at a time)',
    )
    add(
        '--processes',
        type=at_least(1),
        default=1,
        metavar='N',
        help='processes of a run, each with a GPU of its own (default: 1)',
    )
    add(
        '--time-limit',
        type=at_least(1),
        metavar='MINUTES',
        help='end a run that takes longer in one go, for example because it hangs; on Slurm the '
        'time asked for, after which a run that got further is put into the queue again '
        '(default: none, on Slurm a day)',
    )
    add(
        '--executor',
        choices=('local', 'slurm'),
        default='local',
        help='where the runs take place: on this machine, or as jobs of a Slurm cluster',
    )
    add('--partition', help='partition of the Slurm cluster')
    add(
        '--slurm',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='what else is asked of Slurm, e.g. account=lab cpus_per_task=8 gpus_per_node=0',
    )


def make_executor(args: argparse.Namespace, folder: Path) -> Executor:
    """Return where the runs take place.

    The processes of this machine need no library and end with the command; a cluster's jobs, which
    outlive it, are submitit's.

    Args:
        args: the command line, with the options of `add_executor_arguments`.
        folder: of the runs.

    Raises:
        ValueError: there is no such place here.
    """
    if args.executor == 'local':
        limit = None if args.time_limit is None else 60.0 * args.time_limit
        return Local(slots(args.gpus, args.processes), limit)
    from mmssl.experiments.cluster import DAY, Slurm

    minutes = args.time_limit or DAY
    return Slurm(folder / 'slurm', minutes, args.processes, slurm_options(args))


def check_executor(args: argparse.Namespace) -> None:
    """Make sure that options of one executor are not given to the other.

    Raises:
        ValueError: they are.
    """
    given = slurm_options(args)
    if args.executor == 'local' and given:
        raise ValueError(f'--partition and --slurm ({", ".join(given)}) need --executor slurm')
    if args.executor == 'slurm' and args.gpus is not None:
        raise ValueError(
            f'--gpus "{args.gpus}" names GPUs of this machine; on Slurm a run gets one for each of '
            '--processes, or what --slurm gpus_per_node=N says'
        )


def slurm_options(args: argparse.Namespace) -> dict[str, str | int]:
    """Return what is asked of Slurm, whole numbers as such."""
    given = dict(split_option(word) for word in args.slurm)
    if args.partition is not None:
        given['partition'] = args.partition
    return {key: int(value) if value.isdecimal() else value for key, value in given.items()}


def slots(gpus: str | None, processes: int = 1) -> list[str | None]:
    """Return what `CUDA_VISIBLE_DEVICES` is set to for each run at a time.

    The GPUs that this process was given (`CUDA_VISIBLE_DEVICES`, as Slurm and others set it) are
    the only ones there are, and numbers count them from 0.

    Args:
        gpus: `all`, or GPUs separated by commas; None is one run with what this process has.
        processes: of a run, a GPU for each.

    Raises:
        ValueError: there are no such GPUs, or they do not come out even.

    Example:
        >>> slots(None), slots('0,0')  # doctest: +SKIP
        ([None], ['0', '0'])
    """
    if gpus is None:
        return [None]
    given = _given()
    names = gpus.split(',')
    if '' in names:
        raise ValueError(f'--gpus "{gpus}" must be as in 0,1,2, or all')
    if gpus == 'all':
        names = _all(given)
    elif given is not None:
        names = [_known(name, given, gpus) for name in names]
    if len(names) % processes:
        raise ValueError(
            f'--gpus "{gpus}" gives {len(names)} GPU{"s" * (len(names) != 1)}, which are not '
            f'shared out evenly to runs of --processes {processes}; give a multiple of {processes}'
        )
    return [','.join(names[i : i + processes]) for i in range(0, len(names), processes)]


def _given() -> list[str] | None:
    """Return the GPUs that this process was given; None means all of the machine."""
    text = os.environ.get('CUDA_VISIBLE_DEVICES')
    if text is None:
        return None
    names = [name.strip() for name in text.split(',')]
    # CUDA takes those before the first it does not know
    end = next((i for i, name in enumerate(names) if name in ('', '-1')), len(names))
    return names[:end]


def _all(given: list[str] | None) -> list[str]:
    import torch

    if not torch.cuda.is_available():
        raise ValueError(
            '--gpus all: PyTorch finds no GPU here; leave --gpus out to train on the CPU'
        )
    return [str(i) for i in range(torch.cuda.device_count())] if given is None else given


def _known(name: str, given: list[str], gpus: str) -> str:
    if name in given and not name.isdecimal():  # GPU-..., MIG-...
        return name
    if name.isdecimal() and int(name) < len(given):
        return given[int(name)]
    raise ValueError(
        f'--gpus "{gpus}": there is no GPU {name}, CUDA_VISIBLE_DEVICES gives this process '
        f'{len(given)} ("{os.environ["CUDA_VISIBLE_DEVICES"]}"), counted from 0'
    )
