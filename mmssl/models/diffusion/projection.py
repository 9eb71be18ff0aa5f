"""From thousands of feature channels at several sizes to a few at the image's size."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KINDS = ('learned', 'random', 'pca')


class Projection(nn.Module):
    """A 1x1 convolution of all maps together, applied to each map before it is resized.

    Bilinear weights sum to 1, so `conv(resize(f)) = resize(conv(f))`: each map is multiplied by
    its own columns of the weights at its own size, and only the few resulting channels are
    resized and added. With the 7,680 channels of the paper's model at 256 px this takes the place
    of a 2.0 GB tensor per slice; the maps themselves have 12.6 MB (float32).

    The weights may come later (`materialise`, or a checkpoint): until then there are none, so that
    a network beside it works without knowing how many channels a model has.

    Args:
        out_dim: channels given.
        kind: 'learned' (trained), 'random' (fixed, from the seed), or 'pca' (fixed, see `fit`).
        seed: of the first weights. They are those of `nn.Conv2d`: uniform within
            1 / sqrt(channels).
    """

    ready: Tensor

    def __init__(self, out_dim: int = 30, kind: str = 'learned', seed: int = 0) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f'projection={kind!r} is not known (known: {", ".join(KINDS)}).')
        self.out_dim, self.kind, self.seed = out_dim, kind, seed
        for name in ('weight', 'bias'):
            if kind == 'learned':
                self.register_parameter(name, None)
            else:
                self.register_buffer(name, None)
        # 1 where the weights may be used; a Python copy spares the device a question.
        self.register_buffer('ready', torch.zeros((), dtype=torch.uint8))
        self.is_ready = False

    def extra_repr(self) -> str:
        """Name the kind and the shape."""
        channels = '?' if self.weight is None else self.weight.shape[1]
        return f'{self.kind}, {channels} -> {self.out_dim}'

    def materialise(self, channels: int) -> None:
        """Make the weights for a number of channels, unless there are some.

        Raises:
            ValueError: the principal components wanted are more than the channels.
        """
        if self.weight is not None:
            return
        if self.kind == 'pca' and channels < self.out_dim:
            raise ValueError(
                f'out_dim={self.out_dim} principal components of {channels} channels '
                'are not to be had: lower out_dim or take more blocks or steps.'
            )
        self._allocate(channels)
        if self.kind == 'pca':
            return
        generator = torch.Generator('cpu').manual_seed(self.seed)
        with torch.no_grad():
            for value in (self.weight, self.bias):
                draw = torch.rand(value.shape, generator=generator, device='cpu')
                value.copy_((2 * draw - 1) * channels**-0.5)
        self.set_ready()

    def _allocate(self, channels: int) -> None:
        device = self.ready.device
        weight = torch.zeros(self.out_dim, channels, 1, 1, device=device)
        bias = torch.zeros(self.out_dim, device=device)
        if self.kind == 'learned':
            weight, bias = nn.Parameter(weight), nn.Parameter(bias)
        self.weight, self.bias = weight, bias

    def set_ready(self) -> None:
        """Say that the weights may be used."""
        self.is_ready = True
        self.ready.fill_(1)

    @torch.no_grad()
    def fit(self, samples: Tensor) -> None:
        """Take the principal components of features (P, C): y = components (x - mean).

        Raises:
            ValueError: the samples are fewer than the components.
        """
        mean, components = principal_components(samples, self.out_dim)
        self.materialise(samples.shape[1])
        self.weight.copy_(components[..., None, None])
        self.bias.copy_(-(components @ mean))
        self.set_ready()

    def forward(self, maps: Sequence[Tensor], size: int) -> Tensor:
        """Project, resize (bilinear, corners not aligned) and add maps.

        In float32 also under autocast: there is little to compute and much to add up.

        Args:
            maps: (N, c, h, w) each, in the order of the weights.
            size: side of the result in pixels.

        Returns:
            (N, out_dim, size, size).

        Raises:
            RuntimeError: the weights are not there yet.
        """
        if not self.is_ready:
            raise RuntimeError(self._why_not())
        with torch.autocast(maps[0].device.type, enabled=False):
            weights = self.weight.split([m.shape[1] for m in maps], dim=1)
            by_size: dict[tuple, Tensor] = {}
            for m, weight in zip(maps, weights, strict=True):
                y = F.conv2d(m.float(), weight)
                key = tuple(m.shape[-2:])
                by_size[key] = by_size[key] + y if key in by_size else y
            resized = [
                y if key == (size, size) else
                F.interpolate(y, size=(size, size), mode='bilinear', align_corners=False)
                for key, y in by_size.items()
            ]  # fmt: skip
            return sum(resized[1:], resized[0]) + self.bias.view(-1, 1, 1)

    def _why_not(self) -> str:
        if self.kind == 'pca':
            return (
                'The principal components of the diffusion features were not fitted: put '
                "dict(type='FitProjectionHook') into custom_hooks, or load a checkpoint."
            )
        return (
            'The projection of the diffusion features has no weights yet: the diffusion model '
            '(neck.model) or the feature cache (neck.cache_dir) was missing when the neck was '
            'built, and no checkpoint was loaded.'
        )

    def _load_from_state_dict(self, state_dict, prefix, *args):
        """Take the number of channels from the checkpoint where it is not known."""
        weight = state_dict.get(f'{prefix}weight')
        if weight is not None and self.weight is None and weight.ndim == 4:
            self._allocate(weight.shape[1])
        super()._load_from_state_dict(state_dict, prefix, *args)
        if f'{prefix}ready' in state_dict:
            self.is_ready = bool(state_dict[f'{prefix}ready'])


def principal_components(samples: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return mean (C,) and the first principal components (count, C) of samples (P, C).

    Exact: eigenvectors of the covariance in float64. The largest entry of each is positive.

    Raises:
        ValueError: there are no more samples than components.

    Example:
        >>> mean, axes = principal_components(torch.tensor([[0., 1], [2, 1], [4, 1]]), 1)
        >>> mean.tolist(), axes.tolist()
        ([2.0, 1.0], [[1.0, 0.0]])
    """
    if len(samples) <= count:
        raise ValueError(
            f'{count} principal components need more than {len(samples)} samples: '
            'raise num_pixels of FitProjectionHook.'
        )
    x = samples.double()
    mean = x.mean(0)
    x = x - mean
    _, vectors = torch.linalg.eigh(x.T @ x)
    axes = vectors.T.flip(0)[:count]
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    return mean.to(samples.dtype), (axes * largest.sign()).to(samples.dtype)


def sample_pixels(maps: Sequence[Tensor], pixels: Tensor, size: int) -> Tensor:
    """Return the features of some pixels of the maps resized to `size`, without resizing them.

    Args:
        maps: (N, c, h, w) each.
        pixels: (N, P) numbers of pixels, row by row, in an image of `size` x `size`.
        size: side of the image in pixels.

    Returns:
        (N * P, C), C the channels of all maps together.
    """
    x, y = pixels % size, torch.div(pixels, size, rounding_mode='floor')
    points = (2 * torch.stack([x, y], -1).float() + 1) / size - 1  # (N, P, 2) in [-1, 1]
    values = [
        F.grid_sample(m.float(), points[:, None], 'bilinear', 'border', align_corners=False)
        for m in maps
    ]
    return torch.cat(values, 1)[:, :, 0].transpose(1, 2).flatten(0, 1)
