"""A training of a few iterations through the runner, for the checks of a method."""

from pathlib import Path
from typing import Any

from mmengine import Config

from mmssl.testing.phantoms import LABELLED, SIDE, SIDES
from mmssl.utils.packaged import CONFIGS

SPLITS = ('train', 'val', 'test')


def short_run(data: Path, axes: int, counts: tuple[int, int]) -> Config:
    """Return the config of a run on a small phantom, to which the method is missing.

    Args:
        data: folder of `write_small_phantom`, or of `write_small_volumes` for 3 axes.
        axes: 2 for slices, 3 for volumes.
        counts: labelled and unlabelled images of a batch.
    """
    cfg = Config.fromfile(CONFIGS / 'sup_only' / 'lite_phantom.py')
    cfg.param_scheduler = []
    cfg.train_dataloader.batch_sampler.update(num_labelled=counts[0], num_unlabelled=counts[1])
    (_on_slices if axes == 2 else _on_volumes)(cfg, str(data))
    cfg.default_hooks.checkpoint.update(interval=2, max_keep_ckpts=-1, save_best=None)
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.log_level = 'WARNING'
    return cfg


def _on_slices(cfg: Config, data: str) -> None:
    for split in SPLITS:
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.update(data_root=data, domains=['ScannerA', 'ScannerB'])
        next(step for step in dataset.prepare if step.type == 'ResizeSquare').size = SIDE
    dataset = cfg.train_dataloader.dataset
    dataset.labelled.num = LABELLED
    strong = [dict(type='RandomBrightness', low=0.5, high=1.5)]
    box = dict(type='RandomPasteBox', size=SIDE)
    _pipelines(dataset, [dict(type='RandomHorizontalFlip')], strong, box)


def _on_volumes(cfg: Config, data: str) -> None:
    kept = dict(
        type='MixedDomainDataset',
        data_root=data,
        domains=['phantom'],
        image_dir='data',
        mask_dir='data',
        image_suffixes='.h5',
        mask_suffixes='.h5',
        sample='volume',
        label_map={0: 0, 1: 1, 2: 1},
        case_pattern=r'(?P<case>patient\d+)_frame\d+',
        split=dict(type='list', train='train.list', val='val.list', test='test.list'),
        metainfo=cfg.train_dataloader.dataset.metainfo,
        prepare=[
            dict(type='LoadVolume'),
            dict(type='LoadMask'),
            dict(type='NormaliseIntensity'),
        ],
    )
    for split in SPLITS:
        dataset: dict[str, Any] = dict(kept, mode=split)
        if split != 'train':
            dataset['pipeline'] = [dict(type='PackTestInputs')]
            cfg[f'{split}_dataloader'].batch_size = 1
            cfg[f'{split}_evaluator'].per = 'volume'
        cfg[f'{split}_dataloader'].dataset = dataset
    train: Any = cfg.train_dataloader.dataset
    train.labelled = dict(num=LABELLED, list='train.list')
    weak: list[dict] = [
        dict(type='RandomCrop', size=(SIDES[3] - 4, SIDES[3], SIDES[3])),
        dict(type='RandomFlip', axes=(1, 2)),
    ]
    strong = [dict(type='RandomNoise', std=(0.0, 0.3))]
    _pipelines(train, weak, strong, dict(type='RandomPasteCuboid', side=0.5))


def _pipelines(dataset: Any, weak: list[dict], strong: list[dict], box: dict) -> None:
    pack = dict(type='PackSemiInputs')
    dataset.labelled_pipeline = [*weak, pack]
    dataset.unlabelled_pipeline = [
        *weak,
        dict(type='StrongView', transforms=strong),
        dict(type='StrongView', transforms=strong, key='img_strong2'),
        box,
        dict(box, key='box2'),
        pack,
    ]
