import subprocess
import sys

import numpy as np
import pytest

from mmssl.registry import TRANSFORMS


def build(transform, **options):
    return TRANSFORMS.build(dict(type='Monai', transform=transform, **options))


def sample(seed=0, shape=(10, 12, 8), **more):
    rng = np.random.default_rng(2)
    return dict(
        img=rng.standard_normal((*shape, 1)).astype(np.float32),
        gt=(rng.random(shape) < 0.3).astype(np.uint8),
        rng=np.random.default_rng(seed),
        **more,
    )


def test_equals_the_librarys_own_with_the_samples_draws():
    import torch
    from monai.transforms import RandGaussianNoised

    own = RandGaussianNoised(keys='img', prob=0.6, std=0.4)
    ours = build('RandGaussianNoised', prob=0.6, std=0.4)
    changed = 0
    for seed in range(6):
        given = sample(seed)
        own.set_random_state(state=np.random.RandomState(np.random.default_rng(seed).bit_generator))
        expected = own(dict(img=torch.from_numpy(np.moveaxis(given['img'], -1, 0).copy())))
        out = ours(sample(seed))['img']
        np.testing.assert_array_equal(out, np.moveaxis(np.asarray(expected['img']), 0, -1))
        changed += bool((out != given['img']).any())
    assert 0 < changed < 6


def test_parameters_do_not_hang_on_the_gate():
    """A gate at 0.2 still shows turns from the whole range, not the lowest fifth of them."""
    turn = build('RandAffined', prob=0.2, rotate_range=[(-0.5, 0.5), 0.0, 0.0])
    angles = []
    for seed in range(150):
        out = turn(dict(sample(seed, shape=(4, 4, 4)), affine=np.eye(4)))
        matrix = out['affine'][:3, :3]
        if not np.allclose(matrix, np.eye(3)):
            angles.append(np.arctan2(matrix[0, 1], matrix[0, 0]))
    assert 15 <= len(angles) <= 50
    assert min(angles) < -0.3 and max(angles) > 0.3 and abs(np.mean(angles)) < 0.15


def test_the_same_inside_a_compose():
    inner = dict(transform='RandAffined', prob=0.3, rotate_range=[(-0.5, 0.5), 0.0, 0.0])
    both = build('Compose', transforms=[inner, dict(transform='RandGaussianNoised', prob=0.5)])
    angles = []
    for seed in range(80):
        matrix = both(dict(sample(seed, shape=(4, 4, 4)), affine=np.eye(4)))['affine'][:3, :3]
        if not np.allclose(matrix, np.eye(3)):
            angles.append(np.arctan2(matrix[0, 1], matrix[0, 0]))
    assert min(angles) < -0.2 and max(angles) > 0.2


def test_a_zoom_changes_the_spacing():
    out = build('RandZoomd', prob=1.0, min_zoom=2.0, max_zoom=2.0, keep_size=True)(
        sample(spacing=(3.0, 1.0, 0.5))
    )
    assert out['spacing'] == pytest.approx((1.5, 0.5, 0.25))
    assert out['img'].shape == (10, 12, 8, 1) and out['gt'].shape == (10, 12, 8)


def test_an_orientation_is_that_of_the_affine():
    """The affine of the sample is what MONAI sees: (slice, row, column) of an RAS volume."""
    affine = np.diag([-1.0, 1.0, 2.0, 1.0])
    out = build('Orientationd', axcodes='SAR')(sample(affine=affine))
    np.testing.assert_array_equal(out['img'], sample()['img'][:, :, ::-1])
    np.testing.assert_array_equal(out['gt'], sample()['gt'][:, :, ::-1])


def test_an_image_of_bytes_stays_one():
    img = np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)
    noise = build('RandGaussianNoised', prob=1.0, std=30.0, sample_std=False)
    out = noise(dict(img=img, rng=np.random.default_rng(0)))['img']
    assert out.dtype == np.uint8 and out.shape == img.shape
    change = out.astype(int) - img
    assert 15 < change.std() < 35 and np.abs(change).max() < 200  # cut off, not wrapped around
    turned = build('RandZoomd', prob=1.0, min_zoom=1.5, max_zoom=1.5)
    assert turned(dict(img=img, rng=np.random.default_rng(0)))['img'].shape == img.shape


def test_a_list_of_options_for_image_and_mask_serves_unlabelled_samples_too():
    affine = build('RandAffined', prob=1.0, mode=['bilinear', 'nearest'])
    given = sample()
    del given['gt']
    assert set(affine(given)) == {'img', 'rng'}


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(transform='RandGaussianNoise'), 'no dictionary .* did you mean RandGaussianNoised?'),
        (dict(transform='RandGausianNoised'), 'did you mean RandGaussianNoised'),
        (dict(transform='zzz'), 'MONAI has no dictionary transform "zzz"; see'),
        (
            dict(transform='RandGaussianNoised', sigma=3),
            'RandGaussianNoised. does not take .* .sigma',
        ),
        (dict(transform='RandGaussianNoised', keys='image'), "keys = .'image'.: give some of img"),
        (
            dict(transform='OneOf', transforms=[dict(transform='RandNoise')]),
            'no dictionary transform "RandNoise"',
        ),
    ],
)
def test_a_wrong_config_is_refused_when_it_is_built(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_voxels_do_not_move_without_their_mask():
    alone = build('RandFlipd', keys='img', prob=1.0)
    with pytest.raises(ValueError, match=r"keys = \['img'\] moves voxels, but not .*'gt'"):
        alone(sample())
    unlabelled = sample()
    del unlabelled['gt']
    assert (alone(unlabelled)['img'] != sample()['img']).any()


def test_several_samples_of_one_are_refused():
    with pytest.raises(ValueError, match='made 2 samples of one'):
        build('RandSpatialCropSamplesd', roi_size=(4, 4, 4), num_samples=2)(sample())
    one = build('RandSpatialCropSamplesd', roi_size=(4, 4, 4), num_samples=1, random_size=False)
    assert one(sample())['gt'].shape == (4, 4, 4)


def test_monai_is_imported_when_it_is_used():
    code = (
        'import sys, mmssl.datasets.transforms\n'
        'from mmssl.utils.setup import register_all_modules\n'
        'register_all_modules()\n'
        'assert "monai" not in sys.modules'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
