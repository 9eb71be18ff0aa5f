"""Cardiac MRI that is scored by volume: ACDC and M&Ms, one file for each slice or each volume.

Nothing but names, layouts and counts, as in `medical`.
"""

from ..registry import DATASETS
from .mixed_domain import MixedDomainDataset
from .reading.containers import HDF5_SUFFIXES

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
        image_suffixes=HDF5_SUFFIXES,
        mask_suffixes=HDF5_SUFFIXES,
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
        image_suffixes=HDF5_SUFFIXES,
        mask_suffixes=HDF5_SUFFIXES,
        split=dict(type='case', val=0.2, test=0.1, seed=0),
        case_pattern=r'(?P<volume>(?P<case>[^_]+)_[^_]+)(_slice_(?P<slice>\d+))?',
        label_map={0: 0, 1: 3, 2: 2, 3: 1},
        value_range='volume',
        channels=1,
    )
