"""One data set, network and budget for the configs of many methods."""

import copy
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmssl.utils.config.settings import metrics_of
from mmssl.utils.packaged import CONFIGS, find_config_file

if TYPE_CHECKING:
    from mmssl.engine.data_facts import DataFacts

# What a config says about its method; everything else comes from the config of the data.
OF_METHOD = (
    'model',
    'optim_wrapper',
    'param_scheduler',
    'custom_hooks',
    'custom_imports',
    'default_hooks',
    'train_cfg',
    'find_unused_parameters',
    'published',
)
SMALL = 'lite_'  # recipes for small machines
VIEWS = {
    'StrongView': 'img_strong',
    'RandomPasteBox': 'box',
    'RandomPasteCuboid': 'box',
    'SignedDistance': 'maps',
}
"""Transforms that make entries of the batch, and their default keys."""


def find_config(word: str, data: str | Path, configs: Path = CONFIGS) -> Path:
    """Return the config of a method that fits the data best.

    Args:
        word: a path ending in `.py`; `FOLDER/NAME` below `configs`; or a folder below it, in which
            the config with the name of the data's is taken, else that without `lite_`.
        data: config of the data.
        configs: folder of the configs.

    Raises:
        ValueError: there is none.
    """
    if word.endswith('.py'):
        tried = [find_config_file(word)]
    elif '/' in word:
        tried = [configs / f'{word}.py']
    else:
        stem = Path(data).stem
        tried = [configs / word / f'{name}.py' for name in (stem, stem.removeprefix(SMALL))]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        names = sorted(f'{word}/{path.stem}' for path in (configs / word).glob('*.py'))
        raise ValueError(
            f'--methods "{word}": there is no {" and no ".join(map(str, tried))}; '
            + (
                f'name one that is there ({", ".join(names)}) or a config file'
                if names
                else 'name a folder of configs, FOLDER/NAME or a config file'
            )
        )
    return found


def written_for(config: Path, data: str | Path) -> bool:
    """Return whether a config's name says that it was written for the data of another.

    Example:
        >>> [written_for(Path(name), 'lite_acdc.py') for name in ('mc_lite_acdc.py', 'acdc.py')]
        [True, False]
    """
    stem, name = config.stem, Path(data).stem
    return name.removeprefix(SMALL) in stem and (SMALL in stem) == (SMALL in name)


def compose(
    method, data, iters: int, same_recipe: bool = False, batch: tuple[int, int] | None = None
):
    """Return the config that trains a method on the data, network and budget of another config.

    From `data` come data set, labelled subset, views, batch, evaluation and validation; from
    `method` its model, optimisers, schedules and hooks, with every length scaled to `iters`, and
    strong views and boxes under names that the data's pipelines do not have; `custom_imports` has
    the modules of both. A method that learns
    from labelled images alone keeps a batch of these. The students get the network of the data's
    first student (`fit_network`), unless the method's config was written for this data.

    Args:
        method: config of the method.
        data: a whole config on the data, e.g. of `SupOnly`.
        iters: iterations of the training.
        same_recipe: whether the method's config was written for this very data or as its recipe,
            so that its networks are right.
        batch: labelled and unlabelled images of a batch; by default as `data` says, and as many
            unlabelled as labelled ones where that learns from labelled images alone.
    """
    from mmssl.engine.data_facts import describe_data, with_facts

    cfg, data = with_facts(method, data if same_recipe else None), with_facts(data)
    own = cfg.train_dataloader.dataset
    without_unlabelled = cfg.train_dataloader.batch_sampler.get('num_unlabelled') == 0
    modules = dict.fromkeys([*_modules(data), *_modules(cfg)])
    if modules:
        cfg.custom_imports = {**(cfg.get('custom_imports') or {}), 'imports': list(modules)}
    for key, value in copy.deepcopy(data).items():
        if key not in OF_METHOD:
            cfg[key] = value
    loader = cfg.train_dataloader
    if own.get('head'):
        loader.dataset.head = own.head
    add_views(loader.dataset, own)
    sampler = loader.batch_sampler
    batch = batch or (sampler.num_labelled, sampler.num_unlabelled or sampler.num_labelled)
    sampler.num_labelled, sampler.num_unlabelled = batch
    if without_unlabelled:
        sampler.num_unlabelled = 0
    for key in ('val_evaluator', 'test_evaluator'):
        for metric in metrics_of(cfg.get(key)):
            metric.pop('published', None)  # of another method
    scale_lengths(cfg, iters)
    cfg.train_cfg.val_interval = min(data.train_cfg.val_interval, iters)
    for hook, option in (('checkpoint', 'interval'), ('logger', 'interval')):
        cfg.default_hooks[hook][option] = data.default_hooks[hook][option]
    facts = describe_data(data)
    if not same_recipe:
        fit_network(cfg.model, data.model, facts.metainfo.get('parts') if facts else None)
    compare_with_data(cfg.model, facts)
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type='CostHook')]
    return cfg


def _modules(cfg) -> list[str]:
    imports = (cfg.get('custom_imports') or {}).get('imports') or []
    return [imports] if isinstance(imports, str) else list(imports)


