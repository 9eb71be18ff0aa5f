"""What a model says of an image: classes, their place, and what is measured on them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmssl.apis.prediction.cleaning import counts, members

if TYPE_CHECKING:
    from mmssl.datasets.reading import ImageFile
    from mmssl.writing import Labels


class Size(NamedTuple):
    """How large a part of a prediction is.

    Attributes:
        voxels: number of voxels or pixels.
        area_mm2: of a picture; None of a volume, and where the spacing is unknown.
        volume_ml: of a volume; None of a picture, and where the spacing is unknown.
    """

    voxels: int
    area_mm2: float | None
    volume_ml: float | None


@dataclass(eq=False)
class Prediction:
    """What a model says of an image.

    Attributes:
        classes: class ids, uint8, (H, W) or (Z, H, W), as the image was read (`affine` says how).
        file: the image file and its place; `file.restore(array)` puts an array into its order.
        labels: names, colours and parts of the classes.
        spacing: size of a pixel or voxel in mm in the order of the axes, None where unknown.
        affine: (column, row, slice) -> RAS in mm; None where the file does not say it.
        probabilities: (C, H, W) or (C, Z, H, W), float16, where asked for.
        entropy: of the probabilities, (H, W) or (Z, H, W), 0 to 1, where uncertainty was asked for.
        disagreement: of all students and teachers, likewise; None where there is one network.
        notes: what should be known of the input, such as that it is unlike the training data.
    """

    classes: np.ndarray
    file: 'ImageFile'
    labels: 'Labels'
    spacing: tuple[float, ...] | None = None
    affine: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    entropy: np.ndarray | None = None
    disagreement: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """Return the mask (H, W) or (Z, H, W) of each part; parts may overlap."""
        return {name: members(self.classes, ids) for name, ids in self.labels.parts.items()}

    def sizes(self) -> dict[str, Size]:
        """Return the size of each part."""
        voxels_of = counts(self.classes, max(256, len(self.labels.names)))
        flat = self.classes.ndim == 2
        sizes = (self.spacing or ())[-self.classes.ndim :]
        one = float(np.prod(sizes)) if len(sizes) == self.classes.ndim else None
        found = {}
        for name, ids in self.labels.parts.items():
            voxels = int(voxels_of[[*ids]].sum())
            size = None if one is None else voxels * one
            found[name] = Size(
                voxels,
                size if flat else None,
                size / 1000 if size is not None and not flat else None,
            )
        return found

    def save(self, path: str | Path) -> None:
        """Write the mask as a file of the kind of its image, which lies where the image lies."""
        from mmssl.writing import write_mask

        write_mask(Path(path), self.classes, self.file, self.labels)
