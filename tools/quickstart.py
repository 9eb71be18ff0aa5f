"""The main job on a small machine: data, training, the labels-only control, table, pictures.

Every step is one of the ordinary commands, printed before it runs. What is done is not done again,
and an interrupted training goes on, so the command may be stopped and repeated at any time.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Steps:
    """Run commands one after the other, each with its log file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, 'MMSSL_PROGRESS': '1', 'PYTHONWARNINGS': 'ignore',
                            'TQDM_MININTERVAL': '1', 'PYTHONUNBUFFERED': '1'}
        # Threads that wait do not keep a core busy for long: with another program on the same two
        # cores an iteration took 2 s in place of 5 to 10 s, and without one 0.7 in place of 0.6 s.
        self.environment.setdefault('GOMP_SPINCOUNT', '10000')

    def run(self, title: str, log: str, *command: str) -> None:
        """Run a command of this repository; its output goes to a log, its progress to the screen.

        Raises:
            SystemExit: the command failed; the end of its log is printed.
        """
        path = self.folder / 'logs' / log
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f'\n== {title}\n   python {" ".join(command)}\n   log: {path}', flush=True)
        start = time.monotonic()
        with path.open('a') as file:
            code = subprocess.call([sys.executable, *command], cwd=ROOT, stdout=file,
                                   env=self.environment)
        if code:
            tail = '\n'.join(path.read_text(errors='replace').splitlines()[-5:])
            print(f'{tail}\nerror: this step failed (exit status {code}); the whole log is {path}')
            raise SystemExit(code)
        print(f'   done in {time.monotonic() - start:.0f} s', flush=True)

    def train(self, title: str, log: str, config: str, work: Path, options: list[str]) -> None:
        """Train from a config, or go on where it was interrupted."""
        self.run(f'train {title}', f'{log}_train.log', 'tools/train.py', config, '--amp',
                 '--resume', '--work-dir', str(work), '--cfg-options', *options)


class SynFoCJob:
    """SynFoC and the labels-only U-Net on four made-up scanners, one of them labelled."""

    folder, iters = 'work_dirs/quickstart', 400
    runs = {'synfoc': 'configs/synfoc/lite_phantom.py',
            'sup_only': 'configs/sup_only/lite_phantom.py'}
    rows = {'SynFoC, LiteMedSAM': ('synfoc', 'sam'), 'SynFoC, U-Net': ('synfoc', 'unet'),
            'labels only, U-Net': ('sup_only', 'unet')}
    control, main, data = 'labels only, U-Net', 'synfoc', 'phantom'
    unit, last, where = 'DSC in %', 'mean of the unlabelled', 'on the unlabelled domains'
    further = 'bash tools/dist_train.sh configs/synfoc/prostate.py 4'

    def make_data(self, steps: Steps, folder: Path) -> None:
        """Write the phantom."""
        steps.run('make the phantom', 'phantom.log', 'tools/dataset_converters/make_phantom.py',
                  str(folder / self.data), '--size', '64')

    def before(self, steps: Steps, folder: Path, seed: int) -> None:
        """Do what a seed needs before its runs: nothing."""

    def options(self, folder: Path, method: str, seed: int) -> list[str]:
        """Return the config options of a run."""
        return []

    def scores(self, student: dict) -> tuple[dict[str, float], float]:
        """Return the DSC of each scanner, and the mean over those without labels."""
        scores = {name: scores['mean']['DSC'] for name, scores in student['domains'].items()}
        unlabelled = [value for name, value in scores.items() if name != 'ScannerA']
        shown = {f'{n} (labelled)' if n == 'ScannerA' else n: v for n, v in scores.items()}
        return shown, statistics.fmean(unlabelled)

    def pictures(self, folder: Path, work: Path) -> dict[str, Path]:
        """Return name to path of pictures that the main run left."""
        overlays = sorted((work / 'overlays').glob('*.png'))
        found = {'alpha_curve': work / 'ensemble_curves.png'}
        for path in reversed(overlays):
            found[f'overlay_{path.name.split("_")[0]}'] = path
        return found


