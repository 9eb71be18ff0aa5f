"""Names that a config, a YAML file or a command line gives as numbers."""

import pytest
from fake_files import prostate, slices, write_pairs

from mmssl.registry import DATASETS


@pytest.fixture
def root(tmp_path):
    """Domains 2 and 3 with the cases 07, 08 and 19 each, in one folder."""
    for domain in ('2', '3'):
        write_pairs(tmp_path / domain, [f'{case}_{n}' for case in ('07', '08', '19') for n in '01'])
    return tmp_path


def build(root, **options):
    options = {
        'domains': [2, 3], 'labelled': dict(domain=2, num=1), 'image_dir': '{domain}/image',
        'mask_dir': '{domain}/mask', 'split': dict(type='case', test=['19']), **options,
    }  # fmt: skip
    return DATASETS.build(prostate(root, **options))


SAME = {
    'domains': (dict(domains=[2, 3]), dict(domains=['2', '3'])),
    'one domain': (dict(domains=2), dict(domains='2')),
    'labelled domain': (dict(labelled=dict(domain=3)), dict(labelled=dict(domain='3'))),
    'unlabelled': (dict(unlabelled_domains=3), dict(unlabelled_domains=['3'])),
    'overrides': (dict(overrides={2: dict(split=dict(type='case', test=['08']))}),
                  dict(overrides={'2': dict(split=dict(type='case', test=['08']))})),
    'holdout of domains': (dict(holdout=dict(cases=['08'], domains=3)),
                           dict(holdout=dict(cases=['08'], domains=['3']))),
    'a case alone': (dict(labelled=dict(domain=2, cases='07')),
                     dict(labelled=dict(domain=2, cases=['07']))),
    'a held out case alone': (dict(holdout=dict(cases='08')), dict(holdout=dict(cases=['08']))),
    'a test case alone': (dict(split=dict(type='case', test='19')), {}),
    'a case as a number': (dict(split=dict(type='case', test=[19])), {}),
    'a listed case as a number': (dict(split=dict(type='list', test=[19])), {}),
}  # fmt: skip


@pytest.mark.parametrize('case', SAME)
def test_numbers_are_names(root, case):
    given, meant = SAME[case]
    found, expected = build(root, **given), build(root, **meant)
    assert found.samples == expected.samples and found.domains == expected.domains
    assert all(isinstance(name, str) for name in found.domains + found.unlabelled_domains)


ZEROS = 'Did you mean "07"\\? Numbers with leading zeros need quotes'
FAULTS = {
    'test case': (dict(split=dict(type='case', test=[7])), f'no case "7".*{ZEROS}'),
    'listed': (dict(split=dict(type='list', test=[7])), f'no image "7".*{ZEROS}'),
    'labelled case': (dict(labelled=dict(domain=2, cases=[7])), f'no case "7".*{ZEROS}'),
    'labelled list': (dict(labelled=dict(domain=2, list=[7])), f'no image "7".*{ZEROS}'),
    'held out case': (dict(holdout=dict(cases=[7])), f'no case "7".*{ZEROS}'),
    'domain with zeros': (dict(domains=['02', 3]), 'labelled.domain names domain "2".*mean "02"'),
    'labelled domain': (dict(labelled=dict(domain='02')), 'domain "02".*mean "2"'),
    'twice': (dict(domains=[2, '2']), 'give each name once'),
    'truth value': (dict(domains=[2, False]), r'domains=\[2, False\]; it must be .*text'),
    'nothing': (dict(domains=[2, None]), r'domains=\[2, None\]; it must be .*text'),
    'fraction': (dict(labelled=dict(domain=2.5)), 'labelled.domain has 2.5, which is no name'),
    'empty': (dict(domains=['2', ' ']), "domains has ' ', which is no name"),
    'overrides': (dict(overrides={4: {}}), 'overrides names domain "4"'),
    'unlabelled': (dict(unlabelled_domains=[4]), 'unlabelled_domains names domain "4"'),
    'a share that is a case': (dict(split=dict(type='case', test=19)),
                               r"test=19 is no share from 0 to 1.*test=\['19'\]"),
    'a share below 0': (dict(split=dict(type='fraction', test=-0.2)), 'no share from 0 to 1'),
    'a share in words': (dict(split=dict(type='fraction', test='0.2')), "'0.2' is no share"),
    'shares of more than all': (dict(split=dict(type='case', test=0.7, val=0.7)), 'more than'),
    'places': (dict(split=dict(type='slice', test=0.2)), r'test=0.2 must be \(start, stop\)'),
    'number of labels': (dict(labelled=dict(domain=2, num=1.5)), '1.5 is no whole number'),
    'number in words': (dict(labelled=dict(domain=2, num='1')), "'1' is no whole number"),
    'yes': (dict(labelled=dict(domain=2, num=True)), 'True is no whole number'),
    'ratio in words': (dict(labelled=dict(domain=2, ratio='all')), "'all' is no share"),
    'seed': (dict(labelled=dict(domain=2, num=1, seed='a')), "seed = 'a' must be a whole"),
    'held out share': (dict(holdout=dict(fraction=2)), 'fraction=2 is no share'),
    'holdout': (dict(holdout=dict(fraction=0.5, domain='2')), 'holdout = .*: give either'),
}  # fmt: skip


@pytest.mark.parametrize('case', FAULTS)
def test_names_and_numbers_that_mean_nothing(root, case):
    options, message = FAULTS[case]
    with pytest.raises(ValueError, match=message) as error:
        build(root, **options)
    assert '\n' not in str(error.value)


def test_a_domain_of_digits_is_a_folder(root):
    dataset = build(root)
    assert {sample.domain for sample in dataset.samples} == {'2', '3'} == set(dataset.domains)
    assert len(slices(2, 2)) == len(dataset.samples) / 2
