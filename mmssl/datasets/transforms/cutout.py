"""Holes in an image, which are background in its mask."""

from mmcv.transforms import BaseTransform

from mmssl.datasets.transforms.base import check_prob, check_range, plane_of, sample_rng
from mmssl.datasets.transforms.views import draw_box
from mmssl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomCutout(BaseTransform):
    """Cut rectangles out of the image: one of black and white pixels, ABD's cutout, or several.

    Area, ratio and place are drawn until the rectangle fits, so that small areas are more frequent.
    In the hole the mask, where there is one, is class 0. Inside a `StrongView` that is the mask of
    the view, with `mask=True`.

    Args:
        prob: probability of a hole.
        area: range of the hole's share of the image.
        ratio: range of height / width.
        holes: least and largest number of holes.
        fill: grey level of the holes; None for black and white pixels.

    Raises:
        ValueError: an option is out of its range.
    """

    def __init__(
        self,
        prob: float = 0.5,
        area: tuple[float, float] = (0.02, 0.4),
        ratio: tuple[float, float] = (0.3, 1 / 0.3),
        holes: tuple[int, int] = (1, 1),
        fill: int | None = None,
    ) -> None:
        self.prob = check_prob(prob)
        self.area = check_range('area', area, 0, 1)
        self.ratio = check_range('ratio', ratio, 1e-3)
        check_range('holes', holes, 1)
        self.holes, self.fill = holes, fill
        smallest = self.area[0]
        if smallest >= 1 or self.ratio[0] * smallest >= 1 or self.ratio[1] <= smallest:
            raise ValueError(
                f'A hole of {smallest} of the area and a ratio in {self.ratio} does '
                'not fit into the image: area < 1 and area < ratio < 1 / area needed.'
            )

    def transform(self, results: dict) -> dict:
        """Draw the gate, the number of holes, and each hole and its pixels."""
        size = plane_of(results, 'RandomCutout', 'Monai(RandCoarseDropoutd)')
        rng = sample_rng(results)
        if rng.random() >= self.prob:
            return results
        least, most = self.holes
        count = least if least == most else int(rng.integers(least, most, endpoint=True))
        results['img'] = results['img'].copy()
        if 'gt' in results:
            results['gt'] = results['gt'].copy()
        for _ in range(count):
            x, y, w, h = draw_box(rng, size, self.area, self.ratio, one_area=False)
            rows, columns = slice(y, y + h), slice(x, x + w)
            hole = results['img'][rows, columns]
            if self.fill is None:
                noise = rng.integers(2, size=(*hole.shape[:2], *[1] * (hole.ndim - 2)))
                hole[...] = 255 * noise
            else:
                hole[...] = self.fill
            if 'gt' in results:
                results['gt'][rows, columns] = 0
        return results
