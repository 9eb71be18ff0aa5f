"""Two SAM decoders that prompt each other."""

import pytest
import torch
from sam_parts import ARCH, build, original_sam, save_sam

PROJECTOR = 2 * (32 * 128 + 128 * 128)  # of the released decoders, used by nothing


def head(classes: int = 3, arch=ARCH, **kwargs):
    options = dict(num_classes=classes, arch=arch, img_size=64, checkpoint=None)
    torch.manual_seed(0)
    net = build('CrossPromptHead', **{**options, **kwargs})
    net.init_weights()
    return net


def logits_of(labels, classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels), classes).permute(0, 3, 1, 2).float()


def test_parameters_of_the_released_network():
    with torch.device('meta'):
        encoder = build('LoRAMedSAM', arch='vit_b', img_size=512, checkpoint=None)
        net = build('CrossPromptHead', num_classes=4, img_size=512)

    def count(module):
        return sum(p.numel() for p in module.parameters())

    assert count(net.prompt_encoder) == 6_732
    assert [count(decoder) for decoder in net.decoders] == [4_065_572 - PROJECTOR // 2] * 2
    assert count(encoder) + count(net) + PROJECTOR == 95_564_180
    adapters = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    # the released code also counts what never gets a gradient
    assert adapters + count(net) + PROJECTOR == 8_285_332


@pytest.mark.parametrize('arch, grid, channels', [(ARCH, 4, 16), ('lite', 16, 32)])
def test_decoders_scale_up_to_the_image(arch, grid, channels):
    net, x = head(arch=arch), (torch.randn(2, 256, grid, grid),)
    assert net(x).shape == (2, 3, 64, 64)
    assert [z.shape for z in net.forward_all(x)] == [(2, 3, 64, 64)] * 2
    assert [z.shape for z in net.prompted(x, net.coarse(x, 0), 1)] == [(2, 3, 64, 64)] * 2
    for decoder in net.decoders:
        assert decoder.output_hypernetworks_mlps[0].layers[-1].out_features == channels


def test_small_decoders_are_those_of_sam():
    sam, net = original_sam(64, mask_tokens=3), head(arch='lite')
    net.decoders[1].load_state_dict(sam['mask_decoder'].state_dict())
    x = torch.randn(2, 256, 16, 16)
    position = net.position_code(16, 16)
    none = torch.zeros(1, 0, 256)
    dense = net.prompt_encoder.no_mask_embed.weight.view(1, 256, 1, 1).expand(1, -1, 16, 16)
    want = torch.cat(
        [
            sam['mask_decoder'].predict_masks(x[i : i + 1], position, none, dense)[0]
            for i in range(2)
        ]
    )
    torch.testing.assert_close(net.coarse((x,), 1), want)


def test_points_of_two_classes_are_those_of_sam():
    sam, net = original_sam(64), head(2)
    net.prompt_encoder.load_state_dict(sam['prompt_encoder'].state_dict())
    xy, labels = torch.randint(0, 64, (3, 2, 2)).float(), torch.tensor([[0, 1], [0, 0], [1, 1]])
    want, _ = sam['prompt_encoder'](points=(xy, labels), boxes=None, masks=None)
    torch.testing.assert_close(net.embed_points(xy, labels), want)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        torch.testing.assert_close(net.embed_points(xy, labels), want)


@pytest.mark.parametrize('classes', [2, 3, 7])
def test_every_class_has_an_embedding_and_the_boxes_two(classes):
    net = head(classes)
    embeddings = net.prompt_encoder.point_embeddings
    assert [e.weight.requires_grad for e in embeddings] == [True] * classes + [False] * 2
    xy = torch.zeros(1, classes, 2)
    points = net.embed_points(xy, torch.arange(classes)[None])
    assert points.shape == (1, classes + 1, 256)
    for c in range(classes):
        apart = points[0, c] - points[0, 0]
        torch.testing.assert_close(apart, embeddings[c].weight[0] - embeddings[0].weight[0])


def test_points_lie_in_the_largest_component_or_on_the_background():
    net = head(4)
    labels = [
        [
            [1, 0, 0, 0, 0, 0, 2],
            [0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 1, 1, 1, 0],
            [0, 0, 0, 1, 1, 1, 0],
            [0, 0, 0, 1, 1, 1, 0],
            [0, 0, 0, 0, 0, 0, 0],
        ]
    ]
    seen = set()
    for seed in range(30):
        torch.manual_seed(seed)
        optimal, random, ids = net.make_points(logits_of(labels, 4))
        assert ids.tolist() == [[0, 1, 2, 0]]
        # two pixels from the image's outside at the left, and from class 3
        assert optimal[0, 0].tolist() in ([1, 2], [1, 3], [1, 4])
        assert optimal[0, 1].tolist() == [4, 3] and optimal[0, 2].tolist() == [6, 0]
        assert random[0, 2].tolist() == [6, 0]
        assert torch.equal(optimal[0, 3], optimal[0, 0])
        assert torch.equal(random[0, 3], optimal[0, 0])  # not the random one, as released
        x, y = random[0].long().T
        assert torch.tensor(labels)[0, y[:3], x[:3]].tolist() == [0, 1, 2]
        seen.add((x[1].item(), y[1].item()))
    assert seen <= {(x, y) for x in (3, 4, 5) for y in (2, 3, 4)} and len(seen) > 4


def test_without_background_absent_classes_get_the_corner():
    optimal, random, ids = head(3).make_points(logits_of([[[1] * 5] * 5], 3))
    assert optimal.tolist() == [[[0, 0], [2, 2], [0, 0]]]
    assert ids.tolist() == [[0, 1, 0]]
    assert random[0, [0, 2]].tolist() == [[0, 0], [0, 0]]


def test_nothing_is_loaded_into_random_decoders(tmp_path):
    sam = save_sam(tmp_path / 'sam.pth')
    net = head(checkpoint=str(tmp_path / 'sam.pth'))
    own = net.prompt_encoder.state_dict()
    for name, value in sam['prompt_encoder'].state_dict().items():
        assert torch.equal(own[name], value), name  # four point embeddings of five
    one, two = (decoder.state_dict() for decoder in net.decoders)
    file = sam['mask_decoder'].state_dict()
    tokens = 'transformer.layers.0.self_attn.q_proj.weight'
    assert not torch.equal(one[tokens], two[tokens])
    assert not torch.equal(one[tokens], file[tokens])


def test_published_decoders_differ_in_what_classes_have_of_their_own(tmp_path):
    sam = save_sam(tmp_path / 'sam.pth')
    net = head(4, checkpoint=str(tmp_path / 'sam.pth'), init='published')
    file = sam['mask_decoder'].state_dict()
    for decoder in net.decoders:
        own = decoder.state_dict()
        same = {
            name
            for name in own
            if name in file
            and own[name].shape == file[name].shape
            and torch.equal(own[name], file[name])
        }
        assert same == {
            name
            for name in file
            if name.startswith('transformer')
            or name
            in (
                'iou_token.weight',
                'output_upscaling.0.weight',
                'output_upscaling.0.bias',
                'output_upscaling.1.weight',
                'output_upscaling.1.bias',
                'output_upscaling.3.weight',
                'output_upscaling.3.bias',
            )
        }
    assert not torch.equal(*(decoder.mask_tokens.weight for decoder in net.decoders))


def test_unknown_initialisation_is_named():
    with pytest.raises(ValueError, match='init must be "random" or "published", got "reinit"'):
        head(init='reinit')


def test_prediction_is_the_mean_of_both_or_the_first():
    x = (torch.randn(2, 256, 4, 4),)
    net = head()
    one, two = (z.softmax(1) for z in net.forward_all(x))
    torch.testing.assert_close(net(x).softmax(1), (one + two) / 2)
    assert not torch.allclose(one, two, atol=1e-4)
    first = head(ensemble=False)
    assert torch.equal(first(x), net.coarse(x, 0))


def test_what_learns_gets_a_gradient_and_the_rest_is_frozen():
    net, x = head(), torch.randn(2, 256, 4, 4)
    coarse = net.coarse((x,), 1, detach=True)
    coarse.sum().backward()
    assert net.prompt_encoder.no_mask_embed.weight.grad is None
    assert net.decoders[1].mask_tokens.weight.grad is not None
    assert net.decoders[0].mask_tokens.weight.grad is None
    labels = torch.arange(3).repeat(2, 1)
    xy = torch.randint(0, 64, (2, 3, 2)).float()
    for decoder in net.decoders:
        net.decode(x, net.embed_points(xy, labels), decoder=decoder).sum().backward()
    learning = {name for name, p in net.named_parameters() if p.requires_grad}
    got = {name for name, p in net.named_parameters() if p.grad is not None}
    assert learning == got
    frozen = {name for name, _ in net.named_parameters()} - learning
    assert all(
        'iou_prediction_head' in name
        or 'mask_downscaling' in name
        or name.startswith(
            ('prompt_encoder.point_embeddings.3', 'prompt_encoder.point_embeddings.4')
        )
        for name in frozen
    )


def test_points_carry_no_gradient_and_need_no_host_sync():
    net, x = head(), torch.randn(1, 256, 4, 4)
    coarse = net.coarse((x,), 0)
    assert not any(one.requires_grad for one in net.make_points(coarse))
    net.to('meta')
    both = net.prompted((x.to('meta'),), coarse.to('meta'), 1)
    assert all(z.device.type == 'meta' for z in both)
