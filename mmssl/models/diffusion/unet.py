"""Denoising U-Nets of diffusers: saved, loaded and read block by block.

A trained model is a folder as diffusers writes it (`config.json` and
`diffusion_pytorch_model.safetensors`) with one small file of ours next to them, `mmssl.json`, that
says how it was trained (`input_range`, `image_size`).

diffusers is imported inside the functions because it takes a second.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmssl.models.diffusion.guided_diffusion import build_unet, guided_diffusion_config

__all__ = [
    'block_module',
    'block_outputs',
    'block_shapes',
    'build_unet',
    'check_steps',
    'guided_diffusion_config',
    'load_unet',
    'noise_schedule',
    'num_blocks',
    'read_extra',
    'save_unet',
    'unet_sha256',
]
CONFIG, WEIGHTS, EXTRA = 'config.json', 'diffusion_pytorch_model.safetensors', 'mmssl.json'


def noise_schedule(num_train_timesteps: int = 1000) -> Any:
    """Return the linear schedule of Ho et al. (2020), betas from 1e-4 to 0.02 (DDPMScheduler)."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(
        num_train_timesteps=num_train_timesteps,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule='linear',
        prediction_type='epsilon',
    )


def check_steps(steps: Sequence[int], num_train_timesteps: int = 1000) -> None:
    """Raise a ValueError unless all time steps are within 0 .. num_train_timesteps - 1."""
    wrong = [step for step in steps if not 0 <= step < num_train_timesteps]
    if wrong:
        raise ValueError(
            f'time steps {wrong} are out of range; the schedule has 0 to {num_train_timesteps - 1}'
        )


def load_unet(path: str | Path, in_channels: int | None = None) -> nn.Module:
    """Return a trained `UNet2DModel`, in eval mode and frozen.

    Args:
        path: folder as diffusers writes it, or that of a pipeline with a `unet` folder in it.
        in_channels: channels that the model must have.

    Raises:
        FileNotFoundError: no such folder, or a file is missing in it.
        ValueError: only pickled weights, another kind of network, classes, or other channels.
    """
    from diffusers import UNet2DModel

    folder, config = _read_config(path)
    found = config.get('_class_name', 'UNet2DModel')
    if found != 'UNet2DModel':
        raise ValueError(f'{folder / CONFIG} describes a {found}; needed is a UNet2DModel')
    if config.get('class_embed_type') or config.get('num_class_embeds'):
        raise ValueError(
            f'the diffusion model in {folder} needs class labels; train or convert '
            'one without classes'
        )
    if in_channels is not None and config.get('in_channels', 3) != in_channels:
        raise ValueError(
            f'the diffusion model in {folder} takes {config.get("in_channels", 3)} channels, but '
            f'the images have {in_channels}; train or convert one with in_channels={in_channels}'
        )
    try:
        unet, info = UNet2DModel.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError) as error:
        text = ' '.join(str(error).split())[:300]
        raise ValueError(f'{folder / WEIGHTS} cannot be loaded: {text}') from error
    for kind in ('missing', 'unexpected', 'mismatched'):
        if keys := info[f'{kind}_keys']:
            raise ValueError(
                f'{folder / WEIGHTS} does not fit its {CONFIG}: {len(keys)} {kind} '
                f'tensors, the first is {keys[0]}'
            )
    return unet.eval().requires_grad_(False)


def _read_config(path: str | Path) -> tuple[Path, dict]:
    """Return the folder of the model and its config, having looked for both files."""
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(
            f'There is no diffusion model in {folder} (a folder with {CONFIG} and {WEIGHTS}); '
            'train one with configs/mcsd/ddpm_*.py or convert one with '
            'tools/model_converters/guided_diffusion_to_diffusers.py'
        )
    if not (folder / CONFIG).exists() and (folder / 'unet' / CONFIG).exists():
        folder = folder / 'unet'
    if not (folder / CONFIG).exists():
        raise FileNotFoundError(f'{folder} has no {CONFIG}; is it a folder of diffusers?')
    if not (folder / WEIGHTS).exists():
        pickled = sorted(f.name for kind in ('*.bin', '*.pt', '*.pth') for f in folder.glob(kind))
        if pickled:
            raise ValueError(
                f'{folder} has its weights only as pickle ({pickled[0]}), which can run code when '
                f'loaded; save them as {WEIGHTS} (unet.save_pretrained(folder))'
            )
        raise FileNotFoundError(f'{folder} has no {WEIGHTS}')
    try:
        return folder, json.loads((folder / CONFIG).read_text())
    except ValueError as error:
        raise ValueError(f'{folder / CONFIG} is not JSON: {error}') from None


