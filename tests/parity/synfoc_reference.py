"""The model, the weights and the inputs of a SynFoC reference, built by mmssl's own classes."""

import json

import numpy as np
import torch

from mmssl.models.sam.released_names import sam_from_released, unet_from_released
from tests.parity.recipe import normal, recipe, single
from tests.parity.released_names import sam_to_released, unet_to_released

FROM_RELEASED = {'sam': sam_from_released, 'unet': unet_from_released}
TO_RELEASED = {'sam': sam_to_released, 'unet': unet_to_released}


class Reference:
    """One reference file: configuration, shapes and arrays."""

    def __init__(self, path: str) -> None:
        self.arrays = np.load(path)
        self.cfg = json.loads(str(self.arrays['cfg']))
        self.precision = self.cfg.get('dtype', 'float32')
        self.shapes = {
            k: {n: tuple(s) for n, s in v.items()}
            for k, v in json.loads(str(self.arrays['shapes'])).items()
        }

    def tensor(self, key: str) -> torch.Tensor:
        """Return an array as a tensor."""
        return torch.from_numpy(np.asarray(self.arrays[key]))

    def weights(self, network: str, role: str = '') -> dict[str, torch.Tensor]:
        """Return the recipe's weights of `sam` or `unet`, student or `_teacher`."""
        salt = f'{self.cfg["case"]}/{network}{role}'
        draw = normal if self.precision == 'float64' else single
        shapes = self.shapes[network]
        return {name: recipe(name, shape, salt, draw) for name, shape in shapes.items()}


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
        global_blocks=tuple(
            i for i in range(depth) if sam[block.format(i, 'rel_pos_h')][0] != local
        ),
    )
    classes, grid = cfg['ncls'] + 1, cfg['img'] // 16
    base = ref.shapes['unet']['inc.double_conv.0.weight'][0]
    return dict(
        type='SynFoC',
        students=dict(
            sam=dict(
                type='EncoderDecoder',
                backbone=dict(
                    type='LoRAMedSAM',
                    arch=arch,
                    img_size=cfg['img'],
                    checkpoint=None,
                    rank=sam[block.format(0, 'qkv.linear_a_q.weight')][0],
                ),
                decode_head=dict(
                    type='SAMMaskHead', num_classes=classes, img_size=cfg['img'], checkpoint=None
                ),
            ),
            unet=dict(
                type='EncoderDecoder',
                backbone=dict(type='UNet', in_channels=cfg['ch'], base_channels=base),
                decode_head=dict(
                    type='FCNHead',
                    num_convs=0,
                    in_channels=base,
                    channels=base,
                    concat_input=False,
                    dropout_ratio=0,
                    init_cfg=None,
                    num_classes=classes,
                ),
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
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type='MultiOptimWrapperConstructor',
            optim_wrapper_cfg=dict(
                type='MultiOptimWrapper',
                optimizers=dict(
                    sam=dict(type='AdamW', lr=0.03 / 250, betas=(0.9, 0.999), weight_decay=0.1),
                    unet=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4),
                ),
            ),
        )
    )
    ema = HOOKS.build(dict(type='EMATeacherHook'))
    ema.pair(model)
    HOOKS.build(dict(type='SMCEnsembleHook')).attach(model)
    return model, constructor(model), ema


def batch_of(ref: Reference, step: int) -> dict:
    """Return the views of one step, at both networks' sizes."""

    def views(name: str) -> dict[str, torch.Tensor]:
        return {
            'sam': ref.tensor(f'in{step}_{name}').float(),
            'unet': ref.tensor(f'in{step}_{name}_unet').float(),
        }

    y = {'sam': ref.tensor(f'in{step}_y_low').long(), 'unet': ref.tensor(f'in{step}_y_unet').long()}
    boxes = []
    for mask in ref.arrays[f'in{step}_box']:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes.append([columns[0], rows[0], len(columns), len(rows)])
    return {
        'x_w': views('x'),
        'y': y,
        'u_w': views('u'),
        'u_s': views('us'),
        'box': torch.tensor(np.array(boxes)),
    }


def record(model) -> dict:
    """Let the model's own functions leave what they computed in the returned dict."""
    seen: dict = {}
    teach, unsup, views = model.teach, model.unsup_loss, model.forward_views

    def teach_and_keep(u_w, step):
        out = teach(u_w, step)
        seen.update(q_f=out[0], q_c=out[1], alpha=out[2]['unet'], **out[3])
        return out

    def views_and_keep(name, images):
        out = views(name, images)
        if 'u_w' in images:
            seen['student'] = out['u_w'].softmax(1)
        return out

    def unsup_and_keep(batch, logits, targets, step):
        seen['batch'] = dict(logits=logits, target=targets[0])
        return unsup(batch, logits, targets, step)

    model.teach, model.unsup_loss = teach_and_keep, unsup_and_keep
    model.forward_views = views_and_keep
    return seen
