import torch

from mmssl.registry import MODELS


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
