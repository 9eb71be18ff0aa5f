"""Dump every config as what a run reads of it, and compare two such dumps.

    python tests/run_config_dumps.py before.json
    python tests/run_config_dumps.py --compare before.json

A change of the configs that is to change no training is shown by it. What is filled in when a run
is built (sizes, classes, channels and parts of the data, the length of a schedule) is dumped as
it is then. By name, these are no differences:

* top-level variables, which have done their work when a config is read;
* `persistent_workers` where `num_workers=0`, which the runner drops;
* `data_preprocessor={}`, which says nothing;
* whether `published` is stated at the top or, as it was, in the evaluators;
* whether a schedule for all of a run's optimisers is a list or stated for each of them;
* whether the rule of an ensemble is stated in the model or, as it was, in `SMCEnsembleHook`.
"""

import argparse
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmssl.engine.data_facts import with_facts
from mmssl.utils.setup import CONFIGS, load_config, register_all_modules

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
SIZES = {'ResizeSquare': 'image_size', 'RandomPasteBox': 'box_size', 'ResizeMaskTo': 'score_size'}
"""Transforms, and the option of the data set that they take their `size` from."""


def dump() -> dict[str, Any]:
    """Return what a run reads of every leaf config, by its path."""
    register_all_modules()
    return {
        path.relative_to(CONFIGS).as_posix(): normalised(load_config(path))
        for path in sorted(CONFIGS.glob('*/*.py'))
        if path.parent.name != '_base_'
    }


def normalised(cfg) -> dict[str, Any]:
    """Return a config as plain values, with everything filled in."""
    values = with_facts(cfg).to_dict()
    for name in LOADERS:
        if values.get(name):
            normalise_loader(values[name])
    normalise_published(values)
    normalise_schedules(values)
    normalise_rule(values)
    if not values['model'].get('data_preprocessor', True):
        del values['model']['data_preprocessor']
    return json.loads(json.dumps(values, default=repr))


def normalise_loader(loader: dict) -> None:
    """Write the sizes of the data set into its transforms."""
    if not loader.get('num_workers'):
        loader.pop('persistent_workers', None)
    dataset = loader['dataset']
    sizes = {option: dataset.pop(option, None) for option in SIZES.values()}
    sizes['box_size'] = sizes['box_size'] or sizes['image_size']
    for step in steps(dataset):
        if step['type'] in SIZES:
            step.setdefault('size', None)
            step['size'] = step['size'] or sizes[SIZES[step['type']]]


def steps(node: Any) -> Iterator[dict]:
    """Give every dict of a config that has a type."""
    if isinstance(node, dict) and 'type' in node:
        yield node
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, (dict, list, tuple)):
            yield from steps(child)


def normalise_published(values: dict) -> None:
    """State the published numbers once: the table of the test has them."""
    top = values.pop('published', None)
    test = values.get('test_evaluator') or {}
    published = test['published'] if 'published' in test else top
    for key in ('val_evaluator', 'test_evaluator'):
        (values.get(key) or {}).pop('published', None)
    values['published'] = published['method'] if isinstance(published, dict) else published


def normalise_schedules(values: dict) -> None:
    """State the schedules of each optimiser, and their last iterations as numbers."""
    optimisers = values.get('optim_wrapper', {}).get('optimizers', {})
    found = values.pop('param_scheduler', None) or []
    found = found if isinstance(found, dict) else dict.fromkeys(optimisers, found)
    schedules = {name: copy.deepcopy(found.get(name, [])) for name in optimisers}
    for schedule in (one for several in schedules.values() for one in several):
        if schedule.get('end') == 'max_iters':
            schedule['end'] = values['train_cfg']['max_iters']
    values['param_scheduler'] = schedules


def normalise_rule(values: dict) -> None:
    """State the rule of an ensemble in the model."""
    for hook in values.get('custom_hooks') or []:
        if hook['type'] == 'SMCEnsembleHook':
            rule = hook.pop('rule', None) or values['model'].get('ensemble')
            values['model']['ensemble'] = rule or dict(type='SelfMutualConfidence')


def differences(old: Any, new: Any, place: str = '') -> Iterator[str]:
    """Give the places where two dumps differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            where = f'{place}.{key}' if place else key
            if key not in old or key not in new:
                side = 'only before' if key in old else 'only now'
                yield f'{where}: {side}: {json.dumps(old.get(key, new.get(key)))}'
            else:
                yield from differences(old[key], new[key], where)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f'{place}.{index}')
    elif old != new:
        yield f'{place}: {json.dumps(old)} -> {json.dumps(new)}'


def main() -> None:
    """Write a dump, or compare the configs with one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('file', help='dump to write, or to compare with')
    parser.add_argument('--compare', action='store_true', help='compare with the dump')
    args = parser.parse_args()
    now = dump()
    if not args.compare:
        Path(args.file).write_text(json.dumps(now, indent=1, sort_keys=True), encoding='utf-8')
        print(f'{len(now)} configs are in {args.file}')
        return
    before = json.loads(Path(args.file).read_text(encoding='utf-8'))
    found = {name: list(differences(before[name], now[name])) for name in before if name in now}
    lines = [f'{name}: {line}' for name, several in found.items() for line in several]
    lines += [f'{name}: only before' for name in before if name not in now]
    lines += [f'{name}: only now' for name in now if name not in before]
    equal = sum(not several for several in found.values())
    print('\n'.join([*lines, f'{equal} of {len(before)} configs are equal']))
    raise SystemExit(bool(lines))


if __name__ == '__main__':
    main()
