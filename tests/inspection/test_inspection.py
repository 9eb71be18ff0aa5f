"""A look at a data set finds what is there and what is wrong, and never stops half-way."""

import base64
import re
import shutil

import cv2
import nibabel
import numpy as np
import pytest
from bad_input import call
from fake_files import noise, prostate, write_h5, write_nifti, write_png, write_prostate
from mmengine.config import Config
from scipy.stats import wasserstein_distance

from mmssl import inspection
from mmssl.inspection import findings

TOOL = 'analysis_tools/inspect_data.py'


def config(root, **options):
    """Return a config whose validation set is its test set, as in those of the papers."""
    test = dict(dataset=prostate(root, mode='test', labelled=None, **options))
    train = dict(dataset=prostate(root, **options))
    return Config(dict(train_dataloader=train, val_dataloader=test, test_dataloader=test))


@pytest.fixture
def root(tmp_path):
    """Return three domains: B is brighter than A, C like A."""
    root = write_prostate(tmp_path / 'data')
    for domain, low in (('A', 0), ('B', 120), ('C', 0)):
        for number, path in enumerate(sorted((root / domain).glob('*/image/*.png'))):
            pixels = noise(100 * ord(domain) + number, (40, 48)) // 2 + low
            write_png(path, pixels)
            path = path.parents[1] / 'mask' / path.name
            write_png(path, np.where(np.indices((40, 48))[1] < 12, 0, 255).astype(np.uint8))
    return root


def rows_of(table):
    header, *rows = table
    return {tuple(row[:1]): dict(zip(header, row, strict=True)) for row in rows}


def look(cfg):
    collected = inspection.of_config(cfg)
    return collected, inspection.find(collected)


def test_what_is_there(root):
    collected, found = look(config(root))
    assert not found.wrong and found.repeated == 0
    table = rows_of(findings.domain_table(found))
    row = table[('A',)]
    assert (row['train'], row['test'], row['cases'], row['files']) == ('6', '2', '4', '8')
    assert row['size (px)'] == '40 x 48' and row['pixel (mm)'] == '-' and 'val' not in row
    pixels = [cv2.imread(str(p), 0) for p in (root / 'B').glob('*/image/*.png')]
    mean, spread = np.mean(pixels), np.std(pixels)
    assert table[('B',)]['grey level'] == f'{mean:.0f} +- {spread:.0f}'
    parts = findings.part_table(found, collected.parts)
    assert [row[0] for row in parts[1:]] == ['A', 'B', 'C']
    assert parts[1][2:] == ['4', '4 (100%)', '25.0%', '480 px', '0']  # 2 of 6 in training
    assert parts[2][2:] == ['2', '2 (100%)', '25.0%', '480 px', '0']


def test_domains_are_compared_by_their_grey_levels(root):
    _, found = look(config(root))
    pixels = {
        name: np.concatenate([cv2.imread(str(p), 0).ravel() for p in paths])
        for name in 'ABC'
        if (paths := sorted((root / name).glob('*/image/*.png')))
    }
    each = [cv2.imread(str(p), 0) for p in sorted((root / 'A').glob('*/image/*.png'))]
    apart = [
        wasserstein_distance(each[k].ravel(), np.ravel(each[:k] + each[k + 1 :]))
        for k in range(len(each))
    ]
    assert found.usual['A'] == pytest.approx(np.median(apart))
    for (one, other), (distance, ratio) in found.distances.items():
        assert distance == pytest.approx(wasserstein_distance(pixels[one], pixels[other]))
        assert ratio == pytest.approx(distance / ((found.usual[one] + found.usual[other]) / 2))
    words = {tuple(row[:2]): row[4] for row in findings.distance_table(found)[1:]}
    assert words['A', 'B'].startswith('far apart') and words['B', 'C'].startswith('far apart')
    assert not words['A', 'C'].startswith('far apart')
    assert [findings.in_words(x) for x in (0.49, 0.5, 1)] == [
        'alike', 'a little apart', 'far apart: a domain shift',
    ]  # fmt: skip


def test_masks_that_training_does_not_open_are_not_opened(root):
    for path in (root / 'B/train/mask').iterdir():
        path.write_bytes(b'no mask')
    shutil.rmtree(root / 'C/train/mask')
    _, found = look(config(root))
    assert not found.faults and len(found.facts) == 24


def test_what_cannot_be_read_is_named_and_the_rest_is_looked_at(root):
    cut = root / 'B/train/image/00_00.png'
    cut.write_bytes(cut.read_bytes()[:80])
    small = root / 'C/test/mask/00_01.png'
    write_png(small, np.zeros((8, 8), np.uint8))
    wrong = root / 'C/test/mask/00_00.png'
    write_png(wrong, np.full((40, 48), 7, np.uint8))
    _, found = look(config(root))
    assert len(found.facts) == 21 and len(found.faults) == 3 and found.wrong
    for path in (cut, small, wrong):
        assert any(str(path) in fault for fault in found.faults)


