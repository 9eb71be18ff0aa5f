import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from mmssl.datasets.transforms.geometry import elastic_field
from mmssl.registry import TRANSFORMS

WEAK = [
    dict(type='RandomScaleCrop'),
    dict(type='RandomRotate'),
    dict(type='RandomHorizontalFlip'),
    dict(type='RandomElastic', side=96),
]
SIZE = 96


def run(pipeline, results, seed=0):
    results = dict(results, rng=np.random.default_rng(seed))
    for cfg in pipeline:
        results = TRANSFORMS.build(cfg)(results)
    return results


def smooth_image(channels=1, size=SIZE):
    noise = np.random.default_rng(1).random((size, size, channels)).astype(np.float32)
    img = cv2.GaussianBlur(noise, (0, 0), 3).reshape(size, size, channels)
    return ((img - img.min()) / np.ptp(img) * 255).astype(np.uint8)


def checkerboard(size=128, cell=16, margin=32):
    """Return 0/1 cells, background around them so that nothing but background comes in."""
    rows, columns = np.indices((size, size)) // cell
    board = ((rows + columns) % 2).astype(np.uint8)
    board[:margin] = board[-margin:] = board[:, :margin] = board[:, -margin:] = 0
    return board


@pytest.mark.parametrize('cfg', WEAK, ids=lambda cfg: cfg['type'])
def test_image_and_mask_move_together(cfg):
    gt, moved = checkerboard(), []
    for seed in range(10):
        out = run([dict(cfg, prob=1.0)], dict(img=gt[..., None] * 255, gt=gt), seed)
        assert ((out['img'][..., 0] >= 128) != out['gt']).mean() < 0.01
        assert out['img'].shape == (128, 128, 1)
        moved.append((out['gt'] != gt).mean())
    assert max(moved) > 0.05


@pytest.mark.parametrize('channels', [1, 3])
def test_draws_do_not_depend_on_the_mask_and_repeat(channels):
    img, gt = smooth_image(channels), smooth_image()[..., 0] // 128
    for seed in range(12):
        first = run(WEAK, dict(img=img, gt=gt), seed)
        assert (first['img'] == run(WEAK, dict(img=img), seed)['img']).all()
        assert (first['gt'] == run(WEAK, dict(img=img, gt=gt), seed)['gt']).all()
        assert (
            first['rng'].bit_generator.state
            == run(WEAK, dict(img=img), seed)['rng'].bit_generator.state
        )


def test_prepared_arrays_are_never_written_to():
    img, gt = smooth_image(), smooth_image()[..., 0] // 128
    img.flags.writeable = gt.flags.writeable = False
    for seed in range(12):
        run(WEAK, dict(img=img, gt=gt), seed)


@pytest.mark.parametrize('cfg', WEAK, ids=lambda cfg: cfg['type'])
def test_probability_is_honoured(cfg):
    img = smooth_image(size=32)
    assert all(
        (run([dict(cfg, prob=0.0)], dict(img=img), s)['img'] == img).all() for s in range(20)
    )
    changed = [(run([cfg], dict(img=img), seed)['img'] != img).any() for seed in range(200)]
    assert 0.38 < np.mean(changed) < 0.62


@pytest.mark.parametrize('cfg', [*WEAK, dict(type='RandomRotFlipRotate', rot_flip_prob=0)])
def test_grid_tells_where_the_mask_comes_from(cfg):
    img, gt = smooth_image(), smooth_image()[..., 0] // 16
    gate = dict(rotate_prob=1.0) if 'rot_flip_prob' in cfg else dict(prob=1.0)
    outside = []
    for seed in range(8):
        out = run([dict(type='TrackGeometry'), dict(cfg, **gate)], dict(img=img, gt=gt), seed)
        grid = out['grid'].astype(int)
        assert out['grid'].dtype == np.float32 and (out['grid'] == grid).all()
        inside = grid >= 0
        assert (gt.ravel()[grid[inside]] == out['gt'][inside]).all()
        assert (grid[~inside] == -1).all() and grid.max() < gt.size
        outside.append((~inside).mean())
        untracked = run([dict(cfg, **gate)], dict(img=img, gt=gt), seed)
        assert (untracked['img'] == out['img']).all() and (untracked['gt'] == out['gt']).all()
    moves_out = cfg['type'] not in ('RandomScaleCrop', 'RandomHorizontalFlip')
    assert max(outside) < 0.5 and (max(outside) > 0.01) == moves_out


