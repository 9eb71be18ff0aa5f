"""The V-Net against the authors' code of UA-MT (yulequan/UA-MT, commit 88ed29a, networks/vnet.py).

`data/vnet.npz` holds logits and the shapes of all tensors; weights come from `recipe.py`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mmssl.models.volumetric.released_names import vnet_from_released, vnet_names
from tests.parity.generate.vnet import SIZE, weigh_channels
from tests.parity.recipe import recipe
from tests.tiny import build

DATA = Path(__file__).parent / 'data' / 'vnet.npz'
NORMS = {
    'batchnorm': dict(type='BN3d'),
    'groupnorm': dict(type='GN', num_groups=16),
    'instancenorm': dict(type='IN3d'),
}


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


def network(width=16, classes=2, norm='batchnorm'):
    widths = [width * 2**level for level in range(5)]
    return build(
        dict(
            type='EncoderDecoder',
            backbone=dict(type='VNetEncoder', widths=widths, norm_cfg=NORMS[norm]),
            decode_head=dict(
                type='VNetDecoderHead',
                in_channels=widths,
                num_classes=classes,
                norm_cfg=NORMS[norm],
            ),
        )
    )


def test_every_tensor_at_the_width_of_the_paper(reference):
    shapes = json.loads(str(reference['shapes']))
    with torch.device('meta'):
        ours = {k: list(v.shape) for k, v in network().state_dict().items()}
    assert {ours_: shapes[theirs] for theirs, ours_ in vnet_names(shapes).items()} == ours


@pytest.mark.parametrize('norm', list(NORMS))
def test_logits_with_dropout_where_it_stands(reference, norm, monkeypatch):
    net = network(4 if norm == 'batchnorm' else 16, 3, norm)
    names = vnet_names(json.loads(str(reference['shapes'])))
    back = {ours: theirs for theirs, ours in names.items()}
    shapes = {back[k]: tuple(v.shape) for k, v in net.state_dict().items()}
    net.load_state_dict(vnet_from_released({k: recipe(k, v, norm) for k, v in shapes.items()}))
    monkeypatch.setattr(nn.Dropout3d, 'forward', weigh_channels)
    x = recipe(norm, (2, 1, *SIZE), 'volumes')
    logits = net(x, mode='tensor').detach()[..., ::3, ::3, ::3]
    assert logits.std() > 0.1
    np.testing.assert_allclose(logits, reference[norm], rtol=0, atol=1e-9)


def test_names_of_other_forms_of_the_code():
    """Several decoders, and what is no part of the network."""
    found = vnet_names(
        {
            'encoder.block_four_dw.conv.1.running_var': (64,),
            'decoder3.block_six_up.conv.1.weight': (8, 16, 3, 3, 3),
            'decoder3.block_six_up.conv.2.weight': (8,),
            'decoder.out_conv.bias': (2,),
            'projection_head.0.weight': (32, 16),
        }
    )
    assert list(found.values()) == [
        'backbone.downs.3.1.running_var',
        'decode_head.others.1.ups.1.conv.weight',
        'decode_head.others.1.ups.1.norm.weight',
        'decode_head.conv_seg.bias',
    ]
    with pytest.raises(ValueError, match='"block_ten.conv.0.weight" is not a tensor'):
        vnet_names({'block_ten.conv.0.weight': (1,)})
