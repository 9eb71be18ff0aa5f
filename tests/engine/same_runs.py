"""Whether two runs left the same behind."""

from pathlib import Path

import torch

from mmssl.engine import load_checkpoint_file


def assert_same(one, two, path=''):
    assert type(one) is type(two), path
    if isinstance(one, dict):
        assert one.keys() == two.keys(), path
        for key in one:
            assert_same(one[key], two[key], f'{path}/{key}')
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two), path
        for i, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_same(a, b, f'{path}/{i}')
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, two), path
    else:
        assert one == two, path


def assert_same_run(folder_a, folder_b, name='iter_8.pth'):
    a, b = (load_checkpoint_file(Path(folder) / name) for folder in (folder_a, folder_b))
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_same(a[key], b[key], key)
    losses = [
        {k: v for k, v in c['message_hub']['scalars'].items() if 'time' not in k} for c in (a, b)
    ]
    assert_same(*losses, 'scalars')
    assert len(losses[0]['train/loss']['logs']) == 8
