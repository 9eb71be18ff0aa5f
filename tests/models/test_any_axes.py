"""Losses, label spaces and strategies take any number of spatial axes."""

import pytest
import torch
from torch.nn.functional import one_hot

from mmssl.models.base import ExclusiveClasses, OverlappingParts, SemiDataPreprocessor
from mmssl.models.losses import (
    CDCRLoss,
    DiceBCELoss,
    DiceCELoss,
    KLConsistencyLoss,
    MSEConsistencyLoss,
    NegativeLearningLoss,
)
from mmssl.models.losses.consistency import edge_distance
from mmssl.models.methods.ss_net.vat import soft_dice, unit_length
from mmssl.models.sam.connected import components_on_device, largest_components
from mmssl.models.strategies import FDA, ClassMix, CowMix, CutMix, FMix
from mmssl.models.strategies.contrastive import pixel_rows
from mmssl.models.strategies.frequency import mix_amplitude
from mmssl.models.strategies.mixers import View
from mmssl.models.strategies.mixing import box_mask, paste
from mmssl.models.strategies.pseudo_label import agreement
from mmssl.models.strategies.uncertainty import monte_carlo_mean
from mmssl.structures import VoxelData, element
from mmssl.utils.resize import fit_mask, resize_linear, resize_nearest

SIZE = (4, 6, 5)


def flat(x: torch.Tensor) -> torch.Tensor:
    """Lay the slices of a volume (..., D, H, W) below each other."""
    return x.flatten(-3, -2)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LOGITS, OTHER = draw(2, 3, *SIZE), draw(2, 3, *SIZE, seed=1)
TARGET = OTHER.argmax(1)
MASK = (draw(2, *SIZE, seed=2) > 0).float()
PARTS = one_hot(TARGET, 3).movedim(-1, 1).float()

FUNCTIONS = {
    'dice_ce': lambda f: DiceCELoss()(f(LOGITS), f(TARGET), f(MASK)),
    'bcp': lambda f: DiceCELoss(mask_background=True, masked_mean=True)(
        f(LOGITS), f(TARGET), f(MASK)
    ),
    'dice_bce': lambda f: DiceBCELoss()(f(LOGITS), f(PARTS), f(MASK[:, None].expand_as(PARTS))),
    'mse': lambda f: MSEConsistencyLoss(2)(f(LOGITS), f(OTHER), f(MASK[:, None])),
    'kl': lambda f: KLConsistencyLoss()(f(LOGITS).softmax(1), f(OTHER).softmax(1)),
    'negative': lambda f: NegativeLearningLoss()(f(LOGITS).softmax(1), f(OTHER).softmax(1)),
    'cdcr': lambda f: CDCRLoss()(f(LOGITS), f(OTHER))['consistent'],
    'soft_dice': lambda f: soft_dice(f(LOGITS).softmax(1), f(OTHER).softmax(1)),
    'unit_length': lambda f: unit_length(f(LOGITS)).flatten(1),
    'agreement': lambda f: agreement(*(f(x > 0).movedim(1, 0) for x in (LOGITS, OTHER))),
    'rows': lambda f: pixel_rows(f(LOGITS)),
    'passes': lambda f: monte_carlo_mean(torch.sigmoid, f(LOGITS), 4).flatten(2),
}


@pytest.mark.parametrize('name', FUNCTIONS)
def test_a_volume_counts_as_its_slices_do(name):
    """What looks at every voxel by itself gives of a volume what it gives of one large slice."""
    torch.testing.assert_close(FUNCTIONS[name](lambda x: x), FUNCTIONS[name](flat))


def test_a_loss_refuses_parts_in_place_of_classes_of_a_volume():
    with pytest.raises(ValueError, match=r'class ids \(N, D, H, W\)'):
        DiceCELoss()(LOGITS, PARTS)
    with pytest.raises(ValueError, match=r'parts \(N, K, D, H, W\)'):
        DiceBCELoss()(LOGITS, TARGET)


