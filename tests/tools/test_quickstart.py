"""The quickstart with stand-ins for its commands: its plan, its paths, and how it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUB = """
import json, os, sys, time
from pathlib import Path
from mmssl.utils.cli import run
from mmssl.utils.config.options import parse_value

def main():
    words, tool = sys.argv[1:], Path(sys.argv[0]).stem
    at = words.index('--cfg-options') if '--cfg-options' in words else len(words)
    options = {k: parse_value(v) for k, v in (w.split('=', 1) for w in words[at + 1:])}
    options = {k: v for k, v in options.items()}
    with open('calls.jsonl', 'a') as calls:
        print(json.dumps([tool, words[:at], options]), file=calls)
    named = dict(zip(words, words[1:]))
    if tool == 'train':
        work, method = Path(named['--work-dir']), Path(words[0]).parent.name
        work.mkdir(parents=True, exist_ok=True)
        print('log - INFO - Precision of training: float32: this is a stand-in')
        (work / 't/vis_data').mkdir(parents=True, exist_ok=True)
        seconds = json.loads(os.environ['SECONDS_OF'])[method]
        lines = [json.dumps({'time': 9.0 if i == 0 else seconds, 'iter': i}) for i in range(4)]
        (work / 't/vis_data/scalars.json').write_text(chr(10).join(lines))
        if os.environ.get('WAIT') and not work.name.startswith('trial_'):
            print('pid', os.getpid(), flush=True)
            Path('waiting').write_text(str(os.getpid()))
            time.sleep(60)
        (work / 'iter_9.pth').touch()
        (work / 'last_checkpoint').write_text('iter_9.pth')
    elif tool == 'test':
        assert Path(words[1]).name == 'iter_9.pth'
        scores, method = {'synfoc': 55.0, 'samed': 53.0}, Path(words[0]).parent.name
        score = {'mean': {'DSC': scores.get(method, 50.0)}}
        student = {'domains': {'ScannerA': score, 'ScannerB': score}, **score}
        student['parts'] = {'outer': score['mean'], 'inner': score['mean']}
        students = {name: student for name in ('sam', 'unet', 'vnet')}
        Path(named['--out']).write_text(json.dumps({'students': students}))
        (Path(named['--show-dir']) / 'ScannerA').parent.mkdir(exist_ok=True)
        (Path(named['--show-dir']) / 'ScannerA_patient021.png').write_bytes(b'a picture')

