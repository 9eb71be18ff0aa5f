"""Zero-shot SAM: what is asked, how the answers are put together, and the run of a test."""

from pathlib import Path

import pytest
import torch
from mmengine import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from sam_parts import ARCH

from mmssl.datasets.phantom.slices import PhantomSettings, write_phantom
from mmssl.models.methods.zero_shot_sam import ZeroShotSAM
from mmssl.registry import RUNNERS
from mmssl.utils.setup import register_all_modules
from tests.tiny import build, segmentor

ROOT = Path(__file__).parents[3]
SAM = dict(type='PromptedSAM', arch=ARCH, img_size=64, random_trunk_seed=0)


def zero_shot(**kwargs) -> ZeroShotSAM:
    model = build(dict(type='ZeroShotSAM', sam=SAM, **kwargs))
    model.init_weights()
    return model


def sample(y, name: str = 'a.png') -> SegDataSample:
    """Return a data sample with a truth (H, W), or None for none."""
    one = SegDataSample(metainfo=dict(img_path=name, name=name, domain='A', ori_shape=(32, 32)))
    if y is not None:
        one.gt_sem_seg = PixelData(data=torch.as_tensor(y, dtype=torch.uint8)[None])
    return one


def image(height: int = 32, width: int = 32) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, height, width), generator=g, dtype=torch.uint8)


def nested(height: int = 32, width: int = 32) -> torch.Tensor:
    """Return a truth with a cup in a disc: rows 4 to 11 and columns 6 to 17, the cup in it."""
    y = torch.zeros(height, width)
    y[4:12, 6:18] = 2
    y[6:9, 8:11] = 1
    return y


def fill_boxes(model, monkeypatch) -> list:
    """Let the SAM answer each box by the box itself, and note what it is asked."""
    seen = []

    def masks(embedding, points=None, boxes=None):
        seen.append(boxes if points is None else points)
        line = 4 * torch.arange(16) + 2  # middles of the cells of 4 px
        x1, y1, x2, y2 = boxes[..., None, None].unbind(2)
        inside = (line >= x1) & (line < x2 + 1) & (line[:, None] >= y1) & (line[:, None] < y2 + 1)
        return inside.float() * 20 - 10

    monkeypatch.setattr(model.sam, 'masks', masks)
    return seen


def test_boxes_of_the_truth_are_asked_in_pixels_of_sam(monkeypatch):
    model = zero_shot(parts=[[1], [1, 2]])
    seen = fill_boxes(model, monkeypatch)
    model.predict([image()], [sample(nested())])  # 32 px become 64
    assert seen[0].tolist() == [[[16, 12, 21, 17], [12, 8, 35, 23]]]
    model.margin = 10
    model.predict([image()], [sample(nested())])
    assert seen[1].tolist() == [[[6, 2, 31, 27], [2, 0, 45, 33]]]


@pytest.mark.parametrize('keep_ratio', [False, True])
@pytest.mark.parametrize('height, width', [(32, 32), (32, 16), (16, 32)])
def test_answers_land_where_they_were_asked(monkeypatch, keep_ratio, height, width):
    """The image, its box and the mask go through the same geometry, padding included."""
    model = zero_shot(keep_ratio=keep_ratio)
    fill_boxes(model, monkeypatch)
    truth = torch.zeros(height, width)
    truth[4:12, 8:14] = 1
    out = model.predict([image(height, width)], [sample(truth)])[0]
    wrong = out.pred_sem_seg.data[0] != truth
    assert wrong.sum() <= 6 and out.pred_sem_seg.data.shape == (1, height, width)


def test_the_truth_may_have_another_size_than_the_image(monkeypatch):
    model = zero_shot()
    seen = fill_boxes(model, monkeypatch)
    truth = torch.zeros(16, 16)
    truth[4:12, 2:8] = 1
    out = model.predict([image(), image(20, 48)], [sample(truth), sample(truth)])
    assert seen[0].tolist() == [[[8, 16, 31, 47]]] * 2
    assert all((one.pred_sem_seg.data[0] != truth).sum() <= 6 for one in out)


