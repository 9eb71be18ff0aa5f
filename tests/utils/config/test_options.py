"""What `--cfg-options` reads, and where it puts it."""

import pytest
from mmengine.config import Config

from mmssl.utils.config.options import merge_options, parse_value
from mmssl.utils.errors import SettingError


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('5', 5),
        ('-2.5e-3', -2.5e-3),
        ('true', True),
        ('None', None),
        ('my dir/a', 'my dir/a'),
        ('a,b', ['a', 'b']),
        ('[1,(2,x y)]', [1, (2, 'x y')]),
        ('[]', []),
        ('()', ()),
        ('(3,)', (3,)),
        ('"a,b"', 'a,b'),
        ("'[x'", '[x'),
        ('{0: 0, 255: 1}', {0: 0, 255: 1}),
        ('a=b', 'a=b'),
        ('["a,b",c]', ['a,b', 'c']),
        ('', ''),
    ],
)
def test_values_are_read_as_they_are_written(text, value):
    read = parse_value(text)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize('text', ['[1,2', '1,2]', '(1]', '{a', '{a}', '[[1],2'])
def test_values_that_cannot_be_read_are_refused(text):
    with pytest.raises(SettingError, match='brackets|no dict'):
        parse_value(text)


def test_options_go_where_they_are_sent():
    cfg = Config(dict(a=dict(label_map={0: 0, 9: 1}, b=[dict(x=1), dict(x=2)]), d=dict(e=1)))
    merge_options(cfg, {'a.label_map': {0: 0, 255: 2}, 'a.b.1.x': 5, 'n.m': {1: 2}, 'd': {'f': 3}})
    assert cfg.a.label_map == {0: 0, 255: 2}  # by number: never merged
    merge_options(cfg, {'a.label_map': {'tumour': 1}})
    assert cfg.a.label_map == {'tumour': 1}, 'no label map is merged'
    assert cfg.a.b == [{'x': 1}, {'x': 5}] and cfg.d == {'e': 1, 'f': 3} and cfg.n.m == {1: 2}


@pytest.mark.parametrize(
    ('key', 'words'),
    [
        ('a.b.2.x', 'entries are 0 to 1'),
        ('a.b.x', 'is a list'),
        ('d.e.f', 'which has no entry "f"'),
    ],
)
def test_options_that_lead_nowhere_are_refused(key, words):
    cfg = Config(dict(a=dict(b=[dict(x=1), dict(x=2)]), d=dict(e=1)))
    with pytest.raises(SettingError, match=words):
        merge_options(cfg, {key: 5})
