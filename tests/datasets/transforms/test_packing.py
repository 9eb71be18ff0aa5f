import numpy as np
import pytest
import torch

from mmssl.registry import TRANSFORMS

META = dict(
    domain='UCL', case='03', volume='03', slice='11', index=None, name='03_11.png',
    img_path='UCL/03_11.png', ori_shape=(20, 30), spacing=None,
)  # fmt: skip


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    img = rng.integers(0, 256, (8, 8, 3), np.uint8)
    gt = rng.integers(0, 3, (8, 8), np.uint8)
    return img, gt


def test_labelled_sample(arrays):
    img, gt = arrays
    out = TRANSFORMS.build(dict(type='PackSemiInputs'))(dict(META, labelled=True, img=img, gt=gt))
    assert set(out) == {'inputs', 'data_samples'}
    assert set(out['inputs']) == {'x_w', 'y'}
    assert (out['inputs']['x_w'].numpy() == img.transpose(2, 0, 1)).all()
    assert out['inputs']['x_w'].dtype == out['inputs']['y'].dtype == torch.uint8
    assert (out['inputs']['y'].numpy() == gt).all()
    assert out['data_samples'].metainfo == dict(META, labelled=True)


def test_labelled_sample_has_its_strong_view(arrays):
    img, gt = arrays
    results = dict(META, labelled=True, img=img, gt=gt, img_strong=img + 1)
    out = TRANSFORMS.build(dict(type='PackSemiInputs'))(results)
    assert set(out['inputs']) == {'x_w', 'y', 'x_s'}
    assert (out['inputs']['x_s'].numpy() == (img + 1).transpose(2, 0, 1)).all()


def test_strong_view_has_a_mask_of_its_own(arrays):
    img, gt = arrays
    results = dict(META, labelled=True, img=img, gt=gt, img_strong=img, gt_strong=1 - gt.clip(0, 1))
    inputs = TRANSFORMS.build(dict(type='PackSemiInputs'))(results)['inputs']
    assert (inputs['y_s'].numpy() == 1 - gt.clip(0, 1)).all()
    assert (inputs['y'].numpy() == gt).all()


def test_unlabelled_sample_shows_no_mask(arrays):
    img, gt = arrays
    results = dict(
        META, labelled=False, img=img, gt=gt, img_strong=img + 1, img_strong2=img + 2,
        box=np.array([1, 2, 3, 4, 8]),
    )  # fmt: skip
    out = TRANSFORMS.build(dict(type='PackSemiInputs'))(results)
    assert set(out['inputs']) == {'u_w', 'u_s', 'u_s2', 'box'}
    assert (out['inputs']['u_s'].numpy() == (img + 1).transpose(2, 0, 1)).all()
    assert (out['inputs']['u_s2'].numpy() == (img + 2).transpose(2, 0, 1)).all()
    assert out['inputs']['box'].tolist() == [1, 2, 3, 4, 8]
    assert out['inputs']['box'].dtype == torch.int64
    assert out['data_samples'].metainfo == dict(META, labelled=False)


@pytest.mark.parametrize(('labelled', 'kind'), [(True, 'x'), (False, 'u')])
def test_grid_and_maps_are_named_by_kind(arrays, labelled, kind):
    grid = np.arange(64, dtype=np.float32).reshape(8, 8)
    grid[0] = -1
    maps = np.arange(5, dtype=np.float16)
    maps.flags.writeable = False
    results = dict(META, labelled=labelled, img=arrays[0], gt=arrays[1], grid=grid, maps=maps)
    inputs = TRANSFORMS.build(dict(type='PackSemiInputs'))(results)['inputs']
    others = {'x_w', 'y'} if labelled else {'u_w'}
    assert set(inputs) == others | {f'{kind}_grid', f'{kind}_maps'}
    assert inputs[f'{kind}_grid'].dtype == torch.int32
    assert (inputs[f'{kind}_grid'].numpy() == grid).all()
    assert inputs[f'{kind}_maps'].dtype == torch.float16
    inputs[f'{kind}_maps'].zero_()
    assert maps.tolist() == [0, 1, 2, 3, 4]


