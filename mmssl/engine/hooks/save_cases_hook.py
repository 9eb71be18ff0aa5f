"""Every case of a test as a small file: image, truth, predictions, probabilities."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from torch import Tensor

from mmssl.engine.looking import prepare_inputs, untouched
from mmssl.evaluation.files import write_json
from mmssl.registry import HOOKS
from mmssl.utils.dist import unwrapped
from mmssl.utils.file_names import file_names
from mmssl.utils.io import write_atomic
from mmssl.utils.resize import resize_nearest

FILE = 'cases.json'
ABOUT = ('domain', 'case', 'volume', 'slice', 'index', 'name', 'spacing', 'ori_shape')


@HOOKS.register_module()
class SaveCasesHook(Hook):
    """Keep what a test saw and said, an `.npz` for each image or volume, for reports.

    A file has `image` (uint8, H x W, with a third axis of 3 for colours, volumes with D before),
    `truth` where there is one, the class maps `pred_<student>` and `teacher_<name>`, and
    `prob_<student>` (C, H, W): the probability of every class in steps of 1/255, on the grid of
    the class maps. `about` is a text of JSON with what is known of the case. `cases.json` beside
    them has the classes, the parts and the names of the students and teachers.

    The networks are asked once more for the probabilities, which doubles the time of a test.

    Args:
        out_dir: folder of the files.
        teachers: whether the teachers are asked, too.
    """

    priority = 'LOW'

    def __init__(self, out_dir: str, teachers: bool = True) -> None:
        self.out_dir, self.teachers = Path(out_dir), teachers
        self._names: dict[tuple[str, ...], str] = {}

    def before_test_epoch(self, runner) -> None:
        """Name the files, and write what all cases have in common."""
        dataset, model = runner.test_loop.dataloader.dataset, unwrapped(runner.model)
        samples = getattr(dataset, 'samples', ())
        self._names = file_names(_called(one.domain, one.name, one.index) for one in samples)
        self._asked = sorted(model.teachers) if self.teachers else []
        if not is_main_process():
            return
        for path in self.out_dir.glob('*.npz'):
            path.unlink()  # of an earlier test
        info = dataset.metainfo
        kept = ('dataset_name', 'classes', 'parts', 'palette', 'domains', 'without_masks')
        about = {key: info[key] for key in kept if key in info}
        students = list(model.outputs)
        write_json(self.out_dir / FILE, {**about, 'students': students, 'teachers': self._asked})

    def after_test_iter(self, runner, batch_idx: int, data_batch: dict, outputs: Sequence) -> None:
        """Write the cases of a test batch."""
        model = unwrapped(runner.model)
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            arrays = {'image': _picture(image)}
            if 'gt_sem_seg' in sample:
                arrays['truth'] = _class_map(sample.gt_sem_seg.data)
            size = tuple(sample.get(f'pred_{sample.metainfo["students"][0]}').data.shape[1:])
            with untouched(model):
                inputs = prepare_inputs(model, [dict(inputs=image, data_samples=sample)])
                for name in sample.metainfo['students']:
                    arrays[f'pred_{name}'] = _class_map(sample.get(f'pred_{name}').data)
                    (scores,) = model.scores(inputs, [sample], name)
                    prob = resize_nearest(scores.float().softmax(0), size)
                    arrays[f'prob_{name}'] = (255 * prob).round().to(torch.uint8).cpu().numpy()
                for name in self._asked:
                    (scores,) = model.scores(inputs, [sample], name, teacher=True)
                    arrays[f'teacher_{name}'] = _class_map(
                        resize_nearest(scores.argmax(0)[None], size)
                    )
            self._write(sample.metainfo, arrays)

    def _write(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        about = {key: _plain(meta.get(key)) for key in ABOUT}
        called = _called(*(meta.get(key) for key in ('domain', 'name', 'index')))
        name = self._names.get(called) or file_names([called])[called]
        file = io.BytesIO()
        arrays = {**arrays, 'about': np.array(json.dumps(about))}
        np.savez_compressed(file, allow_pickle=False, **arrays)
        write_atomic(self.out_dir / f'{name}.npz', file.getvalue())


def _called(*parts: Any) -> tuple[str, ...]:
    """Return what an image is called: domain, name, and number where a file has several."""
    return tuple(str(part) for part in parts if part is not None)


def _class_map(data: Tensor) -> np.ndarray:
    return data.squeeze(0).to(torch.uint8).cpu().numpy()


def _picture(image: Tensor) -> np.ndarray:
    """Return an image (C, ...) as uint8 (...) or, of three channels, (..., 3).

    Values that are no grey levels are stretched from their 0.5th to their 99.5th percentile.
    """
    values = image.cpu().float().numpy()
    if image.dtype != torch.uint8:
        low, high = np.percentile(values, [0.5, 99.5])
        values = 255 * (values - low) / max(high - low, 1e-6)
    values = np.clip(values, 0, 255).astype(np.uint8)
    return np.moveaxis(values, 0, -1) if len(values) == 3 else values[0]


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list, np.ndarray)):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value
