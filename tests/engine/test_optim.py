"""Several optimisers behind one wrapper."""

import pytest
import torch
from engine_toy import ToyModel, config
from mmengine.optim import OptimWrapper
from torch import nn

from mmssl.engine import MultiOptimWrapper, MultiOptimWrapperConstructor
from mmssl.engine.optim import use_amp
from mmssl.registry import RUNNERS

OPTIMIZERS = dict(sam=dict(type='AdamW', lr=1e-2), unet=dict(type='SGD', lr=0.1, momentum=0.9))


def model():
    torch.manual_seed(1)
    return ToyModel(norm='gn').eval()  # no dropout


def build(net, optimizers=OPTIMIZERS, **options):
    return MultiOptimWrapperConstructor(dict(optimizers=optimizers, **options))(net)


def batch():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(4, 4, generator=generator)
    return {'inputs': inputs, 'labels': torch.tensor([0, 1, 2, 0])}


def test_one_backward_equals_plain_optimisers():
    ours, theirs = model(), model()
    wrapper = build(ours)
    plain = [
        torch.optim.AdamW(theirs.students['sam'].parameters(), lr=1e-2),
        torch.optim.SGD(theirs.students['unet'].parameters(), lr=0.1, momentum=0.9),
    ]
    for _ in range(3):
        ours.train_step(batch(), wrapper)
        loss = theirs(**batch(), mode='loss')['loss']
        loss.backward()
        for optimizer in plain:
            optimizer.step()
            optimizer.zero_grad()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.grad is None


def test_learning_rates_are_logged_by_name():
    assert build(model()).get_lr() == {'sam.lr': [1e-2], 'unet.lr': [0.1]}


def test_accumulation_steps_once_with_the_mean_gradient():
    one, two = model(), model()
    sgd = {name: dict(type='SGD', lr=0.1) for name in ('sam', 'unet')}
    build(one, sgd)
    wrapper = build(two, sgd, accumulative_counts=2)
    wrapper.initialize_count_status(two, 0, 4)
    before = [p.clone() for p in two.parameters()]
    two.train_step(batch(), wrapper)
    assert all(torch.equal(a, b) for a, b in zip(before, two.parameters(), strict=True))
    two.train_step(batch(), wrapper)
    one.train_step(batch(), build(one, sgd))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_no_gradient_exchange_while_accumulating():
    class Wrapped(nn.Module):
        entered = 0

        def no_sync(self):
            import contextlib

            type(self).entered += 1
            return contextlib.nullcontext()

    wrapper = build(model(), accumulative_counts=2)
    wrapper.initialize_count_status(model(), 0, 4)
    with wrapper.optim_context(Wrapped()):
        pass
    wrapper._inner_count = 1
    with wrapper.optim_context(Wrapped()):
        pass
    assert Wrapped.entered == 1


@pytest.mark.parametrize('kind, largest', [('norm', None), ('value', 1e-3)])
def test_gradients_are_clipped_for_each_student_apart(kind, largest):
    net = model()
    clip = dict(max_norm=1e-3) if kind == 'norm' else dict(type='value', clip_value=1e-3)
    sgd = {name: dict(type='SGD', lr=1.0) for name in ('sam', 'unet')}
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    net.train_step(batch(), build(net, sgd, clip_grad=clip))
    for name in sgd:
        moved = torch.cat(
            [(p - before[n]).flatten() for n, p in net.named_parameters() if f'.{name}.' in n]
        )
        found = moved.norm() if kind == 'norm' else moved.abs().max()
        assert float(found) == pytest.approx(1e-3, rel=1e-2)


def test_bfloat16_on_the_cpu():
    seen = []

    class Watch(ToyModel):
        def forward(self, inputs, **kwargs):
            seen.append(self.students['sam'](inputs).dtype)
            return super().forward(inputs, **kwargs)

    net = Watch(norm='gn')
    net.train_step(batch(), build(net, dtype='bfloat16'))
    assert seen == [torch.bfloat16]
    assert all(p.dtype == torch.float32 for p in net.parameters())


@pytest.mark.skipif(torch.cuda.is_available(), reason='is about machines without CUDA')
def test_float16_needs_cuda():
    with pytest.raises(ValueError, match='needs a CUDA device; use dtype="bfloat16"'):
        build(model(), dtype='float16')
    assert build(model(), dtype='auto').dtype is None


def test_a_student_without_gradients_waits():
    """The scaler of float16, here on the CPU, refuses an optimiser that saw no gradient."""
    net = model()
    wrapper = build(net)
    wrapper.loss_scaler = torch.amp.GradScaler('cpu')
    before = [p.clone() for p in net.students['unet'].parameters()]
    sam = [p.clone() for p in net.students['sam'].parameters()]
    inputs = batch()['inputs']
    wrapper.update_params(net.students['sam'](inputs).square().mean())
    assert all(map(torch.equal, net.students['unet'].parameters(), before))
    assert not any(map(torch.equal, net.students['sam'].parameters(), sam))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')
