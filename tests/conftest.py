"""Keep torch small and every test on its own message hub."""

import pytest
import torch

pytest_plugins = ['mmssl.testing_plugin']  # that of an installed package has the same name


@pytest.fixture(autouse=True)
def fresh_state(request):
    """Give each test one thread, a fixed seed and a message hub of its own."""
    from mmengine.logging import MessageHub

    torch.set_num_threads(1)
    torch.manual_seed(0)
    MessageHub.get_instance(request.node.nodeid)
    yield
