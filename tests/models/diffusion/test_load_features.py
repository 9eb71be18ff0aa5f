import numpy as np
import pytest
from mmcv.transforms import Compose

from mmssl.datasets.transforms import RandomHorizontalFlip, TrackGeometry
from mmssl.models.diffusion import LoadDiffusionFeatures
from mmssl.models.diffusion.cache import FeatureCache
from mmssl.models.diffusion.features import FeatureSpec

SPEC = FeatureSpec((50, 150, 250), (2, 4), 0, 64, (-1.0, 1.0), 1, ((64, 16, 16), (64, 16, 16)))


@pytest.fixture
def cache(tmp_path):
    return FeatureCache.create(tmp_path, 'a' * 64, SPEC)


def sample(seed=0):
    img = np.random.default_rng(seed).integers(0, 256, (64, 64, 1), dtype=np.uint8)
    return dict(img=img, domain='A', name='x', rng=np.random.default_rng(0))


def test_maps_of_the_slice_come_with_the_view(cache):
    maps = np.random.default_rng(1).normal(size=SPEC.length).astype(np.float16)
    cache.write('A', 'x', maps, sample()['img'])
    steps = [LoadDiffusionFeatures(str(cache.folder)), TrackGeometry(), RandomHorizontalFlip(1.0)]
    results = Compose(steps)(sample())
    assert results['maps'].dtype == np.float16
    assert np.array_equal(results['maps'], maps)
    assert np.array_equal(results['img'], sample()['img'][:, ::-1])


def test_another_image_is_refused(cache):
    cache.write('A', 'x', np.zeros(SPEC.length, np.float16), sample()['img'])
    load = LoadDiffusionFeatures(str(cache.folder))
    with pytest.raises(ValueError, match='another image'):
        load(sample(1))
    with pytest.raises(ValueError, match='after a random transform'):
        load(RandomHorizontalFlip(1.0)(sample()))


def test_without_a_cache():
    assert 'maps' not in LoadDiffusionFeatures()(sample())
    with pytest.raises(FileNotFoundError, match='no feature cache in nowhere'):
        LoadDiffusionFeatures('nowhere')
