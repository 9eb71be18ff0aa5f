"""What holds for every conversion: it resumes, and nothing else is touched."""

import json
import socket
import zipfile
from pathlib import Path

import pytest
from raw_downloads import contents, write_acdc_download

from mmssl.converters import outputs
from mmssl.converters.raw import Raw


@pytest.fixture(scope='module')
def download(tmp_path_factory):
    return write_acdc_download(tmp_path_factory.mktemp('acdc'), (1, 3, 28))


@pytest.fixture
def whole(download, run, tmp_path):
    """Convert without an interruption."""
    assert run('acdc', download, tmp_path / 'whole', '--skip-faults').code == 0
    return tmp_path / 'whole'


def zipped(folder: Path, archive: Path, **more: bytes) -> Path:
    with zipfile.ZipFile(archive, 'w', zipfile.ZIP_DEFLATED) as file:
        for name, data in {**contents(folder), **more}.items():
            file.writestr(name, data)
    return archive


def cut_after(monkeypatch, files: int) -> None:
    """Interrupt in the middle of a file, some files from now."""
    real, count = outputs.whole_file, iter(range(files))

    def cut(path):
        if next(count, None) is None:
            path.with_name(f'.{path.name}.{socket.gethostname()}.99999999.tmp-mmssl').write_bytes(
                b'half'
            )
            raise KeyboardInterrupt
        return real(path)

    monkeypatch.setattr(outputs, 'whole_file', cut)


