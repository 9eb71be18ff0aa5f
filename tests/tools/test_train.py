"""The command line: train, interrupt, resume, and errors as one line."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tests' / 'engine'))
from engine_toy import config  # noqa: E402

from mmssl.registry import HOOKS, MODELS, RUNNERS  # noqa: E402
from mmssl.utils.cli import explain  # noqa: E402
from mmssl.utils.setup import default_folder, load_config  # noqa: E402

PORT = 29900 + os.getpid() % 90


def command(*args, **environment):
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHON=sys.executable, PORT=str(PORT))
    env.pop('MMSSL_DEBUG', None)
    program = [sys.executable] if str(args[0]).endswith('.py') else ['bash']
    words = [*program, str(ROOT / args[0]), *map(str, args[1:])]
    return words, dict(env, **environment)


def run(*args, **environment):
    words, env = command(*args, **environment)
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=200)


@pytest.fixture
def toy(tmp_path):
    """A config and, beside it, the file with its components, which is not in the package."""
    shutil.copy(ROOT / 'tests' / 'engine' / 'engine_toy.py', tmp_path / 'engine_toy.py')
    cfg = config(tmp_path / 'run', **{'default_hooks.logger.interval': 1})
    cfg.pop('experiment_name')
    cfg.dump(tmp_path / 'toy.py')
    return tmp_path / 'toy.py'


def listen_to_ctrl_c():
    """Undo what a shell does to programs in the background: they ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def same_run(one, two):
    a, b = (torch.load(Path(f) / 'iter_8.pth', weights_only=True)['state_dict'] for f in (one, two))
    return all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.slow
def test_interrupted_training_says_how_to_go_on_and_goes_on(toy, tmp_path):
    loader = ['train_dataloader.num_workers=1', 'train_dataloader.dataset.delay=1']
    options = ['log_level=INFO', *loader]
    words, env = command('tools/train.py', toy, '--cfg-options', *options)
    process = subprocess.Popen(
        words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=listen_to_ctrl_c,
    )  # fmt: skip
    for line in process.stdout:
        if 'Saving checkpoint at 4' in line:
            break
    until = time.monotonic() + 30
    while not (tmp_path / 'run' / 'last_checkpoint').exists() and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert 'interrupted: at iteration' in errors and 'Traceback' not in errors
    assert 'the newest checkpoint is iter_' in errors and '--resume' in errors
    done = run('tools/train.py', toy, '--resume', '--cfg-options', *options)
    assert done.returncode == 0, done.stderr
    torch.set_num_threads(1)
    RUNNERS.build(config(tmp_path / 'whole')).train()
    assert same_run(tmp_path / 'run', tmp_path / 'whole')


@pytest.mark.slow
def test_typo_in_a_component_name_is_one_line(toy):
    done = run('tools/train.py', toy, '--cfg-options', 'model.type=ToyModle')
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith('error: component "ToyModle" is not in the registry "model"')
    assert 'did you mean "ToyModel"' in last
    assert 'Traceback' not in done.stderr


@pytest.mark.slow
def test_error_of_ours_is_one_line_unless_debugging(toy):
    options = ['tools/train.py', toy, '--cfg-options', 'optim_wrapper.dtype=float8']
    done = run(*options)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: optim_wrapper.dtype is 'float8'")
    done = run(*options, MMSSL_DEBUG='1')
    assert done.returncode == 1 and 'Traceback' in done.stderr


@pytest.mark.slow
def test_two_processes_without_a_gpu_and_amp(toy, tmp_path):
    done = run('tools/dist_train.sh', toy, 2, '--amp', '--work-dir', tmp_path / 'two')
    assert done.returncode == 0, done.stderr[-3000:]
    saved = torch.load(tmp_path / 'two' / 'iter_8.pth', weights_only=True)['meta']
    assert saved['world_size'] == 2
    expected = ('float16',) if torch.cuda.is_available() else ('bfloat16', 'float32')
    assert saved['precision'] in expected and "dtype='half'" in saved['cfg']


def error_of(call):
    with pytest.raises(Exception) as info:
        call()
    return info.value


@pytest.mark.parametrize(
    'name, expected',
    [
        ('SynFock', 'did you mean "SynFoC"'),
        ('synfoc', 'did you mean "SynFoC"?'),
        ('mmseg.EncoderDecodr', 'did you mean "mmseg.EncoderDecoder"'),
        ('Xyzzy', 'custom_imports'),
    ],
)
def test_nearest_components_are_named(name, expected):
    text, code = explain(error_of(lambda: MODELS.build(dict(type=name))))
    assert code == 2 and f'"{name}"' in text and expected in text and '\n' not in text


