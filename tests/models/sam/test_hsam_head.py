"""The two decoders of H-SAM."""

import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from sam_parts import ARCH, build, save_sam

from mmssl.models.sam.mask_guided_decoder import (
    ClassNoise,
    MapAttention,
    MaskGuidedDecoder,
    attend,
)


def head(classes: int = 3, **kwargs):
    torch.manual_seed(0)
    options = dict(num_classes=classes, arch=ARCH, img_size=64, checkpoint=None)
    net = build('HSAMHead', **{**options, **kwargs})
    net.init_weights()
    return net


def quiet(classes: int = 3, **kwargs):
    return head(classes, **{**dict(image_noise=0.0, map_noise=False, dropout=0.0), **kwargs})


def embedding(n: int = 2, side: int = 4) -> torch.Tensor:
    return torch.randn(n, 256, side, side, generator=torch.Generator().manual_seed(1))


def test_parameters_of_the_published_network():
    """The released network also owns modules that its forward pass never uses."""
    with torch.device('meta'):
        net = build(
            'mmseg.EncoderDecoder',
            backbone=dict(type='LoRAMedSAM', arch='vit_b', img_size=512, rank=5),
            decode_head=dict(type='HSAMHead', num_classes=9, img_size=512),
        )
    norms = 4 * 2 * (196 + 9 + 1024)  # layer norms in the guided attentions
    iou_head = 2 * (256 * 256 + 256) + 9 * (256 + 1)  # of the second decoder
    points = 7 * 256  # embeddings of further point labels
    unused = norms + iou_head + points
    total = sum(p.numel() for p in net.parameters())
    assert total + unused == 111_282_384
    frozen = sum(p.numel() for p in net.decode_head.parameters() if not p.requires_grad)
    trained = sum(p.numel() for p in net.parameters() if p.requires_grad)
    assert trained + frozen + unused == 24_003_536
    sizes = {
        name: sum(p.numel() for p in module.parameters())
        for name, module in net.decode_head.named_children()
    }
    assert sizes['mask_decoder'] == 4_759_945
    assert sizes['map_attention'] + sizes['mask_decoder2'] + norms + iou_head == 19_051_259


@pytest.mark.parametrize('arch, img_size, side', [(ARCH, 64, 4), ('lite', 32, 8)])
@pytest.mark.parametrize('classes', [2, 5])
def test_the_second_decoder_ends_at_the_image_size(arch, img_size, side, classes):
    net = quiet(classes, arch=arch, img_size=img_size)
    coarse, fine = net.forward_stages((torch.rand(1, 9, 2, 2), embedding(side=side)))
    assert coarse.shape == (2, classes, 4 * side, 4 * side)
    assert fine.shape == (2, classes, img_size, img_size)


@pytest.mark.parametrize('stride', [4, 8, 16])
def test_upsampling_from_other_strides(stride):
    decoder = MaskGuidedDecoder(64, 2, stride)
    guide, fine = torch.full((1, 2, 3, 3), 0.5), torch.randn(1, 8, 12, 12)
    x = torch.randn(1, 64, 3, 3)
    assert decoder(x, x, guide, fine, True).shape == (1, 2, 3 * stride, 3 * stride)
    with pytest.raises(ValueError, match='a stride of 32 pixels'):
        MaskGuidedDecoder(64, 2, 32)


def test_stage_2_is_the_second_decoder_and_stage_3_the_mean():
    x = (embedding(),)
    two, three = quiet(stage=2).eval(), quiet(stage=3).eval()
    two.load_state_dict(three.state_dict())
    coarse, fine = three.forward_stages(x)
    assert torch.equal(two(x), fine)
    up = torch.nn.functional.interpolate(coarse, (64, 64), mode='bilinear', align_corners=False)
    assert torch.allclose(three(x), (up + fine) / 2)
    with pytest.raises(ValueError, match='stage must be 2 .* found 1'):
        head(stage=1)


def test_sams_order_of_attention_gives_sams_decoder():
    ours, sams = (
        quiet(cross_first=False),
        build('SAMMaskHead', num_classes=3, arch=ARCH, img_size=64, checkpoint=None),
    )
    assert not sams.load_state_dict(ours.state_dict(), strict=False).missing_keys
    x = embedding()
    with torch.no_grad():
        coarse = ours.forward_stages((x,))[0]
        assert torch.allclose(coarse, sams((x,)), atol=1e-4)
        sparse = ours.prompt_encoder(None, torch.tensor([[3.0, 5, 30, 40], [1, 1, 9, 60]]), None)
        assert torch.allclose(ours.decode(x, *sparse), sams.decode(x, *sparse), atol=1e-4)
        ours.cross_first = True
        assert not torch.allclose(ours.forward_stages((x,))[0], coarse, atol=1e-2)


