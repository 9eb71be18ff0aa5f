"""The most confident share of each class, against a count by hand."""

import math

import pytest
import torch

from mmssl.models.strategies.pseudo_label import ClassBalancedThreshold, FixedThreshold, counted
from mmssl.registry import THRESHOLDS
from tests.tiny import build, raw_batch, set_iter, synfoc


def by_hand(p, label, share):
    """Count for one image (or part of it): the best of each class, rounded up."""
    counts = torch.zeros_like(label, dtype=torch.bool)
    for c in label.unique():
        at = (label == c).nonzero()[:, 0]
        best = sorted(at.tolist(), key=lambda i: (-p[i].item(), i))
        counts[best[: math.ceil(share * len(at))]] = True
    return counts


@pytest.mark.parametrize('shape', [(3, 7, 5), (2, 4, 3, 5)], ids=['slices', 'volumes'])
@pytest.mark.parametrize('share', [0.25, 0.5, 1.0])
def test_the_best_of_each_class_of_an_image_count(shape, share):
    generator = torch.Generator().manual_seed(0)
    p = torch.randint(0, 20, shape, generator=generator) / 20  # with ties
    label = torch.randint(0, 4, shape, generator=generator)
    label[0] = label[0].clamp(max=1)  # classes that an image lacks
    found = ClassBalancedThreshold(share)(p, label=label)
    for image, classes, counts in zip(p, label, found, strict=True):
        expected = by_hand(image.flatten(), classes.flatten(), share)
        assert torch.equal(counts.flatten(), expected)


def test_inside_and_outside_of_an_overlapping_part_are_its_classes():
    generator = torch.Generator().manual_seed(1)
    p = torch.rand(2, 3, 6, 6, generator=generator)
    label = (torch.rand(2, 3, 6, 6, generator=generator) > 0.8).float()
    found = ClassBalancedThreshold(0.5)(p, label=label)
    for n in range(2):
        for k in range(3):
            expected = by_hand(p[n, k].flatten(), label[n, k].flatten(), 0.5)
            assert torch.equal(found[n, k].flatten(), expected)


def test_a_class_that_is_never_sure_teaches_where_one_value_keeps_it_silent():
    p = torch.tensor([[[0.99, 0.98, 0.97, 0.96], [0.60, 0.70, 0.55, 0.50]]])
    label = torch.tensor([[[0, 0, 0, 0], [1, 1, 1, 1]]])
    fixed = counted(FixedThreshold(0.95), p, label)
    balanced = counted(THRESHOLDS.build(dict(type='ClassBalancedThreshold')), p, label)
    assert fixed[label == 1].sum() == 0 and fixed[label == 0].sum() == 4
    assert balanced.tolist() == [[[1, 1, 0, 0], [1, 1, 0, 0]]]


def test_synfoc_tells_it_the_label():
    set_iter(30000, 60000)
    model = build(synfoc(threshold=dict(type='ClassBalancedThreshold', share=0.3)))
    batch = model.data_preprocessor(raw_batch(), True)['inputs']
    for label, mask in model.lessons(batch['u_w'], model.step)[0].values():
        for classes, counts in zip(label, mask, strict=True):
            for c in classes.unique():
                own = counts[classes == c]
                assert own.sum().item() == math.ceil(0.3 * len(own))


def test_without_labels_and_with_an_impossible_share_it_says_so():
    with pytest.raises(ValueError, match=r"take threshold=dict\(type='FixedThreshold'\)"):
        ClassBalancedThreshold()(torch.rand(1, 2, 2))
    for share in (0.0, 1.5):
        with pytest.raises(ValueError, match=r'must lie in \(0, 1\], found'):
            ClassBalancedThreshold(share)
