"""Configs agree with the published codes, with their metafiles and with themselves."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.structures import BaseDataElement

from mmssl.engine.checkpoints.setting_rules import check_settings
from mmssl.engine.data_facts import describe_data, with_facts
from mmssl.evaluation.published import load_published
from mmssl.experiments.compose import compare_with_data
from mmssl.registry import MODELS, TRANSFORMS
from mmssl.utils.setup import load_config, register_all_modules
from tests.tiny import set_iter, set_phase

CONFIGS = Path(__file__).parents[1] / 'configs'
SAM = (
    'cpc_sam',
    'h_sam',
    'know_sam',
    'medsam',
    'samed',
    'semi_sam',
    'synfoc',
)  # have tests of their own
ALL = sorted(
    path.relative_to(CONFIGS).as_posix()
    for path in CONFIGS.glob('*/*.py')
    if path.parent.name not in ('_base_', *SAM) and not path.stem.startswith('ddpm')
)
STRONG = {'img_strong': 'u_s', 'img_strong2': 'u_s2'}


@pytest.mark.parametrize(
    'config, rot_flip, rotate',
    [
        ('sup_only/acdc.py', 0.5, 1.0),
        ('mean_teacher/acdc.py', 0.5, 1.0),
        ('ua_mt/acdc.py', 0.5, 1.0),
        ('cps/acdc.py', 0.5, 1.0),
        ('cps/acdc_cutmix.py', 0.5, 1.0),
        ('cross_teaching/acdc.py', 0.5, 1.0),
        ('urpc/acdc.py', 0.5, 1.0),
        ('dtc/acdc.py', 0.5, 1.0),
        ('sass_net/acdc.py', 0.5, 1.0),
        ('fixmatch/acdc.py', 1.0, None),
        ('mc_net/acdc.py', 0.5, 0.5),
        ('mc_net_plus/acdc_14cases.py', 0.5, 0.5),
        ('ss_net/acdc.py', 0.5, 0.5),
        ('bcp/acdc.py', 0.5, 0.5),
        ('abd/acdc_bcp.py', 0.5, 0.5),
        ('abd/acdc_cross_teaching.py', 0.5, 0.5),
        ('unimatch/acdc.py', 0.5, 0.5),
    ],
)
def test_weak_views_of_acdc_are_those_of_each_released_code(config, rot_flip, rotate):
    """SSL4MIS turns or rotates every slice; others leave a quarter of them as they are."""
    dataset = Config.fromfile(CONFIGS / config).train_dataloader.dataset
    for pipeline in (dataset.labelled_pipeline, dataset.unlabelled_pipeline):
        weak = pipeline[0]
        assert weak.type == 'RandomRotFlipRotate' and weak.rot_flip_prob == rot_flip
        assert weak.get('rotate_prob') == rotate


def is_volume(dataset) -> bool:
    """Return whether a data set gives whole volumes, of which patches are cut."""
    return any(step.type == 'LoadVolume' for step in dataset.prepare)


def patch_size(dataset) -> tuple[int, ...]:
    """Return the size of the patches, which both pipelines cut alike."""
    pipelines = (dataset.labelled_pipeline, dataset.unlabelled_pipeline)
    (size,) = {
        tuple(step['size']) for steps in pipelines for step in steps if step.type == 'RandomCrop'
    }
    return size


@pytest.mark.parametrize('config', ALL)
def test_schedules_end_with_the_training_and_boxes_fit_the_images(config):
    cfg = Config.fromfile(CONFIGS / config)
    schedules = cfg.get('param_scheduler') or []
    if isinstance(schedules, dict):
        assert set(schedules) <= set(cfg.optim_wrapper.optimizers)
        schedules = [one for several in schedules.values() for one in several]
    for schedule in schedules:
        if 'end' in schedule:
            assert schedule['end'] == 'max_iters', 'a shorter run would keep its rate'
    dataset = cfg.train_dataloader.dataset
    if is_volume(dataset):
        assert cfg.model.inferer.size == patch_size(dataset), 'a window as large as the patches'
        return
    side = dataset.image_size
    sizes = with_facts(cfg).model.get('data_preprocessor', {}).get('sizes') or {}
    sides = {sizes.get(name, {}).get('image', side) for name in cfg.model.students}
    boxes = [
        step.get('size') or dataset.get('box_size') or side
        for step in dataset.get('unlabelled_pipeline') or []
        if step.type == 'RandomPasteBox'
    ]
    assert set(boxes) <= sides, 'the model takes a box for pixels of its own images'


def test_what_every_config_sets_may_be_set():
    for path in CONFIGS.glob('*/*.py'):
        if path.parent.name != '_base_':
            cfg = load_config(path)
            cfg.work_dir = 'work'
            check_settings(cfg)


def test_views_are_bent_as_in_the_paper():
    """By the published pixels at the papers' sizes, and by the same part of a small image."""
    seen = set()
    for path in sorted(CONFIGS.glob('*/*.py')):
        loader = Config.fromfile(path).get('train_dataloader')
        for key in ('labelled_pipeline', 'unlabelled_pipeline') if loader else ():
            steps = [
                one
                for step in loader.dataset.get(key) or ()
                for one in (step, *step.get('transforms', ()))
            ]
            found = [step.get('side', 512) for step in steps if step.type == 'RandomElastic']
            side = loader.dataset.get('image_size')  # volumes have none
            assert set(found) <= {512 if 'lite_' in path.stem else side}, path
            seen.update((path.stem, side) for _ in found)
    assert len(seen) > 20 and {side for _, side in seen} == {64, 96, 98, 256, 288, 384, 512}