def test_a_part_that_cannot_be_listed_does_not_hide_the_others(root):
    (root / 'A/test/mask/00_00.png').unlink()
    shutil.copy(root / 'A/train/image/00_00.png', root / 'A/test/image/00_01.png')
    _, found = look(config(root))
    assert len(found.faults) == 1 and 'has no mask for image 00_00.png' in found.faults[0]
    row = rows_of(findings.domain_table(found))[('A',)]
    assert (row['train'], row['images']) == ('6', '2')  # part and masks of the two are not known
    assert not found.duplicates


def test_images_in_two_parts_are_found_by_their_pixels(root):
    image = cv2.imread(str(root / 'A/train/image/01_00.png'))
    for folder, pixels in (('image', image), ('mask', np.full((40, 48), 255, np.uint8))):
        cv2.imwrite(str(root / f'B/test/{folder}/07_00.bmp'), pixels)
    for part in ('train', 'test'):  # of one value: that says nothing
        write_png(root / f'C/{part}/image/00_00.png', np.zeros((40, 48), np.uint8))
    shutil.copy(root / 'C/train/image/00_01.png', root / 'C/train/image/01_01.png')
    _, found = look(config(root))
    (said,) = found.duplicates
    assert said.startswith('07_00 of B (test) equals 01_00 of A (train): ') and found.wrong
    assert found.repeated == 1 and not found.faults


def test_volumes(tmp_path):
    for name, origin, size in (('p1', 'LPS', 2.0), ('p2', 'RAS', 3.0)):
        volume = noise(len(name) + int(size), (4, 20, 24)).astype(np.int16)
        labels = np.zeros((4, 20, 24), np.int16)
        labels[1:3, :5, :6] = 1
        path = write_nifti(tmp_path / f'A/image/{name}.nii.gz', volume, (8, size, size))
        write_nifti(tmp_path / f'A/mask/{name}.nii.gz', labels, (8, size, size))
        if origin == 'LPS':
            image = nibabel.load(path)
            turned = nibabel.as_closest_canonical(image).as_reoriented([[0, -1], [1, -1], [2, 1]])
            nibabel.save(turned, path)
    (tmp_path / 'A/image/p3.nii.gz').write_bytes(b'broken')
    options = dict(
        domains=['A'], label_map={0: 0, 1: 1}, case_pattern=None, value_range='volume',
        image_dir='{domain}/image', mask_dir='{domain}/mask',
        split=dict(type='list', train=['p1'], test=['p2']),
    )  # fmt: skip
    cfg = Config(
        dict(
            test_dataloader=dict(dataset=prostate(tmp_path, mode='test', labelled=None, **options))
        )
    )
    collected, found = look(cfg)
    assert not found.faults  # the list leaves it out
    cfg.test_dataloader.dataset.split = dict(type='case', test=['p1', 'p2', 'p3'])
    collected, found = look(cfg)
    assert len(found.faults) == 2 and all('p3.nii.gz' in fault for fault in found.faults)
    row = rows_of(findings.domain_table(found))[('A',)]
    assert (row['images'], row['files'], row['cases']) == ('8', '2', '2')
    assert row['slice (mm)'] == '8' and row['format'] == 'nifti'
    assert row['axes'] == 'LPS, RAS' and row['pixel (mm)'] == '2 x 2 (2 x 2 to 3 x 3)'
    cfg.test_dataloader.dataset.split.test = ['p1', 'p2']
    (tmp_path / 'A/image/p3.nii.gz').unlink()
    collected, found = look(cfg)
    assert not found.wrong
    assert findings.part_table(found, collected.parts)[1][2:] == [
        '8', '4 (50%)', '6.2%', '195 mm2', '4',
    ]  # fmt: skip  # 30 px of 4 and of 9 mm2


def test_whole_volumes_are_looked_at_slice_by_slice(tmp_path):
    """Of one file or of several, float and signed; masks of unlabelled ones stay shut."""
    from tests.whole_files import write_msd, write_slices

    write_msd(tmp_path / 'msd', 10)
    data = dict(type='MSD', data_root=str(tmp_path / 'msd'))
    cfg = Config(dict(
        train_dataloader=dict(dataset=dict(data, labelled=dict(num=2))),
        test_dataloader=dict(dataset=dict(data, mode='test')),
    ))  # fmt: skip
    _, found = look(cfg)
    assert not found.wrong
    row = rows_of(findings.domain_table(found))[('MSD',)]
    assert (row['train'], row['test'], row['cases']) == ('35', '10', '9'), 'slices of 7 and 2'
    assert sum(facts.sizes is not None for facts in found.facts) == 5 * (2 + 2)
    write_slices(tmp_path / 'png', volumes=4, slices=3)
    several = dict(
        type='MixedDomainDataset', data_root=str(tmp_path / 'png'), domains=['a'], mode='test',
        sample='volume', image_dir='data', mask_dir='masks', label_map={0: 0, 1: 1},
        split=dict(type='case', test=0.5),
        case_pattern=r'(?P<volume>(?P<case>p\d+)_[a-z])_(?P<slice>\d+)',
    )  # fmt: skip
    _, found = look(Config(dict(test_dataloader=dict(dataset=several))))
    assert not found.wrong and len(found.facts) == 6
    assert all(facts.sizes is not None for facts in found.facts)


