import copy
from pathlib import Path

import pytest
import torch
from mmengine import Config

from mmssl.engine.data_facts import with_facts
from mmssl.models.strategies.ramps import FallingGaussianRamp, GaussianRamp
from tests.models.methods.test_mean_teacher import batch_of, differ
from tests.sam_parts import ARCH
from tests.tiny import BN, GN, build, raw_batch, segmentor, set_iter

CONFIGS = Path(__file__).parents[3] / 'configs' / 'semi_sam'
SAM = dict(type='PromptedSAM', arch=ARCH, img_size=32, random_trunk_seed=0)


def model_of(classes=2, norm=BN, iteration=5, **kwargs):
    set_iter(iteration, 10)
    cfg = dict(
        type='SemiSAM',
        students=dict(unet=segmentor(classes, norm)),
        teachers=['unet'],
        parts=[[i] for i in range(1, classes)],
        sam=SAM,
        prompt='box',
    )
    model = build({**cfg, **kwargs})
    model.sam.load_trunk()
    return model


def one_hot(labels, classes: int) -> torch.Tensor:
    """Return sure probabilities (N, C, H, W) of a label map (N, H, W)."""
    return torch.nn.functional.one_hot(torch.as_tensor(labels), classes).permute(0, 3, 1, 2).float()


def answer(model, monkeypatch, logits):
    """Let SAM answer with the given logits; return the list of the masks it is asked for."""
    asked = []
    monkeypatch.setattr(
        model, 'sam_logits', lambda image, wanted: (asked.append(wanted), logits.clone())[1]
    )
    return asked


def test_terms_and_total():
    model = model_of(iteration=2)
    differ(model)
    out = model.loss(batch_of(model))
    w, w_sam = GaussianRamp(0.1, 40)(2, 10), FallingGaussianRamp(0.1, 40)(2, 10)
    assert out['weight'].item() == pytest.approx(w) and w_sam > w
    expected = out['sup_unet'] + out['sam_unet'] + w * out['consistency_unet']
    assert out['loss'].item() == pytest.approx(expected.item(), rel=1e-6)
    assert out['sam_unet'].item() == pytest.approx(0.5 * w_sam * out['distance_sam_unet'].item())
    assert out['distance_sam_unet'] > 0 < out['consistency_unet']


def test_the_teacher_is_followed_on_all_images_by_half(monkeypatch):
    model = model_of(norm=GN, noise_std=0.0)
    differ(model)
    batch = batch_of(model)
    x = torch.cat([batch['x_w']['unet'], batch['u_w']['unet']])
    p, q = (net['unet'](x, mode='tensor').softmax(1) for net in (model.students, model.teachers))
    term = model.loss(batch)['consistency_unet'].item()
    assert term == pytest.approx(0.5 * ((p - q) ** 2).mean().item(), rel=1e-4)
    model.on_labelled, model.consistency_weight = False, 1.0
    term = model.loss(batch)['consistency_unet'].item()
    assert term == pytest.approx(((p - q)[2:] ** 2).mean().item(), rel=1e-4)


def test_the_mask_is_above_one_half(monkeypatch):
    model = model_of()
    logits = torch.tensor([0.0, 0.4, 0.6, 2.0]).view(1, 1, 1, 4)
    answer(model, monkeypatch, logits)
    p = one_hot([[[0, 1, 1, 0]]], 2)
    target, counts = model.sam_target(p, None)
    assert target[0, 1].tolist() == [[0, 0, 1, 1]] and counts.all()
    model.mask_threshold = 0.0
    assert model.sam_target(p, None)[0][0, 1].tolist() == [[0, 1, 1, 1]]


def test_the_surest_mask_wins_a_pixel(monkeypatch):
    model = model_of(3)
    answer(model, monkeypatch, torch.tensor([[3.0, 0.0, 2.0], [2.0, 0.0, 2.5]]).view(1, 2, 1, 3))
    target, _ = model.sam_target(one_hot([[[1, 2, 0]]], 3), None)
    assert target.argmax(1).tolist() == [[[1, 0, 2]]]


def test_nested_parts_are_asked_for_as_a_whole(monkeypatch):
    """Cup (class 1) and disc (classes 1 and 2): the rim is the disc without the cup."""
    model = model_of(3, parts=[[1], [1, 2]])
    asked = answer(
        model,
        monkeypatch,
        torch.tensor([[-4.0, -4.0, 2.0, -4.0], [-4.0, 3.0, 3.0, 3.0]]).view(1, 2, 1, 4),
    )
    target, counts = model.sam_target(one_hot([[[0, 2, 1, 2]]], 3), None)
    assert asked[0][0, :, 0].int().tolist() == [[0, 0, 1, 0], [0, 1, 1, 1]]
    assert target.argmax(1).tolist() == [[[0, 2, 1, 2]]] and counts.all()


