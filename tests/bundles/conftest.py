import pytest
from bundle_parts import write_checkpoint


@pytest.fixture
def trained(tmp_path):
    """Return a function that trains a model, as far as tests care: config and checkpoint."""
    path = tmp_path / 'model.pth'
    return lambda model: (write_checkpoint(model, path), path)
