"""What a model takes from the data it is trained on: classes, parts, channels, sizes.

A config states these once, in its data set. They go into the config of the model before it is
built; what the model's config says itself is left as it is, and compared with the data later
(`mmssl.engine.data_roles`).
"""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.registry import DATASETS, MODELS
from mmssl.utils.config.components import option_names

TRANSFORMS = ('prepare', 'head', 'pipeline', 'labelled_pipeline', 'unlabelled_pipeline')
LOADERS = ('train_dataloader', 'test_dataloader', 'val_dataloader')
HEADS = ('decode_head', 'auxiliary_head')


@dataclass(frozen=True)
class DataFacts:
    """What a data set says of itself.

    Attributes:
        metainfo: classes, parts and names, as the data set has them.
        channels: of the images; None where its domains differ.
        sizes: `image`, `box` and `score`, sides in pixels or None.
    """

    metainfo: Mapping[str, Any]
    channels: int | None
    sizes: Mapping[str, Any]

    @property
    def parts(self) -> list[list[int]]:
        """Class ids of each part that is scored."""
        return [list(ids) for ids in self.metainfo.get('parts', {}).values()]


def describe_data(cfg: Mapping) -> DataFacts | None:
    """Return the facts of a config's training set, else of its test set; no file is looked for.

    Args:
        cfg: a whole config.

    Returns:
        None where there is no data set, or one that is no `MixedDomainDataset`.
    """
    for name in LOADERS:
        dataset = (cfg.get(name) or {}).get('dataset')
        while isinstance(dataset, Mapping) and isinstance(dataset.get('dataset'), Mapping):
            dataset = dataset['dataset']  # out of its wrappers
        if not isinstance(dataset, Mapping):
            continue
        kind = dataset.get('type')
        component = DATASETS.get(kind) if isinstance(kind, str) else kind
        if not inspect.isclass(component) or not issubclass(component, MixedDomainDataset):
            continue
        options = {key: value for key, value in dataset.items() if key not in TRANSFORMS}
        built = DATASETS.build({**options, 'lazy_init': True})
        channels = {layout.channels for layout in built.layouts.values()}
        return DataFacts(
            built.metainfo, channels.pop() if len(channels) == 1 else None, built.sizes
        )
    return None


def with_facts(cfg, of: Mapping | None = None):
    """Return a copy of a config whose model has what it takes from the data.

    Filled in, where the config does not say it: `parts`; of each student `num_classes` in the
    heads, `in_channels` of the backbone, and `img_size` where they are built for one size; and
    `data_preprocessor.sizes`, see `_fill_in_sizes`.

    Args:
        cfg: a whole config.
        of: the config whose data it is to be trained on; its own by default.
    """
    cfg = copy.deepcopy(cfg)
    model = cfg.get('model')
    if isinstance(model, dict) and 'type' in model:
        facts = describe_data(of or cfg)
        if facts is not None:
            _fill_in(model, facts)
    return cfg


def build_model(cfg) -> nn.Module:
    """Build the model of a whole config, with what it takes from the data.

    Args:
        cfg: a whole config.
    """
    return MODELS.build(with_facts(cfg)['model'])


def _fill_in(model: dict, facts: DataFacts) -> None:
    students = {
        name: student
        for name, student in (model.get('students') or {}).items()
        if isinstance(student, Mapping)
    }
    heads = [head for student in students.values() for head in _heads(student)]
    classes = len(facts.metainfo.get('classes', ()))
    # Where a head states fewer classes, the comparison with the data says so.
    fits = all(head.get('num_classes', classes) >= classes for head in heads)
    overlapping = (model.get('label_space') or {}).get('type') == 'OverlappingParts'
    if facts.parts and model.get('parts') is None and _has(model, 'parts'):
        if fits or overlapping:
            model['parts'] = facts.parts
    if not students:
        return
    _fill_in_sizes(model, students, facts)
    sizes = (model.get('data_preprocessor') or {}).get('sizes') or {}
    for name, student in students.items():
        own = sizes.get(name) or {}
        options = dict(
            num_classes=len(model.get('parts') or facts.parts) if overlapping else classes or None,
            img_size=own.get('image') or facts.sizes.get('image'),
        )
        backbone = student.get('backbone', student)
        if isinstance(backbone, MutableMapping):
            channels = own.get('channels', facts.channels)
            if type(channels) is not int or channels < 1:  # the preprocessor says what is wrong
                channels = None
            any_channels = getattr(_component(backbone), 'any_channels', False)
            _give(backbone, in_channels=None if any_channels else channels, **options)
        for head in _heads(student):
            _give(head, **options)


def _fill_in_sizes(model: dict, students: Mapping[str, Mapping], facts: DataFacts) -> None:
    """State the sizes of the students' images and labels.

    A fraction in `data_preprocessor.sizes` becomes that part of the data's `image_size`. A student
    that is not named there and is built for no size gets images and labels of `box_size`, where
    that is another size than the images have.
    """
    image, box = facts.sizes.get('image'), facts.sizes.get('box')
    preprocessor = model.get('data_preprocessor') or {}
    sizes = preprocessor.get('sizes') or {}
    for size in sizes.values():
        for key in ('image', 'label'):
            if image and isinstance(size.get(key), float):
                size[key] = round(image * size[key])
    left = [
        name
        for name, student in students.items()
        if name not in sizes and not _has(student.get('backbone'), 'img_size')
    ]
    if box != image and left:
        sizes.update({name: dict(image=box, label=box) for name in left})
        model['data_preprocessor'] = {**preprocessor, 'sizes': sizes}


def _heads(student: Mapping) -> Iterator[MutableMapping]:
    for key in HEADS:
        heads = student.get(key)
        for head in heads if isinstance(heads, list | tuple) else [heads]:
            if isinstance(head, MutableMapping):
                yield head
    if 'decode_head' not in student and isinstance(student, MutableMapping):
        yield student  # a network in one piece


def _give(part: MutableMapping, **options: int | None) -> None:
    """Set options of a component that it has and its config does not state."""
    for name, value in options.items():
        if value is not None and name not in part and _has(part, name):
            part[name] = value


def _has(part: Any, option: str) -> bool:
    return isinstance(part, Mapping) and option in option_names(_component(part))


def _component(part: Mapping) -> Callable | None:
    kind = part.get('type')
    return MODELS.get(kind) if isinstance(kind, str) else kind