def test_what_is_not_predicted_has_no_term(monkeypatch):
    model = model_of(3)
    answer(model, monkeypatch, torch.full((3, 2, 1, 2), 5.0))
    labels = [[[0, 1]], [[1, 2]], [[0, 0]]]  # class 1; both; none
    target, counts = model.sam_target(one_hot(labels, 3), None)
    assert counts.tolist() == [[True, True, False], [True, True, True], [False, False, False]]
    assert target[0].argmax(0).tolist() == [[1, 1]], 'no mask of a class that was not asked for'
    p = torch.full((3, 3, 1, 2), 1 / 3)
    monkeypatch.setattr(model, 'sam_target', lambda *args: (target, counts))
    model.sam_weight = 1 / model.sam_ramp(5, 10)
    given = 'unet', p, dict(u_w={'unet': None}), model.step
    terms, curves = model.sam_term(*given)
    per_channel = ((p - target) ** 2).mean((2, 3))
    assert terms['sam_unet'].item() == pytest.approx(per_channel[counts].mean().item(), rel=1e-5)
    assert curves['asked_sam_unet'].item() == pytest.approx(5 / 9)
    monkeypatch.setattr(model, 'sam_target', lambda *args: (target, counts & False))
    assert model.sam_term(*given)[0]['sam_unet'] == 0


def test_parts_may_overlap(monkeypatch):
    model = model_of(
        2,
        parts=[[1], [1, 2]],
        label_space=dict(type='OverlappingParts'),
        sup_loss=dict(type='DiceBCELoss'),
    )
    answer(model, monkeypatch, torch.tensor([[1.0, -1.0], [1.0, 1.0]]).view(1, 2, 1, 2))
    target, counts = model.sam_target(torch.tensor([[0.1, 0.1], [0.9, 0.1]]).view(1, 2, 1, 2), None)
    assert target[0, :, 0].tolist() == [[1, 0], [1, 1]] and counts.tolist() == [[False, True]]
    monkeypatch.undo()
    assert model.loss(batch_of(model, classes=3))['loss'].isfinite()


def test_boxes_are_those_of_the_prediction_at_the_size_of_sam(monkeypatch):
    model = model_of(3, margin=2, largest_component=True)
    seen = {}
    monkeypatch.setattr(model.sam, 'embed', lambda x: seen.setdefault('x', x))
    monkeypatch.setattr(
        model.sam, 'masks', lambda e, boxes: seen.update(boxes=boxes) or (torch.zeros(1, 2, 8, 8))
    )
    y = torch.zeros(1, 16, 16, dtype=torch.long)
    y[0, 4:8, 5:7], y[0, 12, 12], y[0, 0, 0] = 1, 1, 2
    image = torch.linspace(-1, 3, 256).view(1, 1, 16, 16)
    target, counts = model.sam_target(one_hot(y, 3), image)
    # rows 4 to 7 and columns 5 to 6 of 16 px are 8 to 15 and 10 to 13 of 32 px
    assert seen['boxes'][0].tolist() == [[8, 6, 15, 17], [0, 0, 3, 3]]
    assert seen['x'].shape == (1, 1, 32, 32)
    assert seen['x'].min() == 0 and seen['x'].max() == 1
    assert counts.all() and target[:, 0].all(), 'a logit of 0 is below 0.5'


def test_each_image_reaches_sam_in_a_range_of_its_own(monkeypatch):
    model, seen = model_of(), []
    monkeypatch.setattr(model.sam, 'embed', seen.append)
    monkeypatch.setattr(model.sam, 'masks', lambda e, boxes: torch.zeros(2, 1, 8, 8))
    image = torch.linspace(-1, 3, 256).view(1, 1, 16, 16)
    model.sam_logits(torch.cat([image, 5 + image / 2]), torch.ones(2, 1, 16, 16).bool())
    assert torch.allclose(seen[0][0], seen[0][1], atol=1e-5)


def test_clicks_on_the_background_as_in_the_code_of_semi_sam_plus(monkeypatch):
    model = model_of(prompt='point', background_clicks=True, clicks=2)
    asked = answer(model, monkeypatch, torch.zeros(1, 1, 1, 2))
    model.sam_target(torch.tensor([0.01, 0.02, 0.99, 0.98]).view(1, 2, 1, 2), None)
    assert asked[0].all(), 'everywhere, whatever the prediction'


def test_a_term_divided_by_itself_teaches_nothing():
    for ratio in (False, True):
        model = model_of(self_ratio=ratio)
        batch = batch_of(model)
        logits = model.forward_views('unet', {'u_w': batch['u_w']['unet']})['u_w']
        terms, _ = model.sam_term('unet', logits.softmax(1), batch, model.step)
        term = terms['sam_unet']
        term.backward()
        gradient = sum(p.grad.abs().sum() for p in model.students.parameters())
        assert (gradient == 0) == ratio
    assert term.item() == pytest.approx(0.5 * model.sam_ramp(5, 10))


