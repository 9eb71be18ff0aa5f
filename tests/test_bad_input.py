"""Bad settings, configs, files, checkpoints and command lines end in one line that names them.

Every case runs a tool as a user would, on a tiny phantom with tiny networks, within a time limit.
"""

import copy
import os
import random
import re
import sys
import uuid
from pathlib import Path

import pytest
from mmengine.config import Config

sys.path.insert(0, str(Path(__file__).parent))
from bad_input import call, last_line
from test_training import config, phantom  # noqa: F401

from mmssl.utils.config.variables import ENTRIES
from mmssl.utils.setup import register_all_modules

T, D, L = 'train_cfg', 'train_dataloader', 'train_dataloader.dataset.labelled'
O, H = 'optim_wrapper', 'default_hooks'

# An option of the command line, and what the line says besides the option's name.
SETTINGS = [
    (f'{T}.max_iters=abc', "'abc'; it must be a whole number of at least 1"),
    (f'{T}.max_iters=2.5', '2.5; it must be a whole number'),
    (f'{T}.max_iters=None', 'None; it must be'),
    (f'{T}.max_iters=0', '0; it must be'),
    (f'{T}.max_iters=-3', '-3; it must be'),
    (f'{T}.max_iters=1e3', '1000.0; it must be a whole number'),
    (f'{T}.max_iters=[1,2]', r'\[1, 2\]; it must be'),
    (f'{T}.max_iters=True', 'True; it must be'),
    (f'{T}.max_iters=99999999999', '99999999999; it must be'),
    (f'{T}.max_iters=', "''; it must be"),
    (f'{T}.max_iter=5', 'no option "max_iter"; did you mean "max_iters"'),
    (f'{T}=None', 'no train_cfg'),
    (f'{T}=5', 'it must be a dict'),
    (f'{T}.type=SemiTrainLop', 'did you mean "SemiTrainLoop"'),
    (f'{T}.val_interval=0', '0; it must be a whole number of at least 1'),
    (f'{T}.val_interval=often', "'often'; it must be"),
    (f'{T}.val_begin=-1', '-1; it must be'),
    (f'{O}.optimizers.unet.lr=fast', "'fast'; it must be a number"),
    (f'{O}.optimizers.unet.lr=-1', '-1; it must be a number'),
    (f'{O}.optimizers.unet.lr=nan', 'nan'),
    (f'{O}.optimizers.unet.lr=inf', 'inf; it must be'),
    (f'{O}.optimizers.unet.lr=None', 'None; it must be'),
    (f'{O}.optimizers.unet.weight_decay=-0.1', '-0.1; it must be'),
    (f'{O}.optimizers.unet.momentum=2', '2; it must be a number from 0 to 1'),
    (f'{O}.optimizers.unet.type=SGDD', 'did you mean "SGD"'),
    (f'{O}.optimizers.unet.learning_rate=1', 'no option "learning_rate"'),
    (f'{O}.optimizers.sam.betas=0.9', 'betas'),
    (f'{O}.optimizers=None', 'optimizers is None; it must be a dict'),
    (f'{O}=None', 'no optim_wrapper'),
    (f'{O}.accumulative_counts=0', '0; it must be'),
    (f'{O}.clip_grad=1', '1; it must be a dict or None'),
    (f'{O}.dtype=float8', 'float8'),
    ('param_scheduler=linear', "'linear'; it must be"),
    ('param_scheduler.unet.0.end=soon', "'soon'; it must be"),
    ('param_scheduler.unet.0.begin=-1', '-1; it must be'),
    ('param_scheduler.unet.0.power=x', 'power'),
    (f'{D}=None', 'no train_dataloader'),
    (f'{D}.num_workers=-1', '-1; it must be a whole number from 0'),
    (f'{D}.num_workers=1000000', '1000000; it must be'),
    (f'{D}.num_workers=many', "'many'; it must be"),
    (f'{D}.num_wokers=2', 'did you mean "num_workers"'),
    (f'{D}.persistent_workers=3', '3; it must be True or False'),
    (f'{D}.prefetch_factor=0', '0; it must be'),
    (f'{D}.batch_sampler.num_labelled=-2', '-2; it must be'),
    (f'{D}.batch_sampler.num_labelled=two', "'two'; it must be"),
    (f'{D}.batch_sampler.num_unlabelled=1.5', '1.5; it must be'),
    (f'{D}.batch_sampler=None', ''),
    (f'{D}.collate_fn=nothing', 'nothing'),
    (f'{D}.dataset=None', 'dataset is None; it must be a dict'),
    ('val_dataloader.batch_size=0', '0; it must be a whole number'),
    ('val_dataloader.dataset.mode=tset', "'tset'; it must be one of train, val, test"),
    ('val_evaluator=None', 'no val_evaluator'),
    ('val_evaluator.type=DomainMetrik', 'did you mean "DomainMetric"'),
    ('val_evaluator.per=pixel', "per='pixel'"),
    ('val_cfg.fp16=perhaps', 'fp16'),
    (f'{H}.logger.interval=0', '0; it must be a whole number of at least 1'),
    (f'{H}.logger.interval=x', "'x'; it must be"),
    (f'{H}.loss_guard.interval=-5', '-5; it must be'),
    (f'{H}.checkpoint.interval=0', '0; it must be a whole number of at least 1 or -1'),
    (f'{H}.checkpoint.max_keep_ckpts=0', '0; it must be'),
    (f'{H}.checkpoint.save_best=[unet/DCS]', 'unet/DCS.*did you mean "DSC"'),
    (f'{H}.checkpoint.save_best=[net/DSC]', 'net/DSC'),
    (f'{H}.checkpoint.save_best=3', 'save_best is 3'),
    (f'{H}.checkpoint.on_write_error=ignore', 'ignore'),
    (f'{H}.checkpoint=5', '5; it must be a dict'),
    ('custom_hooks=EMA', "'EMA'; it must be a list"),
    ('custom_hooks.0.momentum=big', 'momentum'),
    ('custom_hooks.9.momentum=0.9', 'is a list, whose entries are 0 to'),
    ('custom_hooks.0=5', r'custom_hooks\.0 is 5; it must be a dict'),
    ('custom_hooks.0=None', r'custom_hooks\.0 is None; it must be a dict'),
    ('custom_hooks.0=[1]', r'custom_hooks\.0 is \[1\]; it must be a dict'),
    (f'{H}.checkpoint.save_best.0=5', r"save_best=\[5, 'unet/DSC'\]"),
    ('randomness.seed=-1', '-1; it must be a whole number from 0 to 4294967295'),
    ('randomness.seed=4294967296', '4294967296; it must be'),
    ('randomness.seed=a', "'a'; it must be"),
    ('randomness.sed=1', 'did you mean "seed"'),
    ('env_cfg.mp_cfg.mp_start_method=thread', "'thread'; it must be one of fork"),
    ('env_cfg.dist_cfg.timeout=0', '0; it must be a number above 0'),
    ('env_cfg.cudnn_benchmark=2', '2; it must be True or False'),
    ('log_processor.window_size=0', '0; it must be'),
    ('log_level=LOUD', "'LOUD'; it must be one of"),
    ('model=None', 'model is None; it must be a dict'),
    ('model.type=SynFock', 'did you mean "SynFoC"'),
    ('model.teachers=[nobody]', 'nobody'),
    ('model.primary=nobody', 'nobody'),
    ('model.parts=[]', 'parts'),
    ('model.parts=[[7]]', '7'),
    ('model.threshold.value=high', "value='high'; it must be a number"),
    ('model.ramp.type=LinearRmp', 'LinearRmp'),
    ('model.students.unet.decode_head.num_classes=7', '7'),
    ('model.data_preprocessor.sizes.unet.image=0', r'sizes\.unet\.image is 0; it must be'),
    ('model.data_preprocessor.sizes.unet.label=abc', r"sizes\.unet\.label is 'abc'; it must be"),
    ('compile=5', 'compile is 5; it must be'),
    (f'{D}.dataset.labelled.num=0', 'num'),
    (f'{D}.dataset.labelled.num=many', 'many'),
    (f'{D}.dataset.labelled.domain=Nowhere', 'Nowhere'),
    (f'{D}.dataset.domains=[]', 'domain'),
    (f'{D}.dataset.data_root=/no/such/place', '/no/such/place'),
    (f'{D}.dataset.cache=sometimes', 'sometimes'),
    (f'{D}.dataset.labelled_pipeline.0.type=RandomScaleCrap', 'RandomScaleCrop'),
    (f'{D}.dataset.labelled_pipeline.1.degrees=steep', "degrees='steep'; it must be"),
    (f'{D}.dataset.labelled_pipeline.99.degrees=3', 'is a list, whose entries are'),
    (f'{T}.max_iters.more=3', 'which has no entry "more"'),
    ('max_iterations=5', 'no entry "max_iterations"'),
    ('load_from=/no/such/file.pth', '/no/such/file.pth'),
    ('load_from=5', '5; it must be'),
    ('load_from=s3://bucket/model.pth', 's3://bucket/model.pth.*fetch the file'),
    ('work_dir=5', 'work_dir is 5; it must be'),
    ('work_dir=', "work_dir is ''; it must be"),
    ('resume=perhaps', "'perhaps'; it must be True or False"),
    ('work_dir=/proc/none/run', '/proc/none'),
]


