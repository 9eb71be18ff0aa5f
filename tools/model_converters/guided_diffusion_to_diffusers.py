r"""Turn a checkpoint of guided-diffusion (or of a code made from it) into a folder of diffusers.

The shape of the network is not in the checkpoint; give the flags it was trained with. Examples:

  MCSD's extractor (1 channel, 256 px, base 256, 4 heads, attention at 16 and 8 px):
    python tools/model_converters/guided_diffusion_to_diffusers.py ema.pt work_dirs/ddpm/unet
  The 256-px models of guided-diffusion (64 channels a head, residual up and down, learned sigma):
    python tools/model_converters/guided_diffusion_to_diffusers.py lsun_horse.pt OUT \
        --variant yaml --learn-sigma

An option that is not given is the variant's. Learned variances are dropped: features and samples
need the mean alone. The result is read by `DiffusionFeatureNeck` and by
`diffusers.UNet2DModel.from_pretrained(OUT)`.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from mmssl.models.diffusion.unet import build_unet, guided_diffusion_config, save_unet
from mmssl.models.weights import load_tensors
from mmssl.utils.cli import Parser, run

RESNET = {
    'in_layers.0': 'norm1',
    'in_layers.2': 'conv1',
    'emb_layers.1': 'time_emb_proj',
    'out_layers.0': 'norm2',
    'out_layers.3': 'conv2',
    'skip_connection': 'conv_shortcut',
}
ATTENTION = {'norm': 'group_norm', 'qkv': 'qkv', 'proj_out': 'to_out.0'}


def block_names(unet: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield guided-diffusion's and diffusers' names of all residual blocks, attentions, layers."""
    yield from {
        'time_embed.0': 'time_embedding.linear_1',
        'time_embed.2': 'time_embedding.linear_2',
        'input_blocks.0.0': 'conv_in',
        'middle_block.0': 'mid_block.resnets.0',
        'middle_block.1': 'mid_block.attentions.0',
        'middle_block.2': 'mid_block.resnets.1',
        'out.0': 'conv_norm_out',
        'out.2': 'conv_out',
    }.items()
    number = 1
    for level, block in enumerate(unet.down_blocks):
        own = f'down_blocks.{level}'
        for layer in range(len(block.resnets)):
            yield f'input_blocks.{number}.0', f'{own}.resnets.{layer}'
            if hasattr(block, 'attentions'):
                yield f'input_blocks.{number}.1', f'{own}.attentions.{layer}'
            number += 1
        if block.downsamplers is not None:
            plain = hasattr(block.downsamplers[0], 'conv')
            yield (
                f'input_blocks.{number}.0' + '.op' * plain,
                f'{own}.downsamplers.0' + '.conv' * plain,
            )
            number += 1
    number = 0
    for level, block in enumerate(unet.up_blocks):
        own, attends = f'up_blocks.{level}', hasattr(block, 'attentions')
        for layer in range(len(block.resnets)):
            yield f'output_blocks.{number}.0', f'{own}.resnets.{layer}'
            if attends:
                yield f'output_blocks.{number}.1', f'{own}.attentions.{layer}'
            number += 1
        if block.upsamplers is not None:
            plain = hasattr(block.upsamplers[0], 'conv')
            yield (
                f'output_blocks.{number - 1}.{1 + attends}' + '.conv' * plain,
                f'{own}.upsamplers.0' + '.conv' * plain,
            )


