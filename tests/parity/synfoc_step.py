"""Compare three SynFoC training steps with the numbers of the authors' released code.

    python tests/parity/synfoc_step.py tests/parity/data/synfoc_prostate.npz

The networks are rebuilt through mmssl's own classes with the reference's deterministic weights;
mmssl's own method, hooks and optimisers make the steps. Every term is printed with its error; the
exit status is 0 only if all of them lie within the tolerances below.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope

sys.path.insert(0, str(Path(__file__).parent))
from recipe import recipe

from mmssl.utils.released_names import (
    sam_from_released,
    sam_to_released,
    unet_from_released,
    unet_to_released,
)

FROM_RELEASED = {'sam': sam_from_released, 'unet': unet_from_released}
TO_RELEASED = {'sam': sam_to_released, 'unet': unet_to_released}

TERMS = ('sup_sam', 'sup_unet', 'unsup_sam', 'unsup_unet', 'consistent', 'discrepant', 'weight',
         'total')
PER_IMAGE = ('self_conf', 'mutual_conf', 'alpha')
TIE = 1e-6
# Rounding grows with every training step (from 1e-7 to 1e-4 in the probabilities of step 2, seen
# between convolution libraries): probabilities closer than this are tied. One tied pixel of a
# small structure moves a confidence by more than the tolerance, and does so with the authors' own
# code on another machine.
LATE_TIES = (0.0, 1e-5, 3e-4)


class Reference:
    """One reference file: configuration, shapes and arrays."""

    def __init__(self, path: str) -> None:
        self.arrays = np.load(path)
        self.cfg = json.loads(str(self.arrays['cfg']))
        self.shapes = {k: {n: tuple(s) for n, s in v.items()}
                       for k, v in json.loads(str(self.arrays['shapes'])).items()}

    def tensor(self, key: str) -> torch.Tensor:
        """Return an array as a tensor."""
        return torch.from_numpy(np.asarray(self.arrays[key]))

    def weights(self, network: str, role: str = '') -> dict[str, torch.Tensor]:
        """Return the recipe's weights of `sam` or `unet`, student or `_teacher`."""
        salt = f'{self.cfg["case"]}/{network}{role}'
        return {name: recipe(name, shape, salt) for name, shape in self.shapes[network].items()}


def model_cfg(ref: Reference) -> dict:
    """Return the config of the small networks that the reference names."""
    cfg, sam = ref.cfg, ref.shapes['sam']
    block = 'sam.image_encoder.blocks.{}.attn.{}'
    depth = len({name.split('.')[3] for name in sam if name.startswith('sam.image_encoder.blocks')})
    dims = sam['sam.image_encoder.pos_embed'][-1]
    local = 2 * 14 - 1
    arch = dict(
        embed_dims=dims,
        depth=depth,
        num_heads=dims // sam[block.format(0, 'rel_pos_h')][1],
        global_blocks=tuple(i for i in range(depth)
                            if sam[block.format(i, 'rel_pos_h')][0] != local),
    )
    classes, grid = cfg['ncls'] + 1, cfg['img'] // 16
    base = ref.shapes['unet']['inc.double_conv.0.weight'][0]
    return dict(
        type='SynFoC',
        students=dict(
            sam=dict(
                type='EncoderDecoder',
                backbone=dict(type='LoRAMedSAM', arch=arch, img_size=cfg['img'], checkpoint=None,
                              rank=sam[block.format(0, 'qkv.linear_a_q.weight')][0]),
                decode_head=dict(type='SAMMaskHead', num_classes=classes, img_size=cfg['img'],
                                 checkpoint=None),
            ),
            unet=dict(
                type='EncoderDecoder',
                backbone=dict(type='UNet', in_channels=cfg['ch'], base_channels=base),
                decode_head=dict(type='FCNHead', num_convs=0, in_channels=base, channels=base,
                                 concat_input=False, dropout_ratio=0, init_cfg=None,
                                 num_classes=classes),
            ),
        ),
        teachers=['sam', 'unet'],
        parts=cfg['parts'],
        threshold=dict(type='FixedThreshold', value=cfg['tau']),
        consistency=dict(type='CDCRLoss'),
        data_preprocessor=dict(sizes=dict(sam=dict(label=4 * grid), unet=dict(label=cfg['patch']))),
    )