def test_overlapping_answers_are_put_together_by_the_sum_of_logits(monkeypatch):
    """Columns: cup and disc both, disc alone, cup alone but weak, cup alone and strong, none."""
    model = zero_shot(parts=[[1], [1, 2]])
    cup = torch.tensor([3.0, -3, 2, 9, -1]).repeat_interleave(64)
    disc = torch.tensor([1.0, 2, -4, -4, -1]).repeat_interleave(64)
    monkeypatch.setattr(
        model.sam,
        'masks',
        lambda *a, **k: (
            torch.stack([cup, disc]).expand(1, 1, 2, 320)[0].unsqueeze(2).expand(1, 2, 320, 320)
        ),
    )
    out = model.predict([image()], [sample(nested(320, 320))])[0]
    assert out.pred_sem_seg.data[0, 160, 32::64].tolist() == [1, 2, 0, 1, 0]


def test_disjoint_parts_take_the_highest_answer(monkeypatch):
    model = zero_shot(parts=[[1], [2], [3]])
    logits = torch.tensor([[1.0, -1, 5], [2, -2, 4], [-1, -3, 9]])[None, :, :, None, None]
    monkeypatch.setattr(model.sam, 'masks', lambda *a, **k: logits[:, :, 0].expand(1, 3, 16, 16))
    truth = torch.zeros(32, 32)
    truth[:4], truth[4:8], truth[8:12] = 1, 2, 3
    for column, expected in enumerate((2, 0, 3)):
        answer = logits[:, :, column].expand(1, 3, 16, 16)
        monkeypatch.setattr(model.sam, 'masks', lambda *a, answer=answer, **k: answer)
        out = model.predict([image()], [sample(truth)])[0]
        assert out.pred_sem_seg.data.unique().tolist() == [expected]


@pytest.mark.parametrize('prompt', ['box', 'point'])
def test_a_part_that_is_not_there_is_not_predicted(prompt):
    model = zero_shot(parts=[[1], [1, 2]], prompt=prompt)
    monkey = model.sam.masks
    model.sam.masks = lambda *a, **k: monkey(*a, **k) * 0 + 5  # says yes everywhere
    empty, disc = torch.zeros(32, 32), nested().clamp(max=2) * (nested() == 2)
    out = model.predict([image()] * 3, [sample(empty), sample(disc), sample(nested())])
    assert [one.pred_sem_seg.data.unique().tolist() for one in out] == [[0], [2], [1]]


def test_points_lie_inside_and_the_first_one_innermost(monkeypatch):
    model = zero_shot(parts=[[1], [1, 2]], prompt='point', num_points=4)
    embedding, seen = model.sam.masks, []
    monkeypatch.setattr(
        model.sam, 'masks', lambda e, points: seen.append(points) or embedding(e, points)
    )
    truth = nested()
    model.predict([image()] * 2, [sample(truth, 'a'), sample(truth, 'b')])
    model.predict([image()], [sample(truth, 'b')])
    (xy, labels), (alone, _) = seen
    assert xy.shape == (2, 2, 4, 2) and (labels == 1).all()
    assert torch.equal(xy[1:], alone) and not torch.equal(xy[0], xy[1])  # by the image's name
    column, row = ((xy + 0.5) / 2 - 0.5).long().unbind(-1)
    masks = torch.stack([truth == 1, truth > 0])
    assert all(masks[k, row[:, k], column[:, k]].all() for k in range(2))
    assert xy[:, 0, 0].tolist() == [[18.5, 14.5]] * 2  # the middle of the cup, (9, 7)
    model.seed = 1
    model.predict([image()], [sample(truth, 'b')])
    assert not torch.equal(seen[2][0], alone)


def test_the_largest_component_alone_can_be_asked_for(monkeypatch):
    truth = torch.zeros(32, 32)
    truth[2:6, 2:6] = truth[20:30, 20:24] = 1
    for largest, expected in ((False, [4, 4, 47, 59]), (True, [40, 40, 47, 59])):
        model = zero_shot(largest_component=largest)
        seen = fill_boxes(model, monkeypatch)
        model.predict([image()], [sample(truth)])
        assert seen[0].tolist() == [[expected]]


def phantom(folder: Path) -> Path:
    settings = PhantomSettings(size=32, train_cases=4, train_slices=2, test_cases=2, test_slices=2)
    return write_phantom(folder / 'data', settings, progress=False) or folder / 'data'


