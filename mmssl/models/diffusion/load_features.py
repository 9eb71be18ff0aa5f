"""Feature maps that were computed beforehand."""

from mmcv.transforms import BaseTransform

from mmssl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadDiffusionFeatures(BaseTransform):
    """Read a slice's cached diffusion features into `maps`, float16 (L,).

    It comes directly after the `prepare` transforms and before any geometry: the maps are those of
    the unaugmented slice, whose checksum each file carries. `TrackGeometry`, next to it, lets
    `DiffusionFeatureNeck.from_maps` bring them to the view.

    Args:
        cache_dir: folder written by tools/extract_diffusion_features.py; None does nothing, so
            that features are computed online.

    Raises:
        FileNotFoundError: there is no cache.
    """

    def __init__(self, cache_dir: str | None = None) -> None:
        self.cache = None
        if cache_dir is not None:
            from mmssl.models.diffusion.cache import FeatureCache

            self.cache = FeatureCache(cache_dir)

    def transform(self, results: dict) -> dict:
        """Read the maps.

        Raises:
            FileNotFoundError: the slice is not in the cache.
            ValueError: the maps belong to another image.
        """
        if self.cache is not None:
            results['maps'] = self.cache.read(results['domain'], results['name'], results['img'])
        return results
