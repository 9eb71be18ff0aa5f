import importlib.util
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/benchmark.py'
CONFIG = """
default_scope = 'mmssl'
strong = [dict(type='RandomContrast', low=0.1, high=2.0), dict(type='GaussianBlur')]
train_dataloader = dict(dataset=dict(
    type='MixedDomainDataset', data_root={root!r}, domains=['a', 'b'],
    labelled=dict(domain='a', num=1), label_map={{0: 0, 255: 1}},
    prepare=[dict(type='LoadImage'), dict(type='LoadMask'), dict(type='ResizeSquare', size=48)],
    {pipelines}))
"""
PAIR = """labelled_pipeline=[dict(type='RandomElastic', prob=1.0), dict(type='PackSemiInputs')],
    unlabelled_pipeline=[dict(type='StrongView', transforms=strong),
                         dict(type='RandomPasteBox', size=32), dict(type='PackSemiInputs')]"""


@pytest.fixture(scope='module')
def benchmark():
    spec = importlib.util.spec_from_file_location('benchmark_tool', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def config(tmp_path):
    def write(root='nowhere', pipelines=PAIR, text=CONFIG):
        path = tmp_path / 'config.py'
        path.write_text(text.format(root=str(root), pipelines=pipelines))
        return str(path)

    return write


@pytest.fixture
def tree(tmp_path):
    for domain in 'ab':
        for kind in ('image', 'mask'):
            folder = tmp_path / 'data' / domain / 'train' / kind
            folder.mkdir(parents=True)
            for index in range(3):
                picture = np.full((40, 50), 255 * (index > 0), np.uint8)
                cv2.imwrite(str(folder / f'{index}.png'), picture)
    return tmp_path / 'data'


def test_table_without_files(benchmark, config, capsys):
    benchmark.main(['pipeline', config(), '--number', '4', '--images', '2', '--file-size', '60'])
    out = capsys.readouterr().out
    assert '4 samples of each kind, synthetic images 60 x 60 x 1 (data_root "nowhere"' in out
    assert 'threads=1 on ' in out
    labelled, unlabelled = out.split('unlabelled sample: ')
    assert 'RandomElastic' in labelled
    assert re.search(
        r'StrongView +[\d.]+ +[\d.]+ %\n +RandomContrast .*\n +GaussianBlur', unlabelled
    )
    assert 'RandomElastic' not in unlabelled.split('sum')[0]
    assert re.search(r'unlabelled +[\d.]+ ms per sample \(median; mean [\d.]+\)', out)


def test_the_cores_that_feed_an_iteration(benchmark):
    report = dict(
        labelled=dict(mean=2.0, prepare=8.0, rows=[]), unlabelled=dict(mean=3.0, prepare=8.0)
    )
    said = benchmark.feeding(report, dict(num_labelled=4, num_unlabelled=4), 45.0)
    assert said == (
        '4 + 4 samples take 20.0 ms of a core, 84.0 ms with their preparation: '
        '1 to 2 cores for an iteration every 45 ms'
    )
    said = benchmark.feeding(report, dict(num_labelled=0, num_unlabelled=1), 45.0)
    assert said.endswith('preparation: 1 core for an iteration every 45 ms')


def test_files_are_used_where_they_are(benchmark, config, tree, capsys):
    pack = "pipeline=[dict(type='RandomRotate'), dict(type='PackSemiInputs')]"
    benchmark.main(['pipeline', config(tree, pack), '--number', '2'])
    out = capsys.readouterr().out
    assert f'images of {tree}' in out
    assert out.count('RandomRotate') == 2


def test_shares_add_up(benchmark, config):
    cfg = benchmark.training_dataset(Config.fromfile(config()))
    samples = benchmark.synthetic_samples(cfg, side=48, number=2)
    report = benchmark.measure(cfg, samples, number=20, synthetic=True)
    outer = [ms for name, ms in report['unlabelled']['rows'] if not name.startswith(' ')]
    assert 0.8 * report['unlabelled']['mean'] < sum(outer) <= report['unlabelled']['mean']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('model = dict()', 'has no train_dataloader'),
        (CONFIG.replace("'RandomContrast'", "'RandomContrasst'"), '"RandomContrasst" is not in'),
    ],
)
def test_faults_of_the_config_are_one_line(benchmark, config, text, message):
    with pytest.raises((ValueError, KeyError), match=message):
        benchmark.main(['pipeline', config(text=text)])


def test_prediction_and_test_loop_take_turns(benchmark, capsys):
    options = [f'model.students.unet.{name}=4' for name in ('backbone.base_channels',
               'decode_head.in_channels', 'decode_head.channels')]  # fmt: skip
    words = ['predict', 'sup_only/lite_phantom.py', 'none', '--phantom', '32', '--rounds', '1']
    benchmark.main([*words, '--cfg-options', *options])
    out = capsys.readouterr().out
    assert 'lite_phantom.py: 64 images, the best of 1 rounds' in out
    rows = re.findall(r'^  (\w.*?)  +([\d.]+) +[\d.]+ +([\d.]+) +[\d.]+$', out, re.M)
    assert len(rows) == 5 and all(float(clock) > 0 < float(cpu) for _, clock, cpu in rows)
    order = []
    ways = {name: lambda name=name: order.append(name) for name in 'ab'}
    assert set(benchmark.alternate(ways, 2)) == {'a', 'b'} and order == [*'abab']
