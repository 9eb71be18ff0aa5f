"""Every method passes the checks of `tests/method_tester.py`; one entry for each."""

import socket

import pytest
import torch.multiprocessing as mp
from method_tester import MethodTester, run_rank, write_small_phantom
from tiny import segmentor

from tests.models.methods import test_mcsd  # noqa: F401  registers StandInNeck

LOOSE = dict(threshold=dict(value=0.4))  # pixels of untrained networks that count


@pytest.fixture(scope='module')
def phantom(tmp_path_factory):
    return write_small_phantom(tmp_path_factory.mktemp('phantom'))


@pytest.fixture(scope='module')
def two_ranks(tmp_path_factory, request):
    """Start two ranks once for the methods under test; return each one's two result files."""
    names = sorted({item.cls.__name__ for item in request.session.items
                    if item.module is request.module and item.cls})
    folder = tmp_path_factory.mktemp('ranks')
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    mp.spawn(run_rank, args=(port, str(folder), __name__, names), nprocs=2)
    return {name: [folder / f'{name}_{rank}.pth' for rank in range(2)] for name in names}


class TestSupOnly(MethodTester):
    config = 'sup_only/prostate.py'
    unlabelled = False


class TestFixMatch(MethodTester):
    config = 'synfoc/prostate_base-unet.py'
    options = LOOSE


class TestSynFoC(MethodTester):
    config = 'synfoc/prostate.py'
    options = LOOSE


class TestUniMatch(MethodTester):
    config = 'unimatch/acdc.py'
    options = LOOSE
    exact = dict(feature_dropout=None)


class TestMCSD(MethodTester):
    config = 'mcsd/acdc.py'
    options = dict(LOOSE, neck=dict(_delete_=True, type='StandInNeck'))

    @classmethod
    def student(cls, name, channels, norm):
        return segmentor(channels, norm, channels=3 if name == 'feature_unet' else 1)

    @classmethod
    def edit(cls, cfg):
        cfg.custom_hooks = []  # there is no projection to fit


class TestBCP(MethodTester):
    config = 'bcp/acdc.py'
    on_meta = False
