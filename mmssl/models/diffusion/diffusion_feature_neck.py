"""Features of a frozen diffusion model, as input for a network."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor

from mmssl.models.diffusion.cache import META, FeatureCache
from mmssl.models.diffusion.features import FeatureSpec, FrozenDenoiser, differences
from mmssl.models.diffusion.projection import Projection
from mmssl.registry import MODELS

KEY_UNIT = 1024


@MODELS.register_module()
class DiffusionFeatureNeck(BaseModule):
    """Turn images into the decoder features of a frozen denoiser, projected to a few channels.

    Baranchuk et al., Label-efficient semantic segmentation with diffusion models, ICLR 2022, as
    used by MCSD. With one fixed noise eps for all images and steps::

        x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps        t in steps, one batched pass
        phi = sum_{t, b} resize(W_{t,b} f_b(x_t, t)) + c   b in blocks, bilinear to S x S

    W is one 1x1 convolution for the whole data set. (The released code makes a new random one for
    every slice, so that its channels mean something else in each of them; not reproduced.)

    The denoiser is no part of the module: not in its parameters, state dict or train mode. It is
    opened on the first `forward`. `feature_key` in the state dict says which model and options the
    features come from; other ones are refused. Without model and cache, a neck still builds and
    loads a checkpoint (it has no projection until then), so that the networks beside it can be
    used; with `projection='learned'` it cannot be trained then.

    Args:
        model: folder of a diffusers `UNet2DModel` (safetensors).
        steps: time steps.
        blocks: output blocks in guided-diffusion's numbering.
        out_dim: channels given.
        projection: 'learned' (trained with the networks), 'random' (fixed), or 'pca' (fixed,
            fitted on training slices by `FitProjectionHook`).
        seed: of the projection's first weights.
        noise_seed: of eps.
        image_size: side of the images in pixels; the model's own by default.
        input_range: grey values that the model takes for black and white, for a model that does
            not say it itself; [-1, 1] by default.
        cache_dir: folder of tools/extract_diffusion_features.py, for `from_maps`.

    Raises:
        ValueError: a step or block that the model does not have, an image size that its levels do
            not divide, or a cache of other features.
    """

    feature_key: Tensor

    def __init__(
        self,
        model: str | None = None,
        steps: Sequence[int] = (50, 150, 250),
        blocks: Sequence[int] = (2, 4, 6),
        out_dim: int = 30,
        projection: str = 'learned',
        seed: int = 0,
        noise_seed: int = 0,
        image_size: int | None = None,
        input_range: Sequence[float] | None = None,
        cache_dir: str | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.model, self.cache_dir = model, cache_dir
        self.options: dict[str, Any] = dict(
            steps=tuple(steps),
            blocks=tuple(blocks),
            noise_seed=noise_seed,
            image_size=image_size,
            input_range=_pair(input_range),
        )
        self.projection = Projection(out_dim, projection, seed)
        self.spec: FeatureSpec | None = None
        self.denoiser: FrozenDenoiser | None = None
        self.cache: FeatureCache | None = None
        self.register_buffer('feature_key', torch.empty(0, dtype=torch.uint8))
        self._set_key({'projection': projection, 'out_dim': out_dim, **self.options})
        self._checked = False
        self._describe()

    @property
    def untrainable(self) -> str | None:
        """Why there is nothing to train, None if there is."""
        if self.projection.kind != 'learned':
            return f"projection='{self.projection.kind}' is not trained; set the optimiser to None"
        if self.spec is not None:
            return None
        return (
            f'DiffusionFeatureNeck has neither its model ({self.model}) nor its feature cache '
            f'({self.cache_dir}); train a diffusion model (configs/mcsd/ddpm_*.py) and set '
            'model.neck.model to its folder "unet"'
        )

    def _describe(self) -> None:
        """Learn the features' shapes from the cache, or else from the model, if one is there."""
        if self.cache_dir is not None and (Path(self.cache_dir) / META).is_file():
            self.cache = FeatureCache(self.cache_dir)
            self.cache.require(self.options)
            self._take(self.cache.spec, self.cache.model)
        elif self.model is not None and Path(self.model).is_dir():
            self._take(self._model_spec())
        else:
            print_log(
                f'DiffusionFeatureNeck has neither its model ({self.model}) nor its feature cache '
                f'({self.cache_dir}): it gives no features, networks without it can be used.',
                logger='current', level=logging.WARNING,
            )  # fmt: skip

    def _model_spec(self) -> FeatureSpec:
        assert self.model is not None
        return FeatureSpec.of_model(self.model, **self.options)

    def _take(self, spec: FeatureSpec, model: str | None = None) -> None:
        """Accept a description of the features.

        Raises:
            ValueError: it is not what the checkpoint, the cache or the model opened before said.
        """
        key = {**spec.to_dict(), 'model': model}
        if text := differences(self._key, key):
            raise ValueError(
                'The diffusion features of the checkpoint or cache are not those of '
                f"{self.model or self.cache_dir}: {text}. Set the neck's model, cache_dir and "
                'options to what they were made with.'
            )
        self.spec = spec
        self.projection.materialise(sum(spec.channels))
        self._set_key({**self._key, **key, 'model': model or self._key.get('model')})

    def _set_key(self, key: dict) -> None:
        """Write the description into the buffer, as JSON padded to whole kilobytes."""
        text = json.dumps(key)
        text = text.ljust(-(-len(text) // KEY_UNIT) * KEY_UNIT)
        raw = torch.tensor(list(text.encode()), dtype=torch.uint8, device='cpu')
        self._key = json.loads(text)
        if raw.shape == self.feature_key.shape:
            self.feature_key.copy_(raw)
        else:
            self.feature_key = raw.to(self.feature_key.device)

    def init_weights(self) -> None:
        """Compare the model with the cache, once, where both are there."""
        super().init_weights()
        self._check_cache()

    def _check_cache(self) -> None:
        if self._checked:
            return
        self._checked = True
        if self.cache is not None and self.model is not None and Path(self.model).is_dir():
            self.open()

    def open(self) -> FrozenDenoiser:
        """Return the denoiser, compared with what cache and checkpoint say; read on first use.

        Raises:
            FileNotFoundError: there is no model.
            ValueError: it is another model than that of the cache or checkpoint.
        """
        if self.denoiser is None:
            if self.model is None:
                raise ValueError(
                    'DiffusionFeatureNeck has model=None, so it computes no features '
                    'from images: set model to the folder of a diffusion model.'
                )
            spec = self._model_spec()
            denoiser = FrozenDenoiser(self.model, spec)
            self._take(spec, denoiser.sha256)
            self.denoiser = denoiser
        return self.denoiser

    def block_maps(self, images: Tensor) -> list[Tensor]:
        """Return the denoiser's activations (N, c, h, w) of images (N, C, S, S) in [0, 1].

        Step-major: all blocks of the first step, then those of the second.
        """
        return self.open()(images)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (N, out_dim, S, S) of images (N, C, S, S) in [0, 1].

        Raises:
            FileNotFoundError: there is no model.
            ValueError: other images than the model takes, or another model than before.
            RuntimeError: the projection has no weights yet.
        """
        maps = self.block_maps(images)  # opens the model, which says what the features are
        assert self.spec is not None
        return self.projection(maps, self.spec.image_size)

    def from_maps(self, maps: Tensor, grid: Tensor | None = None) -> Tensor:
        """Return the features of views of slices whose maps were computed before.

        Args:
            maps: (N, L) cached maps of the unaugmented slices.
            grid: (N, S, S) for each pixel of the view, the number of the pixel of the slice that
                it shows; -1 outside, where the features are 0. None is the slice itself.

        Returns:
            (N, out_dim, S, S).

        Raises:
            ValueError: maps of another length, or a cache of another model.
            RuntimeError: the projection has no weights yet.
        """
        self._check_cache()
        if self.spec is None:
            raise RuntimeError(
                f'DiffusionFeatureNeck cannot read cached maps: there is no feature '
                f'cache in cache_dir={self.cache_dir}.'
            )
        features = self.projection(self.spec.split(maps), self.spec.image_size)
        if grid is None:
            return features
        index = grid.flatten(1).clamp(min=0).long()[:, None].expand(-1, features.shape[1], -1)
        view = features.flatten(2).gather(2, index).unflatten(2, grid.shape[1:])
        return view.masked_fill(grid[:, None] < 0, 0)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        """Compare the checkpoint's features with the configured ones, and take what is unknown."""
        name = f'{prefix}feature_key'
        if name in state_dict:
            stored = json.loads(bytes(state_dict[name].tolist()))
            if text := differences(stored, self._key):
                raise ValueError(
                    f'The checkpoint was trained on other diffusion features: {text}. Set the '
                    "neck's model, cache_dir and options to what it was trained with."
                )
            known = {key: value for key, value in self._key.items() if value is not None}
            self._set_key({**stored, **known})
            if self.spec is None and 'shapes' in stored:
                self.spec = FeatureSpec.from_dict(stored)
            state_dict[name] = self.feature_key
        super()._load_from_state_dict(state_dict, prefix, *args)


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))
