"""A hole of noise in an image, which is background in its mask."""

from mmcv.transforms import BaseTransform

from mmssl.datasets.transforms.base import check_prob, check_range, plane_of, sample_rng
from mmssl.datasets.transforms.views import draw_box
from mmssl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomCutout(BaseTransform):
    """Cut a rectangle out of the image and fill it with black and white pixels; ABD's cutout.

    Area, ratio and place are drawn until the rectangle fits, so that small areas are more frequent.
    In the hole the mask, where there is one, is class 0. Inside a `StrongView` that is the mask of
    the view, with `mask=True`.

    Args:
        prob: probability of a hole.
        area: range of the hole's share of the image.
        ratio: range of height / width.

    Raises:
        ValueError: an option is out of its range.
    """

    def __init__(
        self,
        prob: float = 0.5,
        area: tuple[float, float] = (0.02, 0.4),
        ratio: tuple[float, float] = (0.3, 1 / 0.3),
    ) -> None:
        self.prob = check_prob(prob)
        self.area = check_range('area', area, 0, 1)
        self.ratio = check_range('ratio', ratio, 1e-3)
        smallest = self.area[0]
        if smallest >= 1 or self.ratio[0] * smallest >= 1 or self.ratio[1] <= smallest:
            raise ValueError(
                f'A hole of {smallest} of the area and a ratio in {self.ratio} does '
                'not fit into the image: area < 1 and area < ratio < 1 / area needed.'
            )

    def transform(self, results: dict) -> dict:
        """Draw the gate, the rectangle and its pixels."""
        size = plane_of(results, 'RandomCutout', 'Monai(RandCoarseDropoutd)')
        rng = sample_rng(results)
        if rng.random() >= self.prob:
            return results
        img = results['img'].copy()
        x, y, w, h = draw_box(rng, size, self.area, self.ratio, one_area=False)
        rows, columns = slice(y, y + h), slice(x, x + w)
        hole = img[rows, columns]
        hole[...] = 255 * rng.integers(2, size=(*hole.shape[:2], *[1] * (hole.ndim - 2)))
        results['img'] = img
        if 'gt' in results:
            results['gt'] = results['gt'].copy()
            results['gt'][rows, columns] = 0
        return results
