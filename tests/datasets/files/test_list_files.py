"""Lists of images as people write them: each line is one image, or an error that names it."""

import pytest
from fake_files import prostate, slices, write_pairs

from mmssl.registry import DATASETS

NAMES = ['04', '05', 'benign (1)', 'a,b', 'M\u00fcller', 'scan.v2']


@pytest.fixture
def root(tmp_path):
    for domain in ('siteA', 'siteB'):
        write_pairs(tmp_path / domain / 'all', [*slices(2, 2), *NAMES])
    return tmp_path


def build(root, **options):
    options = {
        'domains': ['siteA'],
        'image_dir': '{domain}/all/image',
        'mask_dir': '{domain}/all/mask',
        'case_pattern': None,
        'labelled': dict(domain='siteA', num=1),
        'split': dict(type='list', test='test.txt'),
        **options,
    }
    return DATASETS.build(prostate(root, **options))


def images_of(root, content, **options) -> list[str]:
    """Write a list, check that no image of it is in training, and return the test images."""
    data = content if isinstance(content, bytes) else content.encode()
    (root / 'test.txt').write_bytes(data)
    test = [f'{s.domain}/{s.name}' for s in build(root, mode='test', **options).samples]
    train = {f'{s.domain}/{s.name}' for s in build(root, **options).samples}
    assert not train & set(test)
    every = 10 * len(options.get('domains', ['siteA']))
    assert len(train) + len(test) == every
    return test


FORMS = {
    'plain': '04\n05\n',
    'suffix': '04.png\n05.PNG\n',
    'other suffix': '04.jpg\n05.nii.gz\n',
    'no line end at the end': '04\n05',
    'windows': '04.png\r\n\r\n05.png \r\n   \r\n',
    'old mac': '04\r05\r',
    'mark': '\ufeff04.png\n05.png\n',
    'marks of joined files': '\ufeff04.png\n\ufeff05.png\n',
    'utf-16': '04\r\n05\r\n'.encode('utf-16'),
    'utf-16, big': b'\xfe\xff' + '04\n05\n'.encode('utf-16-be'),
    'utf-32': '04\n05\n'.encode('utf-32'),
    'comments': '# test images\n\n04  # blurred\n05\n#06\n',
    'quotes': '"04.png"\n\'05.png\'\n',
    'folder': 'image/04.png\nimage/05.png\n',
    'folders below the domain': 'all/image/04.png\nall/image/05.png\n',
    'some of the folders': 'siteA/04.png\nsiteA/image/05.png\n',
    'below the data root': 'siteA/all/image/04.png\nsiteA/all/image/05\n',
    'of another machine': '/disk/x/siteA/all/image/04.png\nD:\\y\\siteA\\all\\image\\05.png\n',
    'dots': './04.png\n../../siteA/all/image/05.png\n',
    'back slashes': 'all\\image\\04.png\nsiteA\\05.png\n',
    'two slashes': 'all//image//04.png\n05.png\n',
    'mixed': 'all/image/04.png\n05.png\n',
    'two columns': 'all/image/04.png all/mask/04.png\nall/image/05.png all/mask/05.png\n',
    'tabs': '04.png\t04_mask.png\n05.png\tpoor\n',
    'commas': '04,1\n05,0\n',
    'quoted cells': '"04.png","04.png"\n"05.png", "05.png"\n',
    'semicolons': '04.png;mask/04.png;1\n05.png;;\n',
    'spaces after commas': '04.png, x y\n05.png, z\n',
    'twice': '04\n05\n04.png\n',
}


@pytest.mark.parametrize('form', FORMS)
def test_ways_to_write_a_list(root, form):
    assert images_of(root, FORMS[form]) == ['siteA/04', 'siteA/05']


@pytest.mark.parametrize('line', [
    'benign (1)', 'benign (1).png', 'all/image/benign (1).png', '"benign (1).png"',
    'benign (1).png,1', 'benign (1).png\tbenign (1)_mask.png',
])  # fmt: skip
def test_spaces_in_names(root, line):
    assert images_of(root, line) == ['siteA/benign (1)']


@pytest.mark.parametrize('line', ['a,b', 'a,b.png', 'image/a,b.png', 'a,b.png\t1', '"a,b.png",1'])
def test_commas_in_names(root, line):
    assert images_of(root, line) == ['siteA/a,b']


@pytest.mark.parametrize('line', ['M\u00fcller', 'Mu\u0308ller.png', 'image/Mu\u0308ller'])
def test_accents_in_one_sign_or_two(root, line):
    assert images_of(root, line) == ['siteA/M\u00fcller']


def test_a_dot_in_a_name_is_no_suffix(root):
    assert images_of(root, 'scan.v2') == images_of(root, 'scan.v2.png') == ['siteA/scan.v2']


def test_an_absolute_path_here(root):
    assert images_of(root, f'{root}/siteA/all/image/04.png') == ['siteA/04']


def test_a_number_sign_may_begin_a_name(root):
    write_pairs(root / 'siteA' / 'all', ['#06'])
    (root / 'test.txt').write_text('#06.png\n# 04.png\n')
    assert [s.name for s in build(root, mode='test').samples] == ['#06']


