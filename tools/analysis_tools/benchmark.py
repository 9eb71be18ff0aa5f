"""Measure what a config costs.

python tools/analysis_tools/benchmark.py pipeline CONFIG [--number N] [--synthetic]
python tools/analysis_tools/benchmark.py predict CONFIG CHECKPOINT [--phantom SIDE]
python tools/analysis_tools/benchmark.py start [CONFIG] [--imports]
python tools/analysis_tools/benchmark.py scaling CONFIG [--processes N]
python tools/analysis_tools/benchmark.py step CONFIG [--profile] [--against CONFIG|PATH]
"""

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

# An iteration and a start take the cores that a training does.
if not {'step', 'start', 'scaling'} & set(sys.argv[1:2]):
    os.environ.setdefault('OMP_NUM_THREADS', '1')

import cv2
import numpy as np
import torch
from mmengine.config import Config, ConfigDict

from mmssl.experiments.speed import add_curves, add_scaling, add_start
from mmssl.experiments.timed_pipeline import (
    build_steps,
    cpu_name,
    run_steps,
    synthetic_samples,
    training_dataset,
)
from mmssl.registry import DATASETS
from mmssl.structures import Draw
from mmssl.utils.cli import Parser, run
from mmssl.utils.config.options import add_cfg_options, at_least
from mmssl.utils.setup import load_config


def real_samples(dataset_cfg: ConfigDict, number: int) -> dict[bool, list[dict]]:
    """Return the raw results (paths, label map, ...) of labelled and unlabelled files."""
    left_out = ('prepare', 'pipeline', 'labelled_pipeline', 'unlabelled_pipeline', 'cache')
    cfg = ConfigDict({key: value for key, value in dataset_cfg.items() if key not in left_out})
    dataset = DATASETS.build(cfg)
    parts = {True: dataset.labelled_indices, False: dataset.unlabelled_indices}
    return {
        labelled: [
            dict(dataset[Draw(int(index), 0, 0, labelled)])
            for index in np.resize(indices, min(number, len(indices)))
        ]
        for labelled, indices in parts.items()
    }


def measure(
    dataset_cfg: ConfigDict, samples: dict[bool, list[dict]], number: int, synthetic: bool
) -> dict[str, dict]:
    """Time the pipelines of labelled and unlabelled samples.

    Returns:
        For 'labelled' and 'unlabelled': `prepare`, `median` and `mean` in ms per sample, and
        `rows`, the (name, mean ms) of every transform.
    """
    report = {}
    for labelled, name in ((True, 'labelled'), (False, 'unlabelled')):
        if not samples[labelled]:
            continue
        prepare = build_steps(dataset_cfg.prepare, skip_loading=synthetic)
        prepared = [run_steps(prepare, dict(raw)) for raw in samples[labelled]]
        config = dataset_cfg.get(f'{name}_pipeline') or dataset_cfg.get('pipeline', [])
        warm_up, steps = build_steps(config), build_steps(config)
        totals = []
        for iteration in range(-3, number):
            results = dict(prepared[iteration % len(prepared)][0])
            results['rng'] = np.random.default_rng([iteration + 3, 0, int(not labelled)])
            _, ms = run_steps(steps if iteration >= 0 else warm_up, results)
            totals += [ms] * (iteration >= 0)
        report[name] = dict(
            prepare=float(np.median([ms for _, ms in prepared])),
            median=float(np.median(totals)),
            mean=float(np.mean(totals)),
            rows=[row for step in steps for row in step.rows()],
        )
    return report


def print_report(report: dict[str, dict]) -> None:
    """Print one table for each kind of sample, and the two numbers that count."""
    for name, part in report.items():
        print(f'\n{name} sample: mean ms of each transform and its share')
        for row, ms in part['rows']:
            print(f'  {row:<28}{ms:9.3f}{100 * ms / part["mean"]:8.1f} %')
        print(f'  {"sum":<28}{part["mean"]:9.3f}{100:8.1f} %')
    print()
    for name, part in report.items():
        print(
            f'{name:<11} {part["median"]:7.2f} ms per sample (median; mean {part["mean"]:.2f}), '
            f'after {part["prepare"]:.2f} ms of preparation, once for each image if cached'
        )


