"""In which order images are taken, and a warning where it is one of classes."""

import os
from pathlib import Path

import pytest
from fake_files import prostate, slices, write_pairs

from mmssl.datasets.files.domain_names import DomainNames
from mmssl.datasets.files.labelled import choose_in_all, choose_labelled
from mmssl.datasets.files.ordering import looks_sorted
from mmssl.datasets.files.splits import PARTS, hold_out, split_names
from mmssl.datasets.sets import ACDC, BUSI, Fundus, MNMs, Prostate
from mmssl.registry import DATASETS


def pool(names, case=str, domain='A'):
    return DomainNames(domain, tuple(names), tuple(map(case, names)), '')


def lungs(healthy=60, ill=40, per_case=1):
    """Return names that end in the diagnosis, as those of the chest X-rays do."""
    of_class = [(f'{n:04d}', int(n >= healthy)) for n in range(healthy + ill)]
    views = [f'_v{view}' for view in range(per_case)] if per_case > 1 else ['']
    return pool([f'XR_{n}{v}_{c}' for n, c in of_class for v in views], lambda name: name[3:7])


def classes(names):
    return {name[-1] for name in names}


def test_a_sorted_split_and_sorted_labels_are_named(said):
    assert classes(split_names(lungs(), dict(type='fraction', test=0.2), 'test')) == {'1'}
    assert said == [
        'Domain "A": the images for test look sorted by class: none of the 20 cases has "0" at '
        'the end of the name, but 60 of all 100 cases have it. Take seed=0 in `split`, or '
        'another type of split; if it is a patient, say so in case_pattern.'
    ]
    assert classes(choose_labelled(lungs(), dict(num=20), 0)) == {'0'}
    assert 'the labelled images look sorted by class: none' in said[1] and len(said) == 2
    choose_labelled(lungs(), dict(cases=20), 0)
    choose_labelled(lungs(), dict(ratio=0.2), 100)
    choose_labelled(lungs(), dict(num=40, list=list(lungs().names)), 100)
    assert len(said) == 3  # the same words once, 40 images are others


SORTED = {
    'ends in it': [f'{n:03d}_{"ill" if n > 50 else "well"}' for n in range(100)],
    'begins with it': [f'{"n" if n > 50 else "g"}{n:04d}' for n in range(100)],
    'in the middle': [f'x_{"AD" if n > 50 else "CN"}_{n:03d}' for n in range(100)],
    'four classes': [f'grade{n // 25}_{n:03d}' for n in range(100)],
    'alone in the test': [f'{n:03d}{"b" * (n > 79) or "a"}' for n in range(100)],
}
UNSORTED = {
    'numbers': [f'{n:03d}' for n in range(100)],
    'in turn': [f'{n:03d}_{n % 2}' for n in range(100)],
    'rare': [f'{n:03d}_{int(n in (4, 30))}' for n in range(100)],
    'visits': [f'{n // 3:03d}_{n % 3}' for n in range(100)],
    'many years': [f'{1990 + n // 5}_{n:03d}' for n in range(100)],
    'few': [f'{n}_{"a" if n < 5 else "b"}' for n in range(9)],
    'no common part': ['a', 'b_1_x', '7', '_', '--', *(f'q{n}' for n in range(80))],
}


@pytest.mark.parametrize('kind', [*SORTED, *UNSORTED])
def test_what_looks_sorted(kind):
    of = pool((SORTED | UNSORTED)[kind])
    found = looks_sorted(of.names[-20 * (len(of.names) > 20) or -2 :], of, 'The images', 'this')
    assert (found is not None) == (kind in SORTED), found


def test_words_of_parts_and_of_images_are_no_classes():
    names = [f'train_{n:03d}' for n in range(80)] + [f'test_{n:03d}' for n in range(20)]
    assert looks_sorted(names[80:], pool(names), '', '') is None
    # Slices and views are within a case, and cases are compared, not images.
    of = pool(slices(4, 30), lambda name: name[:2])
    assert looks_sorted(of.names[-30:], of, '', '') is None
    assert looks_sorted(lungs(per_case=3).names[-60:], lungs(per_case=3), 'x', '') is not None


def test_slices_and_volumes_of_one_data_set_are_no_classes():
    frames = [f'patient{n:03d}_frame{f:02d}' for n in range(100) for f in (1, 2)]
    volumes, parts = frames[140:], [f'{name}_slice_{k}' for name in frames[:140] for k in range(3)]
    of = pool(parts + volumes, lambda name: name[:10])
    assert looks_sorted(volumes, of, '', '') is None
    assert looks_sorted(parts, of, '', '') is None


@pytest.mark.parametrize('seed', range(5))
def test_a_seed_draws_whole_cases_of_all_classes(said, seed):
    of = lungs(per_case=3)
    spec = dict(type='fraction', val=0.1, test=0.2, seed=seed)
    found = {part: split_names(of, spec, part) for part in PARTS}
    assert [len(found[part]) for part in PARTS] == [210, 30, 60]
    assert all(classes(names) == {'0', '1'} for names in found.values())
    cases = [{of.case_of[name] for name in names} for names in found.values()]
    assert not (cases[0] & cases[1] | cases[0] & cases[2] | cases[1] & cases[2])
    assert found['test'] == split_names(of, {**spec, 'type': 'case'}, 'test')
    held = hold_out(of, dict(fraction=0.2, seed=seed))
    assert classes(held) == {'0', '1'} and len(held) == 60
    labelled = choose_labelled(of, dict(num=20, seed=seed), 0)
    assert len(labelled) == 20 and classes(labelled) == {'0', '1'}
    assert len({of.case_of[name] for name in labelled}) == 7  # case by case
    drawn = choose_labelled(of, dict(cases=7, seed=seed), 0)
    assert set(labelled) < set(drawn)
    assert said == []