def test_nearest_option_is_named():
    text, code = explain(error_of(lambda: MODELS.build(dict(type='ToyModel', norn='gn'))))
    assert code == 2 and text == '"ToyModel" has no option "norn"; did you mean "norm"?'


@pytest.mark.parametrize(
    'registry, cfg, near',
    [
        (MODELS, dict(type='UAMT', students={}, consistancy={}), 'consistency'),
        (MODELS, dict(type='UAMT', students={}, tresholds={}), 'threshold'),
        (MODELS, dict(type='UAMT', students={}, part=[]), 'parts'),
        (HOOKS, dict(type='CheckpointHook', intervall=3), 'interval'),
        (HOOKS, dict(type='CheckpointHook', max_keep_ckpt=3), 'max_keep_ckpts'),
    ],
)
def test_nearest_option_is_named_when_it_was_passed_on_to_a_base_class(registry, cfg, near):
    import mmssl.models  # noqa: F401

    text, code = explain(error_of(lambda: registry.build(cfg)))
    assert code == 2 and text.startswith(f'"{cfg["type"]}" has no option "{list(cfg)[-1]}"')
    assert text.endswith(f'did you mean "{near}"?')


def test_images_of_other_channels_are_explained():
    def ask(wanted, given):
        return explain(error_of(lambda: torch.nn.Conv2d(wanted, 2, 1)(torch.zeros(1, given, 4, 4))))

    text, code = ask(1, 3)
    assert code == 1 and 'takes images of 1 channel(s), the data set gives 3: set in_ch' in text
    assert 'data_preprocessor.sizes.<student>.channels=3' in ask(3, 1)[0]
    assert ask(16, 8)[0] is None


def test_a_component_without_a_type_is_explained():
    text, code = explain(error_of(lambda: MODELS.build(dict(students={}))))
    assert code == 1 and text == (
        'a component has options, {\'students\': {}}, but no "type": say what it is, type=...'
    )


def test_an_entry_that_nothing_reads_is_refused(toy):
    with pytest.raises(ValueError, match='no entry "resum"; did you mean "resume"?'):
        load_config(toy, {'resum': True})
    with pytest.raises(ValueError, match='no entry "train_cfgs"; did you mean "train_cfg"?'):
        load_config(toy, {'train_cfgs.max_iters': 2})
    assert load_config(toy, {'resume': True, 'scale_to_world': True}).scale_to_world


def test_a_batch_norm_of_one_value_is_explained():
    text, code = explain(error_of(lambda: torch.nn.BatchNorm2d(2)(torch.zeros(1, 2, 1, 1))))
    assert code == 1 and 'raise batch_sampler.num_labelled and num_unlabelled to two' in text


def test_runner_typo_is_named(tmp_path):
    cfg = config(tmp_path, runner_type='SemiRuner')
    text, code = explain(error_of(lambda: RUNNERS.build(cfg)))
    assert code == 2 and 'did you mean "SemiRunner"' in text


def test_errors_of_other_packages_keep_their_traceback():
    assert explain(error_of(lambda: torch.zeros(2) + torch.zeros(3)))[0] is None
    assert explain(error_of(lambda: int('x')))[0] is None


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / 'file').touch()
    text, code = explain(error_of(lambda: (tmp_path / 'file' / 'work').mkdir()))
    assert code == 1 and text.startswith(f'"{tmp_path}/file/work": Not a directory; choose another')