def test_attention_is_multiplied_after_the_softmax_and_not_normalised():
    from segment_anything.modeling.transformer import Attention

    attention = Attention(8, 2)
    q, k = torch.randn(1, 2, 8), torch.randn(1, 5, 8)
    ones = torch.ones(1, 2, 5)
    plain = attention(q, k, k)
    assert torch.allclose(attend(attention, q, k, k, ones), plain, atol=1e-6)
    bias = attention.out_proj.bias
    assert torch.allclose(
        attend(attention, q, k, k, 0.25 * ones), 0.25 * (plain - bias) + bias, atol=1e-6
    )
    only = torch.zeros(1, 2, 5)
    only[:, :, 3] = 1  # sees key 3 alone, with the weight that all keys leave it
    seen = attend(attention, q, k, k, only)
    for key, changes in ((3, True), (1, False)):
        values = k.clone()
        values[:, key] += 1
        assert torch.allclose(attend(attention, q, k, values, only), seen) != changes


def test_a_class_without_pixels_reads_nothing_from_the_image():
    """Its token's guided attention is the bias of the output layer alone."""
    decoder = MaskGuidedDecoder(64, 2, 16, dropout=0.0)
    x = torch.randn(1, 64, 3, 3)
    guide = torch.stack([torch.ones(1, 9), torch.zeros(1, 9)], 1)
    layer = decoder.transformer.layers[0].cross_attn_token_to_image
    tokens = decoder.mask_tokens.weight[None]
    keys = x.flatten(2).transpose(1, 2)
    out = attend(layer, tokens, keys, keys, guide)
    assert torch.allclose(out[0, 1], layer.out_proj.bias)
    assert not torch.allclose(out[0, 0], layer.out_proj.bias)


@pytest.mark.parametrize(
    'positions, heads', [(196, 7), (1024, 8), (576, 8), (256, 8), (4, 4), (169, 1)]
)
def test_heads_divide_the_positions(positions, heads):
    with torch.device('meta'):
        net = MapAttention(positions, 3)
    assert net.attn1.num_heads == net.attn2.num_heads == heads


def test_gate():
    maps = torch.randn(2, 3, 16)
    gate = MapAttention(16, 3)
    assert gate(maps).shape == (2, 1, 16)
    assert torch.allclose(gate(maps).sum(2), torch.full((2, 1), 16.0), atol=1e-4)
    assert (gate(maps).std(2) > 0).all()
    torch.nn.init.zeros_(gate.select.weight)
    assert torch.allclose(gate(maps), torch.ones(2, 1, 16))
    assert torch.equal(MapAttention(16, 3, softmax='channel')(maps), torch.ones(2, 1, 16))


def test_a_true_gate_trains_the_map_attention_and_the_released_one_does_not():
    for softmax, trains in (('positions', True), ('channel', False)):
        net = quiet(map_softmax=softmax)
        net.forward_stages((embedding(),))[1].square().mean().backward()
        grads = [p.grad.abs().sum() for p in net.map_attention.attn2.v_proj.parameters()]
        assert all((grad > 0) == trains for grad in grads)


def test_every_free_parameter_gets_a_gradient():
    net = head()
    coarse, fine = net.forward_stages((embedding(),))
    (coarse.square().mean() + fine.square().mean()).backward()
    assert all((p.grad is not None) == p.requires_grad for p in net.parameters())


def test_the_map_attention_can_be_left_out():
    net = quiet(map_softmax=None, img_size=16 * 33)
    assert net.map_attention is None and net.map_noise is None
    assert net.forward_stages((embedding(1, 33),))[1].shape == (1, 3, 528, 528)


def test_bounds_and_options_are_named():
    with pytest.raises(
        ValueError,
        match=r'1089 positions wide \(grid of 33 x 33\), the bound is '
        r'max_tokens=1024: use a smaller img_size \(now 528\)',
    ):
        head(img_size=528)
    with torch.device('meta'):
        assert (
            build(
                'HSAMHead', num_classes=2, arch=ARCH, img_size=528, checkpoint=None, max_tokens=2000
            ).map_attention.attn1.num_heads
            == 3
        )
    with pytest.raises(ValueError, match='map_heads=3 does not divide the 16 positions'):
        head(map_heads=3)
    with pytest.raises(ValueError, match="map_softmax must be one of .* found 'classes'"):
        head(map_softmax='classes')
    with pytest.raises(ValueError, match="map_noise.classes must be 'prediction' or 'label'"):
        head(map_noise=dict(classes='truth'))
    with pytest.raises(ValueError, match="map_noise.resize must be 'nearest' or 'storage'"):
        head(map_noise=dict(resize='zoom'))
    with pytest.raises(ValueError, match='stds is empty'):
        head(map_noise=dict(stds=[]))
    with pytest.raises(ValueError, match='an embedding of 4 x 4, found 5 x 5: give head'):
        head()((embedding(side=5),))


def test_noise_is_added_in_training_alone_and_needs_no_label():
    x, net = (embedding(),), head()
    fine = [net.forward_stages(x)[1] for _ in range(2)]
    assert not torch.allclose(*fine)
    coarse = [net.forward_stages(x)[0] for _ in range(2)]
    assert torch.equal(*coarse), 'the first decoder sees no noise'
    net.eval()
    assert torch.equal(net(x), net(x))


