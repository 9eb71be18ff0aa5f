"""Build a trained model and predict images with it."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

Image = str | Path | np.ndarray


def init_model(
    config,
    checkpoint: str | Path | None = None,
    device: str | torch.device = 'cpu',
    cfg_options: dict | None = None,
) -> nn.Module:
    """Build a model from a config and load its weights.

    Args:
        config: config file, or a config object; or a bundle (`NAME.mmssl`, or what `open_bundle`
            returned), which brings its weights and runs no code.
        checkpoint: file with the weights; None initialises them.
        device: where the model is put.
        cfg_options: values that override the config's, by dotted name.

    Returns:
        The model in evaluation mode, with the config as `cfg`, what `test_cfg.fp16` asks for and
        the device computes well as `precision` and, from the checkpoint, what is known of the data
        set as `dataset_meta`; the card of a bundle as `bundle`, None without one.

    Raises:
        ValueError: the weights are not this model's, or the file is refused.
    """
    from mmengine.registry import init_default_scope
    from mmengine.runner.checkpoint import _load_checkpoint

    from mmssl.bundles.archive import Contents, is_bundle
    from mmssl.bundles.opening import bounded_by, fill_model, open_bundle
    from mmssl.engine.checkpoints.weights import load_weights
    from mmssl.engine.data_facts import with_facts
    from mmssl.engine.precision import choose
    from mmssl.registry import MODELS
    from mmssl.utils.processes.memory import keep_freed_memory
    from mmssl.utils.setup import register_all_modules

    keep_freed_memory()
    register_all_modules(init_default_scope=False)
    bundle = open_bundle(config) if is_bundle(config) else config
    bundle = bundle if isinstance(bundle, Contents) else None
    if bundle is not None and checkpoint is not None:
        raise ValueError(f'A bundle has its weights: give no checkpoint ("{checkpoint}") with it')
    cfg = _read_config(bundle.config if bundle else config, cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmssl'))
    cfg = with_facts(cfg)
    with bounded_by(bundle):
        model = MODELS.build(cfg.model)
    model.cfg, model.dataset_meta = cfg, None
    fp16 = (cfg.get('test_cfg') or {}).get('fp16', False)
    model.precision = choose(fp16, 'prediction', 'test_cfg.fp16', torch.device(device).type)
    model.bundle = bundle and bundle.card
    if bundle is not None:
        fill_model(model, bundle)
        model.dataset_meta = bundle.card.get('dataset_meta')
    elif checkpoint is None:
        model.init_weights()
    else:
        loaded = _load_checkpoint(str(checkpoint), map_location='cpu')
        load_weights(model, loaded, str(checkpoint), strict=True)
        model.dataset_meta = (loaded.get('meta') or {}).get('dataset_meta')
    return model.to(device).eval()


def _read_config(config, options: dict):
    """Return a config of a file, of a bundle (a dict) or of an object, with options set."""
    from mmengine.config import Config

    from mmssl.utils.setup import load_config

    if isinstance(config, (str, Path)):
        return load_config(config, options)
    cfg = Config(config) if isinstance(config, dict) else copy.deepcopy(config)
    cfg.merge_from_dict(options)
    return cfg


@torch.no_grad()
def inference_model(
    model: nn.Module,
    images: Image | Sequence[Image],
    batch_size: int = 8,
    domain: str | None = None,
) -> list:
    """Predict images with a model from `init_model`.

    Images are read and prepared as the test data of the model's config: with its key, range of
    intensities, geometry and channels.

    Args:
        model: the model.
        images: image file, or array (H, W) or (H, W, C) in RGB order; or a list of them. Arrays
            are uint8, or of any real type where the config has a `value_range`. A model of whole
            volumes takes (D, H, W) or (D, H, W, C) of any real type, in the order of its axes.
        batch_size: images or slices in one forward pass; whole volumes go one by one.
        domain: whose options are used, where the domains of the config are not read alike.

    Returns:
        One `SegDataSample` per image: `pred_sem_seg` and, for each student, `pred_<name>` with
        class ids at the image's own size, (1, H, W), (Z, H, W) for the slices of a volume, or
        (1, D, H, W) of a whole volume.
        Its metainfo has `spacing` and `affine` where the file says them.

    Raises:
        FileNotFoundError: an image file does not exist.
        ValueError: a file cannot be used, an array has another shape or number of channels, or
            there is no such domain.
    """
    from mmengine.dataset import pseudo_collate
    from mmengine.registry import init_default_scope

    trained: Any = model  # with what `init_model` noted on it
    init_default_scope(trained.cfg.get('default_scope', 'mmssl'))
    several = [images] if isinstance(images, str | Path | np.ndarray) else images
    pipeline = TestPipeline(trained.cfg, domain)
    parts = [pipeline.parts(image) for image in several]
    flat = [part for slices in parts for part in slices]
    samples = []
    batch_size = 1 if pipeline.whole else batch_size
    for start in range(0, len(flat), batch_size):
        packed = [pipeline(part) for part in flat[start : start + batch_size]]
        with trained.precision.autocast():
            samples += trained.test_step(pseudo_collate(packed))
    rest = iter(samples)
    return [_joined([next(rest) for _ in slices], slices) for slices in parts]


def _joined(samples: list, parts: list[dict]):
    """Return the predictions of an image's slices as one sample."""
    first = samples[0]
    for key in first.keys() if len(samples) > 1 else ():
        if key.startswith('pred_'):
            first.get(key).data = torch.cat([sample.get(key).data for sample in samples])
    first.set_metainfo({key: parts[0][key] for key in ('name', 'spacing', 'affine')})
    return first