def test_error_from_a_loading_process_is_one_line():
    from torch.utils.data import DataLoader, Dataset

    from mmssl.utils.resize import resize_nearest  # noqa: F401

    class Broken(Dataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            from mmssl.utils.setup import load_config

            load_config('no/such.py')

    error = error_of(lambda: next(iter(DataLoader(Broken(), num_workers=1))))
    text, status = explain(error)
    assert text.startswith('Config "no/such.py" does not exist, here or in') and status == 1


def test_configs_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.py'):
        load_config(tmp_path / 'none.py')
    (tmp_path / 'broken.py').write_text('a = dict(')
    with pytest.raises(ValueError, match='broken.py.*SyntaxError'):
        load_config(tmp_path / 'broken.py')
    (tmp_path / 'lost.py').write_text('custom_imports = dict(imports=["no_such_thing"])')
    with pytest.raises(ValueError, match='no_such_thing.*PYTHONPATH'):
        load_config(tmp_path / 'lost.py')


def fake(tmp_path, name):
    """A program that prints its arguments and the variables that matter."""
    file = tmp_path / name
    file.write_text('#!/bin/sh\necho "$@" OMP=$OMP_NUM_THREADS\n')
    file.chmod(0o755)
    return file


def test_dist_scripts_honour_their_variables(tmp_path):
    python = str(fake(tmp_path, 'python'))
    nodes = dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='node0', PORT='1234', PYTHON=python)
    said = run('tools/dist_train.sh', 'a.py', 3, '--amp', **nodes).stdout
    expected = '--nnodes=2 --node_rank=1 --nproc_per_node=3 --master_addr=node0 --master_port=1234'
    assert expected in said and 'train.py a.py --launcher pytorch --amp OMP=1' in said
    said = run('tools/dist_test.sh', 'a.py', 'b.pth', 3, PYTHON=python, PORT='29500').stdout
    assert '--nnodes=1 --node_rank=0 --nproc_per_node=3 --master_addr=127.0.0.1' in said
    assert '--master_port=29500' in said and 'test.py a.py b.pth --launcher pytorch' in said
    for script in ('dist_train', 'dist_test', 'slurm_train', 'slurm_test'):
        done = run(f'tools/{script}.sh')
        assert done.returncode == 1 and f'bash tools/{script}.sh' in done.stderr


def test_slurm_scripts_ask_for_what_was_said(tmp_path):
    fake(tmp_path, 'srun')
    path = {'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'PYTHON': 'python'}
    said = run('tools/slurm_train.sh', 'gpu', 'job', 'a.py', '--resume', GPUS='4', **path).stdout
    assert '-p gpu --job-name=job --gres=gpu:4 --ntasks=4 --ntasks-per-node=4' in said
    assert '--kill-on-bad-exit=1' in said and 'train.py a.py --launcher slurm --resume' in said
    said = run(
        'tools/slurm_test.sh', 'cpu', 'job', 'a.py', 'b.pth', GPUS='2', GPUS_PER_NODE='0', **path
    ).stdout
    assert '--gres' not in said and '--ntasks-per-node=2' in said
    assert 'test.py a.py b.pth --launcher slurm' in said


def test_help_names_the_options():
    text = run('tools/train.py', '--help').stdout
    for option in ('--work-dir', '--resume [CKPT]', '--amp', '--launcher', '--cfg-options'):
        assert option in text
    assert 'examples:' in text


def test_no_two_configs_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = [path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts]
    assert default_folder(own[0]) == Path('work_dirs', *own[0].with_suffix('').parts[-2:])
    (tmp_path / 'linked').symlink_to(ROOT / 'configs')
    assert default_folder('linked/ua_mt/acdc.py') == default_folder(ROOT / 'configs/ua_mt/acdc.py')
    others = [
        'lite_fundus.py',
        'a/lite_fundus.py',
        'a/b/lite_fundus.py',
        '../x/a/lite_fundus.py',
        '../y/a/lite_fundus.py',
        '/x/a/lite_fundus.py',
        tmp_path.parent / 'lite_fundus.py',
    ]
    folders = {default_folder(path) for path in [*own, *others]}
    assert len(folders) == len(own) + len(others) and len(own) > 150
    assert all(folder.parts[0] == 'work_dirs' and '..' not in folder.parts for folder in folders)
    assert default_folder('./a/../a/lite_fundus.py') == default_folder('a/lite_fundus.py')


def test_train_and_test_use_the_folder_of_the_config(toy, tmp_path, monkeypatch):
    import importlib.util

    monkeypatch.chdir(tmp_path)
    text = toy.read_text().replace('work_dir', 'unused_dir')
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/toy.py').write_text(text)
    for tool, words in (('train', []), ('test', ['none'])):
        spec = importlib.util.spec_from_file_location(tool, ROOT / 'tools' / f'{tool}.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, 'argv', [tool, 'mine/toy.py', *words])
        assert module.build_config(module.parse_args()).work_dir == 'work_dirs/mine/toy'
        if tool == 'train':
            monkeypatch.setattr(sys, 'argv', [tool, 'mine/toy.py', '--overwrite', '--resume'])
            with pytest.raises(SystemExit):
                module.parse_args()
