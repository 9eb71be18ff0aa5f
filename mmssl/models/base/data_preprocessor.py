"""From the loader's batch to the views that each network sees, on the device."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from mmssl.models.base.normalisation import Normalisation
from mmssl.registry import MODELS
from mmssl.structures import is_image
from mmssl.utils.resize import as_size, resize_nearest

OF_STUDENT = ('image', 'label', 'channels', 'mean', 'std')
"""What `sizes` may say of a student."""


@MODELS.register_module()
class SemiDataPreprocessor(BaseDataPreprocessor):
    """Scale the images and bring every view to each student's own size.

    The loader delivers views at one size, slices in 8 bits or volumes in float. Images and labels
    are brought to the students' sizes on the corner-aligned nearest grid
    (`mmssl.utils.resize.nearest_index`), so that both networks see the same crop and the same
    strength of augmentation. Every view of images (N, C, H, W) or (N, C, D, H, W), `x_...` and
    `u_...`, is treated alike, and every label `y...` (N, H, W) or (N, D, H, W). Volumes that the
    pipeline has normalised keep their values with `mean=0, std=1`.

    Args:
        students: names of the students; filled in by `SemiSegmentor`.
        sizes: for a student `dict(image=..., label=...)`, the side in pixels of its input and of
            the label maps that its logits are compared with, or a number for each axis. What is
            not named keeps its size.
            `channels=3` repeats a grey image for a network that has seen colour photographs;
            `mean` and `std` are its own, e.g. those of ImageNet.
        mean: subtracted from the grey values 0 to 255; one number, or one for each channel.
        std: divides the difference; (0, 255) gives [0, 1] and (127.5, 127.5) gives [-1, 1].
        batch_augments: what happens to a training batch first, before it is scaled and sized, e.g.
            `dict(type='UnlabelledStyle')`; each takes and returns the views of the loader.

    Raises:
        ValueError: if `sizes` names a student that does not exist or says something unknown of
            one, or a standard deviation is not above 0.
    """

    def __init__(
        self,
        students: Sequence[str] = (),
        sizes: Mapping[str, Mapping[str, Any]] | None = None,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 255.0,
        batch_augments: Sequence[Mapping[str, Any]] = (),
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        self.students = tuple(students)
        self.sizes = {name: dict(size) for name, size in (sizes or {}).items()}
        self.mean, self.std = mean, std
        self.batch_augments = nn.ModuleList(MODELS.build(dict(one)) for one in batch_augments)
        if unknown := set(self.sizes) - set(self.students):
            raise ValueError(
                f'data_preprocessor.sizes names {sorted(unknown)}, but the students are '
                f'{list(self.students)}'
            )
        for name, size in self.sizes.items():
            if odd := set(size) - set(OF_STUDENT):
                raise ValueError(
                    f'data_preprocessor.sizes.{name} has {sorted(odd)}; known are '
                    f'{", ".join(OF_STUDENT)}'
                )
            for key in ('image', 'label', 'channels'):
                _check_size(f'data_preprocessor.sizes.{name}.{key}', size.get(key), key)
        self.norms = {
            name: Normalisation(
                self.sizes.get(name, {}).get('mean', mean),
                self.sizes.get(name, {}).get('std', std),
                f'data_preprocessor of "{name}"',
            )
            for name in self.students
        }

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return `data` with `inputs` replaced by the views of each student.

        In training `inputs` becomes a dict of view name to (student name to tensor): images
        (N, C, S, S) in float, labels `y` and `y_s` (N, S, S) in long; further entries (`box`) are
        passed on. At test time it becomes a dict of student name to image (N, C, S, S).
        """
        inputs = data['inputs']
        if not isinstance(inputs, Mapping):
            inputs = {'image': inputs if torch.is_tensor(inputs) else _stack(list(inputs))}
            inputs = self.cast_data(inputs)
            return {**data, 'inputs': self.image_views(inputs['image'])}
        inputs = self.cast_data(dict(inputs))
        for augment in self.batch_augments if training else ():
            inputs = augment(inputs)
        batch: dict[str, Any] = {}
        for key, value in inputs.items():
            if is_image(key):
                batch[key] = self.image_views(value)
            elif key.partition('_')[0] == 'y':
                batch[key] = {n: self._resize(value, n, 'label').long() for n in self.students}
            else:
                batch[key] = value
        return {**data, 'inputs': batch}

    def image_views(self, image: Tensor) -> dict[str, Tensor]:
        """Return the image (N, C, H, W) scaled and at each student's size."""
        sized = {name: self._resize(image, name, 'image') for name in self.students}
        return {name: self.view_of(name, x) for name, x in sized.items()}

    def view_of(self, name: str, image: Tensor) -> Tensor:
        """Return grey values (N, C, H, W) scaled, with a student's channels, at their size."""
        x = image.float()
        wanted = self.sizes.get(name, {}).get('channels') or x.shape[1]
        several = self.norms[name].channels > 1
        if several and x.shape[1] == 1:  # each copy has a mean of its own
            x = x.expand(-1, wanted, *x.shape[2:])
        x = self.norms[name](x)
        return x.expand(-1, wanted, *x.shape[2:]) if x.shape[1] == 1 else x

    def grey(self, name: str, x: Tensor) -> Tensor:
        """Return a student's images as grey values 0 to 255, the way back."""
        return self.norms[name].back(x)

    def scaled(self, name: str, grey: Tensor) -> Tensor:
        """Return grey values 0 to 255 as a student's images."""
        return self.norms[name](grey)

    def _resize(self, x: Tensor, student: str, kind: str) -> Tensor:
        side = self.sizes.get(student, {}).get(kind)
        axes = x.dim() - (2 if kind == 'image' else 1)
        return x if side is None else resize_nearest(x, as_size(side, axes))


def _stack(images: list[Tensor]) -> Tensor:
    """Return test images as one batch.

    Raises:
        ValueError: they differ in size.
    """
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ValueError(
            f'Images of one batch differ in size, {sorted(shapes)}: set batch_size=1 where they '
            'are tested or looked at, or bring them to one size in `prepare`.'
        )
    return torch.stack(images)


def _check_size(option: str, value: Any, key: str) -> None:
    """Raise ValueError where a side, a number for each axis or a count is none."""
    several = isinstance(value, Sequence) and not isinstance(value, str) and key != 'channels'
    numbers = value if several and len(value) else [value]
    if value is None or all(type(number) is int and number >= 1 for number in numbers):
        return
    raise ValueError(
        f'{option} is {value!r}; it must be a whole number of at least 1'
        + ', one for each axis,' * (key != 'channels')
        + ' or None'
    )
