import pytest

from mmssl.experiments.axes import check_keys, folder_names, parse_axes, parse_axis, parse_options


def options(text):
    return list(parse_axis(text)[1].values())


def test_values_are_split_at_commas_outside_brackets():
    assert parse_axis('a.b=0.9,0.95') == (['a.b'], {'0.9': {'a.b': '0.9'}, '0.95': {'a.b': '0.95'}})
    assert options('k=[2,4,6],[5,6,7]') == [{'k': '[2,4,6]'}, {'k': '[5,6,7]'}]
    assert options('k=[(1,2),[a,b]], None') == [{'k': '[(1,2),[a,b]]'}, {'k': 'None'}]
    assert options('k=-1,x=y') == [{'k': '-1'}, {'k': 'x=y'}]


def test_tied_keys_move_together():
    assert options('a&b.c=10,30') == [{'a': '10', 'b.c': '10'}, {'a': '30', 'b.c': '30'}]
    assert options('a&b=1&True,[2,3]&False') == [
        {'a': '1', 'b': 'True'},
        {'a': '[2,3]', 'b': 'False'},
    ]
    assert options('a=x&y') == [{'a': 'x&y'}], 'one key takes the text as it is'


def test_values_may_have_names():
    _, values = parse_axis('a&b=both:1&1,first:1&0,2')
    assert list(values) == ['both', 'first', '2']
    assert values['first'] == {'a': '1', 'b': '0'}
    assert options('a=web:https://x/y') == [{'a': 'https://x/y'}]


@pytest.mark.parametrize('text, message', [
    ('a', 'not KEY=VALUE'),
    ('=1', 'not KEY=VALUE'),
    ('a&=1', 'not KEY=VALUE'),
    ('a=1,', 'gives 0 values for 1 keys'),
    ('a=', 'gives 0 values'),
    ('a=1,1', '"1" is there twice'),
    ('a=x:1,x:2', '"x" is there twice'),
    ('a=:1', 'has no name'),
    ('a&b&c=1&2', 'gives 2 values for 3 keys'),
    ('a=[1,2', 'brackets'),
    ('a=1],[2', 'brackets'),
    ('randomness.seed=1,2', 'use --seeds'),
])  # fmt: skip
def test_what_cannot_be_read_is_said(text, message):
    with pytest.raises(ValueError, match=message):
        parse_axis(text)


def test_axes_are_named_by_the_end_of_their_first_key():
    axes = parse_axes(['model.neck.out_dim&b.in_channels=1', 'model.threshold.value=1', 'x=1'])
    assert [axis.name for axis in axes] == ['neck.out_dim', 'threshold.value', 'x']
    axes = parse_axes(['a.sam.lr.x=1', 'a.unet.lr.x=1'])
    assert [axis.name for axis in axes] == ['sam.lr.x', 'unet.lr.x']
    with pytest.raises(ValueError, match='a.b twice'):
        parse_axes(['a.b=1', 'c&a.b=2'])


def test_folder_names_are_plain_and_differ():
    names = folder_names(['[2,4]', '(2,4)', '../../etc', 'x' * 200, "'a b'"])
    assert len(set(names.values())) == 5 and all(len(n) <= 60 for n in names.values())
    assert names["'a b'"] == 'ab' and '/' not in names['../../etc']
    assert names['[2,4]'].startswith('2-4-'), 'a code tells it from the other'


def test_options_need_an_equals_sign():
    assert parse_options(['a=1', 'b=c=d']) == {'a': '1', 'b': 'c=d'}
    with pytest.raises(ValueError, match='"a" has no "=": write KEY=VALUE'):
        parse_options(['a'])


def test_keys_must_have_a_place_in_the_config(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        "model = dict(type='A', neck=dict(type='B', steps=(1, 2)), plain=dict(x=1))\n"
        "custom_hooks = [dict(type='C')]\n"
    )
    good = ['model.neck.steps', 'model.neck.default_of_b', 'custom_hooks.0.rule', 'model.plain.x']
    assert check_keys(str(config), {'model.y': '1'}, good).model.y == 1
    for key, message in [
        ('model.nekc.steps', 'has no "nekc" there; did you mean "neck"'),
        ('model.plain.z', 'has no "z" there'),
        ('custom_hooks.1.rule', 'has no "1" there'),
        ('model.neck.steps.x', 'has no "x" there'),
    ]:
        with pytest.raises(ValueError, match=message):
            check_keys(str(config), {}, [key])


def test_a_config_of_the_package_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = check_keys('sup_only/lite_phantom.py', {}, ['train_cfg.max_iters', 'image_size'])
    assert cfg.train_cfg.max_iters == 400
