"""Real files, with MMSSL_DATA: masks lie on their images, whoever reads them."""

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from bundles.bundle_parts import config
from identity import GREY, IdentityModel
from identity import config as identity_config

from mmssl.apis import init_model, predict
from tests import tiny

DATA = Path(os.environ.get('MMSSL_DATA') or '/nowhere')
SERIES, HIPPOCAMPUS = DATA / 'dicom' / 'T1post', DATA / 'hippocampus'
LPS = np.diag([-1.0, -1, 1, 1])
needs = pytest.mark.skipif(
    not (SERIES.is_dir() and HIPPOCAMPUS.is_dir()),
    reason='MMSSL_DATA names no folder with dicom and hippocampus',
)


def network():
    cfg = config(dict(type='SupOnly', students=dict(unet=tiny.segmentor(norm=tiny.GN))))
    cfg.test_dataloader.dataset.pop('overrides')
    cfg.test_dataloader.dataset.update(value_range='volume', image_key='image')
    return init_model(cfg)


def bright() -> IdentityModel:
    """Return a model that says class 1 and 2 of what is brighter: anatomy that can be compared."""
    cfg = identity_config()
    cfg.test_dataloader.dataset.value_range = 'volume'
    return IdentityModel(cfg)


def said_of(grey: np.ndarray) -> np.ndarray:
    """Return what that model says of intensities."""
    return np.rint(np.floor((grey - grey.min()) / np.ptp(grey) * 255) / GREY).clip(0, 2)


def itk_affine(image) -> np.ndarray:
    """Return index -> RAS of an image of SimpleITK."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return LPS @ affine


@needs
@pytest.mark.parametrize('model', [network, bright])
def test_nifti(model, tmp_path):
    path = next(p for p in sorted(HIPPOCAMPUS.rglob('*.nii.gz')) if not p.name.startswith('.'))
    image = nibabel.load(path)
    predict(model(), path).save(tmp_path / 'mask.nii.gz')
    mask, itk = nibabel.load(tmp_path / 'mask.nii.gz'), tmp_path / 'mask.nii.gz'
    assert mask.shape == image.shape and np.allclose(mask.affine, image.affine, atol=1e-5)
    read = SimpleITK.ReadImage(str(itk))
    assert np.allclose(itk_affine(read), image.affine, atol=1e-5)
    values = np.asarray(mask.dataobj)
    assert (SimpleITK.GetArrayFromImage(read).T == values).all()
    if model is bright:
        assert (said_of(image.get_fdata()) == values).all()


@needs
@pytest.mark.parametrize('model', [network, bright])
def test_an_oblique_dicom_series(model, tmp_path):
    import highdicom

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(SERIES)))
    image = reader.Execute()
    affine, grey = itk_affine(image), SimpleITK.GetArrayFromImage(image).T.astype(float)
    assert np.abs(affine[:3, :3] / np.array(image.GetSpacing())).max(0).min() < 0.9999, 'oblique'
    found = predict(model(), SERIES)
    found.save(tmp_path / 'mask.dcm')
    told = found.file.stored_affine
    flip = told[:3, 2] @ affine[:3, 2] < 0  # the order of the slices is a reader's own
    if flip:
        grey = grey[..., ::-1]
        affine = affine @ np.array(
            [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, grey.shape[2] - 1], [0, 0, 0, 1]]
        )
    assert np.allclose(told, affine, atol=1e-5)
    seg = highdicom.seg.segread(tmp_path / 'mask.dcm')
    stored = found.file.restore(found.classes)
    for value in range(1, len(found.labels.names)):
        if not (stored == value).any():
            continue
        volume = seg.get_volume(segment_numbers=[value], combine_segments=True)
        inside = np.argwhere(volume.array > 0)  # (slice, row, column) of what it kept
        placed = (LPS @ volume.affine @ np.c_[inside, np.ones(len(inside))].T)[:3].T
        index = (np.linalg.inv(affine) @ np.c_[placed, np.ones(len(placed))].T)[:3].T
        whole = np.rint(index).astype(int)
        assert np.abs(index - whole).max() < 1e-3
        back = np.zeros(stored.shape, bool)
        back[tuple(whole.T)] = True
        assert (back == (stored == value)).all(), value
    if model is bright:
        assert (said_of(grey) == stored).all()
