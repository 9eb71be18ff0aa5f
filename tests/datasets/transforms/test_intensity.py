import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy.ndimage import correlate1d
from torchvision.transforms import functional as F

from mmssl.datasets.transforms.intensity import gaussian_blur, mean_grey
from mmssl.registry import TRANSFORMS


def images(seed):
    rng = np.random.default_rng(seed)
    top = int(rng.integers(20, 256))
    return rng.integers(0, top, (40, 50, 1), np.uint8), rng.integers(0, top, (40, 50, 3), np.uint8)


def pillow(img):
    return Image.fromarray(img[..., 0] if img.shape[2] == 1 else img)


@pytest.mark.parametrize('name', ['Brightness', 'Contrast'])
@pytest.mark.parametrize(('low', 'high'), [(0.1, 2.0), (0.5, 1.5)])
def test_equals_pillow_to_the_bit(name, low, high):
    transform = TRANSFORMS.build(dict(type=f'Random{name}', low=low, high=high))
    for seed in range(40):
        factor = np.random.default_rng(seed).uniform(low, high)
        for img in images(seed):
            expected = getattr(ImageEnhance, name)(pillow(img)).enhance(factor)
            out = transform(dict(img=img, rng=np.random.default_rng(seed)))['img']
            assert (out == np.asarray(expected).reshape(img.shape)).all()


def test_contrast_pivots_at_the_rounded_mean():
    img = np.array([[[10], [20]], [[30], [41]]], np.uint8)
    assert mean_grey(img) == 25
    transform = TRANSFORMS.build(dict(type='RandomContrast', low=2.0, high=2.0))
    out = transform(dict(img=img, rng=np.random.default_rng(0)))['img']
    assert out.ravel().tolist() == [0, 15, 35, 57]


def test_mean_grey_of_colours_is_pillows():
    for seed in range(20):
        img = images(seed)[1]
        grey = np.asarray(Image.fromarray(img).convert('L'))
        assert mean_grey(img) == int(grey.mean() + 0.5)


JITTER = dict(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.25)


def jittered(img, rng):
    """torchvision's ColorJitter with the draws of `rng`."""
    order, picture = rng.permutation(4), pillow(img)
    factors = [rng.uniform(0.5, 1.5) for _ in range(3)] + [rng.uniform(-0.25, 0.25)]
    for index in order:
        change = getattr(F, f'adjust_{list(JITTER)[index]}')
        picture = change(picture, factors[index])
    return np.asarray(picture).reshape(img.shape)


def test_jitter_equals_torchvision_to_the_bit():
    transform = TRANSFORMS.build(dict(type='ColorJitter', **JITTER))
    for seed in range(60):
        for img in images(seed):
            out = transform(dict(img=img, rng=np.random.default_rng(seed)))['img']
            assert (out == jittered(img, np.random.default_rng(seed))).all()


def test_jitter_leaves_out_what_has_no_strength():
    grey, colour = images(1)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        out = TRANSFORMS.build(dict(type='ColorJitter'))(dict(img=colour, rng=rng))
        assert out['img'] is colour
        hue = TRANSFORMS.build(dict(type='ColorJitter', saturation=0.5, hue=0.25))
        assert hue(dict(img=grey, rng=rng))['img'] is grey
        assert (hue(dict(img=colour, rng=rng))['img'] != colour).any()


def test_jitter_factor_is_never_negative():
    transform = TRANSFORMS.build(dict(type='ColorJitter', brightness=3.0, key='view'))
    assert transform.ranges['brightness'] == (0.0, 4.0)
    out = transform(dict(view=images(0)[0], rng=np.random.default_rng(0)))
    assert set(out) == {'view', 'rng'}


@pytest.mark.parametrize(('name', 'value'), [('contrast', -0.1), ('hue', 0.6)])
def test_jitter_refuses_impossible_strengths(name, value):
    with pytest.raises(ValueError, match=f'{name} = {value}: give'):
        TRANSFORMS.build({'type': 'ColorJitter', name: value})


