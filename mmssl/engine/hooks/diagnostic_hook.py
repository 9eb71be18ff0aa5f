"""Who leads early, who late: teachers and pseudo-labels against the truth over the training."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mmssl.engine.looking import prepare_inputs, untouched
from mmssl.evaluation.files import write_json
from mmssl.registry import DATASETS, HOOKS
from mmssl.structures import Labelling
from mmssl.utils.dist import unwrapped
from mmssl.utils.resize import resize_nearest
from mmssl.visualization.curves import plot_panels

if TYPE_CHECKING:
    from mmssl.models.base.semi_segmentor import SemiSegmentor

HISTORY = 'diagnostic_history'


@HOOKS.register_module()
class DiagnosticHook(Hook):
    """Measure the teachers and the pseudo-labels on images whose truth is known.

    It has its own images and opens its own masks; the training batch stays without. Every
    `interval` iterations `model.pseudo_labels(inputs)` is asked for class maps (N, H, W), of
    volumes (N, D, H, W), whose Dice against the truth is taken (smoothed as in SynFoC, mean over
    parts and images), and for whatever values (N,) or scalars it gives beside them (alpha and the
    like). The model is left as it was. Results go to the log (`diagnostic/<name>`), to
    `diagnostic/pseudo_labels.json` and `.png` in the work folder, and stay in the message hub, so
    that a resumed run goes on with them.

    Args:
        dataset: config of a data set in test form (truth in `gt_sem_seg`), e.g. training images
            with their masks.
        interval: iterations between two measurements.
        num_images: images taken, evenly over the data set; None takes all.
        batch_size: images in one forward pass, fewer where neighbours differ in size.
        training: run the networks in train mode, i.e. with the batch's statistics, as the method
            does when it makes pseudo-labels.
        max_history: measurements kept.
    """

    priority = 'LOW'

    def __init__(
        self,
        dataset: dict,
        interval: int = 500,
        num_images: int | None = 48,
        batch_size: int = 4,
        training: bool = True,
        max_history: int = 1000,
    ) -> None:
        if interval < 1 or batch_size < 1:
            raise ValueError(
                f'interval and batch_size must be at least 1, but are {interval} and {batch_size}.'
            )
        self.dataset_cfg = dataset
        self.interval, self.num_images, self.batch_size = interval, num_images, batch_size
        self.training, self.max_history = training, max_history
        self.dataset: Any = None
        self._samples: list[dict] = []

    def before_train(self, runner) -> None:
        """Build the data set and choose the images.

        Raises:
            ValueError: if an image has no truth, or the model makes no pseudo-labels.
        """
        if not isinstance(unwrapped(runner.model), Labelling):
            kind = type(unwrapped(runner.model)).__name__
            raise ValueError(f'DiagnosticHook asks {kind} for pseudo_labels(), which it lacks.')
        self.dataset = DATASETS.build(self.dataset_cfg)
        count = min(self.num_images or len(self.dataset), len(self.dataset))
        chosen = np.unique(np.linspace(0, len(self.dataset) - 1, count).round().astype(int))
        self._samples = [self.dataset[int(index)] for index in chosen]
        for sample in self._samples:
            if 'gt_sem_seg' not in sample['data_samples']:
                path = sample['data_samples'].metainfo.get('img_path')
                raise ValueError(
                    f'Diagnostic image {path} has no truth; give a data set in mode '
                    '"val" or "test".'
                )

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Measure every `interval` iterations and at the last."""
        if not (self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)):
            return
        # On every rank: layers that talk to the other ranks would wait for them.
        record = {'iter': runner.iter + 1, **self.measure(unwrapped(runner.model))}
        hub = runner.message_hub
        history = [r for r in hub.get_info(HISTORY) or [] if r['iter'] < record['iter']]
        history = [*history, record][-self.max_history :]
        hub.update_info(HISTORY, history)
        if is_main_process():
            values = {f'diagnostic/{k}': v for k, v in record['mean'].items()}
            values.update({f'diagnostic/{k}': v for k, v in record['values'].items()})
            runner.visualizer.add_scalars(values, step=record['iter'])
            text = ', '.join(f'{k.partition("/")[2]} {v:.3f}' for k, v in values.items())
            runner.logger.info(f'Pseudo-labels at iteration {record["iter"]}: {text}')
            self._report(Path(runner.work_dir) / 'diagnostic', history)

    def measure(self, model: 'SemiSegmentor') -> dict:
        """Return `mean` (name to Dice), `domains` (domain to name to Dice) and other `values`."""
        rows: list[tuple[str, dict[str, float]]] = []
        others: dict[str, list[float]] = {}
        with untouched(model, self.training):
            for samples in self._batches():
                found = model.pseudo_labels(prepare_inputs(model, samples))
                dice = {k: self._dice(v, samples) for k, v in found.items() if v.ndim > 2}
                for i, sample in enumerate(samples):
                    domain = str(sample['data_samples'].metainfo.get('domain'))
                    rows.append((domain, {k: v[i] for k, v in dice.items()}))
                for name, value in found.items():
                    if value.ndim < 2:
                        values = value.double().reshape(-1).expand(len(samples)).tolist()
                        others.setdefault(name, []).extend(values)
        domains: dict[str, list[dict]] = {}
        for domain, row in rows:
            domains.setdefault(domain, []).append(row)
        return {
            'mean': _mean([row for _, row in rows]),
            'domains': {domain: _mean(found) for domain, found in domains.items()},
            'values': {name: float(np.mean(values)) for name, values in others.items()},
        }

    def _batches(self) -> Iterator[list[dict]]:
        """Yield the images in their order, those of one size together."""
        for _, alike in groupby(self._samples, key=lambda sample: sample['inputs'].shape):
            images = list(alike)
            for start in range(0, len(images), self.batch_size):
                yield images[start : start + self.batch_size]

    def _dice(self, maps: torch.Tensor, samples: list[dict]) -> list[float]:
        from mmssl.models.base.label_space import part_table
        from mmssl.models.strategies.pseudo_label import agreement

        info = self.dataset.metainfo
        table = part_table(list(info['parts'].values()), len(info['classes']))
        result = []
        for classes, sample in zip(maps.cpu(), samples, strict=True):
            truth = sample['data_samples'].gt_sem_seg.data.cpu().long()
            resized = resize_nearest(classes[None].long(), truth.shape[1:])
            result.append(float(agreement(table[:, resized], table[:, truth])))
        return result

    def _report(self, folder: Path, history: list[dict]) -> None:
        images = [s['data_samples'].metainfo.get('name') for s in self._samples]
        write_json(folder / 'pseudo_labels.json', {'images': images, 'history': history})
        panels = {
            'Dice of the pseudo-labels against the truth': _curves(history, 'mean'),
            'Confidences': _curves(history, 'values'),
        }
        panels = {title: lines for title, lines in panels.items() if lines}
        plot_panels(panels, folder / 'pseudo_labels.png', title='Who leads early, who late?')

    def after_train(self, runner) -> None:
        """Say in words who led in the first and in the last quarter."""
        history = runner.message_hub.get_info(HISTORY) or []
        if history and is_main_process():
            runner.logger.info(leaders(history))


def leaders(history: list[dict]) -> str:
    """Say who has the highest mean Dice in the first and the last quarter of the measurements.

    Example:
        >>> steps = [{'iter': i, 'mean': {'a': .5, 'b': .1 * i}} for i in (1, 2, 8, 9)]
        >>> leaders(steps)
        'Pseudo-labels, early (iterations 1-1): a 0.500, b 0.100; late (9-9): b 0.900, a 0.500.'
    """
    quarter = max(1, len(history) // 4)
    texts = []
    for part in (history[:quarter], history[-quarter:]):
        means = _mean([record['mean'] for record in part])
        ranked = sorted(means.items(), key=lambda item: -item[1])
        span = f'{part[0]["iter"]}-{part[-1]["iter"]}'
        texts.append((span, ', '.join(f'{name} {value:.3f}' for name, value in ranked)))
    (early, first), (late, last) = texts
    return f'Pseudo-labels, early (iterations {early}): {first}; late ({late}): {last}.'


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _curves(history: list[dict], key: str) -> dict[str, dict[int, float]]:
    names = history[-1][key]
    return {name: {r['iter']: r[key][name] for r in history if name in r[key]} for name in names}