def test_float16_on_cuda_uses_one_scaler():
    net = model().cuda()
    wrapper = build(net, dtype='float16')
    data = {k: v.cuda() for k, v in batch().items()}
    before = [p.clone() for p in net.parameters()]
    for _ in range(20):  # the first scales are too large and their steps are left out
        net.train_step(data, wrapper)
    assert any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    state = wrapper.state_dict()
    assert state['loss_scaler']['scale'] <= 65536
    again = build(net, dtype='float16')
    again.load_state_dict(state)
    assert again.loss_scaler.get_scale() == wrapper.loss_scaler.get_scale()


@pytest.mark.parametrize(
    'optimizers, text',
    [
        (dict(OPTIMIZERS, vnet=dict(type='SGD', lr=1)), '"vnet".*students are .*sam.*unet'),
        (dict(unet=dict(type='SGD', lr=1)), 'trainable parameters have no optimiser.*students.sam'),
        ({}, 'has no "optimizers"'),
    ],
)
def test_names_that_do_not_fit_are_an_error(optimizers, text):
    with pytest.raises(ValueError, match=text):
        build(model(), optimizers)


def test_student_without_trainable_parameters_is_an_error():
    net = model()
    net.students['sam'].requires_grad_(False)
    with pytest.raises(ValueError, match='"sam" has an optimiser but no trainable parameter'):
        build(net)


def test_frozen_parameters_stay_out_and_one_student_is_enough():
    net = model()
    net.students['sam'].requires_grad_(False)
    net.students['unet'][0].requires_grad_(False)
    wrapper = build(net, dict(unet=dict(type='SGD', lr=1)))
    assert len(wrapper['unet'].optimizer.param_groups[0]['params']) == 4


def test_other_parts_of_the_model_may_have_an_optimiser():
    net = model()
    net.projector = nn.Linear(2, 2)
    wrapper = build(net, dict(OPTIMIZERS, projector=dict(type='SGD', lr=1)))
    assert list(wrapper.keys()) == ['sam', 'unet', 'projector']


def test_paramwise_options_of_one_optimiser():
    cfg = dict(type='SGD', lr=0.1, weight_decay=1.0, paramwise_cfg=dict(norm_decay_mult=0.0))
    wrapper = build(model(), dict(OPTIMIZERS, unet=cfg))
    decays = {group['weight_decay'] for group in wrapper['unet'].optimizer.param_groups}
    assert decays == {0.0, 1.0}


def test_unknown_dtype():
    with pytest.raises(ValueError, match="'float8'; known are"):
        build(model(), dtype='float8')


def test_schedulers_for_some_optimisers(tmp_path):
    runner = RUNNERS.build(config(tmp_path))
    runner.train()
    assert list(runner.param_schedulers) == ['sam', 'unet']
    last = 0.1 * (1 / 8) ** 0.9
    assert runner.optim_wrapper.get_lr() == {'sam.lr': [1e-2], 'unet.lr': [pytest.approx(last)]}


def test_schedulers_of_unknown_optimisers(tmp_path):
    linear = [dict(type='LinearLR', by_epoch=False, start_factor=0.1)]
    runner = RUNNERS.build(config(tmp_path, param_scheduler=dict(vnet=linear)))
    with pytest.raises(ValueError, match="'vnet'.*there are .'sam', 'unet'."):
        runner.train()


def test_stock_optimiser_wrapper_works_too(tmp_path):
    cfg = config(tmp_path)
    cfg.optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    cfg.param_scheduler = [dict(type='PolyLR', begin=0, end=8, by_epoch=False)]
    runner = RUNNERS.build(cfg)
    runner.train()
    assert type(runner.optim_wrapper) is OptimWrapper
    cfg.resume, cfg.load_from, cfg.experiment_name = True, str(tmp_path / 'iter_4.pth'), 'again'
    again = RUNNERS.build(cfg)
    again.train()
    for a, b in zip(runner.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)
    named = config(tmp_path / 'named')
    named.optim_wrapper = cfg.optim_wrapper
    with pytest.raises(ValueError, match='single optimiser'):
        RUNNERS.build(named).train()


def test_amp_option():
    cfg = dict(type='MultiOptimWrapper', optimizers=OPTIMIZERS)
    assert use_amp(cfg)['dtype'] == 'half' and 'dtype' not in cfg
    assert use_amp(dict(cfg, dtype='auto'))['dtype'] == 'half'
    assert use_amp(dict(cfg, dtype='bfloat16'))['dtype'] == 'bfloat16'
    stock = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1))
    expected = 'AmpOptimWrapper' if torch.cuda.is_available() else 'HalfOptimWrapper'
    assert use_amp(stock)['type'] == use_amp(dict(stock, type='AmpOptimWrapper'))['type']
    assert use_amp(stock)['type'] == expected
    bfloat16 = use_amp(dict(stock, dtype='bfloat16'))
    assert (bfloat16['type'], bfloat16['dtype']) == ('HalfOptimWrapper', 'bfloat16'), 'no scaler'
    with pytest.raises(ValueError, match='MultiOptimWrapperConstructor'):
        use_amp(dict(stock, type='ApexOptimWrapper'))


def test_wrapper_is_a_single_wrapper_to_mmengine():
    assert isinstance(build(model()), OptimWrapper)
    assert isinstance(build(model()), MultiOptimWrapper)
