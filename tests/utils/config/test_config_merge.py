"""What a config says of a new data set takes the place of what its base said of the old one."""

import pytest

from mmssl.utils.config.merge import drop_contradicted
from mmssl.utils.setup import load_config

ACDC = dict(labelled=dict(cases=7, list='train_slices.list'), type='ACDC')
PHANTOM = dict(
    labelled=dict(domain='ScannerA', num=12), domains=['ScannerA', 'ScannerB'],
    label_map={0: 0, 255: 1}, overrides=dict(ScannerB=dict(channels=3)),
    metainfo=dict(dataset_name='phantom', classes=('a', 'b'), parts=dict(b=[1]), palette=[[0]]),
    split=dict(type='list', train='train.txt', test='test.txt'),
    holdout=dict(fraction=0.2),
)  # fmt: skip
CASES = [
    (ACDC, dict(labelled=dict(cases=3)), dict(cases=3, list='train_slices.list')),
    (ACDC, dict(labelled=dict(num=20)), dict(num=20, list='train_slices.list')),
    (ACDC, dict(labelled=dict(list='mine.txt')), dict(list='mine.txt')),
    (
        ACDC,
        dict(split=dict(type='case', test=0.2), labelled=dict(cases=7, seed=0)),
        dict(cases=7, seed=0),
    ),
    (
        ACDC,
        dict(split=dict(type='list', train='train_slices.list', merge_val_test=True)),
        dict(cases=7, list='train_slices.list'),
    ),
    (ACDC, dict(split=dict(type='list', train='mine.txt', test='t.txt')), dict(cases=7)),
    (ACDC, dict(type='MixedDomainDataset', labelled=dict(num=5)), dict(num=5)),
    (PHANTOM, dict(labelled=dict(ratio=0.1)), dict(domain='ScannerA', ratio=0.1)),
    (PHANTOM, dict(labelled=dict(seed=3)), dict(domain='ScannerA', num=12, seed=3)),
    (PHANTOM, dict(domains=['site']), dict(num=12)),
    (PHANTOM, dict(domains=['ScannerA']), dict(domain='ScannerA', num=12)),
    (PHANTOM, dict(domains=['site'], labelled=dict(domain='site')), dict(domain='site', num=12)),
]


def built(folder, base, new):
    (folder / 'base.py').write_text(f'train_dataloader = dict(dataset={base!r})\n')
    (folder / 'child.py').write_text(
        f"_base_ = './base.py'\ntrain_dataloader = dict(dataset={new!r})\n"
    )
    return load_config(folder / 'child.py').train_dataloader.dataset.to_dict()


@pytest.mark.parametrize('base, new, expected', CASES, ids=[str(case[1]) for case in CASES])
def test_labelled(base, new, expected, tmp_path):
    assert built(tmp_path, base, new)['labelled'] == expected
    if 'labelled' in new:  # and with `_delete_`, where a user writes it all the same
        whole = dict(new, labelled=dict(expected, _delete_=True))
        assert built(tmp_path, base, whole)['labelled'] == expected


@pytest.mark.parametrize(
    'key, value, expected',
    [
        ('label_map', {0: 0, 1: 1}, {0: 0, 1: 1}),
        ('label_map', {'_delete_': True, 0: 0, 1: 1}, {0: 0, 1: 1}),
        ('metainfo', dict(classes=('a', 'c')), dict(classes=('a', 'c'))),
        ('metainfo', dict(dataset_name='mine'), dict(PHANTOM['metainfo'], dataset_name='mine')),
        ('metainfo', dict(parts=dict(c=[1])), dict(PHANTOM['metainfo'], parts=dict(c=[1]))),
        ('split', dict(type='fraction', test=0.2), dict(type='fraction', test=0.2)),
        ('split', dict(val='val.txt'), dict(PHANTOM['split'], val='val.txt')),
        ('holdout', dict(cases=['1']), dict(cases=['1'])),
        (
            'overrides',
            dict(ScannerA=dict(channels=1)),
            dict(ScannerA=dict(channels=1), ScannerB=dict(channels=3)),
        ),
    ],
)
def test_other_options(key, value, expected, tmp_path):
    assert built(tmp_path, PHANTOM, {key: value})[key] == expected


def test_options_of_domains_that_are_gone_are_dropped(tmp_path):
    found = built(tmp_path, PHANTOM, dict(domains=['ScannerA', 'mine']))
    assert found['overrides'] == {} and found['labelled']['domain'] == 'ScannerA'


def test_the_command_line_names_single_items(tmp_path):
    built(tmp_path, PHANTOM, {})
    place = 'train_dataloader.dataset'
    cfg = load_config(tmp_path / 'child.py', {
        f'{place}.metainfo.parts.c': [1], f'{place}.labelled.cases': 2,
        f'{place}.split.type': 'case', f'{place}.split.test': 0.2})  # fmt: skip
    data = cfg.train_dataloader.dataset
    assert data.metainfo.parts == dict(b=[1], c=[1])
    assert data.labelled == dict(domain='ScannerA', cases=2)
    assert data.split == dict(type='case', test=0.2)


def test_the_base_is_not_changed():
    before = str(PHANTOM)
    drop_contradicted(PHANTOM, dict(label_map={}, labelled=dict(cases=2), domains=['x']))
    assert str(PHANTOM) == before


def test_delete_is_harmless_where_there_is_nothing_to_delete(tmp_path):
    """Also in a dictionary that stands in several places."""
    (tmp_path / 'base.py').write_text('a = None\nmodel = dict(x=dict(p=1, q=2), z=[a])\n')
    (tmp_path / 'child.py').write_text(
        "_base_ = './base.py'\nnew = dict(_delete_=True, p=3, r=dict(_delete_=True, s=4))\n"
        'model = dict(x=new, y=new)\ntrain_cfg = dict(_delete_=True, b=new)\n'
    )
    found = load_config(tmp_path / 'child.py').to_dict()
    new = dict(p=3, r=dict(s=4))
    assert found == dict(model=dict(x=new, y=new, z=[None]), train_cfg=dict(b=new))


def test_nothing_gives_way_to_a_dictionary(tmp_path):
    (tmp_path / 'base.py').write_text('test_cfg = None\n')
    (tmp_path / 'child.py').write_text("_base_ = './base.py'\ntest_cfg = dict(fp16=True)\n")
    assert load_config(tmp_path / 'child.py').test_cfg == dict(fp16=True)
