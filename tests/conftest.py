"""Keep torch small and every test on its own message hub."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def fresh_state(request):
    """Give each test one thread, a fixed seed and a message hub of its own."""
    from mmengine.logging import MessageHub

    torch.set_num_threads(1)
    torch.manual_seed(0)
    MessageHub.get_instance(request.node.nodeid)
    yield