def test_grid_follows_a_chain_and_starts_as_numbers():
    img, gt = smooth_image(), smooth_image()[..., 0] // 16
    start = run([dict(type='TrackGeometry')], dict(img=img, gt=gt))['grid']
    assert (start == np.arange(SIZE * SIZE).reshape(SIZE, SIZE)).all()
    for seed in range(8):
        out = run([dict(type='TrackGeometry'), *WEAK], dict(img=img, gt=gt), seed)
        inside = out['grid'] >= 0
        where = out['grid'][inside].astype(int)
        assert (gt.ravel()[where] == out['gt'][inside]).all()


def test_grid_of_a_huge_image_is_refused():
    img = np.broadcast_to(np.uint8(0), (4097, 4096, 1))
    with pytest.raises(ValueError, match='"a.png" of 4097x4096 has too many pixels'):
        TRANSFORMS.build(dict(type='TrackGeometry'))(dict(img=img, name='a.png'))


def test_missing_generator_is_named():
    transform = TRANSFORMS.build(WEAK[0])
    with pytest.raises(ValueError, match=r'Sample "03_11\.png" has no random generator'):
        transform(dict(img=smooth_image(), name='03_11.png'))


def test_scale_crop_equals_pillow():
    img, gt = smooth_image(3), smooth_image()[..., 0] // 100
    for seed in range(5):
        rng = np.random.default_rng(seed)
        rng.random()
        wide, high = int(rng.uniform(1, 1.5) * SIZE), int(rng.uniform(1, 1.5) * SIZE)
        left, top = rng.integers(wide - SIZE + 1), rng.integers(high - SIZE + 1)
        box = (left, top, left + SIZE, top + SIZE)
        out = run([dict(WEAK[0], prob=1.0)], dict(img=img, gt=gt), seed)
        expected = Image.fromarray(img).resize((wide, high), Image.Resampling.BILINEAR).crop(box)
        assert np.abs(out['img'].astype(int) - np.asarray(expected)).max() <= 1
        expected = Image.fromarray(gt).resize((wide, high), Image.Resampling.NEAREST).crop(box)
        assert (out['gt'] == np.asarray(expected)).all()


def test_scale_below_one_is_refused():
    with pytest.raises(ValueError, match='scale = '):
        TRANSFORMS.build(dict(type='RandomScaleCrop', scale=(0.9, 1.5)))


def test_rotation_equals_pillow():
    img, gt = smooth_image(), smooth_image()[..., 0] // 100
    angles = set()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        rng.random()
        angles.add(angle := int(rng.integers(-20, 20, endpoint=True)))
        if seed >= 12:
            continue
        out = run([dict(WEAK[1], prob=1.0)], dict(img=img, gt=gt), seed)
        expected = Image.fromarray(img[..., 0]).rotate(angle, Image.Resampling.BILINEAR)
        differs = np.abs(out['img'][..., 0].astype(int) - np.asarray(expected)) > 1
        assert differs.mean() < 0.03  # the outermost line of pixels fades out here, not in Pillow
        assert not differs[24:-24, 24:-24].any()
        expected = Image.fromarray(gt).rotate(angle, Image.Resampling.NEAREST, fillcolor=0)
        assert (out['gt'] != np.asarray(expected)).mean() < 0.002
    assert min(angles) == -20
    assert max(angles) == 20


def test_rotation_fills_image_and_mask():
    img, gt = np.full((64, 64, 3), 9, np.uint8), np.full((64, 64), 3, np.uint8)
    out = run([dict(WEAK[1], prob=1.0, img_fill=200, mask_fill=1)], dict(img=img, gt=gt), 5)
    assert out['img'][0, 0].tolist() == [200, 200, 200]
    assert out['gt'][0, 0] == 1
    assert out['gt'][32, 32] == 3


def test_flip_mirrors_columns():
    img, gt = smooth_image(), smooth_image()[..., 0] // 100
    out = run([dict(WEAK[2], prob=1.0)], dict(img=img, gt=gt))
    assert (out['img'] == img[:, ::-1]).all()
    assert (out['gt'] == gt[:, ::-1]).all()


