"""DICOM files written for a test: a series, one file of several frames, a picture."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def blank(kind: str, array: np.ndarray, **options) -> Dataset:
    """Return a data set with the pixels (frames, rows, columns) or (rows, columns)."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = kind
    uid = generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = '1.2.3', '1.2.3.4'
    dataset.SeriesInstanceUID, dataset.SeriesNumber = '1.2.3.5', 7
    dataset.SeriesDescription, dataset.Modality, dataset.PatientID = 'T1 axial', 'MR', 'nobody'
    for name in ('PatientName', 'PatientSex', 'PatientBirthDate', 'StudyDate', 'StudyTime'):
        setattr(dataset, name, '')
    dataset.StudyID = dataset.AccessionNumber = dataset.ReferringPhysicianName = ''
    dataset.InstanceNumber = 1
    dataset.Rows, dataset.Columns = array.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, 'MONOCHROME2'
    bits = 8 * array.itemsize
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(array.dtype.kind == 'i')
    dataset.PixelData = np.ascontiguousarray(array).tobytes()
    dataset['PixelData'].VR = 'OB' if bits == 8 else 'OW'
    if array.ndim == 3:
        dataset.NumberOfFrames = len(array)
    for name, value in options.items():
        setattr(dataset, name, value)
    return dataset


def place(affine: np.ndarray, k: int) -> dict:
    """Return position, orientation and spacing of slice k of a volume with a RAS affine."""
    lps = LPS @ affine
    sizes = np.linalg.norm(lps[:3, :3], axis=0)
    cosines = lps[:3, :2] / sizes[:2]
    return dict(
        ImagePositionPatient=[float(x) for x in (lps @ (0, 0, k, 1))[:3]],
        ImageOrientationPatient=[float(x) for x in cosines.T.ravel()],
        PixelSpacing=[float(sizes[1]), float(sizes[0])],
        SliceThickness=float(sizes[2]),
    )


def save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, array: np.ndarray, affine: np.ndarray, **options) -> Path:
    """Write (x, y, z) as one file a slice, in an order that neither names nor numbers tell."""
    count = array.shape[2]
    for k in range(count):
        number = (5 * k + 3) % 7
        dataset = blank(CTImageStorage, array[..., k].T, **place(affine, k))
        dataset.InstanceNumber = number
        for name, value in options.items():
            setattr(dataset, name, value)
        save(dataset, folder / f'IM{number:04d}.dcm')
    return folder


def write_frames(path: Path, array: np.ndarray, affine: np.ndarray, order=None, **options) -> Path:
    """Write (x, y, z) or (x, y, z, time) as one enhanced file, its frames in any order."""
    full = array if array.ndim == 4 else array[..., None]
    frames = [(k, t) for t in range(full.shape[3]) for k in range(full.shape[2])]
    frames = [frames[n] for n in (order if order is not None else range(len(frames)))]
    pixels = np.stack([full[:, :, k, t].T for k, t in frames])
    dataset = blank(EnhancedMRImageStorage, pixels, **options)
    facts = place(affine, 0)
    shared = Dataset()
    shared.PlaneOrientationSequence = Sequence([Dataset()])
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = facts['ImageOrientationPatient']
    shared.PixelMeasuresSequence = Sequence([Dataset()])
    shared.PixelMeasuresSequence[0].PixelSpacing = facts['PixelSpacing']
    shared.PixelMeasuresSequence[0].SliceThickness = facts['SliceThickness']
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for k, t in frames:
        group, content, position = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = place(affine, k)['ImagePositionPatient']
        content.TemporalPositionIndex = t + 1
        group.PlanePositionSequence = Sequence([position])
        group.FrameContentSequence = Sequence([content])
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return save(dataset, path)
