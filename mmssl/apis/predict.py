"""Predict images and volumes, and lay the masks where the images lie."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmssl.apis.background import ahead
from mmssl.apis.cleaning import Cleaning, counts, members
from mmssl.apis.inference import Image, TestPipeline
from mmssl.apis.networks import (
    TURNS,
    Network,
    all_networks,
    ask,
    choose_networks,
    disagreement,
    entropy,
    mean_of,
)
from mmssl.utils.resize import resize_bilinear, resize_nearest

if TYPE_CHECKING:
    from mmssl.datasets.reading import ImageFile
    from mmssl.writing import Labels


class Size(NamedTuple):
    """How large a part of a prediction is.

    Attributes:
        voxels: number of voxels or pixels.
        area_mm2: of a picture; None of a volume, and where the spacing is unknown.
        volume_ml: of a volume; None of a picture, and where the spacing is unknown.
    """

    voxels: int
    area_mm2: float | None
    volume_ml: float | None


@dataclass(eq=False)
class Prediction:
    """What a model says of an image.

    Attributes:
        classes: class ids, uint8, (H, W) or (Z, H, W), as the image was read (`affine` says how).
        file: the image file and its place; `file.restore(array)` puts an array into its order.
        labels: names, colours and parts of the classes.
        spacing: size of a pixel or voxel in mm in the order of the axes, None where unknown.
        affine: (column, row, slice) -> RAS in mm; None where the file does not say it.
        probabilities: (C, H, W) or (C, Z, H, W), float16, where asked for.
        entropy: of the probabilities, (H, W) or (Z, H, W), 0 to 1, where uncertainty was asked for.
        disagreement: of all students and teachers, likewise; None where there is one network.
        notes: what should be known of the input, such as that it is unlike the training data.
    """

    classes: np.ndarray
    file: 'ImageFile'
    labels: 'Labels'
    spacing: tuple[float, ...] | None = None
    affine: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    entropy: np.ndarray | None = None
    disagreement: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """Return the mask (H, W) or (Z, H, W) of each part; parts may overlap."""
        return {name: members(self.classes, ids) for name, ids in self.labels.parts.items()}

    def sizes(self) -> dict[str, Size]:
        """Return the size of each part."""
        voxels_of = counts(self.classes, max(256, len(self.labels.names)))
        flat = self.classes.ndim == 2
        sizes = (self.spacing or ())[-self.classes.ndim :]
        one = float(np.prod(sizes)) if len(sizes) == self.classes.ndim else None
        found = {}
        for name, ids in self.labels.parts.items():
            voxels = int(voxels_of[[*ids]].sum())
            size = None if one is None else voxels * one
            found[name] = Size(
                voxels,
                size if flat else None,
                size / 1000 if size is not None and not flat else None,
            )
        return found

    def save(self, path: str | Path) -> None:
        """Write the mask as a file of the kind of its image, which lies where the image lies."""
        from mmssl.writing import write_mask

        write_mask(Path(path), self.classes, self.file, self.labels)


class Chosen(NamedTuple):
    """A file, or one of several series of a DICOM folder.

    Attributes:
        path: the file or folder.
        series: UID of the series.
    """

    path: Image
    series: str | None = None


@dataclass(frozen=True)
class Wishes:
    """How to predict; options of `predict`.

    Args:
        student: the student to ask; None is the model's first.
        teacher: ask the teacher in its place.
        ensemble: ask all students, or all teachers, and average their probabilities.
        tta: test-time augmentation: `none`, `flips` (4), `turns` (4 quarter turns) or `all` (8).
        smooth: bring the probabilities to the image's size before the class is chosen, for edges
            without steps; otherwise the classes are, as the scores of the tables are computed.
        cleaning: rules for the components of the parts.
        probabilities: keep the probabilities of the classes.
        uncertainty: keep entropy and disagreement; this asks all students and teachers.
        batch_size: images or slices in one forward pass.
        domain: whose options are used, where the domains of the config are not read alike.
        frame: which volume of a file of several, from 0.
        series: which series of a folder of several, by UID, number or description.
        value_range: the intensities that become 0 and 255, `(low, high)` or 'volume' for the
            smallest and largest of each file, in place of the config's; for a model that was
            trained on prepared images, and raw files.

    Raises:
        ValueError: `tta` or `batch_size` is not among what there is.
    """

    student: str | None = None
    teacher: bool = False
    ensemble: bool = False
    tta: str = 'none'
    smooth: bool = False
    cleaning: Cleaning = field(default_factory=Cleaning)
    probabilities: bool = False
    uncertainty: bool = False
    batch_size: int = 8
    domain: str | None = None
    frame: int | None = None
    series: str | int | None = None
    value_range: tuple[float, float] | str | None = None

    def __post_init__(self) -> None:
        if self.tta not in TURNS:
            raise ValueError(f'tta = "{self.tta}" is not known (known: {", ".join(TURNS)}).')
        if self.batch_size < 1:
            raise ValueError(f'batch_size = {self.batch_size} must be at least 1.')


def predict(model: nn.Module, image: Image, **options: Any) -> Prediction:
    """Predict an image or volume with a model from `init_model`.

    Args:
        model: the model.
        image: file of any format that training reads, the folder of a DICOM series, or an array
            (H, W) or (H, W, C) as `inference_model` takes it.
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
        self.spacing: tuple[float, ...] | None = None
        self.notes: list[str] = []
        self.maps: dict[str, np.ndarray] = {}
        self.left = len(slices)
        self.error: Exception | None = None

    def put(self, index: int, name: str, value: Tensor, dtype: type) -> None:
        """Keep a map (..., H, W) of a slice."""
        shape = tuple(value.shape)
        if name not in self.maps:
            self.maps[name] = np.zeros((*shape[:-2], len(self.slices), *shape[-2:]), dtype)
        self.maps[name][..., index, :, :] = value.cpu().numpy()


