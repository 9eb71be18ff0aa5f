import copy
import pickle

import pytest
import torch
from denoiser_parts import BLOCKS, CONFIG, SHAPES, SIZE, STEPS, images, write_model

from mmssl.models.diffusion.features import (
    FeatureSpec,
    FrozenDenoiser,
    differences,
    fixed_noise,
    join_maps,
)
from mmssl.models.diffusion.unet import (
    block_outputs,
    block_shapes,
    guided_diffusion_config,
    load_unet,
)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp('models') / 'one')


def describe(model, **options):
    return FeatureSpec.of_model(model, **{'steps': STEPS, 'blocks': BLOCKS, **options})


def test_description_of_a_model(model):
    spec = describe(model)
    assert spec.shapes == SHAPES
    assert spec.map_shapes == [*SHAPES, *SHAPES]
    assert spec.channels == [16] * 4
    assert spec.length == 2 * (16 * 8 * 8 + 16 * 16 * 16)
    assert (spec.image_size, spec.in_channels, spec.input_range) == (SIZE, 1, (-1, 1))
    assert FeatureSpec.from_dict(spec.to_dict()) == spec


def test_size_of_the_papers_features():
    """The figures of the documentation: 7,680 channels, 12.6 MB of maps, 2.0 GB resized."""
    shapes = block_shapes(guided_diffusion_config(), 256, (2, 4, 6))
    spec = FeatureSpec((50, 150, 250), (2, 4, 6), 0, 256, (-1, 1), 1, tuple(shapes.values()))
    assert sum(spec.channels) == 7680
    assert 4 * spec.length == 12_582_912
    assert 4 * sum(spec.channels) * 256 * 256 == 2_013_265_920
    assert 4 * 30 * 256 * 256 == 7_864_320


def test_the_maps_are_the_blocks_of_each_step_in_turn(model):
    x = images(3)
    spec = describe(model, noise_seed=7)
    maps = FrozenDenoiser(model, spec)(x)
    unet = load_unet(model)
    eps = torch.randn(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(7))
    abar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
    for k, step in enumerate(STEPS):
        for number, image in enumerate(x):
            noisy = abar[step].sqrt() * (2 * image - 1) + (1 - abar[step]).sqrt() * eps
            wanted = block_outputs(unet, noisy, step, BLOCKS)
            for b, value in enumerate(wanted):
                found = maps[k * len(BLOCKS) + b][number]
                torch.testing.assert_close(found, value[0], atol=1e-5, rtol=1e-4)


def test_all_steps_in_one_pass_that_stops_early(model):
    denoiser = FrozenDenoiser(model, describe(model, blocks=(0,)))
    denoiser(images())
    calls, late = [], []
    denoiser._unet.conv_in.register_forward_hook(lambda m, a, y: calls.append(len(y)))
    denoiser._unet.conv_out.register_forward_hook(lambda m, a, y: late.append(1))
    maps = denoiser(images(3))
    assert calls == [3 * len(STEPS)]
    assert not late
    assert [tuple(m.shape) for m in maps] == [(3, 16, 8, 8)] * 2


def test_noise_is_one_for_all_and_depends_on_its_seed_alone(model):
    torch.manual_seed(1)
    noise = fixed_noise(1, 4, 0)
    torch.manual_seed(2)
    assert torch.equal(noise, fixed_noise(1, 4, 0))
    assert not torch.equal(noise, fixed_noise(1, 4, 1))
    same = images(1).expand(2, -1, -1, -1)
    maps = FrozenDenoiser(model, describe(model))(same)
    for m in maps:
        torch.testing.assert_close(m[0], m[1])


