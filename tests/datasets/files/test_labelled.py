"""Which training images have labels."""

import pytest
from fake_files import slices

from mmssl.datasets.files.domain_names import DomainNames
from mmssl.datasets.files.labelled import choose_in_all, choose_labelled


def pool(domain='A', cases=5, per_case=4, tmp_path=''):
    names = slices(cases, per_case)
    return DomainNames(domain, tuple(names), tuple(name[:2] for name in names), str(tmp_path))


def cases_of(names):
    return {name[:2] for name in names}


def test_labelled_first_n_ratio_and_all():
    names = list(pool().names)
    assert choose_labelled(pool(), dict(num=3), 0) == names[:3]
    assert choose_labelled(pool(), dict(ratio=1 / 8), 60) == names[:7]  # int(7.5)
    assert choose_labelled(pool(), dict(), 0) == names


def test_labelled_drawn_with_a_seed():
    names = list(pool().names)
    drawn = choose_labelled(pool(), dict(num=6, seed=1), 0)
    assert len(set(drawn)) == 6 and drawn == sorted(drawn) != names[:6]
    assert drawn == choose_labelled(pool(), dict(num=6, seed=1), 0)
    assert drawn != choose_labelled(pool(), dict(num=6, seed=2), 0)


def test_labelled_by_case_and_list():
    assert cases_of(choose_labelled(pool(), dict(cases=2), 0)) == {'00', '01'}
    assert cases_of(choose_labelled(pool(), dict(cases=['03']), 0)) == {'03'}
    assert choose_labelled(pool(), dict(list=['00_02', '00_01']), 0) == ['00_01', '00_02']


def test_labelled_faults():
    with pytest.raises(ValueError, match='asks for 21 training images, but domain "A" has 20'):
        choose_labelled(pool(), dict(num=21), 0)
    with pytest.raises(ValueError, match='asks for 6 cases, but domain "A" has 5'):
        choose_labelled(pool(), dict(cases=6), 0)
    with pytest.raises(ValueError, match='only one of num, ratio'):
        choose_labelled(pool(), dict(num=2, ratio=0.5), 4)
    with pytest.raises(ValueError, match='chooses no image'):
        choose_labelled(pool(), dict(ratio=0.01), 20)
    with pytest.raises(ValueError, match='no image "99_99", which the list in the config names'):
        choose_labelled(pool(), dict(cases=1, list=['99_99']), 0)
    with pytest.raises(ValueError, match='asks for -1 cases'):
        choose_labelled(pool(), dict(cases=-1), 0)


ORDER = ['03_02', '03_00', '01_01', '01_03', '04_00']


def test_first_of_a_list_in_its_own_order(tmp_path):
    (tmp_path / 'order.list').write_text('\n'.join(ORDER))
    for entries in (ORDER, 'order.list'):
        of = pool(tmp_path=tmp_path)
        assert choose_labelled(of, dict(num=3, list=entries), 0) == ['01_01', '03_00', '03_02']
        assert cases_of(choose_labelled(of, dict(cases=1, list=entries), 0)) == {'03'}
        assert cases_of(choose_labelled(of, dict(cases=2, list=entries), 0)) == {'01', '03'}
        assert len(choose_labelled(of, dict(cases=2, list=entries), 0)) == 8
        assert choose_labelled(of, dict(ratio=0.1, list=entries), 20) == ['03_00', '03_02']
    with pytest.raises(ValueError, match='asks for 4 cases, but domain "A" has 3'):
        choose_labelled(pool(), dict(cases=4, list=ORDER), 0)


def test_share_of_the_cases():
    published = {0.05: 3, 0.1: 7, 0.2: 14}
    names = tuple(f'{number:03d}' for number in range(70))
    of = DomainNames('A', names, names, '')
    for share, count in published.items():
        assert choose_labelled(of, dict(cases=share), 0) == list(names[:count])
    assert cases_of(choose_labelled(pool(), dict(cases=1.0), 0)) == cases_of(pool().names)


def test_cases_drawn_with_a_seed_are_nested():
    drawn = [cases_of(choose_labelled(pool(), dict(cases=n, seed=5), 0)) for n in (1, 2, 3)]
    assert drawn[0] < drawn[1] < drawn[2] != {'00', '01', '02'}


def test_nothing_labelled():
    for spec in (dict(num=0), dict(cases=0)):
        assert choose_labelled(pool(), spec, 20) == []


def test_list_names_what_is_held_out():
    spec = dict(cases=2, list=['09', *ORDER])
    assert cases_of(choose_labelled(pool(), spec, 0, skip={'09'})) == {'01', '03'}


def test_cases_of_all_domains():
    pools = [pool('A'), pool('B')]
    spec = dict(domain='all', cases=8)
    chosen = choose_in_all(pools, spec, 0)
    assert cases_of(chosen['A']) == cases_of(pool().names)
    assert cases_of(chosen['B']) == {'00', '01', '02'}
    drawn = choose_in_all(pools, {**spec, 'seed': 1}, 0)
    assert sum(len(cases_of(names)) for names in drawn.values()) == 8
    assert len(cases_of(drawn['A'])) < 5
    named = choose_in_all(pools, dict(list=['B/02_00', 'A/01_03'], domain='all'), 0)
    assert named == dict(A=['01_03'], B=['02_00'])
