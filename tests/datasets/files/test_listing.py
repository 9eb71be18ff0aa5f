"""Which files are images, and which mask belongs to which: what is not certain is refused."""

import os
import shutil
import unicodedata

import pytest
from fake_files import disk_mask, noise, prostate, write_pairs, write_png

from mmssl.datasets.reading.errors import DataError
from mmssl.registry import DATASETS


@pytest.fixture
def root(tmp_path):
    write_pairs(tmp_path / 'A/train', ['00', '01', '02'])
    return tmp_path


def build(root, **options):
    options = {'domains': ['A'], 'labelled': dict(domain='A'), 'case_pattern': None, **options}
    return DATASETS.build(prostate(root, **options))


def names(dataset):
    return [sample.name for sample in dataset.samples]


@pytest.mark.parametrize('second', ['00.bmp', '00.tif', '00.PNG', '00.jpg', '00.h5'])
def test_two_masks_of_one_name_are_not_united(root, second):
    (root / 'A/train/mask' / second).write_bytes(b'x')
    with pytest.raises(ValueError, match=r'mask/00\..* and .*mask/00\..* the same name') as e:
        build(root)
    chosen = 'mask_suffixes=(' in str(e.value)
    assert chosen == (second.lower() != '00.png')  # the advice must work
    if chosen:
        assert 'mask_suffixes=(".png",)' in str(e.value)
        build(root, mask_suffixes=('.png',))


def test_a_second_mask_with_another_name_has_no_image(root):
    write_png(root / 'A/train/mask/01_mask.png', disk_mask())
    with pytest.raises(FileNotFoundError, match='mask without image: .*01_mask.png'):
        build(root)


def test_several_masks_are_united_where_the_name_says_so(root):
    write_png(root / 'A/train/mask/01_2.png', disk_mask())
    for name in ('00', '01', '02'):
        shutil.move(root / f'A/train/mask/{name}.png', root / f'A/train/mask/{name}_1.png')
    found = build(root, mask_name='{name}_*').samples
    assert [len(sample.mask_paths) for sample in found] == [1, 2, 1]
    write_png(root / 'A/train/mask/01_2.bmp', disk_mask())
    with pytest.raises(ValueError, match=r'01_2\.bmp and .*01_2\.png have the same name'):
        build(root, mask_name='{name}_*')


def test_masks_in_two_folders(root):
    """As the left and the right lung of Montgomery lie in two folders."""
    shutil.copytree(root / 'A/train/mask', root / 'A/train/right')
    folders = ('{domain}/{split}/mask', '{domain}/{split}/right')
    with pytest.raises(ValueError, match=r'mask/00\.png and .*right/00\.png have the same name'):
        build(root, mask_dir=folders)
    found = build(root, mask_dir=folders, mask_name='{name}*').samples
    assert [len(sample.mask_paths) for sample in found] == [2, 2, 2]


def test_a_mask_that_fits_two_images_is_refused(tmp_path):
    write_pairs(tmp_path / 'A/train', ['scan', 'scan_2'])
    for name in ('scan', 'scan_2'):
        shutil.move(tmp_path / f'A/train/mask/{name}.png', tmp_path / f'A/train/mask/{name}_m.png')
    assert [s.mask_paths[0][-10:] for s in build(tmp_path, mask_name='{name}_m').samples] == [
        'scan_m.png', 'an_2_m.png',
    ]  # fmt: skip
    message = r'mask .*scan_2_m\.png fits the images scan and scan_2 by mask_name = "{name}_\*"'
    with pytest.raises(ValueError, match=message):
        build(tmp_path, mask_name='{name}_*', labelled=dict(num=1, seed=None))


@pytest.mark.parametrize('second', ['01.jpg', '01.PNG', '01.nii.gz', '01.h5'])
def test_two_images_of_one_name(root, second):
    (root / 'A/train/image' / second).write_bytes(b'x')
    with pytest.raises(ValueError, match='the same name') as error:
        build(root)
    if 'image_suffixes=(' in str(error.value):
        assert names(build(root, image_suffixes='png')) == ['00', '01', '02']


def test_files_that_systems_leave_behind(root):
    for name in ('._00.png', '.DS_Store', 'Thumbs.db', 'desktop.ini', '.hidden.png', 'notes.txt'):
        for kind in ('image', 'mask'):
            (root / 'A/train' / kind / name).write_bytes(b'x')
    (root / 'A/train/image/@eaDir').mkdir()
    assert names(build(root)) == ['00', '01', '02']


def test_suffixes_in_capitals(root):
    for kind in ('image', 'mask'):
        shutil.move(root / f'A/train/{kind}/01.png', root / f'A/train/{kind}/01.PNG')
    assert names(build(root)) == ['00', '01', '02']
    assert names(build(root, image_suffixes=('PNG',), mask_suffixes='.PNG')) == ['00', '01', '02']


