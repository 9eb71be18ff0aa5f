"""What several processes spend on each other: waiting for the slowest, exchanging gradients."""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from mmssl.utils.config.options import add_cfg_options, at_least
from mmssl.utils.processes.threads import usable_cores


@dataclass
class Spent:
    """Seconds of each iteration of one process, and what it sends."""

    iterations: list[float] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)
    exchange: list[float] = field(default_factory=list)
    buckets: list[int] = field(default_factory=list)
    """Bytes of each bucket of an iteration."""
    learning: int = 0
    frozen: int = 0

    def line(self) -> str:
        """Return the report of one process."""
        whole, waiting, exchange = (
            1e3 * statistics.median(times)
            for times in (self.iterations, self.waiting, self.exchange)
        )
        return (
            f'{whole:8.1f} ms an iteration, {waiting:.1f} ms of it waiting '
            f'({100 * waiting / whole:.1f} %), {exchange:.1f} ms exchanging '
            f'({100 * exchange / whole:.1f} %) {sum(self.buckets) / 2**20:.1f} MiB in '
            f'{len(self.buckets)} bucket{"s" * (len(self.buckets) != 1)}'
        )


class Clock:
    """Exchange the gradients of a bucket as usual, and time it.

    All processes meet before: the time until the last one is there is waiting, not exchange.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin an iteration."""
        self.waiting, self.exchange, self.buckets = 0.0, 0.0, []  # type: ignore[var-annotated]

    def average(self, state: Any, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
        """Average a bucket over the processes."""
        begin = time.perf_counter()
        dist.barrier()
        there = time.perf_counter()
        gradients = bucket.buffer()
        gradients.div_(dist.get_world_size())
        dist.all_reduce(gradients)
        self.waiting += there - begin
        self.exchange += time.perf_counter() - there
        self.buckets.append(gradients.numel() * gradients.element_size())
        done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        done.set_result(gradients)
        return done


def train_alone(rank: int, world: int, folder: str, words: dict) -> None:
    """Train as one of several processes, and write what was spent to `folder/RANK.json`."""
    from mmengine.model import MMDistributedDataParallel

    from mmssl.engine.loops import seed_everything
    from mmssl.engine.runner import exchange_options
    from mmssl.experiments.cost.iteration import Iteration, generated_batch, without_weights
    from mmssl.structures import Step
    from mmssl.utils.setup import load_config, register_all_modules

    torch.set_num_threads(words['threads'])
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=world
    )
    register_all_modules()
    cfg = load_config(words['config'], words['options'])
    cfg.model = without_weights(cfg.model.to_dict())
    seed_everything(0)
    one = Iteration(cfg, generated_batch(cfg, words['side']))
    unused = cfg.get('find_unused_parameters', False)
    model = MMDistributedDataParallel(
        one.model,
        broadcast_buffers=False,
        find_unused_parameters=unused,
        **exchange_options(one.model),
    )
    clock, spent = Clock(), Spent()
    model.register_comm_hook(None, clock.average)
    every = list(one.model.parameters())
    spent.learning = sum(p.numel() for p in every if p.requires_grad)
    spent.frozen = sum(p.numel() for p in every) - spent.learning
    for number in range(words['warm_up'] + words['iters']):
        clock.start()
        begin = time.perf_counter()
        for hook in one.teachers:
            hook.set_mode()
        for phase in range(getattr(one.model, 'phases', 1)):
            one.model.step = Step(one.iter, one.max_iters, phase)
            model.train_step(one.batch, one.optim_wrapper)
        for hook in one.teachers:
            hook.update(one.iter)
        if number >= words['warm_up']:
            spent.iterations.append(time.perf_counter() - begin)
            spent.waiting.append(clock.waiting)
            spent.exchange.append(clock.exchange)
            spent.buckets = clock.buckets
    Path(folder, f'{rank}.json').write_text(json.dumps(asdict(spent)))
    dist.destroy_process_group()


def train_together(world: int, words: dict) -> list[Spent]:
    """Start processes that train together, and return what each spent."""
    import torch.multiprocessing as mp

    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(train_alone, args=(world, folder, words), nprocs=world)
        files = [Path(folder, f'{rank}.json') for rank in range(world)]
        return [Spent(**json.loads(file.read_text())) for file in files]


def run_scaling(args: argparse.Namespace) -> None:
    """Print what an iteration spends on the other processes, and what they gain."""
    from mmssl.experiments.timed_pipeline import cpu_name

    threads = args.threads or max(1, usable_cores() // args.processes)
    words = dict(
        config=args.config,
        options=args.cfg_options,
        side=args.file_size,
        threads=threads,
        iters=args.iters,
        warm_up=args.warm_up,
    )
    alone, together = train_together(1, words), train_together(args.processes, words)
    print(
        f'{args.config}: {args.processes} processes of {threads} threads through gloo, '
        f'{args.iters} iterations on {cpu_name()}'
    )
    for rank, spent in enumerate(together):
        print(f'process {rank}{spent.line()}')
    one = statistics.median(alone[0].iterations)
    slowest = max(statistics.median(spent.iterations) for spent in together)
    print(
        f'alone    {1e3 * one:8.1f} ms an iteration: {args.processes} processes take '
        f'{args.processes * one / slowest:.2f} times the images in the same time'
    )
    print(
        f'{together[0].learning:,} parameters learn, and their gradients travel; '
        f'{together[0].frozen:,} do not'
    )


def add_scaling(commands: argparse._SubParsersAction) -> None:
    """Describe the command `scaling`."""
    parser = commands.add_parser('scaling', help='what processes spend on waiting and exchange')
    parser.add_argument('config', help='config file of a training')
    parser.add_argument('--processes', type=at_least(2), default=2, help='default: 2')
    parser.add_argument('--threads', type=at_least(1), help='of each (default: cores / processes)')
    parser.add_argument('--iters', type=at_least(1), default=10, help='timed iterations')
    parser.add_argument('--warm-up', type=at_least(0), default=2, help='iterations before them')
    parser.add_argument(
        '--file-size', type=at_least(8), default=384, help='side of the generated images'
    )
    add_cfg_options(parser)
    parser.set_defaults(run=run_scaling)
