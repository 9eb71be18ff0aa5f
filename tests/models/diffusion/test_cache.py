import json
from dataclasses import replace

import numpy as np
import pytest

from mmssl.models.diffusion.cache import FeatureCache, image_crc32
from mmssl.models.diffusion.features import FeatureSpec

SPEC = FeatureSpec((5, 40), (0, 1), 0, 8, (-1.0, 1.0), 1, ((2, 4, 4), (3, 8, 8)))
MODEL = 'a' * 64


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 1), dtype=np.uint8)


def vector(seed=0):
    return np.random.default_rng(seed).normal(size=SPEC.length).astype(np.float16)


@pytest.fixture
def cache(tmp_path):
    return FeatureCache.create(tmp_path / 'cache', MODEL, SPEC)


def test_what_is_written_is_read(cache):
    cache.write('siteA', 'benign (1)', vector(), picture())
    again = FeatureCache(cache.folder)
    assert (again.model, again.spec) == (MODEL, SPEC)
    found = again.read('siteA', 'benign (1)', picture())
    assert found.dtype == np.float16
    assert np.array_equal(found, vector())
    assert cache.path('siteA', 'benign (1)').name == 'benign (1).safetensors'
    assert cache.slice_bytes == vector().nbytes
    files = sorted(p.relative_to(cache.folder).as_posix() for p in cache.folder.rglob('*.*'))
    assert files == ['meta.json', 'siteA/benign (1).safetensors']


def test_names_stay_in_the_folder_and_apart(cache):
    paths = {cache.path('A', name) for name in ('a/b', 'a%2Fb', '../b', 'a_b')}
    assert len(paths) == 4
    assert all(path.parent == cache.folder / 'A' for path in paths)


def test_has_asks_for_this_very_image(cache):
    assert not cache.has('A', 'x', picture())
    cache.write('A', 'x', vector(), picture())
    assert cache.has('A', 'x', picture())
    assert not cache.has('A', 'x', picture(1))
    cache.path('A', 'x').write_bytes(cache.path('A', 'x').read_bytes()[:-3])
    assert not cache.has('A', 'x', picture())


def test_faults_of_a_file_are_one_line(cache):
    with pytest.raises(FileNotFoundError, match='no slice "x" of domain "A".*Run tools/extract'):
        cache.read('A', 'x', picture())
    cache.write('A', 'x', vector(), picture())
    with pytest.raises(ValueError, match='computed from another image .*checksum') as error:
        cache.read('A', 'x', picture(1))
    assert '\n' not in str(error.value)
    cache.path('A', 'x').write_bytes(b'')
    with pytest.raises(ValueError, match='x.safetensors is damaged'):
        cache.read('A', 'x', picture())


def test_checksum_knows_the_shape_and_only_8_bit():
    image = picture()
    assert image_crc32(image) == image_crc32(np.asfortranarray(image))
    assert image_crc32(image) != image_crc32(image.reshape(4, 16, 1))
    with pytest.raises(TypeError, match='float32'):
        image_crc32(image.astype(np.float32))


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        (dict(steps=(5, 50)), r'steps \[5, 40\], not \[5, 50\]'),
        (dict(blocks=(0, 2)), r'blocks \[0, 1\], not \[0, 2\]'),
        (dict(noise_seed=1), 'noise_seed 0, not 1'),
        (dict(image_size=16), 'image_size 8, not 16'),
        (dict(input_range=(0.0, 1.0)), r'input_range \[-1.0, 1.0\], not \[0.0, 1.0\]'),
        (dict(shapes=((2, 4, 4), (4, 8, 8))), 'shapes'),
        (dict(interpolation='nearest'), 'interpolation'),
        (dict(timesteps=100), 'timesteps 1000, not 100'),
        (dict(in_channels=3), 'in_channels 1, not 3'),
    ],
)
def test_other_options_are_refused(cache, changes, text):
    with pytest.raises(ValueError, match=f'holds other features than configured: {text}') as error:
        FeatureCache.create(cache.folder, MODEL, replace(SPEC, **changes))
    assert '\n' not in str(error.value)


def test_another_model_is_refused(cache):
    with pytest.raises(ValueError, match='model aaaaaaaaaaaa..., not bbbbbbbbbbbb'):
        FeatureCache.create(cache.folder, 'b' * 64, SPEC)
    FeatureCache.create(cache.folder, MODEL, SPEC)


def test_a_missing_or_damaged_cache_is_named(tmp_path, cache):
    with pytest.raises(FileNotFoundError, match='no feature cache in .*nowhere.*CONFIG --out'):
        FeatureCache(tmp_path / 'nowhere')
    meta = json.loads((cache.folder / 'meta.json').read_text())
    del meta['shapes']
    for text in ('{', '[]', json.dumps(meta), '{}'):
        (cache.folder / 'meta.json').write_text(text)
        with pytest.raises(ValueError, match=r'meta\.json is damaged'):
            FeatureCache(cache.folder)
