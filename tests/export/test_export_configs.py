"""A config of every method, and with every kind of network, exports at a small size."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from mmssl.apis import init_model
from mmssl.export import export_model
from mmssl.export.check import phantom_images
from mmssl.utils.setup import load_config

CONFIGS = Path(__file__).parents[2] / 'configs'
SIDE = 64
VIT = dict(embed_dims=32, depth=2, num_heads=2, global_blocks=(1,))
CASES = {
    'abd/lite_acdc_bcp.py': ['unet'],
    'abd/lite_acdc_cross_teaching.py': ['swin'],
    'bcmda/lite_fundus.py': ['unet'],
    'bcp/lite_acdc.py': ['unet'],
    'caussl/lite_fundus.py': ['unet'],
    'caussl/mc_lite_acdc.py': ['unet'],
    'cpc_sam/acdc.py': ['sam'],
    'cpc_sam/lite_fundus.py': ['sam'],
    'cps/lite_acdc.py': [None],
    'cross_teaching/lite_acdc.py': ['unet', 'swin'],
    'crossmatch/lite_acdc.py': ['unet'],
    'dtc/lite_acdc.py': ['unet'],
    'fixmatch/lite_fundus.py': ['unet'],
    'h_sam/acdc.py': ['sam'],
    'h_sam/lite_fundus.py': ['sam'],
    'know_sam/lite_fundus.py': [None, 'sam', 'vnet'],
    'mc_net/lite_acdc.py': ['unet'],
    'mc_net_plus/lite_acdc.py': ['unet'],
    'mcsd/lite_acdc_shared.py': ['unet'],
    'mcsd/lite_phantom.py': ['unet'],
    'mean_teacher/mnms.py': ['unet'],
    'samed/acdc_s.py': ['sam'],
    'samed/lite_phantom.py': ['sam'],
    'sass_net/lite_acdc.py': ['unet'],
    'sc_sam/lite_fundus.py': [None, 'unet'],
    'sc_ssl/acdc.py': [None],
    'semi_sam/lite_fundus.py': ['unet'],
    'ss_net/lite_acdc.py': ['unet'],
    'sup_only/lite_phantom_volumes.py': ['unet'],
    'symgd/lite_fundus.py': ['unet'],
    'synfoc/fundus.py': ['sam', 'unet'],
    'synfoc/lite_phantom.py': ['sam'],
    'ua_mt/lite_acdc.py': ['unet'],
    'unimatch/lite_acdc.py': ['unet'],
    'unimatch_v2/lite_acdc.py': ['unet'],
    'urpc/lite_acdc.py': ['unet'],
    'ust_run/lite_fundus.py': ['unet'],
}
"""Config to the students that are exported; None is the model's own prediction."""


def small(config: str):
    """Return a config at a small size, with random weights in place of published ones."""
    cfg = load_config(CONFIGS / config)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = (cfg.get(loader) or {}).get('dataset')
        if dataset:
            dataset.update(image_size=SIDE, box_size=SIDE)
            for step in dataset.get('prepare', ()):
                if step.type == 'ResizeSquare':
                    step.pop('size', None)
    for name, student in cfg.model.students.items():
        if student is None:
            continue
        parts = [part for part in (student.backbone, student.decode_head) if 'arch' in part]
        for part in parts:
            part.checkpoint = None
            part.arch = part.arch if part.arch == 'lite' else dict(VIT)
        student.backbone.init_cfg = None
        size = (cfg.model.get('data_preprocessor') or {}).get('sizes', {}).get(name, {})
        size.update({key: SIDE for key in ('image', 'label') if key in size})
    if 'sam' in cfg.model:  # of which the students are asked alone
        cfg.model.sam.update(arch=dict(VIT), checkpoint=None, img_size=SIDE)
    return cfg


def test_no_method_is_left_out():
    methods = {path.parent.name for path in CONFIGS.glob('*/*.py')} - {'_base_', 'medsam'}
    assert {case.partition('/')[0] for case in CASES} == methods  # medsam has no student


@pytest.mark.slow
@pytest.mark.parametrize('config, student', [(c, s) for c, found in CASES.items() for s in found])
def test_config_exports(config, student, tmp_path):
    torch.manual_seed(0)
    model = init_model(small(config))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if '.trunk.' not in name or 'lora_' in name:
                value += 0.01 * torch.randn_like(value)
    facts = export_model(model, tmp_path / 'x.onnx', student=student)
    count, channels, *size = [4, *facts['input']['shape'][1:]]
    assert size == [SIDE, SIDE]
    image = phantom_images(count, channels, tuple(size))
    session = onnxruntime.InferenceSession(
        str(tmp_path / 'x.onnx'), providers=['CPUExecutionProvider']
    )
    found = session.run(None, {'image': image})[0]
    with torch.no_grad():
        inputs = model.data_preprocessor.image_views(torch.from_numpy(image))
        wanted = model.predict_logits(inputs, student or model.outputs[0]).numpy()
    assert found.shape == (count, len(facts['classes']), SIDE, SIDE)
    np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=0)
