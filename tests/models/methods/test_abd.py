import pytest
import torch

from mmssl.models.methods.abd.displacement import trouble_sure
from mmssl.structures import Batch
from mmssl.testing.no_host_sync import assert_no_host_sync
from tests.tiny import BN, GN, build, raw_batch, segmentor, set_iter

HALF = dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, masked_mean=True)


def abd(form='ABDBCP', classes=2, norm=BN, iteration=50, **kwargs):
    network = segmentor(classes, norm)
    cfg = dict(
        type=form,
        students=dict(unet2=network, unet=network),
        primary='unet',
        parts=[[i] for i in range(1, classes)],
        sup_loss=HALF,
        grid=4,
    )
    if form == 'ABDBCP':
        cfg['teachers'] = ['unet']
    cfg.update(kwargs)
    set_iter(iteration, 100)
    return build(cfg)


def raw_with_strong(n_l=4, n_u=4, classes=2, side=32):
    raw, other = raw_batch(n_l, n_u, classes, side), raw_batch(n_l, n_u, classes, side, seed=1)
    raw['inputs'].update(x_s=other['inputs']['x_w'], y_s=other['inputs']['y'])
    return raw


def batch_of(model, *args, **kwargs):
    return Batch(model.data_preprocessor(raw_with_strong(*args, **kwargs), True)['inputs'])


FORMS = ['ABDBCP', 'ABDCrossTeaching']


@pytest.mark.parametrize('form', FORMS)
def test_terms_and_total(form):
    model = abd(form)
    out = model.loss(batch_of(model))
    kinds = ('sup', 'unsup' if form == 'ABDBCP' else 'trouble', 'cps', 'displaced')
    terms = {f'{kind}_{name}' for kind in kinds for name in ('unet', 'unet2')}
    assert set(out) - {'loss', 'weight'} == terms
    assert all(out[term] > 0 for term in terms)
    weights = {
        k: out['weight'] if k.startswith(('cps', 'displaced', 'unsup')) else 1 for k in terms
    }
    total = sum(weights[k] * out[k] for k in terms)
    assert out['loss'].item() == pytest.approx(total.item(), rel=1e-5)


@pytest.mark.parametrize('form', FORMS)
def test_the_first_network_sees_weak_views_and_the_second_strong_ones(form):
    model = abd(form, pretrain=0) if form == 'ABDBCP' else abd(form)
    batch = batch_of(model)
    views, targets = model.prepare(batch, model.step)
    for name, (x, u, y) in {'unet': ('x_w', 'u_w', 'y'), 'unet2': ('x_s', 'u_s', 'y_s')}.items():
        x, u, y = (batch[view][name] for view in (x, u, y))
        if form == 'ABDBCP':
            (_, y_a, box), (_, y_b, _) = targets[0][name]
            inside = box > 0
            assert torch.equal(views['u'][name], torch.where(inside, x[0::2], u[0::2]))
            assert torch.equal(views['x'][name], torch.where(inside, u[1::2], x[1::2]))
            assert torch.equal(y_a, y[0::2]) and torch.equal(y_b, y[1::2])
        else:
            assert torch.equal(views['x_w'][name], x) and torch.equal(views['u_w'][name], u)
            assert torch.equal(targets.batch['y'][name], y)


@pytest.mark.parametrize('form', FORMS)
def test_strong_views_stand_in_a_batch_of_their_own(form):
    model = abd(form)
    batch = batch_of(model)
    seen = model.show_strong(batch).batch
    for weak, strong in (('x_w', 'x_s'), ('y', 'y_s'), ('u_w', 'u_s')):
        assert torch.equal(seen[weak]['unet'], batch[weak]['unet'])
        assert torch.equal(seen[weak]['unet2'], batch[strong]['unet2'])
        assert not torch.equal(batch[weak]['unet2'], batch[strong]['unet2']), 'as it was'


def test_without_labels_of_its_own_the_strong_view_has_the_weak_one_s():
    model = abd()
    batch = batch_of(model)
    del batch['y_s']
    y = model.show_strong(batch).batch['y']
    assert torch.equal(y['unet2'], y['unet']) and torch.equal(y['unet'], batch['y']['unet'])


def test_pretraining_is_of_the_first_network_alone():
    model = abd(iteration=0)
    assert model.pretrained == ['unet'] and model.primary == 'unet'
    batch = batch_of(model)
    for view in ('x_s', 'y_s', 'u_s'):
        del batch[view]  # not needed yet
    out = model.loss(batch)
    assert set(out) == {'sup_unet', 'loss', 'weight'}
    out['loss'].backward()
    assert all(p.grad is None for p in model.students['unet2'].parameters())
    model.start_from_pretrained()
    for network in (model.students['unet2'], model.teachers['unet']):
        for a, b in zip(model.students['unet'].parameters(), network.parameters(), strict=True):
            assert torch.equal(a, b) and a is not b


def test_one_teacher_and_one_rectangle_for_both(monkeypatch):
    model, seen = abd(), []
    monkeypatch.setattr(
        model,
        'teacher_prob',
        lambda name, u: (seen.append((name, u)), torch.rand(len(u), 2, 32, 32))[1],
    )
    batch = batch_of(model)
    u_w, u_s = batch['u_w']['unet'], batch['u_s']['unet']
    _, (sup, *_) = model.prepare(batch, model.step)
    assert [name for name, _ in seen] == ['unet'] * 4
    for (_, u), expected in zip(seen, (u_w[0::2], u_w[1::2], u_s[0::2], u_s[1::2]), strict=True):
        assert torch.equal(u, expected)
    boxes = [sup[name][0][2] for name in ('unet', 'unet2')]
    assert torch.equal(*boxes)