def layer_names(unet: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield guided-diffusion's name and diffusers' name of every layer with parameters."""
    for theirs, own in block_names(unet):
        module = unet.get_submodule(own)
        inner = (
            RESNET
            if hasattr(module, 'time_emb_proj')
            else (ATTENTION if hasattr(module, 'to_q') else {'': ''})
        )
        for a, b in inner.items():
            if b != 'conv_shortcut' or module.conv_shortcut is not None:
                yield f'{theirs}.{a}'.rstrip('.'), f'{own}.{b}'.rstrip('.')


def split_qkv(x: Tensor, head_width: int, new_order: bool) -> dict[str, Tensor]:
    """Return the rows of query, key and value of a joint projection (3 C, ...).

    Args:
        x: weight or bias.
        head_width: channels of a head.
        new_order: rows are (3, heads, width), as with `use_new_attention_order`; otherwise
            (heads, 3, width).
    """
    channels = len(x) // 3
    heads = channels // head_width
    split = (
        x.view(3, heads, head_width, -1)
        if new_order
        else (x.view(heads, 3, head_width, -1).transpose(0, 1))
    )
    return {
        name: part.reshape(channels, *x.shape[1:2])
        for name, part in zip(('to_q', 'to_k', 'to_v'), split, strict=True)
    }


def convert(
    state: dict[str, Tensor], config: dict, new_order: bool = False, learn_sigma: bool = False
) -> nn.Module:
    """Return the `UNet2DModel` with a checkpoint's weights.

    Args:
        state: guided-diffusion's state dict.
        config: of `guided_diffusion_config`, with the flags the checkpoint was trained with.
        new_order: the checkpoint was trained with `use_new_attention_order`.
        learn_sigma: it has outputs for the variances, behind those for the mean; they are dropped.

    Raises:
        ValueError: a tensor is missing, left over, or of another shape.
    """
    unet = build_unet(config)
    own, left = {}, dict(state)
    for theirs, ours in layer_names(unet):
        for kind in ('weight', 'bias'):
            if (name := f'{theirs}.{kind}') not in left:
                raise ValueError(f'the checkpoint has no tensor "{name}" (for {ours}); {HINT}')
            value = left.pop(name).float()
            if theirs == 'out.2':
                value = _mean_outputs(value, config['out_channels'], learn_sigma)
            if ours.endswith('.qkv'):
                parts = split_qkv(value, config['attention_head_dim'], new_order)
                own.update({f'{ours[:-3]}{part}.{kind}': x for part, x in parts.items()})
            else:
                own[f'{ours}.{kind}'] = value.squeeze(-1) if ours.endswith('to_out.0') else value
    if left:
        raise ValueError(
            f'{len(left)} tensors of the checkpoint have no place in the network, '
            f'the first is "{min(left)}"; {HINT}'
        )
    needed = unet.state_dict()
    for name, value in own.items():
        if value.shape != needed[name].shape:
            raise ValueError(
                f'{name} is {tuple(value.shape)} in the checkpoint, but the network '
                f'needs {tuple(needed[name].shape)}; {HINT}'
            )
    unet.load_state_dict(own)
    return unet


HINT = (
    'compare --base-channels, --multipliers, --num-res-blocks, --attention and '
    '--resblock-updown with the flags of the training'
)


def _mean_outputs(x: Tensor, channels: int, learn_sigma: bool) -> Tensor:
    """Return the rows of the last layer that give the mean."""
    if learn_sigma and len(x) < 2 * channels:
        raise ValueError(
            f'--learn-sigma needs at least {2 * channels} output channels, the '
            f'checkpoint has {len(x)}; leave it out'
        )
    if not learn_sigma and len(x) > channels:
        raise ValueError(
            f'the checkpoint has {len(x)} output channels for images of {channels}; '
            'if it was trained with learned variances, add --learn-sigma'
        )
    return x[:channels]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    head, _, rest = __doc__.partition('\n\n')
    parser = Parser(
        description=head, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('checkpoint', type=Path, metavar='CKPT', help='file of guided-diffusion, better an ema_*')
    add('out', type=Path, metavar='OUT_DIR', help='folder to write')
    add('--variant', choices=('effective', 'yaml'), default='effective')
    add('--base-channels', type=int, default=256, help='num_channels there (default: 256)')
    add('--image-size', type=int, default=256, help='pixels (default: 256)')
    add(
        '--multipliers',
        type=int,
        nargs='+',
        default=(1, 1, 2, 2, 4, 4),
        metavar='M',
        help='channel_mult (default: 1 1 2 2 4 4)',
    )
    add('--attention', type=int, nargs='+', metavar='PX', help='attention_resolutions in pixels')
    add('--num-res-blocks', type=int, help='residual blocks of a level (default: 2)')
    heads = parser.add_mutually_exclusive_group()
    heads.add_argument('--num-heads', type=int)
    heads.add_argument('--num-head-channels', type=int, dest='head_channels')
    flag = argparse.BooleanOptionalAction
    add('--resblock-updown', action=flag, help='residual blocks between the levels')
    add('--scale-shift', action=flag, help='use_scale_shift_norm (default: yes)')
    add('--learn-sigma', action='store_true', help='the checkpoint has learned variances')
    add('--new-attention-order', action='store_true', help='use_new_attention_order')
    add(
        '--input-range',
        type=float,
        nargs=2,
        default=(-1.0, 1.0),
        metavar=('LOW', 'HIGH'),
        help='values of black and white in its training (default: -1 1)',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Convert a checkpoint and return the exit status."""
    args = parse_args(argv)
    names = (
        'attention',
        'num_res_blocks',
        'num_heads',
        'head_channels',
        'resblock_updown',
        'scale_shift',
    )
    options = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    try:
        state = load_tensors(args.checkpoint)
        if 'input_blocks.0.0.weight' not in state:
            raise ValueError(
                f'{args.checkpoint} is no checkpoint of guided-diffusion: it has no '
                f'tensor "input_blocks.0.0.weight" (the first is "{min(state)}")'
            )
        config = guided_diffusion_config(
            args.base_channels,
            args.image_size,
            args.multipliers,
            args.variant,
            in_channels=state['input_blocks.0.0.weight'].shape[1],
            **options,
        )
        with torch.no_grad():
            unet = convert(state, config, args.new_attention_order, args.learn_sigma)
        save_unet(
            unet,
            args.out,
            dict(
                input_range=list(args.input_range),
                image_size=args.image_size,
                num_train_timesteps=1000,
                prediction_type='epsilon',
                converted_from=args.checkpoint.name,
            ),
        )
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    total = sum(p.numel() for p in unet.parameters())
    print(f'{args.out}: {len(state)} tensors read, {total:,} parameters written')
    return 0


if __name__ == '__main__':
    run(main)
