"""The command `mmssl`: its sub-commands are the tools, and it says what it does not know."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmssl.__main__ import main, overview
from mmssl.utils import packaged
from mmssl.utils.command import command_to_go_on
from mmssl.utils.packaged import COMMANDS, TOOLS, as_typed, find_config_file, start_as

ROOT = Path(__file__).parents[1]
SOURCED = {'launch.sh', 'slurm_launch.sh', 'lib_setup.sh'}
OF_THE_REPOSITORY = {'left_atrium.sh', 'quickstart.sh', 'run_tests.sh'}


def mmssl(*words, cwd, **options):
    return subprocess.run(
        [sys.executable, '-m', 'mmssl', *map(str, words)],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=120, **options,
    )  # fmt: skip


@pytest.fixture
def started(monkeypatch):
    """Make this process one that `mmssl train` started."""
    monkeypatch.setattr(packaged, '_started', [])
    start_as('train')


def test_every_tool_is_a_command():
    found = {
        p.relative_to(TOOLS).as_posix() for p in TOOLS.rglob('*') if p.suffix in ('.py', '.sh')
    }
    assert found - SOURCED - OF_THE_REPOSITORY == set(COMMANDS.values())


def test_overview_says_what_each_does():
    lines = overview().splitlines()
    for name in COMMANDS:
        (line,) = [line for line in lines if line.startswith(f'  {name} ')]
        assert re.fullmatch(rf'  {name} +[A-Z].{{10,}}', line)


HEAVY = {
    'benchmark', 'benchmark-levers', 'benchmark-metrics', 'benchmark-step', 'browse', 'convert',
    'convert-diffusion', 'convert-synfoc', 'convert-vnet', 'curves', 'download', 'inspect',
    'orders', 'pack', 'phantom',
}  # fmt: skip
"""Tools whose help imports what they work with; nobody waits for it before a long training."""
LIGHT = sorted(name for name, file in COMMANDS.items() if file.endswith('.py'))
LIGHT = [name for name in LIGHT if name not in HEAVY]


@pytest.mark.parametrize(
    'words', [[], ['--help'], ['help'], *([name, '--help'] for name in LIGHT)], ids=str
)
def test_help_is_quick(words, tmp_path):
    """It imports nothing heavy, and neither does that of what people start."""
    environment = {'PYTHONPATH': str(ROOT), 'PYTHONPROFILEIMPORTTIME': '1'}
    done = mmssl(*words, cwd=tmp_path, env=environment)
    assert done.returncode == 0 and 'usage: mmssl' in done.stdout
    assert not re.search(r'\| +(torch|numpy|scipy|mmengine|cv2|plotly|optuna)$', done.stderr, re.M)


def test_help_names_commands(tmp_path):
    text = mmssl('train', '--help', cwd=tmp_path).stdout
    assert 'usage: mmssl train' in text and 'mmssl dist-train configs/' in text
    assert 'tools/' not in text


SCRIPTS = sorted(name for name, file in COMMANDS.items() if file.endswith('.sh'))


@pytest.mark.parametrize('name', SCRIPTS)
def test_scripts_of_the_shell_name_what_was_typed(name, tmp_path):
    asked, lacking = mmssl(name, '-h', cwd=tmp_path), mmssl(name, cwd=tmp_path)
    assert (asked.returncode, lacking.returncode) == (0, 1)
    assert asked.stdout == lacking.stderr and not asked.stderr + lacking.stdout
    tool = name.partition('-')[2]
    assert f' mmssl {name} ' in asked.stdout and f'[options of mmssl {tool}]' in asked.stdout
    assert 'tools/' not in asked.stdout
    file = f'tools/{COMMANDS[name]}'
    by_hand = subprocess.run(['bash', ROOT / file], capture_output=True, text=True, check=False)
    assert by_hand.returncode == 1 and f' bash {file} ' in by_hand.stderr
    assert f'[options of tools/{tool}.py]' in by_hand.stderr


def test_unknown_command_is_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        main(['trian'])
    assert ended.value.code == 2
    assert capsys.readouterr().err == 'error: mmssl has no command "trian"; did you mean "train"?\n'


def test_errors_and_the_way_on_name_the_command(started):
    assert as_typed('run "python tools/download_weights.py sam"') == 'run "mmssl download sam"'
    assert as_typed('in my/tools/train.py') == 'in my/tools/train.py'
    assert as_typed('bash tools/run_tests.sh') == 'bash tools/run_tests.sh'


def test_interrupted_command_goes_on_as_typed(started, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['some/where/train.py', 'a.py', '--amp'])
    assert command_to_go_on(environment={}) == 'mmssl train a.py --amp --resume'


def test_launcher_script_remembers_the_command(tmp_path):
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho "$MMSSL_COMMAND_HEAD|$MMSSL_COMMAND_TAIL|$*"\n')
    python.chmod(0o755)
    env = {'PATH': '/usr/bin:/bin', 'PYTHONPATH': str(ROOT), 'PYTHON': str(python)}
    said = mmssl('dist-train', 'a.py', 3, '--amp', cwd=tmp_path, env=env).stdout
    head, tail, words = said.strip().split('|')
    assert head.strip() == 'mmssl dist-train' and tail == '3'
    assert words.endswith('train.py a.py --launcher pytorch --amp')


@pytest.mark.parametrize('name', ['synfoc/lite_phantom.py', 'configs/synfoc/lite_phantom.py'])
def test_own_configs_are_found_from_anywhere(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    packaged._say_where.cache_clear()
    found = find_config_file(name)
    assert found == packaged.CONFIGS / 'synfoc/lite_phantom.py'
    assert find_config_file(name) == found
    assert capsys.readouterr().err == f'Config "{name}" is taken from {found}\n'
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text('model = None\n')
    assert find_config_file(name) == Path(name), "one's own goes first"


def test_config_slip_gets_a_suggestion(tmp_path):
    done = mmssl('train', 'synfoc/lite_phantm.py', cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count('\n') == 1
    assert 'did you mean "synfoc/lite_phantom.py"?' in done.stderr
    assert not any(tmp_path.iterdir())


def test_own_config_has_its_usual_folder(tmp_path, monkeypatch):
    from mmssl.utils.setup import default_folder

    monkeypatch.chdir(tmp_path)
    assert default_folder('configs/synfoc/busi.py') == Path('work_dirs/synfoc/busi')


READ = """
import os, sys
from mmssl.utils.cli import run
def main():
    where = getattr(sys, sys.argv[1])
    for number in range(int(sys.argv[2])):
        print(number, file=where, flush=number == 5)
    return int(sys.argv[3])
