"""A U-Net for volumes, set as nnU-Net's planner would set it: patch, strides, kernels, batch.

Isensee et al., nnU-Net, Nature Methods 2021, https://arxiv.org/abs/1904.08128; the rules and the
numbers are those of nnU-Net v2 (MIC-DKFZ/nnUNet 017de4a, `ExperimentPlanner`):

- the voxel is the median one; an axis of far thicker slices (3 times) with far fewer voxels takes
  the tenth percentile of its spacings instead;
- the patch starts as 256^3 voxels of equal millimetres, at most the median volume, and shrinks
  where it is largest compared with that, until the maps of the network fit into the memory;
- an axis is halved while 4 voxels are left and its voxels are not twice as thick as the finest; a
  level's kernel is 1 along an axis whose voxels are twice as thick as the finest, else 3;
- 32 channels, twice as many a level down, at most 320;
- as many patches as the memory holds, at least 2, at most 5 % of all voxels.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

SMALLEST_EDGE = 4
WIDTH, WIDEST = 32, 320
VALUES_OF_8_GIB = 560_000_000  # of all maps, with a batch of 2
THIN = 3  # how much thicker the slices of an axis are that gets a spacing of its own
SHARE = 0.05


class Topology(NamedTuple):
    """How a network halves a patch: strides and kernels of its levels, and the patch it divides."""

    strides: list[tuple[int, ...]]
    kernels: list[tuple[int, ...]]
    patch: tuple[int, ...]

    @property
    def divisors(self) -> tuple[int, ...]:
        """What each side of the patch is a multiple of."""
        return tuple(math.prod(axis) for axis in zip(*self.strides, strict=True))


class Plan(NamedTuple):
    """What the planner sets.

    Attributes:
        spacing: of the voxels in mm, to which volumes are resampled.
        patch_size: in voxels.
        batch_size: patches.
        student: config of `MonaiNetwork`.
    """

    spacing: tuple[float, ...]
    patch_size: tuple[int, ...]
    batch_size: int
    student: dict[str, Any]


def common_spacing(
    spacings: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]]
) -> tuple[float, ...]:
    """Return the spacing in mm that volumes are brought to.

    Args:
        spacings: of each volume.
        shapes: of each volume in voxels.

    Example:
        >>> common_spacing([(10, 1.5, 1.5), (10, 1.5, 1.5), (5, 1.5, 1.5)], [(9, 200, 200)] * 3)
        (6.0, 1.5, 1.5)
    """
    spacing = np.median(np.array(spacings, float), 0)
    size = np.median(np.array(shapes), 0)
    worst = int(np.argmax(spacing))
    others = [axis for axis in range(len(spacing)) if axis != worst]
    thick = spacing[worst] > THIN * max(spacing[others])
    if thick and size[worst] * THIN < min(size[others]):
        thin = float(np.percentile(np.array(spacings, float)[:, worst], 10))
        spacing[worst] = max(thin, max(spacing[others]) + 1e-5)
    return tuple(float(value) for value in spacing)


def topology(spacing: Sequence[float], patch: Sequence[int]) -> Topology:
    """Return how a patch of voxels of a spacing is halved, and the patch padded for it.

    Example:
        >>> topology((1, 1, 1), (36, 50, 35)).patch
        (40, 56, 40)
    """
    axes = range(len(spacing))
    voxel, size = list(map(float, spacing)), list(patch)
    strides, kernels = [(1,) * len(size)], []
    kernel = [1] * len(size)
    while True:
        large = [axis for axis in axes if size[axis] >= 2 * SMALLEST_EDGE]
        halved = [a for a in large if voxel[a] / min(voxel[b] for b in large) < 2]
        if not halved or (len(halved) == 1 and size[halved[0]] < 3 * SMALLEST_EDGE):
            break
        kernel = [3 if k == 3 or voxel[a] / min(voxel) < 2 else 1 for a, k in enumerate(kernel)]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in halved else 1 for axis in axes))
        for axis in halved:
            voxel[axis] *= 2
            size[axis] = math.ceil(size[axis] / 2)
    kernels.append((3,) * len(size))
    found = Topology(strides, kernels, tuple(patch))
    return found._replace(
        patch=tuple(math.ceil(n / d) * d for n, d in zip(patch, found.divisors, strict=True))
    )


def widths(levels: int) -> list[int]:
    """Return the channels of each level."""
    return [min(WIDTH * 2**level, WIDEST) for level in range(levels)]


def map_values(net: Topology, classes: int) -> int:
    """Return the number of values in all maps of the network, which its memory goes with.

    Two convolutions a level down; a transposed one, two more and the logits a level up.
    """
    size, total, levels = list(net.patch), 0, []
    for width, stride in zip(widths(len(net.strides)), net.strides, strict=True):
        size = [n // s for n, s in zip(size, stride, strict=True)]
        levels.append((width, math.prod(size)))
        total += 2 * width * math.prod(size)
    return total + sum((3 * width + classes) * voxels for width, voxels in levels[:-1])


def plan(
    spacings: Sequence[Sequence[float]],
    shapes: Sequence[Sequence[int]],
    classes: int,
    memory: float = 8.0,
) -> Plan:
    """Return the network, patch and batch for the volumes of a training set.

    Args:
        spacings: of each volume in mm.
        shapes: of each volume in voxels, one for each spacing.
        classes: with the background.
        memory: of the GPU in GiB.

    Raises:
        ValueError: there is no volume, or none is large enough to be halved twice.

    Example:
        >>> hippocampus = plan([(1, 1, 1)] * 260, [(36, 50, 35)] * 260, classes=3)
        >>> hippocampus.patch_size, hippocampus.batch_size, len(hippocampus.student['strides'])
        ((40, 56, 40), 9, 4)
    """
    if not len(shapes):
        raise ValueError('There is no volume to plan for: look at the data set of the config')
    spacing = common_spacing(spacings, shapes)
    resampled = np.round(np.array(shapes) * np.array(spacings, float) / np.array(spacing))
    median = np.median(resampled, 0)
    cube = (1 / np.array(spacing)) * (256**3 * math.prod(spacing)) ** (1 / 3)
    net = topology(spacing, [round(min(n, m)) for n, m in zip(cube, median, strict=True)])
    limit = VALUES_OF_8_GIB * memory / 8
    while map_values(net, classes) > limit:
        net = topology(spacing, _smaller(net, spacing, median))
    if len(net.strides) < 3:
        raise ValueError(
            f'Volumes of {[int(n) for n in median]} voxels cannot be halved twice: a U-Net needs '
            '16 voxels along one axis at least'
        )
    batch = round(limit / map_values(net, classes) * 2)
    most = round(math.prod(median) * len(shapes) * SHARE / math.prod(net.patch))
    return Plan(spacing, net.patch, max(min(batch, most), 2), student(net))


def _smaller(net: Topology, spacing: Sequence[float], median: Sequence[float]) -> list[int]:
    """Return the patch, less along the axis that is longest compared with the median volume."""
    axis = max(range(len(spacing)), key=lambda a: (net.patch[a] / median[a], a))
    tried = list(net.patch)
    tried[axis] -= net.divisors[axis]
    step = topology(spacing, tried).divisors[axis]  # else sizes between the two are skipped
    return [n - step * (a == axis) for a, n in enumerate(net.patch)]


def student(net: Topology) -> dict[str, Any]:
    """Return the config of `MonaiNetwork` with a DynUNet of that topology.

    Every resolution learns but the lowest, whose weight nnU-Net sets to 0.
    """
    levels = len(net.strides)
    return dict(
        type='MonaiNetwork',
        network='DynUNet',
        kernel_size=_short(net.kernels),
        strides=_short(net.strides),
        upsample_kernel_size=_short(net.strides[1:]),
        filters=widths(levels),
        trans_bias=True,
        deep_supervision=levels > 3,
        **(dict(deep_supr_num=levels - 3) if levels > 3 else {}),
    )


def _short(levels: Sequence[tuple[int, ...]]) -> list[int | tuple[int, ...]]:
    """Return one number for a level whose axes are alike."""
    return [level[0] if len(set(level)) == 1 else level for level in levels]
