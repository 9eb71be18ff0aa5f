"""SynFoC trained through the runner on a small phantom: leakage, repeatability, exact resume."""

import json
import runpy
import shutil
import uuid
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.evaluator import BaseMetric

from mmssl.datasets.phantom.slices import PhantomSettings, write_phantom
from mmssl.engine.speed.regions import no_compiler
from mmssl.models.losses import DiceCELoss
from mmssl.registry import METRICS, RUNNERS
from mmssl.utils.setup import register_all_modules
from tests.tiny import BN, segmentor

ROOT = Path(__file__).parents[1]
SIDE = 32
LABELLED = 3


@pytest.fixture(scope='module')
def phantom(tmp_path_factory):
    """Write a phantom of two scanners, 8 training images each."""
    root = tmp_path_factory.mktemp('phantom')
    settings = PhantomSettings(
        domains=('ScannerA', 'ScannerB'),
        size=SIDE,
        train_cases=2,
        train_slices=4,
        test_cases=1,
        test_slices=2,
    )
    write_phantom(root / 'data', settings)
    return root / 'data'


def medsam() -> dict:
    """Return a student with a frozen trunk, adapters and a mask decoder."""
    arch = dict(embed_dims=32, depth=2, num_heads=2, global_blocks=(1,))
    return dict(
        type='EncoderDecoder',
        backbone=dict(type='LoRAMedSAM', arch=arch, img_size=SIDE, rank=2, checkpoint=None),
        decode_head=dict(type='SAMMaskHead', img_size=SIDE, num_classes=2, checkpoint=None),
    )


def config(data, work_dir, iters=6, workers=0, **updates) -> Config:
    """Return the config of a short SynFoC run on the phantom."""
    cfg = Config.fromfile(ROOT / 'configs/synfoc/lite_phantom.py')
    cfg.model.students = dict(sam=medsam(), unet=segmentor(norm=BN))
    cfg.model.data_preprocessor = dict(
        sizes=dict(sam=dict(image=SIDE, label=8), unet=dict(image=24, label=24))
    )
    domains = ['ScannerA', 'ScannerB']
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.dataset.update(data_root=str(data), domains=domains)
        loader.dataset.prepare[1 if split != 'train' else 2].size = SIDE
    cfg.train_dataloader.update(num_workers=workers, persistent_workers=workers > 0)
    cfg.train_dataloader.dataset.labelled.num = LABELLED
    cfg.train_dataloader.dataset.unlabelled_pipeline[-2].size = 24
    cfg.work_dir, cfg.experiment_name = str(work_dir), uuid.uuid4().hex
    cfg.train_cfg.update(max_iters=iters, val_interval=3)
    cfg.default_hooks.checkpoint.update(interval=3, max_keep_ckpts=-1)
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.log_level = 'WARNING'
    cfg.merge_from_dict(updates)
    return cfg


def train(*args, **kwargs) -> dict:
    """Train and return the last checkpoint."""
    register_all_modules()
    cfg = config(*args, **kwargs)
    RUNNERS.build(cfg).train()
    path = Path(cfg.work_dir, (Path(cfg.work_dir) / 'last_checkpoint').read_text())
    return torch.load(path, weights_only=True)


