"""The views of UniMatch's medical code as a whole: one pipeline, from files to a batch."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmssl.datasets.batches.collate import semi_collate
from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.registry import TRANSFORMS
from mmssl.structures import Draw

SIZE = 32
STRONG = [
    dict(
        type='RandomApply',
        prob=0.8,
        transforms=[
            dict(type='ColorJitter', brightness=0.5, contrast=0.5, saturation=0.5, hue=0.25)
        ],
    ),
    dict(type='RandomApply', prob=0.5, transforms=[dict(type='GaussianBlur', sigma=(0.1, 2.0))]),
]
WEAK = [dict(type='TrackGeometry'), dict(type='RandomRotFlipRotate')]
UNLABELLED = [
    *WEAK,
    dict(type='StrongView', transforms=STRONG),
    dict(type='StrongView', transforms=STRONG, key='img_strong2'),
    dict(type='RandomPasteBox', size=SIZE, prob=0.5),
    dict(type='RandomPasteBox', size=SIZE, prob=0.5, key='box2'),
    dict(type='PackSemiInputs'),
]


@TRANSFORMS.register_module()
class AddMaps:
    """Stand in for the loading of cached maps."""

    def __call__(self, results):
        results['maps'] = np.full(6, int(results['name']), np.float16)
        return results


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ('image', 'mask'):
        (tmp_path / f'A/train/{kind}').mkdir(parents=True)
    for index in range(4):
        img = cv2.GaussianBlur(rng.integers(0, 256, (SIZE, SIZE), dtype=np.uint8), (0, 0), 1)
        Image.fromarray(img).save(tmp_path / f'A/train/image/{index}.png')
        Image.fromarray(np.uint8(img > 127)).save(tmp_path / f'A/train/mask/{index}.png')
    return MixedDomainDataset(
        data_root=str(tmp_path),
        domains=['A'],
        label_map={0: 0, 1: 1},
        labelled=dict(num=1, seed=0),
        prepare=[dict(type='LoadImage'), dict(type='LoadMask'), dict(type='AddMaps')],
        labelled_pipeline=[*WEAK, dict(type='PackSemiInputs')],
        unlabelled_pipeline=UNLABELLED,
        seed=7,
    )


def unlabelled(dataset, iteration, slot=0, index=None):
    index = dataset.unlabelled_indices[0] if index is None else index
    return dataset[Draw(int(index), iteration, slot, False)]['inputs']


def test_views_have_their_shapes_and_types(dataset):
    inputs = unlabelled(dataset, 0)
    types = {view: (tuple(tensor.shape), tensor.dtype) for view, tensor in inputs.items()}
    image = ((1, SIZE, SIZE), torch.uint8)
    box = ((5,), torch.int64)
    assert types == dict(
        u_w=image, u_s=image, u_s2=image, box=box, box2=box,
        u_grid=((SIZE, SIZE), torch.int32), u_maps=((6,), torch.float16),
    )  # fmt: skip


def test_views_repeat_by_seed_iteration_and_slot(dataset):
    def all_views(iteration, slot):
        views = unlabelled(dataset, iteration, slot).values()
        return torch.cat([view.flatten().double() for view in views])

    first = all_views(3, 1)
    assert torch.equal(first, all_views(3, 1))
    assert not torch.equal(first, all_views(4, 1))
    assert not torch.equal(first, all_views(3, 2))
    dataset.seed = 8
    assert not torch.equal(first, all_views(3, 1))


def test_strong_views_and_boxes_are_drawn_independently(dataset):
    samples = [unlabelled(dataset, iteration) for iteration in range(300)]
    kept = np.array([[torch.equal(s['u_w'], s[view]) for view in ('u_s', 'u_s2')] for s in samples])
    drawn = np.array([[bool(s[key][:4].any()) for key in ('box', 'box2')] for s in samples])
    # Nothing happens to a view with probability 0.2 * 0.5 (and where the blur is too narrow).
    assert (0.06 < kept.mean(0)).all() and (kept.mean(0) < 0.25).all()
    assert np.abs(drawn.mean(0) - 0.5).max() < 0.1
    for events in (kept, drawn):
        both = (events[:, 0] & events[:, 1]).mean()
        assert both == pytest.approx(events[:, 0].mean() * events[:, 1].mean(), abs=0.06)
    boxes = [(s['box'], s['box2']) for s in samples if s['box'][:4].any() and s['box2'][:4].any()]
    assert all((a != b).any() for a, b in boxes)
    changed = [s for s, same in zip(samples, kept, strict=True) if not same.any()]
    assert not any(torch.equal(s['u_s'], s['u_s2']) for s in changed)


def test_strong_views_stand_on_the_weak_one(dataset):
    index = int(dataset.unlabelled_indices[1])
    image = dataset._run_prepare(index)['img'][..., 0]
    for iteration in range(20):
        inputs = unlabelled(dataset, iteration, index=index)
        grid = inputs['u_grid'].numpy()
        weak = np.where(grid < 0, 0, image.ravel()[grid])
        assert (inputs['u_w'][0].numpy() == weak).all()
        # Grey levels change, places do not: strong and weak view stay correlated.
        for view in ('u_s', 'u_s2'):
            strong = inputs[view][0].numpy()
            if strong.std() > 3:
                assert np.corrcoef(strong.ravel(), weak.ravel())[0, 1] > 0.5


def test_batch_stacks_everything(dataset):
    pool = dataset.unlabelled_indices
    draws = [
        Draw(int(dataset.labelled_indices[0]), 0, 0, True),
        *(Draw(int(index), 0, slot, False) for slot, index in enumerate(pool)),
    ]
    inputs = semi_collate([dataset[draw] for draw in draws])['inputs']
    shapes = {view: tuple(tensor.shape) for view, tensor in inputs.items()}
    image, grid = (1, SIZE, SIZE), (SIZE, SIZE)
    assert shapes == dict(
        x_w=(1, *image), y=(1, *grid), x_grid=(1, *grid), x_maps=(1, 6),
        u_w=(3, *image), u_s=(3, *image), u_s2=(3, *image), box=(3, 5), box2=(3, 5),
        u_grid=(3, *grid), u_maps=(3, 6),
    )  # fmt: skip
    names = [int(dataset.samples[i].name) for i in pool]
    assert inputs['u_maps'][:, 0].tolist() == names
