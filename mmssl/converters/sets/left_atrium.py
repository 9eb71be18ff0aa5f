"""Left atrium: LGE-MRI of the 2018 Atrial Segmentation Challenge, 100 annotated volumes.

`<code>/lgemri.nrrd` and `<code>/laendo.nrrd`, 255 in the atrium. UA-MT (MICCAI 2019) made
`<code>/mri_norm2.h5` of them, which later methods use: `image`, the volume less its mean over its
standard deviation, and `label`, cut in the plane to the atrium's box, widened to at least 112
voxels and then by 10 to 19 drawn ones on each side; 80 for training and 20 for testing. The draws
of the published files are not known; here they follow from the code of the case.
"""

import argparse
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmssl.converters.base import Converter, Item, Made, config_text
from mmssl.converters.faults import Fault, Unfit
from mmssl.converters.images import read_nrrd
from mmssl.converters.outputs import hdf5
from mmssl.converters.raw import Raw

PATCH = 112
MARGIN = (10, 20)
FILES = r'(?i)(.*/)?(?P<code>[0-9A-Z]{20})/(?P<role>lgemri|laendo)\.nrrd'
# In the order of UA-MT's lists, of which the first 4, 8 or 16 have labels.
TRAIN = """
06SR5RBREL16DQ6M8LWS 0RZDK210BSMWAA6467LU 1D7CUD1955YZPGK8XHJX 1GU15S0GJ6PFNARO469W
1MHBF3G6DCPWHSKG7XCP 23X6SY44VT9KFHR7S7OC 2XL5HSFSE93RMOJDRGR4 38CWS74285MFGZZXR09Z
3C2QTUNI0852XV7ZH4Q1 3DA0T2V6JJ2NLUAV6FWM 4498CA6DZWELOXCBRYRF 45C45I6IXAFGNRO067W9
4CHFJGF6ZUM7CMZTNFQF 4EPVTT1HPA8U60CDUKXE 57SGAJMLCTCH92QUA0EE 5BHTH9RHH3PQT913I59W
5FKQL4K14KCB72Y8YMC2 5HH0WPWIY06DLAFOBQ4M 5QFK2PMHNX7UALK52NNA 5UB5KFD2PK38Z4LS6W80
6799D6LEBH3NSRV1KH27 78NJ5YFQF72BGC8RO51C 7FUCNXB39F78WTOP5K71 8GYK8A9MBRC9TV0FVSRA
8M99G0JLAXG9GLPV0O8G 8RE90C8H5DKF4V6HO8UU 8ZG2TRZ81MAWHZPN9KKG 9DCM2IB45SK6YKQNYUQY
9DHWWP5Y66VDMPXISZ13 9DQYTIU00I4JC0OEOKQQ A11O45O3NAXWM7T2H8CH A4R1S23KR0KU2WSYHK2X
A5RNNK0A891WUSC2V624 AT5CRO5JUDBWD4RUPXSQ BNK95S2SJXEGSW7VAKYU BXJWOUYP2J3EN4U92517
BYSRSI3H4YTWKMM3MADP BZUFJX66T0W6ZPVTL9DU CB5P5W7X310NIIVU7UZV CBIJFVZ5L9BS0LKWE8YL
CCGAKN4EDT72KC8TTJ76 CLXFYOBQDCVXQ9P7YC07 CMPXO4J23G58J53Q98SZ CZPMV6KWZ4I7IJJP9FOK
DLKXBV73A55ZTSZ0QQI2 DQ5UYBGR5QP6L692QSG6 DYXSCIWHLSUOZIDDSZ40 E2ZMO66WGS74UKXTZPPQ
EJ5V7SPR4961JWD6SS8V FGM5NIWN3URY4HF4WNUW GSC9KNY0VEZXFSGWNF25 HVE7DR3CUA2IM3RC6OMA
HZZ4O0BRKF8S0YX3NNF7 I2VZ7N8H9QYNYT7ZZF1Y IDWWHGWJ5STOQXSDT6GU IIY6TYJMTJIZRIZLB9YW
IJJY51YW3W4YJJ7DTVTK IQYKPTWXVV9H0IHB8YXC JEC6HJ7SQJXBKVREX03F JGFOLWJF7YCYD8DPHQNH
K32FD6LRSUSSXGS1YUOX KM5RYAMP4P4ZP6XWP3Q2 KSNYHUBHHUJTYJ14UQZR LH4FVU3TQDEC87YGN6FL
LJSDNMND9SHKM7Q4IRHJ MFTDVMBWFNQ3F5KHBRDR MJHV7F65TB2A76CQLOC3 MVKIPGBKTNSENNP1S4HB
O5TSIKRD4AIB8K84WIR9 OIRDLE32TXZX942FVZMM P1OTI3IWJUIB5NRLULLH PVNXUK681N9BY14K4Z86
Q0MEX9ZIKAGJORSPLQ3Y Q7J0WYM695R9MA285ZW0 QZC1W0FNR19KJFLOCFLH R8ER97O9UUN77C02VE2J
RSZY41MT2FGDKHWWL5L2 SN4LF8SGBSRQUPTDSX78 TDDI6L3Y0L9VVFP9MNFS UZUZZT2W9IUSHL6ASOX3
"""
TEST = """
UPT6DX9IQY9JAZ7HJKA7 UTBUJIWZMKP64E3N73YC ULHWPWKKLTE921LQLH1P V0MZOWJ6MU3RMRCV9EXR
VDOF02M8ZHEAADFMS6NP VG4C826RAAKVMV9BQLVD VIXBEFTNVHZWKAKURJBN VQ2L3WM8KEVF6L44E6G9
WBG9WYZ1B25WDT5WAT8T WMDG2EFA6L2SNDZXIRU0 WNPKE0W404QE9AELX1LR WSJB9P4JCXUVHBOYFVWL
WW8F5CO4S4K5IM5Z7EXX X18LU5AOBNNDMLTA0JZL XYDLYJ5CS19FDBVLJIPI Y7ZU0B2APPF54WG6PDMF
YDKD1HVHSME6NVMA8I39 Z9GMG63CJLL0VW893BB1 ZIJLJAVQV3FJ6JSQOH1E ZQPMJ4XEC5A4BISD45P1
"""
PART = {c: part for part, codes in (('train', TRAIN), ('test', TEST)) for c in codes.split()}


