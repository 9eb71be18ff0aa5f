"""SAMed: its loss, its parameters, its configs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.registry import init_default_scope

import mmssl.models  # noqa: F401
from mmssl.engine.data_facts import build_model
from mmssl.registry import TRANSFORMS
from tests.tiny import build, raw_batch, segmentor, set_iter

CONFIGS = Path(__file__).parents[3] / 'configs/samed'
FROZEN = 138_062  # gets no gradient without prompts, see SAMMaskHead; and of the IoU head's last
LAST = 257  # layer as much for each class above two


def samed(**kwargs):
    set_iter(0, 10)
    return build(dict(type='SAMed', students=dict(sam=segmentor()), **kwargs))


@pytest.mark.parametrize('d', [0.8, 0.3])
def test_the_loss_by_hand(d):
    model = samed(dice_weight=d)
    logits = torch.tensor([[[[2.0, 0.0]], [[0.0, 1.0]]]])  # one row of two pixels, both right
    y = torch.tensor([[[0, 1]]])
    p0, p1 = 1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-1))  # of the right class
    ce = -(np.log(p0) + np.log(p1)) / 2
    dice = 1 - (2 * p0 + 1e-5) / (1 + p0**2 + (1 - p1) ** 2 + 1e-5)
    dice += 1 - (2 * p1 + 1e-5) / (1 + p1**2 + (1 - p0) ** 2 + 1e-5)
    expected = (1 - d) * ce + d * dice / 2
    assert model.criterion(logits, y).item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_is_taken_at_the_size_of_the_label():
    model = samed(data_preprocessor=dict(sizes=dict(sam=dict(image=32, label=8))))
    batch = model.data_preprocessor(raw_batch(2, 0), True)['inputs']
    assert batch['y']['sam'].shape[-1] == 8
    assert 0 <= batch['x_w']['sam'].min() and batch['x_w']['sam'].max() == 1
    terms = model.loss(batch)
    assert set(terms) == {'loss', 'sup_sam', 'weight'}
    assert torch.equal(terms['loss'].detach(), terms['sup_sam'])


def test_another_loss_may_be_given_and_a_wrong_weight_is_named():
    assert samed(sup_loss=dict(type='DiceCELoss')).criterion.ce_weight == 1
    with pytest.raises(ValueError, match='dice_weight must be between 0 and 1, got 2'):
        samed(dice_weight=2)


def on_meta(name: str, classes: int | None = None):
    init_default_scope('mmssl')
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    if classes:
        cfg.model.students.sam.decode_head.num_classes = classes
    with torch.device('meta'):
        model = build_model(cfg)
    return cfg, model.to('meta').train()


@pytest.mark.parametrize(
    'name, foreground, total, trainable',
    [
        ('acdc', 8, 92_192_469, 4_913_621),
        ('acdc', 3, 91_490_864, 4_212_016),
        ('acdc_s', 8, 92_216_021, 1_645_909),
        ('acdc_s', 3, 91_514_416, 944_304),
    ],
)
def test_parameters_of_the_released_code(name, foreground, total, trainable):
    """As many as there; those that get no gradient are frozen here and counted there."""
    _, model = on_meta(name, foreground + 1)
    parameters = list(model.parameters())
    assert sum(p.numel() for p in parameters) == total
    frozen = FROZEN + LAST * (foreground - 1)
    assert sum(p.numel() for p in parameters if p.requires_grad) == trainable - frozen


@pytest.mark.parametrize(
    'name, channels, classes',
    [('prostate', 1, 2), ('fundus', 3, 3), ('mnms', 1, 4), ('busi', 1, 2), ('acdc', 1, 4)],
)
def test_the_configs_fit_together(name, channels, classes):
    set_iter(0, 10)
    cfg, model = on_meta(name)
    sampler = cfg.train_dataloader.batch_sampler
    assert sampler.num_unlabelled == 0
    assert cfg.optim_wrapper.optimizers.sam.lr == pytest.approx(0.005 * sampler.num_labelled / 24)
    x_w = torch.zeros(2, channels, 512, 512, dtype=torch.uint8, device='meta')
    y = torch.zeros(2, 512, 512, dtype=torch.uint8, device='meta')
    raw = dict(inputs=dict(x_w=x_w, y=y), data_samples=None)
    batch = model.data_preprocessor(raw, True)['inputs']
    assert batch['y']['sam'].shape == (2, 128, 128)
    logits = model.students['sam'](batch['x_w']['sam'], mode='tensor')
    assert logits.shape == (2, classes, 128, 128)
    model.loss(batch)['loss'].backward()


def test_views_on_acdc():
    """Half are turned and flipped, half of the others rotated; then they become 512 px."""
    init_default_scope('mmssl')
    cfg = Config.fromfile(CONFIGS / 'acdc.py')
    steps = [TRANSFORMS.build(step) for step in cfg.train_dataloader.dataset.labelled_pipeline[:2]]
    assert (steps[0].rot_flip_prob, steps[0].rotate_prob, steps[0].degrees) == (0.5, 0.5, 20)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 32), dtype=np.uint8)
    turned = [np.flip(np.rot90(image, k), axis) for k in range(4) for axis in range(2)]
    kinds = np.zeros(3)
    for _ in range(1000):
        out = steps[0].transform(dict(img=image, rng=rng))['img']
        if np.array_equal(out, image):
            kinds[2] += 1
        else:
            kinds[0 if any(np.array_equal(out, t) for t in turned) else 1] += 1
    assert np.abs(kinds / 1000 - [0.5, 0.25, 0.25]).max() < 0.04, kinds
    results = steps[1].transform(dict(img=image, gt=image % 4))
    assert results['img'].shape == results['gt'].shape == (512, 512)
    assert set(np.unique(results['gt'])) == set(range(4))
    test = cfg.test_dataloader.dataset.prepare
    assert [step.get('size') for step in test] == [None, None, 512, None]
    assert cfg.test_dataloader.dataset.image_size == 256


def test_rates_on_acdc():
    """The decay is measured against 200 epochs of 93 batches, of which 160 are trained."""
    cfg = Config.fromfile(CONFIGS / 'acdc.py')
    assert cfg.train_cfg.max_iters == 160 * 93 and cfg.param_scheduler[0].end == 200 * 93
    assert cfg.param_scheduler[0].warmup == 250