run(main)
"""


@pytest.fixture
def place(tmp_path):
    """Make a repository whose commands are stand-ins."""
    for name in ('tools/train.py', 'tools/test.py', 'tools/dataset_converters/make_phantom.py'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(STUB)
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    code = (ROOT / 'tools/quickstart.py').read_text()
    assert code.count('made = [plot_training(') == 1
    code = code.replace("made = [plot_training(work, out / 'training_curves.png')]", 'made = []')
    (tmp_path / 'tools/quickstart.py').write_text(code)
    return tmp_path


def start(place, *words, seconds=(0.01, 0.01), **env):
    costs = dict(zip(('synfoc', 'sup_only'), seconds, strict=True))
    costs['samed'] = costs['sup_only']
    costs['bcp'] = costs['synfoc']
    env = dict(os.environ, PYTHONPATH=str(ROOT), SECONDS_OF=json.dumps(costs), **env)
    return subprocess.Popen(
        [sys.executable, str(place / 'tools/quickstart.py'), *map(str, words)],
        env=env, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def run(place, *words, **more):
    process = start(place, *words, **more)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return said


def calls(place):
    return [json.loads(line) for line in (place / 'calls.jsonl').read_text().splitlines()]


def iterations(place):
    """Return the iterations of each training that is none of the trials."""
    return [
        options['train_cfg.max_iters']
        for tool, words, options in calls(place)
        if tool == 'train' and 'trial_' not in ' '.join(words)
    ]


def test_a_machine_that_is_fast_enough_does_the_whole(place):
    said = run(place, '--dir', place / 'q')
    assert iterations(place) == [400, 400, 400]
    assert 'synfoc 0.01 s, samed 0.01 s, sup_only 0.01 s' in said and 'all steps take about' in said
    assert 'Precision of training: float32: this is a stand-in' in said
    table = (place / 'q/results.md').read_text()
    assert table.startswith('| DSC in %') and 'horten' not in table
    assert json.loads((place / 'q/results.json').read_text())['iterations'] == 400
    assert not list((place / 'q').glob('trial_*'))


def test_each_student_is_compared_with_its_own_network_on_the_labels(place):
    said = run(place, '--dir', place / 'q')
    assert 'SynFoC, LiteMedSAM: ahead of "labels only, LiteMedSAM" on' in said
    assert (
        '(+2.0 points, 1 seed)' in said and 'SynFoC, U-Net: ahead of "labels only, U-Net"' in said
    )
    assert '(+5.0 points, 1 seed)' in said


def test_a_slow_machine_does_less_and_says_so_everywhere(place):
    said = run(place, '--dir', place / 'q', '--minutes', 5, seconds=(2.0, 0.5))
    # 20 iterations' worth of evaluations each; 95 % of 5 minutes
    count, *controls = iterations(place)
    assert controls == [count, count] and 60 <= count <= 90 and count % 10 == 0
    table = (place / 'q/results.md').read_text()
    for text in (said, table):
        of = f'{count} of 400'
        assert f'Shortened iterations (synfoc {of}, samed {of}, sup_only {of})' in text
        assert 'about 21 minutes' in text and 'the limit was 5' in text
    result = json.loads((place / 'q/results.json').read_text())
    assert result['iterations'] == count and result['iterations_asked'] == 400
    # once more, faster and with more time: the folder goes on with its number
    said = run(place, '--dir', place / 'q', '--minutes', 60, '--seeds', '0,1')
    assert iterations(place) == [count] * 6 and 'goes on with that' in said
    # unless the number is given
    run(place, '--dir', place / 'q', '--iters', '400', seconds=(2.0, 0.5))
    assert iterations(place)[6:] == [400, 400, 400]


def test_a_number_that_is_given_is_not_shortened(place):
    said = run(place, '--dir', place / 'q', '--iters', 300, '--minutes', 1, seconds=(2.0, 0.5))
    assert iterations(place) == [300, 300, 300] and 'all steps take about 16 minutes' in said


@pytest.mark.parametrize('iters, interval', [(4, 1), (300, 10)])
def test_the_shortest_run_has_curves(place, iters, interval):
    run(place, '--dir', place / 'q', '--iters', iters)
    trainings = [options for tool, _, options in calls(place) if tool == 'train']
    assert trainings[-1]['default_hooks.logger.interval'] == interval


@pytest.mark.parametrize('name', ["my dir, k=[1] (2) o'neil", 'say "a, b"', '07'])
def test_any_folder(place, name):
    run(place, '--dir', place / name / name)
    folder = place / name / name
    assert (folder / 'results.md').exists()
    roots = {value for _, _, options in calls(place) for key, value in options.items()
             if key.endswith('data_root')}  # fmt: skip
    assert roots == {str(folder / 'phantom')}


def test_a_folder_that_no_option_can_hold_is_one_line(place):
    process = start(place, '--dir', place / '"\'')
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and 'Traceback' not in said
    assert 'has both kinds of quotes' in said.splitlines()[-1]


def waiting(place):
    """Return the process number of the training once it is under way."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if (place / 'waiting').exists() and (number := (place / 'waiting').read_text()):
            return int(number)
        time.sleep(0.05)
    raise AssertionError('no training began')


def gone(process, seconds=15):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0] == 'Z':
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='looks into /proc')
@pytest.mark.parametrize('number', [
    signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])  # fmt: skip
def test_its_training_ends_with_it(place, number):
    process = start(place, '--dir', place / 'q', WAIT='1')
    training = waiting(place)
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert gone(training)
    if number != signal.SIGKILL:
        assert process.returncode == 130 and 'repeat the command to go on' in said
    assert 'Traceback' not in said


def test_bad_numbers_are_refused(place):
    for words in (('--minutes', '0'), ('--iters', '0'), ('--seeds', 'a')):
        process = start(place, '--dir', place / 'q', *words)
        said, _ = process.communicate(timeout=60)
        assert process.returncode and 'Traceback' not in said


def test_a_step_that_fails_shows_the_end_of_its_log(place):
    (place / 'tools/train.py').write_text('print("this went wrong"); raise SystemExit(3)')
    process = start(place, '--dir', place / 'q')
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3 and 'this went wrong' in said
    assert 'synfoc_trial.log' in said.splitlines()[-1]
    shutil.rmtree(place / 'q')


def test_the_job_on_volumes(place):
    """Both trainings see the phantom's volumes, and the table has a column for each structure."""
    said = run(place, 'volumes', '--dir', place / 'q', '--minutes', 5, seconds=(1.5, 1.0))
    (tool, words, _), *others = calls(place)
    assert tool == 'make_phantom' and words[1:3] == ['--layout', 'nifti']
    roots = {value for _, _, options in others for key, value in options.items()
             if key.endswith('data_root')}  # fmt: skip
    assert roots == {str(place / 'q/phantom_mri')}
    bcp, control = iterations(place)
    assert bcp == control and 60 <= bcp < 100
    assert f'Shortened iterations (sup_only {control} of 800, bcp {bcp} of 800)' in said
    table = (place / 'q/results.md').read_text()
    assert '| Dice per volume, % | outer | inner | mean |' in table
    assert '"labels only, V-Net" in mean Dice per volume (+0.0 points, 1 seed)' in table
    assert (place / 'q/pictures/planes_0.png').read_bytes() == b'a picture'