def test_edges_of_all_three_axes_count():
    g = torch.zeros(1, 1, 2, 2, 2)
    for axis, height in ((2, 1.0), (3, 2.0), (4, 3.0)):
        g.select(axis, 1).add_(height)
    assert edge_distance(torch.zeros_like(g), g).item() == 1 + 4 + 9


def test_label_spaces():
    parts = OverlappingParts([[1], [1, 2]], 2)
    y = torch.tensor([0, 1, 2]).view(1, 1, 1, 3)
    member = parts.encode(y)
    assert member.shape == (1, 2, 1, 1, 3)
    assert member.flatten(2).tolist() == [[[0, 1, 0], [0, 1, 1]]]
    assert parts.class_map((member + 0.1) / 1.2).flatten().tolist() == [0, 1, 2]
    assert torch.equal(parts.members(member), parts.members_of_classes(y))
    exclusive = ExclusiveClasses(None, 3)
    assert exclusive.harden(LOGITS).shape == (2, *SIZE)
    assert exclusive.class_scores(LOGITS) is LOGITS


def test_sizes_of_a_student_and_float_images():
    """Grids and maps are told from images by their names, not by their axes."""
    size = dict(image=(2, 6, 10), label=3, channels=2)
    preprocessor = SemiDataPreprocessor(['a', 'b'], dict(a=size), mean=0, std=1)
    x, maps = draw(2, 1, *SIZE), draw(2, 3, 4, 4, 4)
    batch = preprocessor(dict(inputs=dict(x_w=x, y=TARGET, u_maps=maps)), True)['inputs']
    assert torch.equal(batch['x_w']['b'], x) and batch['u_maps'] is maps
    assert batch['x_w']['a'].shape == (2, 2, 2, 6, 10) and batch['y']['a'].shape == (2, 3, 3, 3)
    assert torch.equal(batch['x_w']['a'][:, :1], resize_nearest(x, (2, 6, 10)))
    wrong = SemiDataPreprocessor(['a'], dict(a=dict(image=(8, 8))))
    with pytest.raises(ValueError, match=r'\[8, 8\] is for 2 axes, but the images have 3'):
        wrong(dict(inputs=x))
    with pytest.raises(ValueError, match='one for each axis'):
        SemiDataPreprocessor(['a'], dict(a=dict(image=(8, 0, 8))))


def test_resizing():
    assert resize_nearest(TARGET, (7, 6, 3)).shape == (2, 7, 6, 3)
    line = torch.arange(4.0).view(1, 1, 4, 1, 1).expand(1, 1, *SIZE)
    assert resize_linear(line, (2, 6, 5))[0, 0, :, 0, 0].tolist() == [0.5, 2.5]
    mask = torch.ones(1, 1, 8, 8, 8)
    assert fit_mask(mask, TARGET).shape == TARGET.shape
    assert fit_mask(mask, PARTS).shape == PARTS.shape


def test_cuboids():
    """The order is that of the axes, and another size is that of the whole on torch's grid."""
    box = torch.tensor([[1, 0, 2, 2, 3, 1, *SIZE], [0, 0, 0, 0, 0, 0, *SIZE]])
    expected = torch.zeros(2, 1, *SIZE)
    expected[0, 0, 1:3, 0:3, 2:3] = 1
    assert torch.equal(box_mask(box, SIZE), expected)
    half = torch.nn.functional.interpolate(expected, size=(2, 3, 5))
    assert torch.equal(box_mask(box, (2, 3, 5)), half)
    with pytest.raises(ValueError, match='for 2 axes'):
        box_mask(box, (4, 6))
    mixed = paste(TARGET, torch.full_like(TARGET, 7), expected)
    assert (mixed == 7).sum() == 6 and (mixed[1] == TARGET[1]).all()