BINARY = bytes(range(256)) * 8
# Nine aliases of nine aliases ...: 9**9 values in a file of some lines.
MANY = 'a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n' + ''.join(
    f'{new}: &{new} [{", ".join([f"*{old}"] * 9)}]\n'
    for old, new in zip('abcdefgh', 'bcdefghi', strict=True)
)
# A file beside the good config (its name is {base} in the text), and what the line says.
CONFIGS = [
    ('empty.py', '', 'empty'),
    ('comment.py', '# nothing\n', 'empty'),
    ('binary.py', BINARY, 'no text'),
    ('zeros.py', b'model = 1\n\0\0', 'zero bytes'),
    ('mark.py', b'\xef\xbb\xbfmodel = 1\n', 'byte order mark'),
    ('mark.json', b'\xef\xbb\xbf{"model": 1}', 'byte order mark'),
    ('latin.py', 'a = "\u00e9"'.encode('latin-1'), 'UTF-8'),
    ('half.py', 'model = dict(', 'half.py.*SyntaxError.*line 1'),
    ('raises.py', '_base_ = ["{base}"]\na = 1\nb = a / 0\n', 'line 3 of .*raises.py.*ZeroDivision'),
    ('leaves.py', 'import sys\nsys.exit(0)\n', 'line 2 of .*leaves.py.*SystemExit'),
    ('unknown.py', 'a = 1\nmodel = dict(type=nothing)\n', 'line 2 of .*unknown.py.*nothing'),
    ('deep.py', 'def f():\n    return f()\nf()\n', 'deep.py.*RecursionError'),
    ('self.py', '_base_ = ["self.py"]\n', 'base of itself: self.py -> self.py'),
    ('lost.py', '_base_ = ["nowhere.py"]\n', 'nowhere.py", a base of .*does not exist'),
    ('number.py', '_base_ = [5]\n', '5 in _base_; it must be a path'),
    ('twice.py', '_base_ = ["{base}", "{base}"]\n', 'twice.py.*Duplicate'),
    (
        'plugin.py',
        '_base_ = ["{base}"]\ncustom_imports = dict(imports=["no_such_plug_in"])\n',
        'no_such_plug_in.*PYTHONPATH',
    ),
    ('imports.py', '_base_ = ["{base}"]\ncustom_imports = 5\n', 'custom_imports.*is 5'),
    ('config.txt', 'model = 1', 'ends in ".txt"'),
    ('list.json', '[1, 2]', 'no entries by name'),
    ('broken.json', '{{"model": ', 'is no JSON'),
    ('runs.yaml', 'a: !!python/object/apply:os.system ["touch ran"]\n', 'is data and runs nothing'),
    ('object.yml', 'a: !!python/name:os.system\n', 'is data and runs nothing'),
    ('broken.yaml', 'a: [1, 2\nb: }}', 'is no YAML'),
    ('empty.yaml', '', 'empty'),
    ('text.yaml', 'just words', 'no entries by name'),
    ('loop.yaml', 'a: &a\n  b: *a\n', 'lead back to themselves'),
    ('many.yaml', MANY, 'unfolds to more than'),
    ('loop.py', 'model = dict()\nmodel["me"] = model\n', r'read: RecursionError'),
    (
        'digits.py',
        '_base_ = ["{base}"]\ntrain_cfg = dict(max_iters=10**9999)\n',
        'max_iters is a value of int that is too long',
    ),
    ('no_model.py', 'work_dir = "x"\n', 'no model'),
    ('no_train.py', '_base_ = ["{base}"]\ntrain_cfg = None\n', 'no train_cfg'),
    ('replaced.py', '_base_ = ["{base}"]\ntrain_cfg = 5\n', 'train_cfg'),
    (
        'inside.py',
        '_base_ = ["{base}"]\nmodel = dict(students=dict(unet=5))\n',
        'students=.*5}; it must be a dict',
    ),
]
# A tool, its command line, and what the line says; {base} is the good config.
COMMANDS = [
    ('train.py', '{base} --cfg-options max_iters', 'has no "="'),
    ('train.py', '{base} --cfg-options =5', 'names no entry before the "="'),
    ('train.py', '{base} --cfg-options a..b=5', 'names no entry'),
    ('train.py', '{base} --cfg-options train_cfg.max_iters=[1,2', 'brackets'),
    ('train.py', '{base} --cfg-options model={{a', 'brackets'),
    ('train.py', '{base} --cfg-options model={{a}}', 'no dict of Python'),
    ('train.py', 'no/such.py', 'does not exist'),
    ('train.py', '{folder}', 'not a file'),
    ('train.py', '{base} --work-dir /proc/none/run', '/proc/none'),
    ('train.py', '{base} --work-dir {base}', 'base.py'),
    ('train.py', '{base} --work-dir {folder}/run --resume no.pth', 'no.pth'),
    ('train.py', '{base} --work-dir {folder}/run --amp=yes', 'amp'),
    ('test.py', '{base} no.pth --work-dir {folder}/test', 'no.pth'),
    ('test.py', '{base}', 'checkpoint'),
    ('test.py', '{base} none --work-dir {folder}/test --out {folder}', 'is a folder; name a file'),
    ('test.py', '{base} none --work-dir {folder}/test --out {base}', 'is what the test reads'),
    ('test.py', '{base} none --work-dir {folder}/test --show-dir {base}', 'is a file; name a fo'),
    ('test.py', '{base} none --work-dir=', "work_dir is ''"),
    ('test.py', '{base} none --work-dir {folder}/test --cfg-options test_cfg=None', 'no test_cfg'),
    ('analysis_tools/browse_dataset.py', 'no.py', 'does not exist'),
    ('analysis_tools/browse_dataset.py', '{base} --number 0', 'must be at least 1'),
    ('analysis_tools/browse_dataset.py', '{base} --split tset', 'tset'),
    ('analysis_tools/benchmark.py', 'pipeline {base} --number -1', 'must be at least 1'),
    ('analysis_tools/benchmark_step.py', '{base} --iters 0', '--iters: 0 must be'),
    ('analysis_tools/benchmark_step.py', '{base} --device tpu', "'cpu', 'cuda'"),
    ('analysis_tools/sweep.py', '{base} --vary a.b', 'a.b'),
    ('analysis_tools/sweep.py', '{base} --vary model.thresold.value=1', 'thresold'),
    ('analysis_tools/sweep.py', '{base} --seeds x', 'x'),
    ('analysis_tools/benchmark_methods.py', '--data {base} --methods nobody/x', 'nobody'),
    ('analysis_tools/plan_network.py', '{base}', "sample='volume'"),
    ('analysis_tools/compare_orders.py', '{base} --number 0', 'must be at least 1'),
    ('analysis_tools/plot_curves.py', '{folder}/none', 'no training log'),
    ('dataset_converters/make_phantom.py', '{folder}/p --size 0', 'size'),
    ('dataset_converters/make_phantom.py', '{folder}/p --size large', 'large'),
    ('dataset_converters/make_phantom.py', '{folder}/p --domains Nowhere', 'Nowhere'),
    ('dataset_converters/make_phantom.py', '/proc/none/p', '/proc/none'),
    ('quickstart.py', '--seeds x', 'whole numbers from 0'),
    ('quickstart.py', '--iters 0', '--iters must be 1'),
    ('quickstart.py', '--dir /proc/none/x', '/proc/none'),
    ('download_weights.py', 'nothing', 'nothing'),
    ('extract_diffusion_features.py', '{base}', 'neck'),
    ('extract_diffusion_features.py', '{base} --batch-size 0', '0'),
    ('model_converters/synfoc_to_mmssl.py', 'no.pth no.pth {folder}/out.pth', 'no.pth'),
    ('model_converters/vnet_to_mmssl.py', 'no.pth {folder}/out.pth', 'no.pth'),
    ('model_converters/guided_diffusion_to_diffusers.py', '{base} {folder}/out', 'base.py'),
]


