"""DINOv2 and its DPT head against UniMatch V2's code (LiheYoung/UniMatch-V2, commit f6afb4d).

`data/dinov2.npz` holds logits of three sizes of images, norms of gradients and the shapes of all
tensors of the published small network; weights come from `recipe.py`.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.parity.float64 import GRAD_RTOL
from tests.parity.generate.dinov2 import ARCH, CHANNELS, CLASSES, SIZES, WIDTHS
from tests.parity.recipe import recipe
from tests.tiny import build

DATA = Path(__file__).parent / 'data' / 'dinov2.npz'
HEAD = (
    (r'projects\.(\d)', r'projects.\1'),
    (r'resize_layers\.(\d)', r'resizes.\1'),
    (r'scratch\.layer(\d)_rn', r'smooths.<\1>'),
    (r'scratch\.refinenet(\d)\.out_conv', r'outs.<\1>'),
    (r'scratch\.refinenet(\d)\.resConfUnit1\.conv(\d)', r'skips.<\1>.layers.\2'),
    (r'scratch\.refinenet(\d)\.resConfUnit2\.conv(\d)', r'mixes.<\1>.layers.\2'),
    (r'scratch\.output_conv\.0', 'last.0'),
    (r'scratch\.output_conv\.2', 'conv_seg'),
)


def our_name(theirs):
    """Return the name of one of their tensors here; None where nothing uses it."""
    part, rest = theirs.split('.', 1)
    if part == 'backbone':
        return None if rest == 'mask_token' else f'backbone.vit.{rest}'
    if rest.startswith('scratch.refinenet4.resConfUnit1'):  # has nothing to join
        return None
    for pattern, name in HEAD:
        rest = re.sub(f'^{pattern}', name, rest)
    rest = re.sub(r'<(\d)>', lambda found: str(int(found[1]) - 1), rest)
    return 'decode_head.' + rest.replace('layers.2', 'layers.3')


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


def network(arch, width, **head):
    return build(
        dict(
            type='EncoderDecoder',
            backbone=dict(type='DINOv2', arch=arch, checkpoint=None),
            decode_head=dict(
                type='DPTDecoderHead', in_channels=[width] * 4, num_classes=CLASSES, **head
            ),
        )
    )


@pytest.fixture(scope='module')
def filled(reference):
    net = network(ARCH, ARCH['embed_dims'], widths=WIDTHS, channels=CHANNELS)
    shapes = json.loads(str(reference['shapes']))
    theirs = {name: recipe(name, tuple(shape), 'dinov2') for name, shape in shapes.items()}
    net.load_state_dict({our_name(k): v for k, v in theirs.items() if our_name(k)})
    return net


def test_every_tensor_of_the_published_small_network(reference):
    shapes = json.loads(str(reference['paper']))
    with torch.device('meta'):
        ours = {k: list(v.shape) for k, v in network('vit_s', 384).state_dict().items()}
    assert ours == {our_name(k): v for k, v in shapes.items() if our_name(k)}


@pytest.mark.parametrize('name', SIZES)
def test_logits(reference, filled, name):
    """Where the grid of the positions is made smaller, larger, and stays."""
    x = recipe(name, (2, 3, *SIZES[name]), 'images')
    with torch.no_grad():
        found = filled.eval()(x, mode='tensor')
    assert found.shape[-2:] == x.shape[-2:]
    np.testing.assert_allclose(found[..., ::3, ::3], reference[name], rtol=1e-7, atol=1e-9)


def test_gradients(reference, filled):
    filled.train().zero_grad()
    for name, size in SIZES.items():
        filled(recipe(name, (2, 3, *size), 'images'), mode='tensor').square().sum().backward()
    expected = json.loads(str(reference['grads']))
    found = {name: p.grad.norm().item() for name, p in filled.named_parameters()}
    theirs = {our_name(name): value for name, value in expected.items()}
    assert found == pytest.approx(theirs, rel=GRAD_RTOL)