class Predictor:
    """Predict a stream of images: slices of all of them share the batches.

    Args:
        model: of `init_model`.
        wishes: how.

    Raises:
        ValueError: the model has not what is asked for.
    """

    def __init__(self, model: Any, wishes: Wishes) -> None:
        from mmengine.registry import init_default_scope

        from mmssl.writing import Labels

        self.model = model
        init_default_scope(self.model.cfg.get('default_scope', 'mmssl'))
        self.wishes = wishes
        self.pipeline = TestPipeline(
            self.model.cfg, wishes.domain, wishes.frame, wishes.series, wishes.value_range
        )
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
        with closing(ahead(self._read(images), 2 * self.wishes.batch_size)) as slices:
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
                if len(batch) == self.wishes.batch_size:
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
        key = middle['image_key'] or 'image'
        array = read_array(middle['img_path'], key, middle['index'], middle['axes'])
        file = middle.get('file')
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
            for name, (value, dtype) in self._maps(scores, size).items():
                under.put(index, name, value, dtype)
            under.left -= 1
        return len(batch)

    def _maps(
        self, scores: Mapping[Network, Tensor], size: tuple[int, ...]
    ) -> dict[str, tuple[Tensor, type]]:
        """Return class ids (h, w), and the other maps that are asked for, at the image's size."""
        wishes, single = self.wishes, len(self.networks) == 1
        if single and not (wishes.smooth or wishes.probabilities or wishes.uncertainty):
            best = scores[self.networks[0]].argmax(0)
            return {'classes': (resize_nearest(best[None], size)[0].to(torch.uint8), np.uint8)}
        # Networks of several sizes meet at that of the largest.
        largest = max((one.shape[-2:] for one in scores.values()), key=np.prod)
        probs = {
            network: resize_bilinear(one.softmax(0)[None], largest)[0]
            for network, one in scores.items()
        }
        prob = mean_of([probs[network] for network in self.networks])
        if wishes.smooth:
            classes = resize_bilinear(prob[None], size)[0].argmax(0)
        else:
            best = (scores[self.networks[0]] if single else prob).argmax(0)
            classes = resize_nearest(best[None], size)[0]
        found: dict[str, tuple[Tensor, type]] = {'classes': (classes.to(torch.uint8), np.uint8)}
        if wishes.probabilities:
            found['probabilities'] = (resize_bilinear(prob[None], size)[0], np.float16)
        if wishes.uncertainty:
            maps = {'entropy': entropy(prob)}
            if len(self.others) > 1:
                maps['disagreement'] = disagreement([probs[other] for other in self.others])
            for name, one in maps.items():
                found[name] = (resize_bilinear(one[None, None], size)[0, 0], np.float16)
        return found

    def _finish(self, under: _Under) -> tuple[Image | Chosen, Prediction | Exception]:
        """Return an image with its prediction, made whole and cleaned."""
        if under.error is not None:
            return under.image, under.error
        from mmssl.datasets.reading import ImageFile, Turn

        maps = under.maps
        flat = under.file is None or len(under.file.shape) == 2
        if flat:
            maps = {name: one[..., 0, :, :] for name, one in maps.items()}
        classes = maps['classes']
        height, width = classes.shape[-2:]
        path = under.slices[0].get('img_path') or 'array'
        file = under.file or ImageFile(
            str(path), 'picture', (height, width), (width, height), None, Turn(), None,
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