@pytest.mark.parametrize(
    'mixer', [CutMix(), CutMix('unlabelled'), ClassMix(), CowMix(sigma=(1.0, 2.0)), FMix()]
)
def test_mixers_paste_a_region_into_image_label_and_mask_alike(mixer):
    torch.manual_seed(0)
    x = View(torch.full((2, 1, *SIZE), 10.0), TARGET + 10, torch.full((2, *SIZE), 10.0))
    u = View(torch.arange(2.0).view(2, 1, 1, 1, 1).expand(2, 1, *SIZE), TARGET, MASK)
    u = u._replace(label=u.image[:, 0].long(), mask=u.image[:, 0])
    box = torch.tensor([[1, 1, 1, 2, 2, 3, *SIZE]] * 2)
    _, mixed = mixer(x, u, u.image, box, SIZE)
    pasted = mixed.image[:, 0] != u.image[:, 0]
    assert 0 < pasted.float().mean() < 1
    assert torch.equal(mixed.mask != u.mask, pasted) and torch.equal(mixed.label != u.label, pasted)
    if isinstance(mixer, CutMix):
        assert torch.equal(pasted, box_mask(box, SIZE)[:, 0] > 0)


def test_regions_of_noise_are_smooth_along_all_axes():
    torch.manual_seed(0)
    view = View(torch.zeros(4, 1, 16, 16, 16), torch.zeros(4, 16, 16, 16), torch.zeros(4))
    for mixer in (FMix(spectrum='paper', alpha=8.0), CowMix((2.0, 3.0), (0.4, 0.6))):
        region = mixer.region(view, None, (16, 16, 16))
        assert 0.2 < region.mean() < 0.8
        for axis in (2, 3, 4):  # of independent voxels half would differ from the next one
            assert 0 < region.diff(dim=axis).abs().mean() < 0.2


def test_amplitudes_of_volumes():
    """The window of one frequency is the mean, and floats are not cut off as 8 bits are."""
    image, style = draw(2, 1, *SIZE), draw(2, 1, *SIZE, seed=1) + 3
    mixed = mix_amplitude(image + 5, style, size=0)
    torch.testing.assert_close(
        mixed,
        image + 5 - image.mean((2, 3, 4), True) - 5 + style.mean((2, 3, 4), True),
        atol=1e-5,
        rtol=0,
    )
    x, style = View(image, TARGET, MASK), style - 3
    mixed = FDA(size=0.3, mean=0, std=1)(x, x, style, None, SIZE)[0].image
    assert mixed.min() < 0 and torch.equal(mixed, mix_amplitude(image, style, 0.3))


def test_components_of_volumes_on_host_and_device():
    """Voxels that touch by a corner are connected, those of two slices too."""
    y = torch.zeros(1, 3, 3, 5, dtype=torch.long)
    y[0, 0, 0, 0] = y[0, 1, 1, 1] = y[0, 2, 2, 2] = 1  # three by their corners
    y[0, :2, 0, 4] = 1  # two by a side
    expected = y.clone()
    expected[0, :2, 0, 4] = 0
    assert torch.equal(largest_components(y, axes=3), expected)
    labels = (draw(2, 9, 10, 7, seed=3) > 0.9).long() + (draw(2, 9, 10, 7, seed=4) > 1.2).long()
    assert torch.equal(components_on_device(labels, 3, 3), largest_components(labels, axes=3))
    parts = torch.stack([labels == 1, labels == 2], 1).float()
    found = components_on_device(parts, axes=3)
    assert torch.equal(found, largest_components(parts, axes=3)) and found.sum() < parts.sum()


def test_voxel_data():
    truth = VoxelData(data=TARGET[0], metainfo=dict(case='a'))
    assert truth.data.shape == (1, *SIZE) and truth.shape == SIZE
    part = truth[1:3, 2, :]
    assert part.shape == (2, 1, 5) and part.case == 'a'
    assert torch.equal(part.data, truth.data[:, 1:3, 2:3])
    with pytest.raises(ValueError, match='the size .* but the other fields'):
        truth.scores = torch.zeros(2, 4, 6, 4)
    with pytest.raises(ValueError, match=r'give an array \(D, H, W\)'):
        VoxelData(data=torch.zeros(4, 4))
    assert type(element(truth.data)) is VoxelData
    assert type(element(torch.zeros(1, 4, 4))) is not VoxelData
