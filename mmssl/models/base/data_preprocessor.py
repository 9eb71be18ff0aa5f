"""From the loader's batch to the views that each network sees, on the device."""

from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmssl.registry import MODELS
from mmssl.utils.resize import resize_nearest

IMAGE_VIEWS = ('x_w', 'x_s', 'u_w', 'u_s', 'u_s2')
LABELS = ('y', 'y_s')
BOXES = ('box', 'box2')


@MODELS.register_module()
class SemiDataPreprocessor(BaseDataPreprocessor):
    """Scale the images and bring every view to each student's own size.

    The loader delivers 8-bit views at one size. Images and labels are brought to the students'
    sizes on the corner-aligned nearest grid (`mmssl.utils.resize.nearest_index`), so that both
    networks see the same crop and the same strength of augmentation.

    Args:
        students: names of the students; filled in by `SemiSegmentor`.
        sizes: for a student `dict(image=..., label=...)`, the side in pixels of its input and of
            the label maps that its logits are compared with. What is not named keeps its size.
            `channels=3` repeats a grey image for a network that has seen colour photographs.
        mean: subtracted from the grey values 0 to 255.
        std: divides the difference; (0, 255) gives [0, 1] and (127.5, 127.5) gives [-1, 1].

    Raises:
        ValueError: if `sizes` names a student that does not exist.
    """

    def __init__(
        self,
        students: Sequence[str] = (),
        sizes: Mapping[str, Mapping[str, int]] | None = None,
        mean: float = 0.0,
        std: float = 255.0,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        self.students = tuple(students)
        self.sizes = {name: dict(size) for name, size in (sizes or {}).items()}
        self.mean = mean
        self.std = std
        unknown = set(self.sizes) - set(self.students)
        if unknown:
            raise ValueError(
                f'data_preprocessor.sizes names {sorted(unknown)}, but the students are '
                f'{list(self.students)}'
            )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return `data` with `inputs` replaced by the views of each student.

        In training `inputs` becomes a dict of view name to (student name to tensor): images
        (N, C, S, S) in float, labels `y` and `y_s` (N, S, S) in long; further entries (`box`) are
        passed on, boxes with the side of their square where the data samples have it (`box_side`).
        At test time it becomes a dict of student name to image (N, C, S, S).
        """
        inputs = data['inputs']
        if not isinstance(inputs, Mapping):
            inputs = {'image': torch.stack(list(inputs)) if not torch.is_tensor(inputs) else inputs}
            inputs = self.cast_data(inputs)
            return {**data, 'inputs': self.image_views(inputs['image'])}
        inputs = self.cast_data(dict(inputs))
        batch = {}
        for key, value in inputs.items():
            if key in IMAGE_VIEWS:
                batch[key] = self.image_views(value)
            elif key in LABELS:
                batch[key] = {n: self._resize(value, n, 'label').long() for n in self.students}
            else:
                batch[key] = value
        samples = (data.get('data_samples') or {}).get('unlabelled') or [{}]
        sides = {f'{key}_side': samples[0].get(f'{key}_size') for key in BOXES if key in batch}
        batch.update({key: side for key, side in sides.items() if side is not None})
        return {**data, 'inputs': batch}

    def image_views(self, image: Tensor) -> dict[str, Tensor]:
        """Return the image (N, C, H, W) scaled and at each student's size."""
        views = {
            n: (self._resize(image, n, 'image').float() - self.mean) / self.std
            for n in self.students
        }
        for name, size in self.sizes.items():
            if views[name].shape[1] == 1:
                views[name] = views[name].expand(-1, size.get('channels', 1), -1, -1)
        return views

    def _resize(self, x: Tensor, student: str, kind: str) -> Tensor:
        side = self.sizes.get(student, {}).get(kind)
        return x if side is None else resize_nearest(x, (side, side))
