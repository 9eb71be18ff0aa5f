"""What the values of a mask mean: names and colours, as JSON and for ITK-SNAP."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mmssl.datasets.metainfo import PALETTE
from mmssl.evaluation.files import write_json
from mmssl.utils.io import write_atomic

ITK_SNAP = """################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
"""


class Labels(NamedTuple):
    """The classes of a model, its background first.

    Attributes:
        names: of the classes.
        colours: of the classes, RGB, 0 to 255.
        parts: name of each part to the classes it is made of.
        model: what made the mask, in a few words.
    """

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    parts: Mapping[str, Sequence[int]]
    model: str = 'mmssl'

    @classmethod
    def of(cls, metainfo: Mapping, num_classes: int, model: str = 'mmssl') -> 'Labels':
        """Return the labels of a data set, with names and colours of classes that have none."""
        names = [*metainfo.get('classes', ())]
        names = [*names, *(f'class{index}' for index in range(len(names), num_classes))]
        names[0] = 'background' if not metainfo.get('classes') else names[0]
        palette = [*(metainfo.get('palette') or ())]
        colours = [
            palette[index] if index < len(palette) else PALETTE[index % len(PALETTE)]
            for index in range(len(names))
        ]
        rgb = tuple((int(r), int(g), int(b)) for r, g, b in colours)
        parts = metainfo.get('parts') or {name: [n] for n, name in enumerate(names) if n}
        return cls(tuple(names), rgb, {name: [*ids] for name, ids in parts.items()}, model)

    def write_json(self, path: Path) -> None:
        """Write value, name and colour of every class, and the parts."""
        classes = [
            {'value': value, 'name': name, 'rgb': colour}
            for value, (name, colour) in enumerate(zip(self.names, self.colours, strict=True))
        ]
        write_json(path, {'model': self.model, 'classes': classes, 'parts': dict(self.parts)})

    def write_itk_snap(self, path: Path) -> None:
        """Write the label descriptions that ITK-SNAP opens beside a segmentation."""
        lines = [ITK_SNAP]
        for value, (name, colour) in enumerate(zip(self.names, self.colours, strict=True)):
            shown = int(value > 0)
            plain = name.replace('"', "'").replace('\n', ' ')
            red, green, blue = (0, 0, 0) if not value else colour
            lines.append(
                f'{value:5d} {red:5d} {green:4d} {blue:4d} {shown:8d} {shown:2d} {shown:2d}'
                f'    "{plain if value else "Clear Label"}"\n'
            )
        write_atomic(path, ''.join(lines))
