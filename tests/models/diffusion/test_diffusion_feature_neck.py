import copy
import io
import pickle

import numpy as np
import pytest
import torch
import torch.distributed as dist
from denoiser_parts import BLOCKS, OPTIONS, SIZE, images, write_model
from torch import nn

from mmssl.datasets.transforms import RandomRotFlipRotate, TrackGeometry
from mmssl.models.diffusion import DiffusionFeatureNeck
from mmssl.models.diffusion.cache import FeatureCache
from mmssl.models.diffusion.features import FeatureSpec, FrozenDenoiser, join_maps


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp('models') / 'one')


@pytest.fixture(scope='module')
def other(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp('models') / 'two', seed=1)


@pytest.fixture
def cache_dir(model, tmp_path):
    denoiser = build(model).open()
    FeatureCache.create(tmp_path / 'cache', denoiser.sha256, denoiser.spec)
    return str(tmp_path / 'cache')


def build(model=None, **options):
    return DiffusionFeatureNeck(model, **{**OPTIONS, **options})


def saved(neck):
    """Return the state dict as a file gives it back."""
    file = io.BytesIO()
    torch.save(neck.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


# What it computes


def test_features_online_and_from_the_slices_own_maps(model, cache_dir):
    neck, x = build(model), images()
    y = neck(x)
    assert y.shape == (2, 4, SIZE, SIZE)
    cached = build(cache_dir=cache_dir)
    flat = join_maps(neck.block_maps(x))
    torch.testing.assert_close(cached.from_maps(flat), y, atol=5e-3, rtol=0)
    grid = torch.arange(SIZE * SIZE, dtype=torch.int32).view(1, SIZE, SIZE).expand(2, -1, -1)
    assert torch.equal(cached.from_maps(flat, grid), cached.from_maps(flat))


def test_features_of_an_image_do_not_depend_on_the_others(model):
    neck, x = build(model), images(3)
    torch.testing.assert_close(neck(x)[1:2], neck(x[1:2]), atol=1e-5, rtol=1e-4)


def test_a_models_features_change_when_the_view_is_flipped(model):
    """So online features of a view are not those of the slice, moved."""
    neck, x = build(model), images()
    with torch.no_grad():
        y, flipped = neck(x), neck(x.flip(3)).flip(3)
    assert (y - flipped).abs().mean() > 0.1 * y.std()


class Pixelwise:
    """An equivariant stand-in: maps at full size, each pixel's a function of its grey value."""

    spec = FeatureSpec((1, 2), (0,), 0, SIZE, (-1.0, 1.0), 1, ((3, SIZE, SIZE),))

    def __call__(self, x):
        waves = [torch.cat([torch.sin(k * x + j) for j in range(3)], 1) for k in (1, 2)]
        return [wave.half().float() for wave in waves]


def equivariant_neck():
    neck = build(steps=(1, 2), blocks=(0,))
    neck._take(Pixelwise.spec)
    neck.denoiser = Pixelwise()
    return neck


def views(transform, count):
    """Yield the view (1, 1, S, S), the slice and the grid (1, S, S) of random draws."""
    rng = np.random.default_rng(0)
    slices = rng.integers(1, 256, (count, SIZE, SIZE, 1), dtype=np.uint8)
    for number, img in enumerate(slices):
        results = TrackGeometry()(dict(img=img, rng=np.random.default_rng(number)))
        results = transform(results)
        view, whole = (
            torch.from_numpy(i.copy()).permute(2, 0, 1)[None].float() / 255
            for i in (results['img'], img)
        )
        yield view, whole, torch.from_numpy(results['grid'].astype(np.int32))[None]


@pytest.mark.parametrize('turns', [True, False])
def test_both_ways_give_the_same_map_where_the_model_is_equivariant(turns):
    """Quarter turns and flips everywhere; rotations by some degrees inside."""
    neck = equivariant_neck()
    transform = RandomRotFlipRotate(rot_flip_prob=float(turns), rotate_prob=1.0, degrees=20)
    moved = 0
    for view, whole, grid in views(transform, 12):
        online = neck(view)
        cached = neck.from_maps(join_maps(neck.block_maps(whole)), grid)
        inside = (grid >= 0)[:, None].expand_as(online)
        assert bool(inside.all()) or not turns
        assert torch.allclose(online[inside], cached[inside], atol=1e-6)
        assert not cached[~inside].any()
        moved += not torch.equal(view, whole)
    assert moved > 6


# What it is made of


def test_the_denoiser_is_no_part_of_the_module(model):
    neck = build(model)
    neck(images())
    assert {n for n, _ in neck.named_parameters()} == {'projection.weight', 'projection.bias'}
    names = {'projection.weight', 'projection.bias', 'projection.ready', 'feature_key'}
    assert set(neck.state_dict()) == names
    neck.train()
    unet = neck.denoiser._unet
    assert not any(m.training for m in unet.modules())
    assert not any(p.requires_grad for p in unet.parameters())


def test_dropout_of_the_model_stays_off(tmp_path):
    neck = build(write_model(tmp_path / 'm', dropout=0.5)).train()
    assert torch.equal(neck(images()), neck(images()))


@pytest.mark.parametrize('kind', ['learned', 'random'])
def test_gradients_reach_the_projection_alone(model, kind):
    neck, x = build(model, projection=kind), images().requires_grad_()
    y = neck(x)
    if kind == 'random':
        assert not y.requires_grad
        return
    y.square().mean().backward()
    assert x.grad is None
    assert all(p.grad.abs().sum() > 0 for p in neck.parameters())
    assert all(p.grad is None for p in neck.denoiser._unet.parameters())


def test_cached_maps_train_the_projection_too(model):
    neck = build(model)
    flat = join_maps(neck.block_maps(images()))
    grid = torch.randint(-1, SIZE * SIZE, (2, SIZE, SIZE), dtype=torch.int32)
    neck.from_maps(flat, grid).square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in neck.parameters())


