"""What a model's networks say of the images of a pool, case by case."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmssl.apis.prediction.background import ahead
from mmssl.apis.prediction.networks import all_networks, ask, disagreement, entropy, mean_of
from mmssl.bundles.config import test_dataset
from mmssl.ranking.features import DeepestMap
from mmssl.ranking.pictures import draw
from mmssl.ranking.pool import Image, Pool
from mmssl.utils.resize import resize_linear
from mmssl.writing import Labels

SLICES: dict[str, Callable[[np.ndarray], float]] = {
    'mean': lambda values: float(values.mean()),
    'top': lambda values: float(np.sort(values)[-max(1, round(len(values) / 4)) :].mean()),
    'max': lambda values: float(values.max()),
}
"""How the values of a case's images become one: their mean, that of the highest quarter, the
highest."""


class Picture(NamedTuple):
    """An image of a case with what was found in it.

    Attributes:
        value: how uncertain the networks are of it.
        name: of the image.
        jpeg: image, prediction and uncertainty side by side.
    """

    value: float
    name: str
    jpeg: bytes


@dataclass
class Case:
    """A patient of the pool.

    Attributes:
        domain: its scanner or site.
        name: what it is called.
        images: of it that are in the pool.
        measures: name of a measure to the value of the case.
        features: (C,), the mean over its images; empty where none were asked for.
        pictures: the most uncertain images.
        error: why it could not be scored.
    """

    domain: str
    name: str
    images: list[Image] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)
    features: np.ndarray = field(default_factory=lambda: np.empty(0))
    pictures: list[Picture] = field(default_factory=list)
    error: str = ''


class Scorer:
    """Ask all networks of a model about images.

    Args:
        model: of `init_model`.
        slices: name of `SLICES`.
        features: whether images get features.
        batch_size: images in one forward pass.
        pictures: how many images of a case are drawn.

    Raises:
        ValueError: `slices` is not known.
    """

    def __init__(
        self,
        model: Any,
        slices: str = 'top',
        features: bool = True,
        batch_size: int = 8,
        pictures: int = 0,
    ) -> None:
        from mmengine.registry import init_default_scope

        if slices not in SLICES:
            raise ValueError(f'slices = "{slices}" is not known (known: {", ".join(SLICES)}).')
        init_default_scope(model.cfg.get('default_scope', 'mmssl'))
        self.model, self.slices = model, SLICES[slices]
        self.batch_size, self.pictures = batch_size, pictures
        self.networks = all_networks(model)
        students = getattr(model, 'students', {})
        first = self.networks[0].name
        self.features = DeepestMap(students[first] if first in students else model)
        self.with_features = features
        classes = model.label_space.table.shape[1]
        self.colours = Labels.of(test_dataset(model.cfg).metainfo, classes).colours

    @property
    def measures(self) -> tuple[str, ...]:
        """Return which maps the networks give: disagreement needs two of them."""
        return ('disagreement', 'entropy') if len(self.networks) > 1 else ('entropy',)

    def cases(
        self, pool: Pool, labelled: bool, seen: Callable[[int], object] = lambda number: None
    ) -> list[Case]:
        """Score the labelled cases of a pool, or the others.

        Args:
            pool: the images.
            labelled: which of them.
            seen: is told the number of images of each batch.
        """
        images = [image for image in pool.images if image.labelled == labelled]
        found: dict[tuple[str, str], _Sum] = {}
        for image in images:
            key = (image.domain, image.case)
            found.setdefault(key, _Sum(Case(*key))).case.images.append(image)
        for batch in self._batches(images, found):
            whole = [(image, packed) for image, packed in batch if packed is not None]
            if whole:
                self._run(whole, found, not labelled)
            seen(len(batch))
        return [one.done(self.slices) for one in found.values()]

    def _batches(
        self, images: Sequence[Image], found: dict[tuple[str, str], '_Sum']
    ) -> Iterator[list[tuple[Image, dict | None]]]:
        """Give images that fit into one batch; None in place of one that cannot be read."""

        def read() -> Iterator[tuple[Image, dict | None]]:
            for image in images:
                try:
                    yield image, image.read()
                except (ValueError, OSError) as error:
                    found[image.domain, image.case].case.error = str(error)
                    yield image, None

        batch: list[tuple[Image, dict | None]] = []
        shape: Any = None
        with closing(ahead(read(), 2 * self.batch_size)) as stream:
            for image, packed in stream:
                new = shape if packed is None else packed['inputs'].shape
                # The windows of several volumes would be mixed.
                most = 1 if new is not None and len(new) > 3 else self.batch_size
                if batch and (len(batch) >= most or None not in (shape, new) and new != shape):
                    yield batch
                    batch, shape = [], None if packed is None else new
                shape = new
                batch.append((image, packed))
        if batch:
            yield batch

    @torch.no_grad()
    def _run(
        self,
        batch: Sequence[tuple[Image, Any]],
        found: dict[tuple[str, str], '_Sum'],
        measured: bool,
    ) -> None:
        from mmengine.dataset import pseudo_collate

        with self.model.precision.autocast():
            packed = pseudo_collate([packed for _, packed in batch])
            data = self.model.data_preprocessor(packed, False)
            first, *others = self.networks if measured else self.networks[:1]
            features = None
            if self.with_features:
                answers, features = self.features.of(
                    len(batch), lambda: ask(self.model, data, [first])
                )
            else:
                answers = ask(self.model, data, [first])
            answers.update(ask(self.model, data, others))
        for number, (image, item) in enumerate(batch):
            one = found[image.domain, image.case]
            if features is not None:
                one.features.append(features[number].numpy().astype(np.float64))
            if measured:
                scores = [answers[network][number].float() for network in (first, *others)]
                self._measure(one, image, item, scores)

    def _measure(self, one: '_Sum', image: Image, item: dict, scores: Sequence[Tensor]) -> None:
        """Note how uncertain the networks are of an image, and draw it if it is among the most."""
        # Networks of several sizes meet at that of the largest.
        largest = max((score.shape[1:] for score in scores), key=np.prod)
        probs = [resize_linear(score.softmax(0)[None], largest)[0] for score in scores]
        maps = {'entropy': entropy(mean_of(probs))}
        if len(probs) > 1:
            maps['disagreement'] = disagreement(probs)
        for name, values in maps.items():
            one.values.setdefault(name, []).append(float(values.mean()))
        shown = self.measures[0]
        value = one.values[shown][-1]
        pictures = one.case.pictures
        if len(pictures) < self.pictures or (pictures and value > pictures[-1].value):
            classes = mean_of(probs).argmax(0)
            jpeg = draw(item, classes.cpu().numpy(), maps[shown].cpu().numpy(), self.colours)
            pictures.append(Picture(value, image.name, jpeg))
            pictures.sort(key=lambda picture: -picture.value)
            del pictures[self.pictures :]


@dataclass
class _Sum:
    """A case under way."""

    case: Case
    values: dict[str, list[float]] = field(default_factory=dict)
    features: list[np.ndarray] = field(default_factory=list)

    def done(self, slices: Callable[[np.ndarray], float]) -> Case:
        """Return the case with one value for each measure."""
        if not self.case.error:
            self.case.measures = {k: slices(np.array(v)) for k, v in self.values.items()}
            if self.features:
                self.case.features = np.mean(self.features, axis=0)
        return self.case