def test_noise_on_the_embedding_is_scaled_by_its_range(monkeypatch):
    net = head(image_noise=0.5)
    monkeypatch.setattr(torch, 'randn_like', torch.ones_like)
    x = torch.zeros(2, 256, 4, 4)
    x[0, 0, 0, 0], x[1, 3, 2, 1] = 3.0, -1.0
    assert torch.equal(net.noisy(x), x + 2.0)


def test_rare_classes_get_more_noise():
    noise = ClassNoise(stds=(0.5, 0.3, 0.1))
    classes = torch.tensor([[[0, 0, 0, 0], [1, 1, 1, 1]], [[0, 2, 2, 2], [1, 4, 4, 4]]])
    # 5 of class 0, 5 of 1, 3 of 2, none of 3, 3 of 4: ranks 2, 3, 0, -, 1
    expected = torch.tensor([0.1, 0.1, 0.5, 0.0, 0.3])[classes]
    assert torch.equal(noise.std_of(classes, 5), expected)


def test_class_noise_by_hand(monkeypatch):
    noise = ClassNoise(stds=(0.5, 0.1), dropout=0.0)
    monkeypatch.setattr(torch, 'randn_like', torch.ones_like)
    maps = torch.arange(8.0).view(1, 2, 2, 2)  # mean 3.5
    guide = torch.tensor([[[0.9, 0.9], [0.9, 0.2]]])
    guide = torch.stack([guide, 1 - guide], 1)
    added = 3.5 + torch.tensor([[0.1, 0.1], [0.1, 0.5]])
    assert torch.allclose(noise(maps, guide), maps + added)
    label = torch.tensor([[[1, 0], [1, 1]]])
    assert torch.allclose(noise(maps, guide, label), maps + added), 'a label is not asked for'
    noise.classes = 'label'
    assert torch.allclose(noise(maps, guide), maps + added), 'without a label: the prediction'
    added = 3.5 + torch.tensor([[0.1, 0.5], [0.1, 0.1]])
    assert torch.allclose(noise(maps, guide, label), maps + added)
    assert torch.equal(noise.eval()(maps, guide, label), maps)


def test_the_label_on_the_grid():
    label = torch.arange(32).view(2, 4, 4)
    assert ClassNoise().at_grid(label, (2, 2, 2)).tolist() == [
        [[0, 3], [12, 15]],
        [[16, 19], [28, 31]],
    ]
    assert ClassNoise(resize='storage').at_grid(label, (2, 2, 2)).tolist() == [
        [[0, 1], [2, 3]],
        [[4, 5], [6, 7]],
    ]


def test_the_second_decoder_starts_random(tmp_path):
    sam = save_sam(tmp_path / 'sam.pth')
    net = head(4, checkpoint=str(tmp_path / 'sam.pth'))
    name = 'transformer.layers.0.self_attn.q_proj.weight'
    assert torch.equal(net.mask_decoder.state_dict()[name], sam['mask_decoder'].state_dict()[name])
    assert not torch.equal(
        net.mask_decoder2.state_dict()[name], sam['mask_decoder'].state_dict()[name]
    )


def test_it_is_a_student_of_mmsegmentation():
    """`loss` and `predict` of a stock segmentor see the logits of `stage`."""
    net = quiet()
    assert net((embedding(),)).shape == (2, 3, 64, 64)
    loss = net.loss_by_feat(net((embedding(),)), [sample(64), sample(64)])
    assert loss['loss_ce'].isfinite()


def sample(side: int):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    return SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, side, side, dtype=torch.long)))


def noise_of(rows: slice) -> dict[str, torch.Tensor]:
    """Return what is added to the images `rows` of a batch, and the gradient of its sum."""
    net = head(image_noise=0.5)
    drawn, torch.randn_like = torch.randn_like, torch.ones_like  # ranks draw different noise
    x = embedding(4)[rows].requires_grad_()
    noisy = net.noisy(x)
    noise = ClassNoise(stds=(0.5, 0.3, 0.1), dropout=0.0)
    guide = embedding(4, 6)[rows, :3]
    maps = x[:, 3:6].mean((2, 3), keepdim=True).expand(-1, -1, 6, 6)
    maps = noise(maps, guide)
    (noisy.square().sum() + maps.square().sum()).backward()
    torch.randn_like = drawn
    return dict(noisy=noisy.detach(), maps=maps.detach(), grad=x.grad)


def worker(rank: int, port: int, folder: str) -> None:
    """Add noise to this rank's half of a batch."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    torch.save(noise_of(slice(2 * rank, 2 * rank + 2)), f'{folder}/{rank}.pth')
    dist.destroy_process_group()


@pytest.mark.slow
def test_range_mean_and_frequencies_are_those_of_the_batch_of_all_ranks(tmp_path):
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    mp.spawn(worker, args=(port, str(tmp_path)), nprocs=2)
    ranks = [torch.load(tmp_path / f'{rank}.pth') for rank in range(2)]
    for name, value in noise_of(slice(0, 4)).items():
        torch.testing.assert_close(torch.cat([rank[name] for rank in ranks]), value, msg=name)
