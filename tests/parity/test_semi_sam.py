"""SemiSAM against the authors' code (YichiZhang98/SemiSAM, commit 6716784).

Their code is for volumes. Terms, gradients and weights: the lines of code/train_LA_semisam_mt.py
and code_semisam+/SemiSAM_train_MT_3D.py, run on tensors. Clicks: code/utils/click_method.py on
single slices, with the index mended by which it labels the first clicks. The ten clicks:
`finetune_model_predict3D` around segment-anything's own modules, one mask at a time.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmssl.models.base.terms import split_curves
from mmssl.models.losses import DiceBCELoss, DiceCELoss
from mmssl.models.methods.semi_sam import clicks
from mmssl.models.methods.semi_sam.clicks import click_masks, next_click
from mmssl.utils.resize import resize_linear
from tests.parity.recipe import recipe
from tests.sam_parts import ARCH
from tests.tiny import build, segmentor, set_iter

DATA = Path(__file__).parent / 'data' / 'semi_sam.npz'
PLUS = dict(
    self_ratio=True,
    on_labelled=False,
    consistency_weight=1.0,
    sam_weight=0.1,
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
    sam_ramp=dict(type='FallingGaussianRamp', scale=0.1, stairs=200),
    sup_loss=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5),
)


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


class TensorsAsStudents:
    """A SemiSAM whose networks answer with the reference's tensors.

    Args:
        reference: the file.
        labelled: number of labelled volumes, the first ones.
    """

    def __init__(self, reference, labelled: int, **options):
        sam = dict(type='PromptedSAM', arch=ARCH, img_size=64, random_trunk_seed=0)
        self.model = build(
            dict(
                type='SemiSAM',
                students=dict(unet=segmentor()),
                teachers=['unet'],
                sam=sam,
                **options,
            )
        )
        volumes = {
            key: torch.from_numpy(reference[key]).flatten(3)
            for key in ('outputs', 'ema', 'sam_logits')
        }
        self.x = volumes['outputs'].requires_grad_()
        label = torch.from_numpy(reference['label']).long().flatten(2)
        l, u = slice(None, labelled), slice(labelled, None)
        seen = l if self.model.on_labelled else slice(0, 0)
        teacher = torch.cat([volumes['ema'][seen], volumes['ema'][u]]).softmax(1)
        self.model.noisy_teacher = lambda name, x: teacher
        self.model.sam_logits = lambda image, wanted: volumes['sam_logits'][u]
        image = torch.zeros(len(self.x), 1, *self.x.shape[2:])
        self.logits = {'unet': {'x_w': self.x[l], 'u_w': self.x[u]}}
        self.batch = dict(
            x_w={'unet': image[l]},
            u_w={'unet': image[u]},
            y={'unet': label[l]},
        )

    def terms(self, iteration: int, total: int) -> dict:
        """Return all terms and the total."""
        set_iter(iteration, total)
        given = (self.batch, self.logits, None, self.model.step)
        sup, unsup = (
            split_curves(of(*given))[0] for of in (self.model.sup_loss, self.model.unsup_loss)
        )
        weight = self.model.ramp(iteration, total)
        return {
            **sup,
            **unsup,
            'weight': weight,
            'loss': sum(sup.values()) + weight * sum(unsup.values()),
        }


def test_terms_weights_and_gradients_of_semi_sam(reference):
    students = TensorsAsStudents(reference, labelled=1)
    model = students.model
    z, y = students.logits['unet']['x_w'], students.batch['y']['unet']
    foreground = DiceBCELoss(bce_weight=0, eps=1e-5)(z[:, 1:] - z[:, :1], y[:, None].float())
    ce_alone = DiceCELoss(dice_weight=0)  # their Dice loss is that of the foreground alone
    model.criterion.forward = lambda logits, label: ce_alone(logits, label) + foreground
    for iteration, (w, w_sam, ce, dice, mean, sam, total, _, unlabelled) in zip(
        reference['la_iterations'], reference['la'], strict=True
    ):
        students.x.grad = None
        found = students.terms(int(iteration), 6000)
        found['loss'].backward(retain_graph=True)
        weights = found['weight'], model.sam_ramp(int(iteration), 6000)
        np.testing.assert_allclose(weights, [w, w_sam], rtol=1e-4)
        terms = [found['sup_unet'], w * found['consistency_unet'], found['sam_unet'], found['loss']]
        np.testing.assert_allclose(
            [t.item() for t in terms], [ce + dice, mean, sam, total], rtol=1e-4
        )
        assert students.x.grad[1:].norm().item() == pytest.approx(unlabelled, rel=1e-4)


def test_terms_weights_and_gradients_of_semi_sam_plus(reference):
    students = TensorsAsStudents(reference, labelled=2, **PLUS)
    for iteration, (w, w_sam, sup, mean, sam, total, grad) in zip(
        reference['plus_iterations'], reference['plus'], strict=True
    ):
        students.x.grad = None
        found = students.terms(int(iteration), 30000)
        found['loss'].backward(retain_graph=True)
        values = [
            found['weight'],
            students.model.sam_ramp(int(iteration), 30000),
            *(found[k].item() for k in ('sup_unet', 'consistency_unet', 'sam_unet', 'loss')),
        ]
        np.testing.assert_allclose(values, [w, w_sam, sup, mean, sam, total], rtol=1e-4)
        assert students.x.grad.norm().item() == pytest.approx(grad, rel=1e-4)


def test_every_click_that_the_code_may_make(reference):
    """Draw until every pixel that may be clicked has been: the same ones, with the same labels."""
    wanted, given = (torch.from_numpy(reference[key]) for key in ('wanted', 'given'))
    many = (4000, 1, 1)
    for inner, pixels, labels in zip(
        (True, False), reference['candidates'], reference['labels'], strict=True
    ):
        for k in range(len(wanted)):
            xy, label = next_click(wanted[k].repeat(many), given[k].repeat(many) > 0.5, inner)
            x, y = xy.long().unbind(-1)
            seen = torch.zeros_like(wanted[k])
            seen[y, x] = True
            assert np.array_equal(seen, pixels[k])
            assert np.array_equal(label, labels[k][y, x])
    assert {-1, 0, 1} == set(np.unique(reference['labels']))


def test_ten_clicks(reference, monkeypatch, tmp_path):
    shapes = json.loads(str(reference['sam_shapes']))
    weights = {k: recipe(k, tuple(shape), 'semi_sam') for k, shape in shapes.items()}
    torch.save(weights, tmp_path / 'sam.pth')
    sam = build(
        dict(type='PromptedSAM', arch=ARCH, img_size=128, checkpoint=str(tmp_path / 'sam.pth'))
    )
    sam.load_trunk()
    history, masks = [], sam.masks

    def ends(mask):
        """Take the first and the last candidate in turn, as the reference does."""
        flat = mask.flatten(-2).byte()
        last = flat.shape[-1] - 1 - flat.flip(-1).argmax(-1)
        place = last if len(history) % 2 else flat.argmax(-1)
        return torch.stack([place % 128, place // 128], -1).float(), mask.flatten(-2).any(-1)

    def ask(embedding, points, **kwargs):
        history.append(torch.cat([points[0][..., 0, :], points[1]], -1))
        return masks(embedding, points, **kwargs)

    monkeypatch.setattr(clicks, 'random_points', ends)
    monkeypatch.setattr(sam, 'masks', ask)
    wanted, expected = (
        torch.from_numpy(np.unpackbits(reference[key])).bool().view(2, 2, 128, 128)
        for key in ('click_wanted', 'click_masks')
    )
    image = resize_linear(torch.from_numpy(reference['click_image']).double(), (128, 128))
    logits = click_masks(sam, sam.embed(image), wanted, clicks=10)
    np.testing.assert_array_equal(torch.stack(history, 2), reference['click_history'])
    low = resize_linear(torch.from_numpy(reference['click_logits']).double(), (128, 128))
    torch.testing.assert_close(logits, low, rtol=1e-4, atol=1e-4 * low.abs().max().item())
    clear = (logits - 0.5).abs() > 1e-4  # rounding may turn over the others
    assert clear.float().mean() > 0.99 and torch.equal((logits > 0.5)[clear], expected[clear])
