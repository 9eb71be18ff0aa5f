import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmssl.models.diffusion.projection import Projection, principal_components, sample_pixels

SIZE = 16


def block_maps(count=2, seed=0):
    """Maps of two steps, each with blocks of 4, 4 and 8 px and 3, 5 and 2 channels."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, 4, 4), (5, 4, 4), (2, 8, 8)] * 2
    return [torch.randn(count, *shape, generator=generator) for shape in shapes]


def resized(maps):
    """Return what the published code makes: all maps at the image's size, one tensor."""
    return torch.cat([F.interpolate(m, size=(SIZE, SIZE), mode='bilinear') for m in maps], 1)


def ready(kind='learned', out_dim=4, **options):
    projection = Projection(out_dim, kind, **options)
    projection.materialise(20)
    return projection


def test_projecting_first_gives_what_projecting_last_gives():
    projection, maps = ready(), block_maps()
    with torch.no_grad():
        projection.bias.normal_()
    y = projection(maps, SIZE)
    z = F.conv2d(resized(maps), projection.weight, projection.bias)
    assert y.shape == (2, 4, SIZE, SIZE)
    torch.testing.assert_close(y, z, atol=1e-5, rtol=0)
    g = torch.randn_like(y)
    own = torch.autograd.grad((y * g).sum(), list(projection.parameters()))
    other = torch.autograd.grad((z * g).sum(), list(projection.parameters()))
    for one, two in zip(own, other, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_nothing_of_the_size_of_all_channels_is_made():
    """The largest tensor on the way is a map or the result, not all channels at full size."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for value in out if isinstance(out, list | tuple) else (out,):
                if torch.is_tensor(value):
                    type(self).numbers = max(self.numbers, value.numel())
            return out

    projection, maps = ready(), block_maps(1)
    with Largest():
        projection(maps, SIZE)
    assert max(4 * SIZE**2, *(m.numel() for m in maps)) == Largest.numbers < 20 * SIZE**2


def test_learned_weights_are_parameters_others_are_not():
    assert {n for n, _ in ready('learned').named_parameters()} == {'weight', 'bias'}
    for kind in ('random', 'pca'):
        projection = ready(kind)
        assert list(projection.parameters()) == []
        assert set(projection.state_dict()) == {'weight', 'bias', 'ready'}


def test_random_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    one = ready('random', seed=3)
    state = torch.get_rng_state()
    two = ready('random', seed=3)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(one.weight, two.weight)
    assert not torch.equal(one.weight, ready('random', seed=4).weight)
    assert one.weight.abs().max() <= 20**-0.5 < 1.1 * one.weight.abs().max()


def test_shape_comes_from_a_checkpoint():
    full, empty = ready('learned', seed=5), Projection(4, 'learned')
    assert list(empty.parameters()) == []
    empty.load_state_dict(full.state_dict(), strict=True)
    assert torch.equal(empty(block_maps(), SIZE), full(block_maps(), SIZE))
    assert empty.weight.requires_grad
    fitted = Projection(2, 'pca')
    fitted.fit(torch.randn(50, 20))
    again = Projection(2, 'pca')
    again.load_state_dict(fitted.state_dict(), strict=True)
    assert again.is_ready
    assert torch.equal(again.weight, fitted.weight)


@pytest.mark.parametrize(
    ('projection', 'text'),
    [
        (Projection(4, 'learned'), r'neck\.model.*cache_dir'),
        (Projection(4, 'pca'), 'FitProjectionHook'),
        (ready('pca'), 'FitProjectionHook'),
    ],
)
def test_without_weights_there_is_no_result(projection, text):
    with pytest.raises(RuntimeError, match=text):
        projection(block_maps(), SIZE)


def test_bad_options():
    with pytest.raises(ValueError, match='projection=.mean. is not known'):
        Projection(4, 'mean')
    with pytest.raises(ValueError, match='out_dim=30 principal components of 20 channels'):
        ready('pca', out_dim=30)
    with pytest.raises(ValueError, match='4 principal components need more than 4 samples'):
        Projection(4, 'pca').fit(torch.randn(4, 20))


def test_result_is_float32_under_autocast():
    projection, maps = ready(), block_maps()
    with torch.autocast('cpu', torch.bfloat16):
        y = projection([m.half() for m in maps], SIZE)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, projection(maps, SIZE), atol=2e-3, rtol=0)


def test_principal_components_against_singular_values():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)) + 5
    mean, axes = principal_components(torch.from_numpy(x), 3)
    _, _, vt = np.linalg.svd(x - x.mean(0), full_matrices=False)
    np.testing.assert_allclose(mean, x.mean(0))
    for axis, wanted in zip(axes.numpy(), vt[:3], strict=True):
        sign = np.sign(wanted[np.abs(wanted).argmax()])
        np.testing.assert_allclose(axis, sign * wanted, atol=1e-9)


def test_fitted_features_are_centred_uncorrelated_and_ordered():
    maps = block_maps(4)
    pixels = torch.arange(SIZE * SIZE).expand(4, -1)
    projection = Projection(5, 'pca')
    projection.fit(sample_pixels(maps, pixels, SIZE))
    y = projection(maps, SIZE).transpose(0, 1).flatten(1)  # (5, pixels)
    assert y.mean(1).abs().max() < 1e-4
    covariance = y @ y.T / y.shape[1]
    assert (covariance - covariance.diag().diag()).abs().max() < 1e-3
    assert covariance.diag().tolist() == sorted(covariance.diag().tolist(), reverse=True)


def test_sampled_pixels_are_those_of_the_resized_maps():
    maps = block_maps(2)
    pixels = torch.tensor([[0, 15, 16, 77, 255], [3, 240, 128, 8, 1]])
    full = resized(maps).flatten(2)
    wanted = torch.cat([full[n][:, pixels[n]].T for n in range(2)])
    torch.testing.assert_close(sample_pixels(maps, pixels, SIZE), wanted, atol=1e-5, rtol=1e-5)
