import pytest
import torch

from mmssl.registry import MODELS
from tests.tiny import build, segmentor


def test_second_view_is_sized_and_geometry_is_passed_on():
    preprocessor = MODELS.build(
        dict(type='SemiDataPreprocessor', students=('a', 'b'), sizes=dict(b=dict(image=4)))
    )
    image = torch.full((2, 1, 8, 8), 51, dtype=torch.uint8)
    grid = torch.arange(128, dtype=torch.int32).reshape(2, 8, 8) - 1
    maps = torch.linspace(-3, 3, 10).half().reshape(2, 5)
    box = torch.tensor([[1, 2, 3, 4], [0, 0, 0, 0]])
    given = dict(x_w=image, u_w=image, u_s2=image, x_grid=grid, x_maps=maps, u_grid=grid,
                 u_maps=maps, box2=box)  # fmt: skip
    inputs = preprocessor(dict(inputs=given), training=True)['inputs']
    assert set(inputs) == set(given)
    for view in ('x_w', 'u_w', 'u_s2'):
        assert {name: tuple(x.shape) for name, x in inputs[view].items()} == dict(
            a=(2, 1, 8, 8), b=(2, 1, 4, 4)
        )
        assert torch.allclose(inputs[view]['a'], torch.tensor(0.2))
    for key in ('x_grid', 'x_maps', 'u_grid', 'u_maps', 'box2'):
        assert inputs[key].dtype == given[key].dtype
        assert torch.equal(inputs[key], given[key])


def test_grey_images_are_repeated_for_a_network_of_colour():
    preprocessor = MODELS.build(
        dict(type='SemiDataPreprocessor', students=('a', 'b'), sizes=dict(b=dict(channels=3)))
    )
    grey, colour = (torch.randint(0, 256, (2, c, 4, 4), dtype=torch.uint8) for c in (1, 3))
    views = preprocessor(dict(inputs=grey))['inputs']
    assert views['a'].shape == (2, 1, 4, 4)
    assert torch.equal(views['b'], views['a'].repeat(1, 3, 1, 1))
    assert preprocessor(dict(inputs=colour))['inputs']['b'].shape == (2, 3, 4, 4)


def test_every_image_view_and_label_is_treated_alike():
    cfg = dict(type='SemiDataPreprocessor', students=('a',), sizes=dict(a=dict(image=4, label=2)))
    image = torch.full((2, 1, 8, 8), 51, dtype=torch.uint8)
    given = dict(x_mild=image, u_s3=image, y_mild=image[:, 0], box3=torch.zeros(2, 5))
    inputs = MODELS.build(cfg)(dict(inputs=given), training=True)['inputs']
    for view in ('x_mild', 'u_s3'):
        assert inputs[view]['a'].shape == (2, 1, 4, 4)
        assert torch.allclose(inputs[view]['a'], torch.tensor(0.2))
    assert inputs['y_mild']['a'].shape == (2, 2, 2) and inputs['y_mild']['a'].dtype == torch.long
    assert inputs['box3'] is given['box3']


def test_each_student_and_channel_has_its_own_means():
    means = dict(mean=[10, 20, 30], std=[2, 4, 5], channels=3)
    preprocessor = MODELS.build(
        dict(type='SemiDataPreprocessor', students=('a', 'b'), std=100, sizes=dict(b=means))
    )
    grey = torch.full((2, 1, 4, 4), 50, dtype=torch.uint8)
    views = preprocessor(dict(inputs=grey))['inputs']
    assert views['a'].unique().tolist() == [0.5]
    assert views['b'][0, :, 0, 0].tolist() == [20, 7.5, 4]
    assert torch.equal(preprocessor.grey('b', views['b']), grey.float().expand(-1, 3, -1, -1))
    assert torch.equal(
        preprocessor.scaled('b', torch.full((1, 3, 1, 1), 50.0)), views['b'][:1, :, :1, :1]
    )


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(mean=[1, 2, 3], std=[1, 2]), 'differ in their channels'),
        (dict(std=0), 'std=0 of the data_preprocessor of "a" must be above 0'),
        (dict(sizes=dict(a=dict(img=3))), r"sizes.a has \['img'\]; known are image, label"),
        (dict(sizes=dict(c=dict(image=3))), r"names \['c'\], but the students are"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build({'type': 'SemiDataPreprocessor', 'students': ('a',), **options})


def test_means_of_other_channels_are_named():
    cfg = dict(type='SemiDataPreprocessor', students=('a',), mean=[1, 2, 3], std=1)
    with pytest.raises(
        ValueError, match='means of 3 channels, but its images have 1: give `channels`'
    ):
        MODELS.build(cfg)(dict(inputs=torch.zeros(1, 1, 4, 4)))


def of_mmsegmentation(**options):
    """Return a student with a preprocessor of its own, as mmsegmentation's configs have it."""
    own = dict(type='mmseg.SegDataPreProcessor', mean=[123.675, 116.28, 103.53],
               std=[58.395, 57.12, 57.375], **options)  # fmt: skip
    return dict(segmentor(channels=3), data_preprocessor=own)


def test_the_means_of_a_student_s_own_preprocessor_are_used():
    students = dict(unet=segmentor(), other=of_mmsegmentation(bgr_to_rgb=True))
    model = build(dict(type='SupOnly', students=students))
    views = model.data_preprocessor(dict(inputs=torch.full((1, 1, 8, 8), 124.0)))['inputs']
    expected = (124 - torch.tensor([123.675, 116.28, 103.53])) / torch.tensor(
        [58.395, 57.12, 57.375]
    )
    assert torch.allclose(views['other'][0, :, 0, 0], expected)
    assert views['unet'].unique().tolist() == pytest.approx([124 / 255])
    given = dict(sizes=dict(other=dict(mean=0, std=255)))
    model = build(dict(type='SupOnly', students=students, data_preprocessor=given))
    views = model.data_preprocessor(dict(inputs=torch.full((1, 1, 8, 8), 51.0)))['inputs']
    assert torch.allclose(views['other'], torch.tensor(0.2)), 'what the config says counts'


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(), 'takes images in the order BGR, but those here are RGB'),
        (dict(bgr_to_rgb=True, batch_augments=[dict(type='Flip')]), 'has batch_augments'),
    ],
)
def test_what_else_a_preprocessor_of_a_student_does_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(dict(type='SupOnly', students=dict(unet=of_mmsegmentation(**options))))
