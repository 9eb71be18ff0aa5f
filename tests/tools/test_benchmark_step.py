"""What an iteration costs."""

import importlib.util
import re
from pathlib import Path

import pytest

from mmssl.experiments.cost.iteration import Iteration, generated_batch, without_weights
from mmssl.registry import MODELS
from mmssl.structures import Step
from mmssl.utils.setup import load_config

ROOT = Path(__file__).parents[2]
SMALL = ['--device', 'cpu', '--iters', '2', '--warm-up', '0', '--file-size', '48']
OPTIONS = [
    'model.students.unet.backbone.base_channels=4',
    'model.students.unet.decode_head.in_channels=4',
    'model.students.unet.decode_head.channels=4',
]


@pytest.fixture(scope='module')
def tool():
    path = ROOT / 'tools/analysis_tools/benchmark_step.py'
    spec = importlib.util.spec_from_file_location('step_tool', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_time_and_memory_of_the_configured_batch(tool, capsys):
    config = str(ROOT / 'configs/fixmatch/lite_fundus.py')
    tool.main([config, *SMALL, '--amp', '--cfg-options', *OPTIONS])
    out = capsys.readouterr().out
    expected = 'bfloat16|float16|float32'
    assert re.search(rf'2 \+ 2 images, ({expected}), 2 iterations on ', out)
    ms, low, high = map(float, re.search(r'([\d.]+) ms .*; ([\d.]+) to ([\d.]+)\)', out).groups())
    assert 0 < low <= ms <= high
    learn, total = re.search(r'([\d,]+) of ([\d,]+) parameters', out).groups()
    assert int(total.replace(',', '')) == 2 * int(learn.replace(',', ''))  # with the teacher


def test_a_batch_of_patches_of_volumes():
    cfg = load_config(ROOT / 'configs/mean_teacher/lite_hippocampus.py')
    inputs = generated_batch(cfg, 48)['inputs']
    size = tuple(cfg.model.inferer.size)
    counts = cfg.train_dataloader.batch_sampler
    assert inputs['x_w'].shape == (counts.num_labelled, 1, *size)
    assert inputs['y'].shape == (counts.num_labelled, *size)
    assert inputs['u_w'].shape == (counts.num_unlabelled, 1, *size)
    assert float(inputs['x_w'].abs().max()) < 10, 'normalised'


def test_every_optimiser_step_of_an_iteration_is_made():
    class Phases:
        phases = 3
        step = Step()
        seen = []

        def train_step(self, batch, optim_wrapper):
            self.seen.append(self.step.phase)
            return {}

    step = object.__new__(Iteration)
    step.model, step.optim_wrapper, step.batch, step.teachers = Phases(), None, {}, []
    step.iter, step.max_iters = 5, 10
    step(), step()
    assert step.model.seen == [0, 1, 2] * 2


def test_no_weights_are_read():
    cfg = load_config(ROOT / 'configs/synfoc/prostate.py')
    sam = without_weights(cfg.model.to_dict())['students']['sam']
    assert sam['backbone']['checkpoint'] is None and sam['decode_head']['checkpoint'] is None
    assert sam['backbone']['arch'] == cfg.model.students.sam.backbone.arch
    assert MODELS.get(sam['backbone']['type'])


@pytest.mark.parametrize(
    'options, text',
    [
        (['--iters', '0'], 'argument --iters: 0 must be at least 1'),
        (['--device', 'tpu'], "invalid choice: 'tpu'"),
    ],
)
def test_bad_options(tool, capsys, options, text):
    with pytest.raises(SystemExit):
        tool.main([str(ROOT / 'configs/fixmatch/lite_fundus.py'), *options])
    assert text in capsys.readouterr().err
