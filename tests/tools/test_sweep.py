"""The sweep tool: grid, table, plot, repeat; with programs that only pretend to train."""

import csv
import functools
import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path

import cv2
import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tests' / 'utils'))
from slurm_stub import write_slurm  # noqa: E402
from stub_tools import write_stubs  # noqa: E402

from mmssl.experiments.axes import check_keys, parse_axes, parse_options  # noqa: E402
from mmssl.experiments.runs import run_jobs  # noqa: E402
from mmssl.utils.cli import explain  # noqa: E402


def table_of(out):
    """Return the tables in Markdown, without the blanks that only lay them out."""
    return re.sub(' +', ' ', (out / 'table.md').read_text())


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('sweep', ROOT / 'tools/analysis_tools/sweep.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sweep(tool, tmp_path, monkeypatch):
    """Call the tool on the pretended training."""
    write_stubs(tmp_path)
    monkeypatch.setattr(tool, 'run_jobs', functools.partial(run_jobs, poll=0.01))

    def call(*words):
        config, out = tmp_path / 'config.py', tmp_path / 'out'
        tool.main([str(config), '--work-dir', str(out), *words], tools=tmp_path)
        return out

    return call


def trainings(out):
    return len(list(out.glob('*/seed*/calls.txt')))


def test_grid_gives_folders_table_and_plot(sweep, capsys):
    out = sweep('--vary', '_fake.x=1,3', '_fake.groups=[2,4,6],[5,6]', '--seeds', '0,2')
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == [
        '_fake.x=1,_fake.groups=2-4-6',
        '_fake.x=1,_fake.groups=5-6',
        '_fake.x=3,_fake.groups=2-4-6',
        '_fake.x=3,_fake.groups=5-6',
    ]
    said = capsys.readouterr().out
    assert '8 runs: 0 done before' in said and '[8/8]' in said
    line = next(line for line in said.splitlines() if line.startswith('3 ') and '[' in line)
    assert line.split()[:4] == ['3', '[2,4,6]', '2', '31.00']
    table = table_of(out)
    assert '| 1 | [5,6] | 2 | <u>11.00 ± 1.41</u> | <u>5.50 ± 0.71</u>' in table
    assert '| 3 | [2,4,6] | 2 | **31.00 ± 1.41** |' in table
    assert 'seeds 0, 2' in table and 'student: unet; checkpoint: last. per case.' in table
    rows = list(csv.DictReader((out / 'table.csv').open()))
    assert len(rows) == 4 * 2 * 3 * 4 and rows[0]['_fake.groups'] == '[2,4,6]'
    results = json.loads((out / 'results.json').read_text())
    assert results['rows'][2]['runs']['seed 2']['mean']['DSC'] == 32.0
    assert cv2.imread(str(out / 'DSC.png')) is not None


def test_intervals_and_what_is_within_chance_stand_in_the_table(sweep, capsys):
    """Rows of 10, 10 and 30 %: two are the same, one is more than chance behind the best."""
    out = sweep('--vary', '_fake.x=3,1', '_fake.y=0,1')
    said = capsys.readouterr().out
    table = table_of(out)
    assert '| DSC, 95 % over patients |' in table
    rows = {tuple(line.split('|')[1:3]): line for line in table.split('###')[1].splitlines()}
    assert ' ≈ |' in rows[' 3 ', ' 1 '] and '≈' not in rows[' 1 ', ' 0 ']
    chance = json.loads((out / 'results.json').read_text())['chance']
    assert chance['best'] == '3, 0'
    by_chance = {one['name']: one['by_chance'] for one in chance['differences']}
    assert by_chance == {'3, 1': True, '1, 0': False, '1, 1': False}
    low, high = chance['intervals']['3, 0']
    assert 29 < low < 30 < high < 31 and f'| {low:.2f} to {high:.2f} |' in rows[' 3 ', ' 0 ']
    sentence = '3, 0 is ahead of 1, 0 by 20.00 in 100 % of resamples'
    assert sentence in said and sentence in table and 'images' not in chance


def test_a_larger_grid_keeps_what_is_done(sweep, capsys):
    sweep('--vary', '_fake.x=1', '--seeds', '0')
    out = sweep('--vary', '_fake.x=1,2', '--seeds', '0,1')
    assert '4 runs: 1 done before, 0 to go on with, 3 to start' in capsys.readouterr().out
    assert trainings(out) == 4
    assert (out / '_fake.x=1/seed0/calls.txt').read_text().count('train') == 1


def test_values_and_seeds_of_earlier_calls_stay_in_the_table(sweep, capsys):
    sweep('--vary', '_fake.x=1,3', '--seeds', '0,2')
    capsys.readouterr()
    out = sweep('--vary', '_fake.x=2', '--seeds', '0')
    assert '1 run: 0 done before' in capsys.readouterr().out, 'no other is run'
    table = table_of(out)
    assert '| 1 | 2 |' in table and '| 3 | 2 |' in table and '| 2 | 1 |' in table
    assert 'seeds 0, 2' in table
    assert json.loads((out / 'results.json').read_text())['grid'].keys() == {'_fake.x'}
    sweep('--vary', '_fake.x=2', '--cfg-options', '_fake.y=5', '--overwrite')
    table = table_of(out)
    assert '| 2 | 1 |' in table and '| 3 |' not in table, 'runs of another setting'


def test_changed_settings_are_refused_or_thrown_away(sweep):
    out = sweep('--vary', '_fake.x=1')
    with pytest.raises(ValueError, match=r'_fake.y is 0 there and 5 here.*--overwrite') as error:
        sweep('--vary', '_fake.x=1', '--cfg-options', '_fake.y=5')
    text, code = explain(error.value)
    assert code == 1 and '\n' not in text
    with pytest.raises(ValueError, match='--amp is False there'):
        sweep('--vary', '_fake.x=1', '--amp', '--plot-only')
    sweep('--vary', '_fake.x=1', '--amp', '--overwrite')
    assert (out / '_fake.x=1/seed0/calls.txt').read_text().startswith('train - amp')


def test_a_failed_run_ends_with_status_1_and_a_table_of_the_others(sweep, capsys):
    with pytest.raises(SystemExit) as end:
        sweep('--vary', '_fake.fail=True,False', '--gpus', '0,1')
    assert end.value.code == 1
    said = capsys.readouterr().out
    warned = '--gpus "0,1": PyTorch finds no GPU here, the runs train on the CPU, 2 at' in said
    assert warned is not torch.cuda.is_available()
    assert 'error: the disk is full' in said
    assert said.rstrip().endswith(
        '1 of 2 runs failed; the same command tries them again:\n  _fake.fail=True, seed 0'
    )
    assert 'True        0 of 1' in said and 'False       1' in said


def test_dry_run_starts_nothing_and_plot_only_neither(sweep, capsys):
    out = sweep('--vary', '_fake.x=1,2', '--dry-run')
    said = capsys.readouterr().out
    assert '[2/2] _fake.x=2, seed 0: new' in said and not out.exists()
    command = next(line for line in said.splitlines() if 'train.py' in line)
    assert command.endswith('--cfg-options _fake.x=1 randomness.seed=0')
    sweep('--vary', '_fake.x=1,2', '--plot-only')
    assert 'No run is done yet' in capsys.readouterr().out
    sweep('--vary', '_fake.x=2')
    (out / 'DSC.png').unlink()
    sweep('--vary', '_fake.x=1,2', '--plot-only', '--metric', 'HD95')
    assert trainings(out) == 1 and (out / 'HD95.png').exists() and not (out / 'DSC.png').exists()


def test_student_and_best_checkpoint_can_be_chosen(sweep):
    out = sweep('--vary', '_fake.x=2', '--checkpoint', 'best')
    assert (out / '_fake.x=2/seed0/result_best_unet_DSC.json').exists()
    sweep('--vary', '_fake.x=2', '--student', 'sam')
    assert '| 2 | 1 | 1.00 |' in table_of(out)
    with pytest.raises(ValueError, match='student "vit" is not in .*; it has unet, sam'):
        sweep('--vary', '_fake.x=2', '--student', 'vit')
    with pytest.raises(ValueError, match='keeps no best checkpoint of vit'):
        sweep('--vary', '_fake.x=2', '--student', 'vit', '--checkpoint', 'best')


def test_without_a_key_the_config_is_repeated_over_the_seeds(sweep):
    out = sweep('--seeds', '0,1,2')
    assert '| config | 3 | 11.00 ± 1.00 |' in table_of(out)


def test_the_same_grid_runs_on_a_cluster(sweep, tmp_path, monkeypatch, capsys):
    pytest.importorskip('submitit')
    slurm = write_slurm(tmp_path, monkeypatch)
    words = ['--vary', '_fake.x=1,3', '--executor', 'slurm', '--partition', 'gpu']
    out = sweep(*words, '--slurm', 'account=lab', 'gpus_per_node=0', '--time-limit', '30')
    assert '| 3 | 1 | **30.00** |' in table_of(out)
    script = (slurm / '2.sh').read_text()
    for word in ('partition=gpu', 'account=lab', 'gpus-per-node=0', 'time=30'):
        assert f'#SBATCH --{word}\n' in script
    sweep(*words)
    assert '2 runs: 2 done before' in capsys.readouterr().out
    assert len(list(slurm.glob('*.sh'))) == 2


@pytest.mark.parametrize('words, message', [
    (['--seeds', '0,x'], 'different whole numbers'),
    (['--executor', 'slurm', '--gpus', '0'], 'names GPUs of this machine; on Slurm a run gets one'),
    (['--partition', 'gpu'], 'partition.* need --executor slurm'),
    (['--seeds', '1,1'], 'different whole numbers'),
    (['--seeds=-1'], 'different whole numbers'),
    (['--vary', '_fake.z.y=1'], 'has no "z" there'),
    (['--vary', '_fakee.x=1'], 'did you mean "_fake"'),
    (['--cfg-options', 'fake'], 'write KEY=VALUE'),
    (['--gpus', '0,,1'], '--gpus "0,,1"'),
])  # fmt: skip
def test_faults_of_the_command_line_are_one_line(sweep, words, message):
    with pytest.raises(ValueError, match=message) as error:
        sweep(*words)
    assert explain(error.value)[1] == 1


def test_the_default_folder_names_config_and_keys(tool, tmp_path):
    write_stubs(tmp_path)
    words = [str(tmp_path / 'config.py'), '--vary', '_fake.x=1', 'model.neck.blocks=[1]']
    sweep = tool.Sweep(tool.parse_args(words), tmp_path)
    name = f'{tmp_path.name}_config'
    assert sweep.folder == Path('work_dirs/sweeps') / name / '_fake.x+neck.blocks'


PAGE = (ROOT / 'docs/en/sweep.md').read_text().replace('\\\n', ' ')
STUDIES = [line for line in PAGE.splitlines() if line.startswith('python tools/analysis_tools/sw')]


@pytest.mark.parametrize('line', STUDIES)
def test_documented_studies_fit_their_configs(tool, line, monkeypatch):
    monkeypatch.chdir(ROOT)
    args = tool.parse_args(shlex.split(line)[2:])
    keys = [key for axis in parse_axes(args.vary) for key in next(iter(axis.values.values()))]
    check_keys(args.config, parse_options(args.cfg_options), keys)


@pytest.mark.slow
def test_real_training_on_a_small_phantom(tool, tmp_path, capsys):
    from mmssl.datasets.phantom.slices import PhantomSettings, write_phantom

    settings = PhantomSettings(
        domains=('ScannerA', 'ScannerB'),
        size=32,
        train_cases=2,
        train_slices=3,
        test_cases=1,
        test_slices=2,
    )
    write_phantom(tmp_path / 'data', settings, progress=False)
    (tmp_path / 'tiny.py').write_text(f"""
_base_ = [{str(ROOT / 'configs/sup_only/lite_phantom.py')!r}]
part = dict(data_root={str(tmp_path / 'data')!r}, domains=['ScannerA', 'ScannerB'])
model = dict(students=dict(unet=dict(
    backbone=dict(base_channels=4), decode_head=dict(in_channels=4, channels=4))))
train_dataloader = dict(dataset=dict(**part, labelled=dict(num=3)))
val_dataloader = dict(dataset=part)
test_dataloader = dict(dataset=part)
train_cfg = dict(max_iters=2, val_interval=2)
""")
    words = [
        str(tmp_path / 'tiny.py'),
        '--work-dir',
        str(tmp_path / 'out'),
        '--vary',
        'optim_wrapper.optimizers.unet.lr=0.1',
    ]
    tool.main(words)
    results = json.loads((tmp_path / 'out/results.json').read_text())
    runs = results['rows'][0]['runs']
    assert list(runs['seed 0']['domains']) == ['ScannerA', 'ScannerB']
    config = (tmp_path / 'out/unet.lr=0.1/seed0/tiny.py').read_text()
    assert 'lr=0.1' in config and 'seed=0' in config
    tool.main(words)
    assert '1 run: 1 done before' in capsys.readouterr().out
