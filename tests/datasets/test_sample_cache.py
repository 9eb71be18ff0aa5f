"""The cache looks at the memory before it takes it."""

import numpy as np
import pytest

from mmssl.datasets import cache
from mmssl.datasets.cache import SampleCache, free_memory


def sample(index):
    return {'img': np.zeros(1000, dtype=np.uint8), 'name': str(index)}


@pytest.mark.parametrize('ranks, free, fits', [(1, 25e3, True), (1, 19e3, False), (2, 25e3, False)])
def test_what_does_not_fit_is_refused_with_the_way_out(monkeypatch, ranks, free, fits):
    monkeypatch.setattr(cache, 'free_memory', lambda: free)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', str(ranks))
    kept = SampleCache(True)
    if fits:
        kept.fill(20, sample)
        assert len(kept) == 20 and kept.num_bytes == 20e3
    else:
        with pytest.raises(ValueError, match='keep 20 samples .* are free.*: set cache=False'):
            kept.fill(20, sample)
        assert len(kept) == 0


def test_the_end_of_the_memory_is_explained(monkeypatch):
    def prepare(index):
        if index == 7:
            raise MemoryError
        return sample(index)

    with pytest.raises(ValueError, match='the memory ended: set cache=False'):
        SampleCache(True).fill(20, prepare)


def test_a_lazy_cache_stops_growing(monkeypatch):
    def fail(results):
        raise MemoryError

    kept = SampleCache('lazy')
    kept.put(0, sample(0))
    with monkeypatch.context() as patch:
        patch.setattr(cache, '_copy', fail)
        kept.put(1, sample(1))
    kept.put(2, sample(2))
    assert len(kept) == 1 and kept.get(0)['name'] == '0' and kept.get(1) is None


def test_free_memory_knows_limits(tmp_path, monkeypatch):
    assert 1e6 < free_memory() < 1e15
    (tmp_path / 'max').write_text('5000000\n')
    (tmp_path / 'stat').write_text('file 9999999\nanon 4000000\n')
    monkeypatch.setattr(
        cache, 'CGROUPS', ((str(tmp_path / 'max'), str(tmp_path / 'stat'), r'(?m)^anon (\d+)'),)
    )
    assert free_memory() == 1e6
    (tmp_path / 'max').write_text('max\n')
    assert free_memory() > 1e6