class MCSDJob(SynFoCJob):
    """MCSD, its diffusion model included, and the labels-only U-Net on volumes of a scanner."""

    folder, iters = 'work_dirs/quickstart_mcsd', 500
    runs = {'mcsd': 'configs/mcsd/lite_phantom.py',
            'sup_only': 'configs/sup_only/lite_phantom_volumes.py'}
    rows = {'MCSD, U-Net': ('mcsd', 'unet'), 'labels only, U-Net': ('sup_only', 'unet')}
    main, data = 'mcsd', 'phantom_volumes'
    unit, last, where = 'Dice per volume, %', 'mean', 'in mean Dice per volume'
    further = ('python tools/train.py configs/mcsd/ddpm_acdc.py\n'
               '  bash tools/dist_train.sh configs/mcsd/acdc.py 4')

    def make_data(self, steps: Steps, folder: Path) -> None:
        """Write the phantom's volumes."""
        steps.run('make the phantom', 'phantom.log', 'tools/dataset_converters/make_phantom.py',
                  str(folder / self.data), '--layout', 'volumes', '--size', '64')

    def before(self, steps: Steps, folder: Path, seed: int) -> None:
        """Train the diffusion model and keep its features of the training slices."""
        work = folder / f'seed{seed}' / 'ddpm'
        data = f'train_dataloader.dataset.data_root={folder / self.data}'
        if not (work / 'done').exists():
            steps.train(f'the diffusion model, seed {seed}', f'ddpm_{seed}',
                        'configs/mcsd/ddpm_lite_phantom.py', work,
                        [data, f'randomness.seed={seed}'])
            (work / 'done').touch()
        steps.run(f'extract its features, seed {seed}', f'features_{seed}.log',
                  'tools/extract_diffusion_features.py', self.runs['mcsd'], '--amp',
                  '--out', str(folder / f'seed{seed}' / 'features'),
                  '--cfg-options', data, *self.options(folder, 'mcsd', seed))

    def options(self, folder: Path, method: str, seed: int) -> list[str]:
        """Return where the diffusion model and its features are."""
        if method != 'mcsd':
            return []
        work = folder / f'seed{seed}'
        features = work / 'features'
        return [f'model.neck.model={work / "ddpm" / "unet"}',
                f'model.neck.cache_dir={features}',
                f'train_dataloader.dataset.head.0.cache_dir={features}']

    def scores(self, student: dict) -> tuple[dict[str, float], float]:
        """Return the Dice of each structure, and their mean."""
        shown = {name: scores['DSC'] for name, scores in student['parts'].items()}
        return shown, student['mean']['DSC']

    def pictures(self, folder: Path, work: Path) -> dict[str, Path]:
        """Return name to path of pictures that the main run left."""
        samples = sorted((work.parent / 'ddpm' / 'samples').glob('*.png'))
        overlays = sorted((work / 'overlays').glob('*.png'))
        found = {f'overlay_{i}': path for i, path in enumerate(overlays[:4])}
        return {**found, 'diffusion_samples': samples[-1]} if samples else found


JOBS = {'synfoc': SynFoCJob, 'mcsd': MCSDJob}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='\n'.join(f'{name}: {job.__doc__}' for name, job in JOBS.items()))
    parser.add_argument('job', nargs='?', choices=JOBS, default='synfoc',
                        help='what to train (default: synfoc)')
    parser.add_argument('--dir', type=Path, help='folder of data, runs, table and pictures '
                        '(default: work_dirs/quickstart, for mcsd work_dirs/quickstart_mcsd)')
    parser.add_argument('--iters', type=int, help='training iterations of each method '
                        f'(default: {", ".join(f"{n} {j.iters}" for n, j in JOBS.items())})')
    parser.add_argument('--seeds', default='0', help='seeds, separated by commas; each one takes '
                        'the whole time again (default: 0)')
    return parser.parse_args()


