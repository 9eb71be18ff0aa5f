"""Data sets of slices and photographs: four of mixed domains, two scored by volume.

Counts: code and text of MiDSS (CVPR 2024) and SynFoC (CVPR 2025).
"""

from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.datasets.reading.formats import FORMATS
from mmssl.registry import DATASETS


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


HEART = dict(
    classes=('background', 'rv', 'myo', 'lv'),
    parts={'rv': [1], 'myo': [2], 'lv': [3]},
    palette=[[0, 0, 0], [60, 160, 240], [90, 200, 90], [230, 60, 60]],
)


@DATASETS.register_module()
class ACDC(MixedDomainDataset):
    """ACDC in the layout of SSL4MIS: 100 patients, two volumes (end diastole, end systole) each.

    `data/` or `data/slices/` has the training slices `patient001_frame01_slice_1.h5`, `data/` the
    volumes `patient011_frame01.h5` of validation and test, with datasets `image` in 0..1 and
    `label`; `train_slices.list` (70 patients), `val.list` (10) and `test.list` (20) name them.
    `labelled=dict(cases=7, list='train_slices.list')` is the published subset of 10 %. Counts:
    SSL4MIS (github.com/HiLab-git/SSL4MIS).
    """

    SEED = None
    DOMAINS = ('ACDC',)
    METAINFO = dict(
        HEART,
        dataset_name='acdc',
        published_counts=dict(train=dict(ACDC=1312), val=dict(ACDC=210), test=dict(ACDC=380)),
    )
    LAYOUT = dict(
        image_dir=('data', 'data/slices'),
        mask_dir=('data', 'data/slices'),
        image_suffixes=FORMATS['hdf5'].suffixes,
        mask_suffixes=FORMATS['hdf5'].suffixes,
        split=dict(type='list', train='train_slices.list', val='val.list', test='test.list'),
        case_pattern=r'(?P<volume>(?P<case>patient\d+)_frame\d+)(_slice_(?P<slice>\d+))?',
        label_map={0: 0, 1: 1, 2: 2, 3: 3},
        value_range=(0, 1),
        channels=1,
    )


@DATASETS.register_module()
class MNMsVolumes(MixedDomainDataset):
    """M&Ms by patient, with the classes of ACDC: 320 patients, 7:2:1 to train, val and test.

    `data/` has a file for each volume, `A0S9V9_ED.h5` (or for each slice, `A0S9V9_ED_slice_1.h5`)
    with datasets `image` and `label`: the patient's code and a name of the frame. In the files
    1 is the left and 3 the right ventricle. MCSD's "7:2:1" is read in the order
    of its "70:10:20" for ACDC; which patients were in which part is not published, here a fixed
    seed shuffles them.
    """

    SEED = None
    DOMAINS = ('MNMs',)
    METAINFO = dict(HEART, dataset_name='mnms_volumes')
    LAYOUT = dict(
        image_dir=('data', 'data/slices'),
        mask_dir=('data', 'data/slices'),
        image_suffixes=FORMATS['hdf5'].suffixes,
        mask_suffixes=FORMATS['hdf5'].suffixes,
        split=dict(type='case', val=0.2, test=0.1, seed=0),
        case_pattern=r'(?P<volume>(?P<case>[^_]+)_[^_]+)(_slice_(?P<slice>\d+))?',
        label_map={0: 0, 1: 3, 2: 2, 3: 1},
        value_range='volume',
        channels=1,
    )
