"""What a model takes from the data of its config, and what it keeps."""

from pathlib import Path

import pytest

from mmssl.engine.data_facts import build_model, describe_data, with_facts
from mmssl.utils.setup import load_config, register_all_modules

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture(autouse=True)
def registered():
    register_all_modules()


def test_what_the_data_say_is_filled_in_and_the_given_config_stays():
    cfg = load_config(CONFIGS / 'sup_only/fundus.py')
    before = cfg.to_dict()
    model = with_facts(cfg).model
    assert cfg.to_dict() == before
    assert model.parts == [[1], [1, 2]] and model.students.unet.backbone.in_channels == 3
    assert model.students.unet.decode_head.num_classes == 3
    assert model.data_preprocessor.sizes == dict(unet=dict(image=256, label=256))
    assert with_facts(with_facts(cfg)).to_dict() == with_facts(cfg).to_dict()


def test_other_data_make_another_model():
    cfg = load_config(CONFIGS / 'sup_only/lite_phantom.py')
    dataset = cfg.train_dataloader.dataset
    dataset.update(label_map={0: 0, 128: 2, 255: 1}, channels=3, box_size=32)
    dataset.metainfo = dict(classes=('background', 'a', 'b'), parts=dict(b=[2], all=[1, 2]))
    model = build_model(cfg)
    assert model.students['unet'].out_channels == 3
    assert model.students['unet'].backbone.stem[0].in_channels == 3
    assert model.label_space.table.int().tolist() == [[0, 0, 1], [0, 1, 1]]
    assert model.data_preprocessor.sizes == dict(unet=dict(image=32, label=32))


def test_what_the_model_states_stays():
    cfg = load_config(CONFIGS / 'sup_only/lite_phantom.py')
    cfg.train_dataloader.dataset.box_size = 32
    cfg.model.parts = [[2]]
    cfg.model.students.unet.backbone.in_channels = 5
    cfg.model.students.unet.decode_head.num_classes = 7
    cfg.model.data_preprocessor = dict(sizes=dict(unet=dict(image=48)))
    model = with_facts(cfg).model
    assert model.to_dict() == cfg.model.to_dict()


def test_fractions_are_of_sizes_and_of_nothing_else():
    cfg = load_config(CONFIGS / 'sup_only/lite_phantom.py')
    own = dict(image=0.5, label=0.25, mean=127.5, std=63.5, channels=3)
    cfg.model.data_preprocessor = dict(sizes=dict(unet=own))
    model = with_facts(cfg).model
    assert model.data_preprocessor.sizes.unet == {**own, 'image': 32, 'label': 16}
    assert model.students.unet.backbone.in_channels == 3


@pytest.mark.parametrize('value', [2.5, True, 0, -1, 'a', [3]])
def test_a_number_of_channels_that_is_none_is_named(value):
    cfg = load_config(CONFIGS / 'sup_only/lite_phantom.py')
    cfg.model.data_preprocessor = dict(sizes=dict(unet=dict(channels=value)))
    with pytest.raises(ValueError, match='sizes.unet.channels is .*; it must be a whole number of'):
        build_model(cfg)


def test_networks_of_one_size_and_overlapping_parts():
    sam = with_facts(load_config(CONFIGS / 'synfoc/fundus.py', {'image_size': 256})).model
    assert sam.students.sam.backbone.img_size == sam.students.sam.decode_head.img_size == 256
    assert 'in_channels' not in sam.students.sam.backbone, 'it takes grey images and colour'
    assert sam.data_preprocessor.sizes == dict(
        sam=dict(image=256, label=64), unet=dict(image=128, label=128)
    )
    parts = with_facts(load_config(CONFIGS / 'symgd/fundus.py')).model
    assert parts.students.unet.decode_head.num_classes == 2, 'a channel for each part'
    assert 'sizes' not in parts.data_preprocessor, 'views are made at the size of the network'
    swin = with_facts(load_config(CONFIGS / 'cross_teaching/acdc.py')).model.students.swin
    assert swin.backbone.in_channels == 3 and swin.decode_head.num_classes == 4


def test_without_a_training_set_the_test_set_counts_and_without_both_nothing():
    cfg = load_config(CONFIGS / 'medsam/fundus.py')
    assert cfg.train_dataloader is None and with_facts(cfg).model.parts == [[1], [1, 2]]
    cfg.test_dataloader = None
    assert describe_data(cfg) is None and with_facts(cfg).to_dict() == cfg.to_dict()
    assert describe_data(dict(train_dataloader=dict(dataset=dict(type='ConcatDataset')))) is None


def test_a_data_set_in_a_wrapper_says_the_same():
    dataset = load_config(CONFIGS / 'sup_only/fundus.py').train_dataloader.dataset
    wrapped = dict(type='RepeatDataset', times=2, dataset=dataset)
    facts = describe_data(dict(train_dataloader=dict(dataset=wrapped)))
    assert facts.channels == 3 and facts.sizes == dict(image=512, box=256, score=256)
