"""Measure what a training iteration of a config costs on this machine: time and memory."""

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from mmssl.experiments.timed_pipeline import (
    build_steps,
    cpu_name,
    run_steps,
    synthetic_samples,
    training_dataset,
)
from mmssl.structures import Step
from mmssl.utils.cli import Parser, run
from mmssl.utils.setup import load_config, register_all_modules

EXAMPLES = """examples:
  python tools/analysis_tools/benchmark_step.py configs/synfoc/prostate.py --random-weights --amp
  python tools/analysis_tools/benchmark_step.py configs/cps/acdc.py --device cpu --iters 3

The batch has the config's size and views, of generated images; no file is read but the weights
that the config names, and with --random-weights not those either: time and memory are the same.
exit codes: 1 something to set right, 2 unknown component or option, 70 not foreseen"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    from mmssl.utils.config.options import add_cfg_options, at_least

    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help='config file of a training')
    add('--iters', type=int, default=20, help='iterations that are timed (default 20)')
    add('--warm-up', type=int, default=3, help='iterations before them (default 3)')
    add('--amp', action='store_true', help='half precision where the device computes it well')
    add('--random-weights', action='store_true', help='do not read published weights')
    add('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='cpu or cuda')
    add(
        '--file-size',
        type=at_least(8),
        default=384,
        help='side of the generated images (default 384)',
    )
    add_cfg_options(parser)
    return parser.parse_args(argv)


def without_weights(node: Any) -> Any:
    """Return a config in which nothing names a file of published weights."""
    if isinstance(node, Mapping):
        new = {key: without_weights(value) for key, value in node.items()}
        return {**new, 'checkpoint': None} if 'checkpoint' in new and 'arch' in new else new
    if isinstance(node, (list, tuple)):
        return [without_weights(item) for item in node]
    return node


def generated_batch(cfg, side: int) -> dict:
    """Return a collated batch as the config's loader would give it, of generated images."""
    from mmssl.registry import FUNCTIONS

    loader, dataset = cfg.train_dataloader, training_dataset(cfg)
    counts = {True: loader.batch_sampler.num_labelled, False: loader.batch_sampler.num_unlabelled}
    samples = synthetic_samples(dataset, side, max(counts.values()))
    prepare, batch = build_steps(dataset.prepare, skip_loading=True), []
    for labelled, count in counts.items():
        own = dataset.get('labelled_pipeline' if labelled else 'unlabelled_pipeline')
        steps = build_steps(own or dataset.get('pipeline', []))
        for index, raw in enumerate(samples[labelled][:count]):
            results, _ = run_steps(prepare, dict(raw))
            results['rng'] = np.random.default_rng([index, int(labelled)])
            batch.append(run_steps(steps, results)[0])
    return FUNCTIONS.get(loader.collate_fn.type)(batch)


def build(cfg, device: str, amp: bool) -> tuple[nn.Module, Any]:
    """Return the model and its optimisers, in the middle of the training."""
    from mmengine.optim import build_optim_wrapper

    from mmssl.engine.data_facts import build_model
    from mmssl.engine.optim import use_amp

    model = build_model(cfg)
    model.step = Step(cfg.train_cfg.max_iters // 2, cfg.train_cfg.max_iters)
    model.init_weights()
    model.to(device).train()
    return model, build_optim_wrapper(
        model, use_amp(cfg.optim_wrapper) if amp else cfg.optim_wrapper
    )


def step_times(
    model: nn.Module, optim_wrapper, batch: dict, warm_up: int, iters: int, device: str
) -> Iterator[float]:
    """Give the seconds of each iteration after the warm-up, waiting for the device."""
    wait = torch.cuda.synchronize if device == 'cuda' else (lambda: None)
    for i in range(warm_up + iters):
        if i == warm_up and device == 'cuda':
            torch.cuda.reset_peak_memory_stats()
        wait()
        start = time.perf_counter()
        for phase in range(getattr(model, 'phases', 1)):
            model.step = model.step._replace(phase=phase)
            losses = model.train_step(batch, optim_wrapper)
        wait()
        if i >= warm_up:
            yield time.perf_counter() - start
    bad = [name for name, value in losses.items() if not value.isfinite()]
    if bad:
        raise ValueError(f'{", ".join(bad)} became NaN or infinite on generated images')


def main(argv: Sequence[str] | None = None) -> None:
    """Print the time of an iteration and the memory it needs."""
    from mmssl.engine.hooks.cost_hook import process_memory

    args = parse_args(argv)
    if args.iters < 1 or args.warm_up < 0:
        raise ValueError(f'--iters {args.iters} must be at least 1, --warm-up {args.warm_up} 0')
    if args.device not in ('cpu', 'cuda'):
        raise ValueError(f'--device {args.device} must be cpu or cuda')
    register_all_modules()
    cfg = load_config(args.config, args.cfg_options)
    if args.random_weights:
        cfg.model = without_weights(cfg.model.to_dict())
    batch = generated_batch(cfg, args.file_size)
    model, optim_wrapper = build(cfg, args.device, args.amp)
    times = list(step_times(model, optim_wrapper, batch, args.warm_up, args.iters, args.device))
    counts = [
        sum(p.numel() for p in model.parameters() if p.requires_grad or everything)
        for everything in (False, True)
    ]
    sampler = cfg.train_dataloader.batch_sampler
    memory = torch.cuda.max_memory_allocated() if args.device == 'cuda' else process_memory()
    where = torch.cuda.get_device_name() if args.device == 'cuda' else cpu_name()
    precision = optim_wrapper.precision.name if hasattr(optim_wrapper, 'precision') else 'float32'
    print(
        f'{args.config}: {sampler.num_labelled} + {sampler.num_unlabelled} images, '
        f'{precision}, {args.iters} iterations on {where}, '
        f'{torch.get_num_threads()} threads'
    )
    print(
        f'{1e3 * statistics.median(times):.1f} ms an iteration (median; '
        f'{1e3 * min(times):.1f} to {1e3 * max(times):.1f}), peak memory '
        f'{memory / 2**20:.0f} MiB, {counts[0]:,} of {counts[1]:,} parameters learn'
    )


if __name__ == '__main__':
    run(main)
