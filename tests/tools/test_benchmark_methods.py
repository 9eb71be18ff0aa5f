"""The comparison of methods: one data set and budget, one table; with pretended training."""

import csv
import functools
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from mmengine import Config

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tests' / 'utils'))
from stub_tools import write_stubs  # noqa: E402

from mmssl.engine.data_facts import with_facts  # noqa: E402
from mmssl.experiments.compose import compose, find_config, scale_lengths  # noqa: E402
from mmssl.experiments.runs import run_jobs  # noqa: E402

CONFIGS = ROOT / 'configs'


def table_of(out):
    """Return the tables in Markdown, without the blanks that only lay them out."""
    return re.sub(' +', ' ', (out / 'table.md').read_text())


@pytest.fixture(scope='module')
def tool():
    path = ROOT / 'tools/analysis_tools/benchmark_methods.py'
    spec = importlib.util.spec_from_file_location('benchmark_methods', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def benchmark(tool, tmp_path, monkeypatch):
    """Call the tool on the pretended training of the data and two methods."""
    write_stubs(tmp_path)
    base = f"_base_ = ['{CONFIGS}/sup_only/lite_acdc.py']\n"
    for name, x in (('data', 1), ('good', 3), ('slow', 2)):
        (tmp_path / f'{name}.py').write_text(f'{base}_fake = dict(x={x})\n')
    monkeypatch.setattr(tool, 'run_jobs', functools.partial(run_jobs, poll=0.01))

    def call(methods, *words):
        named = [f'{name}={tmp_path / name}.py' for name in methods.split(',')]
        tool.main(
            [
                '--methods',
                ','.join(named),
                '--data',
                str(CONFIGS / 'sup_only/lite_acdc.py'),
                '--work-dir',
                str(tmp_path / 'out'),
                *words,
            ],
            tools=tmp_path,
        )
        return tmp_path / 'out'

    return call


def test_one_table_of_all_methods(benchmark, capsys):
    out = benchmark('data,good,slow', '--seeds', '0,2', '--iters', '30')
    table = table_of(out)
    assert '| good | 2 | **31.00 ± 1.41** |' in table and '| slow | 2 | <u>21.00' in table
    header = next(line for line in table.splitlines() if line.startswith('| method |'))
    assert header == (
        '| method | runs | DSC (%) | Jaccard (%) | HD95 | ASD | ms / iteration | memory (MiB) '
        '| DSC, 95 % over patients | published DSC (%) |'
    )
    assert '| **50.00 ± 0.00** | **512.00 ± 0.00** | 10.50 to 11.42 | - |' in table
    assert 'good is ahead of slow by 10.00 in 100 % of resamples' in table
    assert 'after 30 iterations' in table and 'peak memory on stub' in table
    rows = list(csv.DictReader((out / 'table.csv').open()))
    assert {row['metric'] for row in rows} == {'DSC', 'Jaccard', 'HD95', 'ASD', 'time', 'memory'}
    results = json.loads((out / 'results.json').read_text())
    assert results['iterations'] == 30 and list(results['methods']) == ['data', 'good', 'slow']
    assert cv2.imread(str(out / 'DSC.png')) is not None
    assert Config.fromfile(out / 'good/good.py').train_cfg.max_iters == 30
    benchmark('good,slow', '--seeds', '0,1,2', '--iters', '30')
    assert '6 runs: 4 done before, 0 to go on with, 2 to start' in capsys.readouterr().out


def test_methods_and_seeds_of_earlier_calls_stay_in_the_table(benchmark, tmp_path, capsys):
    out = benchmark('good', '--seeds', '0,2', '--iters', '30')
    benchmark('slow', '--seeds', '0', '--iters', '30')
    assert '1 run: 0 done before' in capsys.readouterr().out, 'the others are not run'
    benchmark('good,data', '--seeds', '0', '--iters', '30')
    table = table_of(out)
    assert '| good | 2 | **31.00 ± 1.41** |' in table and '| slow | 1 | <u>20.00' in table
    assert '| data | 1 |' in table and 'over the seeds 0, 2 after 30' in table
    results = json.loads((out / 'results.json').read_text())
    assert sorted(results['methods']) == ['data', 'good', 'slow']
    assert [row['labels'] for row in results['rows']] == [['slow'], ['good'], ['data']]
    benchmark('data', '--iters', '30', '--plot-only')
    assert '| slow | 1 |' in table_of(out)
    benchmark('data', '--iters', '40', '--overwrite')
    table = table_of(out)
    assert '| data | 1 |' in table and 'slow' not in table, 'runs of another length'
    (tmp_path / 'slow.py').write_text('a = dict(')
    benchmark('data,good', '--iters', '40', '--overwrite')


def test_methods_without_the_student_that_is_shown_are_left_out(benchmark, capsys):
    out = benchmark('good,slow', '--iters', '30')
    files = (out / 'slow/seed0').glob('*.json')
    (scores,) = (path for path in files if '"students": {"unet"' in path.read_text())
    content = json.loads(scores.read_text())
    del content['students']['sam']
    scores.write_text(json.dumps(content))
    benchmark('good', '--iters', '30', '--student', 'sam')
    said = capsys.readouterr().out
    assert re.search('slow, seed 0 is left out: student "sam" is not in .*; it has unet', said)
    table = table_of(out)
    assert '| good | 1 |' in table and '| slow |' not in table
    benchmark('good', '--iters', '30')
    assert '| slow | 1 |' in table_of(out), 'it is not forgotten'
    with pytest.raises(ValueError, match='student "sam" is not in'):
        benchmark('slow', '--iters', '30', '--student', 'sam')


def test_a_student_that_a_method_has_not_is_named_before_anything_trains(benchmark, tmp_path):
    with pytest.raises(ValueError, match='--student sam: good has none of that name, but unet;'):
        benchmark('good', '--iters', '30', '--student', 'sam')
    assert not list(tmp_path.glob('out/good/seed*'))
    out = benchmark('good', '--iters', '30', '--student', 'unet')
    assert '| good | 1 |' in table_of(out)


def test_another_budget_is_refused(benchmark):
    benchmark('good', '--iters', '30')
    with pytest.raises(ValueError, match='train_cfg.max_iters is 30 there and 40 here'):
        benchmark('good', '--iters', '40')
    with pytest.raises(ValueError, match='--batch "8" must be two numbers'):
        benchmark('good', '--batch', '8')
    with pytest.raises(ValueError, match='--iters 0 must be at least 1'):
        benchmark('good', '--iters', '0')


def test_options_that_do_not_fit_are_refused_before_the_first_training(benchmark, tmp_path):
    for option, words in (
        ('max_iterations=5', 'good: The config has no entry "max_iterations"'),
        ('train_cfg.max_iters.more=3', 'good: .*has no entry "more"'),
    ):
        with pytest.raises(ValueError, match=f'--cfg-options, {words}'):
            benchmark('good,slow', '--iters', '30', '--cfg-options', option)
    assert not list(tmp_path.glob('out/*/seed*'))


def test_a_refused_command_leaves_the_config_of_the_runs_that_are_there(benchmark, capsys):
    out = benchmark('good', '--iters', '30')

    def iterations():
        return Config.fromfile(out / 'good/good.py').train_cfg.max_iters

    for seed in ('0', '1'):
        with pytest.raises(ValueError, match='seed0 was made with other settings: .* is 30 there'):
            benchmark('good', '--iters', '40', '--seeds', seed)
        assert iterations() == 30, 'a command at work reads it for its next seed'
    benchmark('good', '--iters', '40', '--dry-run')
    assert 'other (train_cfg.max_iters is 30 there' in capsys.readouterr().out
    assert iterations() == 30
    benchmark('good', '--iters', '40', '--overwrite')
    assert iterations() == 40


def test_modules_beside_the_methods_and_the_datas_configs_are_found(tool, tmp_path):
    """By the runs too, whose config lies elsewhere."""
    words = []
    for name in ('mine', 'data'):
        (tmp_path / name).mkdir()
        (tmp_path / name / f'module_of_{name}.py').touch()
        (tmp_path / name / f'{name}.py').write_text(
            f"_base_ = ['{CONFIGS}/sup_only/lite_acdc.py']\n"
            f"custom_imports = dict(imports=['module_of_{name}'])\n"
        )
        words += [f'--{name}', str(tmp_path / name / f'{name}.py')]
    out = tmp_path / 'out'
    words = ['--methods', f'mine={words[1]}', *words[2:], '--iters', '30', '--work-dir', str(out)]
    tool.main([*words, '--dry-run'], tools=tmp_path)
    code = (
        'import sys; from mmssl.utils.setup import load_config; load_config(sys.argv[1]); '
        'import module_of_mine, module_of_data'
    )
    subprocess.run([sys.executable, '-c', code, out / 'mine/mine.py'], cwd=ROOT, check=True)


def test_published_numbers_stand_beside(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = str(CONFIGS / 'sup_only/lite_acdc.py')
    words = ['--methods', 'mcsd,unimatch', '--data', data, '--iters', '30']
    bench = tool.Benchmark(tool.parse_args([*words, '--labels', '136']), tmp_path)
    assert [bench.row(labels, {}).notes['published DSC (%)'] for labels, _ in bench.jobs] == [
        '89.98',
        '89.85',
    ]
    several = tool.Benchmark(tool.parse_args(words), tmp_path)
    assert several.row(('unimatch',), {}).notes['published DSC (%)'] == '-', 'one of three counts'


def test_the_published_number_is_that_of_the_student_in_the_row(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ['--methods', 'synfoc', '--data', str(CONFIGS / 'sup_only/lite_fundus.py')]
    for option, value in (([], '88.60'), (['--student', 'unet'], '87.50')):
        bench = tool.Benchmark(tool.parse_args([*words, *option]), tmp_path)
        assert bench.row(('synfoc',), {}).notes['published DSC (%)'] == value
    other = tool.Benchmark(tool.parse_args([*words, '--labels', '7']), tmp_path)
    assert other.row(('synfoc',), {}).notes['published DSC (%)'] == '-', 'not of as many labels'


def test_the_number_of_a_method_is_not_that_of_its_variants(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        '--methods',
        'fixmatch,mixed=fixmatch/fundus_cutmix',
        '--data',
        str(CONFIGS / 'sup_only/lite_fundus.py'),
    ]
    bench = tool.Benchmark(tool.parse_args(words), tmp_path)
    assert [
        bench.row((label,), {}).notes['published DSC (%)'] for label in ('fixmatch', 'mixed')
    ] == ['83.39', '-'], 'the published run has no mixer'


def test_the_config_of_the_data_is_looked_for_first(tmp_path):
    data = CONFIGS / 'sup_only/lite_acdc.py'
    assert find_config('unimatch', data) == CONFIGS / 'unimatch/lite_acdc.py'
    assert find_config('synfoc', CONFIGS / 'x/lite_busi.py') == CONFIGS / 'synfoc/busi.py'
    assert find_config('synfoc/prostate_cr', data) == CONFIGS / 'synfoc/prostate_cr.py'
    with pytest.raises(ValueError, match='"none": there is no .*none/lite_acdc.py and no .*acdc'):
        find_config('none', data)
    with pytest.raises(ValueError, match='no .*urpc/fundus.py; name one .*urpc/acdc, .*urpc/lite'):
        find_config('urpc', CONFIGS / 'sup_only/lite_fundus.py')


def test_data_views_batch_and_network_are_those_of_the_data():
    method = Config.fromfile(CONFIGS / 'synfoc/prostate_base-unet.py')
    data = Config.fromfile(CONFIGS / 'sup_only/lite_fundus.py')
    cfg = compose(method, data, 600)
    assert cfg.train_dataloader.batch_sampler.num_unlabelled == 2, 'as many as labelled ones'
    assert compose(method, data, 600, batch=(4, 6)).train_dataloader.batch_sampler == dict(
        type='SemiSampler', num_labelled=4, num_unlabelled=6
    )
    data.train_dataloader.batch_sampler.num_unlabelled = 2
    assert cfg.train_dataloader == data.train_dataloader, 'no view is missing'
    assert cfg.test_dataloader == data.test_dataloader and cfg.image_size == 96
    assert cfg.model.students.unet == with_facts(data).model.students.unet
    assert cfg.model.students.unet.decode_head.num_classes == 3
    assert not cfg.model.data_preprocessor.sizes
    assert cfg.model.type == 'FixMatch' and cfg.optim_wrapper == method.optim_wrapper
    assert [hook.type for hook in cfg.custom_hooks] == ['EMATeacherHook', 'CostHook']
    assert cfg.train_cfg.max_iters == 600 and cfg.train_cfg.val_interval == 250


def test_parts_and_classes_are_those_of_the_data():
    data = Config.fromfile(CONFIGS / 'sup_only/lite_fundus.py')
    assert 'parts' not in data.model, 'they come from the data set'
    for method in ('synfoc/prostate', 'ss_net/mnms', 'bcp/prostate', 'synfoc/prostate_base-unet'):
        model = compose(Config.fromfile(CONFIGS / f'{method}.py'), data, 10).model
        assert sorted(model.parts) == [[1], [1, 2]]
        assert {student.decode_head.num_classes for student in model.students.values()} == {3}


def test_a_recipe_that_does_not_fit_the_data_is_refused():
    data = Config.fromfile(CONFIGS / 'sup_only/lite_fundus.py')
    method = Config.fromfile(CONFIGS / 'ss_net/lite_fundus.py')
    method.model.parts = [[1]]
    with pytest.raises(ValueError, match=r'SSNet has parts=\[\[1\]\], but the data score .*\[1, 2'):
        compose(method, data, 10, True)
    method.model.parts = [[1, 2], [1]]
    compose(method, data, 10, True)
    method.model.students.unet.decode_head.num_classes = 2
    with pytest.raises(ValueError, match='"unet" of SSNet has num_classes=2, but the masks .* 3'):
        compose(method, data, 10, True)


def test_data_may_name_the_recipes_whose_networks_are_right(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ['--methods', 'samed,synfoc', '--data', str(CONFIGS / 'sup_only/lite_montgomery.py')]
    bench = tool.Benchmark(tool.parse_args([*words, '--iters', '30']), tmp_path)
    assert bench.configs['samed'] == CONFIGS / 'samed/lite_fundus.py'
    for method in ('samed', 'synfoc'):
        cfg = Config.fromfile(bench.folder / method / 'lite_fundus.py')
        assert cfg.train_dataloader.dataset.domains == ['Montgomery', 'Shenzhen']
        assert cfg.model.parts == [[1]], 'of the lungs, not of the fundus'
        backbone, head = cfg.model.students.sam.backbone, cfg.model.students.sam.decode_head
        assert backbone.type == 'LoRAMedSAM' and backbone.img_size == 64 and head.num_classes == 2
    assert cfg.model.students.unet.backbone.in_channels == 1, 'grey images'


def test_labelled_images_alone_and_features_stay_the_methods():
    data = Config.fromfile(CONFIGS / 'unimatch/lite_acdc.py')
    sup_only = compose(Config.fromfile(CONFIGS / 'sup_only/lite_acdc.py'), data, 10, True)
    assert sup_only.train_dataloader.batch_sampler.num_unlabelled == 0
    mcsd = compose(Config.fromfile(CONFIGS / 'mcsd/lite_acdc.py'), data, 10, True)
    assert [step.type for step in mcsd.train_dataloader.dataset.head] == [
        'LoadDiffusionFeatures',
        'TrackGeometry',
    ]
    assert mcsd.model.students.feature_unet.backbone.in_channels == 30


def test_views_that_only_the_method_has_are_added():
    data = Config.fromfile(CONFIGS / 'sup_only/lite_acdc.py')
    method = Config.fromfile(CONFIGS / 'fixmatch/lite_acdc.py')
    dataset = compose(method, data, 10, True).train_dataloader.dataset
    assert [step.type for step in dataset.labelled_pipeline] == [
        'RandomRotFlipRotate',
        'StrongView',
        'PackSemiInputs',
    ]
    assert dataset.unlabelled_pipeline == data.train_dataloader.dataset.unlabelled_pipeline
    method = Config.fromfile(CONFIGS / 'dtc/lite_acdc.py')
    dataset = compose(method, data, 10, True).train_dataloader.dataset
    assert [step.type for step in dataset.labelled_pipeline][-2:] == [
        'SignedDistance',
        'PackSemiInputs',
    ]
    fundus = Config.fromfile(CONFIGS / 'sup_only/lite_fundus.py')
    unimatch = Config.fromfile(CONFIGS / 'unimatch/acdc.py')
    unimatch.model.students = fundus.model.students
    added = compose(unimatch, fundus, 10).train_dataloader.dataset.unlabelled_pipeline[-3:]
    assert [(step.type, step.get('key')) for step in added] == [
        ('StrongView', 'img_strong2'),
        ('RandomPasteBox', 'box2'),
        ('PackSemiInputs', None),
    ]
    assert 'size' not in added[1], 'that of the data counts'
    own = fundus.train_dataloader.dataset.unlabelled_pipeline
    next(step for step in own if step.type == 'RandomPasteBox').size = 48
    added = compose(unimatch, fundus, 10).train_dataloader.dataset.unlabelled_pipeline[-3:]
    assert added[1].size == 48


def test_window_grey_values_and_cuboids_are_those_of_the_data():
    data = Config.fromfile(CONFIGS / 'cps/lite_hippocampus.py')
    method = Config.fromfile(CONFIGS / 'unimatch/lite_hippocampus.py')
    method.model.inferer.size = (112, 112, 80)
    method.model.data_preprocessor = dict(mean=5)
    cfg = compose(method, data, 10)
    assert cfg.model.inferer == data.model.inferer
    assert cfg.model.data_preprocessor == dict(mean=0, std=1, sizes={})
    added = cfg.train_dataloader.dataset.unlabelled_pipeline
    assert [step.get('key') for step in added if step.type == 'RandomPasteCuboid'] == [None, 'box2']


def test_another_network_is_refused():
    method = Config.fromfile(CONFIGS / 'synfoc/prostate_base-unet.py')
    with pytest.raises(ValueError, match='FixMatch has no student with .*UNetEncoder'):
        compose(method, Config.fromfile(CONFIGS / 'sup_only/lite_acdc.py'), 10)


def test_published_numbers_of_the_data_config_go_from_every_evaluator():
    method = Config.fromfile(CONFIGS / 'unimatch/lite_acdc.py')
    data = Config.fromfile(CONFIGS / 'sup_only/lite_acdc.py')
    metric = dict(data.val_evaluator, published=dict(method='sup_only'))
    data.val_evaluator = data.test_evaluator = [dict(type='IoUMetric'), metric]
    cfg = compose(method, data, 10, True)
    for key in ('val_evaluator', 'test_evaluator'):
        assert [one.type for one in cfg[key]] == ['IoUMetric', 'DomainMetric']
        assert 'published' not in cfg[key][1]


def test_schedules_keep_their_share():
    cfg = Config.fromfile(CONFIGS / 'sup_only/prostate.py')
    cfg.param_scheduler.unet.append(dict(type='ConstantLR', begin=15000, end=30000, by_epoch=False))
    scale_lengths(cfg, 600)
    ends = [(scheduler['begin'], scheduler['end']) for scheduler in cfg.param_scheduler.unet]
    assert ends == [(0, 'max_iters'), (150, 300)] and cfg.train_cfg.max_iters == 600


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
_base_ = [{str(CONFIGS / 'sup_only/lite_phantom.py')!r}]
part = dict(data_root={str(tmp_path / 'data')!r}, domains=['ScannerA', 'ScannerB'])
model = dict(students=dict(unet=dict(
    backbone=dict(base_channels=4), decode_head=dict(in_channels=4, channels=4))))
train_dataloader = dict(dataset=dict(**part, labelled=dict(num=3)),
                        batch_sampler=dict(num_unlabelled=2))
val_dataloader = dict(dataset=part)
test_dataloader = dict(dataset=part)
""")
    words = [
        '--methods',
        'sup_only/lite_phantom,fixmatch=synfoc/prostate_base-unet',
        '--data',
        str(tmp_path / 'tiny.py'),
        '--iters',
        '2',
        '--work-dir',
        str(tmp_path / 'out'),
    ]
    tool.main(words)
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert [row['labels'] for row in results['rows']] == [['sup_only/lite_phantom'], ['fixmatch']]
    for row in results['rows']:
        mean = row['runs']['seed 0']['mean']
        assert mean['time'] > 0 and mean['memory'] > 50 and 'DSC' in mean
    tool.main(words)
    assert '2 runs: 2 done before' in capsys.readouterr().out
