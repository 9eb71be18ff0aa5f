"""CauSSL against the authors' released code (JuzhengMiao/CauSSL, commit 23b1904).

That code is for volumes, so terms are compared on tensors: the kernels of its V-Net (2 filters;
30 layers of two networks, and 10 of each of three decoders), the maps before and after 60 steps
of Adam, and on generated logits of one slice every unsupervised term, the total, and the kernels'
gradients. `data/caussl.npz` holds the logits, the kernels' names and shapes, and the results;
weights come from `recipe.py`. A whole step of CPSCauSSL on 2 + 2 patches is in
`data/caussl_ct.npz`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

from mmssl.models.methods.caussl.caussl import CPSCauSSL, MCCauSSL
from mmssl.models.methods.caussl.kernel_independence import conv_kernels
from mmssl.models.strategies.ramps import GaussianRamp
from tests.parity import volumes
from tests.parity.float64 import TERM_RTOL
from tests.parity.recipe import recipe
from tests.tiny import segmentor, set_iter

DATA = Path(__file__).parent / 'data' / 'caussl.npz'
BRANCHES = ('', '_trilinear', '_nearest')
DECODER = ('block_six.', 'block_seven.', 'block_eight.', 'block_nine.', 'out_conv.')


def kernels(shapes: dict, salt: str, branch: str | None) -> nn.ModuleList:
    """Return the kernels of a V-Net, or of one of its decoders, as convolutions."""
    if branch is not None:
        blocks = {block.replace('.', f'{branch}.') for block in DECODER}
        shapes = {k: s for k, s in shapes.items() if any(k.startswith(b) for b in blocks)}
    modules = nn.ModuleList()
    for name, (rows, columns, *size) in shapes.items():
        conv = nn.Conv3d(columns, rows, tuple(size), bias=False)
        conv.weight.data = recipe(name, (rows, columns, *size), salt).double()
        modules.append(conv)
    return modules


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


def build_model(reference, form: str):
    """Return CauSSL with the V-Net's kernels, maps and logits in the place of its networks'."""
    shapes = json.loads(str(reference[f'{form}_shapes']))
    if form == 'cps':
        base, names = CPSCauSSL, ('unet', 'unet2')
        rivals = [kernels(shapes, f'caussl{i}', None) for i in (1, 2)]
    else:
        base, names = MCCauSSL, ('unet',)
        rivals = [kernels(shapes, 'caussl1', branch) for branch in BRANCHES]
    heads = [torch.from_numpy(reference[f'{form}_logits{i + 1}']) for i in range(len(rivals))]

    class OnTensors(base):
        def rivals(self):
            return rivals

        def forward_views(self, name, views):
            x_w, u_w = zip(*(z.split(2) for z in heads), strict=True)
            if form == 'mc':
                return {'x_w': x_w, 'u_w': u_w}
            return {'x_w': x_w[names.index(name)], 'u_w': u_w[names.index(name)]}

    init_default_scope('mmssl')
    set_iter(540, 5000)
    model = OnTensors(
        students={name: segmentor() for name in names},
        sup_loss=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5),
        ramp=dict(type='ConstantRamp', scale=float(reference[f'{form}_weight'])),
    )
    layers = len(rivals[0])
    for i in range(len(rivals)):
        for layer in range(layers):
            p = model.independence.maps[i * layers + layer]
            columns = 1e-3 * recipe(f'paras{i + 1}.{layer}', tuple(p.shape), 'caussl').double()
            # the released code puts the first decoder's kernels last for the third one's map
            p.data = columns.roll(columns.shape[1] // 2, 1) if i == 2 else columns
    return model, rivals


@pytest.mark.parametrize('form', ['cps', 'mc'])
def test_step_with_a_phase_of_the_maps(reference, form):
    model, rivals = build_model(reference, form)
    flat = [[conv.weight.flatten(1) for conv in modules] for modules in rivals]
    np.testing.assert_allclose(
        model.independence(flat).detach(), reference[f'{form}_before'], rtol=1e-4
    )
    y = torch.from_numpy(reference[f'{form}_y']).long()
    names = list(model.students)
    blank = {name: torch.zeros(2, 1, 8, 8) for name in names}
    losses = model.loss({'x_w': blank, 'u_w': blank, 'y': dict.fromkeys(names, y)})
    found = [losses[f'independence_{i}'] for i in range(len(rivals))]
    np.testing.assert_allclose(found, reference[f'{form}_after'], rtol=1e-4)
    if form == 'cps':
        unsup = [losses[f'cps_{name}'] / 0.3 for name in names]
    else:
        unsup = [losses['mutual_unet']]
    rest = losses['loss'].detach() - sum(losses[f'sup_{name}'] for name in names)
    np.testing.assert_allclose([*unsup, *found, rest], reference[f'{form}_terms'], rtol=1e-4)
    losses['loss'].backward()
    compare_gradients(reference, form, rivals)


def compare_gradients(reference, form: str, rivals: list) -> None:
    """Compare the norms of the kernels' gradients; of the decoders only the first one has any."""
    expected = json.loads(str(reference[f'{form}_grads']))
    for i, modules in enumerate(rivals):
        norms = (
            expected[i]
            if form == 'cps'
            else {
                k: v
                for k, v in expected[0].items()
                if any(k.startswith(b.replace('.', f'{BRANCHES[i]}.')) for b in DECODER)
            }
        )
        assert len(norms) == len(modules)
        for conv, (name, norm) in zip(modules, norms.items(), strict=True):
            found = 0.0 if conv.weight.grad is None else conv.weight.grad.norm().item()
            assert found == pytest.approx(norm, rel=1e-3, abs=1e-6), name
        assert (max(norms.values()) > 0) == (form == 'cps' or i == 0)


def test_ramp(reference):
    """Forty stairs of 150 iterations, of which 5,000 iterations climb 33."""
    ramp = GaussianRamp(scale=0.1, stairs=40)
    found = [ramp(t, 6000) for t in range(0, 5000, 250)]
    np.testing.assert_allclose(found, reference['cps_weights'], rtol=1e-6)


def test_step_of_two_networks_on_patches():
    reference = np.load(DATA.with_name('caussl_ct.npz'))
    shapes = json.loads(str(reference['shapes']))
    model = volumes.make(
        str(reference['shapes']),
        dict(a='caussl1', b='caussl2'),
        type='CPSCauSSL',
        sup_loss=dict(
            type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5, background=False
        ),
        ramp=dict(type='GaussianRamp', scale=0.1, stairs=40),
    )
    theirs = [volumes.our_name(k) for k, s in shapes.items() if len(s) == 5]
    ours = [f'{name}.weight' for name in conv_kernels(model.students['a'])]
    assert sorted(ours) == sorted(theirs)
    for i in range(2):
        for layer, name in enumerate(ours):
            p = model.independence.maps[i * len(ours) + layer]
            number = f'paras{i + 1}.{theirs.index(name)}'
            p.data = 1e-3 * recipe(number, tuple(p.shape), 'caussl')
    views = volumes.views('caussl', 0)
    terms, grads = volumes.train(model, [views], 540, 6000)
    names = ('sup_a', 'sup_b', 'cps_a', 'cps_b', 'independence_0', 'independence_1', 'loss')
    found = [terms[0][name] / (0.3 if name.startswith('cps') else 1) for name in names]
    np.testing.assert_allclose(found, reference['terms'], rtol=TERM_RTOL)
    for name, expected in zip('ab', json.loads(str(reference['grads'])), strict=True):
        volumes.compare_gradients(grads[0], expected, name)