class LeftAtrium(Converter):
    """The left atrium as the challenge publishes it, to the HDF5 volumes of UA-MT."""

    name = 'left_atrium'
    summary = 'MRI of the left atrium, NRRD, to the HDF5 volumes and lists of UA-MT'
    title = 'LeftAtrium'
    settings = ('layout',)

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Add how the volumes are laid out."""
        parser.add_argument(
            '--layout',
            choices=('published', 'slices'),
            default='published',
            help='<code>/mri_norm2.h5 with axes (x, y, z) as UA-MT (published), or data/<code>.h5 '
            'with axes (z, y, x), whose slices a config of this package reads (slices)',
        )

    def plan(self, raw: Raw, faults: list[Fault]) -> list[Item]:
        """Return the annotated cases in the order of the lists."""
        found: dict[str, dict[str, str]] = {}
        for name, match in raw.find(FILES).items():
            role = 'image' if match['role'].lower() == 'lgemri' else 'mask'
            found.setdefault(match['code'].upper(), {})[role] = name
        self._others = len(set(found) - set(PART))
        items = []
        for code, part in PART.items():
            files = found.get(code, {})
            names = {'image': 'lgemri.nrrd', 'mask': 'laendo.nrrd'}
            missing = [f'{code}/{names[r]} is missing.' for r in names if r not in files]
            items.append(Item(self.title, part, code, files, missing=missing))
        return items

    def make(self, item: Item, raw: Raw) -> Made:
        """Return the volume, normalised and cut around the atrium."""
        with raw.file(item.sources['image']) as path:
            image = read_nrrd(path, item.sources['image'])
        with raw.file(item.sources['mask']) as path:
            mask = read_nrrd(path, item.sources['mask'])
        labels = self.checked(item, image, mask, (0, 255)) == 255
        if not labels.any():
            raise Unfit(f'{item.sources["mask"]} shows no atrium.')
        values = image.voxels.astype(np.float64)
        if not np.isfinite(values).all() or values.std() == 0:
            raise Unfit(f'{item.sources["image"]} holds NaN, or one value everywhere.')
        scaled = ((values - values.mean()) / values.std()).astype(np.float32)
        box = _box(labels, item.name)
        scaled, cut = scaled[box], labels[box].astype(np.uint8)
        if self.options.layout == 'published':
            files = {f'{item.name}/mri_norm2.h5': hdf5(scaled, cut, image.spacing)}
        else:
            content = hdf5(scaled.transpose(2, 1, 0), cut.transpose(2, 1, 0), image.steps)
            files = {f'data/{item.name}.h5': content}
        # The package counts slices, the papers volumes.
        count = 1 if self.options.layout == 'published' else cut.shape[2]
        return Made(files, count, cut.shape[1::-1], image.steps, (0, 1))

    def lists(self, items: Sequence[Item], made: Mapping[str, Made]) -> dict[str, list[str]]:
        """Return UA-MT's lists."""
        return {
            f'{part}.list': [item.name for item in items if item.part == part]
            for part in ('train', 'test')
        }

    def published(self) -> dict[tuple[str, str], int]:
        """Return the numbers of volumes."""
        if self.options.layout != 'published':
            return {}
        return {(self.title, 'train'): 80, (self.title, 'test'): 20}

    def notes(self) -> list[str]:
        """Say what a user of the data must know."""
        found = [
            'All volumes, also those for testing, are cut around their atrium as in the published '
            'files: scores on them are those of a simplified task.'
        ]
        if self._others:
            found.append(f'{self._others} case(s) are not in the published lists (no masks).')
        return found

    def config(self, out: Path) -> str:
        """Return a config of whole volumes, or of axial slices that are scored by volume."""
        if self.options.layout == 'published':
            return config_text('ua_mt/left_atrium.py', out, validation=False)
        return config_text(
            'sup_only/acdc.py',
            out,
            "type='MixedDomainDataset'",
            "domains=['LeftAtrium']",
            "image_dir='data'",
            "mask_dir='data'",
            "image_suffixes=('.h5',)",
            "mask_suffixes=('.h5',)",
            'case_pattern=None',
            "value_range='volume'",
            'label_map={0: 0, 1: 1}',
            "split=dict(type='list', train='train.list', test='test.list')",
            "labelled=dict(cases=16, list='train.list')",
            "metainfo=dict(dataset_name='left_atrium', classes=('background', 'atrium'), "
            'parts=dict(atrium=[1]))',
            validation=False,
        )


def _box(labels: np.ndarray, case: str) -> tuple[slice, slice]:
    """Return the box in the plane that is kept, drawn from the code of the case."""
    rng = np.random.default_rng(zlib.crc32(case.encode()))
    box = []
    for axis in (0, 1):
        other = tuple(a for a in range(3) if a != axis)
        shown = np.flatnonzero(labels.any(axis=other))
        low, high = int(shown[0]), int(shown[-1])
        wider = max(PATCH - (high - low), 0) // 2
        below, above = (int(margin) for margin in rng.integers(*MARGIN, size=2))
        box.append(
            slice(max(low - below - wider, 0), min(high + above + wider, labels.shape[axis]))
        )
    return box[0], box[1]
