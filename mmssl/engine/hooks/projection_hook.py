"""Fit what a neck takes from the training data before it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.dist import broadcast, is_main_process
from mmengine.hooks import Hook
from torch import Tensor

from mmssl.datasets.prepared import PreparedSlices, image_batch
from mmssl.registry import HOOKS
from mmssl.utils.dist import unwrapped

if TYPE_CHECKING:
    from mmssl.models.diffusion.diffusion_feature_neck import DiffusionFeatureNeck
    from mmssl.models.diffusion.features import FeatureSpec


@HOOKS.register_module()
class FitProjectionHook(Hook):
    """Fit the principal components of a `DiffusionFeatureNeck` with `projection='pca'`.

    Before the first iteration, on pixels of unaugmented training slices, labelled and unlabelled;
    from the neck's cache where it has one, else from the model. Rank 0 fits, the others take its
    result. A neck that came fitted with a checkpoint, and one with another projection, are left
    alone. No global random generator is touched.

    Args:
        num_slices: slices drawn; all where there are fewer.
        num_pixels: pixels drawn, evenly over the slices. Their features are held at once:
            4 bytes x channels each, 500 MB for 16,384 at the paper's 7,680 channels.
        batch_size: slices in one pass of the model.
        seed: of the draws.
        neck: name of the neck in the model.
    """

    priority = 'VERY_HIGH'

    def __init__(
        self,
        num_slices: int = 256,
        num_pixels: int = 16384,
        batch_size: int = 8,
        seed: int = 0,
        neck: str = 'neck',
    ) -> None:
        self.num_slices, self.num_pixels, self.batch_size = num_slices, num_pixels, batch_size
        self.seed = seed
        self.neck = neck

    def before_train(self, runner) -> None:
        """Fit, unless there is nothing to fit.

        Raises:
            ValueError: the model has no such neck, or there are too few pixels.
        """
        neck = getattr(unwrapped(runner.model), self.neck, None)
        projection = getattr(neck, 'projection', None)
        if neck is None or projection is None:
            raise ValueError(
                f'FitProjectionHook finds no DiffusionFeatureNeck at model.'
                f'{self.neck}: leave the hook out, or set its option neck.'
            )
        if projection.kind != 'pca' or projection.is_ready:
            return
        spec_of(neck)
        if is_main_process():
            samples = self.samples(neck, PreparedSlices(runner.train_dataloader.dataset))
            projection.fit(samples)
            runner.logger.info(
                f'Fitted {projection.out_dim} principal components of {samples.shape[1]} diffusion '
                f'features on {len(samples)} pixels.'
            )
        share_projection(neck)

    @torch.no_grad()
    def samples(self, neck: DiffusionFeatureNeck, slices: PreparedSlices) -> Tensor:
        """Return features (P, C) of randomly drawn pixels of randomly drawn slices."""
        from mmssl.models.diffusion.projection import sample_pixels

        rng = np.random.default_rng(self.seed)
        count = min(self.num_slices, self.num_pixels, len(slices))
        chosen = np.sort(rng.choice(len(slices), count, replace=False))
        each = -(-self.num_pixels // count)
        found = []
        for start in range(0, count, self.batch_size):
            maps = slice_maps(neck, [slices[i] for i in chosen[start : start + self.batch_size]])
            size = spec_of(neck).image_size
            pixels = torch.from_numpy(rng.integers(size * size, size=(len(maps[0]), each)))
            found.append(sample_pixels(maps, pixels.to(maps[0].device), size))
        return torch.cat(found)[: self.num_pixels]


def spec_of(neck: DiffusionFeatureNeck) -> FeatureSpec:
    """Return what the features of a neck are.

    Raises:
        ValueError: it has neither a model nor a cache to take them from.
    """
    if neck.spec is None:
        raise ValueError(
            f'There is nothing to fit the principal components on: neither the '
            f'diffusion model {neck.model} nor a feature cache is there.'
        )
    return neck.spec


def slice_maps(neck: DiffusionFeatureNeck, slices: Sequence[dict]) -> list[Tensor]:
    """Return the block maps of prepared slices, from the cache or from the model."""
    device = neck.feature_key.device
    if neck.cache is None:
        return neck.block_maps(image_batch(slices).to(device))
    flat = [neck.cache.read(s['domain'], s['name'], s['img']) for s in slices]
    return spec_of(neck).split(torch.from_numpy(np.stack(flat)).to(device))


def share_projection(neck: DiffusionFeatureNeck) -> None:
    """Give every rank the projection that rank 0 has fitted."""
    projection = neck.projection
    projection.materialise(sum(spec_of(neck).channels))
    for value in (projection.weight, projection.bias):
        broadcast(value, src=0)
    projection.set_ready()
