"""NRRD and MetaImage files that lie where an image lies, by SimpleITK."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mmssl.datasets.reading import ImageFile
from mmssl.utils.io import write_atomic
from mmssl.writing.labels import Labels


def write_itk(path: Path, stored: np.ndarray, file: ImageFile, labels: Labels) -> None:
    """Write a mask with the grid of an image; an NRRD has its classes as segments of 3D Slicer.

    Args:
        path: `.nrrd` or `.mha`.
        stored: class ids in the order of the image's file.
        file: the image.
        labels: what the class ids mean.
    """
    import SimpleITK

    original: Any = file.header()
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(stored.T))
    image.SetSpacing(original.GetSpacing()[: stored.ndim])
    image.SetOrigin(original.GetOrigin()[: stored.ndim])
    if len(original.GetDirection()) == stored.ndim**2:
        image.SetDirection(original.GetDirection())
    if path.suffix == '.nrrd':
        for key, value in _segments(stored, labels).items():
            image.SetMetaData(key, value)
    with tempfile.TemporaryDirectory() as folder:  # it writes by name only
        whole = Path(folder, f'mask{path.suffix}')
        SimpleITK.WriteImage(image, str(whole), useCompression=True)
        write_atomic(path, whole.read_bytes())


def _segments(stored: np.ndarray, labels: Labels) -> dict[str, str]:
    """Return the fields by which 3D Slicer names and paints the classes."""
    extent = ' '.join(f'0 {size - 1}' for size in stored.shape)
    found = {}
    for number, value in enumerate(range(1, len(labels.names))):
        about = {
            'ID': f'Segment_{value}',
            'Name': labels.names[value],
            'LabelValue': str(value),
            'Layer': '0',
            'Color': ' '.join(f'{part / 255:.4f}' for part in labels.colours[value]),
            'Extent': extent,
        }
        found.update({f'Segment{number}_{key}': text for key, text in about.items()})
    return found
