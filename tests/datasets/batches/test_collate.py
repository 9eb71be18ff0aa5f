from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import FUNCTIONS

from mmssl.datasets.batches.collate import semi_collate


def labelled(value, size=4):
    image = torch.full((1, size, size), value, dtype=torch.uint8)
    info = SimpleNamespace(metainfo=dict(img_path=f'{value}.png'))
    return dict(inputs=dict(x_w=image, y=image[0]), data_samples=info)


def unlabelled(value, **extra):
    image = torch.full((1, 4, 4), value, dtype=torch.uint8)
    info = SimpleNamespace(metainfo=dict(img_path=f'{value}.png'))
    return dict(inputs=dict(u_w=image, u_s=image, **extra), data_samples=info)


def test_groups_keep_their_order():
    box = torch.arange(4)
    batch = semi_collate([labelled(1), unlabelled(2, box=box), labelled(3), unlabelled(4, box=box)])
    inputs = batch['inputs']
    assert inputs['x_w'][:, 0, 0, 0].tolist() == [1, 3] and inputs['y'].shape == (2, 4, 4)
    assert inputs['u_s'][:, 0, 0, 0].tolist() == [2, 4] and inputs['box'].shape == (2, 4)
    paths = {kind: [s.metainfo['img_path'] for s in v] for kind, v in batch['data_samples'].items()}
    assert paths == dict(labelled=['1.png', '3.png'], unlabelled=['2.png', '4.png'])


def test_labels_only():
    batch = semi_collate([labelled(1)])
    assert set(batch['inputs']) == {'x_w', 'y'} and batch['data_samples']['unlabelled'] == []


def test_sizes_and_views_that_differ():
    with pytest.raises(ValueError, match=r'"x_w" is \(1, 4, 4\) for 1.png but \(1, 5, 5\) for 2'):
        semi_collate([labelled(1), labelled(2, size=5)])
    with pytest.raises(ValueError, match='"box" is .* but None for 4.png'):
        semi_collate([unlabelled(3, box=torch.arange(4)), unlabelled(4)])


def test_the_runner_finds_it_by_its_plain_name():
    assert FUNCTIONS.get('semi_collate') is semi_collate
