"""What diffusion features are made of, and the frozen denoiser that gives them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmssl.models.diffusion.unet import (
    _read_config,
    block_outputs,
    block_shapes,
    check_steps,
    load_unet,
    noise_schedule,
    read_extra,
    unet_sha256,
)


@dataclass(frozen=True)
class FeatureSpec:
    """All that decides what a slice's feature maps are, but for the model's weights.

    The maps are in step-major order: all blocks of the first step, then those of the second.

    Attributes:
        steps: time steps of the noise.
        blocks: output blocks in guided-diffusion's numbering.
        noise_seed: seed of the noise, one tensor for all images and steps.
        image_size: side of the images in pixels.
        input_range: grey values that the model takes for black and white.
        in_channels: channels of the images.
        shapes: (channels, height, width) of each block's activation.
        timesteps: number of steps of the noise schedule.
        interpolation: how a map is brought to the image's size.
    """

    steps: tuple[int, ...]
    blocks: tuple[int, ...]
    noise_seed: int
    image_size: int
    input_range: tuple[float, float]
    in_channels: int
    shapes: tuple[tuple[int, int, int], ...]
    timesteps: int = 1000
    interpolation: str = 'bilinear'

    @classmethod
    def of_model(
        cls,
        path: str | Path,
        steps: Sequence[int],
        blocks: Sequence[int],
        noise_seed: int = 0,
        image_size: int | None = None,
        input_range: Sequence[float] | None = None,
    ) -> 'FeatureSpec':
        """Describe the features of a trained model from its small files; no weights are read.

        Args:
            path: the model's folder.
            steps: time steps.
            blocks: output blocks.
            noise_seed: seed of the noise.
            image_size: side in pixels; None takes the one it was trained with.
            input_range: for a model that does not say its range; (-1, 1) by default.

        Raises:
            FileNotFoundError: there is no model.
            ValueError: a step or block that it does not have, an image size that its levels do
                not divide, or another input range than the model's own.
        """
        folder, config = _read_config(path)
        extra = read_extra(path)
        _check_choice('steps', steps)
        _check_choice('blocks', blocks)
        timesteps = extra.get('num_train_timesteps', cls.timesteps)
        check_steps(steps, timesteps)
        size = image_size or extra.get('image_size') or config.get('sample_size')
        if not isinstance(size, int):
            raise ValueError(
                f'{folder} does not say for which image size it was trained; '
                'set image_size in the neck.'
            )
        unit = 2 ** (len(config['block_out_channels']) - 1)
        if size % unit:
            raise ValueError(
                f'image_size={size} is not divisible by {unit}, as the '
                f'{len(config["block_out_channels"])} levels of {folder} need.'
            )
        shapes = block_shapes(config, size, blocks)
        return cls(
            tuple(steps), tuple(blocks), noise_seed, size,
            _own_range(folder, extra.get('input_range'), input_range),
            config.get('in_channels', 3), tuple(shapes[block] for block in blocks), timesteps,
        )  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping) -> 'FeatureSpec':
        """Make a description from what `to_dict` gave; other entries are left aside."""
        return cls(**{f.name: _as_tuple(values[f.name]) for f in fields(cls)})

    def to_dict(self) -> dict:
        """Return plain values as JSON has them."""
        return {name: _as_list(value) for name, value in asdict(self).items()}

    @property
    def map_shapes(self) -> list[tuple[int, int, int]]:
        """Shape (channels, height, width) of every map, in order."""
        return list(self.shapes) * len(self.steps)

    @property
    def channels(self) -> list[int]:
        """Channels of every map, in order."""
        return [shape[0] for shape in self.map_shapes]

    @property
    def length(self) -> int:
        """Numbers in all maps of a slice."""
        return sum(c * h * w for c, h, w in self.map_shapes)

    def split(self, flat: Tensor) -> list[Tensor]:
        """Turn vectors (N, L) into maps (N, c, h, w).

        Raises:
            ValueError: the vectors have another length.
        """
        if flat.ndim != 2 or flat.shape[1] != self.length:
            raise ValueError(
                f'Cached maps have shape {tuple(flat.shape)}, (N, {self.length}) is needed for '
                f'steps {list(self.steps)} and blocks {list(self.blocks)}: let '
                'LoadDiffusionFeatures and model.neck have the same cache_dir.'
            )
        lengths = [c * h * w for c, h, w in self.map_shapes]
        parts = flat.split(lengths, dim=1)
        return [p.unflatten(1, shape) for p, shape in zip(parts, self.map_shapes, strict=True)]


def join_maps(maps: Sequence[Tensor]) -> Tensor:
    """Turn maps (N, c, h, w) into vectors (N, L) of half precision, as a cache keeps them."""
    largest = torch.finfo(torch.float16).max
    return torch.cat([m.flatten(1) for m in maps], 1).clamp(-largest, largest).half()


def differences(found: Mapping, wanted: Mapping) -> str:
    """Say in which entries two descriptions differ; entries that are None are not compared.

    Example:
        >>> differences(dict(steps=[50], blocks=[2]), dict(steps=[50, 150], blocks=None))
        'steps [50], not [50, 150]'
    """
    return ', '.join(
        f'{key} {_short(found[key])}, not {_short(value)}'
        for key, value in wanted.items()
        if value is not None and found.get(key) is not None and _as_list(value) != found[key]
    )


def _short(value) -> str:
    text = f'{_as_list(value)}'
    return f'{text[:12]}...' if isinstance(value, str) and len(text) > 16 else text


def fixed_noise(channels: int, size: int, seed: int) -> Tensor:
    """Return the standard normal noise (1, C, S, S) of a seed, the same on every device."""
    generator = torch.Generator('cpu').manual_seed(seed)
    return torch.randn((1, channels, size, size), generator=generator, device='cpu')


class FrozenDenoiser:
    """A trained denoiser from which activations are read; no module of anything, never trained.

    The weights are read on the first call, stay in eval mode and follow their input to its
    device. Copies share it; a pickled one reads the weights again.

    Args:
        path: the model's folder.
        spec: which activations.
    """

    def __init__(self, path: str | Path, spec: FeatureSpec) -> None:
        self.path = path
        self.spec = spec
        self._sha256: str | None = None
        self._unet: Any = None
        self._constants: tuple[Tensor, ...] = ()

    @property
    def sha256(self) -> str:
        """Digest of the model's architecture and weights."""
        if self._sha256 is None:
            self._sha256 = unet_sha256(self.path)
        return self._sha256

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """Return the maps (N, c, h, w) in float32, step-major.

        One pass over all steps: x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps.

        Args:
            images: (N, C, S, S) in [0, 1].

        Raises:
            ValueError: other channels or another size than the model's.
        """
        self._check(images)
        with torch.inference_mode(False):
            self._move(images.device)
        noise, steps, signal, sigma = self._constants
        low, high = self.spec.input_range
        x = images.float() * (high - low) + low
        x_t = (signal * x + sigma * noise).flatten(0, 1)  # (steps * N, C, S, S)
        t = steps[:, None].expand(-1, images.shape[0]).flatten()
        outputs = [
            y.float().unflatten(0, (len(self.spec.steps), images.shape[0]))
            for y in block_outputs(self._unet, x_t, t, self.spec.blocks)
        ]
        return [y[k] for k in range(len(self.spec.steps)) for y in outputs]

    def _check(self, images: Tensor) -> None:
        size, channels = self.spec.image_size, self.spec.in_channels
        if images.shape[1] != channels:
            raise ValueError(
                f'The diffusion model in {self.path} takes {channels} channels, the images have '
                f'{images.shape[1]}: train one on such images.'
            )
        if images.shape[-2:] != (size, size):
            raise ValueError(
                f'The diffusion features are of images of {size}x{size} pixels, got '
                f'{tuple(images.shape[-2:])}: resize the images or set image_size in the neck.'
            )

    def _move(self, device: torch.device) -> None:
        """Open the model and keep all that a pass needs on the device of its input."""
        if self._unet is None:
            self._unet = load_unet(self.path)
        elif self._constants[0].device == device:
            return
        self._unet.to(device)
        spec = self.spec
        steps = torch.tensor(spec.steps)
        abar = noise_schedule(spec.timesteps).alphas_cumprod[steps].view(-1, 1, 1, 1, 1)
        noise = fixed_noise(spec.in_channels, spec.image_size, spec.noise_seed)
        constants = (noise, steps, abar.sqrt(), (1 - abar).sqrt())
        self._constants = tuple(value.to(device) for value in constants)

    def __deepcopy__(self, memo: dict) -> 'FrozenDenoiser':
        """Share the model: it never changes."""
        return self

    def __getstate__(self) -> dict:
        """Leave the opened model out."""
        return {**self.__dict__, '_unet': None, '_constants': ()}


def _check_choice(name: str, values: Sequence[int]) -> None:
    if not values or len(set(values)) < len(values):
        raise ValueError(f'{name} = {list(values)}: give each number once, at least one.')


def _own_range(
    folder: Path, own: Sequence[float] | None, option: Sequence[float] | None
) -> tuple[float, float]:
    if own is not None and option is not None and tuple(own) != tuple(option):
        raise ValueError(
            f'input_range={list(option)}, but the diffusion model in {folder} was trained on '
            f'{list(own)}: leave the option out.'
        )
    low, high = own or option or (-1.0, 1.0)
    return float(low), float(high)


def _as_tuple(value):
    return tuple(_as_tuple(v) for v in value) if isinstance(value, list | tuple) else value


def _as_list(value):
    return [_as_list(v) for v in value] if isinstance(value, list | tuple) else value
