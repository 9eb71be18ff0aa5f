"""Labelled and unlabelled images side by side, addressed by iteration."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.logging import print_log
from torch.utils.data import Sampler

from mmssl.registry import DATA_SAMPLERS
from mmssl.structures import Draw

LABELLED_STREAM, UNLABELLED_STREAM = 0, 1


class IndexStream:
    """An endless sequence of batches over some indices, each position computed, not remembered.

    Epoch e runs through `default_rng([seed, stream, e]).permutation`. With at least `size`
    indices the rest of an epoch that fills no batch is dropped (the papers' `drop_last`); with
    fewer, batches run on through one permutation after the other, so that indices repeat.

    Args:
        indices: what to draw from.
        size: batch size.
        seed: seed of the permutations.
        stream: tells two streams with the same seed apart.
    """

    def __init__(self, indices: Sequence[int], size: int, seed: int, stream: int) -> None:
        self.indices = np.asarray(indices, np.int64)
        self.size = size
        self.permutation = lru_cache(maxsize=4)(
            lambda epoch: np.random.default_rng([seed, stream, epoch]).permutation(self.indices)
        )

    @property
    def batches(self) -> int:
        """Return the number of batches in an epoch, at least 1."""
        return max(1, len(self.indices) // max(1, self.size))

    def batch(self, iteration: int) -> list[int]:
        """Return the indices of one iteration."""
        total = len(self.indices)
        if self.size == 0:
            return []
        if total >= self.size:
            epoch, position = divmod(iteration, self.batches)
            start = position * self.size
            return self.permutation(epoch)[start : start + self.size].tolist()
        positions = range(iteration * self.size, (iteration + 1) * self.size)
        return [int(self.permutation(p // total)[p % total]) for p in positions]


@DATA_SAMPLERS.register_module()
class SemiSampler(Sampler):
    """Batch sampler: `num_labelled` + `num_unlabelled` draws an iteration, shared by the ranks.

    The batch of an iteration depends on seed and iteration alone; rank r of W takes the r-th of W
    equal runs of each part. Setting `start_iter` (or `skip`) resumes exactly.

    mmengine hands `sampler` and `batch_size` to a batch sampler; data set and seed are taken from
    `sampler`, `batch_size` has no meaning here.

    Args:
        sampler: mmengine's own sampler of the same loader, used for `dataset` and `seed`.
        batch_size: ignored.
        num_labelled: labelled images an iteration on all ranks together.
        num_unlabelled: unlabelled images an iteration on all ranks together.
        dataset: the data set, if there is no `sampler`.
        seed: seed of the draws; None takes the sampler's, else one that the ranks agree on.
        per_rank: both numbers count for each rank, so that W ranks make W times the batch.
        start_iter: iteration of the first batch.

    Raises:
        ValueError: the numbers cannot be shared by the ranks, or a part has no image.
    """

    def __init__(
        self,
        sampler: Sampler | None = None,
        batch_size: int | None = None,
        num_labelled: int = 4,
        num_unlabelled: int = 4,
        dataset: Any = None,
        seed: int | None = None,
        per_rank: bool = False,
        start_iter: int = 0,
    ) -> None:
        self.sampler = sampler
        if dataset is None:
            dataset = getattr(sampler, 'dataset', None)
        self.dataset: Any = dataset
        if not hasattr(self.dataset, 'labelled_indices'):
            raise ValueError(
                'SemiSampler needs a MixedDomainDataset, found '
                f'{type(self.dataset).__name__}: use it as batch_sampler of such a data set, '
                "beside sampler=dict(type='DefaultSampler')."
            )
        if seed is None:
            seed = getattr(sampler, 'seed', None)
        self.seed = sync_random_seed() if seed is None else int(seed)
        if self.dataset.seed is None:
            self.dataset.seed = self.seed
        self.rank, self.world_size = get_dist_info()
        factor = self.world_size if per_rank else 1
        self.num_labelled, self.num_unlabelled = num_labelled * factor, num_unlabelled * factor
        self.start_iter = start_iter
        self._check()
        self.labelled = IndexStream(
            self.dataset.labelled_indices, self.num_labelled, self.seed, LABELLED_STREAM
        )
        self.unlabelled = IndexStream(
            self.dataset.unlabelled_indices, self.num_unlabelled, self.seed, UNLABELLED_STREAM
        )
        ranks = f'{self.world_size} rank' + 's' * (self.world_size > 1)
        print_log(
            f'effective batch {self.num_labelled} labelled + {self.num_unlabelled} unlabelled '
            f'on {ranks}',
            logger='current',
        )

    def _check(self) -> None:
        world = self.world_size
        parts = {
            'labelled': (self.num_labelled, self.dataset.labelled_indices),
            'unlabelled': (self.num_unlabelled, self.dataset.unlabelled_indices),
        }
        for kind, (number, indices) in parts.items():
            if not isinstance(number, int) or number < 0:
                raise ValueError(f'num_{kind} = {number}: give a whole number of images, or 0.')
            if number and not len(indices):
                fewer = 'fewer' if kind == 'unlabelled' else 'some'
                raise ValueError(
                    f'num_{kind} = {number}, but the data set has 0 {kind} images. Label {fewer} '
                    f'in train_dataloader.dataset.labelled, or set num_{kind}=0.'
                )
            if number > len(indices):
                print_log(
                    f'num_{kind} = {number}, but the data set has {len(indices)} {kind} images: '
                    'images repeat within a batch.',
                    logger='current',
                    level=30,
                )
            if number % world:
                fitting = [
                    str(w)
                    for w in range(1, number + 1)
                    if self.num_labelled % w == 0 and self.num_unlabelled % w == 0
                ]
                raise ValueError(
                    f'{number} {kind} images cannot be shared by {world} ranks. Use '
                    f'{" or ".join(fitting)} rank(s) for the effective batch '
                    f'{self.num_labelled} + {self.num_unlabelled}, or per_rank=True for an '
                    f'effective batch of {self.num_labelled * world} + '
                    f'{self.num_unlabelled * world}.'
                )
        if not self.num_labelled + self.num_unlabelled:
            raise ValueError('num_labelled and num_unlabelled are both 0: nothing to train on.')

    @property
    def batch_size(self) -> int:
        """Return the number of images of one iteration on this rank."""
        return (self.num_labelled + self.num_unlabelled) // self.world_size

    def skip(self, num_iters: int) -> None:
        """Start the next iteration over the sampler `num_iters` iterations later."""
        self.start_iter += num_iters

    def __len__(self) -> int:
        """Return the number of iterations in which the longer stream runs through once."""
        return max(self.labelled.batches, self.unlabelled.batches)

    def batch(self, iteration: int) -> list[Draw]:
        """Return this rank's draws of one iteration, labelled ones first."""
        draws = []
        for stream, labelled in ((self.labelled, True), (self.unlabelled, False)):
            share = stream.size // self.world_size
            indices = stream.batch(iteration) if share else []
            slots = range(self.rank * share, (self.rank + 1) * share)
            draws += [Draw(indices[slot], iteration, slot, labelled) for slot in slots]
        return draws

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yield one batch after the other, without end."""
        for iteration in count(self.start_iter):
            yield self.batch(iteration)