@pytest.fixture(scope='module')
def base(phantom, tmp_path_factory):  # noqa: F811
    """Write the config that the cases change."""
    register_all_modules()  # its imports count for no case's time
    folder = tmp_path_factory.mktemp('bad')
    cfg = config(phantom, folder / 'run', iters=2)
    for name in [name for name in cfg if name not in ENTRIES or name == 'experiment_name']:
        cfg.pop(name)  # variables, which have done their work
    cfg.dump(folder / 'base.py')
    return folder / 'base.py'


def expect_line(code: int, errors: str, words: str) -> None:
    """Require an exit code of a user's error, and one line that says what is wrong."""
    line = last_line(errors)
    assert code in (1, 2), f'exit code {code}: {errors[-2000:]}'
    assert 'Traceback' not in errors, errors[-3000:]
    assert 'not foreseen' not in line, line
    assert re.search(words, line), line


@pytest.mark.parametrize(('option', 'words'), SETTINGS, ids=[option for option, _ in SETTINGS])
def test_a_bad_setting_is_one_line(option, words, base, tmp_path, monkeypatch, capsys):
    place = [] if option.startswith('work_dir') else ['--work-dir', tmp_path / 'run']
    code, errors = call(monkeypatch, capsys, 'train.py', [base, *place, '--cfg-options', option])
    expect_line(code, errors, words)
    assert not list(tmp_path.rglob('*.pth'))  # it was said before anything was trained


