"""Batches and data sets of a phantom for the checks of a method, of slices and of volumes."""

from collections.abc import Sequence
from pathlib import Path

import torch

SIDE = 32
SIDES = {2: SIDE, 3: 16}
"""Side of the images by the number of their spatial axes."""

LABELLED = 3
"""Labelled images of the data set, or labelled volumes."""


def phantom_batch(
    n_l: int = 4,
    n_u: int = 4,
    classes: int = 2,
    side: int | None = None,
    seed: int = 0,
    axes: int = 2,
) -> dict:
    """Return a collated batch of nested discs or balls, one grey value for each class, with noise.

    Args:
        n_l: labelled images.
        n_u: unlabelled images.
        classes: with background.
        side: of the images in pixels.
        seed: of all draws.
        axes: 2 for slices of 8 bits, 3 for volumes whose intensities are normalised.
    """
    g = torch.Generator().manual_seed(seed)
    n, side, ones = n_l + n_u, side or SIDES[axes], (1,) * axes
    centre = side * (0.35 + 0.3 * torch.rand(n, axes, generator=g))
    radius = side * (0.25 + 0.1 * torch.rand(n, *ones, generator=g))
    places = torch.meshgrid(*[torch.arange(side)] * axes, indexing='ij')
    squares = ((x - c.view(-1, *ones)) ** 2 for x, c in zip(places, centre.unbind(1), strict=True))
    distance = torch.stack(list(squares)).sum(0).sqrt()
    y = torch.zeros(n, *[side] * axes, dtype=torch.int32)
    for i in range(classes - 1):
        y += distance < radius * (i + 1) / (classes - 1)
    clean = (40 + 150 * y / (classes - 1))[:, None]

    def view(part: slice, gain: float) -> torch.Tensor:
        x = gain * clean[part]
        x = x + 10 * torch.randn(x.shape, generator=g)
        return x.clamp(0, 255).to(torch.uint8) if axes == 2 else (x - 100) / 60

    labelled, unlabelled = slice(None, n_l), slice(n_l, None)
    views = dict(
        x_w=view(labelled, 1),
        y=y[labelled].to(torch.uint8),
        u_w=view(unlabelled, 1),
        u_s=view(unlabelled, 0.7),
        u_s2=view(unlabelled, 1.2),
        **boxes(n_u, side, axes),
    )
    return dict(inputs=views, data_samples=dict(labelled=[], unlabelled=[]))


def boxes(count: int, side: int, axes: int) -> dict[str, torch.Tensor]:
    """Return `box` and `box2` of a batch, which lie in different places."""
    found = {}
    for key, left in (('box', 2), ('box2', side // 3)):
        rows: list[Sequence[int]] = [[left + i, 3, side // 2, side // 3] for i in range(count)]
        if axes == 3:
            rows = [
                [2, 3, left + i, *[side // 2] * 2, side // 3, *[side] * 3] for i in range(count)
            ]
        found[key] = torch.tensor(rows)
    return found


def write_small_phantom(root: Path) -> Path:
    """Write a phantom of two scanners, 8 training images each."""
    from mmssl.datasets.phantom.slices import PhantomSettings, write_phantom

    write_phantom(
        root / 'data',
        PhantomSettings(
            domains=('ScannerA', 'ScannerB'),
            size=SIDE,
            train_cases=2,
            train_slices=4,
            test_cases=1,
            test_slices=2,
        ),
    )
    return root / 'data'


def write_small_volumes(root: Path) -> Path:
    """Write a phantom of 8 volumes for training and one each for validation and test."""
    from mmssl.datasets.phantom.volumes import VolumeSettings, write_phantom_volumes

    write_phantom_volumes(
        root / 'data',
        VolumeSettings(size=SIDE, slices=SIDES[3], train_cases=8, val_cases=1, test_cases=1),
    )
    return root / 'data'


def forget_masks(root: Path, axes: int) -> None:
    """Delete the masks of all training images of a small phantom but the first `LABELLED` ones."""
    if axes == 2:
        masks = sorted(root.glob('*/train/mask/*.png'))
        assert len(masks) > LABELLED
        for path in masks[LABELLED:]:
            path.unlink()
        return
    import h5py

    names = (root / 'train.list').read_text().split()
    assert len(names) > LABELLED
    for name in names[LABELLED:]:
        with h5py.File(root / 'data' / f'{name}.h5', 'r+') as file:
            del file['label']
