import pytest
import torch

from mmssl.models.methods.sass_net.discriminator import Discriminator
from tests.models.methods.test_dtc import batch_of, small_unet
from tests.tiny import build, set_iter, set_phase


@pytest.fixture(autouse=True)
def first_step():
    set_iter(5, 10)
    yield
    set_phase(0)


def sass_net(head='UNetDistanceHead', **discriminator):
    return build(
        dict(
            type='SASSNet',
            students=dict(unet=small_unet(head)),
            parts=[[1], [2]],
            discriminator=dict(widths=(4, 6), **discriminator),
            ramp=dict(type='ConstantRamp'),
        )
    )


class Judge(torch.nn.Module):
    """Stand in for the discriminator: what it has seen, and the same scores for all."""

    def forward(self, distances, image):
        self.seen = distances.detach(), image, self.training
        return torch.tensor([0.0, 1.0]).expand(len(image), 2) + 0 * distances.mean()


def test_the_student_is_to_be_taken_for_a_labelled_image():
    model = sass_net()
    judge = model.discriminators['unet'] = Judge().train()
    batch = batch_of(model, n_l=3, n_u=2)
    terms = model.loss(batch)
    assert terms['adversarial_unet'].item() == pytest.approx(0.3132617)  # ln(1 + 1 / e)
    expected = terms['sup_unet'] + terms['sup_distance_unet'] + terms['adversarial_unet']
    assert torch.allclose(terms['loss'], expected) and 'discriminator_unet' not in terms
    distances, image, training = judge.seen
    assert torch.equal(image, batch['u_w']['unet']) and distances.abs().max() < 1
    assert not training and judge.training, 'it drops nothing, and goes on as it was'


def test_the_discriminator_is_told_what_is_labelled():
    model = sass_net()
    model.discriminators['unet'] = Judge()
    set_phase(1)
    batch = batch_of(model, n_l=3, n_u=1)
    terms = model.loss(batch)
    assert set(terms) == {'loss', 'discriminator_unet', 'weight'}
    # three right, one wrong
    assert terms['discriminator_unet'].item() == pytest.approx((3 * 0.3132617 + 1.3132617) / 4)


def test_its_distances_are_those_of_the_student_in_eval_mode():
    """The running statistics stay, and so does the mode."""
    model = sass_net()
    student = model.students['unet']
    before = {k: v.clone() for k, v in student.state_dict().items()}
    batch = batch_of(model)
    set_phase(1)
    found = model.forward_views('unet', {'x_w': batch['x_w']['unet']})['x_w'][1]
    assert student.training and not found.requires_grad
    assert all(torch.equal(v, before[k]) for k, v in student.state_dict().items())
    student.eval()
    expected = student.decode_head.forward_all(student.extract_feat(batch['x_w']['unet']))[1]
    assert torch.equal(found, expected)


def test_each_learns_in_its_own_step():
    model = sass_net()
    batch = batch_of(model)
    parts = (model.students, model.discriminators)
    for phase in (0, 1):
        set_phase(phase)
        model.zero_grad()
        model.loss(batch)['loss'].backward()
        learning = [any(p.grad is not None for p in part.parameters()) for part in parts]
        assert learning == [phase == 0, phase == 1]


@pytest.mark.parametrize('axes', [2, 3])
def test_as_many_parameters_as_released(axes):
    """4^3 or 4^2 weights for each pair of channels."""
    with torch.device('meta'):
        found = sum(p.numel() for p in Discriminator(1, axes).parameters())
    pairs = 2 * 64 + 64 * 128 + 128 * 256 + 256 * 512
    assert found == 4**axes * pairs + 2 * 64 + 128 + 256 + 512 + 2 * 512 + 2


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match='"unet" gives none: give it UNetDistanceHead or VNetD'):
        sass_net('UNetDecoderHead')
    with pytest.raises(ValueError, match=r'halves an image 2 times and needs 4 pixels .* \(2, 8\)'):
        Discriminator(1, 2, widths=(4, 6))(torch.rand(1, 1, 2, 8), torch.rand(1, 1, 2, 8))
