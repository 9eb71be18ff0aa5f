import pytest
from fake_files import slices

from mmssl.datasets.domain_names import DomainNames, read_list
from mmssl.datasets.labelled import choose_labelled
from mmssl.datasets.splits import hold_out, split_names


def pool(tmp_path='', cases=5, per_case=4, patients=True):
    names = slices(cases, per_case)
    of_names = tuple(name[:2] if patients else name for name in names)
    return DomainNames('A', tuple(names), of_names, str(tmp_path))


def test_slice_and_its_complement():
    loose = pool(patients=False)
    names = loose.names
    spec = dict(type='slice', test=(3, None, 4))
    assert split_names(loose, spec, 'test') == list(names[3::4])
    assert split_names(loose, spec, 'train') == [n for n in names if n not in names[3::4]]
    spec = dict(type='slice', train=(0, 10), val=(10, 12))
    assert split_names(loose, spec, 'test') == list(names[12:])


def test_fraction_takes_the_last_names():
    loose = pool(patients=False)
    names = loose.names
    spec = dict(type='fraction', test=0.29)
    assert split_names(loose, spec, 'test') == list(names[-5:])  # int(0.29 * 20)
    assert split_names(loose, spec, 'train') == list(names[:-5])
    spec = dict(type='fraction', train=0.5)
    assert split_names(loose, spec, 'train') == list(names[:10])


def test_by_case_keeps_cases_together():
    spec = dict(type='case', test=0.4)
    assert {n[:2] for n in split_names(pool(), spec, 'test')} == {'03', '04'}
    assert len(split_names(pool(), spec, 'train')) == 12
    spec = dict(type='case', test=['01'])
    assert split_names(pool(), spec, 'test') == [f'01_{i:02d}' for i in range(4)]
    with pytest.raises(ValueError, match='Domain "A" has no case "9"'):
        split_names(pool(), dict(type='case', test=[9]), 'test')


def test_list_files(tmp_path):
    (tmp_path / 'A').mkdir()
    (tmp_path / 'A/test.txt').write_text('# comment\n00_01.png\n\n00_00\n')
    spec = dict(type='list', test='{domain}/test.txt')
    loose = pool(tmp_path, patients=False)
    assert split_names(loose, spec, 'test') == ['00_00', '00_01']
    assert len(split_names(loose, spec, 'train')) == 18
    (tmp_path / 'all.txt').write_text('A/00_02.jpg\nB/77_77\n')
    assert read_list('all.txt', pool(tmp_path)) == ['00_02']
    assert read_list(['00_03'], pool()) == ['00_03']


def test_list_faults(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'Domain "A": .* no list file .*x\.txt'):
        read_list('x.txt', pool(tmp_path))
    (tmp_path / 'x.txt').write_text('00_00\n44_44\n55_55\n')
    with pytest.raises(ValueError, match=r'no image "44_44", which .*x\.txt names \(2 missing'):
        read_list('x.txt', pool(tmp_path))


def test_split_faults():
    with pytest.raises(ValueError, match='"flod" is not known .*folder, list'):
        split_names(pool(), dict(type='flod'), 'train')
    with pytest.raises(ValueError, match='must say what train, val or test hold'):
        split_names(pool(), dict(type='slice'), 'train')
    with pytest.raises(ValueError, match="'tset': 0.2} must say what train"):
        split_names(pool(), dict(type='fraction', tset=0.2), 'train')
    with pytest.raises(ValueError, match='gives image "00_01" to train and to test'):
        split_names(pool(), dict(type='slice', train=(0, 2), test=(1, 3)), 'train')
    with pytest.raises(ValueError, match=r'leaves no image for test \(20 in all\)'):
        split_names(pool(), dict(type='fraction', test=0.01), 'test')


def test_hold_out_whole_cases():
    held = hold_out(pool(), dict(fraction=0.4))
    assert {name[:2] for name in held} == {'03', '04'} and len(held) == 8
    assert {name[:2] for name in hold_out(pool(), dict(fraction=0.01))} == {'04'}
    assert {name[:2] for name in hold_out(pool(), dict(cases=['02']))} == {'02'}
    with pytest.raises(ValueError, match='either cases'):
        hold_out(pool(), dict())
    with pytest.raises(ValueError, match='leaves none to train on'):
        hold_out(pool(cases=1), dict(fraction=0.5))


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
    assert {n[:2] for n in choose_labelled(pool(), dict(cases=2), 0)} == {'00', '01'}
    assert {n[:2] for n in choose_labelled(pool(), dict(cases=['03']), 0)} == {'03'}
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
