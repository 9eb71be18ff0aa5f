"""Kill a training on a tiny phantom: run_kills.py FOLDER WORKERS KILLS SIGNAL [slice | volume].

Mean Teacher on slices or BCP, with its pre-training, on volumes gets signals at random moments.

The program reads everything once and forks a process for each run, so that a kill falls into the
run, from the building of the runner to its end, and not into the imports.
"""

import json
import math
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests'), str(Path(__file__).parent)]
import torch  # noqa: E402

torch.set_num_threads(1)
from mmengine import Config  # noqa: E402
from same_runs import assert_same  # noqa: E402

from mmssl.datasets.phantom.whole import WholeSettings, write_phantom_whole  # noqa: E402
from mmssl.engine import load_checkpoint_file  # noqa: E402
from mmssl.registry import RUNNERS  # noqa: E402
from mmssl.utils.cli import run  # noqa: E402
from mmssl.utils.processes.signals import signals  # noqa: E402
from mmssl.utils.setup import register_all_modules  # noqa: E402
from tests.tiny import BN, segmentor, write_slices  # noqa: E402

FOLDER, WORKERS, KILLS, SIGNAL = Path(sys.argv[1]), *map(int, sys.argv[2:5])
SAMPLE = sys.argv[5] if len(sys.argv) > 5 else 'slice'
ITERS = 12
LOG = FOLDER / 'log'
BASE = Config()
TIMES = ('time', 'data_time', 'memory')


def on_slices() -> Config:
    """Return a config of Mean Teacher; the phantom of slices is written for it."""
    write_slices(FOLDER / 'data')
    cfg = Config.fromfile(ROOT / 'configs/synfoc/lite_phantom.py')
    cfg.model = dict(
        type='MeanTeacher',
        students=dict(unet=segmentor(norm=BN)),
        teachers=['unet'],
        parts=[[1]],
        start=2,
        data_preprocessor=dict(sizes=dict(unet=dict(image=24, label=24))),
    )
    cfg.custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
    cfg.optim_wrapper.optimizers.pop('sam')
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.update(domains=['ScannerA', 'ScannerB'])
        dataset.prepare[1 if split != 'train' else 2].size = 32
    cfg.train_dataloader.dataset.labelled.num = 3
    cfg.train_dataloader.dataset.unlabelled_pipeline[-2].size = 24
    cfg.param_scheduler = dict(unet=[dict(type='PolyLR', power=0.9, end=ITERS, by_epoch=False)])
    cfg.default_hooks.checkpoint.save_best = 'unet/DSC'
    return cfg


def on_volumes() -> Config:
    """Return a config of BCP; the phantom of volumes is written for it."""
    settings = WholeSettings(size=32, slices=8, train_cases=4, val_cases=1, test_cases=1)
    write_phantom_whole(FOLDER / 'data', settings, progress=False)
    cfg = Config.fromfile(ROOT / 'configs/bcp/lite_phantom_mri.py')
    net, widths = cfg.model.students.vnet, (2, 4)
    net.backbone.update(widths=widths, convs=(1, 1))
    net.decode_head.update(in_channels=widths, convs=(1,))
    cfg.model.inferer.size = patch = (8, 16, 16)
    for role in ('labelled', 'unlabelled'):
        cfg.train_dataloader.dataset[f'{role}_pipeline'][1].size = patch
    cfg.train_dataloader.batch_sampler.update(num_labelled=2, num_unlabelled=2)
    cfg.param_scheduler[0].end = ITERS
    cfg.default_hooks.checkpoint.save_best = 'vnet/DSC'
    return cfg


def config(folder: Path) -> Config:
    """Return the config of a run."""
    cfg = BASE.copy()
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(FOLDER / 'data')
    cfg.train_dataloader.update(num_workers=WORKERS, persistent_workers=WORKERS > 0)
    cfg.train_cfg.update(max_iters=ITERS, val_interval=4)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(interval=3, max_keep_ckpts=1)
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.val_cfg = cfg.test_cfg = dict()
    cfg.work_dir, cfg.resume, cfg.log_level = str(folder), True, 'WARNING'
    return cfg


def train(folder: Path) -> None:
    signals.listen()
    RUNNERS.build(config(folder)).train()


def start(folder: Path) -> int:
    """Train in a process of its own; return its number."""
    pid = os.fork()
    if pid:
        return pid
    with LOG.open('w') as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    code = 99
    try:
        run(lambda: train(folder))
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        os._exit(code)


def attempt(folder: Path, seconds: float) -> int:
    """Train; send the signal after so many seconds; return how it ended."""
    pid, until = start(folder), time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, SIGNAL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def check_end(code: int, folder: Path) -> None:
    """Compare status and words of an end with what is on the disk."""
    text = LOG.read_text()
    if SIGNAL == signal.SIGKILL:
        assert code in (0, -signal.SIGKILL), (code, text)
        return
    assert code in (0, 75), (code, text)
    assert 'Traceback' not in text and 'Error' not in text, text
    if code and 'ending after this iteration' in text:  # it was training
        pointer = folder / 'last_checkpoint'
        name = pointer.read_text() if pointer.exists() else 'iter_0.pth'
        last = load_checkpoint_file(folder / name)['meta']['iter'] if pointer.exists() else 0
        assert last >= reached(folder), (last, reached(folder), text)


def reached(folder: Path) -> int:
    """Return the newest iteration in the curves."""
    steps = [
        json.loads(line)['step']
        for file in folder.glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
        if '"loss"' in line
    ]
    return max(steps, default=0)


def content(folder: Path) -> list[str]:
    """Name what a run leaves, without the folders of its starts."""
    names = [str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file()]
    return sorted(n for n in names if not n[0].isdigit())


def compare(one: Path, two: Path) -> None:
    assert content(one) == content(two), set(content(one)) ^ set(content(two))
    for name in content(one):
        if name.endswith('.pth'):
            a, b = (load_checkpoint_file(f / name) for f in (one, two))
            for key in ('state_dict', 'optimizer', 'param_schedulers'):
                assert (key in a) == (key in b), (name, key)
                assert_same(a.get(key), b.get(key), f'{name}/{key}')
            assert_same(hub(a, one), hub(b, two), name)


def hub(checkpoint: dict, folder: Path) -> dict:
    """Return a message hub without times and without the name of its folder."""
    found = checkpoint['message_hub']
    scalars = {k: v for k, v in found['scalars'].items() if k.rpartition('/')[2] not in TIMES}
    info = {
        k: v.replace(str(folder), '') if isinstance(v, str) else v for k, v in found['info'].items()
    }
    return {'scalars': scalars, 'info': info}


def main() -> None:
    global BASE
    register_all_modules()
    BASE = dict(slice=on_slices, volume=on_volumes)[SAMPLE]()
    span = math.inf
    for name in ('warm', 'whole'):
        begin = time.monotonic()
        assert attempt(FOLDER / name, math.inf) == 0, LOG.read_text()
        span = min(span, time.monotonic() - begin)
    random.seed(f'{WORKERS} {SIGNAL}')
    kills, runs = 0, 0
    while kills < KILLS:
        folder, code = FOLDER / f'run{runs}', None
        while code != 0:
            seconds = random.uniform(0, 1.1 * span) if kills < KILLS else math.inf
            code = attempt(folder, seconds)
            check_end(code, folder)
            kills += code != 0
        compare(FOLDER / 'whole', folder)
        shutil.rmtree(folder)
        runs += 1
    print(f'{kills} signals in {runs} runs of {span:.1f} s: nothing different')


if __name__ == '__main__':
    main()
