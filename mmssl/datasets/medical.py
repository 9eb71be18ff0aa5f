"""The four data sets of the mixed-domain papers in their processed layout.

Nothing but names, layouts and counts: `MixedDomainDataset` does the same with these options in a
config. `SEED = None` is the published rule: the first or last of the sorted names or cases.
Counts: code and text of MiDSS (CVPR 2024) and SynFoC (CVPR 2025).
"""

from ..registry import DATASETS
from .mixed_domain import MixedDomainDataset


@DATASETS.register_module()
class Prostate(MixedDomainDataset):
    """Prostate MRI slices of six sites (SAML); masks are inverted, 0 is the prostate."""

    SEED = None
    DOMAINS = ('BIDMC', 'BMC', 'HK', 'I2CVB', 'RUNMC', 'UCL')
    METAINFO = dict(
        dataset_name='prostate',
        classes=('background', 'prostate'),
        parts={'prostate': [1]},
        palette=[[0, 0, 0], [230, 60, 60]],
        published_counts=dict(
            train=dict(BIDMC=225, BMC=305, HK=136, I2CVB=373, RUNMC=338, UCL=133), test=357
        ),
    )
    LAYOUT = dict(
        label_map={0: 1, 255: 0},
        case_pattern=r'(?P<case>\d+)_(?P<slice>\d+)',
        channels=1,
    )


@DATASETS.register_module()
class Fundus(MixedDomainDataset):
    """Optic cup and disc in colour fundus photographs of four origins (DoFE); disc = cup + rim."""

    SEED = None
    DOMAINS = ('Domain1', 'Domain2', 'Domain3', 'Domain4')
    METAINFO = dict(
        dataset_name='fundus',
        classes=('background', 'cup', 'rim'),
        parts={'cup': [1], 'disc': [1, 2]},
        palette=[[0, 0, 0], [240, 190, 40], [60, 160, 240]],
        published_counts=dict(
            train=dict(Domain1=50, Domain2=99, Domain3=320, Domain4=320),
            test=dict(Domain1=51, Domain2=60, Domain3=80, Domain4=80),
        ),
    )
    LAYOUT = dict(
        image_dir='{domain}/{split}/ROIs/image',
        mask_dir='{domain}/{split}/ROIs/mask',
        label_map={0: 1, 128: 2, 255: 0},
        channels=3,
    )


@DATASETS.register_module()
class MNMs(MixedDomainDataset):
    """Cardiac MRI slices of four vendors (M&Ms); colour masks, one channel for each structure."""

    SEED = None
    DOMAINS = ('vendorA', 'vendorB', 'vendorC', 'vendorD')
    METAINFO = dict(
        dataset_name='mnms',
        classes=('background', 'lv', 'myo', 'rv'),
        parts={'lv': [1], 'myo': [2], 'rv': [3]},
        palette=[[0, 0, 0], [230, 60, 60], [90, 200, 90], [60, 160, 240]],
        published_counts=dict(
            train=dict(vendorA=1030, vendorB=1342, vendorC=525, vendorD=550), test=863
        ),
    )
    LAYOUT = dict(
        label_map={(0, 0, 0): 0, (255, 0, 0): 1, (0, 255, 0): 2, (0, 0, 255): 3},
        case_pattern=r'(?P<case>\d{3})(?P<slice>\d{3})',
        channels=1,
    )


@DATASETS.register_module()
class BUSI(MixedDomainDataset):
    """Breast ultrasound, benign and malignant; several masks of one image are merged.

    Test images are the last int(0.2 n) of the sorted names. `labelled=dict(ratio=1 / 8)` counts
    in all training images.
    """

    SEED = None
    DOMAINS = ('benign', 'malignant')
    METAINFO = dict(
        dataset_name='busi',
        classes=('background', 'lesion'),
        parts={'lesion': [1]},
        palette=[[0, 0, 0], [230, 60, 60]],
        published_counts=dict(
            train=dict(benign=350, malignant=168), test=dict(benign=87, malignant=42)
        ),
    )
    LAYOUT = dict(
        image_dir='{domain}',
        mask_dir='{domain}',
        mask_name='{name}_mask*',
        split=dict(type='fraction', test=0.2),
        label_map={0: 0, 255: 1},
        channels=1,
    )
