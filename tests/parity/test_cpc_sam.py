"""CPC-SAM against the authors' released code (JuzhengMiao/CPC-SAM, commit 8548b25).

Their trainer on generated images, with a ViT of width 32 at 64 px: one iteration before the start
of the cross prompting and two of three optimiser steps each, their learning rate's warm-up
included. `data/cpc_sam.npz` holds labels and results, weights and noise come from `recipe.py`. The
points that their code drew are given to our decoders, and what ours makes of their maps is
compared with them: their distances are approximate, and one of several pixels is drawn.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import label

from mmssl.models.sam.connected import class_masks, largest_component_masks
from mmssl.models.sam.prompts import distance_transform
from mmssl.models.sam.released_names import sam_from_released
from mmssl.registry import OPTIM_WRAPPER_CONSTRUCTORS, PARAM_SCHEDULERS
from tests.parity.recipe import recipe
from tests.parity.released_names import sam_to_released
from tests.tiny import build, set_iter, set_phase

DATA = Path(__file__).parent / 'data' / 'cpc_sam.npz'
SIDE, CLASSES, LABELLED, SALT = 64, 4, 2, 'cpc_sam'
UNUSED = ('projecter',)  # of their decoders
FIRST = dict(sup_sam=dict(loss1=1))
CROSS = dict(
    prompted_1_sam=dict(round2_ce1=0.2, round2_dice1=0.8, round2_ce1_r=0.2, round2_dice1_r=0.8),
    cross_2_sam=dict(consistency_loss2=0.4),
    consistent_1_sam=dict(consistency_loss1_r=0.05),
    prompted_2_sam=dict(round3_ce1=0.2, round3_dice1=0.8, round3_ce1_r=0.2, round3_dice1_r=0.8),
    cross_1_sam=dict(consistency_loss1=0.4),
    consistent_2_sam=dict(consistency_loss2_r=0.05),
)


def ours(tensors: dict) -> dict:
    """Return tensors of the released network under the names of a student."""
    number = {f'mask_decoder{i + 1}': f'mask_decoder.{i}' for i in range(2)}
    renamed = {}
    for name, value in tensors.items():
        if not any(part in name for part in UNUSED):
            for theirs, own in number.items():
                name = name.replace(theirs, own)
            renamed[name] = value
    return {
        name.replace('head.mask_decoder.', 'head.decoders.'): value
        for name, value in sam_from_released(renamed).items()
    }


def theirs(tensors: dict) -> dict:
    """Return tensors of a student under the released names."""
    tensors = {
        name.replace('head.decoders.', 'head.mask_decoder.'): value
        for name, value in tensors.items()
    }
    return {
        name.replace('mask_decoder.0', 'mask_decoder1').replace(
            'mask_decoder.1', 'mask_decoder2'
        ): value
        for name, value in sam_to_released(tensors).items()
    }


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


def batch_of(reference, i: int) -> dict:
    """Return the images and labels of an iteration."""
    y = torch.from_numpy(reference['labels'][i])
    noise = SIDE * recipe(f'image{i}', (len(y), 1, SIDE, SIDE), SALT)
    x = (y[:, None].float() / 4 + 0.1 + 0.1 * noise).clamp(0, 1)
    return dict(
        x_w={'sam': x[:LABELLED]}, y={'sam': y[:LABELLED].long()}, u_w={'sam': x[LABELLED:]}
    )


def norms(tensors: dict) -> dict[str, float]:
    return {name: value.norm().item() for name, value in theirs(tensors).items()}


@pytest.fixture(scope='module')
def run(reference):
    """Return the prediction at the start, the steps, and the norms of the parameters at the end."""
    arch = dict(embed_dims=32, depth=3, num_heads=2, global_blocks=(1,))
    model = build(
        dict(
            type='CPCSAM',
            parts=[[1], [2], [3]],
            cross_start=1,
            students=dict(
                sam=dict(
                    type='EncoderDecoder',
                    backbone=dict(type='LoRAMedSAM', arch=arch, img_size=SIDE, checkpoint=None),
                    decode_head=dict(
                        type='CrossPromptHead',
                        arch=arch,
                        img_size=SIDE,
                        checkpoint=None,
                        num_classes=CLASSES,
                    ),
                )
            ),
        )
    )
    model.init_weights()
    student = model.students['sam']
    own = {**dict(student.named_parameters()), **dict(student.named_buffers())}
    shapes = json.loads(str(reference['shapes']))
    weights = ours({name: recipe(name, tuple(shape), SALT) for name, shape in shapes.items()})
    for name, value in weights.items():
        own[name].data.copy_(value)
    recorded = iter(
        zip(
            *(torch.from_numpy(reference[key]) for key in ('optimal', 'random', 'ids')), strict=True
        )
    )
    student.decode_head.make_points = lambda logits: next(recorded)
    predicted = model.predict_logits(
        {'sam': torch.cat([batch_of(reference, 0)[view]['sam'] for view in ('x_w', 'u_w')])}, 'sam'
    ).softmax(1)
    wrapper = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type='MultiOptimWrapperConstructor',
            optim_wrapper_cfg=dict(
                type='MultiOptimWrapper',
                optimizers=dict(
                    sam=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.1)
                ),
            ),
        )
    )(model)
    schedule = PARAM_SCHEDULERS.build(
        dict(type='WarmupPolyLR', optimizer=wrapper['sam'], warmup=2, end=3, by_epoch=False)
    )
    steps = []
    for i in range(3):
        set_iter(i, 3)
        for phase in range(model.phases):
            set_phase(phase)
            terms = model.loss(batch_of(reference, i))
            wrapper.zero_grad()
            wrapper.backward(terms['loss'])
            grads = {k: p.grad for k, p in student.named_parameters() if p.grad is not None}
            steps.append(
                (
                    i,
                    wrapper.get_lr()['sam.lr'][0],
                    norms(grads),
                    {k: v.item() for k, v in terms.items()},
                )
            )
            wrapper.step()
        schedule.step()
    set_phase(0)
    set_iter(0, 1)
    with pytest.raises(StopIteration):
        next(recorded)
    return predicted, steps, norms(dict(student.named_parameters()))


def test_prediction_is_the_mean_of_both_decoders(reference, run):
    np.testing.assert_allclose(run[0][:, :, ::8, ::8], reference['mean'], rtol=1e-4)


def test_steps_have_the_learning_rate_and_the_losses(reference, run):
    expected = json.loads(str(reference['terms']))
    found = [step[1] for step in run[1]]
    np.testing.assert_allclose(found, reference['lr'], rtol=1e-9)
    numbers = [1, 1, 2, 3, 1, 2, 3]
    assert [i for i, *_ in run[1]] == [0, 1, 1, 1, 2, 2, 2]
    for number, (i, _, _, terms) in zip(numbers, run[1], strict=True):
        assert terms['loss'] == pytest.approx(expected[f'loss{number}'][i], rel=1e-4), (i, number)


@pytest.mark.parametrize('i', [0, 1, 2])
def test_every_term(reference, run, i):
    expected = json.loads(str(reference['terms']))
    terms = {k: v for j, *_, found in run[1] if j == i for k, v in found.items()}
    table = {**FIRST, **(CROSS if i else {})}
    assert set(terms) - {'loss', 'weight'} == set(table)
    for name, parts in table.items():
        want = sum(
            weight * (expected.get(part) or expected[f'loss_{part}'])[i]
            for part, weight in parts.items()
        )
        assert terms[name] == pytest.approx(want, rel=1e-4), name


def test_gradients_of_every_step(reference, run):
    for step, (grads, (*_, found, _)) in enumerate(
        zip(json.loads(str(reference['grads'])), run[1], strict=True)
    ):
        assert found.keys() == grads.keys()
        largest = max(grads.values())
        for name, norm in grads.items():  # k's bias in an attention has none but rounding
            assert found[name] == pytest.approx(norm, rel=1e-3, abs=1e-6 * largest), (step, name)


def test_parameters_after_seven_steps(reference, run):
    expected = json.loads(str(reference['final']))
    learning = json.loads(str(reference['grads']))[-1]
    for name in learning:
        if not name.endswith('k_proj.bias'):  # AdamW follows its gradient's sign, which is chance
            assert run[2][name] == pytest.approx(expected[name], rel=1e-4), name


def test_points_of_their_maps(reference):
    head = build(dict(type='CrossPromptHead', num_classes=CLASSES, img_size=SIDE, checkpoint=None))
    absent = 0
    for labels, optimal, random, ids in zip(
        *(torch.from_numpy(reference[key]) for key in ('maps', 'optimal', 'random', 'ids')),
        strict=True,
    ):
        masks = class_masks(labels.long(), CLASSES)
        assert torch.equal(head.make_points(masks.float())[2], ids)
        largest = largest_component_masks(masks)
        for n, c in np.ndindex(*ids.shape):
            if not masks[n, c].any():
                absent += 1
                assert torch.equal(optimal[n, c], optimal[n, 0])
                assert torch.equal(random[n, c], optimal[n, 0])
                continue
            (x, y), (x_r, y_r) = optimal[n, c].long(), random[n, c].long()
            components, _ = label(masks[n, c], np.ones((3, 3)))
            component = torch.from_numpy(components == components[y, x])
            assert component[y, x] and component[y_r, x_r]
            assert component.sum() == largest[n, c].sum()  # of two alike they take the last
            distance = distance_transform(torch.nn.functional.pad(component, (1, 1, 1, 1)))
            assert distance[y + 1, x + 1] > 0.97 * distance.max()
    assert absent > 0
