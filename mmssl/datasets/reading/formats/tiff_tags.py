"""What the tags of a TIFF say without its pixels: further pages, and the size of a pixel."""

import os
import re
from typing import IO, Any

from PIL import TiffImagePlugin

SUFFIXES = ('.tif', '.tiff')
ORIENTATION = 274


def has_pages(path: str) -> bool:
    """Return whether a TIFF has several pages; only its first directory is read."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, 'rb') as file:
            facts, further = first_directory(file)
    except Exception:  # what is broken is left to its reader
        return False
    return further or bool(re.search(r'^images=(?!1\b)\d', _text(facts.get(270)), re.M))


def picture_spacing(path: str) -> tuple[float, ...] | None:
    """Return height and width of a pixel in mm, of a TIFF that says it, as it is seen."""
    if not path.lower().endswith(SUFFIXES):
        return None
    try:
        with open(path, 'rb') as file:
            facts, _ = first_directory(file)
        found = tiff_sizes(*(facts.get(tag) for tag in (270, 282, 283)))
    except Exception:  # what is broken is left to its reader
        return None
    if found is None:
        return None
    return found[:2] if facts.get(ORIENTATION, 1) > 4 else found[1::-1]


def first_directory(file: IO[bytes]) -> tuple[TiffImagePlugin.ImageFileDirectory_v2, bool]:
    """Return the tags of a TIFF's first page, and whether there is another one."""
    head = file.read(8)
    large = b'+' in head[2:4]  # BigTIFF
    facts = TiffImagePlugin.ImageFileDirectory_v2(head + file.read(8) if large else head)
    file.seek(facts.next)
    facts.load(file)
    return facts, bool(facts.next)


def _text(value: object) -> str:
    return value.decode('latin-1') if isinstance(value, bytes) else str(value or '')


_IN_MM = {
    'mm': 1.0, 'millimeter': 1.0, 'cm': 10.0, 'm': 1000.0, 'inch': 25.4, 'nm': 1e-6,
    'µm': 1e-3, 'um': 1e-3, 'micron': 1e-3, '\\u00B5m': 1e-3,
}  # fmt: skip


def tiff_sizes(description: object, across: Any, down: Any) -> tuple[float, ...] | None:
    """Return the size of a voxel (x, y) or (x, y, z) in mm as ImageJ and OME write it.

    Args:
        description: the tag ImageDescription.
        across: pixels for a unit, the tag XResolution, as a number or a fraction of two.
        down: the tag YResolution.
    """
    text = _text(description)
    found: list[float] = []
    if text.startswith('ImageJ='):
        facts = dict(line.split('=', 1) for line in text.splitlines() if '=' in line)
        unit = _IN_MM.get(facts.get('unit', ''))
        if unit is None or not across or not down:
            return None
        per_unit = [float(x[0]) / float(x[1]) if isinstance(x, tuple) else float(x)
                    for x in (across, down)]  # fmt: skip
        found = [unit / number if number else 0 for number in per_unit]
        found += [unit * float(facts['spacing'])] if 'spacing' in facts else []
    elif '<OME' in text:
        for axis in 'XYZ':
            size = re.search(rf'\bPhysicalSize{axis}="([-+.\deE]+)"', text)
            named = re.search(rf'\bPhysicalSize{axis}Unit="([^"]*)"', text)
            unit = _IN_MM.get(named.group(1) if named else 'µm')
            if size is None or unit is None:
                break
            found.append(unit * float(size.group(1)))
    return tuple(found) if len(found) > 1 and min(found) > 0 else None