@pytest.mark.parametrize('sigma', [0.1, 0.35, 0.5, 1.0, 1.6, 2.0])
@pytest.mark.parametrize('channels', [1, 3])
def test_blur_equals_the_kernel_of_51_taps(sigma, channels):
    rng = np.random.default_rng(3)
    img = rng.choice(np.array([0, 255], np.uint8), (96, 80, channels))
    kernel = np.exp(-(np.arange(-25, 26) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    expected = correlate1d(correlate1d(img.astype(float), kernel, 0, mode='mirror'), kernel, 1,
                           mode='mirror')  # fmt: skip
    out = gaussian_blur(img, sigma, max_taps=51)
    assert out.shape == img.shape
    assert np.abs(out - expected).max() < 0.55  # half a level is the rounding
    assert np.abs(out - np.floor(expected)).max() <= 1


def test_blur_kernel_is_a_tenth_of_the_image():
    img = np.zeros((40, 40, 1), np.uint8)
    img[20, 20] = 255
    transform = TRANSFORMS.build(dict(type='GaussianBlur', sigma=(2.0, 2.0)))
    out = transform(dict(img=img, rng=np.random.default_rng(0)))['img'][..., 0]
    rows, columns = np.nonzero(out)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (18, 22, 18, 22)  # 5 taps


def test_blur_widths_cover_the_range():
    transform = TRANSFORMS.build(dict(type='GaussianBlur', sigma=(0.1, 2.0)))
    img = np.zeros((256, 256, 1), np.uint8)
    img[128, 128] = 255
    peaks = [
        int(transform(dict(img=img, rng=np.random.default_rng(seed)))['img'].max())
        for seed in range(50)
    ]
    assert max(peaks) > 250
    assert min(peaks) < 15


@pytest.mark.parametrize('kind', ['RandomBrightness', 'RandomContrast'])
def test_range_in_the_wrong_order_is_refused(kind):
    with pytest.raises(ValueError, match=r'\(low, high\) = \(2.0, 0.1\)'):
        TRANSFORMS.build(dict(type=kind, low=2.0, high=0.1))


def volume(channels=2):
    img = np.random.default_rng(4).standard_normal((20, 22, 18, channels)).astype(np.float32)
    return img * [1, 3][:channels] + [0, 5][:channels]


def change(img, seed=0, **cfg):
    img = img.astype(np.float32)
    return TRANSFORMS.build(cfg)(dict(img=img, rng=np.random.default_rng(seed)))['img']


def test_brightness_and_contrast_of_floats_are_lines_that_are_not_cut_off():
    img = volume()
    bright = change(img, type='RandomBrightness', low=3.0, high=3.0)
    np.testing.assert_allclose(bright, 3 * img, rtol=1e-5, atol=1e-5)
    contrast = change(img, type='RandomContrast', low=2.0, high=2.0)
    mean = img.mean((0, 1, 2))
    np.testing.assert_allclose(contrast, mean + 2 * (img - mean), rtol=1e-4, atol=1e-4)
    assert bright.dtype == contrast.dtype == np.float32


def test_a_volume_is_blurred_along_every_axis():
    spot = np.zeros((21, 21, 21, 1), np.float32)
    spot[10, 10, 10] = 1
    out = change(spot, type='GaussianBlur', sigma=(1.5, 1.5), kernel=1.0)[..., 0]
    places = np.arange(21) - 10
    for axes in ((1, 2), (0, 2), (0, 1)):
        assert (out.sum(axes) * places**2).sum() == pytest.approx(1.5**2, rel=0.02)
    assert out.sum() == pytest.approx(1, rel=1e-4)
    flat = np.ones((9, 9, 9, 2), np.float32) * np.float32([1, 2])
    np.testing.assert_allclose(
        change(flat, type='GaussianBlur', sigma=(2.0, 2.0), kernel=1.0), flat, rtol=1e-5
    )


@pytest.mark.parametrize('axes', [2, 3])
def test_a_blur_can_have_a_width_for_each_axis(axes):
    spot = np.zeros((41,) * axes + (1,), np.float32)
    spot[(20,) * axes] = 1
    places = np.arange(41) - 20
    cfg = dict(type='GaussianBlur', sigma=(0.5, 3.0), kernel=1.0, each_axis=True)
    out = change(spot, 3, **cfg).reshape(spot.shape[:-1])
    widths = np.random.default_rng(3).uniform(0.5, 3.0, axes)
    for axis, width in enumerate(widths):
        others = tuple(other for other in range(axes) if other != axis)
        assert (out.sum(others) * places**2).sum() == pytest.approx(width**2, rel=0.03)


def test_noise_has_its_deviation_and_its_limit():
    img = volume(1)
    noise = change(img, type='RandomNoise', std=(0.5, 0.5)) - img
    assert noise.std() == pytest.approx(0.5, rel=0.03) and abs(noise.mean()) < 0.02
    cut = change(img, type='RandomNoise', std=(0.1, 0.1), limit=2.0) - img
    assert np.abs(cut).max() == pytest.approx(0.2, rel=1e-3)
    std = [
        (change(img, seed, type='RandomNoise', std=(0.0, 0.4)) - img).std() for seed in range(60)
    ]
    assert min(std) < 0.05 and max(std) > 0.35


def test_gamma_is_monais():
    """MONAI's AdjustContrast with `retain_stats` is nnU-Net's, here for each channel."""
    import torch
    from monai.transforms import AdjustContrast

    img = volume()
    for invert in (False, True):
        out = change(img, type='RandomGamma', gamma=(1.4, 1.4), invert=float(invert))
        for channel in range(2):
            own = AdjustContrast(1.4, invert_image=invert, retain_stats=True)
            expected = own(torch.from_numpy(img[..., channel].astype(np.float32))[None])[0]
            np.testing.assert_allclose(out[..., channel], expected, rtol=2e-3, atol=2e-3)


def test_gamma_bends_up_as_often_as_down():
    ramp = np.linspace(0, 1, 1000, dtype=np.float32).reshape(10, 10, 10, 1)
    cfg = dict(type='RandomGamma', gamma=(0.7, 1.5), keep_stats=False)
    powers = [
        np.log(change(ramp, seed, **cfg).flat[500]) / np.log(ramp.flat[500]) for seed in range(200)
    ]
    assert 0.7 <= min(powers) < 0.75 and 1.4 < max(powers) <= 1.5001
    assert np.mean(np.array(powers) < 1) == pytest.approx(0.5, abs=0.1)


def test_a_signed_gamma_bends_magnitudes_evenly_on_a_log_scale():
    img = np.float32([-4, -1, -0.25, 0, 0.25, 1, 4, 100]).reshape(2, 2, 2, 1)
    cfg = dict(type='RandomGamma', gamma=(0.5, 2.0), signed=True, keep_stats=False)
    for seed in range(20):
        power = np.exp(np.random.default_rng(seed).uniform(np.log(0.5), np.log(2)))
        expected = np.sign(img) * np.abs(img) ** power
        np.testing.assert_allclose(change(img, seed, **cfg), expected, rtol=1e-4)


def test_a_flat_channel_stays_finite():
    flat = np.full((4, 4, 4, 1), 2.0, np.float32)
    np.testing.assert_allclose(change(flat, type='RandomGamma'), flat, atol=1e-5)


def test_noise_and_gamma_ask_for_floats():
    for name in ('RandomNoise', 'RandomGamma'):
        with pytest.raises(ValueError, match=f'{name} changes floats, but "img" of .* is uint8'):
            step = TRANSFORMS.build(dict(type=name))
            step(dict(img=np.zeros((4, 4, 1), np.uint8), rng=np.random.default_rng(0)))
