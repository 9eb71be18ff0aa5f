"""SAM's encoder and decoder with bottleneck adapters, and prompts that are learnt."""

import copy

import pytest
import torch

from tests.models.methods.test_know_sam import SIDE, adapted_sam
from tests.sam_parts import ARCH, build, encoder
from tests.tiny import build as build_cfg


def adapted_encoder(**kwargs):
    net = build('AdapterMedSAM', **{**dict(arch=ARCH, img_size=64, random_trunk_seed=0), **kwargs})
    net.init_weights()
    return net


@torch.no_grad()
def wake(net) -> None:
    """Put noise into the adapters, which start at zero."""
    for name, value in net.named_parameters():
        if 'adapter_' in name:
            value.normal_(std=0.1)


@pytest.mark.parametrize('attention', ['plain', 'sdpa'])
def test_adapters_start_as_nothing(attention):
    x = torch.rand(2, 3, 64, 64)
    plain = encoder(rank=0)
    net = adapted_encoder(attention=attention)
    torch.testing.assert_close(net(x)[0], plain(x)[0], atol=1e-5, rtol=1e-4)
    wake(net)
    assert not torch.allclose(net(x)[0], plain(x)[0], atol=1e-3)


def test_adapters_alone_learn_and_are_stored():
    net = adapted_encoder()
    learning = {name for name, p in net.named_parameters() if p.requires_grad}
    assert learning and all('adapter_' in name for name in learning)
    per_block = {name.split('.adapter_')[0] for name in learning if '.blocks.0.' in name}
    assert per_block == {'trunk.blocks.0.attn.proj', 'trunk.blocks.0.mlp'}
    stored = set(net.state_dict())
    assert stored == learning | {'identity.trunk_fingerprint'}
    wake(net)
    again = adapted_encoder()
    again.load_state_dict(net.state_dict())
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(again(x)[0], net(x)[0])


def test_copies_share_the_trunk_and_not_the_adapters():
    net = adapted_encoder()
    other = copy.deepcopy(net)
    own = net.frozen_tensors()
    assert all(other.frozen_tensors()[name] is value for name, value in own.items())
    shared = {id(p) for p in net.parameters() if p.requires_grad}
    assert not shared & {id(p) for p in other.parameters() if p.requires_grad}


def test_released_quirks_drop_the_relative_positions_and_start_at_random():
    net = adapted_encoder(released_quirks=True)
    attn = net.trunk.blocks[0].attn
    assert not attn.rel_pos.h.any() and not attn.rel_pos.w.any()
    assert adapted_encoder().trunk.blocks[0].attn.rel_pos.h.any()
    assert attn.proj.adapter_after[2].weight.any()
    with pytest.raises(ValueError, match="needs attention='plain'"):
        adapted_encoder(released_quirks=True, attention='sdpa')


def sam(**head):
    net = build_cfg(adapted_sam(**head))
    net.init_weights()
    return net


def features(net):
    return net.extract_feat(
        torch.rand(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    )


@torch.no_grad()
def test_every_class_is_asked_by_itself():
    """A class's logits depend on its own mask and points alone."""
    net = sam()
    x = features(net)
    masks = torch.randn(2, 3, SIDE, SIDE)
    xy, labels = torch.full((2, 3, 2, 2), 5.0), torch.ones(2, 3, 2)
    plain = net.decode_head(x)
    asked = net.decode_head.prompted(x, masks, (xy, labels))
    assert asked.shape == plain.shape == (2, 3, 8, 8)
    masks[:, 1], xy[:, 1] = -masks[:, 1], 20.0
    again = net.decode_head.prompted(x, masks, (xy, labels))
    same = [torch.allclose(asked[:, i], again[:, i], atol=1e-6) for i in range(3)]
    assert same == [True, False, True]


@torch.no_grad()
def test_points_are_embedded_as_sam_does():
    head = sam().decode_head
    encoder_ = head.prompt_encoder
    xy = torch.tensor([[3.0, 17.0], [30.0, 2.0], [9.0, 9.0]])
    labels = torch.tensor([1, 0, -1])
    want = encoder_._embed_points(xy[None].clone(), labels[None], pad=False)
    torch.testing.assert_close(head.embed_points(xy, labels), want[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('frozen', [True, False])
def test_what_of_the_decoder_learns(frozen):
    net = sam(frozen=frozen)
    x = features(net)
    points = torch.full((2, 3, 3, 2), 5.0), torch.tensor([1, 0, -1]).expand(2, 3, 3)
    net.decode_head.prompted(x, points=points).sum().backward()
    learning = {name for name, p in net.decode_head.named_parameters() if p.requires_grad}
    without = {
        n for n, p in net.decode_head.named_parameters() if p.requires_grad and p.grad is None
    }
    assert not without
    own = {name for name in learning if 'adapter_' not in name and 'box_tokens' not in name}
    assert bool(own) != frozen


def test_published_weights_fill_the_decoder_under_its_wrapping(tmp_path):
    from tests.sam_parts import save_sam

    original = save_sam(tmp_path / 'sam.pth', side=64)
    arch = dict(embed_dims=32, depth=3, num_heads=2, global_blocks=(1,))
    for quirks in (False, True):
        head = build(
            'LearnedPromptHead',
            num_classes=3,
            arch=arch,
            img_size=64,
            width=4,
            checkpoint=str(tmp_path / 'sam.pth'),
            released_quirks=quirks,
        )
        head.init_weights()
        own = dict(head.mask_decoder.transformer.base_layer.named_parameters())
        for name, value in original.mask_decoder.transformer.named_parameters():
            left = quirks and '.mlp.' in name
            assert torch.equal(own[name], value) != left, name
        tokens = original.mask_decoder.mask_tokens.weight
        assert torch.equal(head.mask_decoder.mask_tokens.weight, tokens)


@torch.no_grad()
def test_adapted_transformer_starts_as_sams():
    from segment_anything.modeling import TwoWayTransformer

    from mmssl.models.sam.bottleneck_adapters import AdaptedTwoWay

    plain = TwoWayTransformer(2, 32, 4, 64)
    image, position, tokens = (
        torch.randn(2, 32, 3, 3),
        torch.randn(2, 32, 3, 3),
        torch.randn(2, 5, 32),
    )
    want = plain(image, position, tokens)
    for found, expected in zip(AdaptedTwoWay(plain)(image, position, tokens), want, strict=True):
        torch.testing.assert_close(found, expected)
    released = AdaptedTwoWay(plain, released=True)(image, position, tokens)
    assert not torch.allclose(released[0], want[0], atol=1e-3)
