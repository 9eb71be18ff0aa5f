"""Predict images and volumes, and lay the masks where the images lie."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mmssl.apis.inference import Image, TestPipeline
from mmssl.apis.prediction.background import ahead
from mmssl.apis.prediction.maps import maps_of
from mmssl.apis.prediction.networks import all_networks, ask, choose_networks
from mmssl.apis.prediction.result import Prediction
from mmssl.apis.prediction.wishes import Chosen, Wishes

if TYPE_CHECKING:
    from mmssl.datasets.reading import ImageFile


def predict(model: nn.Module, image: Image, **options: Any) -> Prediction:
    """Predict an image or volume with a model from `init_model`.

    Args:
        model: the model.
        image: file of any format that training reads, the folder of a DICOM series, or an array
            as `inference_model` takes it.
        **options: see `Wishes`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file, the array or an option cannot be used.

    Example::

        model = init_model('model.mmssl')
        result = predict(model, 'scan.nii.gz', tta='flips')
        result.sizes(), result.parts['tumour'], result.affine
        result.save('mask.nii.gz')
    """
    [(_, found)] = Predictor(model, Wishes(**options)).stream([image])
    if isinstance(found, Exception):
        raise found
    return found


class _Under:
    """An image under way: what is known of it, and of its slices so far.

    Args:
        image: what is predicted.
        slices: what the pipeline starts from, for each slice.
    """

    def __init__(self, image: Image | Chosen, slices: Sequence[dict]) -> None:
        self.image, self.slices = image, slices
        self.file: ImageFile | None = slices[0].get('file')
        self.whole = 'frames' in slices[0]
        self.spacing: tuple[float, ...] | None = None
        self.notes: list[str] = []
        self.maps: dict[str, np.ndarray] = {}
        self.left = len(slices)
        self.error: Exception | None = None

    def put(self, index: int, name: str, value: Tensor, dtype: type) -> None:
        """Keep a map (..., H, W) of a slice, or (..., D, H, W) of a whole volume."""
        shape = tuple(value.shape)
        if self.whole:
            self.maps[name] = value.cpu().numpy().astype(dtype, copy=False)
            return
        if name not in self.maps:
            self.maps[name] = np.zeros((*shape[:-2], len(self.slices), *shape[-2:]), dtype)
        self.maps[name][..., index, :, :] = value.cpu().numpy()


class Predictor:
    """Predict a stream of images: slices of all of them share the batches.

    A model of slices computes with `speed.attention='sdpa'` and `speed.channels_last` from then on.

    Args:
        model: of `init_model`.
        wishes: how.

    Raises:
        ValueError: the model has not what is asked for.
    """

    def __init__(self, model: Any, wishes: Wishes) -> None:
        from mmengine.registry import init_default_scope

        from mmssl.engine.speed import Speed
        from mmssl.writing import Labels

        self.model = model
        init_default_scope(self.model.cfg.get('default_scope', 'mmssl'))
        self.wishes = wishes
        self.pipeline = TestPipeline(
            self.model.cfg, wishes.domain, wishes.frame, wishes.series, wishes.value_range
        )
        # A volume fills the memory by itself.
        self.batch_size = 1 if self.pipeline.whole else wishes.batch_size
        if not self.pipeline.whole:  # convolutions of volumes gain nothing
            Speed(attention='sdpa', channels_last=True).apply(self.model)
        self.networks = choose_networks(self.model, wishes.student, wishes.teacher, wishes.ensemble)
        self.others = all_networks(self.model) if wishes.uncertainty else []
        classes = self.model.label_space.table.shape[1]
        self.labels = Labels.of(self.pipeline.metainfo, classes)
        wishes.cleaning.check(self.labels.parts)

    def stream(
        self, images: Iterable[Image | Chosen], seen: Callable[[int], object] = lambda number: None
    ) -> Iterator[tuple[Image | Chosen, Prediction | Exception]]:
        """Give each image with what is predicted, or with the error that kept it from that.

        Files are read ahead in a thread; a few images at most are held in memory.

        Args:
            images: the images, in the order in which they come back.
            seen: is told the number of slices of each batch.
        """
        batch: list[tuple[_Under, int, dict]] = []
        waiting: list[_Under] = []
        ready = 1 if self.pipeline.whole else 2 * self.batch_size
        with closing(ahead(self._read(images), ready)) as slices:
            for under, index, packed in slices:
                if not waiting or waiting[-1] is not under:
                    waiting.append(under)
                if packed is None:
                    under.left = 0
                elif batch and batch[0][2]['inputs'].shape != packed['inputs'].shape:
                    seen(self._run(batch))
                    batch = [(under, index, packed)]
                else:
                    batch.append((under, index, packed))
                if len(batch) == self.batch_size:
                    seen(self._run(batch))
                    batch = []
                while waiting and not waiting[0].left:
                    yield self._finish(waiting.pop(0))
            seen(self._run(batch))
        for under in waiting:
            yield self._finish(under)

    def _read(self, images: Iterable[Image | Chosen]) -> Iterator[tuple[_Under, int, dict | None]]:
        """Give every slice as the pipeline packs it; None behind a slice that cannot be read."""
        for image in images:
            try:
                which = image if isinstance(image, Chosen) else Chosen(image)
                under = _Under(image, self.pipeline.parts(*which))
                under.notes += self._notes(under.slices)
            except Exception as error:
                under = _Under(image, [{}])
                under.error = error
                yield under, 0, None
                continue
            for index, start in enumerate(under.slices):
                try:
                    packed = self.pipeline(dict(start))
                except Exception as error:
                    under.error = error
                    yield under, index, None
                    break
                yield under, index, packed

    def _notes(self, slices: Sequence[dict]) -> Iterator[str]:
        """Say how an image differs from the training data, as far as the model knows them."""
        from mmssl.bundles import channels_of, far_from_training
        from mmssl.datasets.reading.decode import read_array

        card, middle = getattr(self.model, 'bundle', None), slices[len(slices) // 2]
        if not card or middle.get('img_path') is None:
            return
        key, index = middle['image_key'] or 'image', middle['index']
        file = middle.get('file')
        if self.pipeline.whole and file is not None:
            index = file.shape[0] // 2
        array = read_array(middle['img_path'], key, index, middle['axes'])
        # Raw files have other intensities than the prepared images of the training.
        known = array if self.wishes.value_range is None else None
        note = far_from_training(
            card, middle['spacing'], array.shape[:2] if file is None else file.shape, known,
            channels_of(array),
        )  # fmt: skip
        yield from [note] if note else []

    @torch.no_grad()
    def _run(self, batch: Sequence[tuple[_Under, int, dict]]) -> int:
        """Predict a batch, give each image its slices, and return the number of these."""
        from mmengine.dataset import pseudo_collate

        batch = [one for one in batch if one[0].error is None]
        if not batch:
            return 0
        try:
            with self.model.precision.autocast():
                packed = pseudo_collate([packed for _, _, packed in batch])
                data = self.model.data_preprocessor(packed, False)
                asked = [*dict.fromkeys([*self.networks, *self.others])]
                answers = ask(self.model, data, asked, self.wishes.tta)
        except Exception as error:
            for under, _, _ in batch:
                under.error, under.left = error, 0
            return len(batch)
        for number, (under, index, packed) in enumerate(batch):
            scores = {network: answers[network][number].float() for network in asked}
            size = tuple(int(side) for side in packed['data_samples'].ori_shape)
            under.spacing = packed['data_samples'].get('spacing')
            maps = maps_of(scores, size, self.networks, self.others, self.wishes)
            for name, (value, dtype) in maps.items():
                under.put(index, name, value, dtype)
            under.left -= 1
        return len(batch)

    def _finish(self, under: _Under) -> tuple[Image | Chosen, Prediction | Exception]:
        """Return an image with its prediction, made whole and cleaned."""
        if under.error is not None:
            return under.image, under.error
        from mmssl.datasets.reading import ImageFile, Turn

        maps = under.maps
        flat = under.file is None or len(under.file.shape) == 2
        if flat and not under.whole:
            maps = {name: one[..., 0, :, :] for name, one in maps.items()}
        classes = maps['classes']
        path = under.slices[0].get('img_path') or 'array'
        file = under.file or ImageFile(
            str(path), 'picture', classes.shape, classes.shape[::-1], None, Turn(), None,
            under.spacing,
        )  # fmt: skip
        spacing = under.slices[0].get('spacing') or under.spacing
        if self.wishes.cleaning:
            try:
                classes = self.wishes.cleaning(classes, self.labels.parts, spacing)
            except Exception as error:
                return under.image, error
        found = Prediction(
            classes,
            file,
            self.labels,
            spacing,
            file.affine,
            maps.get('probabilities'),
            maps.get('entropy'),
            maps.get('disagreement'),
            under.notes,
        )
        return under.image, found
