"""A plan is measured on the volumes of a config and printed as one."""

import runpy
import sys
from pathlib import Path

import numpy as np
from mmengine import Config

from tests.fake_files import write_nifti

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/plan_network.py'
CONFIG = """
default_scope = 'mmssl'
train_dataloader = dict(dataset=dict(
    type='MixedDomainDataset', sample='volume', data_root={root!r}, domains=['a'],
    image_dir='{{domain}}/{{split}}/image', mask_dir='{{domain}}/{{split}}/mask',
    label_map={{0: 0, 1: 1}},
    metainfo=dict(classes=('background', 'organ'), parts=dict(organ=[1])),
    labelled=dict(num=1, seed=None), prepare=[dict(type='LoadVolume'), dict(type='LoadMask')]))
"""


def test_the_volumes_of_a_config_are_measured(tmp_path, monkeypatch, capsys):
    """All of them; the thick slices keep their number a level longer."""
    for name, depth in (('1', 12), ('2', 12), ('3', 20)):
        for kind in ('image', 'mask'):
            path = tmp_path / 'data' / 'a' / 'train' / kind / f'{name}.nii.gz'
            write_nifti(path, np.zeros((depth, 48, 40), np.uint8), (5.0, 1.5, 1.5))
    (tmp_path / 'c.py').write_text(CONFIG.format(root=str(tmp_path / 'data')))
    monkeypatch.setattr(sys, 'argv', ['plan', str(tmp_path / 'c.py')])
    assert runpy.run_path(str(TOOL))['main']() == 0
    printed = capsys.readouterr().out
    assert '# 3 volumes, median [12.0, 48.0, 40.0] voxels' in printed
    assert '# for voxels of [5.0, 1.5, 1.5] mm' in printed
    cfg = Config.fromstring(printed, '.py')
    assert cfg.model.students.dynunet.strides == [1, (1, 2, 2), 2, (1, 2, 2)]
    assert cfg.model.inferer.size == (12, 48, 40)