def test_the_config_that_the_cases_change_is_good(base, tmp_path, monkeypatch, capsys):
    code, errors = call(monkeypatch, capsys, 'train.py', [base, '--work-dir', tmp_path / 'run'])
    assert code == 0, errors[-3000:]
    assert list((tmp_path / 'run').glob('iter_*.pth'))


@pytest.mark.parametrize(('name', 'content', 'words'), CONFIGS, ids=[name for name, *_ in CONFIGS])
def test_a_bad_config_is_one_line(name, content, words, base, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    content = content if isinstance(content, bytes) else content.format(base=base).encode()
    (tmp_path / name).write_bytes(content)
    code, errors = call(monkeypatch, capsys, 'train.py', [name, '--work-dir', tmp_path / 'run'])
    expect_line(code, errors, words)
    assert not (tmp_path / 'ran').exists()


def test_configs_that_are_bases_of_each_other_are_one_line(tmp_path, monkeypatch, capsys):
    for one, other in ('ab', 'bc', 'ca'):
        (tmp_path / f'{one}.py').write_text(f'_base_ = ["{other}.py"]')
    code, errors = call(monkeypatch, capsys, 'train.py', [tmp_path / 'a.py'])
    expect_line(code, errors, 'a.py" is a base of itself: a.py -> b.py -> c.py -> a.py')


@pytest.mark.parametrize(
    'body, words',
    [
        ('x = 1\nraise RuntimeError("not today")', 'line 2 of .*plug.py.*RuntimeError: not today'),
        ('x = (', 'line 1 of plug.py.*SyntaxError'),
        ('import no_such_module', 'plug.*PYTHONPATH'),
        ('from mmssl.models import NoSuchThing', 'line 1 of .*plug.py.*ImportError.*NoSuchThing'),
        ('import sys\nsys.exit(0)', 'line 2 of .*plug.py.*SystemExit'),
    ],
)
def test_a_plug_in_that_fails_is_one_line(body, words, base, tmp_path, monkeypatch, capsys):
    name = f'plug_{uuid.uuid4().hex}'
    (tmp_path / f'{name}.py').write_text(body)
    (tmp_path / 'mine.py').write_text(
        f'_base_ = ["{base}"]\ncustom_imports = dict(imports=["{name}"])\n'
    )
    code, errors = call(monkeypatch, capsys, 'train.py', [tmp_path / 'mine.py'])
    expect_line(code, errors.replace(name, 'plug'), words)


@pytest.mark.parametrize(
    ('name', 'line', 'words'), COMMANDS, ids=[f'{name} {line}' for name, line, _ in COMMANDS]
)
def test_a_bad_command_line_is_one_line(name, line, words, base, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words_of = [word.format(base=base, folder=tmp_path) for word in line.split()]
    code, errors = call(monkeypatch, capsys, name, words_of)
    expect_line(code, errors, words)


# What a setting may be given that it was not made for.
STRANGE = (None, '', -1, 0, 2.5, 'abc', [], {}, float('nan'), float('inf'), 10**12, [None])
RUNTIME = (
    'train_cfg',
    'val_cfg',
    'optim_wrapper',
    'default_hooks',
    'custom_hooks',
    'env_cfg',
    'log_processor',
    'log_level',
    'randomness',
    'visualizer',
    'train_dataloader',
    'val_dataloader',
    'val_evaluator',
    'model',
)


def leaves(node, name=''):
    """Give the dotted names of a config's values."""
    items = (
        enumerate(node)
        if isinstance(node, list)
        else (node.items() if isinstance(node, dict) else ())
    )
    for key, item in items:
        yield f'{name}.{key}' if name else str(key)
        yield from leaves(item, f'{name}.{key}' if name else str(key))


def put(cfg, name, value):
    """Set a value by its dotted name."""
    *way, last = name.split('.')
    for key in way:
        cfg = cfg[int(key)] if isinstance(cfg, list) else cfg[key]
    cfg[int(last) if isinstance(cfg, list) else last] = value


@pytest.mark.slow
@pytest.mark.parametrize('part', range(6))
def test_strange_values_of_any_setting_end_in_one_line_or_a_run(
    part, base, tmp_path, monkeypatch, capsys
):
    good = Config.fromfile(str(base))
    settings = good._cfg_dict.to_dict()
    groups = [
        [n for n in leaves({name: settings[name]}) if not n.endswith('.type')]
        for name in RUNTIME
        if name in settings
    ]
    rng = random.Random(part)
    for number in range(int(os.environ.get('FUZZ', 25))):
        name, value = rng.choice(rng.choice(groups)), rng.choice(STRANGE)
        cfg = copy.deepcopy(settings)
        put(cfg, name, value)
        cfg['train_cfg'] = (
            cfg['train_cfg']
            if name.startswith('train_cfg')
            else {'type': 'SemiTrainLoop', 'max_iters': 1, 'val_interval': 1}
        )
        Config(cfg).dump(tmp_path / 'strange.py')
        code, errors = call(
            monkeypatch,
            capsys,
            'train.py',
            [tmp_path / 'strange.py', '--work-dir', tmp_path / str(number)],
        )
        what = f'{name} = {value!r}: {code} {errors[-1500:]}'
        foreseen = (0, 1, 2, 70) if name.startswith('model') else (0, 1, 2)
        assert code in foreseen and 'Traceback' not in errors, what
        assert bool(code) != any(tmp_path.glob(f'{number}/iter_*.pth')), what


def test_what_nobody_foresaw_is_one_line_and_a_file(base, tmp_path, monkeypatch, capsys):
    (tmp_path / 'slips.py').write_text(
        'from mmssl.models.methods.synfoc import SynFoC\nfrom mmssl.registry import MODELS\n'
        '@MODELS.register_module()\nclass Slips(SynFoC):\n'
        '    def unsup_loss(self, *args, **kwargs):\n        return {}["lost"]\n'
    )
    (tmp_path / 'mine.py').write_text(
        f'_base_ = ["{base}"]\ncustom_imports = dict(imports=["slips"])\n'
        'model = dict(type="Slips")\n'
    )
    code, errors = call(
        monkeypatch, capsys, 'train.py', [tmp_path / 'mine.py', '--work-dir', tmp_path / 'run']
    )
    assert code == 70 and 'Traceback' not in errors
    line = last_line(errors)
    assert 'KeyError: lost' in line and 'slips.py, line 6' in line and 'not foreseen' in line
    (kept,) = (tmp_path / 'run').glob('error_*.txt')
    assert str(kept) in line and 'Traceback' in kept.read_text()
