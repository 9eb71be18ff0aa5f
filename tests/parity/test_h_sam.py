"""H-SAM against the authors' released code (Cccccczh404/H-SAM, commit 5bdf491).

Their `Sam.forward_train` on generated embeddings (its encoder, which is SAM's with LoRA, left
out), 64 channels wide: the classes for 224 px (with noise on the class maps, from the label) and
for 512 px (without). Two steps of SGD with `calc_loss` of `trainer.py`, in epochs 0 and 120, and
the prediction before them. `data/h_sam.npz` holds labels and results; weights, embeddings and the
noise come from `recipe.py`, dropout from the same seeds.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mmssl.registry import MODELS
from tests.parity.recipe import recipe, unit
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data' / 'h_sam.npz'
CHANNELS, CLASSES, IMAGES = 64, 9, 2
UNUSED = re.compile(
    r'prompt_encoder2|point_embeddings\.([4-9]|10)\.|mask_decoder2\.iou_prediction_head'
    r'|transformer2\.layers\.\d\.cross_attn_\w+\.norm'
)
RENAMED = (
    (r'mask_decoder2\.self_attn\.', 'map_attention.attn1.'),
    (r'mask_decoder2\.self_attn2\.', 'map_attention.attn2.'),
    (r'mask_decoder2\.(norm\d|mlp)\.', r'map_attention.\1.'),
    (r'mask_decoder2\.med_sel\.0\.', 'map_attention.select.'),
    ('transformer2', 'transformer'),
    ('mlps2', 'mlps'),
)


@MODELS.register_module()
class EmbeddingBackbone(nn.Module):
    """Take the place of SAM's encoder: the images are embeddings."""

    def forward(self, x):
        return (x,)


def our_name(theirs: str) -> str:
    """Return our name of a tensor of the released decoders."""
    for pattern, name in RENAMED:
        theirs = re.sub(pattern, name, theirs)
    return theirs


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


@pytest.fixture(scope='module', params=[224, 512])
def side(request):
    return request.param


@pytest.fixture(scope='module')
def run(reference, side):
    """Return what the model predicts and the two steps give."""
    salt, grid = f'hsam{side}', side // 16
    noise = dict(classes='label', resize='storage') if side == 224 else False
    head = dict(
        type='HSAMHead',
        in_channels=CHANNELS,
        num_classes=CLASSES,
        img_size=side,
        checkpoint=None,
        map_softmax='channel',
        map_noise=noise,
    )
    model = build(
        dict(
            type='HSAM',
            parts=[[i] for i in range(1, CLASSES)],
            students=dict(
                sam=dict(
                    type='mmseg.EncoderDecoder',
                    backbone=dict(type='EmbeddingBackbone'),
                    decode_head=head,
                )
            ),
        )
    )
    head = model.students['sam'].decode_head
    shapes = json.loads(str(reference[f'{side}_shapes']))
    head.load_state_dict(
        {our_name(k): recipe(k, tuple(s), salt) for k, s in shapes.items() if not UNUSED.search(k)}
    )
    x = unit('embedding', (IMAGES, CHANNELS, grid, grid), salt).requires_grad_()
    y = torch.from_numpy(reference[f'{side}_y']).long()
    found = {}
    model.eval()
    with torch.no_grad():
        found['coarse'], found['fine'] = head.forward_stages((x,))
        found['stage3'] = head((x,))
    model.train()
    draws = {
        CLASSES: unit('map noise', (IMAGES, CLASSES, grid * grid), salt),
        CHANNELS: unit('image noise', x.shape, salt),
    }
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)

    def record(module, args):
        found.setdefault('maps', args[0].detach().clone())

    def record_score(module, args, output):
        found.setdefault('score', output.detach().relu())

    head.map_attention.register_forward_pre_hook(record)
    head.map_attention.select.register_forward_hook(record_score)
    found['rows'], found['grads'] = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, 'randn_like', lambda z: draws[z.shape[1]].view_as(z))
        for step, epoch in enumerate((0, 120)):
            set_iter(10 * epoch + 9, 3000)
            torch.manual_seed(100 + step)
            terms = model.loss(dict(x_w={'sam': x}, y={'sam': y}))
            model.zero_grad()
            x.grad = None
            terms['loss'].backward()
            w = terms['fine_weight'].item()
            found['rows'].append(
                [
                    terms['sup_sam_coarse'].item() / (1 - w),
                    terms['sup_sam_fine'].item() / w,
                    w,
                    terms['loss'].item(),
                ]
            )
            found['grads'].append(
                {k: p.grad.norm().item() for k, p in head.named_parameters() if p.requires_grad}
                | {'embedding': x.grad.norm().item()}
            )
            optimizer.step()
    found['final'] = {k: p.detach().norm().item() for k, p in head.named_parameters()}
    return found


@pytest.mark.parametrize('name', ['coarse', 'fine', 'stage3'])
def test_predictions(reference, run, side, name):
    logits = run[name]
    assert logits.shape[-1] == (side // 4 if name == 'coarse' else side)
    every = logits.shape[-1] // 7 + 1
    np.testing.assert_allclose(
        logits[:, :, ::every, ::every],
        reference[f'{side}_eval_{name}'],
        rtol=1e-4,
        atol=1e-4 * logits.std().item(),
    )
    norm, mean = reference[f'{side}_eval_{name}_norm']
    assert logits.norm().item() == pytest.approx(norm, rel=1e-4)
    assert logits.mean().item() == pytest.approx(mean, rel=1e-4, abs=1e-4 * logits.std().item())


def test_class_maps_with_their_noise_and_what_the_attention_makes_of_them(reference, run, side):
    every = 5 if side == 224 else 37
    found = {'maps': run['maps'][:, :, ::every], 'score': run['score'][:, ::every, 0]}
    for name, value in found.items():
        expected = reference[f'{side}_{name}']
        assert expected.std() > 0.1
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4 * expected.std())


def test_terms_of_two_steps(reference, run, side):
    np.testing.assert_allclose(run['rows'], reference[f'{side}_rows'], rtol=1e-4)


def test_gradients(reference, run, side):
    for ours, theirs in zip(run['grads'], json.loads(str(reference[f'{side}_grads'])), strict=True):
        used = {our_name(k): v for k, v in theirs.items() if v is not None}
        assert ours.keys() == used.keys()
        largest = max(used.values())
        for name, norm in used.items():
            assert ours[name] == pytest.approx(norm, rel=1e-3, abs=1e-6 * largest), name


def test_the_released_gate_leaves_the_map_attention_without_a_gradient(run):
    grads = {k: v for k, v in run['grads'][0].items() if k.startswith('map_attention')}
    assert len(grads) == 26 and not any(grads.values())


def test_weights_after_two_steps(reference, run, side):
    for theirs, norm in json.loads(str(reference[f'{side}_final'])).items():
        if not UNUSED.search(theirs):
            assert run['final'][our_name(theirs)] == pytest.approx(norm, rel=1e-4, abs=1e-6), theirs
