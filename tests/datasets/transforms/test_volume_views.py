"""What every random transform of volumes keeps to."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from mmssl.registry import TRANSFORMS

ROOT = Path(__file__).parents[3]
SHAPE = (12, 14, 9)
MOVING = [
    dict(type='RandomCrop', size=(8, 16, None)),
    dict(type='RandomCrop', size=(6, 6, 6), foreground=0.5, pad='min', margin=2),
    dict(type='RandomFlip', axes=(0, 1, 2)),
    dict(type='RandomQuarterTurn'),
    dict(type='RandomRotFlipRotate'),
    dict(type='Monai', transform='RandAffined', prob=0.7, rotate_range=[0.4, 0.4, 0.4]),
    dict(
        type='Monai',
        transform='Rand3DElasticd',
        prob=0.7,
        sigma_range=(2, 3),
        magnitude_range=(10, 40),
    ),
    dict(type='Monai', transform='RandZoomd', prob=0.7, min_zoom=0.7, max_zoom=1.4),
    dict(type='Monai', transform='RandRotate90d', prob=0.7, spatial_axes=(0, 2)),
]
STAYING = [
    dict(type='RandomNoise', prob=0.7, limit=2.0),
    dict(type='RandomGamma', prob=0.7, invert=0.5),
    dict(type='RandomGamma', prob=0.7, invert=0.5, signed=True),
    dict(type='RandomBrightness', low=0.5, high=1.5),
    dict(type='RandomContrast', low=0.5, high=1.5),
    dict(type='GaussianBlur', kernel=1.0),
    dict(type='GaussianBlur', kernel=1.0, each_axis=True),
    dict(type='ColorJitter', brightness=0.5, contrast=0.5, saturation=0.5, hue=0.2),
    dict(type='Monai', transform='RandGaussianNoised', prob=0.7),
    dict(
        type='Monai',
        transform='OneOf',
        transforms=[
            dict(transform='RandGaussianSmoothd', prob=1.0),
            dict(
                transform='Compose',
                transforms=[
                    dict(transform='RandScaleIntensityd', factors=0.3, prob=0.7),
                    dict(transform='RandBiasFieldd', prob=0.7),
                ],
            ),
        ],
    ),
    dict(type='StrongView', transforms=[dict(type='Monai', transform='RandGibbsNoised')]),
]


def names(cfgs):
    return [f'{n}-{cfg.get("transform", cfg["type"])}' for n, cfg in enumerate(cfgs)]


def sample(seed=0, channels=2, labelled=True):
    """A sample as the cache hands it out: its arrays cannot be written."""
    rng = np.random.default_rng(11)
    results = dict(
        img=rng.standard_normal((*SHAPE, channels)).astype(np.float32),
        spacing=(2.0, 1.0, 0.5),
        affine=np.diag([0.5, 1.0, 2.0, 1.0]),
    )
    if labelled:
        results['gt'] = (rng.random(SHAPE) < 0.2).astype(np.uint8) * rng.integers(1, 4, SHAPE)
        results['gt'] = results['gt'].astype(np.uint8)
    for array in results.values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return dict(results, rng=np.random.default_rng(seed))


def views(results):
    return {k: v for k, v in results.items() if isinstance(v, np.ndarray) and k != 'affine'}


def same(one, other):
    assert set(one) == set(other)
    for key, array in one.items():
        np.testing.assert_array_equal(array, other[key])


@pytest.mark.parametrize('cfg', MOVING + STAYING, ids=names(MOVING + STAYING))
def test_a_draw_is_a_function_of_its_seed_alone(cfg):
    """Neither the order, nor a fork, nor threads, nor the global generators matter."""
    transform = TRANSFORMS.build(cfg)
    seeds = range(8)
    in_order = [views(transform(sample(seed))) for seed in seeds]
    assert any((one['img'].shape != SHAPE + (2,)) for one in in_order) or any(
        any((view != sample()['img']).any() for view in one.values() if view.ndim == 4)
        for one in in_order
    )
    again = pickle.loads(pickle.dumps(transform))
    np.random.random()  # noqa: NPY002
    for seed in reversed(seeds):
        same(views(again(sample(seed))), in_order[seed])
    with ThreadPoolExecutor(4) as pool:
        for seed, one in enumerate(pool.map(lambda seed: transform(sample(seed)), seeds)):
            same(views(one), in_order[seed])


@pytest.mark.parametrize('cfg', MOVING + STAYING, ids=names(MOVING + STAYING))
def test_arrays_of_the_cache_are_left_alone(cfg):
    transform = TRANSFORMS.build(cfg)
    for seed in range(6):
        given = sample(seed)
        kept = dict(given)
        out = transform(given)
        for key in ('img', 'gt'):
            np.testing.assert_array_equal(kept[key], sample()[key])
            assert out[key].dtype == kept[key].dtype
        assert out['img'].shape[:3] == out['gt'].shape
        assert set(np.unique(out['gt'])) <= set(range(4))


@pytest.mark.parametrize('cfg', MOVING, ids=names(MOVING))
def test_an_image_and_its_mask_move_together(cfg):
    """The image shows the classes themselves, so it has to look like the mask afterwards."""
    transform = TRANSFORMS.build(cfg)
    moved = 0
    for seed in range(8):
        grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing='ij')).sum(0)
        gt = ((grid // 4) % 2).astype(np.uint8)
        given = dict(img=gt[..., None].astype(np.float32), gt=gt, rng=np.random.default_rng(seed))
        out = transform(given)
        moved += out['gt'].shape != SHAPE or bool((out['gt'] != gt).any())
        sharp = np.abs(out['img'][..., 0] - 0.5) > 0.49  # not between two voxels
        assert sharp.mean() > 0.03
        assert ((out['img'][..., 0] > 0.5) == out['gt'])[sharp].mean() > 0.98
    assert moved


@pytest.mark.parametrize('cfg', MOVING, ids=names(MOVING))
def test_an_unlabelled_volume_looks_as_with_its_mask(cfg):
    if cfg.get('foreground'):
        pytest.skip('looks at the mask on purpose')
    transform = TRANSFORMS.build(cfg)
    for seed in range(4):
        one, other = transform(sample(seed)), transform(sample(seed, labelled=False))
        np.testing.assert_array_equal(one['img'], other['img'])
        assert 'gt' not in other


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='RandomCrop', size=(8, 16, 5)),
        dict(type='RandomFlip', axes=(0, 1, 2)),
        dict(type='RandomQuarterTurn', axes=(0, 1)),
        dict(type='RandomQuarterTurn', axes=(2, 1), flip=False),
        dict(type='Monai', transform='RandRotate90d', prob=1.0, spatial_axes=(0, 2)),
        dict(type='Monai', transform='RandFlipd', prob=1.0, spatial_axis=1),
    ],
    ids=lambda cfg: cfg.get('transform', cfg['type']),
)
def test_affine_and_spacing_follow_the_voxels(cfg):
    """Every voxel keeps its place in the world and its value."""
    transform = TRANSFORMS.build(cfg)
    affine = np.array([[0.5, 0, 0.1, 3], [0, 1, 0, -2], [-0.1, 0, 2, 5], [0, 0, 0, 1]])
    for seed in range(6):
        given = dict(sample(seed, channels=1), affine=affine, spacing=(2.0, 1.0, 0.5))
        source = given['img']
        out = transform(given)
        back = np.linalg.inv(affine) @ out['affine']
        places = np.argwhere(np.ones(out['img'].shape[:3], bool))
        homogeneous = np.c_[places[:, ::-1], np.ones(len(places))] @ back.T
        old = np.rint(homogeneous[:, 2::-1]).astype(int)
        inside = ((old >= 0) & (old < SHAPE)).all(1)
        assert inside.mean() > 0.3
        np.testing.assert_array_equal(
            out['img'][tuple(places[inside].T)], source[tuple(old[inside].T)]
        )
        sizes = np.linalg.norm(np.linalg.inv(affine)[:3, :3] @ out['affine'][:3, :3], axis=1)
        assert np.allclose(sizes, 1)
        turned = np.abs(back[:3, :3])[::-1, ::-1]
        assert out['spacing'] == pytest.approx(tuple(np.array([2.0, 1.0, 0.5]) @ turned))


@pytest.mark.parametrize(
    'name, instead',
    [
        ('RandomElastic', r'Monai\(Rand3DElasticd\)'),
        ('RandomRotate', r'Monai\(RandAffined\)'),
        ('RandomScaleCrop', r'RandomCrop or Monai\(RandZoomd\)'),
        ('RandomCutout', r'Monai\(RandCoarseDropoutd\)'),
        ('TrackGeometry', 'slice'),
    ],
)
def test_a_transform_of_pictures_names_that_of_volumes(name, instead):
    step = TRANSFORMS.build(dict(type=name, **({} if name == 'TrackGeometry' else {'prob': 1.0})))
    with pytest.raises(ValueError, match=f'{name} changes pictures, .* volume of 12 x 14 x 9 .*'):
        step(sample())
    with pytest.raises(ValueError, match=instead):
        step(sample())


def test_the_view_of_nnunet():
    """Every step acts on patches of any channels, and on some of them only."""
    view = Config.fromfile(ROOT / 'configs/_base_/views/nnunet_3d.py').nnunet_view
    steps = [TRANSFORMS.build(cfg) for cfg in view]
    acted = np.zeros(len(steps))
    for seed in range(200):
        results = sample(seed)
        for n, step in enumerate(steps):
            before = results['img']
            results = step(results)
            acted[n] += results['img'].shape == before.shape and (results['img'] != before).any()
        assert results['img'].shape == (*SHAPE, 2) and results['img'].dtype == np.float32
        assert np.isfinite(results['img']).all() and results['gt'].max() <= 3
    expected = [0.2, 0.2, 0.1, 0.1, 0.15, 0.15, 0.125, 0.1, 0.3, 0.875]
    assert acted / 200 == pytest.approx(expected, abs=0.08)


def test_the_strong_view_of_left_atrium_moves_few_intensities_far():
    """The released view moves the mean of such volumes by 0.2 in the median, a range gamma by 1."""
    rng = np.random.default_rng(5)
    img = rng.gamma(1.0, 1.0, (24, 24, 16, 1)).astype(np.float32) - 1  # skewed, mean 0, variance 1
    view = Config.fromfile(ROOT / 'configs/_base_/views/strong_volumes.py').strong_view
    step = TRANSFORMS.build(dict(type='StrongView', transforms=view))
    shifts, ratios = [], []
    for seed in range(80):
        out = step(dict(img=img, rng=np.random.default_rng(seed)))['img_strong']
        shifts.append(abs(float(out.mean() - img.mean())))
        ratios.append(float(out.std() / img.std()))
    assert 0.02 < np.median(shifts) < 0.35
    assert min(ratios) < 0.8 and 1.5 < max(ratios) and 0.6 < np.median(ratios) < 1.4