run(main)
"""


@pytest.mark.parametrize(
    'command, code',
    [
        (('-m', 'mmssl', '--help'), 141),
        (('-m', 'mmssl', 'train', '--help'), 0),  # as the parser ended it
        (('-m', 'mmssl', 'info', 'gone.mmssl'), 1),
        (('-c', READ, 'stdout', '4', '0'), 141),
        (('-c', READ, 'stdout', '4', '3'), 3),
        (('-c', READ, 'stdout', '9999', '3'), 141),
        (('-c', READ, 'stderr', '9999', '0'), 141),
    ],
    ids=str,
)
def test_the_end_is_quiet_where_nobody_reads_any_more(command, code, tmp_path):
    """As below `| head`: no traceback, and no word of an error that was not foreseen."""
    reading, writing = os.pipe()
    os.close(reading)
    streams = dict(stdout=writing, stderr=subprocess.PIPE)
    if 'stderr' in command:
        streams = dict(stdout=subprocess.PIPE, stderr=writing)
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, check=False, timeout=120, text=True,
        env={'PYTHONPATH': str(ROOT)}, **streams,
    )  # fmt: skip
    os.close(writing)
    said = (done.stdout or '') + (done.stderr or '')
    assert done.returncode == code and ('gone.mmssl' in command or said == ''), said
    assert 'Broken' not in said and 'Traceback' not in said


def test_another_broken_pipe_is_an_error(tmp_path):
    script = READ.replace('return int(sys.argv[3])', "raise BrokenPipeError(32, 'a', 'b')")
    words = [sys.executable, '-c', script, 'stdout', '0']
    done = subprocess.run(
        words, cwd=tmp_path, check=False, timeout=120, text=True,
        env={'PYTHONPATH': str(ROOT)}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 1 and 'error: "b": a' in done.stderr