def test_boxes_of_any_number_are_packed(arrays):
    boxes = {key: np.arange(5) + n for n, key in enumerate(('box', 'box2', 'box3'))}
    results = dict(META, labelled=False, img=arrays[0], **boxes)
    inputs = TRANSFORMS.build(dict(type='PackSemiInputs'))(results)['inputs']
    for key, box in boxes.items():
        assert inputs[key].tolist() == box.tolist()


@pytest.mark.parametrize('labelled, image', [(True, 'x'), (False, 'u')])
def test_views_are_an_open_list(arrays, labelled, image):
    img, gt = arrays
    results = dict(META, labelled=labelled, img=img, gt=gt, img_mild=img + 3, gt_mild=1 - gt)
    inputs = TRANSFORMS.build(dict(type='PackSemiInputs'))(results)['inputs']
    assert (inputs[f'{image}_mild'].numpy() == (img + 3).transpose(2, 0, 1)).all()
    assert ('y_mild' in inputs) == labelled, 'masks of unlabelled images are seen by nobody'


def test_an_array_under_an_unknown_name_is_never_dropped(arrays):
    results = dict(META, labelled=False, img=arrays[0], edges=arrays[1])
    with pytest.raises(ValueError, match='array "edges" that is no view.*img_<view>'):
        TRANSFORMS.build(dict(type='PackSemiInputs'))(results)
    keys = (*META, 'edges')
    packed = TRANSFORMS.build(dict(type='PackSemiInputs', meta_keys=keys))(results)
    assert (packed['data_samples'].get('edges') == arrays[1]).all()


def test_views_are_optional(arrays):
    results = dict(META, labelled=False, img=arrays[0])
    assert set(TRANSFORMS.build(dict(type='PackSemiInputs'))(results)['inputs']) == {'u_w'}


def test_tensors_do_not_share_the_cached_array(arrays):
    img, gt = arrays[0][..., :1].copy(), arrays[1]
    img.flags.writeable = gt.flags.writeable = False
    out = TRANSFORMS.build(dict(type='PackSemiInputs'))(dict(META, labelled=True, img=img, gt=gt))
    before = img.copy(), gt.copy()
    out['inputs']['x_w'].zero_()
    out['inputs']['y'].fill_(9)
    assert (img == before[0]).all()
    assert (gt == before[1]).all()


@pytest.mark.parametrize(('key', 'maker'), [('gt', 'LoadMask'), ('img', 'LoadImage')])
def test_incomplete_pipeline_is_named(arrays, key, maker):
    results = dict(META, labelled=True, img=arrays[0], gt=arrays[1])
    del results[key]
    with pytest.raises(ValueError, match=f'03_11.*without "{key}"; put {maker}'):
        TRANSFORMS.build(dict(type='PackSemiInputs'))(results)


def test_test_sample(arrays):
    img, _ = arrays
    gt = np.random.default_rng(1).integers(0, 3, (20, 30), np.uint8)
    results = dict(META, labelled=True, img=img, gt=gt)
    out = TRANSFORMS.build(dict(type='PackTestInputs'))(results)
    assert (out['inputs'].numpy() == img.transpose(2, 0, 1)).all()
    assert (out['data_samples'].gt_sem_seg.data.numpy() == gt[None]).all()
    assert out['data_samples'].metainfo == dict(META, labelled=True)


def test_test_sample_without_mask(arrays):
    out = TRANSFORMS.build(dict(type='PackTestInputs'))(dict(META, img=arrays[0], ori_shape=(5, 6)))
    assert 'gt_sem_seg' not in out['data_samples']
    assert out['data_samples'].ori_shape == (5, 6), 'to which predictions are brought'


def test_test_sample_of_a_volume_is_told_at_the_size_of_its_file():
    rng = np.random.default_rng(0)
    img, gt = rng.random((6, 4, 5, 2), np.float32), np.ones((3, 4, 7), np.uint8)
    results = dict(
        META,
        labelled=True,
        img=img,
        gt=gt,
        ori_shape=(3, 4, 7),
        spacing=(4 * 3 / 6, 2, 0.7 * 7 / 5),
    )
    out = TRANSFORMS.build(dict(type='PackTestInputs'))(results)
    assert out['inputs'].shape == (2, 6, 4, 5) and out['inputs'].dtype == torch.float32
    assert out['data_samples'].gt_sem_seg.data.shape == (1, 3, 4, 7)
    assert out['data_samples'].spacing == (4, 2, 0.7)