class TestPipeline:
    """The transforms of a config's test data set, for images that are in no data set.

    Args:
        cfg: config of a training.
        domain: whose options are used, where the domains of the config are not read alike.
        frame: which volume of a file of several, in place of the config's.
        series: which series of a DICOM folder, in place of the config's.
        value_range: the intensities that become 0 and 255, in place of the config's.

    Raises:
        ValueError: there is no such domain, or none is named where they differ.
    """

    def __init__(
        self,
        cfg,
        domain: str | None = None,
        frame: int | None = None,
        series: str | int | None = None,
        value_range: Sequence[float] | str | None = None,
    ) -> None:
        from mmssl.registry import DATASETS

        dataset = DATASETS.build(dict(cfg.test_dataloader.dataset, lazy_init=True))
        self.steps = [*dataset.prepare, *dataset.pipeline]
        self.layout, self.sizes = self._layout(dataset.layouts, domain), dataset.sizes
        self.whole = dataset.sample == 'volume'
        self._check_wishes(frame, value_range)
        if value_range is not None:
            self.layout = self.layout.override({'value_range': value_range})
        self.metainfo = dataset.metainfo
        chosen = {'frame': frame, 'series': series}
        self.axes = self.layout.axes._replace(
            **{name: value for name, value in chosen.items() if value is not None}
        )

    def _check_wishes(self, frame: int | None, value_range: object) -> None:
        """Refuse what a model of whole volumes has no use for."""
        if self.whole and value_range is not None:
            raise ValueError(
                'A value range is for models of slices: the model takes whole volumes, whose '
                'intensities NormaliseIntensity of its config scales.'
            )
        if self.whole and frame is not None and len(self.layout.frames) > 1:
            raise ValueError(
                f'frame = {frame}: the model takes the frames {list(self.layout.frames)} of a file '
                'as channels. Leave out the frame.'
            )

    def _layout(self, layouts: dict, domain: str | None):
        if domain is not None and domain not in layouts:
            raise ValueError(f'domain = "{domain}" is not known (known: {", ".join(layouts)}).')
        options = ('channels', 'image_key', 'value_range', 'axes', 'spacing')
        ways = {str([getattr(layout, name) for name in options]) for layout in layouts.values()}
        if domain is None and len(ways) > 1:
            raise ValueError(
                'The domains of the config are not read alike; say whose options count: '
                f'domain="{next(iter(layouts))}" (known: {", ".join(layouts)}).'
            )
        return layouts[domain or next(iter(layouts))]

    def parts(self, image: Image, series: str | int | None = None) -> list[dict]:
        """Return what the pipeline starts from: of an image, each slice, or a whole volume.

        Args:
            image: image file, folder of a DICOM series, or array.
            series: the series of the folder, where it has several.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file or array cannot be used.
        """
        from mmssl.datasets.reading import holds_volumes, open_image
        from mmssl.datasets.reading.errors import check_file

        layout = self.layout
        axes = self.axes if series is None else self.axes._replace(series=series)
        results = dict.fromkeys(('domain', 'case', 'slice', 'img_path', 'index', 'affine'))
        results.update(
            labelled=False, channels=layout.channels, image_key=layout.image_key,
            value_range=layout.value_range, axes=axes, spacing=layout.spacing,
            sizes=self.sizes,
        )  # fmt: skip
        if self.whole:
            results['frames'] = self._frames()
        if isinstance(image, np.ndarray):
            array = self._check(image)
            return [dict(results, img=array, ori_shape=array.shape[:-1], name='array')]
        path = str(image)
        results.update(img_path=path, name=Path(path).name)
        if self.whole:
            return [self._volume(results, path, axes)]
        if not holds_volumes(path):
            check_file(path)
            return [results]
        file = open_image(path, layout.image_key, axes)
        results.update(affine=file.affine, spacing=file.spacing or layout.spacing, file=file)
        if len(file.shape) == 2:
            return [results]
        return [dict(results, index=index, slice=str(index + 1)) for index in range(file.shape[0])]

    def _frames(self) -> tuple[int, ...]:
        """Return the frames that become the channels of a volume: the config's, or the chosen."""
        several = len(self.layout.frames) > 1 or self.axes.frame is None
        return self.layout.frames if several else (self.axes.frame,)

    def _volume(self, results: dict, path: str, axes: Any) -> dict:
        """Return what the pipeline starts from, for a whole volume.

        Raises:
            ValueError: the file is a picture or a single slice.
        """
        from mmssl.datasets.reading import holds_volumes, open_image
        from mmssl.datasets.reading.errors import check_file

        file = None
        if holds_volumes(path):
            file = open_image(path, self.layout.image_key, axes)
        else:
            check_file(path)
        if file is None or len(file.shape) == 2:
            raise ValueError(
                f'{path} is a picture, but the model takes whole volumes. Give it a file of one, '
                'such as NIfTI, or the folder of a DICOM series.'
            )
        spacing = file.spacing or self.layout.spacing
        return dict(results, affine=file.affine, spacing=spacing, file=file)

    def __call__(self, results: dict) -> dict:
        """Return one image, slice or volume as the test pipeline packs it."""
        from mmssl.datasets.transforms.loading import LoadImage
        from mmssl.datasets.transforms.whole import LoadVolume

        steps = self.steps
        if 'img' in results:
            steps = [step for step in steps if not isinstance(step, LoadImage | LoadVolume)]
        for step in steps:
            results = step(results)
        return results

    def _check(self, image: np.ndarray) -> np.ndarray:
        from mmssl.datasets.reading.decode import to_uint8

        if self.whole:
            return self._check_volume(image)
        image = image[..., None] if image.ndim == 2 else image
        channels, ranged = self.layout.channels, self.layout.value_range is not None
        known = image.dtype == np.uint8 or (ranged and image.dtype.kind in 'biuf')
        if not known or image.ndim != 3 or image.shape[2] != channels or 0 in image.shape:
            kind = 'real numbers' if ranged else 'uint8'
            raise ValueError(
                f'An image array is {image.dtype} {image.shape}; the model takes {kind} '
                f'(H, W, {channels}). Convert it so, or write it to a file of that kind'
                + ('.' if ranged else ', or set value_range in the config of the data set.')
            )
        return to_uint8(image, self.layout.value_range, 'an image array')

    def _check_volume(self, volume: np.ndarray) -> np.ndarray:
        """Return an array as `LoadVolume` reads a file, float32 (D, H, W, C)."""
        volume = volume[..., None] if volume.ndim == 3 else volume
        channels = max(1, len(self.layout.frames))
        good = volume.ndim == 4 and volume.shape[-1] == channels and 0 not in volume.shape
        if not good or volume.dtype.kind not in 'biuf' or not np.isfinite(volume).all():
            raise ValueError(
                f'A volume array is {volume.dtype} {volume.shape}; the model takes finite real '
                f'numbers (D, H, W, {channels}).'
            )
        return volume.astype(np.float32)
