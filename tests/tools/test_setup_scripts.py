"""The set-up scripts, with a stand-in for the environment: nothing is downloaded."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKE_PYTHON = """#!/usr/bin/env bash
# Stands for the environment's interpreter: pip is noted down, the rest is real.
here=$(dirname "$0")
if [ "${1:-} ${2:-} ${3:-}" = '-m pip --version' ]; then exit 0; fi
if [ "${1:-} ${2:-}" = '-m pip' ]; then
    echo "$*" >>"$here/pip.log"
    exit "$(cat "$here/pip.status" 2>/dev/null || echo 0)"
fi
if [ "${1:-}" = '-m' ]; then
    echo "RUN $*"
    exit "$(cat "$here/$2.status" 2>/dev/null || echo 0)"
fi
exec REAL "$@"
"""


class Checkout:
    """A copy of the scripts with a package, a main job and an environment that do nothing."""

    def __init__(self, root):
        self.root, self.venv = root, root / '.venv'
        self.bin = self.venv / 'bin'
        for name in ('tools', 'requirements', 'mmssl'):
            (root / name).mkdir()
        for name in ('lib_setup.sh', 'quickstart.sh', 'run_tests.sh'):
            shutil.copy(ROOT / 'tools' / name, root / 'tools')
        for path in (ROOT / 'requirements').glob('*.txt'):
            shutil.copy(path, root / 'requirements')
        for name in ('setup.py', 'pyproject.toml'):
            shutil.copy(ROOT / name, root)
        (root / 'mmssl/__init__.py').touch()
        (root / 'tools/quickstart.py').write_text('import sys; print("JOB", sys.argv[1:])')
        self.make_environment(self.venv)

    def make_environment(self, folder):
        (folder / 'bin').mkdir(parents=True)
        (folder / 'pyvenv.cfg').touch()
        (folder / 'bin/python').write_text(FAKE_PYTHON.replace('REAL', sys.executable))
        (folder / 'bin/python').chmod(0o755)

    def run(self, script, *args, **env):
        env = {'PATH': os.environ['PATH'], 'PYTHONPATH': str(self.root), **env}
        return subprocess.run(
            ['bash', self.root / 'tools' / script, *args],
            env=env, cwd=self.root.parent, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    @property
    def pip(self):
        log = self.bin / 'pip.log'
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / 'a checkout'
    root.mkdir()
    return Checkout(root)


def test_installs_once_and_hands_over_arguments(checkout):
    first = checkout.run('quickstart.sh', '--iters', '3', 'a b')
    assert first.returncode == 0, first.stderr
    assert "JOB ['--iters', '3', 'a b']" in first.stdout and 'torch' in first.stdout
    assert checkout.pip == ['-m pip install --editable .[optional]']
    second = checkout.run('quickstart.sh')
    assert second.stdout == 'JOB []\n'
    assert len(checkout.pip) == 1


def test_setup_only_leaves_the_job_alone(checkout):
    done = checkout.run('quickstart.sh', '--setup-only')
    assert done.returncode == 0 and 'mmssl is ready' in done.stdout and 'JOB' not in done.stdout


def test_changed_requirements_install_again(checkout):
    checkout.run('quickstart.sh')
    with (checkout.root / 'requirements/tests.txt').open('a') as file:
        file.write('another\n')
    checkout.run('quickstart.sh')
    assert len(checkout.pip) == 1, 'the tests extra is not part of it'
    with (checkout.root / 'requirements/runtime.txt').open('a') as file:
        file.write('another\n')
    checkout.run('quickstart.sh')
    assert len(checkout.pip) == 2
    checkout.run('run_tests.sh')
    with (checkout.root / 'requirements/formats.txt').open('a') as file:
        file.write('another\n')
    checkout.run('run_tests.sh')
    assert len(checkout.pip) == 4, 'an extra may be of several lists'


def test_failed_installation_is_tried_again(checkout):
    (checkout.bin / 'pip.status').write_text('1')
    failed = checkout.run('quickstart.sh')
    assert failed.returncode == 1 and 'tries again' in failed.stderr and 'JOB' not in failed.stdout
    (checkout.bin / 'pip.status').unlink()
    again = checkout.run('quickstart.sh')
    assert again.returncode == 0 and 'JOB' in again.stdout
    assert 'pip install --editable' in checkout.pip[-1]


def test_half_installed_packages_are_installed_again(checkout, tmp_path):
    """After a killed pip (its mark is there), a package that lacks a file is put right."""
    broken = tmp_path / 'site' / 'half-1.2.dist-info'
    broken.mkdir(parents=True)
    (broken / 'METADATA').write_text('Metadata-Version: 2.1\nName: half\nVersion: 1.2\n')
    (broken / 'RECORD').write_text('half/gone.py,,\n')
    path = f'{checkout.root}{os.pathsep}{tmp_path / "site"}'
    (checkout.venv / '.mmssl-installing').touch()
    done = checkout.run('quickstart.sh', PYTHONPATH=path)
    assert done.returncode == 0 and 'half==1.2' in done.stdout
    assert any('--ignore-installed' in line and 'half==1.2' in line for line in checkout.pip)
    assert not (checkout.venv / '.mmssl-installing').exists()


def test_foreign_folder_is_refused(checkout, tmp_path):
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'photos/cat.png').touch()
    done = checkout.run('quickstart.sh', MMSSL_VENV='photos')
    assert done.returncode == 1 and 'is no virtual environment' in done.stderr
    assert [p.name for p in (tmp_path / 'photos').iterdir()] == ['cat.png']


def test_active_environment_with_mmssl_is_used_as_it_is(checkout, tmp_path):
    active = tmp_path / 'active'
    checkout.make_environment(active)
    done = checkout.run('quickstart.sh', VIRTUAL_ENV=str(active))
    assert done.returncode == 0 and f'Using the active environment {active}' in done.stdout
    assert checkout.pip == [] and not (active / 'bin/pip.log').exists()
    other = tmp_path / 'elsewhere'
    other.mkdir()
    lacks = checkout.run('quickstart.sh', VIRTUAL_ENV=str(active), PYTHONPATH=str(other))
    assert 'Using the active' not in lacks.stdout, 'its mmssl is not the one of this checkout'


def test_old_python_is_named(checkout, tmp_path):
    old = tmp_path / 'python3.9'
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.1\nexit 1\n')
    old.chmod(0o755)
    done = checkout.run('quickstart.sh', MMSSL_VENV=str(tmp_path / 'new'), MMSSL_PYTHON=str(old))
    assert done.returncode == 1
    assert 'needs Python 3.11 or newer' in done.stderr and 'Python 3.9.1' in done.stderr


def test_full_disk_is_named(checkout, tmp_path):
    df = tmp_path / 'bin' / 'df'
    df.parent.mkdir()
    df.write_text('#!/bin/sh\necho head\necho disk 9000000 8000000 1048576 90% /\n')
    df.chmod(0o755)
    path = f'{df.parent}{os.pathsep}{os.environ["PATH"]}'
    done = checkout.run('quickstart.sh', PATH=path)
    assert done.returncode == 1 and '1 GB free' in done.stderr and checkout.pip == []


@pytest.mark.parametrize('tool', ['ruff', 'mypy'])
@pytest.mark.parametrize(
    'style, tests, status', [(0, 0, 0), (0, 3, 3), (1, 0, 1), (1, 3, 3)], ids=str
)
def test_run_tests_checks_style_then_tests(checkout, tool, style, tests, status):
    (checkout.bin / f'{tool}.status').write_text(str(style))
    (checkout.bin / 'pytest.status').write_text(str(tests))
    done = checkout.run('run_tests.sh')
    assert done.returncode == status
    assert checkout.pip == ['-m pip install --editable .[optional,tests]']
    *checks, pytest_line = [line for line in done.stdout.splitlines() if line.startswith('RUN')]
    assert checks == ['RUN -m ruff check', 'RUN -m ruff format --check --quiet', 'RUN -m mypy']
    assert '-m not slow' in pytest_line
    assert ('found faults' in done.stderr) == (style == 1 and tests == 0)


def test_run_tests_options_replace_the_default(checkout):
    done = checkout.run('run_tests.sh', '-k', 'phantom or unet')
    assert 'RUN -m pytest -k phantom or unet\n' in done.stdout


@pytest.mark.parametrize('script', ['quickstart.sh', 'run_tests.sh'])
def test_help_installs_nothing(checkout, script):
    done = checkout.run(script, '--help')
    assert done.returncode == 0 and f'bash tools/{script}' in done.stdout
    assert checkout.pip == []


def test_scripts_are_sound():
    scripts = [*(ROOT / 'tools').glob('*.sh'), ROOT / '.ci/run']
    assert len(scripts) > 3
    for script in scripts:
        subprocess.run(['bash', '-n', script], check=True)