LINES = {
    'unknown': ('06', 'no image "06"'),
    'capitals of a folder': ('SITEA/04.png', 'siteA/all/image/04.png'),
    'another folder': ('other/image/04.png', 'There is .*siteA/all/image/04.png'),
    'another machine, another part': ('/x/siteA/image2/04.png', 'There is .*all/image/04.png'),
    'only the folder': ('all/image/', 'no image "all/image/"'),
    'mask': ('siteA/all/mask/04.png', 'There is .*siteA/all/image/04.png'),
    'zeros': ('4', 'Did you mean "04"'),
    'capitals': ('BENIGN (1).png', r'Did you mean "benign \(1\)"'),
    'unknown suffix': ('04.raw', 'no image "04.raw"'),
    'heading': ('image,mask', 'begins with # is a comment'),
    'two images in a line': ('04 05', '"04 05", line 2 .*ambiguous: it names "04" and "05"'),
    'image and mask of another': ('04.png,all/mask/05.png', 'ambiguous: it names "04.png" and'),
    'a label that is an image': ('04,05', 'ambiguous'),
    'wildcard': ('*.png', r'no image "\*.png"'),
}  # fmt: skip


@pytest.mark.parametrize('case', LINES)
def test_a_line_without_image_is_named(root, case):
    line, message = LINES[case]
    (root / 'test.txt').write_text(f'\n{line}\n05\n')
    for mode in ('train', 'test'):
        with pytest.raises(ValueError, match=f'(?s){message}') as error:
            build(root, mode=mode)
        assert f'line 2 of {root}/test.txt' in str(error.value)
        assert '\n' not in str(error.value).replace(line, '')
    labelled = dict(domain='siteA', list='test.txt')
    with pytest.raises(ValueError, match=message):
        build(root, labelled=labelled, split=dict(type='list', test=['00_00']))


@pytest.mark.parametrize('data, message', [
    ('04\nM\u00fcller\n'.encode('latin-1'), r'Line 2 of the list .*byte 0xfc.*Save .* as UTF-8'),
    ('04\n05\n'.encode('utf-16-le'), 'UTF-16 without its mark'),
    (b'\x89PNG\r\n\x1a\n\0\0', 'no UTF-8 text'),
])  # fmt: skip
def test_other_encodings_are_refused(root, data, message):
    (root / 'test.txt').write_bytes(data)
    with pytest.raises(ValueError, match=message):
        build(root, mode='test')


def test_a_list_of_all_domains(root):
    both = dict(domains=['siteA', 'siteB'])
    assert images_of(root, 'siteA/04\nsiteB/all/image/05.png\n', **both) == ['siteA/04', 'siteB/05']
    assert images_of(root, '04\n', **both) == ['siteA/04', 'siteB/04']
    # A domain that is not in use may be in the list.
    assert images_of(root, 'siteA/04\nsiteB/05\n') == ['siteA/04']
    (root / 'test.txt').write_text('siteA/04\nsiteC/05\n')
    with pytest.raises(ValueError, match='no image "siteC/05".*line 2'):
        build(root, mode='test')


def test_a_list_of_one_domain_names_that_domain_alone(root):
    (root / 'siteA/test.txt').write_text('04\nsiteB/05\n')
    with pytest.raises(ValueError, match='no image "siteB/05".*line 2'):
        build(root, mode='test', split=dict(type='list', test='{domain}/test.txt'))


def test_labels_of_all_domains_by_list(root):
    everywhere = dict(
        domains=['siteA', 'siteB'], split=dict(type='list', test=['00_00']),
        labelled=dict(domain='all', list='labelled.txt'),
    )  # fmt: skip
    (root / 'labelled.txt').write_text('siteA/04.png\nsiteB/all/image/05.png\n')
    dataset = build(root, **everywhere)
    found = [dataset.samples[i] for i in dataset.labelled_indices]
    assert [(s.domain, s.name) for s in found] == [('siteA', '04'), ('siteB', '05')]
    (root / 'labelled.txt').write_text('siteA/04.png\n05\n')
    with pytest.raises(ValueError, match='"05", line 2 of .* of the domains siteA and siteB'):
        build(root, **everywhere)


def test_cases_and_images_of_one_name(root):
    options = dict(case_pattern=r'(?P<case>\d\d|[a-zM].*)(_\d\d)?')
    (root / 'test.txt').write_text('all/image/01\n')
    samples = build(root, mode='test', **options).samples
    assert [s.name for s in samples] == ['01_00', '01_01']
    (root / 'test.txt').write_text('01, 01_00\n')
    with pytest.raises(ValueError, match='ambiguous: it names "01" and "01_00"'):
        build(root, mode='test', **options)
    write_pairs(root / 'siteA' / 'all', ['01'])
    with pytest.raises(ValueError, match='line 1 .* an image and a case or volume of 3 images'):
        build(root, mode='test', **options)


def test_a_list_in_the_config(root):
    split = dict(type='list', test=['siteA/all/image/04.png', 5])
    with pytest.raises(ValueError, match='"5".*list in the config.*mean "05".*quotes'):
        build(root, mode='test', split=split)
    split = dict(type='list', test=['04', None])
    with pytest.raises(ValueError, match='The list has None, which is no name'):
        build(root, mode='test', split=split)
