"""A task of the Decathlon becomes slices or volumes with lists."""

import json

import h5py
import nibabel
import numpy as np
import pytest
from PIL import Image
from raw_downloads import REAL, heart, write_msd_download


@pytest.fixture(scope='module')
def download(tmp_path_factory):
    return write_msd_download(tmp_path_factory.mktemp('msd'))


def lists(out):
    return {part: (out / f'{part}.list').read_text().split() for part in ('train', 'val', 'test')}


@pytest.mark.parametrize('layout', ['slices', 'volumes'])
def test_a_task_is_read_by_the_config(layout, download, run, data_sets, tmp_path):
    done = run('msd', download, tmp_path / 'out', '--layout', layout)
    assert done.code == 0, done.errors
    parts = lists(tmp_path / 'out/Hippocampus')
    assert [len(names) for names in parts.values()] == [7, 1, 2]
    assert len({name for names in parts.values() for name in names}) == 10
    sets = data_sets(done.report)
    assert [len(sets.train), len(sets.val), len(sets.test)] == [28, 4, 8]
    assert {sample.volume for sample in sets.test.samples} == set(parts['test'])
    assert len(sets.train.labelled_indices) == 4
    assert sets.train.metainfo['classes'] == ('background', 'Anterior', 'Posterior_part')
    assert '10 cases are listed, 260 are published' in done.report
    again = run('msd', download, tmp_path / 'other', '--seed', '1', '--layout', layout)
    assert again.code == 0 and lists(tmp_path / 'other/Hippocampus') != parts


@pytest.mark.parametrize('layout', ['slices', 'volumes'])
def test_voxels_come_as_the_package_reads_the_file(layout, download, run, tmp_path):
    """Turned to right, anterior, superior, scaled by the volume."""
    run('msd', download, tmp_path, '--layout', layout)
    raw, labels = (array[..., ::-1] for array in heart(2, 4, values=(1, 2, 2)))
    scaled = (raw - raw.min()) / np.ptp(raw)
    if layout == 'volumes':
        with h5py.File(tmp_path / 'Hippocampus/hippocampus_003.h5') as file:
            np.testing.assert_array_equal(file['image'][...], scaled.astype(np.float32))
            np.testing.assert_array_equal(file['label'][...], labels)
            assert file.attrs['spacing'].tolist() == [2, 1, 1]
        return
    name = 'hippocampus_003_slice_4.png'
    image, mask = (
        np.asarray(Image.open(tmp_path / 'Hippocampus' / kind / name)) for kind in ('image', 'mask')
    )
    np.testing.assert_array_equal(image, (scaled[3] * 255).astype(np.uint8))
    np.testing.assert_array_equal(mask, labels[3])


def test_scaling_and_empty_slices_by_option(run, tmp_path):
    raw = write_msd_download(tmp_path / 'raw', 5)
    mask = raw / 'labelsTr/hippocampus_001.nii.gz'
    image = nibabel.load(mask)
    labels = np.array(image.dataobj)
    labels[..., [0, 2]] = 0
    nibabel.save(nibabel.Nifti1Image(labels, image.affine), mask)
    run('msd', raw, tmp_path / 'out', '--window', '100', '300', '--empty', 'drop')
    names = sorted(p.name for p in (tmp_path / 'out/Hippocampus/mask').glob('*_001_*'))
    assert names == ['hippocampus_001_slice_2.png', 'hippocampus_001_slice_4.png']
    voxels, _ = heart(0, 4)
    expected = np.clip((voxels[1, :, ::-1].astype(float) - 100) / 200, 0, 1) * 255
    found = np.asarray(Image.open(tmp_path / 'out/Hippocampus/image' / names[0]))
    np.testing.assert_array_equal(found, expected.astype(np.uint8))


def test_a_channel_is_chosen(run, tmp_path):
    raw = write_msd_download(tmp_path / 'raw', 5, channels=2)
    done = run('msd', raw, tmp_path / 'out')
    assert done.code == 1 and 'several channels (0 MRI 0, 1 MRI 1): choose one' in done.errors
    done = run('msd', raw, tmp_path / 'out', '--frame', '1', '--window', '0', '1000', '--layout',
               'volumes')  # fmt: skip
    assert done.code == 0, done.errors
    with h5py.File(tmp_path / 'out/Hippocampus/hippocampus_001.h5') as file:
        expected = (heart(0, 4)[0][..., ::-1] + 1) / 1000
        np.testing.assert_allclose(file['image'][...], expected, rtol=1e-6)


def test_faults(run, tmp_path):
    raw = write_msd_download(tmp_path / 'raw')
    (raw / 'labelsTr/hippocampus_001.nii.gz').unlink()
    names = [raw / f'labelsTr/hippocampus_{number:03d}.nii.gz' for number in (2, 3)]
    image = nibabel.load(names[0])
    labels = np.array(image.dataobj)
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([-1.0, 1.0, 3.0, 1.0])), names[0])
    labels[0, 0, 0] = 3
    nibabel.save(nibabel.Nifti1Image(labels, image.affine), names[1])
    content = json.loads((raw / 'dataset.json').read_text())
    content['numTraining'] = 11
    (raw / 'dataset.json').write_text(json.dumps(content))
    done = run('msd', raw, tmp_path / 'out')
    assert done.code == 1 and not (tmp_path / 'out').exists()
    for said in (
        'dataset.json: numTraining is 11, but 10 cases are listed',
        'hippocampus_001: labelsTr/hippocampus_001.nii.gz is missing',
        'hippocampus_002: ',
        'hippocampus_003: mask labelsTr/hippocampus_003.nii.gz has label values 3',
    ):
        assert said in done.errors
    faults = [line for line in done.errors.splitlines() if line.startswith('  ')]
    assert len(faults) == 4 and str(raw) not in ''.join(faults)
    assert '--ignore-geometry' in faults[2]
    done = run('msd', raw, tmp_path / 'out', '--skip-faults', '--ignore-geometry')
    assert done.code == 0 and 'hippocampus_002: ' not in done.errors
    (raw / 'dataset.json').write_text('{}')
    done = run('msd', raw, tmp_path / 'none')
    assert 'dataset.json: it is no description of a task' in done.errors
    (raw / 'dataset.json').unlink()
    done = run('msd', raw, tmp_path / 'none')
    assert '0 files dataset.json found' in done.errors


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / 'hippocampus').is_dir(), reason='needs the real files')
def test_the_real_hippocampus(run, data_sets, tmp_path):
    """All cases come out as the package reads the NIfTI files themselves."""
    from mmssl.datasets.reading import read_volume

    done = run('msd', REAL / 'hippocampus', tmp_path / 'out', '--layout', 'volumes')
    assert done.code == 0, done.errors
    assert len(list((tmp_path / 'out/Hippocampus').glob('*.h5'))) == 200
    sets = data_sets(done.report)
    assert [len({s.volume for s in p.samples}) for p in (sets.train, sets.val, sets.test)] == [
        140, 20, 40,
    ]  # fmt: skip
    for name in (sets.train.samples[0].volume, sets.test.samples[-1].volume):
        with h5py.File(tmp_path / f'out/Hippocampus/{name}.h5') as file:
            raw = read_volume(str(REAL / f'hippocampus/imagesTr/{name}.nii.gz'), '')
            labels = read_volume(str(REAL / f'hippocampus/labelsTr/{name}.nii.gz'), '')
            scaled = (raw.astype(np.float64) - raw.min()) / (float(raw.max()) - float(raw.min()))
            np.testing.assert_array_equal(file['image'][...], scaled.astype(np.float32))
            np.testing.assert_array_equal(file['label'][...], labels)
