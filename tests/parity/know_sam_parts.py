"""What the references of KnowSAM and SC-SAM have in common with what is compared to them."""

import re

import torch
import torch.nn.functional as F

from tests.parity.recipe import recipe, unit

SIDE, CLASSES, LABELLED, SALT = 64, 4, 2, 'know_sam'
ARGS = dict(
    num_classes=CLASSES,
    in_channels=3,
    lr=0.0,
    UNet_lr=0.0,
    image_size=SIDE,
    point_nums=5,
    box_nums=1,
    mod='sam_adpt',
    model_type='vit_b',
    thd=False,
    batch_size=2 * LABELLED,
    labeled_bs=LABELLED,
    mixed_iterations=6,
    max_iterations=10,
    consistency=0.1,
    consistency_rampup=5.0,
    device='cpu',
    multimask=False,
)


def labels() -> torch.Tensor:
    """Return labels (N, H, W) of 8 px blocks, those of the unlabelled images too."""
    blocks = unit('labels', (2 * LABELLED, SIDE // 8, SIDE // 8), SALT)
    classes = (blocks > 0).long() + 2 * (blocks.abs() > 0.1).long()
    return classes.repeat_interleave(8, 1).repeat_interleave(8, 2)


def images() -> torch.Tensor:
    """Return images (N, 3, H, W) that are their labels with noise."""
    noise = unit('images', (2 * LABELLED, 3, SIDE, SIDE), SALT)
    return (labels()[:, None] / 4 + 0.1 + 0.1 * noise).clamp(0, 1)


UP = dict(five=0, six=1, seven=2, eight=3, nine=4)
LEVELS = dict(one=0, two=1, three=2, four=3, five=4)
FUSION = dict(ambiguous='agreement', entmap='certainty', logits='logits', final='last')
ADAPTERS = dict(Space_Adapter='adapter_after', MLP_Adapter='adapter_beside')
FC = {'1': 0, '2': 2}
NETWORKS = (
    (r'UNet\.in_conv\.conv_conv', lambda m: 'students.unet.backbone.levels.0'),
    (
        r'UNet\.down(\d)\.maxpool_conv\.1\.conv_conv',
        lambda m: f'students.unet.backbone.levels.{m[1]}',
    ),
    (r'UNet\.up(\d)\.up', lambda m: f'students.unet.decode_head.reduce.{int(m[1]) - 1}'),
    (
        r'UNet\.up(\d)\.conv\.conv_conv',
        lambda m: f'students.unet.decode_head.convs.{int(m[1]) - 1}',
    ),
    (r'([UV])Net\.out_conv', lambda m: f'students.{m[1].lower()}net.decode_head.conv_seg'),
    (
        r'VNet\.block_(one|two|three|four|five)\.conv\.(\d)',  # no norm there, but its place here
        lambda m: f'students.vnet.backbone.levels.{LEVELS[m[1]]}.{int(m[2]) // 2 * 3}',
    ),
    (
        r'VNet\.block_(\w+)_dw\.conv\.0',
        lambda m: f'students.vnet.backbone.downs.{LEVELS[m[1]]}.0',
    ),
    (
        r'VNet\.block_(\w+)_up\.conv\.0',
        lambda m: f'students.vnet.decode_head.ups.{UP[m[1]]}.conv',
    ),
    (
        r'VNet\.block_(\w+)\.conv\.(\d)',
        lambda m: f'students.vnet.decode_head.convs.{UP[m[1]] - 1}.{int(m[2]) // 2 * 3}',
    ),
    (r'Discriminator\.(\w+)_conv', lambda m: f'fusion.{FUSION[m[1]]}'),
)
SAM = (
    (
        r'image_encoder\.(blocks\.\d+)\.Space_Adapter\.D_fc(\d)',
        lambda m: f'backbone.trunk.{m[1]}.attn.proj.adapter_after.{FC[m[2]]}',
    ),
    (
        r'image_encoder\.(blocks\.\d+)\.MLP_Adapter\.D_fc(\d)',
        lambda m: f'backbone.trunk.{m[1]}.mlp.adapter_beside.{FC[m[2]]}',
    ),
    (r'image_encoder\.(.*)\.attn\.proj', r'backbone.trunk.\1.attn.proj.base_layer'),
    (r'image_encoder\.(.*)\.mlp', r'backbone.trunk.\1.mlp.base_layer'),
    (r'image_encoder\.', 'backbone.trunk.'),
    (
        r'mask_decoder\.transformer\.layers\.(\d)\.(Space_Adapter|MLP_Adapter)\.D_fc(\d)',
        lambda m: f'decode_head.mask_decoder.transformer.{ADAPTERS[m[2]]}.{m[1]}.{FC[m[3]]}',
    ),
    (
        r'mask_decoder\.transformer\.Space_Adapter\.D_fc(\d)',
        lambda m: f'decode_head.mask_decoder.transformer.adapter_end.{FC[m[1]]}',
    ),
    (
        r'mask_decoder\.transformer\.(layers\.\d)\.mlp\.(layers\.0\.0|fc)',
        lambda m: (
            f'decode_head.mask_decoder.transformer.base_layer.{m[1]}.mlp.'
            f'{"lin2" if m[2] == "fc" else "lin1"}'
        ),
    ),
    (r'mask_decoder\.transformer\.', 'decode_head.mask_decoder.transformer.base_layer.'),
    (r'(mask_decoder|prompt_encoder)\.', r'decode_head.\1.'),
    (
        r'super_prompt\.box_decoder\.(\d)\.(conv|down)_(\d)(?:\.maxpool_conv\.1)?\.conv_conv',
        lambda m: f'decode_head.box_tokens.{m[1]}.convs.{2 * int(m[3]) - 2 + (m[2] == "down")}',
    ),
    (r'super_prompt\.box_decoder\.(\d)\.conv_3', r'decode_head.box_tokens.\1.last'),
    (r'super_prompt\.box_decoder\.(\d)\.ffn', r'decode_head.box_tokens.\1.tokens'),
)
UNUSED = ('Depth_Adapter', 'transformer.MLP_Adapter')  # built there, and never called


def our_name(part: str, name: str) -> str | None:
    """Return what a tensor of the released `sam` or `SGDL` is called; None if it has no place."""
    if any(unused in name for unused in UNUSED):
        return None
    for pattern, new in SAM if part == 'sam' else NETWORKS:
        renamed, count = re.subn(f'^{pattern}', new, name)
        if count:
            return f'students.sam.{renamed}' if part == 'sam' else renamed
    raise ValueError(f'{part}.{name} has no name here')


def our_weights(shapes: dict[str, dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Return the recipe's weights of the released networks under our names."""
    found = {}
    for part, of_part in shapes.items():
        for name, shape in of_part.items():
            value, new = recipe(name, tuple(shape), SALT), our_name(part, name)
            if new is None:
                continue
            if name.endswith('pos_embed'):  # made smaller in every pass there
                side = SIDE // 16
                value = F.interpolate(value.permute(0, 3, 1, 2), (side, side), mode='bicubic')
                value = value.permute(0, 2, 3, 1)
            if '.attn.qkv.' in new:
                for letter, rows in zip('qkv', value.chunk(3), strict=True):
                    found[new.replace('.qkv.', f'.{letter}.')] = rows
            else:
                found[new] = value
    return found


def network(kind: str) -> dict:
    """Return the config of a released network without dropout: `unet`, `vnet` or `sam`."""
    if kind == 'unet':
        return dict(
            type='EncoderDecoder',
            backbone=dict(type='UNetEncoder', in_channels=3, dropout=(0.0,) * 5),
            decode_head=dict(type='UNetDecoderHead', num_classes=CLASSES, upsample='transposed'),
        )
    if kind == 'vnet':
        plain = dict(axes=2, dropout=0.0, norm_cfg=dict(type='none'))
        return dict(
            type='EncoderDecoder',
            backbone=dict(type='VNetEncoder', in_channels=3, early_skips=True, **plain),
            decode_head=dict(type='VNetDecoderHead', num_classes=CLASSES, **plain),
        )
    common = dict(
        arch=dict(embed_dims=32, depth=3, num_heads=2, global_blocks=(1,)),
        img_size=SIDE,
        checkpoint=None,
        released_quirks=True,
    )
    return dict(
        type='EncoderDecoder',
        backbone=dict(type='AdapterMedSAM', **common),
        decode_head=dict(type='LearnedPromptHead', num_classes=CLASSES, dropout=0.0, **common),
    )


def fill(model: torch.nn.Module, shapes: dict[str, dict[str, list[int]]]) -> None:
    """Give a model the recipe's weights; fail if a tensor that is trained or used gets none."""
    model.init_weights()
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    weights = our_weights(shapes)
    missing = {name for name, p in model.named_parameters() if p.requires_grad} - set(weights)
    assert not missing, missing
    for name, value in weights.items():
        own[name].data.copy_(value)


def batch_of(students: tuple[str, ...]) -> dict:
    """Return the images and labels, the same for all students."""
    x, y = images(), labels()
    views = dict(x_w=x[:LABELLED], u_w=x[LABELLED:], y=y[:LABELLED])
    return {view: {name: value for name in students} for view, value in views.items()}
