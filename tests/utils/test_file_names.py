"""Names of files: readable, and no two the same on any file system."""

from mmssl.utils.file_names import LONGEST, file_names

THINGS = [
    ('s', 'scan 1'),
    ('s', 'scan_1'),
    ('s', 'scan#1'),
    ('s', 'scan(1)'),
    ('s', 'scan%201'),
    ('s', '../x'),
    ('s', 'x/y'),
    ('s', ''),
    ('s', 'A'),
    ('s', 'a'),
    ('d_a', 'b'),
    ('d', 'a_b'),
    ('s', 'x' * 300),
    ('s', 'x' * 301),
    ('s', 'ü' * 150),
    ('straße', '1'),
    ('strasse', '1'),
]


def test_no_two_things_share_a_name():
    names = list(file_names(THINGS).values())
    assert len({name.casefold() for name in names}) == len(THINGS)
    assert all(len(name.encode()) <= LONGEST + 1 and '/' not in name for name in names)
    assert names[:2] == ['s_scan%201', 's_scan_1'] and names[4] == 's_scan%25201'


def test_a_name_does_not_depend_on_the_order():
    assert file_names(THINGS) == file_names(THINGS[::-1])


def test_a_thing_named_twice_is_one():
    assert file_names([('a', 1), ('a', '1')]) == {('a', '1'): 'a_1'}