def test_a_folder(tmp_path):
    for site, part, name in (('s1', 'train', 'a'), ('s1', 'test', 'b'), ('s2', 'train', 'c')):
        write_png(tmp_path / site / part / 'image' / f'{name}.png', noise(ord(name)))
        write_png(tmp_path / site / part / 'mask' / f'{name}.png', noise(1))
    write_png(tmp_path / 's2/train/image/c_mask.png', noise(1))
    write_h5(tmp_path / 's2/v.h5', image=noise(7, (3, 6, 7)))
    (tmp_path / 's2/w.nii').write_bytes(b'broken')
    (tmp_path / 's2/notes.txt').write_text('no image')
    collected = inspection.of_folder(tmp_path)
    found = inspection.find(collected)
    rows = rows_of(findings.domain_table(found))
    assert (rows[('s1',)]['train'], rows[('s1',)]['test']) == ('1', '1')
    assert rows[('s2',)]['train'] == '1' and rows[('s2',)]['images'] == '3'
    (fault,) = found.faults
    assert 'w.nii' in fault and '4 files are called masks' in found.notes[0]
    with pytest.raises(FileNotFoundError, match='holds no image'):
        inspection.of_folder(tmp_path / 's1/train/mask/none')


def test_a_limit_takes_images_evenly(root):
    collected = inspection.of_config(config(root))
    collected.thinned(2)
    names = [(e.part, e.name) for e in collected.entries if e.domain == 'A']
    assert names == [('train', '00_00'), ('train', '01_01'), ('test', '00_00'), ('test', '00_01')]
    assert 'At most 2 images' in collected.notes[0]


def test_the_page_is_one_file_without_code(root, tmp_path):
    bad = 'x<script>alert(1)</script>.png'.replace('/', '')
    shutil.copytree(root / 'C', root / 'D<b>$x$')
    (root / 'D<b>$x$/train/image' / bad).write_bytes(b'none')
    collected, found = look(config(root, domains=['A', 'D<b>$x$']))
    inspection.write_page(tmp_path / 'p.html', 'a & <i>b</i>', collected, found, number=2)
    text = (tmp_path / 'p.html').read_text()
    assert '<script' not in text and '<b>' not in text and 'a &amp; &lt;i&gt;b' in text
    assert 'x&lt;script&gt;' in text and 'D&lt;b&gt;$x$' in text
    assert not re.findall(r'(?:src|href)="(?!data:image/png;base64,)', text)
    pictures = [base64.b64decode(data) for data in re.findall(r'base64,([^"]+)"', text)]
    assert len(pictures) == 3  # grey levels, and examples of each domain
    for data in pictures:
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).std() > 5


@pytest.mark.parametrize('fault', [None, 'cut', 'double'])
def test_the_tool(root, tmp_path, monkeypatch, capsys, fault):
    if fault == 'cut':
        (root / 'A/train/image/02_00.png').write_bytes(b'cut')
    elif fault == 'double':
        shutil.copy(root / 'A/train/image/02_00.png', root / 'B/test/image/00_00.png')
    config(root).dump(tmp_path / 'cfg.py')
    monkeypatch.chdir(tmp_path)
    code, errors = call(monkeypatch, capsys, TOOL, ['cfg.py', '--out-dir', 'out'])
    assert code == (0 if fault is None else 1)
    page, table = (tmp_path / 'out' / name for name in ('inspection.html', 'table.md'))
    assert 'Examples' in page.read_text() and '## Domains' in table.read_text()
    said = {None: '', 'cut': 'fault: .*02_00', 'double': 'in two parts of the split: '}
    assert re.search(said[fault], errors)
    folder, _ = call(monkeypatch, capsys, TOOL, [root, '--limit', '1'])
    assert folder == 0 and (tmp_path / 'work_dirs/inspect/data/inspection.html').exists()


def test_what_is_no_data_set(tmp_path, monkeypatch, capsys):
    (tmp_path / 'cfg.py').write_text('default_scope = "mmssl"\n')
    monkeypatch.chdir(tmp_path)
    code, errors = call(monkeypatch, capsys, TOOL, ['cfg.py'])
    assert code == 1 and 'no train_dataloader' in errors
    code, errors = call(monkeypatch, capsys, TOOL, ['nowhere.py'])
    assert code == 1 and 'nowhere.py' in errors