def read_extra(path: str | Path) -> dict:
    """Return what `mmssl.json` says of a model; empty where the file does not exist."""
    file = _read_config(path)[0] / EXTRA
    return json.loads(file.read_text()) if file.exists() else {}


def save_unet(unet: Any, path: str | Path, extra: Mapping[str, Any]) -> None:
    """Write a model as a folder of diffusers, with `extra` as its `mmssl.json`.

    All files are written and flushed in a folder next to it and then moved in one by one, the
    weights after the config, so no reader meets half a file and a full disk leaves the old model.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.tmp')
    shutil.rmtree(temporary, ignore_errors=True)  # what a dead run left
    try:
        unet.save_pretrained(temporary, safe_serialization=True, max_shard_size='1TB')
        (temporary / EXTRA).write_text(json.dumps(dict(extra), indent=2) + '\n')
        for file in temporary.iterdir():
            with open(file, 'rb') as handle:
                os.fsync(handle.fileno())
            file.chmod(0o644)
        path.mkdir(exist_ok=True)
        for name in (CONFIG, WEIGHTS, EXTRA):
            os.replace(temporary / name, path / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def unet_sha256(path: str | Path) -> str:
    """Return the hex digest of a model: its architecture and its weights."""
    folder, config = _read_config(path)
    plain = {k: v for k, v in config.items() if not k.startswith('_')}
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    with open(folder / WEIGHTS, 'rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def num_blocks(unet: Any) -> int:
    """Return the number of output blocks in guided-diffusion's numbering."""
    return sum(len(block.resnets) for block in unet.up_blocks)


def block_module(unet: Any, index: int) -> nn.Module:
    """Return the module whose output is that of output block `index` of guided-diffusion.

    There an output block is a residual block with the attention and the up-sampler after it, if
    any; diffusers has `layers_per_block + 1` of them in each of its `up_blocks`.

    Raises:
        ValueError: if there is no such block, or it is of a kind that guided-diffusion has not.
    """
    total = num_blocks(unet)
    if not 0 <= index < total:
        raise ValueError(
            f'block {index} is out of range; the model has the output blocks 0 to {total - 1}'
        )
    level, layer = divmod(index, len(unet.up_blocks[0].resnets))
    block = unet.up_blocks[level]
    if layer == len(block.resnets) - 1 and getattr(block, 'upsamplers', None):
        return block.upsamplers[-1]
    attentions = getattr(block, 'attentions', None) or block.resnets
    if len(attentions) != len(block.resnets):
        raise ValueError(
            f'block {index} is in a {type(block).__name__}, whose layers are not '
            "those of guided-diffusion's output blocks; use another block or model"
        )
    return attentions[layer]


class _Enough(Exception):
    """Stop a forward pass: the last wanted block is done."""


@torch.no_grad()
def block_outputs(unet: Any, x_t: Tensor, t: Tensor | int, blocks: Sequence[int]) -> list[Tensor]:
    """Return the activations of output blocks, in the order of `blocks`.

    The pass ends with the highest of them.

    Args:
        unet: the model.
        x_t: noisy images (N, C, S, S).
        t: time step of each image (N,), or one for all.
        blocks: indices in guided-diffusion's numbering, see `block_module`.
    """
    kept: dict[int, Tensor] = {}
    last = max(blocks)

    def keep(index: int):
        def hook(module, args, output) -> None:
            kept[index] = output
            if index == last:
                raise _Enough

        return hook

    hooks = [block_module(unet, i).register_forward_hook(keep(i)) for i in set(blocks)]
    try:
        unet(x_t, t)
    except _Enough:
        pass
    finally:
        for handle in hooks:
            handle.remove()
    return [kept[i] for i in blocks]


def block_shapes(
    unet: Any, image_size: int, blocks: Sequence[int] | None = None
) -> dict[int, tuple[int, int, int]]:
    """Return (channels, height, width) of output blocks without computing or allocating anything.

    Args:
        unet: the model or the arguments of one.
        image_size: side of the images in pixels.
        blocks: indices of the blocks; all by default.
    """
    config = dict(unet if isinstance(unet, Mapping) else unet.config)
    with torch.device('meta'):
        model: Any = build_unet(config).eval()
        image = torch.empty(1, model.config.in_channels, image_size, image_size)
        step = torch.zeros(1)
    blocks = list(range(num_blocks(model))) if blocks is None else list(blocks)
    outputs = block_outputs(model, image, step, blocks)
    shapes = {}
    for i, x in zip(blocks, outputs, strict=True):
        channels, height, width = x.shape[1:]
        shapes[i] = channels, height, width
    return shapes
