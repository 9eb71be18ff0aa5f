"""Compare the masks of two orders: squared and then turned, turned and then squared.

Usage: python tools/analysis_tools/compare_orders.py CONFIG [--number 200] [--seed 0]

Training masks go through the config's `ResizeSquare` and its turns in both orders, with the same
draws; printed are the mean and the worst Dice of the two foregrounds.
"""

from collections.abc import Callable, Sequence

import numpy as np
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.engine.data_facts import TRANSFORMS as PIPELINES
from mmssl.evaluation import binary_metrics
from mmssl.experiments.timed_pipeline import training_dataset
from mmssl.registry import DATASETS, TRANSFORMS
from mmssl.utils.cli import Parser, run
from mmssl.utils.config.options import add_cfg_options, at_least
from mmssl.utils.errors import SettingError
from mmssl.utils.setup import load_config

SQUARE = 'ResizeSquare'
TURNS = ('RandomRotFlipRotate', 'RandomRotate', 'RandomHorizontalFlip')
"""Geometry whose draws do not depend on the size of an image, so that both orders get the same."""
LOADERS = ('LoadImage', 'LoadMask')


def find_steps(dataset_cfg: ConfigDict) -> tuple[list[Callable], list[Callable]]:
    """Return the first resizing and the turns of labelled samples, as two lists of transforms.

    Raises:
        SettingError: the config has none of one kind.
    """
    pipeline = dataset_cfg.get('labelled_pipeline') or dataset_cfg.get('pipeline') or []
    steps = [*dataset_cfg.get('prepare', []), *dataset_cfg.get('head', []), *pipeline]
    found = [
        [TRANSFORMS.build(step) for step in steps if step.type in kinds]
        for kinds in ((SQUARE,), TURNS)
    ]
    for kinds, transforms in zip((SQUARE, ' or '.join(TURNS)), found, strict=True):
        if not transforms:
            raise SettingError(
                f'the labelled training samples of the config go through no {kinds}'
                ', so there are no two orders; give a config that has it'
            )
    return found[0][:1], found[1]  # a second one enlarges what is a square already


def load_dataset(dataset_cfg: ConfigDict) -> MixedDomainDataset:
    """Return the training set with images and masks as they are stored."""
    options = {key: value for key, value in dataset_cfg.items() if key not in PIPELINES}
    load = [step for step in dataset_cfg.get('prepare', []) if step.type in LOADERS]
    return DATASETS.build({**options, 'prepare': load, 'cache': False})


def mask_after(steps: Sequence[Callable], results: dict, seed: Sequence[int]) -> np.ndarray:
    """Return the foreground of a sample behind some transforms, bool (H, W)."""
    results = dict(results, rng=np.random.default_rng(seed))
    for step in steps:
        results = step(results)
    return results['gt'] > 0


def compare(dataset_cfg: ConfigDict, number: int, seed: int) -> np.ndarray:
    """Return the Dice of both orders' foregrounds, NaN where neither has one.

    Args:
        dataset_cfg: config of the training set.
        number: labelled images at most, drawn without repetition.
        seed: of that choice and of the turns.

    Raises:
        SettingError: there is nothing to compare.
    """
    squares, turns = find_steps(dataset_cfg)
    dataset = load_dataset(dataset_cfg)
    labelled = np.random.default_rng(seed).permutation(dataset.labelled_indices)[:number]
    if not len(labelled):
        raise SettingError('no training image has a label; set train_dataloader.dataset.labelled')
    scores = []
    for index in labelled:
        results, draws = dataset[int(index)], (seed, int(index))
        published = mask_after([*turns, *squares], results, draws)
        squared = mask_after([*squares, *turns], results, draws)
        scores.append(binary_metrics(squared, published, both_empty='nan')['dsc'])
    return np.array(scores)


def describe(scores: np.ndarray) -> str:
    """Return what is printed of the Dice of each image."""
    shown = scores[~np.isnan(scores)]
    if not len(shown):
        return f'{len(scores)} masks: no foreground.'
    differ = shown[shown < 1]
    line = (
        f'{len(shown)} of {len(scores)} masks with a foreground: '
        f'mean Dice {shown.mean():.3f}, worst {shown.min():.3f}'
    )
    mean = f', mean Dice {differ.mean():.3f} among them' if len(differ) else ''
    return f'{line}; {len(differ)} differ{mean}.'


def main() -> None:
    """Print the line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    parser.add_argument('--number', type=at_least(1), default=200, help='images at most')
    parser.add_argument('--seed', type=at_least(0), default=0, help='of the choice and the turns')
    add_cfg_options(parser)
    args = parser.parse_args()
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope') or 'mmssl')
    print(describe(compare(training_dataset(cfg), args.number, args.seed)))


if __name__ == '__main__':
    run(main)
