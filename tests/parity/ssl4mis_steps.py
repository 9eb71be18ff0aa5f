"""Two training steps on a reference of SSL4MIS: terms, gradients and weights of both networks.

The references start at iteration 15,000 of 30,000, so that every ramp counts, with dropout at rate
0 and the head's weights 12 times as large, so that some pixels are sure.
"""

import json

import numpy as np
import pytest
import torch

from mmssl.engine.hooks.ema_teacher_hook import EMATeacherHook
from tests.parity.float64 import GRAD_RTOL, TERM_RTOL, WEIGHT_RTOL
from tests.parity.recipe import recipe
from tests.parity.test_unimatch import our_name
from tests.tiny import build, set_iter

START, ITERS = 15000, 30000


def make(salt: str, shapes: dict[str, list[int]], **cfg):
    """Return the model with the reference's weights, of which `shapes` has the authors' names."""
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='UNetEncoder', dropout=(0,) * 5),
        decode_head=dict(type='UNetDecoderHead', num_classes=4),
    )
    model = build(dict(students=dict(unet=network), parts=[[1], [2], [3]], **cfg))
    for kind, networks in (('student', model.students), ('teacher', model.teachers)):
        weights = {k: recipe(k, tuple(shape), f'{salt}_{kind}') for k, shape in shapes.items()}
        weights['decoder.out_conv.weight'] *= 12
        for network in networks.values():
            network.load_state_dict({our_name(k): value for k, value in weights.items()})
    return model


def two_steps(reference, salt: str, **cfg):
    """Return both steps' terms, the gradients of the first, and both networks at the end."""
    model = make(salt, json.loads(str(reference['shapes'])), **cfg)
    hook = EMATeacherHook()
    if len(model.teachers):
        hook.pair(model)
    optimizer = torch.optim.SGD(model.students.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    terms, grads = [], {}
    for i in range(2):
        set_iter(START + i, ITERS)
        data = {
            k.split('_', 1)[1]: torch.from_numpy(reference[k])
            for k in reference
            if k.startswith(f'in{i}_')
        }
        inputs = dict(x_w=data['x'], y=data['y'], u_w=data['u'])
        if 'us' in data:
            inputs.update(x_s=data['xs'], u_s=data['us'])
        batch = model.data_preprocessor(dict(inputs=inputs, data_samples=None), True)
        torch.manual_seed(100 + i)
        found = model.loss(batch['inputs'])
        optimizer.zero_grad()
        found['loss'].backward()
        if i == 0:
            grads = {k: p.grad.norm().item() for k, p in model.students['unet'].named_parameters()}
        optimizer.step()
        if len(model.teachers):
            hook.update(START + i)
        for group in optimizer.param_groups:
            group['lr'] = 0.01 * (1 - (START + i) / ITERS) ** 0.9
        terms.append({k: v.item() for k, v in found.items()})
    return terms, grads, model


def compare(reference, steps, names: list[str]) -> None:
    """Check the named terms of both steps, the first gradients and the final weights."""
    terms, grads, model = steps
    for i in range(2):
        expected = reference[f'it{i}']
        assert (expected > 1e-3).all(), 'the reference must exercise every term'
        np.testing.assert_allclose([terms[i][name] for name in names], expected, rtol=TERM_RTOL)
    expected = json.loads(str(reference['grads']))
    largest = max(expected.values())
    for theirs, norm in expected.items():
        # a bias before a batch norm has no gradient but rounding
        tolerance = dict(rel=GRAD_RTOL, abs=1e-8 * largest)
        assert grads[our_name(theirs)] == pytest.approx(norm, **tolerance), theirs
    networks = [('final', model.students), ('teacher', model.teachers)]
    for key, network in networks[: 1 + bool(len(model.teachers))]:
        state = network['unet'].state_dict()
        for theirs, norm in json.loads(str(reference[key])).items():
            found = state[our_name(theirs)].float().norm().item()
            assert found == pytest.approx(norm, rel=WEIGHT_RTOL, abs=1e-8), f'{key} {theirs}'
