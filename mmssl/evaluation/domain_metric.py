"""DSC, Jaccard, HD95 and ASD per part and domain, for all students in one pass."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import MessageHub, print_log

from mmssl.evaluation.cases import natural_key, pack_map, pixel_spacing, stack_slices
from mmssl.evaluation.coverage import class_counts, nothing_predicted, part_sizes
from mmssl.evaluation.domain_table import (
    SELECTIONS,
    average,
    flat_metrics,
    format_table,
    table_notes,
)
from mmssl.evaluation.files import write_json
from mmssl.evaluation.protocol import Conventions, config_hash, protocol_text
from mmssl.evaluation.published import published_dsc
from mmssl.evaluation.statistics import score_intervals
from mmssl.evaluation.statistics.resampling import LEVEL, RESAMPLES
from mmssl.evaluation.surface import binary_metrics, check_conventions, smoothed_dice
from mmssl.registry import METRICS

KEYS = {'DSC': 'dsc', 'Jaccard': 'jaccard', 'HD95': 'hd95', 'ASD': 'asd'}


@METRICS.register_module()
class DomainMetric(BaseMetric):
    """Compare every student's prediction with the truth, and print the papers' table.

    Each part (a union of classes) of each slice, volume or case is scored by `binary_metrics`; the
    means are taken over the images of a domain, then over the domains, then over the parts, as
    SynFoC's evaluation does. One domain gives a table of structures, several one of domains.
    Means of volumes and cases come with an interval, the bootstrap's over the cases (patients).
    Scoring runs in threads next to the network. Images are known by their path and slice number,
    so neither the number of processes nor a sampler's padding changes a result.

    Args:
        per: `slice`; or `volume`, the slices of a volume stacked by their number and scored as
            one, at their own size where the pipeline has no `ResizeMaskTo`; or `case`, the same
            with all slices of a case. Whole volumes (`sample='volume'`) are scored by `volume`.
        unit: `pixel` (at the size of the truth under evaluation; in a volume the step between
            slices counts 1), or `mm` by the spacing that the samples carry, rescaled to that size.
        empty: `worst` (MiDSS, SynFoC), `zero` (SSL4MIS) or `nan`, see `binary_metrics`.
        both_empty: see `binary_metrics`.
        worst: see `binary_metrics`.
        intervals: whether means have an interval, see `score_intervals`; None is for volumes and
            cases alone.
        smoothed: report `SmoothedDSC` too, by which SynFoC's released code selects.
        published: where the published numbers are, see `published_dsc`; None takes the
            `published` at the top of the config.
        selection: how the checkpoint was chosen (`test`, `val`, `last`, `agreement`); named under
            the table, unless the tested checkpoint says itself that agreement chose it.
        out_file: JSON file for means, values of every image and the protocol.
        num_workers: threads; 0 scores in the main thread.

    Raises:
        ValueError: if an option is unknown, or a sample lacks the truth, a prediction or, for
            `unit='mm'`, its spacing.
    """

    default_prefix = ''

    def __init__(
        self,
        per: str = 'slice',
        unit: str = 'pixel',
        empty: str = 'worst',
        both_empty: str = 'as_empty',
        worst: float = 100.0,
        intervals: bool | None = None,
        smoothed: bool = False,
        published: str | Mapping[str, Any] | None = None,
        selection: str | None = None,
        out_file: str | None = None,
        num_workers: int = 2,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        choices = {
            'per': (per, ('slice', 'case', 'volume')),
            'unit': (unit, ('pixel', 'mm')),
            'selection': (selection, (None, *SELECTIONS)),
        }
        for name, (value, known) in choices.items():
            if value not in known:
                raise ValueError(f'{name}={value!r} is unknown; choose one of {known}.')
        check_conventions(empty, both_empty)
        self.per, self.unit, self.selection = per, unit, selection
        self.intervals = per != 'slice' if intervals is None else intervals
        self.conventions = Conventions(empty=empty, both_empty=both_empty, worst=worst)
        self.metrics = (*KEYS, 'SmoothedDSC') if smoothed else tuple(KEYS)
        self.published = published
        self.out_file = out_file
        self.num_workers = num_workers
        self.results: list[dict] = []
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: list[Future] = []

    def score_names(self, students: Sequence[str]) -> list[str]:
        """Return the names of the scores that these students will have, averages first."""
        meta = self.dataset_meta or {}
        parts = [
            f'{domain}/{part}/'
            for domain in meta.get('domains', ())
            for part in meta.get('parts', ())
        ]
        names = [
            f'{student}/{part}{metric}'
            for part in ('', *parts)
            for student in students
            for metric in self.metrics
        ]
        return [f'{self.prefix}/{name}' if self.prefix else name for name in names]

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Queue a batch of samples with truth and predictions for scoring."""
        without = (self.dataset_meta or {}).get('without_masks', ())
        for sample in data_samples:
            if 'gt_sem_seg' not in sample and sample.get('domain') in without:
                self.results.append({'key': _key(sample), 'unmasked': True})
                continue
            item = self._read(sample)
            if not (item['whole'] and self.num_workers):
                self.results.append(self._finish_item(item))
                continue
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.num_workers)
            # Bounds the masks in memory, of which a volume's are large.
            most = self.num_workers * (8 if self.per == 'slice' else 1)
            if len(self._waiting) >= most:
                self._take_first()
            self._waiting.append(self._pool.submit(self._finish_item, item))

    def _take_first(self) -> None:
        """Wait for the result that was asked for first; if there is none, give up the others."""
        try:
            self.results.append(self._waiting.pop(0).result())
        except BaseException:
            self.results = []
            self._close()
            raise

    def _close(self) -> None:
        """End the threads, of which each finishes at most the image that it has begun."""
        self._waiting = []
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _read(self, sample: dict) -> dict:
        """Take the class maps and what is known of the image out of a sample.

        `whole` says whether it is scored by itself, and not as a part of its volume or case.
        """
        name = sample.get('img_path', sample.get('name'))
        if 'gt_sem_seg' not in sample:
            raise ValueError(f'Image {name} of the test set has no truth to compare with.')
        students = sample.get('students')
        if not students:
            raise ValueError(f'Sample {name} names no students; was it predicted by the model?')
        maps = {'gt': _class_map(sample['gt_sem_seg'])}
        for student in students:
            if f'pred_{student}' not in sample:
                raise ValueError(f'Sample {name} has no prediction of student "{student}".')
            maps[student] = _class_map(sample[f'pred_{student}'])
            if maps[student].shape != maps['gt'].shape:
                raise ValueError(
                    f'Sample {name}: the prediction of "{student}" has shape '
                    f'{maps[student].shape}, the truth {maps["gt"].shape}.'
                )
        info = {k: sample.get(k) for k in ('domain', 'case', 'volume', 'slice', 'index', 'name')}
        if info['volume'] is None:
            info['volume'] = info['case']
        solid = maps['gt'].ndim == 3
        if solid and self.per != 'volume':
            raise ValueError(
                f"Image {_key(sample)} is a whole volume, but per='{self.per}' is for slices; use "
                "per='volume'."
            )
        known = self.unit == 'mm' or sample.get('spacing') is not None
        mm = pixel_spacing(sample, maps['gt'].shape) if known else None
        whole = solid or self.per == 'slice'
        spacing = mm if self.unit == 'mm' else None
        about = {'mm': mm, 'spacing': spacing, 'whole': whole}
        return {'key': _key(sample), **info, **about, 'maps': maps}

    def _finish_item(self, item: dict) -> dict:
        """Score what is whole, or compress a slice until its case or volume is complete.

        Raises:
            ValueError: if that fails; it names the image, which a thread's error does not show.
        """
        try:
            return self._finish(item)
        except Exception as error:
            raise ValueError(
                f'Image {item["key"]} could not be scored: {type(error).__name__}: {error}'
            ) from error

    def _finish(self, item: dict) -> dict:
        maps = item.pop('maps')
        item['shape'] = maps['gt'].shape
        counts = {name: class_counts(one) for name, one in maps.items()}
        item['seen'] = {name: tuple(np.flatnonzero(own).tolist()) for name, own in counts.items()}
        item['sizes'] = part_sizes(counts, self._parts())
        if item['whole']:
            spacing = item['spacing'] and item['spacing'][-maps['gt'].ndim :]
            item['scores'] = self._score(maps, spacing)
        else:
            item['students'] = [s for s in maps if s != 'gt']
            item['maps'] = {s: pack_map(m) for s, m in maps.items()}
        return item

    def _score(self, maps: dict[str, np.ndarray], spacing: tuple | None) -> dict:
        """Return student to part to metric of one slice or volume."""
        scores: dict[str, dict] = {s: {} for s in maps if s != 'gt'}
        for part, classes in self._parts().items():
            truth = _union(maps['gt'], classes)
            for student, rows in scores.items():
                pred = _union(maps[student], classes)
                raw = binary_metrics(pred, truth, spacing, **self.conventions)
                row = {name: raw[key] for name, key in KEYS.items()}
                row['DSC'], row['Jaccard'] = 100 * row['DSC'], 100 * row['Jaccard']
                if 'SmoothedDSC' in self.metrics:
                    row['SmoothedDSC'] = 100 * smoothed_dice(pred, truth)
                rows[part] = row
        return scores

    def _parts(self) -> dict[str, list[int]]:
        meta = self.dataset_meta or {}
        if meta.get('parts'):
            return meta['parts']
        return {name: [i] for i, name in enumerate(meta.get('classes', ())) if i > 0}

    def evaluate(self, size: int) -> dict[str, float]:
        """Return the means; print the table and write the file in the main process.

        Args:
            size: number of images of the data set.
        """
        while self._waiting:
            self._take_first()
        self._close()
        own, self.results = self.results, []
        gathered = all_gather_object(own)
        metrics: list[dict[str, float]] = [{}]
        if is_main_process():
            items = {item['key']: item for part in gathered for item in part}
            if not items:
                raise ValueError('The test set is empty: no image was scored.')
            if len(items) != size:
                print_log(
                    f'{len(items)} images were scored, but the test set has {size}; '
                    'do two entries have the same path?',
                    'current',
                    logging.WARNING,
                )
            scored = [
                items[k] for k in sorted(items, key=natural_key) if 'unmasked' not in items[k]
            ]
            if len(scored) < len(items):
                print_log(
                    f'{len(items) - len(scored)} images have no mask, so no score.', 'current'
                )
            metrics = [self.compute_metrics(scored) if scored else {}]
        broadcast_object_list(metrics)
        return metrics[0]

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Average the scores of all images, print the table, write the file."""
        shapes = {tuple(item['shape']) for item in results}
        empty = nothing_predicted(results, self._parts())
        if any(not item['whole'] for item in results):
            results = self._score_stacks(results)
        meta = self.dataset_meta or {}
        averages = average(results, self.metrics, meta.get('domains', ()))
        published = published_dsc(self.published, meta.get('dataset_name'))
        published = {s: p for s, p in published.items() if s in averages}
        if self.intervals:
            for student, interval in score_intervals(results, self.metrics).items():
                averages[student]['interval'] = interval
        chosen = MessageHub.get_current_instance().get_info('chosen_student')
        chosen = chosen if chosen in averages else None
        selection = 'agreement' if chosen else self.selection
        protocol = protocol_text(self.per, self.unit, self.conventions, selection, shapes)
        if chosen and len(averages) > 1:
            protocol += f'; student chosen without labels: {chosen}'
        table = format_table(averages, published, primary=next(iter(averages)))
        cases = len({(item['domain'], str(item['case'])) for item in results})
        notes = table_notes(published, protocol, averages, cases)
        print_log(f'\n{table}\n{notes}', 'current')
        for line in empty:
            print_log(line, 'current', logging.WARNING)
        if self.out_file:
            content = dict(students=averages, chosen=chosen, published=published)
            self._write(self.out_file, content, results, protocol, selection)
        return flat_metrics(averages)

    def _score_stacks(self, slices: list[dict]) -> list[dict]:
        groups: dict[tuple, list[dict]] = {}
        for item in slices:
            groups.setdefault((item['domain'], str(item[self.per])), []).append(item)
        stacks = [stack_slices(items, self.per) for items in groups.values()]
        with ThreadPoolExecutor(max(self.num_workers, 1)) as pool:
            scores = list(pool.map(lambda s: self._score(s['maps'], s['spacing']), stacks))
        kept = ('key', 'domain', 'case', 'volume', 'name', 'shape', 'mm')
        return [
            {
                **{k: stack[k] for k in kept},
                'sizes': part_sizes(
                    {name: class_counts(one) for name, one in stack['maps'].items()}, self._parts()
                ),
                'scores': score,
            }
            for stack, score in zip(stacks, scores, strict=True)
        ]

    def _write(
        self, file: str, content: dict, results: list, protocol: str, selection: str | None
    ) -> None:
        kept = ('key', 'name', 'domain', 'case', 'volume', 'slice', 'index', 'mm', 'sizes')
        images = [
            {**{k: item[k] for k in kept if k in item}, 'scores': item['scores']}
            for item in results
        ]
        hub = MessageHub.get_current_instance()
        content = {
            'dataset': (self.dataset_meta or {}).get('dataset_name'),
            **content,
            'protocol': {
                'text': protocol,
                'per': self.per,
                'unit': self.unit,
                **self.conventions,
                'selection': selection,
                'interval': dict(level=LEVEL, resamples=RESAMPLES, drawn='cases')
                if self.intervals
                else None,
            },
            'iteration': hub.get_info('iter'),
            'config_sha256': config_hash(hub.get_info('cfg')),
            'images': images,
        }
        write_json(file, content)
        print_log(f'Wrote the scores of {len(images)} {self.per}s to {file}', 'current')


def _key(sample: Mapping) -> str:
    """Return what no two images have in common: the path, and the number of a slice in its file."""
    name, index = sample.get('img_path', sample.get('name')), sample.get('index')
    return str(name) if index is None else f'{name}#{index}'


def _union(class_map: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Return the mask of the pixels of any of the classes; `numpy.isin` takes 300 times as long."""
    mask = class_map == classes[0]
    for index in classes[1:]:
        mask |= class_map == index
    return mask


def _class_map(field: Any) -> np.ndarray:
    data = field['data'] if isinstance(field, Mapping) else field.data
    return np.asarray(data.squeeze(0).cpu())