def same(a, b) -> bool:
    """Compare nested containers bit by bit."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def same_training(a: dict, b: dict) -> bool:
    """Compare students, teachers and optimisers of two checkpoints."""
    return all(same(a[key], b[key]) for key in ('state_dict', 'optimizer'))


@pytest.fixture(scope='module')
def reference(phantom, tmp_path_factory):
    """Train once, without interruption."""
    return train(phantom, tmp_path_factory.mktemp('reference'))


def test_students_and_teachers_learn(reference, phantom, tmp_path):
    start = train(phantom, tmp_path, iters=1)
    for name in ('students.sam.backbone', 'students.unet', 'teachers.sam', 'teachers.unet'):
        moved = [
            k
            for k, v in reference['state_dict'].items()
            if k.startswith(name) and not torch.equal(v, start['state_dict'][k])
        ]
        assert moved, name


@pytest.mark.parametrize('how', ['noise', 'deleted'])
def test_unlabelled_masks_do_not_leak(how, reference, phantom, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(phantom, data)
    rng, labelled = np.random.default_rng(0), sorted((phantom / 'ScannerA/train/mask').iterdir())
    keep = {path.name for path in labelled[:LABELLED]}
    changed = 0
    for path in data.glob('*/train/mask/*.png'):
        if path.parts[-4] == 'ScannerA' and path.name in keep:
            continue
        changed += 1
        if how == 'deleted':
            path.unlink()
        else:
            cv2.imwrite(str(path), rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8))
    assert changed == 13
    assert same_training(train(data, tmp_path / 'run'), reference)


def test_same_seed_same_training_and_another_seed_another(reference, phantom, tmp_path):
    assert same_training(train(phantom, tmp_path / 'same'), reference)
    other = train(phantom, tmp_path / 'other', **{'randomness.seed': 7})
    assert not same_training(other, reference)


@pytest.mark.parametrize('workers', [0, 2])
def test_resumed_training_is_the_uninterrupted_one(workers, reference, phantom, tmp_path):
    train(phantom, tmp_path, workers=workers)
    (tmp_path / 'iter_6.pth').unlink()
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_3.pth'))
    assert same_training(train(phantom, tmp_path, workers=workers, resume=True), reference)


@pytest.mark.slow
@pytest.mark.parametrize('lever', ['fast', 'recompute', 'teachers', 'compile'])
def test_training_with_a_lever_is_resumed_exactly(lever, phantom, tmp_path):
    if lever == 'compile' and no_compiler('cpu'):
        pytest.skip('no compiler')
    value = {'recompute': 'all', 'teachers': 'bfloat16'}.get(lever, True)
    options = {'speed': {lever: value}}
    whole = train(phantom, tmp_path, **options)
    (tmp_path / 'iter_6.pth').unlink()
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_3.pth'))
    assert same_training(train(phantom, tmp_path, resume=True, **options), whole)


class CountImages(BaseMetric):
    """A metric that knows nothing of students."""

    default_prefix = 'count'

    def process(self, data_batch, data_samples):
        self.results += [1] * len(data_samples)

    def compute_metrics(self, results):
        return dict(images=sum(results))


@pytest.mark.slow
@pytest.mark.parametrize('among', ['a list', 'an evaluator'])
def test_evaluators_may_be_several(phantom, tmp_path, monkeypatch, among):
    monkeypatch.setitem(METRICS.module_dict, 'CountImages', CountImages)
    cfg = config(phantom, tmp_path / 'run')
    for split in ('val', 'test'):
        domain = dict(cfg[f'{split}_evaluator'], selection='val')
        metrics = [dict(type='CountImages'), domain]
        cfg[f'{split}_evaluator'] = (
            metrics if among == 'a list' else dict(type='Evaluator', metrics=metrics)
        )
    register_all_modules()
    RUNNERS.build(cfg).train()
    history = json.loads((tmp_path / 'run/summary.json').read_text())
    assert history['selection'] == 'val' and history['history'][0]['metrics']['unet/DSC'] >= 0
    assert list((tmp_path / 'run').glob('best_unet_DSC_iter_*.pth')), 'chosen by its score'
    (tmp_path / 'config.py').write_text(cfg.pretty_text)
    monkeypatch.setattr('sys.argv', [
        'test.py', str(tmp_path / 'config.py'), str(tmp_path / 'run/iter_6.pth'),
        '--work-dir', str(tmp_path / 'test'), '--out', str(tmp_path / 'result.json'),
    ])  # fmt: skip
    runpy.run_path(str(ROOT / 'tools/test.py'))['main']()
    result = json.loads((tmp_path / 'result.json').read_text())
    assert set(result['students']) == {'sam', 'unet'}, 'of the metric that knows students'


def test_nan_names_its_iteration_and_term_and_keeps_the_checkpoint(phantom, tmp_path, monkeypatch):
    train(phantom, tmp_path, iters=3)
    before = (tmp_path / 'iter_3.pth').read_bytes()
    monkeypatch.setattr(DiceCELoss, 'forward', lambda self, x, *_: float('nan') * x.sum())
    with pytest.raises(FloatingPointError, match=r'sup_sam.* iteration 4'):
        train(phantom, tmp_path, resume=True)
    assert (tmp_path / 'iter_3.pth').read_bytes() == before
    assert not (tmp_path / 'iter_6.pth').exists()


def test_configs_build_their_models_on_the_meta_device(monkeypatch):
    from mmssl.engine.data_facts import build_model

    register_all_modules()
    linspace = torch.linspace  # of which mmseg's Swin reads its rates of dropped paths
    monkeypatch.setattr(torch, 'linspace', lambda *a, **k: linspace(*a, **{**k, 'device': 'cpu'}))
    paths = sorted(p for p in (ROOT / 'configs').glob('*/*.py') if p.parent.name != '_base_')
    assert len(paths) > 15
    for path in paths:
        cfg = Config.fromfile(path)
        with torch.device('meta'):
            model = build_model(cfg)
        if cfg.get('optim_wrapper') is None:  # to be tested alone
            assert not model.students and cfg.train_dataloader is None, path
            continue
        trained = {**dict(model.students.items()), **dict(model.named_children())}
        named = {name for name, one in cfg.optim_wrapper.optimizers.items() if one is not None}
        assert set(model.students) <= named <= set(trained), path
        best = cfg.default_hooks.checkpoint.get('save_best')
        if best is None and (cfg.get('test_evaluator') or {}).get('selection') == 'last':
            continue  # nothing is chosen
        predicted = getattr(model, 'image_students', None)
        chosen, outputs = best and [key.split('/')[0] for key in best], list(model.outputs)
        fused = chosen and chosen[0] == outputs[0] and set(chosen) <= set(outputs)
        assert chosen == predicted or fused, path
