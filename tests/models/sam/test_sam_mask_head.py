"""SAM's decoder as a class head."""

import pytest
import torch
from sam_parts import ARCH, build, original_sam, save_sam


def head(classes: int = 2, **kwargs):
    options = dict(num_classes=classes, arch=ARCH, img_size=64, checkpoint=None)
    net = build('SAMMaskHead', **{**options, **kwargs})
    net.init_weights()
    return net


@pytest.mark.parametrize('classes, want', [(2, 3_777_698), (3, 3_918_019), (4, 4_058_340)])
def test_parameters_of_the_paper(classes, want):
    with torch.device('meta'):
        net = build('SAMMaskHead', num_classes=classes, img_size=512)
    count = {
        name: sum(p.numel() for p in module.parameters()) for name, module in net.named_children()
    }
    assert count['prompt_encoder'] == 6_220
    assert count['mask_decoder'] == want
    frozen = sum(p.numel() for p in net.parameters() if not p.requires_grad)
    assert frozen == 138_062 + 257 * (classes - 2)  # the IoU head's last layer


def test_equals_segment_anything_image_by_image():
    sam, net = original_sam(64, mask_tokens=3), head(3)
    net.load_state_dict(sam.state_dict(), strict=False)
    x = torch.randn(3, 256, 4, 4)
    boxes = torch.tensor([[3.0, 5, 30, 40], [10, 1, 60, 20], [0, 0, 63, 63]])
    position = sam['prompt_encoder'].get_dense_pe()

    def original(prompts):
        return torch.cat(
            [
                sam['mask_decoder'].predict_masks(x[i : i + 1], position, *prompts(i))[0]
                for i in range(3)
            ]
        )

    with torch.no_grad():
        want = original(lambda i: sam['prompt_encoder'](None, None, None))
        got = net((x,))
        assert got.shape == (3, 3, 16, 16)
        assert torch.allclose(got, want, atol=1e-4)
        want = original(lambda i: sam['prompt_encoder'](None, boxes[i : i + 1], None))
        assert torch.allclose(
            net.decode(x, *net.prompt_encoder(None, boxes, None)), want, atol=1e-4
        )
        assert not torch.allclose(got, want, atol=1e-2)
    assert torch.allclose(net.position_code(4, 4), position, atol=1e-5)


def test_the_last_feature_is_decoded_at_four_times_its_size():
    net = head(2, arch='lite', img_size=32)
    assert net((torch.rand(1, 9, 2, 2), torch.rand(2, 256, 8, 8))).shape == (2, 2, 32, 32)
    assert net.prompt_encoder.image_embedding_size == (8, 8)


def test_every_free_parameter_gets_a_gradient():
    net = head()
    net((torch.randn(2, 256, 4, 4),)).square().sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in net.parameters())


def test_layer_norms_of_the_decoder_have_eps_1e_5():
    transformer = head().mask_decoder.transformer
    eps = {m.eps for m in transformer.modules() if isinstance(m, torch.nn.LayerNorm)}
    assert eps == {1e-5}


def same(net, sam, name: str) -> bool:
    return torch.equal(net.state_dict()[name], sam.state_dict()[name])


@pytest.mark.parametrize('classes', [2, 4, 5])
def test_partial_load_takes_every_tensor_that_fits(tmp_path, classes):
    sam = save_sam(tmp_path / 'sam.pth')
    net = head(classes, checkpoint=str(tmp_path / 'sam.pth'))
    fits = classes == 4
    mlp = 'mask_decoder.output_hypernetworks_mlps.{}.layers.2.weight'
    assert same(net, sam, 'mask_decoder.iou_token.weight')
    assert same(net, sam, 'prompt_encoder.pe_layer.positional_encoding_gaussian_matrix')
    assert same(net, sam, 'mask_decoder.iou_prediction_head.layers.1.weight')
    assert all(same(net, sam, mlp.format(i)) for i in range(min(classes, 4)))
    assert same(net, sam, 'mask_decoder.mask_tokens.weight') == fits
    assert same(net, sam, 'mask_decoder.iou_prediction_head.layers.2.weight') == fits


def test_reinit_leaves_three_modules_random(tmp_path):
    sam = save_sam(tmp_path / 'sam.pth')
    net = head(4, checkpoint=str(tmp_path / 'sam.pth'), init='reinit')
    for name in (
        'mask_tokens.weight',
        'output_hypernetworks_mlps.0.layers.0.weight',
        'iou_prediction_head.layers.0.weight',
    ):
        assert not same(net, sam, f'mask_decoder.{name}')
    assert same(net, sam, 'mask_decoder.transformer.layers.0.self_attn.q_proj.weight')


def test_lora_in_the_decoder_freezes_its_transformer(tmp_path):
    sam = save_sam(tmp_path / 'sam.pth')
    plain = head(4, checkpoint=str(tmp_path / 'sam.pth'))
    net = head(4, checkpoint=str(tmp_path / 'sam.pth'), lora_rank=2)
    start = 'mask_decoder.transformer.'
    learning = {name for name, p in net.named_parameters() if p.requires_grad}
    layers = {name.split('.lora_')[0] for name in learning if name.startswith(start)}
    kinds = ('self_attn', 'cross_attn_token_to_image', 'cross_attn_image_to_token')
    attentions = [f'layers.{i}.{kind}' for i in range(2) for kind in kinds]
    attentions.append('final_attn_token_to_image')
    assert layers == {f'{start}{name}.{part}_proj' for name in attentions for part in 'qv'}
    outside = {
        name
        for name, p in plain.named_parameters()
        if p.requires_grad and not name.startswith(start)
    }
    assert {name for name in learning if not name.startswith(start)} == outside
    name = f'{start}layers.1.self_attn.q_proj'
    assert torch.equal(
        net.state_dict()[f'{name}.base_layer.weight'], sam.state_dict()[f'{name}.weight']
    )
    x = (torch.randn(2, 256, 4, 4),)
    zero = [not p.any() for name, p in net.named_parameters() if '.lora_B.' in name]
    assert zero and all(zero), 'B is zero at the start'
    torch.testing.assert_close(net(x), plain(x))
    net(x).square().sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in net.parameters())


def test_without_lora_the_names_are_those_of_sam():
    names = set(original_sam(64, mask_tokens=2).state_dict())
    assert set(head().state_dict()) == {n for n in names if not n.startswith('image_encoder')}


def test_bad_options_and_files_are_named(tmp_path):
    with pytest.raises(ValueError, match='init must be'):
        head(init='random')
    with pytest.raises(ValueError, match='lora_rank must be at least 1.*got 0'):
        head(lora_rank=0)
    torch.save({'x': torch.ones(1)}, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='holds no prompt encoder and mask decoder'):
        head(checkpoint=str(tmp_path / 'x.pth'))
