"""SymGD against the authors' released code (MQinghe/MiDSS, commit fd76f81).

Two training steps of `code/train.py` from the middle of a training, on generated images, for
exclusive classes (Prostate) and overlapping parts (Fundus), with their U-Net's blocks at width 6
and depth 2, a threshold of 0.6, a window of low frequencies of 0.1 and the head's weights 3 times
as large. `data/symgd.npz` holds inputs, drawn numbers and results; weights come from `recipe.py`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmssl.engine.hooks.ema_teacher_hook import EMATeacherHook
from mmssl.models.sam.released_names import unet_from_released
from tests.parity.float64 import TERM_RTOL
from tests.parity.norms import check_gradients, check_weights
from tests.parity.recipe import recipe
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data' / 'symgd.npz'
START, ITERS, WIDTH = 60, 100, 6
TERMS = ('sup_unet', 'ul_unet', 'lu_unet', 'direct_unet', 'loss', 'weight', 'mask_unet')
EXTRA = dict(
    prostate=dict(parts=[[1]]),
    fundus=dict(parts=[[1], [1, 2]], label_space=dict(type='OverlappingParts'),
                sup_loss=dict(type='DiceBCELoss'),
                threshold=dict(type='FixedThreshold', value=0.6, strict=False)),
)  # fmt: skip


class Reference:
    """The arrays of one data set."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.arrays = np.load(DATA)

    def __getitem__(self, key: str):
        value = self.arrays[f'{self.name}_{key}']
        return json.loads(str(value)) if value.dtype.kind == 'U' else value

    def weights(self, role: str) -> dict[str, torch.Tensor]:
        salt = f'symgd/{self.name}{role}'
        weights = {k: recipe(k, tuple(shape), salt) for k, shape in self['shapes'].items()}
        weights['outc.conv.weight'] *= 3
        return unet_from_released(weights)


def make(reference: Reference, **options):
    channels = 1 if reference.name == 'prostate' else 3
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='UNet', in_channels=channels, base_channels=WIDTH, depth=2),
        decode_head=dict(type='FCNHead', num_convs=0, in_channels=WIDTH, channels=WIDTH,
                         concat_input=False, dropout_ratio=0, init_cfg=None, num_classes=2),
    )  # fmt: skip
    model = build(dict(
        students=dict(unet=network), teachers=['unet'], amplitude=0.1,
        data_preprocessor=dict(mean=127.5, std=127.5),
        **{'type': 'SymGD', 'threshold': dict(type='FixedThreshold', value=0.6),
           **EXTRA[reference.name], **options},
    ))  # fmt: skip
    model.students['unet'].load_state_dict(reference.weights(''))
    model.teachers['unet'].load_state_dict(reference.weights('_teacher'))
    return model


@pytest.fixture(scope='module', params=['prostate', 'fundus'])
def case(request):
    """Return the reference, the model, and both steps' terms, mutated images and gradients."""
    reference = Reference(request.param)
    model = make(reference)
    hook = EMATeacherHook(momentum=0.99)
    hook.pair(model)
    optimizer = torch.optim.SGD(model.students.parameters(), 0.03, momentum=0.9, weight_decay=1e-4)
    done = []
    for i in range(2):
        set_iter(START + i, ITERS)
        inputs = {
            key: torch.from_numpy(reference[f'in{i}_{key}'])
            for key in ('x_w', 'y', 'u_w', 'u_s', 'box')
        }
        batch = model.data_preprocessor(dict(inputs=inputs, data_samples=None), True)['inputs']
        rho = torch.from_numpy(reference[f'rho{i}']).float()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, 'rand', lambda *shape, rho=rho, **kwargs: rho.view(shape))
            mutated = model.mutate('unet', batch['x_w']['unet'], batch['u_w']['unet'], model.step)
            terms = model.loss(batch)
        optimizer.param_groups[0]['lr'] = float(reference[f'terms{i}'][-1])
        optimizer.zero_grad()
        terms['loss'].backward()
        grads = {k: p.grad.norm().item() for k, p in model.students['unet'].named_parameters()}
        optimizer.step()
        hook.update(START + i)
        done.append(({k: v.item() for k, v in terms.items()}, mutated, grads))
    return reference, model, done


@pytest.mark.parametrize('step', [0, 1])
def test_terms(case, step):
    reference, _, done = case
    expected = reference[f'terms{step}'].copy()
    expected[3] *= expected[5]  # our direct term has its second lambda
    assert (expected[:7] > 0.05).all(), 'the reference must exercise every term'
    assert (expected[6:8] < 0.95).all(), 'and some pixels must not count'
    found = [done[step][0][term] for term in TERMS]
    np.testing.assert_allclose(found, expected[:7], rtol=TERM_RTOL)


@pytest.mark.parametrize('step', [0, 1])
def test_mutated_images(case, step):
    reference, _, done = case
    found = done[step][1][:, :, ::4, ::4]
    np.testing.assert_allclose(found, reference[f'mutated{step}'], atol=1e-6)


@pytest.mark.parametrize('step', [0, 1])
def test_gradients(case, step):
    reference, _, done = case
    check_gradients(done[step][2], reference[f'grads{step}'], unet_from_released)


def test_student_and_teacher_after_two_steps(case):
    reference, model, _ = case
    check_weights(model, reference['final'], unet_from_released)
