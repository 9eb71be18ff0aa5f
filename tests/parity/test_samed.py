"""SAMed and SAMed_s against the authors' released code (hitachinsk/SAMed, commit e351840).

Three AdamW steps of `trainer.py` on generated images, with an encoder of width 32 and depth 3 at
64 px, read by their `build_sam.py` from a checkpoint of 128 px. `data/samed.npz` holds inputs and
results; weights come from `recipe.py`.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from mmssl.engine import WarmupPolyLR
from mmssl.models.sam.sam_mask_head import REINITIALISED
from tests.parity.recipe import recipe
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data' / 'samed.npz'
ARCH = dict(embed_dims=32, depth=3, num_heads=2, global_blocks=(2,))
SIDE, CLASSES, STEPS = 64, 3, 3


def our_name(theirs: str) -> str:
    """Return our name of a tensor of the released network."""
    name = re.sub(
        r'^fa_ti_([qv]_proj)_([AB])\.',
        r'mask_decoder.transformer.final_attn_token_to_image.\1.w_\2.',
        theirs,
    )
    name = re.sub(r'\.qkv\.linear_([ab])_([qv])\.', r'.\2.w_\1.', name)
    name = re.sub(r'\.w_([abAB])\.', lambda m: f'.lora_{m[1].upper()}.default.', name)
    inner = name.removeprefix('image_encoder.')
    return f'backbone.trunk.{inner}' if inner != name else f'decode_head.{name}'


def read(reference, key: str) -> dict:
    return json.loads(str(reference[key]))


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


@pytest.fixture(scope='module')
def checkpoint(reference, tmp_path_factory):
    """Write SAM's checkpoint and return its path."""
    path = tmp_path_factory.mktemp('samed') / 'sam.pth'
    shapes = read(reference, 'shapes_file')
    torch.save({k: recipe(k, tuple(s), 'samed/file') for k, s in shapes.items()}, path)
    return str(path)


def make(checkpoint: str, lora_rank: int | None, init: str = 'partial_load'):
    head = dict(
        type='SAMMaskHead',
        arch=ARCH,
        img_size=SIDE,
        num_classes=CLASSES,
        init=init,
        checkpoint=checkpoint,
        lora_rank=lora_rank,
    )
    backbone = dict(type='LoRAMedSAM', arch=ARCH, img_size=SIDE, checkpoint=checkpoint)
    network = dict(type='EncoderDecoder', backbone=backbone, decode_head=head)
    model = build(
        dict(
            type='SAMed',
            students=dict(sam=network),
            parts=[[1], [2]],
            data_preprocessor=dict(sizes=dict(sam=dict(image=SIDE, label=SIDE // 4))),
        )
    )
    model.init_weights()
    return model


@pytest.fixture(scope='module', params=['samed', 'samed_s'])
def case(request, reference, checkpoint):
    """Return the reference, the case's name, and what the model gave."""
    name = request.param
    model = make(checkpoint, lora_rank=4 if name == 'samed_s' else None)
    sam = model.students['sam']
    random = read(reference, f'{name}_random')
    fill = {our_name(k): recipe(k, tuple(s), 'samed/random') for k, s in random.items()}
    own = dict(sam.named_parameters())
    with torch.no_grad():
        for key, value in fill.items():
            own[key].copy_(value)
    learning = {k: p for k, p in own.items() if p.requires_grad}
    optimizer = torch.optim.AdamW(
        learning.values(), float(reference['base_lr']), betas=(0.9, 0.999), weight_decay=0.1
    )
    schedule = WarmupPolyLR(optimizer, warmup=2, end=20)
    found = dict(terms=[], rates=[], learning=set(learning), filled=set(fill))
    set_iter(0, STEPS)
    for i in range(STEPS):
        inputs = {k: torch.from_numpy(reference[f'in{i}_{k}']) for k in ('x_w', 'y')}
        batch = model.data_preprocessor(dict(inputs=inputs, data_samples=None), True)['inputs']
        if i == 0:
            found['logits'] = sam(batch['x_w']['sam'], mode='tensor').detach()
            found['masks'] = model.predict_logits(batch['x_w'], 'sam')
        terms = model.loss(batch)
        optimizer.zero_grad()
        terms['loss'].backward()
        if i == 0:
            found['grads'] = {k: p.grad.norm().item() for k, p in learning.items()}
        found['terms'].append(terms['loss'].item())
        found['rates'].append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        schedule.step()
    found['final'] = {k: p.detach().double().norm().item() for k, p in own.items()}
    return reference, name, found


def test_logits_and_masks(case):
    reference, name, found = case
    for key, part in (
        ('logits', (..., slice(None, None, 3), slice(None, None, 3))),
        ('masks', (..., slice(5, None, 16), slice(5, None, 16))),
    ):
        expected = reference[f'{name}_{key}']
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(found[key][part], expected, rtol=1e-4, atol=1e-5)


def test_loss_and_rate_of_each_step(case):
    reference, name, found = case
    expected = [reference[f'{name}_terms{i}'] for i in range(STEPS)]
    np.testing.assert_allclose(found['terms'], [loss for loss, _, _ in expected], rtol=1e-4)
    np.testing.assert_allclose(found['rates'], reference[f'{name}_rates'], rtol=1e-12)


def test_the_same_tensors_learn(case):
    reference, name, found = case
    assert found['learning'] == {our_name(k) for k in read(reference, f'{name}_grads')}


def test_gradients_and_weights_after_three_steps(case):
    reference, name, found = case
    grads = read(reference, f'{name}_grads')
    largest = max(grads.values())
    for theirs, norm in grads.items():
        tolerance = dict(rel=1e-4, abs=1e-6 * largest)
        assert found['grads'][our_name(theirs)] == pytest.approx(norm, **tolerance), theirs
    for theirs, norm in read(reference, f'{name}_final').items():
        if not theirs.endswith('k_proj.bias'):  # no gradient but rounding, which AdamW scales up
            assert found['final'][our_name(theirs)] == pytest.approx(norm, rel=1e-4), theirs


def test_the_released_code_keeps_what_fits_of_the_checkpoint(reference, checkpoint):
    """Their second, filtered reading starts from the first, failed one, which has filled these."""
    random = {our_name(k) for k in read(reference, 'samed_random') if 'linear_' not in k}
    last = 'decode_head.mask_decoder.iou_prediction_head.layers.2'
    assert random == {
        'decode_head.mask_decoder.mask_tokens.weight',
        f'{last}.weight',
        f'{last}.bias',
    }
    file = torch.load(checkpoint, weights_only=True)
    for init, means_to in (('partial_load', False), ('reinit', True)):
        sam = make(checkpoint, None, init).students['sam']
        for key, value in sam.decode_head.state_dict().items():
            part = any(word in key for word in REINITIALISED)
            new = part if means_to else f'decode_head.{key}' in random
            assert (value.shape == file[key].shape and torch.equal(value, file[key])) != new, key
