"""A released V-Net's checkpoint becomes one that a run goes on from."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools' / 'model_converters'))
import vnet_to_mmssl

from mmssl.models.volumetric.released_names import vnet_names
from tests.tiny import build

REFERENCE = Path(__file__).parents[1] / 'parity' / 'data' / 'vnet.npz'


def released(width: int = 2) -> dict[str, torch.Tensor]:
    """Return tensors by the names of UA-MT's V-Net, as narrow as asked for."""
    shapes = json.loads(str(np.load(REFERENCE)['shapes']))
    return {
        k: torch.rand([max(n * width // 16, 1) if n > 3 else n for n in shape])
        for k, shape in shapes.items()
    }


@pytest.mark.parametrize('wrap', [lambda x: x, lambda x: {'net': x, 'opt': {}}])
def test_a_model_loads_what_was_converted(tmp_path, wrap):
    tensors = released()
    torch.save(wrap({f'module.{k}': v for k, v in tensors.items()}), tmp_path / 'released.pth')
    out = tmp_path / 'out' / 'mmssl.pth'
    assert vnet_to_mmssl.main([str(tmp_path / 'released.pth'), str(out)]) == 0
    widths = (2, 4, 8, 16, 32)
    model = build(
        dict(
            type='SupOnly',
            students=dict(
                vnet=dict(
                    type='EncoderDecoder',
                    backbone=dict(type='VNetEncoder', widths=widths),
                    decode_head=dict(type='VNetDecoderHead', in_channels=widths),
                )
            ),
            parts=[[1]],
        )
    )
    model.load_state_dict(torch.load(out, weights_only=True)['state_dict'])
    found = model.students['vnet'].state_dict()
    for theirs, ours in vnet_names({k: v.shape for k, v in tensors.items()}).items():
        assert torch.equal(found[ours], tensors[theirs].to(found[ours].dtype)), theirs


def test_another_network_is_named_and_nothing_written(tmp_path, capsys):
    torch.save({'conv1.weight': torch.ones(1)}, tmp_path / 'other.pth')
    out = tmp_path / 'out.pth'
    assert vnet_to_mmssl.main([str(tmp_path / 'other.pth'), str(out)]) == 1
    assert '"conv1.weight" is not a tensor of a released V-Net' in capsys.readouterr().err
    assert not out.exists()
