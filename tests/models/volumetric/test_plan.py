"""The planner sets what nnU-Net's does."""

import math

import pytest
from mmengine import Config

from mmssl.models.volumetric.plan import common_spacing, plan
from tests.test_configs import CONFIGS
from tests.tiny import build


def spread(levels):
    return [tuple(level) if isinstance(level, list | tuple) else (level,) * 3 for level in levels]


@pytest.mark.parametrize(
    'spacing, shape, cases, classes, patch, batch, halvings, flat',
    [
        ((1.37, 1.25, 1.25), (115, 320, 232), 20, 2, (80, 192, 160), 2, (4, 5, 5), 0),
        ((1, 1, 1), (36, 50, 35), 260, 3, (40, 56, 40), 9, (3, 3, 3), 0),
        ((1, 1, 1), (138, 169, 138), 484, 4, (128, 128, 128), 2, (5, 5, 5), 0),
        ((3.6, 0.62, 0.62), (20, 320, 319), 32, 3, (20, 320, 256), 2, (2, 6, 6), 2),
        ((2.5, 0.8, 0.8), (96, 512, 512), 281, 3, (40, 224, 224), 2, (3, 5, 5), 1),
        ((1.6, 0.79, 0.79), (187, 512, 512), 41, 2, (64, 192, 160), 2, (4, 5, 5), 1),
    ],
    ids=['Heart', 'Hippocampus', 'Brain', 'Prostate', 'Pancreas', 'Spleen'],
)
def test_plans_of_the_decathlon(spacing, shape, cases, classes, patch, batch, halvings, flat):
    """As published with nnU-Net (Nature Methods 2021, supplement): medians in, plan out."""
    found = plan([spacing] * cases, [shape] * cases, classes)
    assert (found.patch_size, found.batch_size) == (patch, batch)
    strides, kernels = (spread(found.student[key]) for key in ('strides', 'kernel_size'))
    assert tuple(math.prod(axis) for axis in zip(*strides, strict=True)) == tuple(
        2**n for n in halvings
    )
    assert [k for k in kernels if k == (1, 3, 3)] == list(kernels[:flat])


def test_more_memory_means_larger_patches_and_then_more_of_them():
    heart = [(1.37, 1.25, 1.25)] * 20, [(115, 320, 232)] * 20, 2
    small, large = plan(*heart, memory=8), plan(*heart, memory=24)
    assert math.prod(large.patch_size) > 2 * math.prod(small.patch_size)
    brain = [(1, 1, 1)] * 484, [(100, 100, 100)] * 484, 2
    assert plan(*brain, memory=32).batch_size > plan(*brain).batch_size > 2


def test_thick_slices_take_the_tenth_percentile():
    spacings = [(10, 1.5, 1.5)] * 8 + [(5, 1.5, 1.5)] * 2
    assert common_spacing(spacings, [(9, 200, 200)] * 10)[0] == pytest.approx(5)
    assert common_spacing(spacings, [(90, 200, 200)] * 10)[0] == 10, 'there are enough slices'


def test_what_cannot_be_planned_is_named():
    with pytest.raises(ValueError, match='no volume to plan for'):
        plan([], [], 2)
    with pytest.raises(ValueError, match=r'Volumes of \[4, 8, 8\] voxels cannot be halved twice'):
        plan([(1, 1, 1)], [(4, 8, 8)], 2)


@pytest.mark.parametrize(
    'config, shapes, classes',
    [
        ('dynunet_hippocampus', [(36, 50, 35)] * 260, 3),
        ('dynunet_left_atrium', [(190, 142, 88)] * 80, 2),
    ],
)
def test_the_base_configs_are_planned(config, shapes, classes):
    cfg = Config.fromfile(CONFIGS / f'_base_/models/{config}.py')
    found = plan([(1, 1, 1)] * len(shapes), shapes, classes)
    assert tuple(cfg.planned_patch) == found.patch_size

    student = cfg.model.students.dynunet
    assert student.keys() == found.student.keys()
    for name, value in found.student.items():
        if name in ('strides', 'kernel_size', 'upsample_kernel_size'):
            assert spread(student[name]) == spread(value), name
        else:
            assert student[name] == (tuple(value) if name == 'filters' else value), name
    net = build(dict(found.student, filters=[2] * len(found.student['filters'])))
    assert all(n % d == 0 for n, d in zip(found.patch_size, net.divisors, strict=True))
