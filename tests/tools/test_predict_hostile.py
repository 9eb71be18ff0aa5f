"""The command that predicts, given what nobody should give it, and ended when it likes least."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from bad_input import last_line
from fake_dicom import write_series
from identity import GREY, labels
from PIL import Image

from mmssl.apis.prediction.inputs import find_items
from tests.tools.test_predict_tool import CLASSES, call, tool  # noqa: F401

RUN = Path(__file__).with_name('run_predict.py')
SOLID = labels((6, 5, 4)).astype(np.int16)
PLACE = np.diag([-1.0, -1, 2, 1])


def picture(path: Path, array=CLASSES * GREY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, 'PNG')
    return path


def failed(err: str) -> dict[str, str]:
    """Return the images that the end of a run names, with the reasons."""
    lines = err.split('could not be predicted:\n')[-1].splitlines()
    return dict(line.strip().split(': ', 1) for line in lines if line.startswith('  '))


def test_names_of_every_kind_stay_apart_and_in_the_folder(call, tmp_path):  # noqa: F811
    names = ['new\nline', 'q"u\'o', '-dash', 'x' * 240, 'é日本', '$(touch harm)', 'a;b']
    names += ['con', '%2e%2e', 'tab\t', 'a..b', ' ' * 100 + 'y']
    for name in names:
        picture(tmp_path / 'in' / f'{name}.png')
    with open(os.fsencode(tmp_path / 'in') + b'/bad\xff.png', 'wb') as file:
        file.write((tmp_path / 'in' / 'a.png').read_bytes())
    before = {path.name for path in tmp_path.iterdir()}
    code, out, err = call('m.mmssl', 'in', 'out')
    assert code == 0 and f'{len(names) + 2} of {len(names) + 2} masks' in out, err
    masks = [path for path in (tmp_path / 'out').rglob('*.png')]
    assert len(masks) == len(names) + 2
    assert all((np.asarray(Image.open(mask)) == CLASSES).all() for mask in masks)
    assert {path.name for path in tmp_path.iterdir()} == before | {'out'}
    assert (tmp_path / 'out' / 'volumes.csv').read_text(encoding='utf-8')


def test_what_is_no_image_is_named_and_stops_nothing(call, tmp_path):  # noqa: F811
    root = tmp_path / 'in'
    picture(root / 'thin.png', CLASSES[:, :1] * GREY)
    picture(root / 'one.png', CLASSES[:1, :1] * GREY)
    Image.fromarray(np.dstack([CLASSES * GREY] * 3 + [np.full_like(CLASSES, 255)])).save(
        root / 'rgba.png'
    )
    good = {'a.png', 'thin.png', 'one.png', 'rgba.png', 'noform.nii.gz', 'deep/in.png'}
    picture(root / 'deep' / 'in.png')
    blank = nibabel.Nifti1Image(SOLID * GREY, None)
    blank.header['qform_code'] = blank.header['sform_code'] = 0
    nibabel.save(blank, root / 'noform.nii.gz')
    for name in ('zero.png', 'zero.nii.gz', 'zero.tif', 'zero.nrrd'):
        (root / name).write_bytes(b'')
    Image.fromarray(CLASSES.astype(np.uint16) * 20000).save(root / 'deeper.png')
    values = (SOLID * GREY).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(np.stack([values] * 2, -1), PLACE), root / 'four.nii.gz')
    values[1, 2, 3] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, PLACE), root / 'nan.nii.gz')
    os.mkfifo(root / 'pipe.png')
    os.mkfifo(root / 'pipe.nii.gz')
    for name, target in (('dev.png', '/dev/zero'), ('gone.png', 'x.png'), ('self.png', 'self.png')):
        os.symlink(target, root / name)
    os.symlink('.', root / 'loop')
    write_series(root / 'cut', SOLID * GREY, PLACE)
    whole = next((root / 'cut').iterdir())
    (root / 'cut' / 'IM9.dcm').write_bytes(whole.read_bytes()[:150])
    code, out, err = call('m.mmssl', 'in', 'out')
    said = failed(err)
    expected = {
        'zero.png': 'is empty', 'zero.nii.gz': 'is empty', 'zero.tif': 'is empty',
        'zero.nrrd': 'is empty', 'deeper.png': 'value_range', 'four.nii.gz': 'option frame',
        'nan.nii.gz': 'NaN', 'pipe.png': 'pipe', 'pipe.nii.gz': 'pipe', 'dev.png': 'device',
        'gone.png': 'does not exist', 'self.png': 'symbolic links', 'cut': 'IM9.dcm',
    }  # fmt: skip
    assert code == 1 and set(said) == set(expected)
    assert all(words in said[name] for name, words in expected.items()), said
    assert f'{len(good)} of {len(good) + len(expected)} masks' in out
    mask = nibabel.load(tmp_path / 'out' / 'noform.nii.gz')
    assert (np.asarray(mask.dataobj) == SOLID).all()
    assert mask.header['qform_code'] == mask.header['sform_code'] == 0


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    picture(tmp_path / 'a.png')
    picture(tmp_path / 'shut' / 'b.png')
    scandir = os.scandir

    def refuses(path):
        if Path(os.fspath(path)).name == 'shut':  # root may read everything
            raise PermissionError(errno.EACCES, 'Permission denied', os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuses)
    assert [item.name for item in find_items(tmp_path)] == ['a.png', 'shut']


def test_a_study_with_scout_repeats_and_an_earlier_segmentation(call, tmp_path):  # noqa: F811
    study = tmp_path / 'study'
    for uid in '123':
        described = 'scout' if uid == '1' else 'T1'  # two series of one number and description
        folder = write_series(
            tmp_path / uid, SOLID * GREY, PLACE, SeriesInstanceUID=f'1.2.{uid}', SeriesNumber=4,
            SeriesDescription=f'../{described}',
        )  # fmt: skip
        study.mkdir(exist_ok=True)
        for file in folder.iterdir():
            file.rename(study / f'{uid}{file.name}')
        folder.rmdir()
    code, out, _ = call('m.mmssl', 'study', 'out')
    masks = sorted((tmp_path / 'out').rglob('*.dcm'))
    assert code == 0 and '3 of 3 masks' in out and len(masks) == 3
    masks[0].rename(study / 'seg.dcm')
    code, out, _ = call('m.mmssl', 'study', 'again')
    assert code == 0 and '3 of 3 masks' in out, 'the segmentation is no image'


def test_outputs_among_the_inputs(call, tmp_path):  # noqa: F811
    code, _, err = call('m.mmssl', 'in', 'in')
    assert code == 1 and 'is the input and the output' in last_line(err)
    assert sorted(path.name for path in (tmp_path / 'in').iterdir()) == ['a.png']
    for name in ('one', 'two'):  # masks of an earlier run are no images
        code, out, _ = call('m.mmssl', 'in', f'in/{name}')
        assert code == 0 and '1 of 1 masks' in out
    (tmp_path / 'file').write_bytes(b'')
    code, _, err = call('m.mmssl', 'in', 'file')
    assert code == 1 and 'is a file, and no mask by its name' in last_line(err)
    code, _, err = call('m.mmssl', 'in', 'out', '--truth', 'nowhere')
    assert code == 1 and 'no folder "nowhere" of masks' in last_line(err)


def test_paths_of_a_list_that_look_alike(call, tmp_path):  # noqa: F811
    picture(tmp_path / 'lists' / 'in' / 'a.png', np.rot90(CLASSES) * GREY)
    (tmp_path / 'lists' / 'some.txt').write_text('in/a.png\n../in/a.png\nin/a.png\n')
    code, out, _ = call('m.mmssl', 'lists/some.txt', 'out')
    masks = [np.asarray(Image.open(path)) for path in (tmp_path / 'out').rglob('*.png')]
    assert code == 0 and '2 of 2 masks' in out and {m.shape for m in masks} == {(12, 10), (10, 12)}


def test_truth_of_another_shape_and_of_a_series(call, tmp_path):  # noqa: F811
    write_series(tmp_path / 'in' / 'mr', SOLID * GREY, PLACE)
    picture(tmp_path / 'truth' / 'a.png', CLASSES[1:] * GREY)
    nibabel.save(nibabel.Nifti1Image(SOLID * GREY, PLACE), tmp_path / 'truth' / 'mr.nii.gz')
    code, out, err = call('m.mmssl', 'in', 'out', '--truth', 'truth')
    assert code == 1 and list(failed(err)) == ['a.png'] and '11x10' in failed(err)['a.png']
    rows = (tmp_path / 'out' / 'volumes.csv').read_text().splitlines()
    assert [row.split(',')[5] for row in rows[1:]] == ['1', '1'], 'the series, by geometry'


def test_a_full_disk_leaves_no_half_mask(call, tmp_path, monkeypatch):  # noqa: F811
    picture(tmp_path / 'in' / 'b.png')
    with monkeypatch.context() as patch:
        write, full = os.fsync, []

        def fsync(number):
            if os.readlink(f'/proc/self/fd/{number}').count('.a.png.'):
                full.append(number)
                raise OSError(errno.ENOSPC, 'No space left on device')
            write(number)

        patch.setattr(os, 'fsync', fsync)
        code, _, err = call('m.mmssl', 'in', 'out')
    assert full and code == 1 and list(failed(err)) == ['a.png']
    assert 'No space left' in failed(err)['a.png']
    assert sorted(path.name for path in (tmp_path / 'out').glob('*.png')) == ['b.png']
    assert not [path for path in (tmp_path / 'out').iterdir() if 'tmp-mmssl' in path.name]
    code, out, _ = call('m.mmssl', 'in', 'out')
    assert code == 0 and '1 of 2 images are done before' in out


def start(tmp_path: Path, pause: float = 0.0) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(RUN), 'm.mmssl', 'in', 'out', '--batch-size', '1'], cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, 'PAUSE': str(pause)},
    )  # fmt: skip


def stamps(tmp_path: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (tmp_path / 'out').glob('*.png')}


@pytest.mark.slow
@pytest.mark.parametrize(
    'number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_run_that_is_ended_goes_on_and_rewrites_nothing(number, code, tmp_path):
    for name in 'abcdef':
        picture(tmp_path / 'in' / f'{name}.png')
    process = start(tmp_path, 0.3)
    try:
        for _ in range(4):
            assert process.stdout.readline() == 'batch\n'
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code and 'Traceback' not in err, err
    before = stamps(tmp_path)
    assert 2 <= len(before) < 6
    process = start(tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and '6 of 6 masks' in out, err
    done = int(out.split(' of 6 images are done before')[0].split('\n')[-1])
    assert len(before) - done in (0, 1), 'a mask may be whole before the record says so'
    after = stamps(tmp_path)
    kept = [name for name, when in before.items() if after[name] == when]
    assert len(after) == 6 and len(kept) >= done
    assert not [path for path in (tmp_path / 'out').iterdir() if path.name.startswith('.')]


@pytest.mark.slow
def test_two_runs_into_one_folder(tmp_path):
    for name in 'abc':
        picture(tmp_path / 'in' / f'{name}.png')
    first = start(tmp_path, 60)
    try:
        assert first.stdout.readline() == 'batch\n'
        second = start(tmp_path)
        _, err = second.communicate(timeout=120)
        assert second.returncode == 1 and 'out is in use' in last_line(err), err
    finally:
        first.kill()
        first.communicate(timeout=60)
