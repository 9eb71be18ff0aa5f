"""Networks that are built for one size are compared with their images before training."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmssl.engine.data_facts import build_model
from mmssl.engine.sizes import check_axes, check_sizes
from mmssl.utils.setup import load_config, register_all_modules

SAM = SimpleNamespace(
    backbone=SimpleNamespace(img_size=64), decode_head=SimpleNamespace(img_size=64)
)
UNET = SimpleNamespace(backbone=SimpleNamespace(), decode_head=SimpleNamespace())


def model(sizes=None, **students):
    return SimpleNamespace(students=students, data_preprocessor=SimpleNamespace(sizes=sizes or {}))


def train(side):
    return [dict(inputs=dict(x_w=torch.zeros(1, side, side)))]


def val(side):
    return [dict(inputs=torch.zeros(1, side, side))]


@pytest.mark.parametrize(
    'data, loader',
    [
        (dict(train_dataloader=train(128), val_dataloader=val(64)), 'train_dataloader'),
        (dict(train_dataloader=train(64), val_dataloader=val(128)), 'val_dataloader'),
    ],
)
def test_images_of_another_size_are_refused(data, loader):
    with pytest.raises(
        ValueError,
        match=f'{loader} gives the student "sam" images of 128 px, but '
        'its backbone is built for 64 px: set image_size',
    ):
        check_sizes(model(sam=SAM, unet=UNET), data)


def test_a_head_of_another_size_is_refused():
    odd = SimpleNamespace(
        backbone=SimpleNamespace(img_size=64), decode_head=SimpleNamespace(img_size=96)
    )
    with pytest.raises(ValueError, match='its decode_head is built for 96 px'):
        check_sizes(model(sam=odd), dict(train_dataloader=train(64)))


def test_what_the_preprocessor_resizes_fits():
    check_sizes(model(dict(sam=dict(image=64)), sam=SAM), dict(train_dataloader=train(128)))
    with pytest.raises(ValueError, match='images of 32 px'):
        check_sizes(model(dict(sam=dict(image=32)), sam=SAM), dict(train_dataloader=train(64)))


def test_other_networks_and_samples_are_left_alone():
    check_sizes(model(unet=UNET), dict(train_dataloader=None))
    check_sizes(SimpleNamespace(), dict(train_dataloader=None))
    check_sizes(model(sam=SAM), dict(train_dataloader=[dict(inputs='?')], val_dataloader=[]))


def test_a_config_whose_networks_follow_the_image_size():
    """The real networks say what they are built for."""
    register_all_modules()
    config = Path(__file__).parents[2] / 'configs/synfoc/lite_phantom.py'
    built = build_model(load_config(config, {'image_size': 96}))
    check_sizes(built, dict(train_dataloader=train(96), val_dataloader=val(96)))
    with pytest.raises(ValueError, match='"sam" images of 64 px, but its backbone is built for 96'):
        check_sizes(built, dict(train_dataloader=train(64)))


def test_networks_of_slices_and_of_volumes_get_theirs():
    """Students are looked at, and what else a method holds; teachers are as their students."""

    class Method(nn.Module):
        def __init__(self, student, **others):
            super().__init__()
            self.students = nn.ModuleDict(dict(net=student))
            for name, module in others.items():
                setattr(self, name, module)

    flat, solid = nn.Sequential(nn.Conv2d(1, 1, 1)), nn.Sequential(nn.Conv3d(1, 1, 1))
    slices, volumes = SimpleNamespace(sample='slice'), SimpleNamespace(sample='volume')
    check_axes(Method(flat, sam=flat), dict(train_dataloader=slices, val_dataloader=[]))
    check_axes(Method(nn.Sequential(flat, solid)), dict(train_dataloader=volumes))
    with pytest.raises(
        ValueError, match=r"train_dataloader .*sample='volume'.* the student \"net\""
    ):
        check_axes(Method(flat), dict(train_dataloader=volumes))
    with pytest.raises(ValueError, match='`sam` of Method takes one slice: change `sample`'):
        check_axes(Method(solid, sam=flat), dict(train_dataloader=volumes))
    with pytest.raises(ValueError, match='val_dataloader .*"net" of Method takes one volume'):
        check_axes(Method(solid), dict(train_dataloader=volumes, val_dataloader=slices))
