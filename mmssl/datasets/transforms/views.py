"""Further views of a sample: strongly changed copies of the weak image, and the paste boxes."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mmssl.datasets.transforms.base import check_prob, check_range, sample_rng, side_of
from mmssl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomApply(BaseTransform):
    """Run transforms with some probability, all of them or none.

    The gate is drawn first; the transforms draw nothing where it is closed.

    Args:
        transforms: configs of the transforms, run in this order.
        prob: probability to run them.
    """

    def __init__(self, transforms: Sequence[dict], prob: float = 0.5) -> None:
        self.transforms = [TRANSFORMS.build(cfg) for cfg in transforms]
        self.prob = check_prob(prob)

    def transform(self, results: dict) -> dict:
        """Draw the gate; run the transforms."""
        if sample_rng(results).random() >= self.prob:
            return results
        for transform in self.transforms:
            results = transform(results)
        return results


@TRANSFORMS.register_module()
class StrongView(BaseTransform):
    """Run transforms on a copy of an image and keep the result under another key.

    The image it starts from stays as it is, and so does the mask, so the transforms should change
    grey levels only, or the view has a mask of its own.

    Args:
        transforms: configs of the transforms, run in this order.
        key: where the result goes; a second strong view has 'img_strong2'.
        source: the image to start from.
        mask: let the transforms change a labelled sample's mask too; the result goes to `gt_strong`
            (for another key alike).
    """

    def __init__(
        self,
        transforms: Sequence[dict],
        key: str = 'img_strong',
        source: str = 'img',
        mask: bool = False,
    ) -> None:
        self.transforms = [TRANSFORMS.build(cfg) for cfg in transforms]
        self.key = key
        self.source = source
        self.mask = mask

    def transform(self, results: dict) -> dict:
        """Make the view."""
        view = {name: value for name, value in results.items() if name != 'gt' or self.mask}
        view['img'] = results[self.source]
        for transform in self.transforms:
            view = transform(view)
        results[self.key] = view['img']
        if self.mask and 'gt' in view:
            results[self.key.replace('img', 'gt')] = view['gt']
        return results


def draw_box(
    rng: np.random.Generator,
    size: tuple[int, int],
    area: tuple[float, float],
    ratio: tuple[float, float],
    one_area: bool = True,
) -> tuple[int, int, int, int]:
    """Draw a rectangle (x, y, w, h) inside an image.

    Ratio r, x and y are drawn again until the rectangle of w = floor(sqrt(a / r)) and
    h = floor(sqrt(a r)) pixels fits; r is uniform, not log-uniform.

    Args:
        rng: draws.
        size: height and width of the image in pixels.
        area: range of the rectangle's share of the image, a in pixels.
        ratio: range of r, height / width.
        one_area: draw a once; else with r, which makes small areas more frequent.
    """
    height, width = size
    pixels = rng.uniform(*area) * height * width
    while True:
        r = rng.uniform(*ratio)
        w, h = int(np.sqrt(pixels / r)), int(np.sqrt(pixels * r))
        x, y = int(rng.integers(width)), int(rng.integers(height))
        if x + w <= width and y + h <= height:
            return x, y, w, h
        if not one_area:
            pixels = rng.uniform(*area) * height * width


@TRANSFORMS.register_module()
class RandomPasteBox(BaseTransform):
    """Draw the rectangle in which another image is pasted over this one.

    Adds `box`, int64 (5,) as [x, y, w, h, side] in pixels of a square of that side. The model
    scales it to each network's own size. `key='box2'` makes that of a second strong view.

    Args:
        size: side of the square in pixels; by default the `box_size` of the data set.
        area: range of the rectangle's share of the square.
        ratio: range of height / width.
        prob: probability of a box; without one its width and height are 0.
        key: where the box goes.
    """

    def __init__(
        self,
        size: int | None = None,
        area: tuple[float, float] = (0.02, 0.4),
        ratio: tuple[float, float] = (0.3, 1 / 0.3),
        prob: float = 1.0,
        key: str = 'box',
    ) -> None:
        self.size = size
        self.area = check_range('area', area, 0, 1)
        self.ratio = check_range('ratio', ratio, 1e-3)
        largest = self.area[1]
        if largest >= 1 or self.ratio[0] * largest >= 1 or self.ratio[1] <= largest:
            raise ValueError(
                f'A box of {largest} of the area and a ratio in {self.ratio} does not fit into the '
                'square: area < 1 and area < ratio < 1 / area are needed.'
            )
        self.prob = check_prob(prob)
        self.key = key

    def transform(self, results: dict) -> dict:
        """Draw the box, then the gate unless the box is certain."""
        rng = sample_rng(results)
        size = int(self.size or side_of(results, 'box', 'RandomPasteBox'))
        box = draw_box(rng, (size, size), self.area, self.ratio)
        if self.prob < 1 and rng.random() >= self.prob:
            box = (0, 0, 0, 0)
        results[self.key] = np.array([*box, size], dtype=np.int64)
        return results


@TRANSFORMS.register_module()
class RandomPasteCuboid(BaseTransform):
    """Draw the cuboid in which another volume is pasted over this one.

    Adds `box`, int64 (9,): where it begins along each axis, its sides, and the sides D, H, W of the
    view it was drawn in, so it comes after the crop. Its place is uniform over all that fit.

    The default is BCP's (Bai et al., CVPR 2023), a fixed share of each side. With `volume` it is
    that of UniMatch and CrossMatch on volumes: V voxels are drawn, then a ratio r until the cuboid
    of (V / r)^(1/3), (V r)^(1/3) and V^(1/3) voxels fits, along columns, rows and slices.

    Args:
        side: share of each side of the view, or the range from which each is drawn.
        volume: range of the cuboid's share of the view, instead.
        ratio: range of r.
        prob: probability of a cuboid; without one its sides are 0.
        key: where it goes; that of a second strong view is 'box2'.

    Raises:
        ValueError: an option is out of its range, or no such cuboid fits.
    """

    def __init__(
        self,
        side: float | tuple[float, float] = 2 / 3,
        volume: tuple[float, float] | None = None,
        ratio: tuple[float, float] = (0.3, 1 / 0.3),
        prob: float = 1.0,
        key: str = 'box',
    ) -> None:
        sides = (side, side) if isinstance(side, (int, float)) else side
        self.side = check_range('side', sides, 0, 1)
        self.volume = None if volume is None else check_range('volume', volume, 0, 1)
        self.ratio = check_range('ratio', ratio, 1e-3)
        self.prob = check_prob(prob)
        self.key = key

    def transform(self, results: dict) -> dict:
        """Draw the sides, then the place, then the gate unless the cuboid is certain.

        Raises:
            ValueError: the view is no volume, or no such cuboid fits into it.
        """
        rng = sample_rng(results)
        whole = results['img'].shape[:-1]
        if len(whole) != 3:
            raise ValueError(
                f'RandomPasteCuboid draws in volumes, but the image "{results.get("name", "?")}" '
                f'has {len(whole)} axes beside its channels: use RandomPasteBox.'
            )
        sides = self._sides(rng, whole)
        begin = [int(rng.integers(n - s, endpoint=True)) for n, s in zip(whole, sides, strict=True)]
        if self.prob < 1 and rng.random() >= self.prob:
            begin = sides = [0, 0, 0]
        results[self.key] = np.array([*begin, *sides, *whole], dtype=np.int64)
        return results

    def _sides(self, rng: np.random.Generator, whole: Sequence[int]) -> list[int]:
        if self.volume is None:
            low, high = self.side
            return [int(n * (low if low == high else rng.uniform(low, high))) for n in whole]
        voxels = rng.uniform(*self.volume) * np.prod(whole)
        for _ in range(1000):
            r = rng.uniform(*self.ratio)
            sides = [int(v ** (1 / 3)) for v in (voxels, voxels * r, voxels / r)]
            if all(side <= n for side, n in zip(sides, whole, strict=True)):
                return sides
        raise ValueError(
            f'No cuboid of {voxels:.0f} voxels with a ratio in {self.ratio} fits into a view of '
            f'{" x ".join(map(str, whole))} voxels: give a smaller volume.'
        )