def names(dataset, labelled=False):
    chosen = dataset.labelled_indices if labelled else range(len(dataset.samples))
    return [dataset.samples[index].name for index in chosen]


def build(root, **options):
    options = {
        'domains': ['A'], 'case_pattern': None, 'image_dir': '{domain}/image',
        'mask_dir': '{domain}/mask', 'split': dict(type='fraction', test=0.2),
        'labelled': dict(num=20), **options,
    }  # fmt: skip
    return DATASETS.build(prostate(root, **options))


def test_new_data_are_shuffled_and_published_sets_are_not(tmp_path, said):
    order = list(lungs(50, 50).names)
    write_pairs(tmp_path / 'A', order)
    train, test = build(tmp_path), build(tmp_path, mode='test')
    assert classes(names(test)) == {'0', '1'} == classes(names(train, labelled=True))
    assert not set(names(test)) & set(names(train)) and said == []
    assert names(build(tmp_path, mode='test')) == names(test)
    held = dict(holdout=dict(fraction=0.2), labelled=dict(domain='A'))
    assert classes(names(build(tmp_path, mode='val', **held))) == {'0', '1'}
    held['holdout']['seed'] = None
    assert names(build(tmp_path, mode='val', **held)) != order[64:80]
    # Asked for, the published rule counts, here and in a data set that was published with it.
    plain = dict(split=dict(type='fraction', test=0.2, seed=None), labelled=dict(num=20, seed=None))
    for options in (plain, dict(type='BUSI', mask_name='{name}')):
        assert names(build(tmp_path, mode='test', **options)) == order[80:]
        assert names(build(tmp_path, **options), labelled=True) == order[:20]
        assert len(said) == 2
    only_lists = dict(split=dict(type='list', test=order[80:]))
    only_lists['labelled'] = dict(list=order[:9], num=3)
    assert names(build(tmp_path, **only_lists), labelled=True) == order[:3]


def test_cases_of_new_data_are_shuffled(tmp_path):
    write_pairs(tmp_path / 'A', slices(10, 2))
    options = dict(split=dict(type='case', test=0.2), labelled=dict(cases=2))
    options['case_pattern'] = r'(?P<case>\d\d)_(?P<slice>\d\d)'
    test = {sample.case for sample in build(tmp_path, mode='test', **options).samples}
    train = build(tmp_path, **options)
    labelled = {train.samples[index].case for index in train.labelled_indices}
    assert len(test) == len(labelled) == 2 and not test & labelled
    assert test != {'08', '09'} or labelled != {'00', '01'}
    everywhere = dict(domain='all', num=4, seed=0)
    pools = [pool(slices(5, 2), lambda name: name[:2], domain) for domain in 'AB']
    assert sum(map(len, choose_in_all(pools, everywhere, 0).values())) == 4


@pytest.mark.parametrize('published', [Prostate, Fundus, MNMs, BUSI, ACDC])
def test_published_sets_state_the_published_rule(published, tmp_path):
    """The images of `num` and `fraction` are the first and the last of the sorted names."""
    write_pairs(tmp_path / 'D', slices(10, 1))
    options = dict(
        data_root=tmp_path, domains=['D'], image_dir='{domain}/image', mask_dir='{domain}/mask',
        mask_name='{name}', image_suffixes=('.png',), mask_suffixes=('.png',), case_pattern=None,
        split=dict(type='fraction', test=0.2),
    )  # fmt: skip
    assert names(published(mode='test', **options)) == ['08_00', '09_00']
    train = published(labelled=dict(num=3), **options)
    assert names(train, labelled=True) == ['00_00', '01_00', '02_00']
    val = published(mode='val', holdout=dict(fraction=0.25), labelled=dict(domain='D'), **options)
    assert names(val) == ['06_00', '07_00']


@pytest.mark.skipif(
    not (Path(os.environ.get('MMSSL_DATA', '/nowhere')) / 'lungs').is_dir(),
    reason='MMSSL_DATA names no folder with lungs',
)
def test_real_chest_x_rays(said):
    root = Path(os.environ['MMSSL_DATA']) / 'lungs'
    options = dict(domains=['Montgomery', 'Shenzhen'], labelled=dict(domain='Shenzhen', num=20))
    found = build(root, **options), build(root, mode='test', **options)
    assert [len(d) for d in found] == [138 - 27 + 566 - 113, 27 + 113] and said == []
    shares = [sum(name[-1] == '1' for name in names(d)) / len(d) for d in found]
    assert all(0.35 < share < 0.65 for share in shares)
    assert 4 <= sum(name[-1] == '1' for name in names(found[0], labelled=True)) <= 16
    build(root, mode='test', split=dict(type='fraction', test=0.2, seed=None), **options)
    domains = [text.split(': the images for test')[0] for text in said]
    assert domains == ['Domain "Montgomery"', 'Domain "Shenzhen"']
