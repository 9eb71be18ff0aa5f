"""MSD: a task of the Medical Segmentation Decathlon, with `dataset.json`, `imagesTr`, `labelsTr`.

`imagesTs` have no masks and are not used. The numbers of cases are those of Antonelli et al.
(Nature Communications 2022).
"""

import json
import re
from pathlib import PurePosixPath

from mmssl.converters.base import Item
from mmssl.converters.faults import Fault
from mmssl.converters.pairs import Pairs
from mmssl.converters.raw import Raw

CASES = dict(
    braintumour=484,
    heart=20,
    liver=131,
    hippocampus=260,
    prostate=32,
    lung=63,
    pancreas=281,
    hepaticvessel=303,
    spleen=41,
    colon=126,
)


class MSD(Pairs):
    """A task of the Medical Segmentation Decathlon, to slices or volumes with lists."""

    name = 'msd'
    summary = 'a task of the Medical Segmentation Decathlon, to slices or volumes'
    title = 'MSD'

    def plan(self, raw: Raw, faults: list[Fault]) -> list[Item]:
        """Return the training cases that `dataset.json` names."""
        found = sorted(raw.find(r'(.*/)?dataset\.json'), key=len)
        if len(found) != 1:
            what = (
                f'{len(found)} files dataset.json found, one is needed: name the folder of a task.'
            )
            faults.append(Fault('MSD', what))
            return []
        folder = PurePosixPath(found[0]).parent
        try:
            content = json.loads(raw.text(found[0]))
            pairs = [(pair['image'], pair['label']) for pair in content['training']]
            self.names = {int(value): str(name) for value, name in content['labels'].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = f'it is no description of a task ({type(error).__name__}: {error}).'
            faults.append(Fault(found[0], what))
            return []
        self.title = ''.join(filter(str.isalnum, str(content.get('name', '')))) or 'MSD'
        if content.get('numTraining', len(pairs)) != len(pairs):
            what = f'numTraining is {content["numTraining"]}, but {len(pairs)} cases are listed.'
            faults.append(Fault(found[0], what))
        channels = content.get('modality', {})
        if len(channels) > 1 and self.options.frame is None:
            which = ', '.join(f'{key} {name}' for key, name in channels.items())
            what = f'images have several channels ({which}): choose one with --frame.'
            faults.append(Fault(self.title, what))
        return self._items_of(raw, folder, pairs, faults)

    def _items_of(
        self, raw: Raw, folder: PurePosixPath, pairs: list[tuple[str, str]], faults: list[Fault]
    ) -> list[Item]:
        known = set(raw.names)
        stems = {
            PurePosixPath(image).name.removesuffix('.gz').removesuffix('.nii'): (image, label)
            for image, label in pairs
        }
        part_of = self.split(self.title, stems, (), faults)
        items = []
        for stem in sorted(stems):
            image, mask = (str(folder / PurePosixPath(name)) for name in stems[stem])
            missing = [f'{name} is missing.' for name in (image, mask) if name not in known]
            sources = dict(image=image, mask=mask)
            items.append(Item(self.title, part_of[stem], stem, sources, missing=missing))
        self._cases = len(stems)
        listed = {str(folder / PurePosixPath(image)) for image, _ in pairs}
        there = raw.find(rf'{re.escape(str(folder / "imagesTr"))}/[^/]+\.nii(\.gz)?')
        self._more = len(set(there) - listed)
        return items

    def labels(self) -> tuple[int, ...]:
        """Return the values that `dataset.json` explains."""
        return tuple(self.names)

    def notes(self) -> list[str]:
        """Say how many cases the task has, and which files are not in its list."""
        published = CASES.get(self.title.lower())
        found = []
        if published not in (None, self._cases):
            found.append(f'{self._cases} cases are listed, {published} are published.')
        if self._more:
            found.append(f'{self._more} image(s) of imagesTr that dataset.json does not list.')
        return found