def test_bfloat16(model):
    neck, x = build(model), images()
    wanted = neck(x)
    flat = join_maps(neck.block_maps(x))
    with torch.autocast('cpu', torch.bfloat16):
        y, z = neck(x), neck.from_maps(flat)
    assert y.dtype == z.dtype == torch.float32
    assert (y - wanted).abs().mean() < 0.05 * wanted.std()
    assert (z - wanted).abs().max() < 5e-3


def test_the_device_is_not_asked_for_values(model):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        asked = ()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if 'local_scalar' in str(func) or 'nonzero' in str(func):
                self.asked = (*self.asked, str(func))
            return func(*args, **(kwargs or {}))

    neck, x = build(model), images()
    flat, grid = join_maps(neck.block_maps(x)), torch.zeros(2, SIZE, SIZE, dtype=torch.int32)
    neck.from_maps(flat, grid)
    with Watch() as watch:
        neck(x)
        neck.from_maps(flat, grid)
    assert watch.asked == ()


def test_copies_and_pickles(model):
    neck, x = build(model, projection='random'), images()
    y = neck(x)
    twin = copy.deepcopy(neck)
    assert twin.denoiser is neck.denoiser
    assert twin.projection.weight is not neck.projection.weight
    sent = pickle.loads(pickle.dumps(neck))
    assert torch.equal(twin(x), y)
    assert torch.equal(sent(x), y)


def test_distributed_wrapper_sees_the_projection_alone(model, tmp_path):
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(build(model))
        for _ in range(2):
            wrapped(images()).mean().backward()
        assert all(p.grad is not None for p in wrapped.parameters())
        assert len(list(wrapped.parameters())) == 2
    finally:
        dist.destroy_process_group()


# Checkpoints


@pytest.mark.parametrize('kind', ['learned', 'random', 'pca'])
def test_a_checkpoint_loads_without_the_model(model, kind):
    neck, x = build(model, projection=kind), images()
    if kind == 'pca':
        neck.projection.fit(torch.randn(40, 64, generator=torch.Generator().manual_seed(0)))
    y = neck(x)
    state = saved(neck)
    for absent in (None, '/nowhere/model'):
        bare = build(absent, projection=kind, seed=9)
        bare.init_weights()
        bare.load_state_dict(state, strict=True)
        assert torch.equal(bare.feature_key, neck.feature_key)
        flat = join_maps(neck.block_maps(x))
        torch.testing.assert_close(bare.from_maps(flat), y, atol=5e-3, rtol=0)
        assert saved(bare).keys() == state.keys()


def test_without_model_and_cache_the_errors_say_so():
    with pytest.raises(ValueError, match='model=None'):
        build()(images())
    with pytest.raises(FileNotFoundError, match='no diffusion model in /nowhere'):
        build('/nowhere')(images())
    with pytest.raises(RuntimeError, match='no feature cache in cache_dir=/gone'):
        build(cache_dir='/gone').from_maps(torch.zeros(1, 8).half())


def test_it_says_why_there_is_nothing_to_train(model):
    assert build(model).untrainable is None
    assert 'neither its model (/nowhere)' in build('/nowhere').untrainable
    assert "projection='pca' is not trained" in build(model, projection='pca').untrainable
    assert list(build('/nowhere').parameters()) == []