def test_exact_elastic_field_is_scipys():
    noise = (
        np.random.default_rng(4).random((2, 48, 64), dtype=np.float32).astype(np.float64) * 2 - 1
    )
    field = elastic_field(np.random.default_rng(4), 48, 64, alpha=128, sigma=5.12, reduction=1)
    for plane, found in zip(noise, field, strict=True):
        expected = gaussian_filter(plane, 5.12, mode='constant', cval=0) * 128
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_elastic_samples_as_scipy_does():
    img, gt = smooth_image(3), smooth_image()[..., 0] // 100
    out = run([dict(WEAK[3], prob=1.0)], dict(img=img, gt=gt), 2)
    rng = np.random.default_rng(2)
    rng.random()
    dx, dy = elastic_field(rng, SIZE, SIZE, 2.0 * SIZE, 0.08 * SIZE)
    rows, columns = np.indices((SIZE, SIZE))
    where = np.stack([rows + dy, columns + dx])
    inside = ((where >= 0) & (where <= SIZE - 1)).all(0)
    far = ((where < -1) | (where > SIZE)).any(0)
    assert far.any()
    assert (out['img'][far] == 0).all()
    for c in range(3):
        expected = map_coordinates(img[..., c].astype(float), where, order=1)
        assert np.abs(out['img'][..., c] - expected)[inside].max() < 2
    expected = map_coordinates(gt, where, order=0, mode='nearest')
    assert (out['gt'] != expected).mean() < 0.002


@pytest.mark.parametrize('size', [384, 512])
def test_elastic_is_the_published_one_at_its_own_size_to_the_bit(size):
    """There alpha is a multiple of the height, for every size that a paper uses."""
    img, gt = smooth_image(3, size), smooth_image(size=size)[..., 0] // 100
    own = dict(type='RandomElastic', prob=1.0, alpha=2.0, sigma=0.08)
    out = run([own if size == 512 else dict(own, side=size)], dict(img=img, gt=gt), 3)
    rng = np.random.default_rng(3)
    rng.random()
    dx, dy = elastic_field(rng, size, size, 2.0 * size, 0.08 * size)
    rows, columns = np.indices((size, size), np.float32)
    where = dx + columns, dy + rows
    assert (out['img'] == cv2.remap(img, *where, cv2.INTER_LINEAR, borderValue=(0,) * 4)).all()
    expected = cv2.remap(gt, *where, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    assert (out['gt'] == expected).all()


def displacement(size, count=60, **options):
    """Return the root mean square of how far pixels move, as a part of the side."""
    rows, columns = np.indices((size, size), np.float32)
    inner = slice(size // 8, -size // 8)
    moved = []
    for seed in range(count):
        img = np.stack([columns, rows], -1)
        out = run([dict(type='RandomElastic', prob=1.0, **options)], dict(img=img), seed)['img']
        moved.append(((out - img)[inner, inner] ** 2).sum(-1).mean())
    return np.sqrt(np.mean(moved)) / size


@pytest.mark.parametrize('size', [64, 96, 128, 256])
def test_elastic_bends_images_of_every_size_alike(size):
    published = displacement(512, count=20)
    assert published == pytest.approx(0.0105, rel=0.15)
    assert displacement(size) == pytest.approx(published, rel=0.15)
    assert displacement(size, side=size) > 1.8 * published


def test_elastic_refuses_a_side_of_nothing():
    with pytest.raises(ValueError, match='side = 0: give the height in pixels'):
        TRANSFORMS.build(dict(type='RandomElastic', side=0))


def spread_and_correlation(fields, sigma):
    """Return the root mean square and the correlations at a distance of 1 and 2 sigma."""
    power = (fields**2).mean()
    lags = (round(sigma), round(2 * sigma))
    along = [(fields[:, :, lag:] * fields[:, :, :-lag]).mean() / power for lag in lags]
    across = [(fields[:, lag:] * fields[:, :-lag]).mean() / power for lag in lags]
    return np.sqrt(power), np.array(along + across)


@pytest.mark.parametrize(('size', 'count'), [(64, 200), (128, 100), (256, 40)])
def test_coarse_field_has_the_statistics_of_the_exact_one(size, count):
    alpha, sigma = 2.0 * size, 0.08 * size
    rng = np.random.default_rng(7)
    coarse, exact = (
        np.stack([m for _ in range(count) for m in elastic_field(rng, size, size, alpha, sigma, r)])
        for r in (8, 1)
    )
    (rms, correlation), (rms_exact, correlation_exact) = (
        spread_and_correlation(fields, sigma) for fields in (coarse, exact)
    )
    assert rms == pytest.approx(rms_exact, rel=0.05)
    np.testing.assert_allclose(correlation, correlation_exact, atol=0.04)