@pytest.mark.parametrize('prompt', ['box', 'point'])
def test_labels_of_unlabelled_images_are_not_looked_at(prompt):
    """They may stand in the batch under any name: the loss stays as it is, bit by bit."""
    losses, raw = [], raw_batch(2, 3)
    for seed in (None, 1, 2):
        model = model_of(prompt=prompt, clicks=3)
        batch = batch_of(model)
        if seed is not None:
            truth = raw_batch(5, 0, seed=seed)['inputs']['y'].long()
            batch.update(
                y_u={'unet': truth[2:]},
                u_y={'unet': truth[2:]},
                label=truth,
                y={'unet': batch['y']['unet']},
            )
        torch.manual_seed(0)
        losses.append(model.loss(batch, data_samples=raw['data_samples'])['loss'])
    assert torch.equal(losses[0], losses[1]) and torch.equal(losses[1], losses[2])


@pytest.mark.parametrize('prompt', ['box', 'point'])
def test_the_prediction_decides_what_sam_answers(prompt):
    model, image, answers = model_of(prompt=prompt, clicks=2), torch.rand(1, 1, 32, 32), []
    for top in (0, 20):
        wanted = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
        wanted[..., top : top + 10, 4:20] = True
        torch.manual_seed(0)
        answers.append(model.sam_logits(image, wanted))
    assert answers[0].shape == (1, 1, 32, 32)
    assert not torch.allclose(*answers, atol=1e-3)


def test_sam_is_frozen_shared_and_not_in_the_checkpoint():
    model = model_of()
    names = [k for k in model.state_dict() if k.startswith('sam.')]
    assert names == ['sam.identity.trunk_fingerprint']
    own = [sum(p.numel() for p in part.parameters()) for part in (model.teachers, model.students)]
    assert own[0] == own[1], 'a teacher has no SAM'
    before = [p.clone() for p in model.sam.parameters()]
    model.loss(batch_of(model))['loss'].backward()
    assert all(p.grad is None and not p.requires_grad for p in model.sam.parameters())
    assert all(map(torch.equal, before, model.sam.parameters()))
    twin = copy.deepcopy(model)
    assert all(a is b for a, b in zip(twin.sam.parameters(), model.sam.parameters(), strict=True))
    fresh = build(dict(type='SemiSAM', students=dict(unet=segmentor()), teachers=['unet'], sam=SAM))
    fresh.load_state_dict(model.state_dict())
    assert fresh.sam.identity.known
    other = model_of(sam=dict(SAM, random_trunk_seed=1))
    with pytest.raises(ValueError, match='random trunk of seed 0'):
        other.load_state_dict(model.state_dict())


def test_init_weights_reads_sam_once(capsys):
    model = build(
        dict(
            type='SemiSAM',
            students=dict(unet=segmentor()),
            teachers=['unet'],
            sam=SAM,
            prompt='box',
        )
    )
    set_iter(0, 10)
    with pytest.raises(RuntimeError, match='trunk was not read'):
        model.loss(batch_of(model))
    model.init_weights()
    assert model.loss(batch_of(model))['loss'].isfinite()
    assert 'trunk.head' not in capsys.readouterr().out


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(prompt='mask'), "prompt must be 'point' or 'box', found 'mask'"),
        (dict(clicks=0), 'clicks must be at least 1, found 0'),
        (dict(background_clicks=True), "background_clicks needs prompt='point'"),
        (dict(classes=4, parts=[[1]]), r'classes \[2, 3\] are in no part'),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        model_of(**options)


@pytest.mark.parametrize('prompt', ['box', 'point'])
@pytest.mark.parametrize('largest', [False, True])
def test_no_look_at_a_value(prompt, largest):
    model = model_of(3, norm=GN, prompt=prompt, clicks=3, largest_component=largest)
    batch = {
        view: {k: v.to('meta') for k, v in images.items()}
        if isinstance(images, dict)
        else images.to('meta')
        for view, images in batch_of(model, classes=3).items()
    }
    model.to('meta')
    assert model.loss(batch)['loss'].device.type == 'meta'


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem)
def test_configs_differ_from_mean_teacher_in_the_method_alone(path):
    cfg = with_facts(Config.fromfile(path))
    base = with_facts(Config.fromfile(path.parents[1] / 'mean_teacher' / path.name))
    for part in (
        'train_dataloader',
        'test_dataloader',
        'optim_wrapper',
        'param_scheduler',
        'train_cfg',
        'custom_hooks',
    ):
        assert cfg[part] == base[part], part
    assert cfg.model.students == base.model.students
    assert cfg.model.get('data_preprocessor') == base.model.get('data_preprocessor')
    sides = cfg.model.get('data_preprocessor', {}).get('sizes', {}).get('unet', dict(image=64))
    with torch.device('meta'):
        cfg.model.sam.update(checkpoint=None)
        model = build(cfg.model).to('meta')
        classes = model.students['unet'].num_classes
        grey = cfg.model.students.unet.backbone.in_channels
        images = {'unet': torch.zeros(2, grey, sides['image'], sides['image'])}
        batch = dict(x_w=images, u_w=images, y={'unet': images['unet'][:, 0].long()})
        terms = model.loss(batch)
    assert model.label_space.table.shape[1] == classes
    assert terms['loss'].device.type == 'meta'
    assert model.criterion.ce_weight == model.criterion.dice_weight == 1
    assert model.criterion.eps == 1e-5 and model.start == 0
