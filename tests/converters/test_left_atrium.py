"""The left atrium's NRRD files become UA-MT's HDF5 volumes."""

import h5py
import numpy as np
import pytest
import SimpleITK as sitk
from raw_downloads import noise, write_left_atrium_download

from mmssl.converters.sets.left_atrium import PART

FEW = [*list(PART)[:3], *list(PART)[-2:]]
SIXTH = list(PART)[3]


@pytest.fixture(scope='module')
def download(tmp_path_factory):
    return write_left_atrium_download(tmp_path_factory.mktemp('la'), FEW, (6, 150, 160))


def read(path):
    with h5py.File(path) as file:
        return file['image'][...], file['label'][...], file.attrs['spacing'].tolist()


def test_published_volumes(download, run, tmp_path):
    """Normalised by the whole volume, cut in the plane to the widened box of the atrium."""
    done = run('left_atrium', download, tmp_path / 'out', '--skip-faults')
    assert done.code == 0
    assert (tmp_path / 'out/train.list').read_text().split() == FEW[:3]
    assert (tmp_path / 'out/test.list').read_text().split() == FEW[3:]
    for number, code in enumerate(FEW):
        image, labels, spacing = read(tmp_path / 'out' / code / 'mri_norm2.h5')
        assert image.dtype == np.float32 and labels.dtype == np.uint8
        assert spacing == [0.625, 0.5, 1.25]
        raw = noise(number, (6, 150, 160)).astype(float).transpose(2, 1, 0)
        whole = ((raw - raw.mean()) / raw.std()).astype(np.float32)
        rows, columns, depth = image.shape
        width = 9 + number % 3  # of the atrium along x, less one
        # x: 30 voxels before it, less than margin and widening; y: 2 before it
        wider = (112 - width) // 2, (112 - 7) // 2
        x, y = np.flatnonzero(labels.any((1, 2))), np.flatnonzero(labels.any((0, 2)))
        assert (len(x), len(y), depth) == (width + 1, 8, 6)
        assert x[0] == 30 and y[0] == 2  # cut off at the volume's own edge
        assert 10 <= rows - x[-1] - wider[0] <= 19 and 10 <= columns - y[-1] - wider[1] <= 19
        np.testing.assert_array_equal(image, whole[:rows, :columns])
    again = run('left_atrium', download, tmp_path / 'again', '--skip-faults')
    first, second = (read(tmp_path / o / FEW[0] / 'mri_norm2.h5')[0] for o in ('out', 'again'))
    np.testing.assert_array_equal(first, second)
    assert 'cut around their atrium' in again.report


def test_published_volumes_are_read_by_the_config(download, run, data_sets, tmp_path):
    done = run('left_atrium', download, tmp_path / 'out', '--skip-faults')
    labelled = 'train_dataloader = dict(dataset=dict(data, labelled=dict(num=2)))'
    report = done.report.replace('train_dataloader = dict(dataset=data)', labelled)
    assert labelled in report
    sets = data_sets(report)
    assert [len(part) for part in (sets.train, sets.val, sets.test)] == [3, 2, 2]
    names = {sets.train.samples[index].name for index in sets.train.labelled_indices}
    assert names == set(FEW[:2]) and sets.test.samples[0].name == min(FEW[3:])
    image, labels, spacing = read(tmp_path / 'out' / min(FEW[3:]) / 'mri_norm2.h5')
    packed = sets.test[0]
    np.testing.assert_array_equal(packed['inputs'][0].numpy(), image)
    np.testing.assert_array_equal(packed['data_samples'].gt_sem_seg.data[0].numpy(), labels)
    assert packed['data_samples'].spacing == tuple(spacing)
    first = sets.train[int(sets.train.labelled_indices[0])]
    assert first['inputs']['x_w'].shape == (1, 112, 112, 80), 'padded: it has six slices'


def test_slices_are_read_by_the_config(download, run, data_sets, tmp_path):
    done = run('left_atrium', download, tmp_path / 'out', '--skip-faults', '--layout', 'slices')
    sets = data_sets(done.report.replace('cases=16', 'cases=2'))
    assert len(sets.train) == 3 * 6 and len(sets.test) == 2 * 6 and len(sets.val) == 2 * 6
    assert len(sets.train.labelled_indices) == 2 * 6
    run('left_atrium', download, tmp_path / 'other', '--skip-faults')
    axial, masks, spacing = read(tmp_path / 'out/data' / f'{FEW[1]}.h5')
    image, labels, _ = read(tmp_path / 'other' / FEW[1] / 'mri_norm2.h5')
    np.testing.assert_array_equal(axial, image.transpose(2, 1, 0))
    np.testing.assert_array_equal(masks, labels.transpose(2, 1, 0))
    assert spacing == [1.25, 0.5, 0.625]
    index = next(i for i, s in enumerate(sets.test.samples) if s.name.endswith('_slice_2'))
    assert sets.test.read_mask(index).sum() == read(
        tmp_path / 'out/data' / f'{sets.test.samples[index].case}.h5'
    )[1][1].sum()  # fmt: skip


def test_faults(run, tmp_path):
    raw = write_left_atrium_download(tmp_path / 'raw', FEW, (4, 20, 50))
    first, second, third, fourth, fifth = (raw / code for code in FEW)
    (sixth,) = write_left_atrium_download(raw, [SIXTH], (4, 20, 50)).glob(SIXTH)
    (first / 'laendo.nrrd').unlink()

    def write(folder, array, spacing=(0.625, 0.5, 1.25), origin=(0, 0, 0)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        sitk.WriteImage(image, str(folder / 'laendo.nrrd'))

    labels = np.zeros((4, 20, 50), np.uint8)
    write(second, labels)
    labels[0, 0, 0] = 1
    write(third, labels)
    labels[0, 0, 0] = 255
    write(fourth, labels, (0.625, 0.5, 2.0))
    write(sixth, labels, origin=(0, 3, 0))
    data = (fifth / 'lgemri.nrrd').read_bytes()
    (fifth / 'lgemri.nrrd').write_bytes(data[: len(data) // 2])
    done = run('left_atrium', raw, tmp_path / 'out')
    assert done.code == 1 and not (tmp_path / 'out').exists()
    for said in (
        f'{FEW[0]}: {FEW[0]}/laendo.nrrd is missing',
        f'{FEW[1]}: {FEW[1]}/laendo.nrrd shows no atrium',
        f'{FEW[2]}/laendo.nrrd has label values 1 (expected: 0, 255)',
        f'{FEW[3]}/laendo.nrrd lies up to 2.25 mm away from its image',
        f'{SIXTH}/laendo.nrrd lies up to 3 mm away from its image',
        f'{FEW[4]}/lgemri.nrrd cannot be read as NRRD',
        f'{list(PART)[50]}: {list(PART)[50]}/lgemri.nrrd is missing',
    ):
        assert said in done.errors


def test_without_simpleitk_one_line_says_how_to_get_it(download, run, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, 'SimpleITK', None)
    done = run('left_atrium', download, tmp_path / 'out', '--skip-faults')
    assert done.code == 1 and done.errors.count("pip install 'mmssl[formats]'") == 1
