"""Images and masks of any layout become slices or volumes with lists."""

import re
import shutil

import numpy as np
import pytest
from fake_files import noise, write_nifti
from PIL import Image
from raw_downloads import REAL, heart, write_folder_download

NIFTI = ('--images', '{domain}/scans/{name}.nii.gz')
MASKS = ('--masks', '{domain}/segmentations/{name}_seg.nii.gz')


@pytest.fixture(scope='module')
def download(tmp_path_factory):
    return write_folder_download(tmp_path_factory.mktemp('folder'))


def listed(out):
    return {p.relative_to(out).as_posix(): p.read_text().split() for p in out.rglob('*.list')}


@pytest.mark.parametrize('layout', ['slices', 'volumes'])
def test_domains_by_folder_are_read_by_the_config(layout, download, run, data_sets, tmp_path):
    done = run('folder', download, tmp_path / 'out', *NIFTI, *MASKS, '--layout', layout)
    assert done.code == 0, done.errors
    sets = data_sets(done.report)
    for part, count in (('train', 7), ('val', 1), ('test', 2)):
        samples = getattr(sets, part).samples
        for domain in ('siteA', 'siteB'):
            assert len([s for s in samples if s.domain == domain]) == 3 * count
        names = {f'{s.domain}/{s.volume}' for s in samples}
        assert names == {
            f'{domain}/{name}'
            for domain in ('siteA', 'siteB')
            for name in listed(tmp_path / 'out')[f'{domain}/{part}.list']
        }
    index = next(i for i, s in enumerate(sets.test.samples) if s.index or s.slice == '2')
    number = int(sets.test.samples[index].case[1:])
    expected = heart(number + 500, 3)[1][1]
    np.testing.assert_array_equal(sets.test.read_mask(index), expected)


def test_domains_by_a_table_and_patients_by_name(run, data_sets, tmp_path):
    """Pictures; two of a patient come into one part, and masks need not be there."""
    raw = tmp_path / 'raw'
    (raw / 'deep/er').mkdir(parents=True)
    rows = ['name,domain']
    for number in range(20):
        name = f'p{number // 2:02d}_{"LR"[number % 2]}'
        picture, mask = noise(number, (9, 8, 3)), np.zeros((9, 8), np.uint8)
        mask[2:5, 2:6] = 200
        Image.fromarray(picture).save(raw / f'deep/er/{name}.png')
        if number not in (3, 7):
            Image.fromarray(mask).save(raw / f'{name}-mask.png')
        rows.append(f'{name},{"Scanner 1" if number < 14 else "Scanner 2"}')
    table = tmp_path / 'table.csv'
    table.write_text('\n'.join(rows))
    words = ('--images', 'deep/**/{name}.png', '--masks', '{name}-mask.png', '--domains', table,
             '--case', r'(?P<case>p\d+)_.', '--val', '0', '--test', '0.3')  # fmt: skip
    done = run('folder', raw, tmp_path / 'out', *words)
    assert done.code == 1 and "p01_R: no mask fits --masks '{name}-mask.png'" in done.errors
    done = run('folder', raw, tmp_path / 'out', *words, '--unlabelled')
    assert done.code == 0, done.errors
    lists = listed(tmp_path / 'out')
    assert {name: len(names) for name, names in lists.items()} == {
        'Scanner_1/train.list': 10,
        'Scanner_1/test.list': 4,
        'Scanner_2/train.list': 4,
        'Scanner_2/test.list': 2,
        'labelled.list': 12,
    }
    assert {'p01_L', 'p01_R', 'p03_R'} <= set(lists['Scanner_1/train.list'])
    patients = {name: {n[:3] for n in names} for name, names in lists.items()}
    assert not patients['Scanner_1/train.list'] & patients['Scanner_1/test.list']
    sets = data_sets(done.report)
    assert len(sets.train) == 14 and len(sets.train.labelled_indices) == 12
    assert len(sets.test) == 6 and len(sets.val) == 6
    assert np.unique(sets.test.read_mask(0)).tolist() == [0, 1]
    done_image = np.asarray(Image.open(tmp_path / 'out/Scanner_1/image/p00_L.png'))
    np.testing.assert_array_equal(done_image, noise(0, (9, 8, 3)))


