"""DICOM segmentations of DICOM series, by highdicom."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from mmssl import __version__
from mmssl.datasets.reading import DataError, ImageFile
from mmssl.datasets.reading.formats.stored import library
from mmssl.utils.io import whole_file
from mmssl.writing.labels import Labels

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SERIES_NUMBER = 9000  # segmentations stand behind the images of a study

MAY_BE_EMPTY = (
    'PatientID', 'PatientName', 'PatientBirthDate', 'PatientSex', 'StudyID', 'StudyDate',
    'StudyTime', 'AccessionNumber', 'ReferringPhysicianName', 'SeriesNumber',
)  # fmt: skip
"""What a segmentation repeats of its images and who removes names may have removed (type 2)."""


def write_dicom_seg(path: Path, stored: np.ndarray, file: ImageFile, labels: Labels) -> None:
    """Write a binary segmentation with a segment for each class but the background.

    It refers to the images and the frame of reference of the series, and bears its patient and
    study.

    Args:
        path: the file.
        stored: class ids in the order of the series, (column, row, slice).
        file: the series.
        labels: what the class ids mean.

    Raises:
        DataError: the headers of the series lack what a segmentation must repeat.
    """
    highdicom = library('highdicom', file.path)
    headers: list[Any] = file.header()
    for header in headers:
        for name in MAY_BE_EMPTY:
            if name not in header:
                setattr(header, name, None)
    frames = np.ascontiguousarray(stored.T if stored.ndim == 3 else stored.T[None])
    try:
        with warnings.catch_warnings():  # on names and texts that the scanner wrote
            warnings.simplefilter('ignore')
            found = highdicom.seg.Segmentation(
                source_images=headers,
                pixel_array=_placed(frames, file, headers[0]),
                segmentation_type='BINARY',
                segment_descriptions=_segments(labels),
                series_instance_uid=highdicom.UID(),
                series_number=SERIES_NUMBER + int(headers[0].get('SeriesNumber') or 0) % 1000,
                sop_instance_uid=highdicom.UID(),
                instance_number=1,
                manufacturer='mmssl',
                manufacturer_model_name=labels.model[:64],
                software_versions=__version__,
                device_serial_number='0',
                omit_empty_frames=bool(frames.any()),
                content_label='MMSSL',
                series_description=f'Segmentation by {labels.model}'[:64],
            )
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f'{file.path}: no DICOM segmentation can refer to this series '
            f'({" ".join(str(error).split())}). Convert the series to NIfTI and predict that.'
        ) from error
    with whole_file(path) as out:
        found.save_as(out)


def _placed(frames: np.ndarray, file: ImageFile, header: Any) -> Any:
    """Return frames (slice, row, column) with their place in the patient."""
    import highdicom

    if file.stored_affine is None or len(file.stored_shape) == 2:
        return frames  # a single image, to which the mask refers pixel by pixel
    affine = (RAS_TO_LPS @ file.stored_affine)[:, [2, 1, 0, 3]]
    return highdicom.Volume(
        frames, affine, 'PATIENT', frame_of_reference_uid=header.get('FrameOfReferenceUID')
    )


def _segments(labels: Labels) -> list[Any]:
    """Return what DICOM says of each class."""
    import highdicom
    from highdicom.color import CIELabColor
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=labels.model[:64], family=codes.DCM.ArtificialIntelligence, version=__version__
    )
    return [
        highdicom.seg.SegmentDescription(
            segment_number=value,
            segment_label=labels.names[value][:64],
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=CodedConcept(
                f'CLASS{value}', '99MMSSL', labels.names[value][:64]
            ),
            algorithm_type='AUTOMATIC',
            algorithm_identification=algorithm,
            display_color=CIELabColor.from_rgb(*labels.colours[value]),
        )
        for value in range(1, len(labels.names))
    ]