def test_displaced_views_are_the_same_for_both_networks(monkeypatch):
    model, seen = abd('ABDCrossTeaching', trouble_prob=1.0), {}
    original = model.forward_views

    def forward_views(name, views):
        if 'd' in views:
            seen.setdefault(name, []).append(views['d'])
        return original(name, views)

    monkeypatch.setattr(model, 'forward_views', forward_views)
    batch = batch_of(model)
    weak, strong = batch['u_w']['unet'].clone(), batch['u_s']['unet'].clone()
    model.loss(batch)
    for a, b in zip(seen['unet'], seen['unet2'], strict=True):
        assert torch.equal(a, b)
    labelled, unlabelled = seen['unet']
    assert len(labelled) == len(unlabelled) == 8
    changed = (unlabelled != torch.cat([weak, strong])).flatten(1).float().mean(1)
    assert ((changed > 0) & (changed <= 1 / 16)).all(), 'one patch of sixteen in each view'


@pytest.mark.parametrize('iteration, counts', [(66, True), (67, False)])
def test_trouble_ends_after_two_thirds_but_still_moves_the_statistics(
    iteration, counts, monkeypatch
):
    model, with_gradient = abd('ABDCrossTeaching'), []
    set_iter(iteration, 99)
    original = model.forward_views

    def forward_views(name, views):
        with_gradient.append(torch.is_grad_enabled())
        return original(name, views)

    monkeypatch.setattr(model, 'forward_views', forward_views)
    out = model.loss(batch_of(model))
    assert ('trouble_unet' in out) == counts
    assert with_gradient == [True, True, counts, counts, True, True]


def test_half_of_the_images_as_published():
    over_bcp, over_cross_teaching = abd('ABDBCP'), abd('ABDCrossTeaching')
    assert over_bcp.similar == over_cross_teaching.trouble_prob == 0.5
    assert over_cross_teaching.similar == 1


def test_networks_of_two_sizes_and_channels():
    """The second network sees colour at another size; patches are the same ones."""
    students = dict(unet=segmentor(), other=segmentor(channels=3))
    sizes = dict(unet=dict(image=32, label=32), other=dict(image=16, label=16, channels=3))
    model = abd('ABDCrossTeaching', students=students, data_preprocessor=dict(sizes=sizes))
    assert model.loss(batch_of(model))['loss'].isfinite()


@pytest.mark.parametrize('form', FORMS)
def test_parts_that_overlap(form):
    loss = dict(type='DiceBCELoss')
    model = abd(
        form,
        parts=[[1], [1, 2]],
        label_space=dict(type='OverlappingParts'),
        sup_loss=loss,
        unsup_criterion=dict(loss, bce_weight=0),
    )
    assert model.loss(batch_of(model, classes=3))['loss'].isfinite()


def test_patches_of_parts_that_overlap_are_chosen_by_the_scores_of_classes():
    model = abd(
        'ABDCrossTeaching',
        parts=[[1], [1, 2]],
        label_space=dict(type='OverlappingParts'),
        sup_loss=dict(type='DiceBCELoss'),
    )
    seen, both = [], model.show_strong(batch_of(model, classes=3)).both
    logits = {name: torch.randn(4, 2, 32, 32) for name in model.students}
    model.displaced(lambda *args: (seen.extend(args), trouble_sure(*args))[1], logits, both['u_w'])
    a, b = logits['unet'].unbind(1)
    assert torch.allclose(seen[0], torch.stack([0 * a, a + b, b], 1))


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('n_l, n_u', [(2, 6), (6, 2)])
def test_unequal_halves(form, n_l, n_u):
    model = abd(form)
    assert model.loss(batch_of(model, n_l, n_u))['loss'].isfinite()


def test_a_grid_that_does_not_divide_is_named():
    model = abd(grid=5)
    with pytest.raises(ValueError, match='grid of 5 x 5 patches does not divide'):
        model.loss(batch_of(model))


@pytest.mark.parametrize('view, kind', [('x_s', 'labelled'), ('u_s', 'unlabelled')])
def test_missing_strong_view_is_named(view, kind):
    model = abd()
    batch = batch_of(model)
    del batch[view]
    with pytest.raises(ValueError, match=f'no view "{view}": add a StrongView to {kind}_pipeline'):
        model.loss(batch)


@pytest.mark.parametrize(
    'form, options, message',
    [
        ('ABDBCP', dict(students=dict(unet=segmentor())), r"two students, found \['unet'\]"),
        ('ABDBCP', dict(top=17), 'top=17 must lie between 1 and the 16 patches'),
        ('ABDCrossTeaching', dict(cutmix=True), 'in place of cutmix: remove cutmix'),
    ],
)
def test_options_are_checked(form, options, message):
    with pytest.raises(ValueError, match=message):
        abd(form, **options)


@pytest.mark.parametrize('form', FORMS)
def test_the_loss_in_the_middle_needs_no_host_sync(form):
    model = abd(form, norm=GN)
    assert_no_host_sync(model, batch_of(model))
