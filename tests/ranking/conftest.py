import pytest
import torch
from mmengine.config import Config

from mmssl.apis import init_model
from tests import tiny
from tests.fake_files import TEST_PIPELINE, prostate, write_prostate


@pytest.fixture
def root(tmp_path):
    return write_prostate(tmp_path / 'data', domains=('A', 'B'), cases=3, per_case=2)


@pytest.fixture
def cfg(root):
    """SynFoC on two domains of three cases with two slices; the first case of A has labels."""
    domains = dict(domains=['A', 'B'])
    return Config(
        dict(
            default_scope='mmssl',
            model=tiny.synfoc(),
            train_dataloader=dict(dataset=prostate(root, **domains)),
            test_dataloader=dict(
                dataset=prostate(
                    root,
                    mode='test',
                    labelled=None,
                    prepare=[dict(type='LoadImage'), dict(type='ResizeSquare', size=32)],
                    pipeline=TEST_PIPELINE,
                    **domains,
                )
            ),
        )
    )


@pytest.fixture
def model(cfg):
    """Two students, and two teachers that are not their copies."""
    torch.manual_seed(0)
    model = init_model(cfg)
    for weight in model.teachers.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    return model
