from dataclasses import replace

import pytest
from fake_files import slices

from mmssl.datasets.files import splits
from mmssl.datasets.files.domain_names import DomainNames, read_list
from mmssl.datasets.files.splits import PARTS, hold_out, split_names


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
    of = replace(pool(tmp_path), others=frozenset('B'))
    assert read_list('all.txt', of) == ['00_02']
    assert read_list(['00_03'], pool()) == ['00_03']


def test_list_faults(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'Domain "A": .* no list file .*x\.txt'):
        read_list('x.txt', pool(tmp_path))
    (tmp_path / 'x.txt').write_text('00_00\n44_44\n55_55\n')
    message = r'no image "44_44", which line 2 of .*x\.txt names \(2 missing'
    with pytest.raises(ValueError, match=message):
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
    with pytest.raises(ValueError, match=r'leaves no image for test \(20 in all, of 5 cases'):
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


def parts(spec, of=None):
    of = of or pool(cases=10)
    return {part: sorted({name[:2] for name in split_names(of, spec, part)}) for part in PARTS}


def test_shares_of_validation_and_test_do_not_overlap():
    expected = dict(train=[f'{case:02d}' for case in range(7)], val=['07'], test=['08', '09'])
    assert parts(dict(type='case', val=0.1, test=0.2)) == expected
    assert parts(dict(type='case', train=0.7, val=0.1, test=0.2)) == expected
    loose = pool(cases=10, patients=False)
    assert parts(dict(type='fraction', val=0.1, test=0.2), loose) == expected
    assert parts(dict(type='case', train=0.5, val=0.1, test=['00'])) == dict(
        train=['01', '02', '03', '04', '05'], val=['09'], test=['00']
    )


def test_published_numbers_of_patients():
    for count, expected in ((320, (224, 32, 64)), (100, (70, 10, 20))):
        names = tuple(f'{number:03d}' for number in range(count))
        of = DomainNames('A', names, names, '')
        spec = dict(type='case', val=0.1, test=0.2, seed=0)
        assert tuple(len(split_names(of, spec, part)) for part in PARTS) == expected


def test_seed_shuffles_the_patients():
    spec = dict(type='case', val=0.2, test=0.3)
    drawn = parts({**spec, 'seed': 1})
    assert drawn == parts({**spec, 'seed': 1}) != parts({**spec, 'seed': 2}) != parts(spec)
    assert {part: len(cases) for part, cases in drawn.items()} == dict(train=5, val=2, test=3)


def test_a_list_may_name_volumes_and_cases(tmp_path):
    names = tuple(f'p{p}_f{f}_s{s}' for p in (1, 2, 3) for f in (1, 2) for s in (1, 2))
    volumes = tuple((name[:5],) for name in names)
    of = DomainNames('A', names, tuple(name[:2] for name in names), str(tmp_path), volumes)
    (tmp_path / 'a.list').write_text('\ufeffp3_f2.nii.gz\np1_f1_s2.h5\np2\n', encoding='utf-8')
    assert read_list('a.list', of) == [
        'p3_f2_s1', 'p3_f2_s2', 'p1_f1_s2', 'p2_f1_s1', 'p2_f1_s2', 'p2_f2_s1', 'p2_f2_s2',
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r'Domain "A" has no image "p4" in /data, which'):
        read_list(['p4'], replace(of, folder='/data'))
    assert read_list(['p4', 'p2_f1'], of, skip={'p4'}) == ['p2_f1_s1', 'p2_f1_s2']


SHARED = {
    'list': dict(type='list', train=['00_00', '01_00'], val=['01_01'], test=['02_00']),
    'slice': dict(type='slice', test=(3, None)),
    'fraction': dict(type='fraction', test=0.3),
}


@pytest.mark.parametrize('kind', SHARED)
def test_a_patient_in_two_parts_is_refused(kind):
    patient, first, second = {
        'list': ('01', 'train', 'val'),
        'slice': ('00', 'train', 'test'),
        'fraction': ('03', 'train', 'test'),
    }[kind]
    message = f'"A": patient "{patient}" is in two parts of the split, {first} and {second}'
    for part in ('train', 'test'):
        with pytest.raises(ValueError, match=message):
            split_names(pool(), SHARED[kind], part)
    assert split_names(pool(), {**SHARED[kind], 'check_patients': False}, 'test')
    assert split_names(pool(patients=False), SHARED[kind], 'test')


def test_validation_and_test_as_one_set(monkeypatch):
    warnings = []
    monkeypatch.setattr(splits, 'print_log', lambda text, **options: warnings.append(options))
    spec = dict(type='case', val=0.1, test=0.2, merge_val_test=True)
    found = parts(spec)
    assert found['val'] == found['test'] == ['07', '08', '09'] and '07' not in found['train']
    assert [options['level'] for options in warnings] == [30, 30]
    with pytest.raises(ValueError, match='merge_val_test needs a split that names val'):
        split_names(pool(), dict(type='case', test=0.2, merge_val_test=True), 'test')
    with pytest.raises(ValueError, match="another type than 'folder'"):
        split_names(pool(), dict(type='folder', merge_val_test=True), 'test')