def feeding(report: dict[str, dict], sampler: Mapping, step_ms: float) -> str:
    """Say how many cores make the samples of an iteration while another one is computed.

    Args:
        report: what `measure` found.
        sampler: config of the batch sampler, with the number of samples of each kind.
        step_ms: time of an iteration.
    """
    counts = {name: int(sampler.get(f'num_{name}') or 0) for name in report}
    warm = sum(count * report[name]['mean'] for name, count in counts.items())
    cold = warm + sum(count * report[name]['prepare'] for name, count in counts.items())
    batch = ' + '.join(str(count) for count in counts.values())
    cores = [*dict.fromkeys(str(math.ceil(time / step_ms)) for time in (warm, cold))]
    return (
        f'{batch} samples take {warm:.1f} ms of a core, {cold:.1f} ms with their preparation: '
        f'{" to ".join(cores)} core{"s" * (cores != ["1"])} for an iteration every {step_ms:g} ms'
    )


def load_samples(
    dataset_cfg: ConfigDict, args: argparse.Namespace
) -> tuple[dict[bool, list[dict]], str]:
    """Return samples to measure on and their description; synthetic ones if there are no files."""
    why = '--synthetic'
    if not args.synthetic:
        try:
            samples = real_samples(dataset_cfg, args.images)
            return samples, f'images of {dataset_cfg.get("data_root")}'
        except FileNotFoundError as error:
            why = str(error)
    args.synthetic = True
    samples = synthetic_samples(dataset_cfg, args.file_size, args.images)
    shape = samples[False][0]['img'].shape
    return samples, f'synthetic images {shape[0]} x {shape[1]} x {shape[2]} ({why})'


