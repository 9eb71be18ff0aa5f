"""Images of several domains, a few of them labelled, described by the config alone."""

import copy
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Dataset

from mmssl.datasets.cache import SampleCache, locked
from mmssl.datasets.files.choice import (
    ALL,
    check_domains,
    check_known,
    holdout_domains,
    labelled_domain,
    seeded_layout,
    with_seed,
)
from mmssl.datasets.files.class_check import missing_classes
from mmssl.datasets.files.counts import compare_counts, summary, warn_once
from mmssl.datasets.files.index import DomainIndex, index_domain
from mmssl.datasets.files.labelled import choose_in_all
from mmssl.datasets.files.layout import DomainLayout, Sample
from mmssl.datasets.files.naming import as_name, as_names
from mmssl.datasets.metainfo import build_metainfo
from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.transforms.loading import read_truth
from mmssl.registry import DATASETS, TRANSFORMS
from mmssl.structures import Draw

MODES = ('train', 'val', 'test')


@DATASETS.register_module()
class MixedDomainDataset(Dataset):
    """Read images of several domains; in training, N images of one of them have labels.

    Where the files lie, what the mask values mean, how images are split, and whether an image is
    a slice or a whole volume (`sample='volume'`) are options of
    `DomainLayout`, given as further keyword arguments. In training the masks of unlabelled
    images are never opened and need not exist.

    Args:
        data_root: folder that holds the domains.
        domains: names of the domains, in the order of the tables; all that a domain has is left
            out by leaving out its name.
        mode: 'train' (labelled and unlabelled images), 'val' or 'test' (all with masks).
        labelled: which training images have labels: `dict(domain=..., num=20)`; `num`, `ratio`,
            `cases`, `list` and `seed` as in `choose_labelled`. `domain='all'` chooses among the
            images of all domains; with one domain it need not be named.
        unlabelled_domains: domains of the unlabelled pool; None takes all.
        without_masks: domains whose images have no masks when validating and testing: they are
            predicted, and not scored.
        holdout: training images kept for validation, by case: `dict(fraction=0.2)` or
            `dict(cases=[...])`, of `domains='labelled'` (default), `'all'` or a list.
        prepare: transforms that draw nothing (load, resize); their result can be cached.
        head: transforms that come next in every pipeline, so that a config can add some.
        pipeline: the other transforms.
        labelled_pipeline: takes its place for samples drawn with a label.
        unlabelled_pipeline: takes its place for samples drawn without.
        image_size: side in pixels of the square that `ResizeSquare` makes of an image, and of the
            images that networks of one size are built for.
        box_size: side of the square in which `RandomPasteBox` draws, and to which images are
            brought for networks of any size; `image_size` by default.
        score_size: size of the masks after `ResizeMaskTo`, at which predictions are scored; None
            is that of the file.
        overrides: domain -> options of `DomainLayout` that differ for it.
        cache: True keeps the prepared images of all samples in memory, shared by the workers
            where they are forked; 'lazy' keeps each one when it is first read.
        seed: seed of the transforms' draws; the sampler sets it where it is None.
        metainfo: `classes`, `parts` (name -> class ids whose union is the part), `palette`,
            `dataset_name`, `published_counts`.
        lazy_init: look for the files only when they are needed.
        **layout: options of `DomainLayout`.

    Example of a config::

        dict(type='MixedDomainDataset', data_root='data/mine', domains=['siteA', 'siteB'],
             label_map={0: 0, 255: 1}, labelled=dict(domain='siteA', num=20),
             image_dir='{domain}/image', mask_dir='{domain}/mask',
             split=dict(type='fraction', test=0.2), prepare=[...], pipeline=[...])
    """

    METAINFO: dict = {}
    LAYOUT: dict = {}
    DOMAINS: tuple[str, ...] = ()
    SEED: int | None = 0
    """Shuffles the cases of which a split, `labelled` or `holdout` takes some, where these give no
    `seed` themselves; None is the rule of the published sets, the first or last of the sorted."""

    def __init__(
        self,
        data_root: str,
        domains: Sequence[str | int] | str | int | None = None,
        mode: str = 'train',
        labelled: dict | None = None,
        unlabelled_domains: Sequence[str | int] | str | int | None = None,
        without_masks: Sequence[str | int] | str | int = (),
        holdout: dict | None = None,
        prepare: Sequence[dict] = (),
        head: Sequence[dict] = (),
        pipeline: Sequence[dict] = (),
        labelled_pipeline: Sequence[dict] | None = None,
        unlabelled_pipeline: Sequence[dict] | None = None,
        image_size: int | None = None,
        box_size: int | None = None,
        score_size: int | Sequence[int] | None = None,
        overrides: dict[str | int, dict] | None = None,
        cache: bool | str = False,
        seed: int | None = None,
        metainfo: dict | None = None,
        lazy_init: bool = False,
        **layout,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f'mode = "{mode}" is not known (known: {", ".join(MODES)}).')
        self.data_root = os.fspath(data_root)
        self.domains = as_names(self.DOMAINS if domains is None else domains, 'domains')
        self.mode = mode
        # A test set is the same whatever is labelled or held out in training.
        self.labelled = with_seed(labelled, self.SEED) if labelled and mode != 'test' else None
        self.holdout = with_seed(holdout, self.SEED) if holdout and mode != 'test' else None
        self.seed = seed
        self.sizes = dict(image=image_size, box=box_size or image_size, score=score_size)
        self.overrides = {as_name(k, 'overrides'): dict(v) for k, v in (overrides or {}).items()}
        if self.labelled:
            self.labelled['domain'] = labelled_domain(self.labelled, self.domains)
        if unlabelled_domains is not None:
            unlabelled_domains = as_names(unlabelled_domains, 'unlabelled_domains')
        check_domains(self.domains, mode, self.labelled, unlabelled_domains, self.holdout)
        self.without_masks = as_names(without_masks, 'without_masks')
        for name in self.without_masks:
            check_known('without_masks', name, self.domains)
        self.unlabelled_domains = list(unlabelled_domains or self.domains)
        base = DomainLayout.build(self.LAYOUT, layout)
        self.layouts = {
            name: seeded_layout(base.override(self.overrides.get(name, {})), self.SEED)
            for name in self.domains
        }
        self._metainfo = build_metainfo(
            {**self.METAINFO, **(metainfo or {})},
            max(layout.labels.num_classes for layout in self.layouts.values()),
            self.domains,
            type(self).__name__.lower(),
        )
        if self.without_masks:
            self._metainfo['without_masks'] = list(self.without_masks)
        self.prepare = [TRANSFORMS.build(step) for step in prepare]
        self.head = [TRANSFORMS.build(step) for step in head]
        self.pipeline = [TRANSFORMS.build(step) for step in pipeline]
        self.pipelines = {
            labelled: self.pipeline if own is None else [TRANSFORMS.build(step) for step in own]
            for labelled, own in ((True, labelled_pipeline), (False, unlabelled_pipeline))
        }
        self.sample = self._one_kind()
        self.cache = SampleCache(cache, shared=self.sample == 'volume')
        self.samples: list[Sample] = []
        self._ready = False
        if not lazy_init:
            self.full_init()

    def _one_kind(self) -> str:
        """Return what a sample is, the same for all domains."""
        kinds = {layout.sample for layout in self.layouts.values()}
        if len(kinds) > 1:
            raise ValueError(
                'overrides: sample is "slice" for some domains and "volume" for others. Say it '
                'once, as an option of the data set.'
            )
        return kinds.pop()

    @property
    def metainfo(self) -> dict:
        """Return what the data set is: classes, parts, palette, domains, name, counts."""
        return copy.deepcopy(self._metainfo)

    def full_init(self) -> None:
        """Look for the files, check them, and fill the cache.

        Raises:
            FileNotFoundError: the data root, a folder, a list or a mask is missing.
            ValueError: an option does not go with the files.
        """
        if self._ready:
            return
        if not os.path.isdir(self.data_root):
            what = 'is no folder' if os.path.exists(self.data_root) else 'does not exist'
            raise FileNotFoundError(
                f'data_root "{self.data_root}" {what}. Put the data there or set data_root in the '
                'config of the data set.'
            )
        for name in self.overrides:
            # A domain that is left out may keep its options.
            if not os.path.isdir(os.path.join(self.data_root, name)):
                check_known('overrides', name, self.domains)
        found = [self._index(domain) for domain in self._needed_domains()]
        chosen = self._choose_labelled(found) if self.mode == 'train' else None
        self.samples = [sample for index in found for sample in self._samples(index, chosen)]
        flags = np.array([sample.labelled for sample in self.samples])
        self.labelled_indices = np.flatnonzero(flags)
        self.unlabelled_indices = np.flatnonzero(~flags)
        if self.sample == self.LAYOUT.get('sample', 'slice'):
            totals = {index.domain: index.total for index in found}
            warn_once(compare_counts(self._metainfo, self.mode, totals))
        print_log(summary(self._metainfo, self.mode, self.samples), logger='current')
        self.cache.fill(len(self.samples), self._run_prepare)
        maps = {domain: layout.labels for domain, layout in self.layouts.items()}
        classes = self._metainfo['classes']
        for warning in missing_classes(self.samples, classes, maps, self.read_mask):
            warn_once(warning)
        self._ready = True

    def _needed_domains(self) -> list[str]:
        if self.mode == 'val' and self.holdout:
            return holdout_domains(self.domains, self.labelled, self.holdout)
        return self.domains

    def _index(self, domain: str) -> DomainIndex:
        """List one domain's images, naming the way out if that fails."""
        holdout = self.holdout
        if holdout and domain not in holdout_domains(self.domains, self.labelled, holdout):
            holdout = None
        try:
            return index_domain(
                self.data_root, domain, self.layouts[domain], self.mode, holdout, self.domains
            )
        except (FileNotFoundError, ValueError) as error:
            known = (FileNotFoundError, DataError, ValueError)
            kind = next(kind for kind in known if isinstance(error, kind))
            raise kind(f'{error} {self.leave_out(domain)}'.strip()) from None

    def _choose_labelled(self, found: list[DomainIndex]) -> dict[str, list[str]]:
        """Return domain -> names of its labelled training images."""
        total = sum(index.total for index in found)
        labelled = self.labelled or {}
        if labelled['domain'] == ALL:
            skips = [index.held_out for index in found]
            return choose_in_all([index.pool for index in found], labelled, total, skips)
        own = [index for index in found if index.domain == labelled['domain']]
        return {index.domain: index.choose(labelled, total) for index in own}

    def _samples(self, index: DomainIndex, chosen: dict[str, list[str]] | None) -> list[Sample]:
        """Return a domain's samples, masks attached where they may be read."""
        try:
            if chosen is None:
                names = index.pool.names
                without = index.domain in self.without_masks
                return index.samples(names, with_masks=[] if without else names)
            own = chosen.get(index.domain, [])
            pool = index.pool.names if index.domain in self.unlabelled_domains else own
            return index.samples(pool, with_masks=own)
        except (FileNotFoundError, DataError) as error:
            ways = self.leave_out(index.domain)
            if self.mode != 'train' and isinstance(error, FileNotFoundError):
                ways = f'Or predict it without a score: without_masks=["{index.domain}"]. {ways}'
            raise type(error)(f'{error} {ways}'.strip()) from None

    def leave_out(self, domain: str) -> str:
        """Say how to do without a domain."""
        rest = [name for name in self.domains if name != domain]
        if not rest:
            return ''
        labelled = self.mode == 'train' and (self.labelled or {}).get('domain') == domain
        first = 'choose another labelled.domain (unlabelled images need no mask) or ' * labelled
        return f'Or {first}leave the domain out: domains={rest}.'

    def __len__(self) -> int:
        """Return the number of images."""
        self.full_init()
        return len(self.samples)

    def _run_prepare(self, index: int, labelled: bool | None = None) -> dict:
        """Run the deterministic transforms of one sample.

        Raises:
            DataError: a file cannot be used; the message names domain and file.
        """
        sample = self.samples[index]
        labelled = sample.labelled if labelled is None else labelled
        results = self._describe(sample, labelled)
        try:
            for step in self.prepare:
                results = step(results)
        except (ValueError, OSError) as error:
            hint = self.leave_out(sample.domain)
            raise DataError(f'Domain "{sample.domain}": {error} {hint}'.strip()) from None
        # Kept or not, so that a transform that writes into a volume is found out at once.
        return locked(results) if self.sample == 'volume' else results

    def _describe(self, sample: Sample, labelled: bool) -> dict[str, Any]:
        """Return what the transforms may know of a sample, its masks only if it is labelled."""
        layout = self.layouts[sample.domain]
        results: dict[str, Any] = dict(
            img_path=sample.img_path,
            label_map=layout.labels,
            channels=layout.channels,
            sizes=self.sizes,
            parts=list(self._metainfo['parts'].values()),
            domain=sample.domain,
            case=sample.case,
            slice=sample.slice,
            name=sample.name,
            volume=sample.volume,
            index=sample.index,
            image_key=layout.image_key,
            mask_key=layout.mask_key,
            value_range=layout.value_range,
            axes=layout.axes,
            spacing=layout.spacing,
            labelled=labelled,
        )
        if layout.sample == 'volume':
            results['frames'] = layout.frames
        if sample.slices:
            results['img_paths'] = [file.img_path for file in sample.slices]
        if labelled and sample.mask_paths is not None:
            masks = [file.mask_paths for file in sample.slices] or sample.mask_paths
            results['mask_paths'] = list(masks)
        return results

    def read_mask(self, index: int) -> np.ndarray:
        """Read the mask of a labelled sample as stored, uint8 class ids (H, W) or (D, H, W).

        Raises:
            ValueError: the sample has no label.
            DataError: a file cannot be used; the message names domain and file.
        """
        sample = self.samples[index]
        if sample.mask_paths is None:
            raise ValueError(f'Sample {index} ("{sample.name}") has no label.')
        try:
            return read_truth(self._describe(sample, True), whole=self.sample == 'volume')
        except (ValueError, OSError) as error:
            raise DataError(f'Domain "{sample.domain}": {error}') from None

    def __getitem__(self, draw: Draw | int) -> dict:
        """Return one sample as the pipeline packs it.

        Args:
            draw: what the training sampler drew, or a plain index (iteration 0, slot 0).
        """
        self.full_init()
        if not isinstance(draw, Draw):
            draw = Draw(int(draw), 0, 0, self.samples[int(draw)].labelled)
        if draw.labelled and not self.samples[draw.index].labelled:
            raise ValueError(f'Sample {draw.index} is drawn with a label but has none.')
        results = self.cache.get(draw.index)
        if results is None:
            results = self._run_prepare(draw.index, draw.labelled)
            if draw.labelled == self.samples[draw.index].labelled:
                self.cache.put(draw.index, results)
        if not draw.labelled:
            results.pop('gt', None)
            results.pop('mask_paths', None)
        results['labelled'] = draw.labelled
        stream = [self.seed or 0, draw.iteration, draw.slot, 0 if draw.labelled else 1]
        results['rng'] = np.random.default_rng(stream)
        for step in (*self.head, *self.pipelines[draw.labelled]):
            results = step(results)
        return results
