"""BUSI: breast ultrasound with lesions, one picture and one mask or several a patient.

`Dataset_BUSI_with_GT/<class>/<class> (N).png` with `... (N)_mask.png`, `... (N)_mask_1.png` and so
on. MiDSS and SynFoC read them as they are and take the union of the masks; here they are united
once. Of the normal pictures, without lesion, nothing is used.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from mmssl.converters.base import Converter, Item, Made, config_text, published_of
from mmssl.converters.faults import Fault, Unfit
from mmssl.converters.images import read_picture
from mmssl.converters.outputs import Writer, png
from mmssl.converters.raw import Raw

IMAGES = dict(benign=437, malignant=210)
FILES = r'(.*/)?(?P<name>(?P<kind>benign|malignant|normal) \(\d+\))(?P<mask>_mask(_\d+)?)?\.png'


class BUSI(Converter):
    """BUSI as it is published, with the masks of a picture united into one."""

    name = 'busi'
    summary = 'breast ultrasound, the masks of a picture united'
    title = 'BUSI'
    volumes = False

    def plan(self, raw: Raw, faults: list[Fault]) -> list[Item]:
        """Return the pictures with a lesion and their masks."""
        images: dict[str, dict[str, str]] = {kind: {} for kind in IMAGES}
        masks: dict[str, list[str]] = {}
        self._normal = 0
        for name, match in raw.find(FILES).items():
            if match['kind'] == 'normal':
                self._normal += not match['mask']
            elif match['mask']:
                masks.setdefault(match['name'], []).append(name)
            else:
                images[match['kind']][match['name']] = name
        items = []
        for kind, found in images.items():
            if len(found) != IMAGES[kind]:
                what = f'{len(found)} images found, {IMAGES[kind]} are published.'
                faults.append(Fault(kind, what))
            for name in sorted(found):
                own = {f'mask{k}': mask for k, mask in enumerate(sorted(masks.pop(name, [])))}
                missing = [] if own else [f'{name}_mask.png is missing.']
                sources = {'image': found[name], **own}
                items.append(Item(kind, '', name, sources, missing=missing))
        faults += [Fault(name, 'a mask without its image.') for name in sorted(masks)]
        return items

    def make(self, item: Item, raw: Raw) -> Made:
        """Return the picture as it is, and the union of its masks."""
        name = item.sources['image']
        with raw.file(name) as path:
            image = read_picture(path, name, 'L')
            content = path.read_bytes()
        union = np.zeros(image.shape, bool)
        faults = []
        for mask in (mask for role, mask in item.sources.items() if role != 'image'):
            with raw.file(mask) as path:
                values = read_picture(path, mask, 'L')
            wrong = sorted(set(np.unique(values).tolist()) - {0, 255})
            if values.shape != image.shape:
                size = f'{values.shape}, its image {image.shape}'
                faults.append(f'mask {mask} has height and width {size}.')
            elif wrong:
                faults.append(f'mask {mask} has values {wrong[:5]} (expected: 0 and 255).')
            else:
                union |= values > 0
        if not faults and not union.any():
            faults.append(f'no mask of {name} shows a lesion.')
        if faults:
            raise Unfit(*faults)

        def copy(file: IO[bytes]) -> None:
            file.write(content)

        stem = f'{item.domain}/{PurePosixPath(name).stem}'
        united = png(np.where(union, 255, 0).astype(np.uint8))
        files: dict[str, Writer] = {f'{stem}.png': copy, f'{stem}_mask.png': united}
        return Made(files, 1, image.shape, None, (0, 255))

    def published(self) -> dict[tuple[str, str], int]:
        """Return the numbers of images, which the config splits."""
        counts: Mapping[tuple[str, str], int] = published_of('BUSI')
        return {
            (kind, ''): sum(number for (domain, _), number in counts.items() if domain == kind)
            for kind in IMAGES
        }

    def notes(self) -> list[str]:
        """Say what is left out."""
        if not self._normal:
            return []
        return [f'{self._normal} normal image(s), which have no lesion, are left out.']

    def config(self, out: Path) -> str:
        """Return a config with labels of one kind."""
        return config_text('synfoc/busi.py', out)
