"""The phantom's volumes: the layout of SSL4MIS's ACDC, and that they are written whole."""

import importlib.util
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from mmssl.datasets.phantom import volumes as phantom_volumes
from mmssl.datasets.phantom.slices import draw_case, generate_case, write_phantom
from mmssl.datasets.phantom.volumes import VolumeSettings, write_phantom_volumes

SMALL = VolumeSettings(
    domains=('ScannerA', 'ScannerC'), size=40, train_cases=2, val_cases=1, test_cases=1, slices=5
)
TOOL = Path(__file__).parents[3] / 'tools' / 'dataset_converters' / 'make_phantom.py'


def read(path):
    with h5py.File(path) as file:
        return {key: file[key][()] for key in file}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('phantom') / 'volumes'
    assert write_phantom_volumes(folder, SMALL, progress=False)
    return folder


def test_layout_is_that_of_ssl4mis(root):
    names = {p.relative_to(root).as_posix() for p in root.rglob('*') if p.is_file()}
    volumes = [f'patient{number:03d}_frame01' for number in range(1, 5)]
    slices = [f'{volume}_slice_{k}' for volume in volumes[:2] for k in range(1, 6)]
    assert names == {
        *(f'data/{name}.h5' for name in volumes),
        *(f'data/slices/{name}.h5' for name in slices),
        'settings.json', 'train.list', 'train_slices.list', 'val.list', 'test.list',
    }  # fmt: skip
    lists = {p.stem: p.read_text().split() for p in root.glob('*.list')}
    assert lists == dict(train=volumes[:2], train_slices=slices, val=volumes[2:3], test=volumes[3:])
    record = json.loads((root / 'settings.json').read_text())
    assert (record['layout'], record['slices'], record['classes']) == ('volumes', 5, 2)


def test_volumes_and_slices_hold_the_same(root):
    for number, scanner, seed in ((1, 'ScannerA', [0, 2, 0]), (2, 'ScannerC', [0, 2, 1])):
        name = f'patient{number:03d}_frame01'
        volume = read(root / f'data/{name}.h5')
        assert volume['image'].shape == volume['label'].shape == (5, 40, 40)
        assert (volume['image'].dtype, volume['label'].dtype) == (np.float32, np.uint8)
        assert volume['image'].min() >= 0 and 0.8 < volume['image'].max() <= 1
        assert set(np.unique(volume['label'])) == {0, 1, 2}
        grey, zones = draw_case(scanner, seed, 5, 40, reach=1.3)
        np.testing.assert_allclose(volume['image'] * 255, grey, atol=1e-3)
        assert (volume['label'] == zones).all()
        for k in range(5):
            plane = read(root / f'data/slices/{name}_slice_{k + 1}.h5')
            assert (plane['image'] == volume['image'][k]).all()
            assert (plane['label'] == volume['label'][k]).all()


def test_some_end_slices_show_no_organ():
    ends = [draw_case('ScannerA', [0, 2, case], 6, 40, reach=1.3)[1] > 0 for case in range(6)]
    shown = np.array([organ.any(axis=(1, 2)) for organ in ends])
    assert shown[:, 1:-1].mean() > 0.8 and shown[:, 2:4].all()
    assert 0 < (~shown[:, [0, -1]]).sum()


def test_images_of_8_bits_are_the_rounded_volume():
    grey, zones = draw_case('ScannerB', 5, slices=3, size=48)
    volume, labels = generate_case('ScannerB', 5, slices=3, size=48)
    assert (volume == np.rint(grey)).all() and (labels == (zones > 0)).all()
    assert (grey != volume).any()


def test_one_class_and_repeatability(tmp_path, root):
    write_phantom_volumes(tmp_path / 'again', SMALL, progress=False)
    one = VolumeSettings(**{**vars(SMALL), 'classes': 1})
    write_phantom_volumes(tmp_path / 'one', one, progress=False)
    for path in root.rglob('*.h5'):
        name = path.relative_to(root)
        two, again, merged = (read(f / name) for f in (root, tmp_path / 'again', tmp_path / 'one'))
        assert (two['image'] == again['image']).all() and (two['image'] == merged['image']).all()
        assert (merged['label'] == (two['label'] > 0)).all()


def test_same_settings_do_nothing_and_others_are_refused(root):
    before = {p: p.stat().st_mtime_ns for p in root.rglob('*')}
    assert not write_phantom_volumes(root, SMALL, progress=False)
    with pytest.raises(ValueError, match=r'holds a phantom with slices 5 instead of 6'):
        write_phantom_volumes(root, VolumeSettings(**{**vars(SMALL), 'slices': 6}), progress=False)
    with pytest.raises(ValueError, match=r'test_slices None instead of 4.*--overwrite'):
        write_phantom(root, progress=False)
    assert {p: p.stat().st_mtime_ns for p in root.rglob('*')} == before


def test_missing_file_is_named_and_writing_is_all_or_nothing(tmp_path, monkeypatch):
    folder = tmp_path / 'p'
    write_phantom_volumes(folder, SMALL, progress=False)
    (folder / 'data/slices/patient002_frame01_slice_3.h5').unlink()
    with pytest.raises(FileNotFoundError, match=r'patient002_frame01_slice_3\.h5 is gone'):
        write_phantom_volumes(folder, SMALL, progress=False)
    left = sorted(folder.rglob('*'))

    def fails(path, *arrays):
        raise OSError('No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(phantom_volumes, '_write_h5', fails)
        with pytest.raises(OSError, match='No space left'):
            write_phantom_volumes(folder, SMALL, overwrite=True, progress=False)
    assert sorted(folder.rglob('*')) == left and list(tmp_path.iterdir()) == [folder]
    assert write_phantom_volumes(folder, SMALL, overwrite=True, progress=False)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(domains=('ScannerZ',)), 'ScannerZ.*ScannerA'),
        (dict(val_cases=0), 'val_cases is 0'),
        (dict(slices=101), 'slices is 101; choose 1 to 100'),
        (dict(classes=3), 'classes is 3'),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        VolumeSettings(**options)


def test_command_line(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location('make_phantom', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    root = str(tmp_path / 'p')
    small = ['--layout', 'volumes', '--size', '32', '--train-cases', '1', '--val-cases', '1',
             '--test-cases', '2', '--slices', '2']  # fmt: skip
    assert tool.main([root, *small]) == 0
    assert '1 training, 1 validation and 2 test volumes, written' in capsys.readouterr().out
    assert (tmp_path / 'p/data/patient004_frame01.h5').is_file()
    assert tool.main([root, *small, '--seed', '3']) == 1
    assert 'seed 0 instead of 3' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool.main([root, '--slices', '2'])
    assert '--slices does not go with --layout slices' in capsys.readouterr().err
