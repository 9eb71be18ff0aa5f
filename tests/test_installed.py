"""The built package: it carries configs and tools, and works far from the repository."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from test_package import ROOT, tracked_files

pytestmark = pytest.mark.slow


def run(words, **options):
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True, text=True, check=False, timeout=600, **options,
    )  # fmt: skip
    assert done.returncode == 0, f'{words}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'
    return done.stdout + done.stderr


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """Build the package from a copy of what git knows."""
    folder = tmp_path_factory.mktemp('build')
    for path in tracked_files():
        target = folder / 'copy' / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    options = ('-q', '--no-deps', '--no-build-isolation', '--no-index')
    run([sys.executable, '-m', 'pip', 'wheel', *options, '-w', folder, folder / 'copy'])
    return next(folder.glob('*.whl'))


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    """Return the `mmssl` of an environment that has the wheel, and the dependencies of this one.

    These come by a `.pth` file after its own packages; the finder of an editable mmssl is not run.
    """
    folder = tmp_path_factory.mktemp('environment')
    venv.create(folder, with_pip=False, symlinks=True)
    scripts = folder / 'bin'
    site = next(folder.glob('lib/python*/site-packages'))
    places = [path for path in sys.path if path.endswith(('site-packages', 'dist-packages'))]
    (site / 'dependencies.pth').write_text('\n'.join(places))
    options = ('-q', '--no-deps', '--no-index', '--force-reinstall')
    run([scripts / 'python', '-m', 'pip', 'install', *options, wheel], cwd=folder)
    return scripts / 'mmssl'


def test_wheel_carries_what_is_needed(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        'configs/synfoc/prostate.py',
        'tools/train.py',
        'tools/launch.sh',
        'model-index.yml',
    ):
        assert f'mmssl/.mim/{name}' in names
    assert {'mmssl/py.typed', 'mmssl/datasets/phantom/slices.py'} <= set(names)
    assert not any(name.startswith('tests/') for name in names)


def test_trains_and_tests_outside_the_repository(installed, tmp_path):
    """Two iterations of a recipe for small machines, by the names of its configs alone."""
    env = {k: v for k, v in os.environ.items() if k not in ('PYTHONPATH', 'VIRTUAL_ENV')}
    env.update(OMP_NUM_THREADS='1', MPLBACKEND='Agg')

    def mmssl(*words):
        return run([installed, *words], cwd=tmp_path, env=env)

    assert 'site-packages/mmssl/.mim/configs' in mmssl('--help')
    mmssl('phantom', 'data/phantom', '--size', '32')
    short = ('train_cfg.max_iters=2', 'val_dataloader.dataset.domains=[ScannerA]')
    said = mmssl('train', 'sup_only/lite_phantom.py', '--cfg-options', *short)
    (line,) = [line for line in said.splitlines() if 'is taken from' in line]
    assert line.endswith('site-packages/mmssl/.mim/configs/sup_only/lite_phantom.py')
    work = Path('work_dirs/sup_only/lite_phantom')
    mmssl(
        'test', 'configs/sup_only/lite_phantom.py', work / 'iter_2.pth', '--out', 'result.json',
        '--cfg-options', 'test_dataloader.dataset.domains=[ScannerB]',
    )  # fmt: skip
    assert (tmp_path / 'result.json').stat().st_size > 0
    assert {path.name for path in tmp_path.iterdir()} == {'data', 'work_dirs', 'result.json'}
