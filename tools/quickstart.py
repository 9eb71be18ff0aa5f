"""The main job on a small machine: data, training, the labels-only control, table, pictures.

Every step is one of the ordinary commands, printed before it runs. What is done is not done again,
and an interrupted training goes on, so the command may be stopped and repeated at any time. A few
iterations are measured first; where the whole would take longer than --minutes, all trainings are
shortened, and the table says so.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from mmssl.experiments.jobs import Job
from mmssl.experiments.local import Local
from mmssl.experiments.quickstart import MCSDJob, SynFoCJob, VolumesJob
from mmssl.experiments.runs import run_jobs
from mmssl.experiments.steps import Steps
from mmssl.experiments.table import Spread
from mmssl.experiments.time_plan import Cost, Plan, load_of_others, make_plan
from mmssl.utils import tables
from mmssl.utils.cli import Parser, run
from mmssl.utils.command import text_option
from mmssl.utils.config.options import seeds, split_option
from mmssl.utils.io import write_atomic
from mmssl.utils.processes.children import signals_interrupt

ROOT = Path(__file__).resolve().parents[1]
TRIAL = 4  # iterations that are measured, the first to warm up


JOBS = {'synfoc': SynFoCJob, 'mcsd': MCSDJob, 'volumes': VolumesJob}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='\n'.join(f'{name}: {job.__doc__}' for name, job in JOBS.items()),
    )
    parser.add_argument(
        'job', nargs='?', choices=JOBS, default='synfoc', help='what to train (default: synfoc)'
    )
    parser.add_argument(
        '--dir',
        type=Path,
        help='folder of data, runs, table and pictures '
        f'(default: {", ".join(f"{j.folder} of {n}" for n, j in JOBS.items())})',
    )
    parser.add_argument(
        '--iters',
        type=int,
        help='training iterations of each method '
        f'(default: {", ".join(f"{n} {j.iters}" for n, j in JOBS.items())}, '
        'fewer where --minutes asks for it)',
    )
    parser.add_argument(
        '--minutes',
        type=float,
        default=10.0,
        help='shorten the trainings where a '
        'seed would take longer than this; without effect beside --iters, and in '
        'a folder whose trainings have begun (default: %(default)g)',
    )
    parser.add_argument(
        '--seeds',
        type=seeds,
        default=[0],
        help='seeds, separated by commas; each one takes the whole time again (default: 0)',
    )
    args = parser.parse_args()
    if args.iters is not None and args.iters < 1 or args.minutes <= 0:
        parser.error('--iters must be 1 or more, --minutes more than 0')
    return args


def measure(job, steps: Steps, folder: Path, name: str, config: str) -> Cost:
    """Train a few iterations in a scratch folder; return what one takes, and the rest."""
    options = [
        f'train_cfg.max_iters={TRIAL}',
        'default_hooks.logger.interval=1',
        'log_processor.window_size=1',
        'val_cfg=None',
        'val_dataloader=None',
        'val_evaluator=None',
        text_option('train_dataloader.dataset.data_root', folder / job.data),
    ]
    if name == 'ddpm':
        options.append('custom_hooks.1.num=0')
    with tempfile.TemporaryDirectory(prefix='trial_', dir=folder) as scratch:
        start = time.monotonic()
        steps.train(
            f'{name}, {TRIAL} iterations to see how long it takes',
            f'{name}_trial.log',
            config,
            Path(scratch),
            options,
            quiet=True,
        )
        taken = time.monotonic() - start
        lines = [
            json.loads(line)
            for path in Path(scratch).glob('*/vis_data/scalars.json')
            for line in path.read_text().splitlines()
        ]
    times = [line['time'] for line in lines if 'time' in line]
    return Cost(TRIAL, statistics.median(times[1:]), max(taken - sum(times), 0.0))


def plan_of(job, steps: Steps, folder: Path, args: argparse.Namespace, start: float) -> Plan:
    """Return how many iterations each training has: that of the folder, or a new plan."""
    path, iters = folder / 'plan.json', args.iters or job.iters
    known = Plan.read(path)
    if (
        known
        and job.main in known.asked
        and known.asked[job.main] == iters
        and not (args.iters and known.shortened)
    ):
        if known.shortened:
            print(f'\n== {known.note()}\n   This folder goes on with that.')
        return known
    measured = {
        name: measure(job, steps, folder, name, config) for name, config in job.trials.items()
    }
    begun = known is None and any(folder.glob('seed*/*/last_checkpoint'))
    limit = None if args.iters or begun else args.minutes
    plan = make_plan(job.costs(measured, iters), time.monotonic() - start, limit)
    plan.write(path)
    print(f'\n== {plan.announce()}', flush=True)
    return plan


def job_of(job, folder: Path, method: str, seed: int, iters: int) -> Job:
    """Return the training and the test of a method."""
    work = folder / f'seed{seed}' / method
    options = [
        f'randomness.seed={seed}',
        f'train_cfg.max_iters={iters}',
        f'train_cfg.val_interval={max(1, iters // 2)}',
        f'default_hooks.logger.interval={max(1, min(10, iters // 4))}',  # points of the curves
        *job.options(folder, method, seed),
    ]
    for split in ('train', 'val', 'test'):
        options.append(text_option(f'{split}_dataloader.dataset.data_root', folder / job.data))
    return Job(
        name=f'{method}, seed {seed}, {iters} iterations',
        folder=work,
        config=job.runs[method],
        options=dict(map(split_option, options)),
        amp=True,
        tools=Path('tools'),
        lengthens=True,
        test_words=('--show-dir', str(work / 'overlays'), '--show-every', '4'),
    )


def run_all(job, steps: Steps, folder: Path, seeds: list[int], plan: Plan) -> dict:
    """Train and test what is not done; return the job of each seed and method.

    Raises:
        SystemExit: one failed.
    """
    done = {}
    for seed in seeds:
        job.before(steps, folder, seed, plan)
        done[seed] = {
            method: job_of(job, folder, method, seed, plan.iterations[method])
            for method in job.runs
        }
        if run_jobs([*done[seed].values()], Local(screen=steps.screen)):
            raise SystemExit(1)  # the reason has been said
    return done


def table(job, done: dict[int, dict[str, Job]]) -> tuple[str, dict[str, list[float]]]:
    """Return the table, and for each row the mean that is compared, by seed."""
    rows, means = [], {}
    for row, (method, student) in job.rows.items():
        scores = [job.scores(one[method].scores(student)[1]) for one in done.values()]
        columns = list(scores[0][0])
        means[row] = [mean for _, mean in scores]
        cells = [_spread([shown[column] for shown, _ in scores]) for column in columns]
        rows.append([row, *cells, _spread(means[row])])
    header = [job.unit, *columns, job.last]
    return tables.markdown([header, *rows], left=len(header)), means


def _spread(values: list[float]) -> str:
    spread = Spread.of(values)
    return f'{spread.mean:.1f}' + ('' if spread.sd is None else f' +- {spread.sd:.1f}')


def verdict(job, means: dict[str, list[float]]) -> str:
    """Say for each method whether it is ahead of the same network on the labels alone."""
    lines = []
    for row, control in job.controls.items():
        gain = statistics.fmean(means[row]) - statistics.fmean(means[control])
        word, seeds = 'ahead of' if gain > 0 else 'NOT ahead of', len(means[row])
        lines.append(
            f'{row}: {word} "{control}" {job.where} '
            f'({gain:+.1f} points, {seeds} seed{"s" * (seeds > 1)})'
        )
    return '\n'.join(lines)


def pictures(job, folder: Path, seed: int) -> list[Path]:
    """Draw the training curves, and collect the pictures to look at in one folder."""
    from mmssl.visualization import plot_training

    work, out = folder / f'seed{seed}' / job.main, folder / 'pictures'
    out.mkdir(exist_ok=True)
    made = [plot_training(work, out / 'training_curves.png')]
    for name, path in job.pictures(folder, work).items():
        if path.exists():
            made.append(Path(shutil.copy(path, out / f'{name}.png')))
    return made


def main() -> None:
    """Run all steps and print the table."""
    args = parse_args()
    job = JOBS[args.job]()
    folder = (args.dir or Path(job.folder)).resolve()
    start, steps = time.monotonic(), Steps(folder)
    os.chdir(ROOT)  # commands and configs are shown as one would type them there
    print(
        f'mmssl quickstart: everything goes to {folder}; stop it with Ctrl-C and repeat the '
        f'command to go on. {load_of_others()}'
    )
    job.make_data(steps, folder)
    plan = plan_of(job, steps, folder, args, start)
    done = run_all(job, steps, folder, args.seeds, plan)
    text, means = table(job, done)
    summary = '\n\n'.join(filter(None, [text, plan.note(), verdict(job, means)])) + '\n'
    write_atomic(folder / 'results.md', summary)
    key = 'mean_unlabelled_dsc' if args.job == 'synfoc' else 'mean_dice'
    iters = plan.iterations[job.main]
    write_atomic(
        folder / 'results.json',
        json.dumps(
            {
                'iterations': iters,
                key: means,
                'seeds': args.seeds,
                **({'iterations_asked': plan.asked[job.main]} if plan.shortened else {}),
            },
            indent=1,
        ),
    )
    print(f'\n== results after {(time.monotonic() - start) / 60:.1f} minutes\n\n{summary}')
    print('Pictures:', *pictures(job, folder, args.seeds[0]), sep='\n  ')
    print(
        f'Table: {folder / "results.md"}\n\nNext, with real data (docs/en/data.md):\n'
        f'  {job.further}'
    )


def start() -> None:
    """Run all steps; a signal ends them with a word of comfort."""
    try:
        with signals_interrupt():
            main()
    except KeyboardInterrupt:
        print('\nStopped. Nothing is broken: repeat the command to go on.', file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == '__main__':
    run(start)
