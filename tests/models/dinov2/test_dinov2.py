import copy

import pytest
import torch

from mmssl.models.dinov2 import DINOv2
from tests.tiny import build

ARCH = dict(embed_dims=16, depth=4, num_heads=2, out_indices=(0, 1, 2, 3), grid=3)


def encoder(**options):
    torch.manual_seed(0)
    return DINOv2(**{'arch': ARCH, 'checkpoint': None, **options})


def test_maps_of_the_chosen_blocks_at_a_fourteenth_of_the_image():
    net = encoder(out_indices=(1, 3)).eval()
    maps = net(torch.rand(2, 3, 28, 42))
    assert [tuple(f.shape) for f in maps] == [(2, 16, 2, 3)] * 2


def test_a_grey_image_is_repeated():
    net, x = encoder().eval(), torch.rand(1, 1, 28, 28)
    for grey, colour in zip(net(x), net(x.repeat(1, 3, 1, 1)), strict=True):
        torch.testing.assert_close(grey, colour)


@pytest.mark.parametrize(
    'size, fix',
    [((256, 256), r'image_size of the data to 252.*NAME\.image=252'), ((28, 30), r'28')],
)
def test_a_size_that_is_no_multiple_of_14_is_named_with_the_nearest(size, fix):
    with pytest.raises(ValueError, match=rf'multiples of 14 pixels, got .*{size[1]}.*{fix}'):
        encoder()(torch.zeros(1, 3, *size))


def test_what_is_no_arch_or_has_no_published_weights_is_named():
    with pytest.raises(ValueError, match="one of vit_s, vit_b, vit_l or a dict, found 'vit_g'"):
        DINOv2('vit_g')
    with pytest.raises(ValueError, match='no published weights: take checkpoint=PATH or None'):
        DINOv2(ARCH)


def test_missing_weights_say_how_to_get_them_and_how_to_do_without(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('MMSSL_WEIGHTS', raising=False)
    net = encoder(checkpoint='dinov2_vitb14')
    with pytest.raises(FileNotFoundError) as error:
        net.init_weights()
    for part in ('dinov2_vitb14', '346 MB', 'download_weights.py', 'set checkpoint=None in the ba'):
        assert part in str(error.value)


def test_a_file_is_read_once_and_one_that_does_not_fit_is_refused(tmp_path):
    published = {name: torch.randn_like(x) for name, x in encoder().vit.state_dict().items()}
    published['mask_token'] = torch.zeros(1, 16)
    torch.save(published, tmp_path / 'weights.pth')
    net = encoder(checkpoint=str(tmp_path / 'weights.pth'))
    net.init_weights()
    state = net.vit.state_dict()
    assert all(torch.equal(state[name], published[name]) for name in state)
    net.vit.norm.weight.data.zero_()
    net.init_weights()  # of a model whose weights are there: a teacher's, or a resumed one
    assert not net.vit.norm.weight.any()
    wrong = encoder(arch=dict(ARCH, embed_dims=8), checkpoint=str(tmp_path / 'weights.pth'))
    with pytest.raises(ValueError, match=r'weights\.pth does not fit the configured arch: cls_tok'):
        wrong.init_weights()


def test_frozen_trains_nothing_of_it():
    def trained(**options):
        return [name for name, p in encoder(**options).named_parameters() if p.requires_grad]

    assert trained(frozen=True) == [] and trained() == list(encoder().state_dict())


def test_activations_computed_again_give_the_same_gradients():
    plain = encoder().train()
    again = copy.deepcopy(plain)
    again.with_cp = True
    x = torch.rand(2, 3, 28, 28)
    for net in (plain, again):
        sum(f.square().sum() for f in net(x)).backward()
    pairs = zip(plain.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a.grad, b.grad) for a, b in pairs)


def test_the_head_reaches_the_size_of_the_image_from_an_odd_grid():
    head = build(
        dict(
            type='DPTDecoderHead',
            in_channels=[16] * 4,
            num_classes=3,
            widths=(4, 5, 6, 7),
            channels=8,
        )
    )
    assert head(encoder()(torch.rand(2, 3, 42, 70))).shape == (2, 3, 42, 70)
    assert head.compiled_regions() == [head]
