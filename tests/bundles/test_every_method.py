"""Whatever method has trained them, the networks of a bundle predict as they did."""

import pytest
import torch

from mmssl.apis import init_model, publish
from mmssl.bundles.networks import Choice
from mmssl.testing import MethodTester
from mmssl.testing.phantoms import SIDE
from tests.models.methods import test_all_methods as methods

ENTRIES = {
    name: entry
    for name, entry in vars(methods).items()
    if isinstance(entry, type) and issubclass(entry, MethodTester) and hasattr(entry, 'config')
    if entry.axes == 2  # volumes have files of their own
}


@pytest.mark.parametrize('name', ENTRIES)
def test_all_networks_that_a_prediction_needs(name, tmp_path):
    """`publish` compares the logits to the last bit; here it may not refuse, nor leave one out."""
    cfg = ENTRIES[name].model_cfg()
    cfg.test_dataloader.dataset.update(image_size=SIDE, box_size=SIDE, channels=1)
    torch.manual_seed(0)
    model = init_model(cfg)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'model.pth')
    args = (cfg, tmp_path / 'model.pth', tmp_path / 'x.mmssl')
    publish(*args, Choice(everything=True), with_data=False)
    assert init_model(tmp_path / 'x.mmssl').outputs == model.outputs
