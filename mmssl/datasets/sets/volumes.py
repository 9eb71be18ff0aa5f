"""Data sets of whole volumes in the HDF5 layouts in which the papers' codes spread them.

The files say no affine, so that axes are those of the arrays as stored.
"""

from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.datasets.reading.formats import FORMATS
from mmssl.registry import DATASETS

IN_ONE_FILE = dict(
    sample='volume',
    image_suffixes=FORMATS['hdf5'].suffixes,
    mask_suffixes=FORMATS['hdf5'].suffixes,
    label_map={0: 0, 1: 1},
)
"""A volume and its mask are the datasets `image` and `label` of one file."""


@DATASETS.register_module()
class LeftAtrium(MixedDomainDataset):
    """Left atrium in LGE-MRI (2018 challenge) as UA-MT spreads it: 100 volumes, 80 for training.

    `2018LA_Seg_Training Set/<case>/mri_norm2.h5`, or `<case>/mri_norm2.h5` as the converter of
    this package writes it, with `image` (z-score of the volume) and `label` along (x, y, z);
    `train.list` and `test.list` beside the cases or above their folder.
    `labelled=dict(num=16, list='train.list')` is the published subset, as are 8 and 4.

    All volumes, also unlabelled ones and those for testing, were cut around their label, so that
    scores are those of a simplified task (github.com/yulequan/UA-MT, issue 6). Cite Xiong et al.
    (Medical Image Analysis 2021) for the images and Yu et al. (MICCAI 2019) for the files.
    """

    SEED = None
    DOMAINS = ('LeftAtrium',)
    METAINFO = dict(
        dataset_name='left_atrium',
        classes=('background', 'atrium'),
        parts={'atrium': [1]},
        palette=[[0, 0, 0], [230, 60, 60]],
        published_counts=dict(train=dict(LeftAtrium=80), test=dict(LeftAtrium=20)),
    )
    LAYOUT = dict(
        IN_ONE_FILE,
        image_dir=('2018LA_Seg_Training Set/*', '*'),
        mask_dir=('2018LA_Seg_Training Set/*', '*'),
        named_by='folder',
        image_name='mri_norm2',
        split=dict(type='list', train='train.list', test='test.list'),
    )


@DATASETS.register_module()
class BraTS(MixedDomainDataset):
    """Brain tumours in FLAIR MRI (BraTS 2019) as SSL4MIS spreads them: 250, 25 and 60 volumes.

    `data/<case>.h5` with `image` (cut to the brain, its voxels scaled to mean 0 and standard
    deviation 1) and `label`, of which every value but 0 is the whole tumour; `train.txt`,
    `val.txt` and `test.txt`. `labelled=dict(num=25, list='train.txt')` is the published subset of
    10 %, 50 that of 20 %. Cite Menze et al. (IEEE TMI 2015); files: github.com/HiLab-git/SSL4MIS.
    """

    SEED = None
    DOMAINS = ('BraTS',)
    METAINFO = dict(
        dataset_name='brats',
        classes=('background', 'tumour'),
        parts={'tumour': [1]},
        palette=[[0, 0, 0], [240, 190, 40]],
        published_counts=dict(train=dict(BraTS=250), val=dict(BraTS=25), test=dict(BraTS=60)),
    )
    LAYOUT = dict(
        IN_ONE_FILE,
        image_dir='data',
        mask_dir='data',
        split=dict(type='list', train='train.txt', val='val.txt', test='test.txt'),
        label_map={0: 0, (1, 4): 1},
    )


@DATASETS.register_module()
class Pancreas(MixedDomainDataset):
    """Pancreas in CT (NIH Pancreas-CT) in the layout of MC-Net and BCP: 82 volumes, 62 and 20.

    `Pancreas_h5/image0001_norm.h5` (or `data/...`) with `image`, cut around the pancreas and
    scaled, and `label`; `train.list` and `test.list` name `image0001`.
    `labelled=dict(num=12, list='train.list')` is the published subset of 20 %, 6 that of 10 %.
    Cite Roth et al. (MICCAI 2015); files: github.com/ycwu1997/MC-Net.
    """

    SEED = None
    DOMAINS = ('Pancreas',)
    METAINFO = dict(
        dataset_name='pancreas',
        classes=('background', 'pancreas'),
        parts={'pancreas': [1]},
        palette=[[0, 0, 0], [90, 200, 90]],
        published_counts=dict(train=dict(Pancreas=62), test=dict(Pancreas=20)),
    )
    LAYOUT = dict(
        IN_ONE_FILE,
        image_dir=('Pancreas_h5', 'data'),
        mask_dir=('Pancreas_h5', 'data'),
        split=dict(type='list', train='train.list', test='test.list'),
        case_pattern=r'(?P<case>.+?)(_norm)?',
    )