def add_views(dataset, own) -> None:
    """Add the strong views and boxes of a method that a data set does not make.

    Args:
        dataset: config of the data set, changed in place.
        own: the data set of the method's config.
    """

    def name(step: Mapping) -> tuple[str, str]:
        return step['type'], step.get('key', VIEWS[step['type']])

    found = [
        step
        for key in ('labelled_pipeline', 'unlabelled_pipeline')
        for step in dataset.get(key, [])
    ]
    size = next((step.get('size') for step in found if step.type == 'RandomPasteBox'), None)
    for key in ('labelled_pipeline', 'unlabelled_pipeline'):
        have = {name(step) for step in dataset[key] if step.type in VIEWS}
        for step in own.get(key, []):
            if step.type in VIEWS and name(step) not in have:
                step = copy.deepcopy(step)
                if step.type == 'RandomPasteBox':
                    step.pop('size', None)
                    step.update(size=size) if size else None
                dataset[key].insert(-1, step)  # before the packing


def scale_lengths(cfg, iters: int) -> None:
    """Set the number of iterations; schedules and options `start` keep their share of it."""
    share = iters / cfg.train_cfg.max_iters
    schedules = cfg.get('param_scheduler') or []
    schedules = schedules.values() if isinstance(schedules, Mapping) else [schedules]
    for schedule in (one for several in schedules for one in several):
        for key in ('begin', 'end', 'T_max', 'warmup'):
            if isinstance(schedule.get(key), int):
                schedule[key] = round(share * schedule[key])
    for key, value in starts(cfg.model):
        cfg.model[key] = round(share * value)
    cfg.train_cfg.max_iters = iters


def starts(model: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Give the options of a method that name an iteration: `start` and those that end in it."""
    from mmssl.registry import MODELS

    for cls in MODELS.get(model['type']).__mro__:
        if '__init__' not in vars(cls):
            continue
        for key, option in inspect.signature(cls.__init__).parameters.items():
            value = model.get(key, option.default)
            if (key == 'start' or key.endswith('_start')) and type(value) is int:
                yield key, value


def compare_with_data(model, facts: 'DataFacts | None') -> None:
    """Compare the parts and classes of a method's config with those of the data.

    Raises:
        ValueError: they differ.
    """
    from mmssl.registry import MODELS

    if facts is None:
        return
    own, scored = model.get('parts'), facts.parts
    compared = getattr(MODELS.get(model.type), 'scores_parts', False)
    if own and scored and compared and {*map(frozenset, own)} != {*map(frozenset, scored)}:
        raise ValueError(
            f'{model.type} has parts={own}, but the data score {scored}; give it a '
            'config for this data, or set parts=None in it'
        )
    found = facts.metainfo.get('num_classes', 0)
    overlapping = (model.get('label_space') or {}).get('type') == 'OverlappingParts'
    for name, student in model.students.items():
        known = _segmentor(student)[-1].get('num_classes') if student else None
        if known and found > known and not overlapping:
            raise ValueError(
                f'student "{name}" of {model.type} has num_classes={known}, but the '
                f'masks of the data have {found}; set num_classes={found} there'
            )


def _segmentor(student: Mapping) -> tuple:
    """Return the configs of backbone and head, or of a network in one piece."""
    whole = 'decode_head' not in student
    return (student,) if whole else (student['backbone'], student['decode_head'])


def fit_network(model, reference, parts: Mapping[str, list] | None = None) -> None:
    """Give a method's students the classes, the size and the network of a reference.

    Parts of a network (backbone, head, also one inside another) of the type that the reference
    has take its options and keep what these do not name; other types keep theirs. The number of
    classes is set wherever it stands.

    Args:
        model: config of the method's model, changed in place.
        reference: config of the model whose first student is the network.
        parts: parts that the data score, by name; by default those of the reference.

    Raises:
        ValueError: no student has the reference's backbone.
    """
    network = next(s for s in reference.students.values() if s is not None)
    overlapping = model.get('label_space', {}).get('type') == 'OverlappingParts'
    if parts:
        model.parts = [list(ids) for ids in parts.values()]
    elif 'parts' in reference:
        model.parts = copy.deepcopy(reference.parts)
    own = _segmentor(network)
    classes = len(model.get('parts', [[1]])) if overlapping else own[-1].num_classes
    options = {part.type: {k: v for k, v in part.items() if k != 'type'} for part in own}
    found = [part.get('type') for part in _parts(model.students)]
    if own[0].type not in found:
        raise ValueError(
            f'{model.type} has no student with the network of the data, {own[0].type}; '
            'give it a config for this data, with the same name as that of --data'
        )
    for student in model.students.values():
        for part in _parts(student or {}):
            part.update(copy.deepcopy(options.get(part.get('type'), {})))
            if 'num_classes' in part:
                part['num_classes'] = classes
    preprocessor = model.get('data_preprocessor', {})
    given = reference.get('data_preprocessor', {})
    sizes = given.get('sizes', {})
    preprocessor['sizes'] = {
        name: copy.deepcopy(size) for name, size in sizes.items() if name in model.students
    }
    preprocessor.update({key: given[key] for key in ('mean', 'std') if key in given})
    model.data_preprocessor = preprocessor
    model.pop('inferer', None)  # its window is the patch of other data
    if reference.get('inferer'):
        model.inferer = copy.deepcopy(reference.inferer)


def _parts(node: Any) -> Iterator[dict]:
    """Give every dict in a config."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, (dict, list, tuple)):
            yield from _parts(child)
