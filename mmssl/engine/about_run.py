"""What started a training or a test, on what machine, with which versions."""

import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch

import mmssl
from mmssl.utils.io import read_json, write_atomic
from mmssl.utils.packaged import TOOLS, typed_command

FILE = 'about.json'
PACKAGES = ('torch', 'onedl-mmengine', 'onedl-mmsegmentation', 'numpy', 'monai')


def about_now() -> dict[str, Any]:
    """Return the command, the time, the versions and the machine of this process."""
    cuda = torch.cuda.is_available()
    return {
        'command': _command(),
        'time': time.strftime('%Y-%m-%d %H:%M:%S %z'),
        'commit': _commit(),
        'versions': {
            'mmssl': mmssl.__version__,
            'Python': platform.python_version(),
            **{name: version for name in PACKAGES if (version := _version(name))},
        },
        'machine': {
            'device': torch.cuda.get_device_name() if cuda else _processor(),
            'devices': int(os.environ.get('WORLD_SIZE', 1)),
            'cores': os.cpu_count(),
            'threads': torch.get_num_threads(),
            'system': f'{platform.system()} {platform.machine()}',
        },
    }


def note_start(
    work_dir: str | Path, iteration: int, dataset: Any = None, students: Any = None
) -> None:
    """Add to `about.json` in a work folder what starts, or goes on, at an iteration.

    The file has an entry for each sitting, under the iteration it began with.

    Args:
        work_dir: the folder.
        iteration: where the sitting begins.
        dataset: the training data; with `samples`, those of each domain are counted.
        students: name to network; the parameters of each are counted, all and those trained.
    """
    path = Path(work_dir) / FILE
    sittings = {k: v for k, v in read_json(path, {}).items() if int(k) < iteration}
    sittings[str(iteration)] = {
        **about_now(),
        'data': _count(getattr(dataset, 'samples', ())),
        'networks': {name: _parameters(network) for name, network in (students or {}).items()},
    }
    write_atomic(path, json.dumps(sittings, indent=1, ensure_ascii=False) + '\n')


def _parameters(network: torch.nn.Module) -> dict[str, int]:
    every = [*network.parameters()]
    return {
        'parameters': sum(one.numel() for one in every),
        'trained': sum(one.numel() for one in every if one.requires_grad),
    }


def _count(samples: Iterable[Any]) -> dict[str, dict[str, int]]:
    """Return domain to its number of images, labelled ones, patients and labelled patients."""
    found: dict[str, dict[str, Any]] = {}
    for one in samples:
        kinds = found.setdefault(
            one.domain, {'images': [], 'labelled': [], 'cases': set(), 'labelled_cases': set()}
        )
        kinds['images'].append(one)
        kinds['cases'].add(one.case)
        if one.labelled:
            kinds['labelled'].append(one)
            kinds['labelled_cases'].add(one.case)
    return {domain: {k: len(v) for k, v in kinds.items()} for domain, kinds in found.items()}


def _command() -> str:
    script = Path(sys.argv[0]).resolve()
    own = script.relative_to(TOOLS.parent) if script.is_relative_to(TOOLS) else sys.argv[0]
    words = typed_command() or ['python', str(own)]
    return shlex.join([*words, *sys.argv[1:]])


@cache
def _commit() -> str | None:
    """Return the commit of the repository that the package lies in, `+` where it is changed."""
    root = Path(mmssl.__file__).resolve().parents[1]
    if not (root / '.git').exists():
        return None
    said = []
    for words in (['rev-parse', '--short=10', 'HEAD'], ['status', '--porcelain', '-uno']):
        try:
            done = subprocess.run(
                ['git', '-C', str(root), *words], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode:
            return None
        said.append(done.stdout.strip())
    return said[0] + '+' * bool(said[1])


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        return next(line.partition(':')[2].strip() for line in lines if 'model name' in line)
    except (OSError, StopIteration):
        return platform.processor() or 'CPU'