@pytest.mark.parametrize('config', ALL)
def test_published_numbers_that_a_config_asks_for_exist(config):
    cfg = Config.fromfile(CONFIGS / config)
    published = cfg.get('published')
    if published:
        assert published == config.split('/')[0], 'numbers of another method'
        name = cfg.train_dataloader.dataset.type.lower()
        counts = (5, 20, 40, 64, 68, 136, 256)
        assert any(load_published(published, name, count) for count in counts), published


@pytest.mark.parametrize(
    'config',
    sorted(
        path.relative_to(CONFIGS).as_posix()
        for path in CONFIGS.glob('*/*.py')
        if path.parent.name not in ('_base_', 'medsam') and not path.stem.startswith('ddpm')
    ),
)
def test_parts_and_classes_are_those_of_the_data(config):
    register_all_modules()
    cfg = Config.fromfile(CONFIGS / config)
    facts = describe_data(cfg)
    assert facts.parts
    compare_with_data(with_facts(cfg).model, facts)


def meta_batch(cfg: Config) -> dict:
    """Return an empty batch of the views that a config's pipelines make, on the meta device."""
    sampler, dataset = cfg.train_dataloader.batch_sampler, cfg.train_dataloader.dataset
    volume = is_volume(dataset)
    size = patch_size(dataset) if volume else 2 * (dataset.image_size,)
    dtype = torch.float32 if volume else torch.uint8
    channels = min(
        student.get('backbone', student).get('in_channels', 3)
        for student in cfg.model.students.values()
        if student is not None
    )

    def zeros(n: int, *shape: int) -> torch.Tensor:
        return torch.zeros(n, *shape, dtype=dtype, device='meta')

    n, image = sampler.num_labelled, (channels, *size)
    views = dict(x_w=zeros(n, *image), y=zeros(n, *size))
    for step in dataset.labelled_pipeline:
        if step.type == 'StrongView':
            views['x_s'] = zeros(n, *image)
            if step.get('mask'):
                views['y_s'] = zeros(n, *size)
        elif step.type == 'SignedDistance':
            parts = len(describe_data(cfg).parts)
            views['x_maps'] = torch.zeros(n, parts, *size, device='meta')
    n = sampler.num_unlabelled
    if n:
        views['u_w'] = zeros(n, *image)
        for step in dataset.unlabelled_pipeline:
            if step.type == 'StrongView':
                views[STRONG[step.get('key', 'img_strong')]] = zeros(n, *image)
            elif step.type in ('RandomPasteBox', 'RandomPasteCuboid'):
                views[step.get('key', 'box')] = zeros(n, 9 if volume else 4).long()
    known = {
        kind: [BaseDataElement(metainfo=dict(domain='A')) for _ in range(count)]
        for kind, count in (('labelled', sampler.num_labelled), ('unlabelled', n))
    }
    return dict(inputs=views, data_samples=known)


@pytest.mark.slow
def test_every_method_takes_a_step_at_its_published_size(monkeypatch):
    """Late in the training, so that all terms count, on the meta device."""
    register_all_modules()
    linspace = torch.linspace  # of which mmseg's Swin reads its rates of dropped paths
    monkeypatch.setattr(torch, 'linspace', lambda *a, **k: linspace(*a, **{**k, 'device': 'cpu'}))
    seen = set()
    for config in ALL:
        cfg = with_facts(Config.fromfile(CONFIGS / config))
        form = config.split('/')[0], cfg.model.type, is_volume(cfg.train_dataloader.dataset)
        if cfg.model.get('neck') or form in seen:
            continue  # wants a diffusion model, or differs in its data alone
        seen.add(form)
        if 'CauSSL' in cfg.model.type:
            cfg.model.independence = dict(steps=1)
        with torch.device('meta'):
            model = MODELS.build(cfg.model)
        model.to('meta').train()
        set_iter(cfg.train_cfg.max_iters * 9 // 10, cfg.train_cfg.max_iters)
        data = model.data_preprocessor(meta_batch(cfg), True)
        for phase in range(model.phases):
            set_phase(phase)
            model.loss(**data)['loss'].backward()
        set_phase(0)
        still = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not still, f'{config}: no gradient for {still[:3]}'
    assert len(seen) > 15


def test_bcp_cuts_the_unlabelled_volumes_of_the_pancreas_from_their_middle():
    cfg = Config.fromfile(CONFIGS / 'bcp/pancreas.py')
    (crop, pack) = cfg.train_dataloader.dataset.unlabelled_pipeline
    assert pack.type == 'PackSemiInputs'
    step = TRANSFORMS.build(crop)
    img = np.arange(100 * 110 * 90, dtype=np.float32).reshape(100, 110, 90, 1)
    found = step(dict(img=img, rng=np.random.default_rng(0)))['img']
    assert found.shape == (96, 96, 96, 1)
    np.testing.assert_array_equal(found[:, :, 3:93], img[2:98, 7:103])
    assert not found[:, :, :3].any() and not found[:, :, 93:].any()
    assert cfg.model.pretrain * cfg.train_cfg.max_iters == pytest.approx(60 * 30)
