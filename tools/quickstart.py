"""The main job on a small machine: phantom, SynFoC, the labels-only control, table, pictures.

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
RUNS = {
    'synfoc': 'configs/synfoc/lite_phantom.py',
    'sup_only': 'configs/sup_only/lite_phantom.py',
}
ROWS = {
    'SynFoC, LiteMedSAM': ('synfoc', 'sam'),
    'SynFoC, U-Net': ('synfoc', 'unet'),
    'labels only, U-Net': ('sup_only', 'unet'),
}
LABELLED = 'ScannerA'
SIZE = 64


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--dir', type=Path, default=Path('work_dirs/quickstart'),
                        help='folder of data, runs, table and pictures')
    parser.add_argument('--iters', type=int, default=400, help='training iterations of each method')
    parser.add_argument('--seeds', default='0',
                        help='seeds, separated by commas; each one takes the whole time again')
    return parser.parse_args()


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


def train_and_test(steps: Steps, folder: Path, method: str, seed: int, iters: int) -> dict:
    """Train a method, test its last checkpoint, and return the scores of its students."""
    work = folder / f'seed{seed}' / method
    result = work / f'result_{iters}.json'
    if result.exists():
        print(f'\n== {method}, seed {seed}: done before ({result})')
        return json.loads(result.read_text())['students']
    data = folder / 'phantom'
    options = ['--cfg-options', f'randomness.seed={seed}', f'train_cfg.max_iters={iters}',
               f'train_cfg.val_interval={max(1, iters // 2)}']
    for split in ('train', 'val', 'test'):
        options.append(f'{split}_dataloader.dataset.data_root={data}')
    config = RUNS[method]
    steps.run(f'train {method}, seed {seed}, {iters} iterations', f'{method}_{seed}_train.log',
              'tools/train.py', config, '--amp', '--resume', '--work-dir', str(work), *options)
    checkpoint = (work / 'last_checkpoint').read_text().strip()
    steps.run(f'test {method}, seed {seed}', f'{method}_{seed}_test.log',
              'tools/test.py', config, checkpoint, '--work-dir', str(work / 'test'),
              '--out', str(result), '--show-dir', str(work / 'overlays'), *options)
    return json.loads(result.read_text())['students']


def domain_scores(student: dict) -> dict[str, float]:
    """Return the DSC (percent) of each domain, mean over the parts."""
    return {name: scores['mean']['DSC'] for name, scores in student['domains'].items()}


def table(results: dict[int, dict[str, dict]]) -> tuple[str, dict[str, list[float]]]:
    """Return the text table, and for each row the mean over the unlabelled domains by seed."""
    rows, means = [], {}
    for row, (method, student) in ROWS.items():
        scores = [domain_scores(result[method][student]) for result in results.values()]
        domains = list(scores[0])
        cells = [_spread([s[d] for s in scores]) for d in domains]
        means[row] = [statistics.fmean(v for d, v in s.items() if d != LABELLED) for s in scores]
        rows.append([row, *cells, _spread(means[row])])
    header = ['DSC in %', *(f'{d} (labelled)' if d == LABELLED else d for d in domains),
              'mean of the unlabelled']
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    lines = [' | '.join(c.ljust(w) for c, w in zip(line, widths, strict=True))
             for line in [header, *rows]]
    lines.insert(1, '-|-'.join('-' * w for w in widths))
    return '\n'.join(f'| {line} |' for line in lines), means


def _spread(values: list[float]) -> str:
    text = f'{statistics.fmean(values):.1f}'
    return text + (f' +- {statistics.stdev(values):.1f}' if len(values) > 1 else '')


def verdict(means: dict[str, list[float]]) -> str:
    """Say who is ahead on the unlabelled domains, and by how much."""
    control = statistics.fmean(means['labels only, U-Net'])
    lines = []
    for row, values in means.items():
        if row != 'labels only, U-Net':
            gain = statistics.fmean(values) - control
            word = 'ahead of' if gain > 0 else 'NOT ahead of'
            lines.append(f'{row}: {word} the labels-only U-Net on the unlabelled domains '
                         f'({gain:+.1f} points, {len(values)} seed{"s" * (len(values) > 1)})')
    return '\n'.join(lines)


def pictures(folder: Path, seed: int) -> list[Path]:
    """Draw the training curves, and collect the pictures to look at in one folder."""
    from mmssl.visualization import plot_training

    work, out = folder / f'seed{seed}' / 'synfoc', folder / 'pictures'
    out.mkdir(exist_ok=True)
    made = [plot_training(work, out / 'training_curves.png')]
    curve = work / 'ensemble_curves.png'
    if curve.exists():
        made.append(Path(shutil.copy(curve, out / 'alpha_curve.png')))
    overlays = sorted((work / 'overlays').glob('*.png'))
    for domain in sorted({path.name.split('_')[0] for path in overlays}):
        first = next(path for path in overlays if path.name.startswith(domain))
        made.append(Path(shutil.copy(first, out / f'overlay_{domain}.png')))
    return made


def main() -> None:
    """Run all steps and print the table."""
    args = parse_args()
    folder = args.dir.resolve()
    seeds = [int(seed) for seed in args.seeds.split(',')]
    start, steps = time.monotonic(), Steps(folder)
    print(f'mmssl quickstart: everything goes to {folder}; stop it with Ctrl-C and repeat the '
          'command to go on.')
    steps.run('make the phantom', 'phantom.log', 'tools/dataset_converters/make_phantom.py',
              str(folder / 'phantom'), '--size', str(SIZE))
    results = {seed: {method: train_and_test(steps, folder, method, seed, args.iters)
                      for method in RUNS} for seed in seeds}
    text, means = table(results)
    summary = f'{text}\n\n{verdict(means)}\n'
    (folder / 'results.md').write_text(summary)
    (folder / 'results.json').write_text(json.dumps(
        {'iterations': args.iters, 'mean_unlabelled_dsc': means, 'seeds': seeds}, indent=1))
    print(f'\n== results after {(time.monotonic() - start) / 60:.1f} minutes\n\n{summary}')
    print('Pictures:', *pictures(folder, seeds[0]), sep='\n  ')
    print(f'Table: {folder / "results.md"}\n\nNext, with real data (docs/en/data.md):\n'
          '  bash tools/dist_train.sh configs/synfoc/prostate.py 4')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        print('\nStopped. Nothing is broken: repeat the command to go on.', file=sys.stderr)
        raise SystemExit(130) from None
