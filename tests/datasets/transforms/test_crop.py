import numpy as np
import pytest

from mmssl.registry import TRANSFORMS


def crop(results, seed=0, **options):
    step = TRANSFORMS.build(dict(type='RandomCrop', **options))
    return step(dict(results, rng=np.random.default_rng(seed)))


def numbered(*shape):
    numbers = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(*shape, 1)
    return dict(img=numbers, gt=(numbers[..., 0] % 3).astype(np.uint8))


def test_the_place_is_uniform_over_all_that_fit():
    volume = numbered(5, 4, 6)
    found = [crop(volume, seed, size=(3, None, 4))['img'][0, 0, 0, 0] for seed in range(900)]
    places, counts = np.unique(found, return_counts=True)
    expected = volume['img'][:3, 0, :3, 0].ravel()
    assert places.tolist() == expected.tolist()
    assert counts.min() > 65 and counts.max() < 140


def test_a_patch_is_that_of_the_volume_and_has_memory_of_its_own():
    volume = numbered(5, 4, 6)
    out = crop(volume, size=(2, 3, 4))
    assert out['img'].shape == (2, 3, 4, 1) and out['img'].flags.owndata
    assert (out['gt'] == out['img'][..., 0] % 3).all()
    assert (np.diff(out['img'][..., 0], axis=2) == 1).all()


@pytest.mark.parametrize('pad, fill', [(-5.0, -5.0), ('min', 1.0), (0.0, 0.0)])
def test_a_smaller_volume_is_padded_on_both_sides(pad, fill):
    volume = numbered(3, 8, 2)
    out = crop(volume, size=(6, 4, 2), pad=pad)
    assert out['img'].shape == (6, 4, 2, 1) and out['gt'].shape == (6, 4, 2)
    assert (out['img'][[0, 4, 5]] == fill).all() and (out['gt'][[0, 4, 5]] == 0).all()
    assert (out['img'][1:4, ..., 0] % 3 == out['gt'][1:4]).all() and (out['img'][1:4] >= 1).all()


def test_the_margin_lets_a_volume_of_the_patchs_size_move():
    volume = numbered(4, 4, 4)
    at = set()
    for seed in range(60):
        img = crop(volume, seed, size=(4, 4, None), margin=1)['img'][..., 0]
        at.add(tuple(np.flatnonzero(img.any((1, 2)))))
    assert at == {(0, 1, 2), (0, 1, 2, 3), (1, 2, 3)}


def test_the_smallest_of_each_channel_pads_it():
    img = np.stack([np.full((2, 2, 2), 3.0), np.full((2, 2, 2), -4.0)], -1).astype(np.float32)
    out = crop(dict(img=img), size=(4, 2, 2), pad='min')['img']
    assert (out == [3.0, -4.0]).all()


def test_foreground_is_in_its_share_of_the_patches():
    gt = np.zeros((40, 40, 40), np.uint8)
    gt[2, 3, 4], gt[30:36, 30:36, 30:36] = 2, 1  # one voxel as likely as the 216 of the other
    volume = dict(img=np.zeros((40, 40, 40, 1), np.float32), gt=gt)
    seen = [
        tuple(np.unique(crop(volume, seed, size=(8, 8, 8), foreground=0.6)['gt']))
        for seed in range(400)
    ]
    small, large = np.mean([2 in s for s in seen]), np.mean([1 in s for s in seen])
    assert small == pytest.approx(0.3, abs=0.07) and large == pytest.approx(0.3, abs=0.12)


def test_a_case_without_foreground_is_cut_anywhere():
    volume = dict(numbered(5, 5, 5), gt=np.zeros((5, 5, 5), np.uint8))
    out = crop(volume, size=(2, 2, 2), foreground=1.0)
    assert (out['img'] == crop(volume, size=(2, 2, 2))['img']).all()


def test_an_image_of_two_axes():
    out = crop(numbered(6, 7), size=(9, 3))
    assert out['img'].shape == (9, 3, 1) and out['gt'].shape == (9, 3)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(size=(4, 4)), r'size = \(4, 4\), but the image "\?" is 5 x 5 x 5: give one side'),
        (dict(size=(4, 0, 4)), r'size = \(4, 0, 4\): give the sides'),
        (dict(size=(4, 4, 4), pad='max'), 'pad = "max": give a number, or "min"'),
        (dict(size=(4, 4, 4), margin=-1), 'margin = -1: give 0 or more'),
        (dict(size=(4, 4, 4), foreground=2), 'prob = 2: give a probability'),
    ],
)
def test_what_does_not_go_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        crop(numbered(5, 5, 5), **options)
