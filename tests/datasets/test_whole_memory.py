"""Training on volumes holds one copy of the data, workers included."""

import subprocess
import sys

import pytest

from tests.whole_files import write_left_atrium

MEASURE = """
import sys
from pathlib import Path

from mmengine.runner import Runner

from mmssl.utils.setup import load_config, register_all_modules


def pss(pid):
    # What a process takes, shared pages by their share, and all of its children.
    tasks = Path(f'/proc/{pid}/task').iterdir()
    children = [c for t in tasks for c in (t / 'children').read_text().split()]
    lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith('Pss:'))
    return own / 1024 + sum(map(pss, children))


register_all_modules()
cfg = load_config(sys.argv[1])
loader = cfg.train_dataloader
loader.dataset.data_root, loader.num_workers = sys.argv[2], 2
loader.sampler = dict(type='DefaultSampler')
from mmssl.models import base  # noqa: F401, E402  what the packing loads
before = pss('self')
loader = Runner.build_dataloader(loader, seed=0)
held = loader.dataset.cache.num_bytes / 2**20
batches = iter(loader)
for _ in range(12):
    next(batches)
print(len(loader.dataset), held, pss('self') - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_80_volumes_and_2_workers_hold_one_copy(tmp_path):
    """As large as the left atrium's, float32: 80 volumes of 190 x 142 x 88 voxels."""
    names = write_left_atrium(tmp_path, 1, 1, shape=(190, 142, 88))
    folder = tmp_path / '2018LA_Seg_Training Set'
    for number in range(79):
        (folder / f'copy{number}').symlink_to(folder / names[0])
        names.append(f'copy{number}')
    (tmp_path / 'train.list').write_text('\n'.join([names[0], *names[2:]]))
    command = [sys.executable, '-c', MEASURE, 'configs/_base_/datasets/left_atrium.py']
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    count, held, taken = map(float, done.stdout.splitlines()[-1].split())
    print(f'{count:.0f} volumes: {held:.0f} MiB held, {taken:.0f} MiB taken by three processes')
    assert count == 80 and held > 700
    # One copy, and less than a second one for all that three processes have of their own.
    assert taken < 1.8 * held
