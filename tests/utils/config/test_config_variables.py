"""Variables at the top of configs work from outside, and names that nothing reads are refused."""

import inspect
import warnings
from pathlib import Path

import pytest

from mmssl.engine.data_facts import with_facts
from mmssl.utils.config.variables import ENTRIES
from mmssl.utils.setup import load_config, register_all_modules

CONFIGS = Path(__file__).parents[3] / 'configs'
BASE = """# a base with variables of each kind, one made of another
root = 'data/here'
size = 64
names = ['a', 'b']
half = size // 2
steps = [dict(type='Resize', size=size), dict(type='Crop', size=half)]
train_dataloader = dict(dataset=dict(data_root=root, domains=names, prepare=steps))
test_dataloader = dict(dataset=dict(data_root=root, prepare=[*steps, dict(type='Pack')]))
"""


@pytest.fixture
def base(tmp_path):
    """Return the folder of a base, a config built on it and one on that."""
    (tmp_path / 'base.py').write_text(BASE)
    (tmp_path / 'leaf.py').write_text(
        "_base_ = './base.py'\nmodel = dict(img_size=_base_.size, names={{_base_.names}})\n"
    )
    return tmp_path


def sizes(cfg):
    return [step.size for step in cfg.train_dataloader.dataset.prepare]


def test_entries_are_what_a_runner_takes():
    from mmengine.runner import Runner

    taken = set(inspect.signature(Runner.__init__).parameters) - {'self'}
    assert taken <= {*ENTRIES}


def test_a_variable_is_set_from_the_command_line(base):
    cfg = load_config(base / 'leaf.py', {'size': 128, 'root': '/x', 'names': ['a', 'c']})
    assert sizes(cfg) == [128, 64] and cfg.model == dict(img_size=128, names=['a', 'c'])
    assert cfg.test_dataloader.dataset.prepare[0].size == 128
    data = cfg.train_dataloader.dataset
    assert (data.data_root, data.domains) == ('/x', ['a', 'c'])
    assert cfg.test_dataloader.dataset.data_root == '/x'


def test_a_variable_is_set_by_a_config_built_on_it_at_any_depth(base):
    (base / 'child.py').write_text(
        "_base_ = './leaf.py'\nroot = '/mine'\nother: int = 32\nsize = 2 * other\nsize += 32\n"
    )
    cfg = load_config(base / 'child.py')
    assert sizes(cfg) == [96, 48] and cfg.model.img_size == 96
    assert cfg.train_dataloader.dataset.data_root == '/mine'
    assert sizes(load_config(base / 'child.py', {'size': 32})) == [32, 16]
    assert sizes(load_config(base / 'child.py', {'half': 5})) == [96, 5]
    assert sizes(load_config(base / 'child.py', {'other': 8})) == [48, 24]
    nearer = {'size': 32, 'train_dataloader.dataset.prepare.1.size': 7}
    assert sizes(load_config(base / 'child.py', nearer)) == [32, 7]


def test_the_base_itself_stays_as_it_is(base):
    load_config(base / 'leaf.py', {'size': 128})
    assert sizes(load_config(base / 'leaf.py')) == [64, 32]
    assert (base / 'base.py').read_text() == BASE


def test_variables_are_gone_when_they_have_done_their_work(base):
    cfg = load_config(base / 'leaf.py', {'size': 128})
    assert set(cfg) == {'train_dataloader', 'test_dataloader', 'model'}
    cfg.dump(base / 'dumped.py')
    assert load_config(base / 'dumped.py').to_dict() == cfg.to_dict()
    with pytest.raises(ValueError, match='no entry "img_size"; set model.img_size'):
        load_config(base / 'dumped.py', {'img_size': 32})


@pytest.mark.parametrize(
    'text, expected',
    [
        (
            'train_cgf = dict(max_iters=3)',
            '"train_cgf", which nothing reads; did you mean "train_cfg"',
        ),
        ('stepps = []', 'stepps", which nothing reads; did you mean "steps"'),
        (
            'data_root = "x"',
            '"data_root", which nothing reads; set train_dataloader.dataset.data_root '
            'and test_dataloader.dataset.data_root',
        ),
        ('sise = 3', 'sise", which nothing reads; did you mean "size"'),
        ('xyz = 3', 'nothing reads; it has'),
    ],
)
def test_a_name_of_a_file_that_nothing_reads_is_refused(base, text, expected):
    (base / 'child.py').write_text(f"_base_ = './leaf.py'\n{text}\n")
    with pytest.raises(ValueError) as info:
        load_config(base / 'child.py')
    assert 'child.py" sets "' in str(info.value) and expected in str(info.value)


