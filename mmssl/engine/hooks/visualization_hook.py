"""Overlays of image, truth, students and teachers, while training and at test."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mmssl.engine.looking import (
    class_maps,
    spread_over_domains,
    untouched,
)
from mmssl.registry import HOOKS
from mmssl.utils.dist import unwrapped
from mmssl.utils.file_names import file_names
from mmssl.visualization.overlay import overlay_strip, write_image
from mmssl.visualization.planes import volume_strip


@HOOKS.register_module()
class SegVisualizationHook(Hook):
    """Draw image, truth, both students and both teachers side by side, as one PNG per image.

    Of a whole volume three planes are drawn, one below the other.

    While training it takes the same first images of each domain of the validation data, so that
    progress is seen on them and no mask of an unlabelled training image is opened. The model's
    modes, statistics and random states are left as they were. Pictures go to
    `<work_dir>/vis_data/vis_image` and to the visualizer's backends (TensorBoard) if there are
    any beyond the local one.

    Args:
        interval: iterations between two sets of pictures while training; 0 draws none.
        num: pictures in a set.
        draw: draw while testing (`--show-dir`).
        out_dir: folder of the pictures; None takes the folder above.
        test_interval: at test, draw each n-th image.
        teachers: whether the teachers are drawn too.
        height: height of a panel in pixels.
    """

    priority = 'LOW'

    def __init__(
        self,
        interval: int = 5000,
        num: int = 8,
        draw: bool = False,
        out_dir: str | None = None,
        test_interval: int = 1,
        teachers: bool = True,
        height: int = 256,
    ) -> None:
        if test_interval < 1:
            raise ValueError(f'test_interval must be at least 1, but is {test_interval}.')
        self.interval, self.num = interval, num
        self.draw, self.out_dir = draw, out_dir
        self.test_interval = test_interval
        self.teachers, self.height = teachers, height
        self._tested = 0
        self._failed = False
        self._names: tuple | None = None

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Draw a set of validation images every `interval` iterations and at the last."""
        if self.interval <= 0 or not is_main_process():
            return
        due = self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)
        if not due or runner.val_loop is None:
            return
        dataset, model = runner.val_loop.dataloader.dataset, unwrapped(runner.model)
        step = runner.iter + 1
        with untouched(model):
            for index in spread_over_domains(dataset, self.num):
                sample = dataset[index]
                maps = class_maps(model, sample, teachers=self.teachers)
                strip, name = self._strip(sample['inputs'], sample['data_samples'], maps, dataset)
                self._write(runner, strip, f'iter_{step:06d}_{name}')
                self._send(runner, strip, name, step)

    def before_test_epoch(self, runner) -> None:
        """Count the images from the first one again."""
        self._tested = 0

    def after_test_iter(self, runner, batch_idx: int, data_batch: dict, outputs: Sequence) -> None:
        """Draw the images of a test batch."""
        if not self.draw:
            return
        dataset, model = runner.test_loop.dataloader.dataset, unwrapped(runner.model)
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            self._tested += 1
            if (self._tested - 1) % self.test_interval:
                continue
            maps = {
                f'{name} student': _array(sample.get(f'pred_{name}'))
                for name in sample.metainfo['students']
            }
            if self.teachers:
                packed = dict(inputs=image, data_samples=sample)
                with untouched(model):
                    maps.update(class_maps(model, packed, students=False))
            strip, name = self._strip(image, sample, maps, dataset)
            self._write(runner, strip, name)

    def _strip(self, image, sample, maps: dict, dataset) -> tuple[np.ndarray, str]:
        """Return the picture and the name of one image (C, H, W) or volume (C, D, H, W)."""
        meta, info = sample.metainfo, dataset.metainfo
        name = '_'.join(_called(meta))
        truth = _array(sample.gt_sem_seg) if 'gt_sem_seg' in sample else None
        shown = np.moveaxis(image.cpu().numpy(), 0, -1)
        told = info['palette'], info.get('classes', ()), truth, name, self.height
        if shown.ndim == 4:
            strip = volume_strip(shown, maps, *told, spacing=meta.get('spacing'))
        else:
            strip = overlay_strip(shown, maps, *told)
        return strip, self._file_name(dataset, meta)

    def _file_name(self, dataset, meta: dict) -> str:
        """Return the name of an image's picture, which no other image of the data set has."""
        if self._names is None or self._names[0] is not dataset:
            samples = getattr(dataset, 'samples', ())
            self._names = dataset, file_names((one.domain, one.name) for one in samples)
        called = _called(meta)
        return self._names[1].get(called) or file_names([called])[called]

    def _write(self, runner, strip: np.ndarray, name: str) -> None:
        folder = Path(self.out_dir or Path(runner.work_dir) / 'vis_data' / 'vis_image')
        try:
            write_image(folder / f'{name}.png', strip)
        except OSError as error:  # a picture is not worth a training
            if not self._failed:
                runner.logger.warning(f'Picture {folder / name}.png was not written: {error}')
            self._failed = True

    def _send(self, runner, strip: np.ndarray, name: str, step: int) -> None:
        for backend in getattr(runner.visualizer, '_vis_backends', {}).values():
            if type(backend).__name__ != 'LocalVisBackend':
                backend.add_image(f'overlay/{name}', strip, step=step)


def _called(meta: dict) -> tuple[str, ...]:
    """Return domain and name of an image, as far as they are known."""
    return tuple(str(meta[key]) for key in ('domain', 'name') if meta.get(key) is not None)


def _array(field) -> np.ndarray:
    return field.data.squeeze(0).cpu().numpy()