def test_an_interrupted_run_goes_on_and_rewrites_nothing(
    download, whole, run, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        cut_after(patch, 5)
        done = run('acdc', download, tmp_path / 'out', '--skip-faults')
    assert done.code == 130 and 'the same command goes on' in done.errors
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').rglob('*.h5')}
    assert len(first) == 5 and not (tmp_path / 'out/train.list').exists()
    assert not json.loads((tmp_path / 'out/conversion.json').read_text())['whole']
    done = run('acdc', download, tmp_path / 'out', '--skip-faults')
    assert done.code == 0 and f'{len(list(whole.rglob("*.h5"))) - 5} file(s) written' in done.report
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert contents(tmp_path / 'out') == contents(whole)
    done = run('acdc', download, tmp_path / 'out', '--skip-faults')
    assert 'all files were there already' in done.report and 'patients' not in done.errors


def test_a_conversion_can_grow_but_not_change(download, run, tmp_path):
    raw = write_acdc_download(tmp_path / 'raw', (1, 3))
    run('acdc', raw, tmp_path / 'out', '--skip-faults')
    write_acdc_download(tmp_path / 'raw', (28,))
    assert run('acdc', raw, tmp_path / 'out', '--skip-faults').code == 0
    assert contents(tmp_path / 'out/data') == contents_of(download, run, tmp_path)
    mask = raw / 'database/training/patient003/patient003_frame01_gt.nii.gz'
    before = mask.read_bytes()
    mask.unlink()
    done = run('acdc', raw, tmp_path / 'out', '--skip-faults')
    assert done.code == 1 and 'patient003_frame01", which is no longer in RAW' in done.errors
    mask.write_bytes(before + b'\0' * 8)
    done = run('acdc', raw, tmp_path / 'out', '--skip-faults')
    assert done.code == 1 and 'patient003_frame01", which RAW gives otherwise now' in done.errors


def contents_of(download, run, tmp_path):
    run('acdc', download, tmp_path / 'reference', '--skip-faults')
    return contents(tmp_path / 'reference/data')


def test_files_of_others_stay(download, run, tmp_path):
    other = tmp_path / 'out/data/patient001_frame01.h5'
    other.parent.mkdir(parents=True)
    other.write_bytes(b'mine')
    done = run('acdc', download, tmp_path / 'out', '--skip-faults')
    assert done.code == 1 and 'no conversion wrote it' in done.errors
    assert contents(tmp_path / 'out') == {'data/patient001_frame01.h5': b'mine'}
    other.rename(other.with_name('mine.h5'))
    (tmp_path / 'out/val.list').write_text('mine\n')
    assert run('acdc', download, tmp_path / 'out', '--skip-faults').code == 1
    (tmp_path / 'out/val.list').unlink()
    assert run('acdc', download, tmp_path / 'out', '--skip-faults').code == 0
    assert (tmp_path / 'out/data/mine.h5').read_bytes() == b'mine'
    (tmp_path / 'out/conversion.json').write_text('{"mine": 1}')
    done = run('acdc', download, tmp_path / 'out', '--skip-faults')
    assert done.code == 1 and 'is no record of a conversion' in done.errors


@pytest.mark.parametrize('place', ['', 'new', '..'])
def test_nothing_is_written_into_the_download(place, run, tmp_path):
    raw = write_acdc_download(tmp_path / 'raw', (1,))
    before = contents(tmp_path)
    done = run('acdc', raw, raw / place, '--skip-faults')
    assert done.code == 1 and 'lie in each other' in done.errors
    assert contents(tmp_path) == before


def test_a_zip_file_gives_the_same(download, whole, run, tmp_path):
    archive = zipped(download, tmp_path / 'ACDC.zip', **{'__MACOSX/database/._x': b''})
    before = archive.read_bytes()
    assert run('acdc', archive, tmp_path / 'one', '--skip-faults').code == 0
    (tmp_path / 'folder').mkdir()
    archive.rename(tmp_path / 'folder/ACDC.zip')
    assert run('acdc', tmp_path / 'folder', tmp_path / 'two', '--skip-faults').code == 0
    for out in ('one', 'two'):
        found, wanted = contents(tmp_path / out), contents(whole)
        assert found.pop('conversion.json') and wanted.pop('conversion.json')
        assert found == wanted
    assert contents(tmp_path / 'folder') == {'ACDC.zip': before}


@pytest.mark.parametrize(
    'name', ['../../slip.txt', '/slip.txt', 'a/../../slip.txt', '..\\slip.txt', 'C:\\slip.txt']
)
def test_a_name_that_leads_out_of_an_archive_is_a_fault(name, download, run, tmp_path):
    (tmp_path / 'here').mkdir()
    archive = zipped(download, tmp_path / 'here/ACDC.zip', **{name: b'slipped'})
    done = run('acdc', archive, tmp_path / 'here/out', '--skip-faults')
    assert done.code == 0 and 'in the archive leads out of it and is not read' in done.errors
    assert not [path for path in tmp_path.rglob('*') if 'slip' in path.name]
    with Raw(archive) as raw:
        assert not [known for known in raw.names if 'slip' in known]


def test_broken_archives_are_faults(download, run, tmp_path):
    archive = zipped(download, tmp_path / 'whole.zip')
    (tmp_path / 'raw').mkdir()
    (tmp_path / 'raw/cut.zip').write_bytes(archive.read_bytes()[:2000])
    done = run('acdc', tmp_path / 'raw', tmp_path / 'out', '--skip-faults')
    assert done.code == 1 and 'cut.zip: cannot be opened as a zip file' in done.errors
    data = bytearray(archive.read_bytes())
    place = data.index(b'patient028_frame01.nii.gz') + 60
    data[place] ^= 0xFF
    archive.write_bytes(data)
    done = run('acdc', archive, tmp_path / 'out', '--skip-faults')
    assert done.code == 0 and 'patient028_frame01: ' in done.errors
    assert 'cannot be unpacked' in done.errors


def test_links_are_followed_but_not_in_circles(download, whole, run, tmp_path):
    raw = tmp_path / 'raw'
    raw.mkdir()
    (raw / 'there').symlink_to(download)
    (raw / 'here').symlink_to(raw)
    assert run('acdc', raw, tmp_path / 'out', '--skip-faults').code == 0
    assert contents(tmp_path / 'out/data') == contents(whole / 'data')


def test_a_download_that_is_not_there(run, tmp_path):
    done = run('acdc', tmp_path / 'none', tmp_path / 'out')
    assert done.code == 1 and 'does not exist' in done.errors
    (tmp_path / 'file.txt').write_text('')
    done = run('acdc', tmp_path / 'file.txt', tmp_path / 'out')
    assert done.code == 1 and 'is no folder and no zip file' in done.errors
    (tmp_path / 'empty').mkdir()
    done = run('acdc', tmp_path / 'empty', tmp_path / 'file.txt')
    assert done.code == 1 and 'is a file' in done.errors