@pytest.mark.parametrize(
    'option, expected',
    [
        ('data_root', 'no entry "data_root"; set train_dataloader.dataset.data_root and test_data'),
        ('domains', 'no entry "domains"; set train_dataloader.dataset.domains'),
        ('sizes', 'no entry "sizes"; did you mean "size"'),
        ('train_cfgs.max_iters', 'no entry "train_cfgs"; did you mean "train_cfg"'),
    ],
)
def test_an_option_that_nothing_reads_is_refused(base, option, expected):
    with pytest.raises(ValueError) as info:
        load_config(base / 'leaf.py', {option: 1})
    assert expected in str(info.value)


def test_a_whole_config_may_bear_old_variables_but_no_slip(tmp_path):
    whole = tmp_path / 'whole.py'
    whole.write_text('image_size = 64\nmodel = dict(type="A")\n')
    with pytest.warns(UserWarning, match='Nothing reads image_size of'):
        assert set(load_config(whole)) == {'model'}
    whole.write_text('optim_wraper = dict(type="A")\n')
    with pytest.raises(ValueError, match='did you mean "optim_wrapper"'):
        load_config(whole)


def test_names_of_plug_ins_begin_with_a_line(base):
    (base / 'child.py').write_text("_base_ = './leaf.py'\n_mine = 5\n")
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert load_config(base / 'child.py', {'size': 32})._mine == 5


def test_a_value_that_a_base_cannot_use_is_named(base):
    with pytest.raises(ValueError, match=r"^size='abc' does not fit: Config .* TypeError"):
        load_config(base / 'leaf.py', {'size': 'abc'})


def test_a_circle_is_refused(base):
    (base / 'child.py').write_text("_base_ = './leaf.py'\nsize = 2 * _base_.half + 2\n")
    with pytest.raises(ValueError, match=r'child.py" are set in a circle \(size\)'):
        load_config(base / 'child.py')


def test_a_value_that_cannot_be_written_down_is_refused(base):
    (base / 'child.py').write_text("_base_ = './leaf.py'\nsize = object()\n")
    with pytest.raises(ValueError, match='variable "size" of a base config cannot be <object'):
        load_config(base / 'child.py')


SIZES = ('size', 'image_size', 'box_size', 'score_size', 'img_size', 'image', 'label')


@pytest.mark.parametrize(
    'config, side',
    [
        ('sup_only/lite_phantom', 64),
        ('synfoc/lite_fundus', 96),
        ('unimatch/lite_acdc', 64),
        ('synfoc/prostate', 512),
        ('sup_only/lite_phantom_volumes', 64),
        ('symgd/mnms', 288),
    ],
)
def test_one_setting_changes_the_size_of_all_images(config, side):
    """Every loader, boxes and scored masks, networks built for a size, sizes of networks."""
    register_all_modules()
    before, after = (
        with_facts(load_config(CONFIGS / f'{config}.py', {'image_size': size})).to_dict()
        for size in (side, 2 * side)
    )
    assert with_facts(load_config(CONFIGS / f'{config}.py')).to_dict() == before
    found = {key for key, value in leaves(before) if key[-1] in SIZES and type(value) is int}
    old, new = dict(leaves(before)), dict(leaves(after))
    still = {key for key in found if new[key] != 2 * old[key]}
    assert not still
    loaders = [f'{loader}_dataloader' for loader in ('train', 'val', 'test')]
    assert {key[0] for key in found if key[-1] == 'image_size'} == {*loaders}


def leaves(node, path=()):
    """Give (path, value) of everything in a config; components are called by their type."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    own = (*path, node['type']) if isinstance(node, dict) and 'type' in node else path
    for key, value in items:
        if isinstance(value, dict | list | tuple):
            yield from leaves(value, (*own, key))
        else:
            yield (*own, key), value
