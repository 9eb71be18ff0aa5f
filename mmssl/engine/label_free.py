"""Measure students on unlabelled training images: how far networks agree, how sure they are."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmssl.engine.looking import untouched
from mmssl.engine.training_images import training_images
from mmssl.structures import Draw
from mmssl.utils.errors import SettingError
from mmssl.utils.resize import resize_nearest

if TYPE_CHECKING:
    from mmssl.models.base.semi_segmentor import SemiSegmentor

IMAGES, VOLUMES = 32, 4
"""How many unlabelled images are looked at unless somebody says otherwise."""
PIXELS = 2**16
"""Pixels of all labelled images together to which a temperature is fitted."""
HOTTEST = 20.0


class Measured(NamedTuple):
    """What one evaluation found.

    Attributes:
        scores: `<student>/<score>` to value, see `mmssl.evaluation.label_free.SCORES`.
        masks: student to the class maps of the images, uint8, see `UnlabelledImages.stability`.
    """

    scores: dict[str, float]
    masks: dict[str, list[np.ndarray]]


class UnlabelledImages:
    """A fixed choice of training images, prepared as for a test; no test image is among them.

    The unlabelled ones are taken evenly from each domain, and read without their masks. Labelled
    ones with their masks are there for the temperature alone.

    Args:
        cfg: a whole config.
        num_images: unlabelled images; None takes 32, or 4 of whole volumes.
        num_labelled: labelled images; None takes half as many.
        batch_size: images in one forward pass, one of whole volumes.

    Raises:
        SettingError: the config has no unlabelled images.
    """

    def __init__(
        self,
        cfg: Mapping[str, Any],
        num_images: int | None = None,
        num_labelled: int | None = None,
        batch_size: int = 8,
    ) -> None:
        dataset = training_images(cfg, 'can be looked at without labels')
        solid = dataset.sample == 'volume'
        num_images = num_images or (VOLUMES if solid else IMAGES)
        num_labelled = max(num_images // 2, 1) if num_labelled is None else num_labelled
        self.parts = list(dataset.metainfo['parts'].values())
        self.batch_size = 1 if solid else batch_size
        if not len(dataset.unlabelled_indices):
            raise SettingError(
                'All training images are labelled: there is nothing to choose a checkpoint on '
                'without labels. Choose it by selection="val" or "last"'
            )
        self.unlabelled = self._read(dataset, dataset.unlabelled_indices, num_images, False)
        self.labelled = self._read(dataset, dataset.labelled_indices, num_labelled, True)

    def _read(self, dataset: Any, indices: np.ndarray, number: int, labelled: bool) -> list:
        domains = [dataset.samples[i].domain for i in indices]
        chosen = evenly(domains, number)
        return [dataset[Draw(int(indices[at]), 0, 0, labelled)] for at in chosen]

    def measure(self, model: 'SemiSegmentor') -> Measured:
        """Ask all students and teachers, in eval mode, and leave the model as it was.

        Every score but the stability, which needs the masks of an evaluation before.
        """
        names = list(model.outputs)
        taught = [name for name in names if name in getattr(model, 'teachers', ())]
        asked = [*((name, False) for name in names), *((name, True) for name in taught)]
        rows: list[dict[str, float]] = []
        masks: dict[str, list[np.ndarray]] = {name: [] for name in names}
        with untouched(model):
            heat = {name: self._temperature(model, name) for name in names}
            for samples in self._batches(self.unlabelled):
                said = self.ask(model, samples, asked)
                for at in range(len(samples)):
                    scores = {network: said[network][at].float() for network in asked}
                    rows.append(self._row(scores, heat))
                    for name in names:
                        classes = scores[name, False].argmax(0)
                        masks[name].append(classes.to(torch.uint8).cpu().numpy())
        return Measured(self._means(rows), masks)

    def _row(
        self, scores: Mapping[tuple[str, bool], Tensor], heat: Mapping[str, float]
    ) -> dict[str, float]:
        """Return the scores of one image, of which the networks gave class scores (C, ...)."""
        table = self._table(scores)
        maps = {network: score.argmax(0) for network, score in scores.items()}
        row = {}
        for name, temperature in heat.items():
            score, own = scores[name, False], maps[name, False]
            others = [maps[other, False] for other in heat if other != name]
            if (name, True) in maps:
                row[f'{name}/teacher'] = mask_dice(own, maps[name, True], table)
            if others:
                found = [mask_dice(own, other, table) for other in others]
                row[f'{name}/students'] = sum(found) / len(found)
            row[f'{name}/confidence'] = expected_dice((score / temperature).softmax(0), table)
            row[f'{name}/certainty'] = certainty(score.softmax(0), table)
        return row

    def _table(self, scores: Mapping[Any, Tensor]) -> Tensor:
        from mmssl.models.base.label_space import part_table

        first = next(iter(scores.values()))
        return part_table(self.parts, len(first)).to(first.device)

    def stability(
        self, masks: Mapping[str, Sequence[np.ndarray]], before: Mapping[str, Sequence[np.ndarray]]
    ) -> dict[str, float]:
        """Return `<student>/stability` from the masks of two evaluations."""
        from mmssl.models.base.label_space import part_table

        largest = max(int(m.max()) for maps in (*masks.values(), *before.values()) for m in maps)
        table = part_table(self.parts, 1 + max(largest, *(max(ids) for ids in self.parts)))
        rows: list[dict[str, float]] = [{} for _ in self.unlabelled]
        for name in (name for name in masks if name in before):
            for row, one, other in zip(rows, masks[name], before[name], strict=True):
                now, last = (torch.from_numpy(m.astype(np.int64)) for m in (one, other))
                row[f'{name}/stability'] = mask_dice(now, last, table)
        return self._means(rows)

    def _means(self, rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Average over the images of a domain, then over the domains."""
        domains = [str(s['data_samples'].metainfo.get('domain')) for s in self.unlabelled]
        return {
            name: float(
                np.mean(
                    [
                        np.mean(
                            [row[name] for row, d in zip(rows, domains, strict=True) if d == one]
                        )
                        for one in dict.fromkeys(domains)
                    ]
                )
            )
            for name in rows[0]
        }

    def _temperature(self, model: 'SemiSegmentor', name: str) -> float:
        """Fit a student's temperature to the labelled images, 1 where there are none."""
        scores, truths = [], []
        share = PIXELS // max(len(self.labelled), 1)
        for samples in self._batches(self.labelled):
            said = self.ask(model, samples, [(name, False)])[name, False]
            for score, sample in zip(said, samples, strict=True):
                truth = sample['data_samples'].gt_sem_seg.data.to(score.device)
                truth = resize_nearest(truth.long(), score.shape[1:]).flatten()
                step = max(1, len(truth) // share)
                scores.append(score.float().flatten(1)[:, ::step])
                truths.append(truth[::step])
        return fit_temperature(torch.cat(scores, 1), torch.cat(truths)) if scores else 1.0

    def ask(
        self, model: Any, samples: Sequence[dict], networks: Sequence[tuple[str, bool]]
    ) -> dict[tuple[str, bool], Sequence[Tensor]]:
        """Return the class scores that networks, (name, whether its teacher), give of samples."""
        batch = {key: [sample[key] for sample in samples] for key in ('inputs', 'data_samples')}
        data = model.data_preprocessor(batch, False)
        return {
            (name, teacher): model.scores(data['inputs'], data['data_samples'], name, teacher)
            for name, teacher in networks
        }

    def mixed(self) -> Iterator[list[dict]]:
        """Yield all images, labelled ones too, in batches that have images of all domains."""
        samples = [*self.unlabelled, *self.labelled]
        order = np.random.default_rng(0).permutation(len(samples))
        return self._batches([samples[at] for at in order])

    def _batches(self, samples: Sequence[dict]) -> Iterator[list[dict]]:
        """Yield the images in their order, those of one size together."""
        for _, alike in groupby(samples, key=lambda sample: sample['inputs'].shape):
            images = list(alike)
            for start in range(0, len(images), self.batch_size):
                yield images[start : start + self.batch_size]


def evenly(domains: Sequence[str], number: int) -> list[int]:
    """Return the positions of so many images, as many of each domain, evenly over each.

    Example:
        >>> evenly(['A'] * 6 + ['B'], 4)
        [0, 2, 5, 6]
        >>> evenly(['A'] * 3, 5)
        [0, 1, 2]
    """
    places: dict[str, list[int]] = {}
    for at, domain in enumerate(domains):
        places.setdefault(domain, []).append(at)
    chosen: list[int] = []
    left = number
    # The smallest first, so that what a small domain cannot give comes from the others.
    for after, own in enumerate(sorted(places.values(), key=len)):
        share = min(len(own), max(1, math.ceil(left / (len(places) - after)))) if left else 0
        chosen += [own[i] for i in np.linspace(0, len(own) - 1, share).round().astype(int)]
        left -= share
    return sorted(chosen)


def mask_dice(one: Tensor, other: Tensor, table: Tensor) -> float:
    """Return the Dice of two class maps, mean over the parts; where both lack a part it is 0.

    Nobody can tell a structure that is not there from one that a collapsed network misses, and
    what predicts nothing must not look best.

    Args:
        one: class ids (H, W) or (D, H, W).
        other: of the same image, at any size.
        table: which classes make up each part (K, C).
    """
    if one.shape != other.shape:
        largest = max(one.shape, other.shape, key=math.prod)
        one, other = resize_nearest(one, largest), resize_nearest(other, largest)
    a, b = table[:, one.long()].flatten(1), table[:, other.long()].flatten(1)
    both, total = (a & b).sum(1), a.sum(1) + b.sum(1)
    return float((2 * both / total.clamp_min(1)).mean())


def expected_dice(prob: Tensor, table: Tensor) -> float:
    """Return the Dice of the predicted mask with the truth that the probabilities expect.

    It is `2 sum(p m) / (sum(p) + sum(m))` of each part, p its probability and m its mask (Li et
    al., Estimating model performance under domain shifts with class-specific confidence scores,
    MICCAI 2022).

    Args:
        prob: class probabilities (C, ...).
        table: which classes make up each part (K, C).
    """
    mask = table[:, prob.argmax(0)].flatten(1).float()
    p = table.float() @ prob.flatten(1)
    return float((2 * (p * mask).sum(1) / (p.sum(1) + mask.sum(1)).clamp_min(1e-6)).mean())


def certainty(prob: Tensor, table: Tensor) -> float:
    """Return 1 minus the mean entropy inside of the masks, mean over the parts.

    The entropy is in parts of the largest, log C. What predicts nothing of a part has 0 there: over
    whole images, which are background for the most, it would be the most certain of all.

    Args:
        prob: class probabilities (C, ...).
        table: which classes make up each part (K, C).
    """
    entropy = torch.special.entr(prob).sum(0).flatten() / math.log(max(len(prob), 2))
    mask = table[:, prob.argmax(0)].flatten(1).float()
    return float(((mask @ (1 - entropy)) / mask.sum(1).clamp_min(1)).mean())


def fit_temperature(scores: Tensor, truth: Tensor) -> float:
    """Return the temperature T in which `softmax(scores / T)` fits the truth best.

    The mean negative log-likelihood is convex in 1 / T; it is searched between 1/20 and 20
    (Guo et al., On calibration of modern neural networks, ICML 2017).

    Args:
        scores: of the classes (C, N).
        truth: class ids (N,).
    """
    from scipy.optimize import minimize_scalar

    scores, truth = scores.double().cpu(), truth.cpu()

    def loss(log_heat: float) -> float:
        logs = (scores * math.exp(-log_heat)).log_softmax(0)
        return -float(logs.gather(0, truth[None]).mean())

    limit = math.log(HOTTEST)
    found = minimize_scalar(loss, bounds=(-limit, limit), method='bounded')
    return math.exp(float(found.x))