def config(folder: Path, name: str, model: dict, **kwargs) -> Config:
    cfg = Config.fromfile(ROOT / 'configs/sup_only/lite_phantom.py')
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.update(data_root=str(phantom(folder)), domains=['ScannerA', 'ScannerB'])
        next(step for step in dataset.prepare if step.type == 'ResizeSquare').size = 32
    cfg.model, cfg.work_dir = model, str(folder / name)
    cfg.custom_hooks, cfg.log_level = [], 'ERROR'
    for key in ('train', 'val'):
        cfg[f'{key}_dataloader'] = cfg[f'{key}_cfg'] = None
    cfg.val_evaluator = cfg.optim_wrapper = cfg.param_scheduler = None
    cfg.merge_from_dict(kwargs)
    return cfg


def test_a_test_run_needs_no_checkpoint_and_training_is_refused(tmp_path):
    register_all_modules()
    cfg = config(tmp_path, 'run', dict(type='ZeroShotSAM', sam=SAM))
    cfg.default_hooks.visualization.update(
        draw=True, out_dir=str(tmp_path / 'overlays'), test_interval=1
    )
    runner = RUNNERS.build(cfg)
    scores = runner.test()
    assert 'sam/DSC' in scores and {key for key in scores if 'ScannerB' in key}
    assert len(list((tmp_path / 'overlays').glob('*.png'))) == 8
    assert set(runner.model.state_dict()) == {'sam.identity.trunk_fingerprint'}
    with pytest.raises(ValueError, match='ZeroShotSAM has no parameter that learns.*tools/test'):
        RUNNERS.build(cfg).train()


def test_another_model_can_say_where_to_look(tmp_path, monkeypatch):
    from mmssl.apis import inference_model, init_model

    register_all_modules()
    other = config(
        tmp_path, 'other', dict(type='SupOnly', students=dict(unet=segmentor(2)), parts=[[1]])
    )
    other.dump(tmp_path / 'other.py')
    init_model(tmp_path / 'other.py').state_dict()
    trained = init_model(tmp_path / 'other.py')
    torch.save(trained.state_dict(), tmp_path / 'other.pth')
    model = zero_shot(
        source=dict(config=str(tmp_path / 'other.py'), checkpoint=str(tmp_path / 'other.pth'))
    )
    seen = fill_boxes(model, monkeypatch)
    x = image()[:1]
    out = model.predict([x], [sample(None)])[0]  # no truth is needed
    mask = inference_model(trained, x.permute(1, 2, 0).numpy())[0].pred_sem_seg.data[0]
    rows, columns = (mask == 1).nonzero().unbind(1)
    box = [columns.min() * 2, rows.min() * 2, columns.max() * 2 + 1, rows.max() * 2 + 1]
    assert seen[0].tolist() == [[[float(v) for v in box]]]
    assert out.pred_sem_seg.data.shape == (1, 32, 32)
    assert set(model.state_dict()) == {'sam.identity.trunk_fingerprint'}
    torch.save({'x': Path}, tmp_path / 'evil.pth')
    model = zero_shot(
        source=dict(config=str(tmp_path / 'other.py'), checkpoint=str(tmp_path / 'evil.pth'))
    )
    with pytest.raises(ValueError, match='is refused'):
        model.predict([x], [sample(None)])


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(prompt='text'), "prompt must be 'box' or 'point', got 'text'"),
        (dict(margin=-1), 'margin=-1 must be at least 0'),
        (dict(num_points=0), 'num_points=0 1'),
        (dict(source='guess'), "source must be 'truth' or dict"),
        (dict(source=dict(config='a.py')), "source must be 'truth' or dict"),
        (dict(parts=[[0]]), 'must name classes from 1'),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        zero_shot(**options)


def test_training_and_a_missing_truth_are_named():
    model = zero_shot()
    with pytest.raises(ValueError, match="no mode 'loss', it is not trained"):
        model([image()], [sample(nested())], mode='loss')
    with pytest.raises(ValueError, match='a.png has no truth to take a box from: set source'):
        model.predict([image()], [sample(None)])


def test_a_source_without_weights_is_refused(tmp_path):
    model = zero_shot(source=dict(config=str(tmp_path / 'a.py'), checkpoint=None))
    with pytest.raises(ValueError, match='a.py" has no weights: name its checkpoint, or a bundle'):
        model.predict([image()], [sample(None)])
