import numpy as np
import pytest
from scipy.ndimage import rotate

from mmssl.registry import TRANSFORMS

RNG = np.random.default_rng(3)
SQUARE = RNG.integers(0, 256, (64, 64, 1), np.uint8)
WIDE = RNG.integers(0, 256, (41, 60, 3), np.uint8)


def run(seed, img, **options):
    transform = TRANSFORMS.build(dict(type='RandomRotFlipRotate', **options))
    results = dict(img=img, gt=img[..., 0] // 64, rng=np.random.default_rng(seed))
    results['grid'] = np.arange(img[..., 0].size, dtype=np.float32).reshape(img.shape[:2])
    return transform(results)


def reference(rng, image, fill, rot_flip_prob=0.5, rotate_prob=0.5, degrees=20):
    """SSL4MIS's random generator on one array, with the draws of `rng`."""
    if rng.random() < rot_flip_prob:
        turns, axis = rng.integers(4), rng.integers(2)
        return np.flip(np.rot90(image, turns), axis=axis)
    if rng.random() < rotate_prob:
        angle = rng.integers(-degrees, degrees)
        return rotate(image, angle, order=0, reshape=False, cval=fill)
    return image


@pytest.mark.parametrize('img', [SQUARE, WIDE], ids=['square', 'wide'])
def test_equals_scipy_and_numpy(img):
    kinds = set()
    for seed in range(60):
        out = run(seed, img)
        for key, source, fill in (
            ('img', img, 0),
            ('gt', img[..., 0] // 64, 0),
            ('grid', np.arange(img[..., 0].size, dtype=np.float32).reshape(img.shape[:2]), -1),
        ):
            expected = reference(np.random.default_rng(seed), source, fill)
            assert out[key].dtype == source.dtype and out[key].flags.c_contiguous
            np.testing.assert_array_equal(out[key], expected)
        kinds.add((out['img'].shape, (out['grid'] < 0).any(), out['grid'][0, 0] == 0))
    assert len(kinds) >= 3  # turned, rotated and untouched ones are among them


def test_every_angle_equals_scipy():
    shown = set()
    for seed in range(400):
        rng = np.random.default_rng(seed)
        rng.random(), rng.random()
        angle = int(rng.integers(-20, 20))
        if angle in shown:
            continue
        shown.add(angle)
        out = run(seed, SQUARE, rot_flip_prob=0, rotate_prob=1)
        expected = rotate(SQUARE[..., 0], angle, order=0, reshape=False)
        assert (out['img'][..., 0] == expected).all()
    assert shown == set(range(-20, 20))


def test_shares_are_the_published_ones():
    turned = rotated = 0
    for seed in range(2000):
        grid = run(seed, SQUARE[:9, :9])['grid']
        rotated += (grid < 0).any()
        turned += (grid >= 0).all() and (grid != np.arange(81).reshape(9, 9)).any()
    # A quarter turn with a flip is a reflection, so it never leaves the image as it is; every
    # angle but 0 moves a corner out.
    assert turned / 2000 == pytest.approx(0.5, abs=0.035)
    assert rotated / 2000 == pytest.approx(0.25 * 39 / 40, abs=0.03)


def test_draws_do_not_depend_on_mask_and_grid():
    transform = TRANSFORMS.build(dict(type='RandomRotFlipRotate'))
    for seed in range(20):
        alone = transform(dict(img=SQUARE, rng=np.random.default_rng(seed)))
        both = run(seed, SQUARE)
        assert (alone['img'] == both['img']).all() and set(alone) == {'img', 'rng'}
        assert alone['rng'].bit_generator.state == both['rng'].bit_generator.state


def test_prepared_arrays_are_never_written_to():
    img = SQUARE.copy()
    img.flags.writeable = False  # whoever writes to it raises
    for seed in range(12):
        run(seed, img)
    assert (img == SQUARE).all()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(rot_flip_prob=1.2), 'prob = 1.2: give'),
        (dict(rotate_prob=-1), 'prob = -1'),
        (dict(degrees=0), 'degrees = 0'),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        run(0, SQUARE, **options)
