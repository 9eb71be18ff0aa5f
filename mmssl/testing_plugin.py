"""The fixtures of `mmssl.testing`, a plug-in that pytest loads; imports nothing until asked."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker of the slow checks known."""
    config.addinivalue_line('markers', 'slow: takes more than a few seconds')


@pytest.fixture(scope='session')
def mmssl_phantom(tmp_path_factory):
    """Return the folder of a phantom of two scanners, 8 training images of 32 px each."""
    from mmssl.testing.phantoms import write_small_phantom

    return write_small_phantom(tmp_path_factory.mktemp('mmssl_phantom'))


@pytest.fixture(scope='session')
def mmssl_volumes(tmp_path_factory):
    """Return the folder of a phantom of 8 training volumes of 16 x 32 x 32 voxels."""
    from mmssl.testing.phantoms import write_small_volumes

    return write_small_volumes(tmp_path_factory.mktemp('mmssl_volumes'))


@pytest.fixture(scope='module')
def mmssl_two_ranks(tmp_path_factory, request):
    """Start two processes once for all `MethodTester`s of a module that are to run.

    Returns:
        Name of the class to the files of both ranks, with the parameters after one step.
    """
    from mmssl.testing.method_tester import MethodTester, run_rank
    from mmssl.testing.two_processes import run_two

    names = sorted(
        {
            item.cls.__name__
            for item in request.session.items
            if getattr(item, 'module', None) is request.module
            and item.cls is not None
            and issubclass(item.cls, MethodTester)
        }
    )
    folder = tmp_path_factory.mktemp('mmssl_ranks')
    run_two(run_rank, str(folder), request.module.__name__, names)
    return {name: [folder / f'{name}_{rank}.pth' for rank in range(2)] for name in names}