def tensors(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return all parameters and buffers of a network, the frozen trunk's as well."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def fill(network: torch.nn.Module, name: str, weights: dict[str, torch.Tensor]) -> None:
    """Copy weights in the authors' naming into a network."""
    own = tensors(network)
    for key, value in FROM_RELEASED[name](weights).items():
        own[key].data.copy_(value)


def build(ref: Reference):
    """Return the model with the reference's weights, its optimisers and its teacher hook."""
    from mmssl.registry import HOOKS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS

    model = MODELS.build(model_cfg(ref))
    model.init_weights()
    for name in ('sam', 'unet'):
        student, teacher = ref.weights(name), ref.weights(name, '_teacher')
        # Student and teacher share the frozen trunk.
        shared = [key for key in teacher if 'image_encoder' in key and 'linear_' not in key]
        fill(model.students[name], name, student)
        fill(model.teachers[name], name, {**teacher, **{key: student[key] for key in shared}})
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(dict(
        type='MultiOptimWrapperConstructor',
        optim_wrapper_cfg=dict(
            type='MultiOptimWrapper',
            optimizers=dict(
                sam=dict(type='AdamW', lr=0.03 / 250, betas=(0.9, 0.999), weight_decay=0.1),
                unet=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4)))))
    ema = HOOKS.build(dict(type='EMATeacherHook'))
    ema.pair(model)
    HOOKS.build(dict(type='SMCEnsembleHook')).attach(model)
    return model, constructor(model), ema


def batch_of(ref: Reference, step: int) -> dict:
    """Return the views of one step, at both networks' sizes."""
    def views(name: str) -> dict[str, torch.Tensor]:
        return {'sam': ref.tensor(f'in{step}_{name}'), 'unet': ref.tensor(f'in{step}_{name}_unet')}

    y = {'sam': ref.tensor(f'in{step}_y_low').long(), 'unet': ref.tensor(f'in{step}_y_unet').long()}
    boxes = []
    for mask in ref.arrays[f'in{step}_box']:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes.append([columns[0], rows[0], len(columns), len(rows)])
    return {'x_w': views('x'), 'y': y, 'u_w': views('u'), 'u_s': views('us'),
            'box': torch.tensor(np.array(boxes))}


class Report:
    """Print each comparison and remember whether all of them held."""

    def __init__(self) -> None:
        self.good = True

    def check(self, name: str, error: float, limit: float, quiet: bool = False) -> None:
        """Compare an error with its limit."""
        fine = bool(np.isfinite(error)) and error <= limit
        self.good &= fine
        if not (quiet and fine):
            print(f'{name:<42} error {error:9.2e}  limit {limit:.0e}  {"ok" if fine else "FAIL"}')

    def relative(self, name: str, got, want, limit: float, **kwargs) -> None:
        """Compare values by their largest relative error."""
        got, want = (np.asarray(x, dtype=np.float64) for x in (got, want))
        self.check(name, float(np.max(np.abs(got - want) / np.maximum(np.abs(want), 1e-12))),
                   limit, **kwargs)


def record(model) -> dict:
    """Let the model's own functions leave what they computed in the returned dict."""
    seen: dict = {}
    teach, unsup, views = model.teach, model.unsup_loss, model.forward_views

    def teach_and_keep(u_w):
        out = teach(u_w)
        seen.update(q_f=out[0], q_c=out[1], alpha=out[2]['unet'], **out[3])
        return out

    def views_and_keep(name, images):
        out = views(name, images)
        if 'u_w' in images:
            seen['student'] = out['u_w'].softmax(1)
        return out

    def unsup_and_keep(batch):
        seen['batch'] = batch
        return unsup(batch)

    model.teach, model.unsup_loss = teach_and_keep, unsup_and_keep
    model.forward_views = views_and_keep
    return seen


def tied(prob: torch.Tensor, margin: float) -> torch.Tensor:
    """Return where (N, H, W) the two highest probabilities differ by less than `margin`."""
    top = prob.topk(2, dim=1).values
    return top[:, 0] - top[:, 1] < margin


def compare_confidences(ref: Reference, step: int, seen: dict, report: Report) -> None:
    """Compare the confidences; after step 0 tied pixels may fall on either side."""
    from mmssl.models.mixing import resize_mask

    limit, slack = 1e-3 if step else 1e-4, LATE_TIES[min(step, 2)]
    low = seen['q_f'].shape[-2:]
    own = tied(seen['q_c'], slack)
    ties = {
        'self_conf': (tied(seen['student'], slack) | own).sum((1, 2)),
        'mutual_conf': tied(seen['q_f'], slack).sum((1, 2))
        + resize_mask(own[:, None].float(), low).sum((1, 2, 3)),
    }
    areas = {'self_conf': (seen['student'], seen['q_c']), 'mutual_conf': (seen['q_f'],)}
    allowed = {}
    for key, count in ties.items():
        total = torch.stack([(p.argmax(1) > 0).sum((1, 2)) for p in areas[key]]).sum(0)
        allowed[key] = (3 * count / (total + 1)).numpy()  # a pixel moves 2|A and B| and |A|+|B|
    values = {key: ref.arrays[f'it{step}_{key}'] for key in PER_IMAGE}
    allowed['alpha'] = (allowed['self_conf'] * values['mutual_conf']
                        + allowed['mutual_conf'] * values['self_conf'])
    for key in PER_IMAGE:
        error = np.abs(np.asarray(seen[key]) - values[key]) - allowed[key]
        report.check(f'step {step} {key} (beyond ties)',
                     float(np.max(np.maximum(error, 0) / values[key])), limit)