@pytest.mark.parametrize('kind', ['image', 'mask'])
def test_accents_in_two_signs_in_the_file_system(root, kind):
    for folder in ('image', 'mask'):
        name = unicodedata.normalize('NFD' if folder == kind else 'NFC', 'M\u00fcller')
        write_png(root / f'A/train/{folder}/{name}.png', disk_mask())
    dataset = build(root, labelled=dict(domain='A', list=['M\u00fcller']))
    assert [dataset.samples[i].name for i in dataset.labelled_indices] == ['M\u00fcller']
    if kind == 'image':
        write_png(root / 'A/train/image/M\u00fcller.png', noise(0))
        with pytest.raises(ValueError, match='the same name'):
            build(root)


def test_links(root):
    shutil.move(root / 'A/train/image/01.png', root / 'one.png')
    os.symlink(root / 'one.png', root / 'A/train/image/01.png')
    assert names(build(root)) == ['00', '01', '02']
    (root / 'one.png').unlink()
    with pytest.raises(DataError, match=r'01\.png is a link to .*one\.png, which is not there'):
        build(root)


def test_a_broken_link_in_place_of_a_mask_matters_where_it_is_read(root):
    (root / 'A/train/mask/01.png').unlink()
    os.symlink('/nowhere', root / 'A/train/mask/01.png')
    build(root, labelled=dict(domain='A', list=['00', '02']))
    with pytest.raises(DataError, match=r'mask/01\.png is a link to /nowhere'):
        build(root)


FOLDERS = {
    'no suffix': (['00', '01'], 'no image in .*there are files such as 00'),
    'nested': (['cases/00.png'], 'no image in .*there are folders such as cases'),
    'empty': ([], r'no image in .*\(looked for .*\.png[^;]*\)'),
}


@pytest.mark.parametrize('case', FOLDERS)
def test_folders_without_an_image(root, case):
    files, message = FOLDERS[case]
    shutil.rmtree(root / 'A/train/image')
    (root / 'A/train/image/cases').mkdir(parents=True)
    if case != 'nested':
        (root / 'A/train/image/cases').rmdir()
    for file in files:
        (root / 'A/train/image' / file).write_bytes(b'x')
    with pytest.raises(FileNotFoundError, match=message):
        build(root)


@pytest.mark.parametrize('kind', ['image', 'mask'])
def test_a_folder_that_is_a_file_or_cannot_be_read(root, kind, monkeypatch):
    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith(kind):
            raise PermissionError(13, 'Permission denied')
        return scandir(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, 'scandir', refuse)
        with pytest.raises(DataError, match=rf'train/{kind} cannot be read \(Permission denied'):
            build(root)
    shutil.rmtree(root / f'A/train/{kind}')
    (root / f'A/train/{kind}').write_text('')
    with pytest.raises(DataError, match=f'train/{kind} is a file'):
        build(root)


def test_a_data_root_that_is_a_file(root):
    (root / 'data').write_text('')
    with pytest.raises((FileNotFoundError, NotADirectoryError), match='data" is no folder'):
        build(root, data_root=str(root / 'data'))


@pytest.mark.parametrize('suffix', ['.jp2', '.npy', '.mgz', '.HEIC', '.mgh.gz'])
def test_images_of_a_format_that_is_not_read_are_named(root, suffix):
    """They are missing from the images, which nobody would see."""
    for name in ('03', '04'):
        (root / f'A/train/image/{name}{suffix}').write_bytes(b'x')
    for name in ('notes.txt', '00.raw', '.05.npy', 'Thumbs.db'):  # none of these is an image
        (root / 'A/train/image' / name).write_bytes(b'x')
    warnings = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmssl.datasets.files.index.warn_once', warnings.append)
        assert names(build(root)) == ['00', '01', '02']
    (warning,) = filter(None, warnings)
    assert '2 files beside the images' in warning and f'03{suffix}' in warning


def test_a_mask_or_an_image_of_a_format_that_is_not_read_is_named(root):
    mask = root / 'A/train/mask/00.png'
    mask.rename(mask.with_suffix('.jp2'))
    with pytest.raises(
        FileNotFoundError, match=r'no mask for image 00.*mask/00\.jp2 is of a format'
    ):
        build(root)
    mask.with_suffix('.jp2').rename(mask)
    image = root / 'A/train/image/00.png'
    image.rename(image.with_suffix('.jp2'))
    with pytest.raises(FileNotFoundError, match=r'without image.*image/00\.jp2 is of a format'):
        build(root)