def test_patients_of_volumes_are_found_in_the_names_of_slices(run, data_sets, tmp_path):
    raw = write_folder_download(tmp_path / 'raw', ('siteA',))
    for path in raw.rglob('*.nii.gz'):
        number = int(path.name[1:3])
        name = f'p{number // 2:02d}_{"LR"[number % 2]}{path.name[3:]}'
        path.rename(path.with_name(name))
    words = (*NIFTI, *MASKS, '--case', r'(?P<case>p\d+)_.*')
    done = run('folder', raw, tmp_path / 'out', *words)
    assert done.code == 0, done.errors
    sets = data_sets(done.report)
    samples = [s for part in (sets.train, sets.val, sets.test) for s in part.samples]
    assert {(s.case, s.volume) for s in samples} == {
        (f'p{n:02d}', f'p{n:02d}_{side}') for n in range(5) for side in 'LR'
    }
    assert {s.slice for s in samples} == {'1', '2', '3'}
    done = run('folder', raw, tmp_path / 'no', *words[:-1], '(?P<case>.+)')
    assert done.code == 1 and 'takes the number of a slice for the patient' in done.errors


def test_a_pattern_of_masks_need_not_tell_the_domain(download, run, tmp_path):
    masks = ('--masks', '*/segmentations/{name}_seg.nii.gz')
    assert run('folder', download, tmp_path / 'out', *NIFTI, *masks).code == 0
    assert len(list((tmp_path / 'out').rglob('mask/*.png'))) == 60


@pytest.mark.parametrize('val', ['0', '0.1'])
def test_a_domain_may_have_no_masks_at_all(val, run, data_sets, tmp_path):
    raw = write_folder_download(tmp_path / 'raw')
    shutil.rmtree(raw / 'siteB/segmentations')
    words = (*NIFTI, *MASKS, '--unlabelled', '--val', val)
    done = run('folder', raw, tmp_path / 'out', *words)
    assert done.code == 0, done.errors
    sets = data_sets(done.report)
    assert (
        {s.domain for s in sets.test.samples} == {s.domain for s in sets.val.samples} == {'siteA'}
    )
    count = 10 - 2 - (val != '0')
    assert len(sets.train) == 3 * (count + 10)
    assert len(sets.train.labelled_indices) == 3 * count


def test_names_that_a_file_system_may_not_tell_apart(run, tmp_path):
    raw = write_folder_download(tmp_path / 'raw', ('siteA',))
    for path in raw.rglob('A01*'):
        path.rename(path.with_name(path.name.replace('A01', 'a00')))
    done = run('folder', raw, tmp_path / 'out', *NIFTI, *MASKS)
    assert done.code == 1 and 'a00_slice_1.png would be written twice' in done.errors


def test_names_that_two_domains_have_are_told_apart(run, tmp_path):
    raw = write_folder_download(tmp_path / 'raw', ('oneA', 'twoA'))
    (raw / 'twoA/segmentations/A03_seg.nii.gz').unlink()
    done = run('folder', raw, tmp_path / 'out', *NIFTI, *MASKS)
    assert re.search(r'  twoA/(train|val|test)/A03: no mask fits', done.errors)
    done = run('folder', raw, tmp_path / 'out', *NIFTI, *MASKS, '--skip-faults')
    assert len(list((tmp_path / 'out').rglob('mask/A03_*'))) == 3


def test_faults(run, tmp_path):
    raw = write_folder_download(tmp_path / 'raw', ('siteA',))
    folder = raw / 'siteA/segmentations'
    (folder / 'A00_seg.nii.gz').unlink()
    (raw / 'siteA/scans/A01.nii.gz').unlink()
    image, labels = heart(2, 3)
    write_nifti(folder / 'A02_seg.nii.gz', labels, (5.0, 1.5, 2.0))
    labels[0, 0, 0] = 9
    write_nifti(folder / 'A03_seg.nii.gz', labels)
    write_nifti(folder / 'A04_seg.nii.gz', image)
    write_nifti(folder / 'A05_seg.nii.gz', labels[:2])
    done = run('folder', raw, tmp_path / 'out', *NIFTI, *MASKS, '--values', '0', '1', '2', '3')
    assert done.code == 1 and not (tmp_path / 'out').exists()
    for said in (
        "A00: no mask fits --masks '{domain}/segmentations/{name}_seg.nii.gz'",
        'siteA/segmentations/A01_seg.nii.gz: a mask without its image',
        'A02: ',
        'A03: mask siteA/segmentations/A03_seg.nii.gz has label values 9 (expected: 0, 1, 2, 3)',
        'A04: mask siteA/segmentations/A04_seg.nii.gz has label values',
        'A05: ',
    ):
        assert said in done.errors
    done = run('folder', raw, tmp_path / 'out', *NIFTI, *MASKS)
    assert 'A03' not in done.errors and 'A04: mask' in done.errors
    done = run('folder', raw, tmp_path / 'out', '--images', '*.nii.gz', *MASKS)
    assert done.code == 1 and "--images '*.nii.gz' must contain {name}" in done.errors
    done = run('folder', raw, tmp_path / 'out', '--images', 'x/{name}.png', *MASKS)
    assert done.code == 1 and "no file fits --images 'x/{name}.png'" in done.errors
    done = run('folder', raw, tmp_path / 'out', '--images', '{name}/**.nii.gz', *MASKS)
    assert 'has the name "siteA" as' in done.errors
    done = run('folder', raw, tmp_path / 'out', *NIFTI, *MASKS, '--test', '0.99', '--skip-faults')
    assert 'cannot be split by' in done.errors
    done = run('folder', raw, tmp_path / 'out', *NIFTI, *MASKS, '--case', r'x(?P<case>\d)')
    assert "A00: --case 'x(?P<case>\\\\d)' finds no patient" in done.errors


