"""Steps of several methods, without levers and with them: what one sitting on a GPU has to find."""

import argparse
import gc
import json
import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mmssl.experiments.cost.adapter import Setting, load_adapter
from mmssl.experiments.cost.iteration import Iteration, generated_batch, without_weights
from mmssl.experiments.cost.report import as_values, place
from mmssl.experiments.cost.turns import Side, prepare, ratio, take_turns
from mmssl.utils.io import write_atomic
from mmssl.utils.packaged import CONFIGS as FOLDER
from mmssl.utils.packaged import ROOT
from mmssl.utils.setup import load_config, register_all_modules

CONFIGS = [
    f'configs/{name}.py'
    for name in (
        'synfoc/prostate',
        'ua_mt/acdc',
        'ua_mt/left_atrium',
        'bcp/acdc',
        'cpc_sam/prostate',
        'mcsd/acdc',
    )
]
ADAPTER = ROOT / 'docs' / 'en' / 'released_synfoc.py'


def _side(name: str, make: Callable[[], Callable[[], Any]]) -> Side:
    return Side(name, make())


class Levers:
    """Measure config after config, and write down after each what is known.

    Args:
        args: of `tools/analysis_tools/benchmark_levers.py`.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.end = time.monotonic() + 60 * args.minutes
        self.found: dict[str, Any] = dict(
            device=place(args.device), torch=torch.__version__, configs={}, waits={}, left_out=[]
        )

    def run(self) -> None:
        """Measure, write the file and print the table."""
        register_all_modules()
        for path in self.args.configs:
            self._try('configs', path, self.measure)
        if not self.args.no_waiting:
            for path in one_of_each_method():
                self._try('waits', path, self.waits)
        print('\n'.join(table(self.found)))

    def _try(self, where: str, path: str, measure: Any) -> None:
        """Keep what is found, or why nothing was; one config does not end the others."""
        if time.monotonic() > self.end:
            self.found['left_out'].append(path)
        else:
            try:
                self.found[where][path] = measure(path)
            except Exception as error:
                text = f'{type(error).__name__}: {error}'
                self.found[where][path] = dict(error=text.split('\n')[0])
            gc.collect()
            if self.args.device == 'cuda':
                torch.cuda.empty_cache()
        write_atomic(self.args.out, json.dumps(self.found, indent=1) + '\n')

    def config(self, path: str, **options: Any) -> Any:
        """Return a config with random weights."""
        cfg = load_config(path, {**(self.args.cfg_options or {}), **options})
        cfg.model = without_weights(cfg.model.to_dict())
        return cfg

    def measure(self, path: str) -> dict[str, Any]:
        """Return what the steps of a config cost, in turns."""
        args, device = self.args, self.args.device
        plain, on = self.config(path), {f'speed.{name}': True for name in args.levers}
        batch, sides = generated_batch(plain, args.file_size), []

        def step(cfg: Any) -> Iteration:
            return Iteration(cfg, batch, device, amp=True)

        makers: dict[str, Callable[[], Callable[[], Any]]] = {
            'as it is': lambda: step(plain),
            ' '.join(args.levers): lambda: step(self.config(path, **on)),
        }
        if args.released and plain.model['type'] == 'SynFoC':
            options = dict(checkout=args.released)
            dtype = torch.float16 if device == 'cuda' else None
            setting = Setting(device, dtype, batch, plain, options)
            makers['released'] = lambda: load_adapter(ADAPTER, setting)
        for name, make in makers.items():
            sides.append(prepare(partial(_side, name, make), args.warm_up, device))
        take_turns(sides, args.iters, device)
        return dict(
            sides=[as_values(side) for side in sides],
            ratios={side.name: ratio(side.times, sides[0].times) for side in sides[1:]},
        )

    def waits(self, path: str) -> dict[str, Any]:
        """Compute one loss; what lets the CPU wait for the GPU ends it with an error."""
        cfg = self.config(path)
        step = Iteration(cfg, generated_batch(cfg, 64), self.args.device)
        step()  # what is made at the first call may wait
        with step.optim_wrapper.optim_context(step.model):
            data = step.model.data_preprocessor(step.batch, True)
            with nothing_waits(self.args.device):
                step.model(**data, mode='loss')
        return dict(waits=False)


@contextmanager
def nothing_waits(device: str):
    """Let PyTorch refuse what lets the CPU wait; on a CPU nothing does."""
    if device != 'cuda':
        yield
        return
    torch.cuda.set_sync_debug_mode('error')
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode('default')


def one_of_each_method() -> list[str]:
    """Return the smallest config of each folder of methods."""
    found = []
    for folder in sorted(path for path in Path(FOLDER).iterdir() if path.is_dir()):
        names = sorted(path.name for path in folder.glob('*.py'))
        lite = [name for name in names if name.startswith('lite_')] or names
        if lite and folder.name not in ('_base_', 'medsam'):
            found.append(f'configs/{folder.name}/{lite[0]}')
    return found


def table(found: dict[str, Any]) -> list[str]:
    """Return the lines that say what was found."""
    lines = [f'{found["device"]}, PyTorch {found["torch"]}', '']
    for path, values in found['configs'].items():
        if 'error' in values:
            lines.append(f'{path}: {values["error"]}')
            continue
        for side in values['sides']:
            share = values['ratios'].get(side['name'])
            then = (
                f'{share[0]:8.3f} of the time ({share[1]:.3f} to {share[2]:.3f})' if share else ''
            )
            lines.append(
                f'{path:<34} {side["name"]:<10}{side["median_ms"]:10.1f} ms'
                f'{side["bytes_at_most"] / 2**20:10,.0f} MiB{side["flop"] / 1e9:11,.1f} GFLOP{then}'
                + (f', {side["recorded"]} graphs' if side.get('recorded') is not None else '')
            )
    bad = {path: v['error'] for path, v in found['waits'].items() if 'error' in v}
    lines += ['', f'{len(found["waits"]) - len(bad)} losses without waiting']
    lines += [f'  {path}: {error}' for path, error in bad.items()]
    if found['left_out']:
        lines.append(f'left out for lack of time: {", ".join(found["left_out"])}')
    return lines
