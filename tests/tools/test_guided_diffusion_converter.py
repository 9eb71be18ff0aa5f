"""A checkpoint of guided-diffusion, converted, gives the numbers of the original code."""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from guided_diffusion_reference import BLOCKS, FILE, inputs, part
from recipe import recipe

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools' / 'model_converters'))
import guided_diffusion_to_diffusers as converter

from mmssl.models.diffusion.unet import block_outputs, load_unet, read_extra

SIZE = ['--base-channels', '32', '--image-size', '32', '--multipliers', '1', '2', '2']
FLAGS = {
    'effective': SIZE,
    'yaml': [
        *SIZE,
        '--variant',
        'yaml',
        '--attention',
        '8',
        '--num-head-channels',
        '32',
        '--learn-sigma',
    ],
    'plain': [
        *SIZE,
        '--attention',
        '16',
        '--num-head-channels',
        '16',
        '--no-scale-shift',
        '--new-attention-order',
    ],
}
REFERENCE = np.load(FILE)


def checkpoint(case: str, path: Path, **changes) -> Path:
    """Write the checkpoint of a case; `changes` replace tensors, None removes one."""
    shapes = json.loads(str(REFERENCE['shapes']))[case]
    state = {name: recipe(name, tuple(shape), case) for name, shape in shapes.items()}
    state.update(changes)
    torch.save({k: v for k, v in state.items() if v is not None}, path)
    return path


@pytest.mark.parametrize('case', FLAGS)
def test_outputs_are_those_of_the_original(case, tmp_path):
    source, out = checkpoint(case, tmp_path / 'ema.pt'), tmp_path / 'unet'
    assert converter.main([str(source), str(out), *FLAGS[case]]) == 0
    unet = load_unet(out, in_channels=1)
    x_t, t = inputs()
    with torch.no_grad():
        output = unet(x_t, t).sample.numpy()
    assert np.abs(output - REFERENCE[f'{case}/output'][:, :1]).max() < 1e-5
    for block, value in zip(BLOCKS, block_outputs(unet, x_t, t, BLOCKS), strict=True):
        expected = REFERENCE[f'{case}/{block}']
        assert np.abs(part(value) - expected).max() < 1e-5 * np.abs(expected).max(), block


def test_the_folder_says_what_it_is(tmp_path):
    source, out = checkpoint('effective', tmp_path / 'ema.pt'), tmp_path / 'unet'
    assert converter.main([str(source), str(out), *SIZE, '--input-range', '0', '1']) == 0
    extra = read_extra(out)
    assert extra['input_range'] == [0, 1] and extra['image_size'] == 32
    assert extra['converted_from'] == 'ema.pt'


@pytest.mark.parametrize('order, first', [(False, [0, 1, 6, 7]), (True, [0, 1, 2, 3])])
def test_queries_are_found_in_both_orders(order, first):
    rows = torch.arange(12.0)  # 2 heads of 2 channels
    assert converter.split_qkv(rows, 2, order)['to_q'].tolist() == first


@pytest.mark.parametrize(
    'flags, changes, said',
    [
        (['--num-heads', '4', '--attention', '8'], {}, r'no tensor "output_blocks\.5\.1\.conv'),
        (
            ['--attention', '32', '16', '8', '--num-head-channels', '16'],
            {},
            r'no tensor "input_blocks\.1\.1\.norm\.weight"',
        ),
        (['--multipliers', '1', '1', '2'], {}, r'levels of \[32, 64\] channels'),
        (
            ['--base-channels', '64'],
            {},
            r'is \(128, 32\) in the checkpoint, but the network needs \(256, 64\)',
        ),
        (['--learn-sigma'], {}, 'has 1; leave it out'),
        ([], {'out.2.weight': torch.zeros(2, 32, 3, 3)}, 'add --learn-sigma'),
        ([], {'middle_block.1.qkv.bias': None}, 'no tensor "middle_block.1.qkv.bias"'),
        ([], {'label_emb.weight': torch.zeros(3, 128)}, 'the first is "label_emb.weight"'),
        ([], {'input_blocks.0.0.weight': None}, 'no checkpoint of guided-diffusion'),
    ],
)
def test_what_does_not_fit_is_said(flags, changes, said, tmp_path, capsys):
    source = checkpoint('effective', tmp_path / 'ema.pt', **changes)
    assert converter.main([str(source), str(tmp_path / 'unet'), *SIZE, *flags]) == 1
    message = capsys.readouterr().err
    assert re.search(said, message), message
    assert not (tmp_path / 'unet').exists()


def test_code_in_a_checkpoint_is_not_run(tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'ran'),)

    torch.save({'input_blocks.0.0.weight': Evil()}, tmp_path / 'ema.pt')
    assert converter.main([str(tmp_path / 'ema.pt'), str(tmp_path / 'unet')]) == 1
    assert 'refused' in capsys.readouterr().err and not (tmp_path / 'ran').exists()