@pytest.mark.skipif(not (REAL / 'dicom').is_dir(), reason='needs the real files')
def test_a_real_dicom_series_and_its_mask(run, tmp_path):
    """Folders of a series each, oblique, laid on each other."""
    series = sorted(path for path in (REAL / 'dicom').iterdir() if path.is_dir())
    mask = next(path for path in series if 'Mask' in path.name)
    (image,) = (path for path in series if path != mask)
    for number in range(2):
        (tmp_path / f'raw/case{number}').mkdir(parents=True)
        (tmp_path / f'raw/case{number}/scan').symlink_to(image)
        (tmp_path / f'raw/case{number}/tumour').symlink_to(mask)
    words = ('--images', '{name}/scan/', '--masks', '{name}/tumour/', '--val', '0')
    done = run('folder', tmp_path / 'raw', tmp_path / 'out', *words)
    assert done.code == 0, done.errors
    masks = sorted((tmp_path / 'out/all/mask').glob('case0_*'))
    assert len(masks) == 24
    assert sum(np.asarray(Image.open(path)).any() for path in masks) > 1
    assert '6.5 x 0.6875 x 0.6875' in done.report


@pytest.mark.skipif(not (REAL / 'lungs').is_dir(), reason='needs the real files')
def test_real_pictures_are_kept_as_they_are(run, tmp_path):
    site = next(path for path in sorted((REAL / 'lungs').iterdir()) if path.is_dir())
    for kind in ('image', 'mask'):
        (tmp_path / 'raw' / site.name / kind).mkdir(parents=True)
        for path in sorted((site / kind).glob('*.png'))[:5]:
            (tmp_path / 'raw' / site.name / kind / path.name).symlink_to(path)
    words = ('--images', '{domain}/image/{name}.png', '--masks', '{domain}/mask/{name}.png')
    done = run('folder', tmp_path / 'raw', tmp_path / 'out', *words, '--values', '0', '255')
    assert done.code == 0, done.errors
    for path in (tmp_path / 'raw').rglob('*.png'):
        made = tmp_path / 'out' / path.relative_to(tmp_path / 'raw')
        np.testing.assert_array_equal(np.asarray(Image.open(made)), np.asarray(Image.open(path)))


@pytest.mark.skipif(not (REAL / 'hippocampus').is_dir(), reason='needs the real files')
def test_real_volumes_come_as_the_package_reads_them(run, tmp_path):
    from mmssl.datasets.reading import read_volume

    for folder in ('imagesTr', 'labelsTr'):
        (tmp_path / 'raw' / folder).mkdir(parents=True)
        for path in sorted((REAL / 'hippocampus' / folder).glob('*.nii.gz'))[:5]:
            (tmp_path / 'raw' / folder / path.name).symlink_to(path)
    words = ('--images', 'imagesTr/{name}.nii.gz', '--masks', 'labelsTr/{name}.nii.gz')
    done = run('folder', tmp_path / 'raw', tmp_path / 'out', *words, '--values', '0', '1', '2')
    assert done.code == 0, done.errors
    for path in (tmp_path / 'raw/labelsTr').iterdir():
        labels = read_volume(str(path), '')
        name = path.name.removesuffix('.nii.gz')
        for index, expected in enumerate(labels, 1):
            mask = Image.open(tmp_path / f'out/all/mask/{name}_slice_{index}.png')
            np.testing.assert_array_equal(np.asarray(mask), expected)