def run_pipeline(args: argparse.Namespace) -> None:
    """Print the time of the training pipelines of a config, on one thread."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    cfg = load_config(args.config, args.cfg_options)
    dataset_cfg = training_dataset(cfg)
    samples, source = load_samples(dataset_cfg, args)
    print(f'{args.config}: {args.number} samples of each kind, {source}')
    print(f'threads=1 on {cpu_name()}')
    report = measure(dataset_cfg, samples, args.number, args.synthetic)
    print_report(report)
    if sampler := (cfg.get('train_dataloader') or {}).get('batch_sampler'):
        print(feeding(report, sampler, args.step_ms))


def add_pipeline(commands: argparse._SubParsersAction) -> None:
    """Describe the command `pipeline`."""
    parser = commands.add_parser('pipeline', help='time of a training sample, by transform')
    parser.add_argument('config', help='config file')
    parser.add_argument('--number', type=at_least(1), default=200, help='samples of each kind')
    parser.add_argument('--images', type=at_least(1), default=16, help='different ones of them')
    parser.add_argument('--synthetic', action='store_true', help='generated images, no files')
    parser.add_argument('--file-size', type=at_least(8), default=384, help='their side in pixels')
    parser.add_argument(
        '--step-ms',
        type=float,
        default=45.0,
        help='time of an iteration that has to be fed (default: %(default)g)',
    )
    add_cfg_options(parser)
    parser.set_defaults(run=run_pipeline)


def ways_to_predict(
    cfg: Config, checkpoint: str | None, folder: str
) -> tuple[dict[str, Callable[[], object]], int]:
    """Return how a config's test images are predicted, by name, and the number of them.

    Args:
        cfg: the config; its test data set is read from the files each time.
        checkpoint: weights of the model; None for random ones.
        folder: for what is written.
    """
    from mmssl.apis import init_model
    from mmssl.apis.prediction import Predictor, Wishes
    from mmssl.apis.prediction.folder import Extras, PredictionFolder
    from mmssl.apis.prediction.inputs import Chosen, Item
    from mmssl.registry import RUNNERS

    cfg.test_dataloader.dataset.cache = False
    cfg.update(load_from=checkpoint, work_dir=folder, log_level='ERROR', launcher='none')
    cfg.setdefault('runner_type', 'SemiRunner')
    runner = RUNNERS.build(cfg)
    runner.test()
    loop = runner.test_loop
    metrics, dataset = loop.evaluator.metrics, loop.dataloader.dataset
    paths = dict.fromkeys(str(sample.img_path) for sample in dataset.samples)
    items = [Item(Chosen(path), f'{number}.png') for number, path in enumerate(paths)]
    wishes = Wishes(batch_size=cfg.test_dataloader.batch_size)
    predictor = Predictor(init_model(cfg, checkpoint), wishes)

    batches = list(loop.dataloader)

    def forward() -> None:
        with loop.precision.autocast():
            for batch in batches:
                runner.model.test_step(batch)

    def test(scored: bool) -> None:
        loop.evaluator.metrics = metrics if scored else []
        loop.run()

    def predict() -> None:
        for _, found in predictor.stream(paths):
            if isinstance(found, Exception):
                raise found

    def write() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            PredictionFolder(Path(out), predictor, items, Extras(), {}).run()

    ways: dict[str, Callable[[], object]] = {
        'forward passes of all students': forward,
        'test loop, with scores': lambda: test(True),
        'test loop, without scores': lambda: test(False),
        'predict, masks in memory': predict,
        'predict, masks and tables written': write,
    }
    return ways, len(dataset)


def alternate(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Return the shortest times of each of several ways, which take turns.

    Returns:
        Seconds of the clock, and of a processor: what all threads computed, which other programs
        change little.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter(), time.process_time()
            way()
            times[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return {
        name: (min(clock for clock, _ in found), min(cpu for _, cpu in found))
        for name, found in times.items()
    }


def run_predict(args: argparse.Namespace) -> None:
    """Print the time of an image of the test set in the test loop, and in a prediction."""
    torch.set_num_threads(args.threads)
    cfg = load_config(args.config, args.cfg_options)
    checkpoint = None if args.checkpoint == 'none' else args.checkpoint
    with tempfile.TemporaryDirectory() as folder:
        if args.phantom:
            from mmssl.datasets.phantom.slices import PhantomSettings, write_phantom

            write_phantom(Path(folder, 'data'), PhantomSettings(size=args.phantom), progress=False)
            cfg.test_dataloader.dataset.data_root = str(Path(folder, 'data'))
        ways, images = ways_to_predict(cfg, checkpoint, folder)
        found = alternate(ways, args.rounds)
    print(f'{args.config}: {images} images, the best of {args.rounds} rounds')
    print(f'threads={args.threads} on {cpu_name()}')
    print(f'  {"":<35}{"ms an image":>14}{"ratio":>8}{"of a processor":>18}{"ratio":>8}')
    first = next(iter(found.values()))
    for name, (clock, cpu) in found.items():
        columns = f'{1e3 * clock / images:14.2f}{clock / first[0]:8.2f}'
        print(f'  {name:<35}{columns}{1e3 * cpu / images:18.2f}{cpu / first[1]:8.2f}')


def add_predict(commands: argparse._SubParsersAction) -> None:
    """Describe the command `predict`."""
    parser = commands.add_parser('predict', help='time of an image, predicted and in the test loop')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='its weights; "none" for random ones')
    parser.add_argument('--phantom', type=at_least(16), metavar='SIDE', help='images of a phantom')
    parser.add_argument('--rounds', type=at_least(1), default=5, help='of which the best counts')
    parser.add_argument('--threads', type=at_least(1), default=torch.get_num_threads())
    add_cfg_options(parser)
    parser.set_defaults(run=run_predict)


def add_step(commands: argparse._SubParsersAction) -> None:
    """Describe the command `step`, which is `benchmark_step.py`."""
    from mmssl.experiments.cost.command import add_arguments, run_step

    parser = commands.add_parser('step', help='time, memory and arithmetic of an iteration')
    add_arguments(parser)
    parser.set_defaults(run=run_step)


COMMANDS = (add_pipeline, add_predict, add_start, add_scaling, add_step, add_curves)


def main(argv: list[str] | None = None) -> None:
    """Run the command that was asked for."""
    parser = Parser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar='command')
    for add in COMMANDS:
        add(commands)
    args = parser.parse_args(argv)
    args.run(args)


if __name__ == '__main__':
    run(main)