def compare_first_step(ref: Reference, seen: dict, model, report: Report) -> None:
    """Compare what the reference holds of step 0 alone: logits, ensemble, targets, gradients."""
    from mmssl.models.methods.synfoc import mix
    from mmssl.models.semi_segmentor import resize_bilinear

    batch, want = seen['batch'], lambda key: ref.tensor(f'it0_{key}')
    for key, got in (('teacher_sam_low_logits', seen['q_f']), ('teacher_unet_logits', seen['q_c'])):
        report.check(key + ' (as probabilities)',
                     (got - want(key).softmax(1)).abs().max().item(), 1e-5)
    for name in ('sam', 'unet'):
        key = f'student_{name}_x_logits'
        got = batch['logits'][name]['x_w'].detach()
        report.check(key, ((got - want(key)).abs().max() / want(key).abs().max()).item(), 1e-4)
    q_f = resize_bilinear(seen['q_f'], seen['q_c'].shape[-2:])
    e = mix(q_f, seen['q_c'], seen['alpha'])
    report.check('ensemble_prob', (e - want('ensemble_prob')).abs().max().item(), 1e-5)
    for name, size in (('sam', 'low'), ('unet', 'unet')):
        prob = resize_bilinear(want('ensemble_prob'), batch['target'][name][0].shape[-2:])
        tie = tied(prob, TIE) | ((prob.amax(1) - ref.cfg['tau']).abs() < TIE)
        label, mask = batch['target'][name]
        wrong = ((label != want(f'pseudo_{size}'))
                 | (mask != want(f'mask_{size}').squeeze(1))) & ~tie
        report.check(f'pseudo-label and mask of {name}, pixels', wrong.sum().item(), 0)
    for name, export in TO_RELEASED.items():
        parameters = dict(model.students[name].named_parameters())
        grads = {k: p.grad for k, p in parameters.items() if p.grad is not None}
        norms = {k: v.norm().item() for k, v in export(grads).items()}
        expected = json.loads(str(ref.arrays[f'grad_{name}']))
        report.check(f'gradients of {name}: names missing', len(expected.keys() - norms.keys()), 0)
        extra = [k for k in norms.keys() - expected.keys() if norms[k] > 1e-7]
        report.check(f'gradients of {name}: names in excess', len(extra), 0)
        worst = max(max(0.0, abs(norms.get(k, 0) - v) - 1e-7) / max(v, 1e-30)
                    for k, v in expected.items())
        report.check(f'gradient norms of {name}', worst, 1e-4)


def compare_final(ref: Reference, model, report: Report) -> None:
    """Compare sum and norm of every tensor of the four networks after the last step."""
    for kind, group in (('student', model.students), ('teacher', model.teachers)):
        for name, export in TO_RELEASED.items():
            skip = ('trunk_fingerprint', '_index')
            got = export({k: v.detach() for k, v in tensors(group[name]).items()
                          if not k.endswith(skip)})
            expected = json.loads(str(ref.arrays[f'final_{kind}_{name}']))
            report.check(f'final {kind} {name}: names missing',
                         len(expected.keys() - got.keys()), 0)
            worst = 0.0
            for key, (total, norm) in expected.items():
                value = got[key].double()
                off = max(abs(value.norm().item() - norm), abs(value.sum().item() - total))
                scale = 1.0 if key.endswith('k_proj.bias') else max(norm, 1e-12)
                worst = max(worst, off / scale)
            report.check(f'final {kind} {name}', worst, 1e-3)


def main() -> int:
    """Run the steps and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('file', help='reference file (.npz)')
    ref, report = Reference(parser.parse_args().file), Report()
    import mmssl.engine.hooks.ema_teacher_hook
    import mmssl.engine.hooks.smc_ensemble_hook
    import mmssl.models  # noqa: F401

    init_default_scope('mmssl')
    model, optim_wrapper, ema = build(ref)
    seen, hub = record(model), MessageHub.get_instance('parity')
    hub.update_info('max_iters', ref.cfg['max_it'])
    steps = len([key for key in ref.arrays.files if key.endswith('_total')])
    for step in range(steps):
        iteration = ref.cfg['iter0'] + step
        hub.update_info('iter', iteration)
        model.train()
        ema.set_mode()
        with optim_wrapper.optim_context(model):
            losses = model.loss(batch_of(ref, step))
        limit = 1e-4 if step == 0 else 1e-3
        compare_confidences(ref, step, seen, report)
        for key in TERMS:
            got = losses['loss' if key == 'total' else key].detach()
            report.relative(f'step {step} {key}', got, ref.arrays[f'it{step}_{key}'], limit)
        if step == 0:
            optim_wrapper.backward(losses['loss'])
            compare_first_step(ref, seen, model, report)
            optim_wrapper.step()
            optim_wrapper.zero_grad()
        else:
            optim_wrapper.update_params(losses['loss'])
        ema.update(iteration)
    compare_final(ref, model, report)
    print('all within the tolerances' if report.good else 'NOT within the tolerances')
    return 0 if report.good else 1


if __name__ == '__main__':
    sys.exit(main())
