"""BCMDA against the authors' released code (pascalcpp/BCMDA, commit 864d384).

Two training steps of `code/Prostate_train.py` and `code/Fundus_train.py` from the middle of a
training on the inputs of `test_symgd.py`, for exclusive classes and overlapping parts, with their
U-Net's blocks at width 6 and depth 2, a threshold of 0.6 and correlation maps of 8 px. One of the
unlabelled images is of the labelled domain. `data/bcmda.npz` holds results; weights come from
`recipe.py`.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement

from mmssl.engine.hooks.ema_teacher_hook import EMATeacherHook
from mmssl.models.sam.released_names import unet_from_released
from tests.parity import test_symgd as symgd
from tests.parity.float64 import TERM_RTOL
from tests.parity.generate.bcmda import DRAWN
from tests.parity.norms import check_gradients, check_weights
from tests.parity.recipe import recipe
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data' / 'bcmda.npz'
TERMS = ('ul1_unet', 'lu1_unet', 'ul2_unet', 'lu2_unet', 'loss')
EXTRA = dict(
    prostate=dict(parts=[[1]]),
    fundus=dict(symgd.EXTRA['fundus'], ratio=0.75, beta=0.7, centre=127.5, keep_black=True),
)
TEMPERATURE = dict(prostate=0.3, fundus=0.05)


def ours(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the released network's tensors under this package's names."""
    prototypes = {f'outc{i}_sim.mu': f'decode_head.mu{i}' for i in (1, 2)}
    network = {k: v for k, v in tensors.items() if k not in prototypes}
    found = {new: tensors[old] for old, new in prototypes.items()}
    return {**unet_from_released(network), **found}


class Reference(symgd.Reference):
    """The arrays of one data set."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.arrays = np.load(DATA)

    def weights(self, role: str) -> dict[str, torch.Tensor]:
        salt = f'bcmda/{self.name}{role}'
        weights = {k: recipe(k, tuple(shape), salt) for k, shape in self['shapes'].items()}
        weights['outc.conv.weight'] *= 3
        return ours(weights)


def make(reference: Reference):
    channels, name = 1 if reference.name == 'prostate' else 3, reference.name
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='UNet', in_channels=channels, base_channels=symgd.WIDTH, depth=2),
        decode_head=dict(type='PrototypeHead', num_convs=0, in_channels=symgd.WIDTH,
                         channels=symgd.WIDTH, concat_input=False, dropout_ratio=0, init_cfg=None,
                         num_classes=2, temperature=TEMPERATURE[name]),
    )  # fmt: skip
    model = build(dict(
        type='BCMDA', students=dict(unet=network), teachers=['unet'], same_domain=True,
        data_preprocessor=dict(mean=127.5, std=127.5),
        **{'threshold': dict(type='FixedThreshold', value=0.6), **EXTRA[name]},
    ))  # fmt: skip
    model.students['unet'].load_state_dict(reference.weights(''))
    model.teachers['unet'].load_state_dict(reference.weights('_teacher'))
    return model


def samples(*domains):
    return [BaseDataElement(metainfo=dict(domain=domain)) for domain in domains]


@pytest.fixture(scope='module', params=['prostate', 'fundus'])
def case(request):
    """Return the reference, the model, and both steps' terms, virtual images and gradients."""
    reference, inputs = Reference(request.param), symgd.Reference(request.param)
    model = make(reference)
    hook = EMATeacherHook(momentum=0.99)
    hook.pair(model)
    optimizer = torch.optim.SGD(model.students.parameters(), 0.03, momentum=0.9, weight_decay=1e-4)
    done, virtual, bridge = [], [], model.bridge

    def seen(*args):
        found = bridge(*args)
        virtual.append(found[0])
        return found

    model.bridge = seen
    known = dict(labelled=samples('a', 'a', 'a'), unlabelled=samples('b', 'a', 'b'))
    for i in range(2):
        set_iter(symgd.START + i, symgd.ITERS)
        raw = {
            key: torch.from_numpy(inputs[f'in{i}_{key}'])
            for key in ('x_w', 'y', 'u_w', 'u_s', 'box')
        }
        raw['box2'] = torch.from_numpy(inputs[f'in{1 - i}_box'])
        batch = model.data_preprocessor(dict(inputs=raw, data_samples=None), True)['inputs']
        gamma = torch.tensor([DRAWN[i], 1 - DRAWN[i]])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, '_standard_gamma', lambda _, gamma=gamma: gamma)
            terms = model.loss(batch, known)
        optimizer.param_groups[0]['lr'] = float(reference[f'terms{i}'][-1])
        optimizer.zero_grad()
        terms['loss'].backward()
        grads = {k: p.grad.norm().item() for k, p in model.students['unet'].named_parameters()}
        optimizer.step()
        hook.update(symgd.START + i)
        done.append(({k: v.item() for k, v in terms.items()}, virtual[i], grads))
    return reference, model, done


@pytest.mark.parametrize('step', [0, 1])
def test_terms(case, step):
    reference, model, done = case
    expected = reference[f'terms{step}']
    assert (expected[:6] > 0.05).all(), 'the reference must exercise every term'
    assert 0.05 < expected[6] < 0.95, 'and some pixels must not count'
    found = [done[step][0][term] for term in (*TERMS, 'mask_unet')]
    wanted = [*expected[:4] / 2, expected[4], expected[6]]
    np.testing.assert_allclose(found, wanted, rtol=TERM_RTOL)
    ramp = model.prototype_ramp(symgd.START + step, symgd.ITERS)
    assert ramp == pytest.approx(expected[5], rel=TERM_RTOL)


@pytest.mark.parametrize('step', [0, 1])
def test_virtual_images(case, step):
    reference, _, done = case
    found = torch.stack(list(done[step][1]))[..., ::4, ::4]
    np.testing.assert_allclose(found, reference[f'virtual{step}'], atol=1e-6)


@pytest.mark.parametrize('step', [0, 1])
def test_gradients(case, step):
    reference, _, done = case
    check_gradients(done[step][2], reference[f'grads{step}'], ours)


def test_student_and_teacher_after_two_steps(case):
    reference, model, _ = case
    check_weights(model, reference['final'], ours)
