"""Run a config's pipelines on generated images, with a clock in every transform."""

import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config, ConfigDict

from mmssl.registry import DATASETS, TRANSFORMS

LOADING = ('LoadImage', 'LoadVolume', 'LoadMask')


class Timed:
    """Run a transform and keep the time of each call, and of those inside it.

    Args:
        transform: a transform, or one that runs a list of `transforms` itself.
        depth: how deep it is nested.
    """

    def __init__(self, transform: Any, depth: int = 0) -> None:
        self.transform = transform
        self.name = '  ' * depth + type(transform).__name__
        self.times: list[float] = []
        self.inner: list[Timed] = []
        if isinstance(getattr(transform, 'transforms', None), list):
            self.inner = [Timed(inner, depth + 1) for inner in transform.transforms]
            transform.transforms = self.inner

    def __call__(self, results: dict) -> dict:
        """Run it."""
        start = time.perf_counter()
        results = self.transform(results)
        self.times.append(1e3 * (time.perf_counter() - start))
        return results

    def rows(self) -> Iterator[tuple[str, float]]:
        """Give name and mean time (ms) of this transform and those inside it."""
        yield self.name, float(np.mean(self.times))
        for inner in self.inner:
            yield from inner.rows()


def cpu_name() -> str:
    """Return the processor's name as the system knows it."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def training_dataset(cfg: Config) -> ConfigDict:
    """Return the config of the training data set, out of its wrappers.

    Raises:
        ValueError: the config trains on nothing.
    """
    if not cfg.get('train_dataloader'):
        raise ValueError(f'{cfg.filename} has no train_dataloader, so no pipeline to measure.')
    dataset = cfg.train_dataloader.dataset
    while 'prepare' not in dataset and 'dataset' in dataset:
        dataset = dataset.dataset
    return dataset


def synthetic_samples(dataset_cfg: ConfigDict, side: int, number: int) -> dict[bool, list[dict]]:
    """Return results as if images (side, side) had been read: smooth noise around an ellipse.

    Whole volumes have half that side and as many slices as a quarter of it.
    """
    layout = getattr(DATASETS.get(dataset_cfg.type), 'LAYOUT', {})
    load: dict = next((step for step in dataset_cfg.prepare if step.type == 'LoadImage'), {})
    channels = load.get('channels') or dataset_cfg.get('channels') or layout.get('channels', 1)
    sizes = {of: dataset_cfg.get(f'{of}_size') for of in ('image', 'box', 'score')}
    sizes['box'] = sizes['box'] or sizes['image']
    whole = dataset_cfg.get('sample', layout.get('sample')) == 'volume'
    parts = DATASETS.build({**dataset_cfg, 'lazy_init': True}).metainfo['parts']
    side = side // 2 if whole else side
    rng = np.random.default_rng(0)
    samples: dict[bool, list[dict]] = {True: [], False: []}
    for index in range(2 * number):
        noise = cv2.GaussianBlur(rng.random((side, side, channels)), (0, 0), 4)
        noise = noise.reshape(side, side, channels)
        gt = np.zeros((side, side), np.uint8)
        centre = tuple(int(c) for c in rng.integers(side // 3, side - side // 3, 2))
        cv2.ellipse(gt, centre, (side // 5, side // 7), 0, 0, 360, 1, -1)
        img = (noise - noise.min()) / np.ptp(noise) * 180 + 75 * gt[..., None]
        labelled = index < number
        results = dict(
            img=img.astype(np.uint8),
            ori_shape=(side, side),
            labelled=labelled,
            sizes=sizes,
            parts=list(parts.values()),
            domain='generated',
        )
        if whole:
            fade = np.linspace(0.5, 1, max(1, side // 2), dtype=np.float32)[:, None, None, None]
            gt = np.repeat(gt[None], len(fade), 0)
            img = fade * img.astype(np.float32)
            results.update(img=img, ori_shape=gt.shape, spacing=(1.0, 1.0, 1.0))
        samples[labelled].append({**results, 'gt': gt} if labelled else results)
    return samples


def build_steps(cfgs: list, skip_loading: bool = False) -> list[Timed]:
    """Build transforms from config, each with its clock."""
    cfgs = [c for c in cfgs if not (skip_loading and c.type in LOADING)]
    return [Timed(TRANSFORMS.build(cfg)) for cfg in cfgs]


def run_steps(steps: list[Timed], results: dict) -> tuple[dict, float]:
    """Run a pipeline once; return what it gives and the time in ms."""
    start = time.perf_counter()
    for step in steps:
        results = step(results)
    return results, 1e3 * (time.perf_counter() - start)