def test_input_range_is_the_models_own(tmp_path):
    own = write_model(tmp_path / 'own', extra=dict(input_range=[0, 1]))
    silent = write_model(tmp_path / 'silent')
    assert describe(own).input_range == (0, 1)
    assert describe(silent).input_range == (-1, 1)
    zero_one = FrozenDenoiser(silent, describe(silent, input_range=(0, 1)))
    x = images()
    by_file = FrozenDenoiser(own, describe(own))(x)
    by_option = zero_one(x)
    standard = FrozenDenoiser(silent, describe(silent))((x + 1) / 2)  # 2 (x + 1) / 2 - 1 = x
    for one, two, three in zip(by_file, by_option, standard, strict=True):
        assert torch.equal(one, two)
        torch.testing.assert_close(one, three, atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match=r'input_range=\[-1.0, 1.0\].*trained on \[0, 1\]'):
        describe(own, input_range=(-1.0, 1.0))


def test_image_size_comes_from_the_model(tmp_path):
    trained = write_model(tmp_path / 'm', extra=dict(image_size=24))
    assert describe(trained).image_size == 24
    assert describe(trained, image_size=32).shapes[1] == (16, 32, 32)


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(steps=(50, 1000)), r'time steps \[1000\] are out of range'),
        (dict(steps=(-1,)), r'time steps \[-1\] are out of range'),
        (dict(blocks=(0, 9)), 'block 9 is out of range; the model has the output blocks 0 to 3'),
        (dict(image_size=17), 'image_size=17 is not divisible by 2'),
        (dict(steps=()), 'at least one'),
        (dict(blocks=(1, 1)), 'each number once'),
    ],
)
def test_what_a_model_does_not_have_is_named(model, options, text):
    with pytest.raises(ValueError, match=text) as error:
        describe(model, **options)
    assert '\n' not in str(error.value)


def test_images_of_other_channels_or_size_are_refused(model, tmp_path):
    denoiser = FrozenDenoiser(model, describe(model))
    with pytest.raises(ValueError, match='takes 1 channels, the images have 3'):
        denoiser(images(channels=3))
    with pytest.raises(ValueError, match=r'of 16x16 pixels, got \(32, 32\)'):
        denoiser(images(size=32))
    colour = write_model(tmp_path / 'rgb', in_channels=3, out_channels=3)
    with pytest.raises(ValueError, match='rgb takes 3 channels, the images have 1'):
        FrozenDenoiser(colour, describe(colour))(images())


def test_copies_share_the_model_and_pickles_open_it_again(model):
    denoiser = FrozenDenoiser(model, describe(model))
    maps = denoiser(images())
    assert copy.deepcopy(denoiser) is denoiser
    small = pickle.dumps(denoiser)
    assert len(small) < 10_000
    for one, two in zip(maps, pickle.loads(small)(images()), strict=True):
        assert torch.equal(one, two)


def test_weights_read_in_inference_mode_serve_outside(model):
    denoiser = FrozenDenoiser(model, describe(model))
    with torch.inference_mode():
        denoiser(images())
    weight = torch.ones(1, requires_grad=True)
    (weight * denoiser(images())[0].mean()).backward()
    assert weight.grad is not None
    assert not any(p.requires_grad or p.is_inference() for p in denoiser._unet.parameters())


def test_vectors_hold_all_maps_and_nothing_overflows(model):
    spec = describe(model)
    maps = FrozenDenoiser(model, spec)(images(3))
    flat = join_maps(maps)
    assert flat.shape == (3, spec.length)
    assert flat.dtype == torch.float16
    for one, two in zip(maps, spec.split(flat), strict=True):
        assert torch.equal(one.half(), two)
    assert join_maps([torch.full((1, 1, 1, 1), 1e6)]).item() == 65504
    with pytest.raises(ValueError, match=rf'\(3, {spec.length - 1}\).*\(N, {spec.length}\)'):
        spec.split(flat[:, 1:])


def test_differences_are_short():
    one, two = dict(model='a' * 64, steps=[1]), dict(model='b' * 64, steps=(1,))
    assert differences(one, two) == 'model aaaaaaaaaaaa..., not bbbbbbbbbbbb...'
    assert differences(one, dict(model=None, blocks=[3])) == ''


def test_the_configs_of_this_test_are_what_they_say():
    assert block_shapes(CONFIG, SIZE, BLOCKS) == dict(zip(BLOCKS, SHAPES, strict=True))
