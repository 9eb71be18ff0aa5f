import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmssl.models.strategies.contrastive import PixelContrast, RowNorm, pixel_rows, record_input


def contrast(**kwargs):
    torch.manual_seed(0)
    return PixelContrast(5, 3, **{'channels': 4, 'memory_size': 6, **kwargs})


def pixels(count=60, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, generator=g), torch.randint(0, 3, (count,), generator=g)


def test_row_norm_is_batch_norm():
    ours, theirs = RowNorm(5), nn.BatchNorm1d(5)
    for seed in range(2):
        x = pixels(seed=seed)[0] * 3 + 1
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)
    assert torch.allclose(ours.running_mean, theirs.running_mean, atol=1e-6)
    assert torch.allclose(ours.running_var, theirs.running_var, atol=1e-5)
    before = ours.running_mean.clone()
    assert torch.allclose(ours(x, running=True), theirs.eval()(x), atol=1e-5)
    assert torch.equal(ours.running_mean, before)


def test_row_norm_leaves_masked_rows_out_of_the_statistics():
    x, y = pixels()
    mine = y == 1
    ours, theirs = RowNorm(5), nn.BatchNorm1d(5)
    found = ours(x, mine[:, None].float())
    assert torch.allclose(found[mine], theirs(x[mine]), atol=1e-5)
    assert torch.allclose(ours.running_var, theirs.running_var, atol=1e-5)
    assert RowNorm(5)(x, torch.zeros(60, 1)).isfinite().all()


@pytest.mark.parametrize('rows', [0, 1])
def test_statistics_of_fewer_than_two_rows_are_not_kept(rows):
    x, norm = pixels()[0], RowNorm(5)
    norm(x, (torch.arange(60) < rows)[:, None].float())
    assert torch.equal(norm.running_mean, torch.zeros(5))
    assert torch.equal(norm.running_var, torch.ones(5))


def test_rows_and_labels_have_the_same_order():
    x = torch.arange(24.0).view(2, 3, 2, 2)
    label = x[:, 0]
    assert torch.equal(pixel_rows(x)[:, 0], label.flatten())


def test_inputs_are_recorded_inside_the_block_alone():
    layer, x = nn.Identity(), torch.ones(1)
    with record_input(layer) as seen:
        layer(x)
    layer(x)
    assert len(seen) == 1 and seen[0] is x


@pytest.mark.parametrize('weigh', [False, True])
def test_loss_is_the_mean_over_all_pairs_of_pixel_and_memory(weigh):
    """The form of the paper: every pixel with every memory, both with weights of mean one."""
    model = contrast(weigh_memory=weigh)
    x, y = pixels()
    model.remember(x, y, torch.ones_like(y).bool())
    q, expected = model.predict(model.project(x)), 0
    for c in (1, 2):
        mine, keys = q[y == c], F.normalize(model.memory[c - 1], dim=1)
        distance = 1 - F.normalize(mine, dim=1) @ keys.T
        a = model.scores[c - 1](mine).sigmoid()
        distance = distance * a / a.mean()
        if weigh:
            b = model.memory_scores[c - 1](keys).sigmoid()
            distance = distance * (b / b.mean()).T
        expected += distance.mean() / 3
    assert model(x, y).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize('keep', ['lowest', 'highest'])
def test_memory_keeps_correct_features_with_the_lowest_or_highest_scores(keep):
    model = contrast(keep=keep)
    x, y = pixels()
    correct = torch.arange(60) % 3 > 0
    model.remember(x, y, correct)
    for c in (1, 2):
        keys = model.project(x, running=True)[(y == c) & correct]
        order = model.scores[c - 1](keys)[:, 0].argsort(descending=keep == 'highest')
        assert len(order) > 6 and model.filled[c - 1].all()
        assert torch.allclose(model.memory[c - 1], keys[order[:6]], atol=1e-6)


def test_a_class_without_correct_pixels_keeps_its_memory():
    model = contrast()
    x, y = pixels()
    model.remember(x, y, torch.ones_like(y).bool())
    before = model.memory.clone()
    x, y = pixels(seed=1)
    model.remember(x, y, y == 1)
    assert not torch.equal(model.memory[0], before[0])
    assert torch.equal(model.memory[1], before[1]) and model.filled[1].all()


def test_fewer_features_than_places_and_single_ones():
    model = contrast()
    x, _ = pixels(5)  # fewer pixels than places, too
    y = torch.tensor([1, 1, 1, 2, 0])
    model.remember(x, y, torch.ones(5).bool())
    assert model.filled.sum(1).tolist() == [3, 1]
    loss = model(x, y)
    model.filled[1] = False  # one memory counts as none
    assert loss > 0 and torch.equal(model(x, y), loss)


def test_a_single_pixel_or_a_single_memory_gives_nothing():
    model = contrast()
    x, _ = pixels(5)
    y = torch.tensor([1, 1, 1, 2, 0])
    model.memory[1], model.filled[1] = torch.randn(6, 4), True
    assert model(x, y) == 0, 'one pixel of class 2 beside a full memory'
    model.filled[1, 1:] = False
    assert model(x, torch.full((5,), 2)) == 0, 'five pixels beside one memory'
    model.filled[1, 1] = True
    assert model(x, torch.full((5,), 2)) > 0


def test_an_empty_memory_gives_zero_and_finite_gradients():
    model = contrast()
    x, y = pixels()
    loss = model(x, y)
    loss.backward()
    assert loss == 0
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_scores_learn_and_features_do_not_learn_through_them():
    model = contrast()
    x, y = pixels()
    model.remember(x, y, torch.ones_like(y).bool())
    model(x, y).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.scores[0].last.parameters())
    names = [name for name, p in model.named_parameters() if p.grad is None]
    assert not names, 'distributed training needs a gradient for every parameter'


def test_memory_is_in_the_checkpoint():
    model, other = contrast(), contrast()
    x, y = pixels()
    model.remember(x, y, torch.ones_like(y).bool())
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.memory, model.memory) and other.filled.all()


def test_unknown_keep_is_refused():
    with pytest.raises(ValueError, match="keep must be 'lowest' or 'highest', found 'best'"):
        contrast(keep='best')