def test_a_checkpoint_of_another_model_is_refused(model, other):
    neck = build(model)
    neck(images())
    state, text = saved(neck), 'model [0-9a-f]{12}..., not [0-9a-f]{12}'
    opened = build(other)
    opened(images())
    with pytest.raises(ValueError, match=f'trained on other diffusion features: {text}'):
        opened.load_state_dict(state)
    lazy = build(other)
    lazy.load_state_dict(state)  # network A may be tested with whatever model is there
    with pytest.raises(ValueError, match=text):
        lazy(images())
    same = build(model)
    same.load_state_dict(state)
    assert torch.equal(same(images()), neck(images()))


def test_what_is_known_of_the_model_outlives_a_checkpoint_that_does_not_know(model):
    untouched = saved(build(model))  # never opened
    neck = build(model)
    neck(images())
    key = neck.feature_key.clone()
    assert not torch.equal(untouched['feature_key'], key)
    neck.load_state_dict(untouched)
    assert torch.equal(neck.feature_key, key)


def test_a_long_description_fits(model):
    neck = build(model, steps=range(200), projection='random')
    bare = build(steps=range(200), projection='random')
    assert len(bare.feature_key) < len(neck.feature_key)
    bare.load_state_dict(saved(neck))
    assert bare.spec == neck.spec


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (dict(steps=(5, 50)), r'steps \[5, 40\], not \[5, 50\]'),
        (dict(blocks=(1, 0)), r'blocks \[0, 1\], not \[1, 0\]'),
        (dict(noise_seed=3), 'noise_seed 0, not 3'),
        (dict(image_size=32), 'image_size 16, not 32'),
        (dict(projection='random'), 'projection learned, not random'),
        (dict(out_dim=5), 'out_dim 4, not 5'),
    ],
)
@pytest.mark.parametrize('there', [True, False])
def test_a_checkpoint_of_other_options_is_refused(model, change, text, there):
    state = saved(build(model))
    neck = build(model if there else None, **change)
    with pytest.raises(ValueError, match=text) as error:
        neck.load_state_dict(state)
    assert '\n' not in str(error.value)


# Caches


def test_a_cache_gives_shapes_without_the_model(cache_dir, model):
    neck = build('/nowhere', cache_dir=cache_dir)
    assert neck.projection.weight.shape == (4, 64, 1, 1)
    assert neck.spec == build(model).spec
    assert bytes(neck.feature_key.tolist()).count(b'"model": "') == 1


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (dict(steps=(5, 50)), r'steps \[5, 40\], not \[5, 50\]'),
        (dict(blocks=(0,)), r'blocks \[0, 1\], not \[0\]'),
        (dict(image_size=32), 'image_size 16, not 32'),
        (dict(input_range=(0, 1)), r'input_range \[-1.0, 1.0\], not \[0.0, 1.0\]'),
        (dict(noise_seed=1), 'noise_seed 0, not 1'),
    ],
)
def test_a_cache_of_other_options_is_refused(cache_dir, change, text):
    with pytest.raises(ValueError, match=f'other features than configured: {text}') as error:
        build(cache_dir=cache_dir, **change)
    assert '\n' not in str(error.value)


def test_a_cache_of_another_model_is_refused(cache_dir, other):
    text = 'model [0-9a-f]{12}..., not [0-9a-f]{12}'
    with pytest.raises(ValueError, match=text):
        build(other, cache_dir=cache_dir).init_weights()
    neck = build(other, cache_dir=cache_dir)
    with pytest.raises(ValueError, match=text):
        neck.from_maps(torch.zeros(1, neck.spec.length).half())
    neck = build(other)
    neck(images())
    with pytest.raises(ValueError, match=text):
        build(cache_dir=cache_dir).load_state_dict(saved(neck))


def test_maps_of_another_length_are_refused(cache_dir):
    neck = build(cache_dir=cache_dir)
    with pytest.raises(ValueError, match='same cache_dir'):
        neck.from_maps(torch.zeros(1, 7).half())


# What the model does not have


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(steps=(5, 1000)), 'time steps'),
        (dict(blocks=(0, 4)), 'block 4 is out of range'),
        (dict(image_size=15), 'not divisible'),
        (dict(projection='pca', out_dim=65), '65 principal components of 64 channels'),
    ],
)
def test_bad_options_are_refused_when_it_is_built(model, options, text):
    with pytest.raises(ValueError, match=text):
        build(model, **options)


def test_images_of_other_channels_are_refused(tmp_path):
    neck = build(write_model(tmp_path / 'rgb', in_channels=3, out_channels=3))
    with pytest.raises(ValueError, match='rgb takes 3 channels, the images have 1'):
        neck(images())


def test_it_is_in_the_registry(model):
    from mmengine.registry import init_default_scope

    from mmssl.registry import MODELS

    init_default_scope('mmssl')
    neck = MODELS.build(dict(type='DiffusionFeatureNeck', model=model, **OPTIONS))
    assert neck.spec.blocks == BLOCKS
    assert isinstance(neck.open(), FrozenDenoiser)
