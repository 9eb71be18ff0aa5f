"""Labelled images in the style of unlabelled ones."""

import pytest
import torch

from mmssl.models.strategies.frequency import mix_amplitude
from mmssl.registry import MODELS
from mmssl.testing.no_host_sync import NoCopies
from tests.tiny import BN, build, segmentor


def style(**options):
    return MODELS.build(dict(type='UnlabelledStyle', **options))


def views(labelled=3, unlabelled=2):
    torch.manual_seed(0)
    image = torch.randint(0, 256, (labelled, 3, 16, 16), dtype=torch.uint8)
    return dict(
        x_w=image,
        x_s=image,
        x_maps=torch.rand(labelled, 4),
        y=image[:, 0],
        u_w=torch.randint(0, 256, (unlabelled, 3, 16, 16), dtype=torch.uint8) // 4,
        u_s=torch.zeros(unlabelled, 3, 16, 16, dtype=torch.uint8),
    )


def test_each_labelled_image_takes_the_amplitudes_of_one_unlabelled_image():
    given = views()
    styled = style(size=0.1, degree=(1, 1))(given)
    fits = [
        [
            torch.allclose(
                new, mix_amplitude(x[None].float(), u[None].float(), 0.1).clamp(0, 255)[0]
            )
            for u in given['u_w']
        ]
        for new, x in zip(styled['x_w'], given['x_w'], strict=True)
    ]
    assert [sum(found) for found in fits] == [1, 1, 1]
    assert torch.equal(styled['x_w'], styled['x_s']), 'all views of an image have one style'


def test_nothing_but_the_labelled_images_changes():
    given = views()
    styled = style()(given)
    assert {key for key in given if styled[key] is not given[key]} == {'x_w', 'x_s'}


def test_the_degree_lies_in_its_range_and_is_drawn_for_each_image():
    given = dict(x_w=torch.full((200, 1, 4, 4), 100), u_w=torch.full((1, 1, 4, 4), 200))
    means = style(size=0.0, degree=(0.25, 0.75))(given)['x_w'].mean((1, 2, 3))
    assert means.min() >= 125 and means.max() <= 175 and means.std() > 10
    kept = style(degree=(0, 0))(given)['x_w']
    assert torch.allclose(kept, given['x_w'].float(), atol=1e-3)


def test_volumes_in_float_are_not_cut_off():
    volume = torch.randn(2, 1, 4, 8, 8) * 300
    styled = style()(dict(x_w=volume, u_w=volume.flip(0)))['x_w']
    assert styled.shape == volume.shape and styled.min() < 0 and styled.max() > 255


@pytest.mark.parametrize(
    'options, said',
    [
        (dict(size=0.5), r'size must lie in \[0, 0.5\), found 0.5'),
        (dict(degree=(0.5, 0.1)), 'degree must be two numbers'),
        (dict(degree=(0.5,)), 'degree must be two numbers'),
    ],
)
def test_options_are_checked(options, said):
    with pytest.raises(ValueError, match=said):
        style(**options)


def test_a_batch_without_unlabelled_images_is_refused():
    given = views(unlabelled=0)
    for batch in (given, {key: x for key, x in given.items() if key != 'u_w'}):
        with pytest.raises(ValueError, match=r'batch_sampler.num_unlabelled above 0'):
            style()(batch)


def test_a_method_learns_from_the_styled_images_and_predicts_without_style():
    augments = [dict(type='UnlabelledStyle', size=0.1, degree=(1, 1))]
    preprocessor = dict(batch_augments=augments)
    model = build(
        dict(type='FixMatch', students=dict(a=segmentor(2, BN)), data_preprocessor=preprocessor)
    )
    given = dict(x_w=torch.full((2, 1, 16, 16), 200), u_w=torch.full((2, 1, 16, 16), 50))
    seen = model.data_preprocessor(dict(inputs=given), training=True)['inputs']
    assert torch.allclose(seen['x_w']['a'], torch.tensor(50 / 255), atol=1e-4)
    tested = model.data_preprocessor(dict(inputs=given['x_w']), training=False)['inputs']
    assert torch.allclose(tested['a'], torch.tensor(200 / 255))


def test_it_never_waits_for_the_device():
    given = {key: x.to('meta') for key, x in views().items()}
    with NoCopies():
        assert style()(given)['x_w'].is_meta
