"""Features come from the smallest map of any encoder."""

import pytest
import torch
from torch import nn

from mmssl.models.unet import UNet, UNetEncoder
from mmssl.ranking.features import DeepestMap


def test_the_bottom_of_a_unet_whose_output_is_large():
    network = UNet(1, base_channels=4, depth=2).eval()
    images = torch.rand(3, 1, 16, 16)
    answer, features = DeepestMap(network).of(3, lambda: network(images))
    found = {}
    network.downs[-1].register_forward_hook(lambda m, i, o: found.update(bottom=o))
    assert torch.equal(answer[0], network(images)[0])
    assert features.shape == (3, 16) and torch.allclose(features, found['bottom'].mean((2, 3)))


def test_the_last_of_several_outputs_of_an_encoder_that_is_a_backbone():
    network = nn.Module()
    network.backbone = UNetEncoder(in_channels=1).eval()
    network.head = nn.AdaptiveAvgPool2d(2)  # smaller maps, and not the encoder's
    images = torch.rand(2, 1, 32, 32)

    def predict():
        maps = network.backbone(images)
        network.head(maps[-1])
        return maps

    maps, features = DeepestMap(network).of(2, predict)
    assert torch.allclose(features, maps[-1].mean((2, 3)))


def test_windows_of_one_image_are_averaged_and_pooled_vectors_do_not_count():
    network = nn.Sequential(nn.Conv3d(1, 2, 1), nn.MaxPool3d(2), nn.AdaptiveAvgPool3d(1))
    windows = torch.rand(4, 1, 4, 4, 4)
    deepest = DeepestMap(network)
    for _ in range(2):
        _, features = deepest.of(1, lambda: [network(window[None]) for window in windows])
        assert torch.allclose(features, network[:2](windows).mean((0, 2, 3, 4))[None])


def test_a_network_without_maps_is_told():
    network = nn.Linear(3, 3)
    with pytest.raises(ValueError, match='Linear gives no map .* rank without distance'):
        DeepestMap(network).of(2, lambda: network(torch.rand(2, 3)))
