import pytest
import torch

from tests.models.methods.test_cps import batch_of, cps, logits
from tests.models.methods.test_mc_net import mc_net
from tests.tiny import BN, segmentor, set_iter, unsup_terms

EARLY = dict(start=4, every=3, independence=dict(steps=2))


def caussl(**kwargs):
    return cps(method='CPSCauSSL', **{**EARLY, 'cps_start': 2, **kwargs})


def mc_caussl(upsample=('transposed', 'bilinear', 'nearest'), **kwargs):
    return mc_net(upsample, type='MCCauSSL', **{**EARLY, **kwargs})


def maps(model):
    return [p.clone() for p in model.independence.maps]


def test_game_starts_at_the_first_phase_after_start():
    """Maps move at 6 and 9, their term counts from 6 on, the cross terms from 3 on."""
    model = caussl()
    seen = {}
    for t in range(10):
        set_iter(t, 20)
        before = maps(model)
        out = model.loss(batch_of(model))
        moved = any(not torch.equal(a, b) for a, b in zip(before, maps(model), strict=True))
        seen[t] = moved, 'independence_0' in out, 'cps_unet' in out
    assert [t for t, s in seen.items() if s[0]] == [6, 9]
    assert [t for t, s in seen.items() if s[1]] == [6, 7, 8, 9]
    assert [t for t, s in seen.items() if s[2]] == list(range(3, 10))


def test_a_phase_at_the_start_itself_is_none():
    model = caussl(start=6)
    before = maps(model)
    for t, moves in ((6, False), (9, True)):
        set_iter(t, 20)
        out = model.loss(batch_of(model))
        moved = any(not torch.equal(a, b) for a, b in zip(before, maps(model), strict=True))
        assert moved == moves == ('independence_0' in out)


def test_total():
    model = caussl(coefficient=2.0, ramp=dict(type='ConstantRamp', scale=0.5))
    set_iter(7, 20)
    out = {name: value.item() for name, value in model.loss(batch_of(model)).items()}
    expected = sum(out[f'sup_{n}'] + 0.5 * out[f'cps_{n}'] for n in ('unet', 'unet2'))
    expected += 2 * (out['independence_0'] + out['independence_1'])
    assert out['loss'] == pytest.approx(expected, rel=1e-6)


def test_cross_term_has_its_weight():
    model = caussl()
    given = {'unet': {'u_w': logits(0.9)}, 'unet2': {'u_w': logits(0.4)}}
    set_iter(5, 20)
    assert unsup_terms(model, {}, given)['cps_unet'].item() == pytest.approx(
        -0.3 * torch.tensor(0.1).log().item(), rel=1e-5
    )


def test_a_phase_raises_what_a_step_lowers():
    model = caussl(coefficient=100.0, independence=dict(steps=60))
    batch = batch_of(model)
    set_iter(7, 20)
    before = model.loss(batch)['independence_0']
    set_iter(9, 20)
    out = model.loss(batch)
    assert out['independence_0'] > before
    out['loss'].backward()
    torch.optim.SGD(model.students.parameters(), 0.01).step()
    set_iter(10, 20)
    assert model.loss(batch)['independence_0'] < out['independence_0']


def test_maps_belong_to_no_optimiser_and_to_the_checkpoint():
    model = caussl()
    assert not any(p.requires_grad for p in model.independence.parameters())
    assert any(key.startswith('independence.maps') for key in model.state_dict())


def test_order_of_the_students_does_not_matter():
    students = dict(unet2=segmentor(norm=BN), unet=segmentor(norm=BN))
    model = caussl(students=students)
    assert model.rivals()[0] is model.students['unet']


def test_consistency_of_decoders_by_hand():
    """Six ordered pairs on u_w alone, sharpened with T = 1/2."""
    model = mc_caussl()
    p = (0.55, 0.6, 0.9)

    def sharp(q):
        return q**2 / (q**2 + (1 - q) ** 2)

    expected = sum((a - sharp(b)) ** 2 for i, a in enumerate(p) for j, b in enumerate(p) if i != j)
    given = {'unet': {'x_w': [logits(0.1)] * 3, 'u_w': [logits(a) for a in p]}}
    assert unsup_terms(model, {}, given)['mutual_unet'].item() == pytest.approx(expected, rel=1e-5)


def test_sharpened_side_carries_no_gradient():
    model = mc_caussl(('transposed', 'bilinear'))
    views = [logits(0.6).requires_grad_(), logits(0.9).requires_grad_()]
    unsup_terms(model, {}, {'unet': {'u_w': views}})['mutual_unet'].backward()
    z = logits(0.6).requires_grad_()
    target = torch.tensor([0.01, 0.81]).view(1, 2, 1, 1) / 0.82
    ((z.softmax(1) - target) ** 2).mean().backward()
    assert torch.allclose(views[0].grad, z.grad, atol=1e-6)


@pytest.mark.parametrize('first_only', [True, False])
def test_which_decoders_learn_to_be_independent(first_only):
    model = mc_caussl(first_only=first_only)
    kernels = [list(decoder.convs.parameters()) for decoder in model.rivals()]
    set_iter(7, 20)
    model.sup_loss = lambda *args: {'sup': torch.zeros(())}
    model.unsup_loss = lambda *args: {}
    model.loss(batch_of(model))['loss'].backward()
    got = [any(p.grad is not None and p.grad.abs().sum() > 0 for p in group) for group in kernels]
    assert got == [True, not first_only, not first_only]


def test_upsampling_takes_no_part():
    model = mc_caussl()
    decoder = model.rivals()[0]
    shapes = sorted(
        tuple(m.weight.flatten(1).shape)
        for part in (decoder.convs, decoder.conv_seg)
        for m in part.modules()
        if isinstance(m, torch.nn.Conv2d)
    )
    rows = sorted(p.shape[0] for p in model.independence.maps)
    assert rows == sorted(s[0] for s in shapes * 3)


def test_overlapping_parts_are_refused():
    with pytest.raises(ValueError, match='MCCauSSL sharpens over exclusive classes'):
        mc_caussl(label_space=dict(type='OverlappingParts'), parts=[[1], [1, 2]])


def test_a_student_with_one_decoder_is_refused():
    with pytest.raises(ValueError, match='found 1: .*MultiDecoderHead'):
        mc_caussl(students=dict(unet=segmentor()))
