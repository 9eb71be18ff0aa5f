"""What is in a file: pictures, slices and volumes as arrays, with their geometry.

The only place that opens image files, for training and for prediction. `formats` knows the formats
of volumes behind one interface, `formats.Stored`; what is above it asks for slices:

- `open_image(path, key='image', axes=CANONICAL) -> ImageFile`: kind, shape of the slices (Z, H, W),
  stored shape and affine, the turn between the two, spacing, `header()`, and `restore(mask)`, which
  puts an array of slices back into the order of the file.
- `Axes(geometry='canonical', plane=None, frame=None, series=None)`: which volume, cut how.
- `read_image(path, channels=1, key='image', index=None, value_range=None, axes=CANONICAL) -> Scan`:
  one picture or slice as uint8 (H, W, C), its spacing and affine.
- `decode_mask(paths, label_map, shape=None, key='label', index=None, like=None, axes=CANONICAL)`:
  one mask as class ids (H, W), laid on its image `like=Source(path, key)`.
- `read_volume(path, key, axes=CANONICAL)`: (Z, H, W), the values as stored.
- `volume_limits(path, key, axes=CANONICAL)`: smallest and largest value.
- `list_series(folder, nested=True) -> list[Series]`: the DICOM series below a folder; each is read
  as `series.folder` with `Axes(series=series.uid)`.
- `known_suffixes()`, `split_suffix(file)`, `holds_volumes(path)`.

A fault of a file is a `DataError` of one sentence, a missing file a `FileNotFoundError`.
"""

from mmssl.datasets.reading.decode import (
    Scan,
    decode_image,
    decode_mask,
    known_suffixes,
    read_image,
    split_suffix,
)
from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.formats import holds_volumes
from mmssl.datasets.reading.formats.dicom_files import Series, list_series
from mmssl.datasets.reading.geometry import CANONICAL, Axes, Turn
from mmssl.datasets.reading.image_file import ImageFile, open_image
from mmssl.datasets.reading.label_map import LabelMap
from mmssl.datasets.reading.volumes import (
    Source,
    file_spacing,
    read_volume,
    volume_affine,
    volume_limits,
    volume_shape,
)

__all__ = [
    'CANONICAL',
    'Axes',
    'DataError',
    'ImageFile',
    'LabelMap',
    'Scan',
    'Series',
    'Source',
    'Turn',
    'decode_image',
    'decode_mask',
    'file_spacing',
    'holds_volumes',
    'known_suffixes',
    'list_series',
    'open_image',
    'read_image',
    'read_volume',
    'split_suffix',
    'volume_affine',
    'volume_limits',
    'volume_shape',
]
