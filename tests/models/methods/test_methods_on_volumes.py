"""Methods without an entry on volumes in `test_all_methods`: they work there, or say no."""

import pytest
import torch

from tests.models.methods import test_all_methods as entries


def on_volumes(name):
    """Return an entry as one on volumes."""
    return type(name, (getattr(entries, name),), dict(axes=3))


@pytest.mark.parametrize(
    'name',
    [
        'TestFixMatchOfSSL4MIS',
        'TestFixMatchWithCowMix',
        'TestSynFoC',
        'TestCPSWithCutMix',
        'TestSymGD',
        'TestSymGDWithOverlappingParts',
        'TestUSTRUN',
        'TestUSTRUNWithUnreliableParts',
        'TestSCSSL',
    ],
)
def test_a_step_on_volumes(name):
    """Every term is finite and every student learns; an untrained network predicts."""
    tester = on_volumes(name)
    model, raw = tester.model(), tester.batch()
    if 'x_s' in raw['inputs']:
        raw['inputs']['x_s'] = raw['inputs']['x_w'] * 0.7
    terms = tester.loss(model, raw)
    assert all(term.isfinite() for term in terms.values()) and len(terms) > 2
    terms['loss'].backward()
    for student in model.students.values():
        assert any(p.grad is not None and p.grad.any() for p in student.parameters())
    x = model.eval().data_preprocessor(dict(inputs=raw['inputs']['u_w']))['inputs']
    for output in model.outputs:
        assert model.predict_logits(x, output).shape == (4, 2, 16, 16, 16)


def test_amplitudes_of_normalised_volumes_are_not_cut_off():
    """Half of the intensities lie below 0, where 8-bit images have none."""
    tester = on_volumes('TestSymGD')
    model, views = tester.model(amplitude=0.01), tester.batch()['inputs']
    mixed = model.mutate('unet', views['x_w'], views['u_w'], model.step)
    assert (mixed < 0).float().mean() > 0.2 and not torch.equal(mixed, views['x_w'])


@pytest.mark.parametrize('name', ['TestABDBCP', 'TestABDCrossTeaching'])
def test_displaced_patches_are_those_of_slices(name):
    tester = on_volumes(name)
    raw = tester.batch()
    raw['inputs']['x_s'] = raw['inputs']['x_w'] * 0.7
    with pytest.raises(ValueError, match='displaces patches of slices, found volumes .*sample="sl'):
        tester.loss(tester.model(), raw)
