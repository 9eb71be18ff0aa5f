"""Build a trained model and predict images with it."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path

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
        config: config file, or a config object.
        checkpoint: file with the weights; None initialises them.
        device: where the model is put.
        cfg_options: values that override the config's, by dotted name.

    Returns:
        The model in evaluation mode, with the config as `cfg`, what `test_cfg.fp16` asks for and
        the device computes well as `precision` and, from the checkpoint, what is known of the data
        set as `dataset_meta`.

    Raises:
        ValueError: the weights are not this model's, or the file is refused.
    """
    from mmengine.registry import init_default_scope
    from mmengine.runner.checkpoint import _load_checkpoint

    from mmssl.engine.checkpoints.weights import load_weights
    from mmssl.engine.precision import choose
    from mmssl.registry import MODELS
    from mmssl.utils.setup import load_config, register_all_modules

    register_all_modules(init_default_scope=False)
    if isinstance(config, (str, Path)):
        cfg = load_config(config, cfg_options)
    else:
        cfg = copy.deepcopy(config)
        cfg.merge_from_dict(cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmssl'))
    model = MODELS.build(cfg.model)
    model.cfg, model.dataset_meta = cfg, None
    fp16 = (cfg.get('test_cfg') or {}).get('fp16', False)
    model.precision = choose(fp16, 'prediction', 'test_cfg.fp16', torch.device(device).type)
    if checkpoint is None:
        model.init_weights()
    else:
        loaded = _load_checkpoint(str(checkpoint), map_location='cpu')
        load_weights(model, loaded, str(checkpoint), strict=True)
        model.dataset_meta = (loaded.get('meta') or {}).get('dataset_meta')
    return model.to(device).eval()


@torch.no_grad()
def inference_model(
    model: nn.Module, images: Image | Sequence[Image], batch_size: int = 8
) -> list:
    """Predict images with a model from `init_model`.

    Images are prepared as the test data of the model's config.

    Args:
        model: the model.
        images: image file, or array uint8 (H, W) or (H, W, C) in RGB order; or a list of them.
        batch_size: images in one forward pass.

    Returns:
        One `SegDataSample` per image: `pred_sem_seg` and, for each student, `pred_<name>` with
        class ids (1, H, W) at the image's own size.

    Raises:
        FileNotFoundError: an image file does not exist.
        ValueError: an array has another type, shape or number of channels.
    """
    from mmengine.dataset import pseudo_collate
    from mmengine.registry import init_default_scope

    init_default_scope(model.cfg.get('default_scope', 'mmssl'))
    single = isinstance(images, (str, Path, np.ndarray))
    pipeline = _TestPipeline(model.cfg)
    packed = [pipeline(image) for image in ([images] if single else images)]
    samples = []
    for start in range(0, len(packed), batch_size):
        with model.precision.autocast():
            samples += model.test_step(pseudo_collate(packed[start : start + batch_size]))
    return samples


class _TestPipeline:
    """The transforms of a config's test data set, for images that are in no data set."""

    def __init__(self, cfg):
        from mmssl.registry import DATASETS

        dataset = DATASETS.build(dict(cfg.test_dataloader.dataset, lazy_init=True))
        self.steps = [*dataset.prepare, *dataset.pipeline]
        self.channels = next(iter(dataset.layouts.values())).channels

    def __call__(self, image: Image) -> dict:
        from mmssl.datasets.transforms.loading import LoadImage

        results = dict.fromkeys(('domain', 'case', 'slice', 'spacing', 'img_path', 'name'))
        results.update(labelled=False, channels=self.channels)
        steps = self.steps
        if isinstance(image, np.ndarray):
            results.update(img=self._check(image), ori_shape=image.shape[:2], name='array')
            steps = [step for step in steps if not isinstance(step, LoadImage)]
        else:
            if not os.path.isfile(image):
                raise FileNotFoundError(f'Image "{image}" does not exist')
            results.update(img_path=str(image), name=Path(image).name)
        for step in steps:
            results = step(results)
        return results

    def _check(self, image: np.ndarray) -> np.ndarray:
        image = image[..., None] if image.ndim == 2 else image
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != self.channels:
            raise ValueError(
                f'An image array is {image.dtype} {image.shape}; the model takes uint8 '
                f'(H, W, {self.channels})'
            )
        return image
