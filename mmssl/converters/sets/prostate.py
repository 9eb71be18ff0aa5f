"""Prostate: T2-weighted MRI of six sites, collected by the authors of SAML (MICCAI 2020).

A folder a site with `CaseNN.nii.gz` and `CaseNN_segmentation.nii.gz` (`_Segmentation` at BMC); two
sites mark zones, 1 and 2, which are united. MiDSS and SynFoC train on slices whose making is not
published. Their samples say: 384 x 384 px as stored, 8 bit, scaled by the volume and not clipped
(no slice reaches 255), masks inverted, slices without prostate left out, cases and slices counted
from 00 in each part. Which cases are for testing is not published; here the last fifth is.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mmssl.converters.base import Converter, Item, Made, config_text, last_share, published_of
from mmssl.converters.faults import Fault, Unfit
from mmssl.converters.images import as_bytes, stretched
from mmssl.converters.outputs import Writer, png
from mmssl.converters.pairs import OPTIONS
from mmssl.converters.raw import Raw

LABELS = (0, 1, 2)
CASES = dict(BIDMC=12, BMC=30, HK=12, I2CVB=19, RUNMC=30, UCL=13)
ALSO_CALLED = dict(HCRUDB='I2CVB')
FILES = (
    r'(?i)(.*/)?(?P<site>BIDMC|BMC|HK|I2CVB|HCRUDB|RUNMC|UCL)/(?P<case>Case\d+)'
    r'(?P<mask>_segmentation)?\.nii(\.gz)?'
)


class Prostate(Converter):
    """Prostate MRI of six sites as SAML publishes it, to the slices of MiDSS and SynFoC."""

    name = 'prostate'
    summary = 'prostate MRI of six sites, to the slices of MiDSS and SynFoC'
    title = 'Prostate'
    settings = ('clip',)

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Add how intensities are cut."""
        text, options = OPTIONS['clip']
        parser.add_argument('--clip', help=text, **options)

    def plan(self, raw: Raw, faults: list[Fault]) -> list[Item]:
        """Return the cases of each site, the last fifth for testing."""
        found: dict[str, dict[str, dict[str, str]]] = {site: {} for site in CASES}
        for name, match in raw.find(FILES).items():
            site = match['site'].upper()
            case = found[ALSO_CALLED.get(site, site)].setdefault(match['case'].capitalize(), {})
            case['mask' if match['mask'] else 'image'] = name
        items = []
        for site, cases in found.items():
            if len(cases) != CASES[site]:
                what = f'{len(cases)} cases found, {CASES[site]} are published.'
                faults.append(Fault(site, what))
            items += self._of_site(site, cases)
        return items

    def _of_site(self, site: str, cases: Mapping[str, dict[str, str]]) -> list[Item]:
        test = last_share(sorted(cases))
        count = {'train': 0, 'test': 0}
        items = []
        for case in sorted(cases):
            part = 'test' if case in test else 'train'
            number = count[part]
            count[part] += 1  # also of a case that lacks a file, so that numbers stay
            words = {'image': 'volume', 'mask': 'segmentation'}
            missing = [
                f'its {words[role]} is missing.' for role in words if role not in cases[case]
            ]
            facts, name = dict(number=number), f'{site}/{case}'
            items.append(Item(site, part, name, cases[case], facts, missing=missing))
        return items

    def make(self, item: Item, raw: Raw) -> Made:
        """Return the slices that show the prostate."""
        image, labels = self.read_pair(item, raw, LABELS)
        volume = as_bytes(stretched(image.slices, item.sources['image'], self.options.clip))
        prostate = labels.transpose(2, 1, 0) > 0
        shown = np.flatnonzero(prostate.any(axis=(1, 2)))
        if not len(shown):
            raise Unfit(f'mask {item.sources["mask"]} has no prostate.')
        files: dict[str, Writer] = {}
        for number, index in enumerate(shown):
            name = f'{item.facts["number"]:02d}_{number:02d}.png'
            mask = np.where(prostate[index], 0, 255).astype(np.uint8)
            files[f'{item.domain}/{item.part}/image/{name}'] = png(volume[index])
            files[f'{item.domain}/{item.part}/mask/{name}'] = png(mask)
        left_out = len(volume) - len(shown)
        shape = volume.shape[1:]
        return Made(files, len(shown), shape, image.steps, (0, 255), left_out)

    def published(self) -> dict[tuple[str, str], int]:
        """Return the numbers of slices."""
        return published_of('Prostate')

    def notes(self) -> list[str]:
        """Say what is not published."""
        return [
            'Which cases were for testing and how slices were scaled is not published: the last '
            'fifth of the sorted cases and the range of each volume are taken.'
        ]

    def config(self, out: Path) -> str:
        """Return a config with labels at one site."""
        return config_text('synfoc/prostate.py', out)