def train_and_test(job, steps: Steps, folder: Path, method: str, seed: int, iters: int) -> dict:
    """Train a method, test its last checkpoint, and return the scores of its students."""
    work = folder / f'seed{seed}' / method
    result = work / f'result_{iters}.json'
    if result.exists():
        print(f'\n== {method}, seed {seed}: done before ({result})')
        return json.loads(result.read_text())['students']
    options = [f'randomness.seed={seed}', f'train_cfg.max_iters={iters}',
               f'train_cfg.val_interval={max(1, iters // 2)}', *job.options(folder, method, seed)]
    for split in ('train', 'val', 'test'):
        options.append(f'{split}_dataloader.dataset.data_root={folder / job.data}')
    steps.train(f'{method}, seed {seed}, {iters} iterations', f'{method}_{seed}',
                job.runs[method], work, options)
    checkpoint = (work / 'last_checkpoint').read_text().strip()
    steps.run(f'test {method}, seed {seed}', f'{method}_{seed}_test.log',
              'tools/test.py', job.runs[method], checkpoint, '--work-dir', str(work / 'test'),
              '--out', str(result), '--show-dir', str(work / 'overlays'),
              '--cfg-options', *options)
    return json.loads(result.read_text())['students']


def table(job, results: dict[int, dict[str, dict]]) -> tuple[str, dict[str, list[float]]]:
    """Return the text table, and for each row the mean that is compared, by seed."""
    rows, means = [], {}
    for row, (method, student) in job.rows.items():
        scores = [job.scores(result[method][student]) for result in results.values()]
        columns = list(scores[0][0])
        means[row] = [mean for _, mean in scores]
        cells = [_spread([shown[column] for shown, _ in scores]) for column in columns]
        rows.append([row, *cells, _spread(means[row])])
    header = [job.unit, *columns, job.last]
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    lines = [' | '.join(c.ljust(w) for c, w in zip(line, widths, strict=True))
             for line in [header, *rows]]
    lines.insert(1, '-|-'.join('-' * w for w in widths))
    return '\n'.join(f'| {line} |' for line in lines), means


def _spread(values: list[float]) -> str:
    text = f'{statistics.fmean(values):.1f}'
    return text + (f' +- {statistics.stdev(values):.1f}' if len(values) > 1 else '')


def verdict(job, means: dict[str, list[float]]) -> str:
    """Say who is ahead of the control, and by how much."""
    control = statistics.fmean(means[job.control])
    lines = []
    for row, values in means.items():
        if row != job.control:
            gain = statistics.fmean(values) - control
            word = 'ahead of' if gain > 0 else 'NOT ahead of'
            lines.append(f'{row}: {word} the labels-only U-Net {job.where} '
                         f'({gain:+.1f} points, {len(values)} seed{"s" * (len(values) > 1)})')
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
    iters = args.iters or job.iters
    seeds = [int(seed) for seed in args.seeds.split(',')]
    start, steps = time.monotonic(), Steps(folder)
    print(f'mmssl quickstart: everything goes to {folder}; stop it with Ctrl-C and repeat the '
          'command to go on.')
    job.make_data(steps, folder)
    results = {}
    for seed in seeds:
        job.before(steps, folder, seed)
        results[seed] = {method: train_and_test(job, steps, folder, method, seed, iters)
                         for method in job.runs}
    text, means = table(job, results)
    summary = f'{text}\n\n{verdict(job, means)}\n'
    (folder / 'results.md').write_text(summary)
    key = 'mean_unlabelled_dsc' if args.job == 'synfoc' else 'mean_dice'
    (folder / 'results.json').write_text(json.dumps(
        {'iterations': iters, key: means, 'seeds': seeds}, indent=1))
    print(f'\n== results after {(time.monotonic() - start) / 60:.1f} minutes\n\n{summary}')
    print('Pictures:', *pictures(job, folder, seeds[0]), sep='\n  ')
    print(f'Table: {folder / "results.md"}\n\nNext, with real data (docs/en/data.md):\n'
          f'  {job.further}')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        print('\nStopped. Nothing is broken: repeat the command to go on.', file=sys.stderr)
        raise SystemExit(130) from None
