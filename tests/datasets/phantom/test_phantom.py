"""The phantom: what it shows, how it is written, and that a config alone reads it."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.datasets.phantom import slices as phantom
from mmssl.datasets.phantom.slices import SCANNERS, PhantomSettings, generate_case, write_phantom

SMALL = PhantomSettings(
    domains=('ScannerA', 'ScannerC'),
    size=48,
    train_cases=2,
    train_slices=2,
    test_cases=1,
    test_slices=3,
)
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
TOOL = Path(__file__).parents[3] / 'tools' / 'dataset_converters' / 'make_phantom.py'


def files(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob('*') if p.is_file()}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('phantom') / 'small'
    assert write_phantom(folder, SMALL, progress=False)
    return folder


@pytest.mark.parametrize('scanner', SCANNERS)
def test_every_slice_shows_one_organ_of_two_zones(scanner):
    volume, labels = generate_case(scanner, [1, 2], slices=5, size=64, classes=2)
    assert volume.shape == labels.shape == (5, 64, 64)
    assert volume.dtype == labels.dtype == np.uint8
    for plane in labels:
        assert set(np.unique(plane)) == {0, 1, 2}
        assert cv2.connectedComponents((plane > 0).astype(np.uint8))[0] == 2
        ring = cv2.dilate((plane == 2).astype(np.uint8), CROSS)
        assert (plane[ring > 0] > 0).all(), 'the inner zone touches the background'
    assert 0.005 < (labels > 0).mean() < 0.2


def test_same_seed_same_case_and_zones_merge():
    one = generate_case('ScannerB', 5, slices=2, size=48, classes=1)
    two = generate_case('ScannerB', 5, slices=2, size=48, classes=2)
    other = generate_case('ScannerB', 6, slices=2, size=48)
    assert (one[0] == two[0]).all()
    assert (one[1] == (two[1] > 0)).all()
    assert (one[0] != other[0]).mean() > 0.5


def test_neighbouring_slices_are_alike():
    _, labels = generate_case('ScannerA', 3, slices=8, size=64)
    organ = labels > 0
    pairs = itertools.pairwise(organ)
    dice = [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs]
    assert min(dice) > 0.75
    assert (organ[0] != organ[3]).any()


def statistics(scanner):
    """Contrast of organ and bright tissue, background noise, organ size."""
    numbers = []
    for seed in range(4):
        volume, labels = generate_case(scanner, seed, slices=3, size=64)
        values = volume[1].astype(float)
        noise = values[:4, :4].std()
        contrast = values[labels[1] > 0].mean() - np.percentile(values, 80)
        numbers.append((contrast, noise, (labels > 0).mean()))
    return np.mean(numbers, 0)


def test_scanners_differ_in_contrast_noise_and_size():
    a, b, c, d = (statistics(name) for name in SCANNERS)
    assert a[0] < 0 < d[0], 'the organ is darker than fat in A, brighter in D'
    assert c[1] > 1.5 * a[1]
    assert c[2] > 1.3 * b[2]


def test_layout_and_values(root):
    names = {p.relative_to(root).as_posix() for p in root.rglob('*.png')}
    expected = {
        f'{domain}/{split}/{kind}/{case:02d}_{index:02d}.png'
        for domain in SMALL.domains
        for split, cases, slices in (('train', 2, 2), ('test', 1, 3))
        for kind in ('image', 'mask')
        for case in range(cases)
        for index in range(slices)
    }
    assert names == expected
    mask = cv2.imread(str(root / 'ScannerA/train/mask/00_00.png'), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (48, 48) and set(np.unique(mask)) == {0, 255}
    volume, _ = generate_case('ScannerC', [0, 1, 0], slices=3, size=48)
    image = cv2.imread(str(root / 'ScannerC/test/image/00_02.png'), cv2.IMREAD_UNCHANGED)
    assert (image == volume[2]).all()


def test_train_and_test_cases_differ(root):
    cases = {(root / f'ScannerA/{s}/image/00_00.png').read_bytes() for s in ('train', 'test')}
    assert len(cases) == 2


@pytest.mark.parametrize('mode, number', [('train', 8), ('test', 6)])
def test_read_through_a_config_alone(root, mode, number):
    dataset = MixedDomainDataset(
        data_root=str(root),
        domains=['ScannerA', 'ScannerC'],
        mode=mode,
        labelled=dict(domain='ScannerA', cases=1) if mode == 'train' else None,
        case_pattern=r'(?P<case>\d+)_(?P<slice>\d+)',
        label_map={0: 0, 255: 1},
        prepare=[dict(type='LoadImage'), dict(type='LoadMask')],
    )
    assert len(dataset) == number
    sample = dataset[0]
    assert sample['img'].shape == (48, 48, 1) and (sample['case'], sample['slice']) == ('00', '00')
    assert set(np.unique(sample['gt'])) == {0, 1}
    if mode == 'train':
        assert len(dataset.labelled_indices) == 2


def test_same_settings_do_nothing(root):
    before = {p: p.stat().st_mtime_ns for p in root.rglob('*')}
    assert not write_phantom(root, SMALL, progress=False)
    assert {p: p.stat().st_mtime_ns for p in root.rglob('*')} == before


def test_other_settings_are_refused_then_replaced(tmp_path, root):
    folder = tmp_path / 'p'
    write_phantom(folder, SMALL, progress=False)
    assert files(folder) == files(root), 'not repeatable'
    other = PhantomSettings(**{**vars(SMALL), 'seed': 1, 'domains': ('ScannerA',)})
    with pytest.raises(ValueError, match=r'seed 0 instead of 1.*--overwrite'):
        write_phantom(folder, other, progress=False)
    assert files(folder) == files(root)
    assert write_phantom(folder, other, overwrite=True, progress=False)
    assert json.loads((folder / 'settings.json').read_text())['seed'] == 1
    assert not (folder / 'ScannerC').exists()
    assert list(tmp_path.iterdir()) == [folder]


def test_missing_image_is_named(tmp_path):
    settings = PhantomSettings(**{**vars(SMALL), 'domains': ('ScannerA',)})
    write_phantom(tmp_path / 'p', settings, progress=False)
    (tmp_path / 'p/ScannerA/test/image/00_01.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'00_01\.png is gone'):
        write_phantom(tmp_path / 'p', settings, progress=False)
    assert write_phantom(tmp_path / 'p', settings, overwrite=True, progress=False)


def test_foreign_folder_is_never_overwritten(tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(FileExistsError, match='no phantom data set'):
        write_phantom(tmp_path, SMALL, overwrite=True, progress=False)
    assert (tmp_path / 'thesis.tex').exists()


@pytest.mark.parametrize(
    'settings',
    [
        '{"randomness.seed": "0"}',
        '{"seed": 1, "made_by": "hand", "files": []}',
        '[]',
        '{',
        '\udce4',
        '{"made_by": "make_phantom of mmssl", "files": "all"}',
    ],
)
def test_a_settings_file_alone_makes_no_phantom(tmp_path, settings):
    (tmp_path / 'runs').mkdir()
    (tmp_path / 'runs/iter_4.pth').write_text('weights')
    (tmp_path / 'settings.json').write_bytes(settings.encode(errors='surrogateescape'))
    with pytest.raises((FileExistsError, ValueError), match='choose another folder.*by hand'):
        write_phantom(tmp_path, SMALL, overwrite=True, progress=False)
    assert (tmp_path / 'runs/iter_4.pth').read_text() == 'weights'


@pytest.mark.parametrize('name', ['notes.txt', 'ScannerA/train/image/mine.png', '.hidden', 'link'])
def test_foreign_files_in_a_phantom_stop_its_replacement(tmp_path, name):
    folder = tmp_path / 'p'
    write_phantom(folder, SMALL, progress=False)
    if name == 'link':
        (folder / name).symlink_to(tmp_path)
    else:
        (folder / name).write_text('mine')
    other = PhantomSettings(**{**vars(SMALL), 'seed': 1})
    with pytest.raises(FileExistsError, match=f'1 file.s. that make_phantom did not.*{name}'):
        write_phantom(folder, other, overwrite=True, progress=False)
    assert not write_phantom(folder, SMALL, progress=False), 'it is still there'
    assert (folder / name).exists()


@pytest.mark.parametrize('fault', [KeyboardInterrupt, OSError('No space left on device')])
def test_interrupted_writing_leaves_what_was_there(tmp_path, root, monkeypatch, fault):
    folder = tmp_path / 'p'
    write_phantom(folder, SMALL, progress=False)
    calls = itertools.count()

    def fails(*args):
        if next(calls) == 2:
            raise fault
        return generate_case(*args)

    monkeypatch.setattr(phantom, 'generate_case', fails)
    other = PhantomSettings(**{**vars(SMALL), 'seed': 1})
    for target, overwrite in ((folder, True), (tmp_path / 'new', False)):
        calls = itertools.count()
        with pytest.raises(type(fault) if isinstance(fault, OSError) else fault):
            write_phantom(target, other, overwrite=overwrite, progress=False)
    assert files(folder) == files(root)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(domains=('ScannerZ',)), 'ScannerZ.*ScannerA'),
        (dict(domains=()), 'domains'),
        (dict(classes=3), 'classes is 3'),
        (dict(size=8), 'size is 8'),
        (dict(test_cases=0), 'test_cases is 0'),
        (dict(seed=-1), 'seed is -1'),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        PhantomSettings(**options)


def test_command_line(tmp_path):
    def run(*extra):
        command = [sys.executable, TOOL, tmp_path / 'p', '--domains', 'ScannerD', '--size', '32',
                   '--train-cases', '1', '--test-cases', '1', *extra]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run()
    assert done.returncode == 0 and '1 scanners, 10 slices, written' in done.stdout, done.stderr
    refused = run('--seed', '7')
    assert refused.returncode == 1 and 'seed 0 instead of 7' in refused.stderr
    assert 'Traceback' not in refused.stderr
