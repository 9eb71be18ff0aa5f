import pytest
import torch
from torch import nn

from mmssl.models.methods.crossmatch import without_dropout
from mmssl.models.strategies.mixing import paste
from tests.models.methods.test_unimatch import batch_of
from tests.tiny import GN, build, segmentor, set_iter


class Recorder(nn.Module):
    """A loss of a constant that keeps labels and masks."""

    def __init__(self, value=0.0):
        super().__init__()
        self.value, self.seen = value, []

    def forward(self, logits, label, mask):
        self.seen.append((label, mask))
        return logits.sum() * 0 + self.value


def crossmatch(norm=GN, **kwargs):
    cfg = dict(
        type='CrossMatch',
        students=dict(unet=segmentor(2, norm)),
        parts=[[1]],
        threshold=dict(type='FixedThreshold', value=0.5, strict=False),
    )
    set_iter(0, 10)
    return build({**cfg, **kwargs})


def test_terms_and_total():
    model = crossmatch()
    out = model.loss(batch_of(model))
    terms = ['sup_unet', 'image_unet_u_s', 'image_unet_u_s2', 'distil_unet']
    assert all(out[term] > 0 for term in terms) and out['mask_unet'] == 1
    assert out['loss'].item() == pytest.approx(sum(out[term].item() for term in terms), rel=1e-6)


def test_each_stream_drops_channels_of_u_alone():
    """At rate 0 a stream is the clean one; x is never perturbed."""
    model = crossmatch(dropout=(0.0, 0.9))
    batch = batch_of(model)
    x, u = batch['x_w']['unet'], batch['u_w']['unet'][0::2]
    of_x, streams = model.streams('unet', x, u)
    student = model.students['unet']
    assert torch.allclose(of_x, student(x, mode='tensor'), atol=1e-5)
    clean = student(u, mode='tensor')
    assert torch.allclose(streams['clean'], clean, atol=1e-5)
    assert torch.allclose(streams['weak'], clean, atol=1e-5)
    assert not torch.allclose(streams['strong'], clean, atol=1e-2)


def test_dropout_acts_while_pseudo_labels_are_made():
    """That of the network in the plain pass, and that of the streams; the authors' own fault."""
    model = crossmatch(dropout=(0.5, 0.6))
    head = model.students['unet'].decode_head
    head.dropout = nn.Dropout2d(0.5)
    batch = batch_of(model)
    partner = batch['u_w']['unet'][1::2]
    confidences = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        target = model.partner_target('unet', partner, batch)
        confidences.append({stream: confidence for stream, (confidence, _) in target.items()})
    for stream in ('clean', 'weak', 'strong'):
        first, second = (of_seed[stream] for of_seed in confidences)
        assert not torch.equal(first, second), f'nothing is dropped in the {stream} stream'
    assert not any(value.requires_grad for value in confidences[0].values())
    assert model.students['unet'].training and head.dropout.training


def test_the_last_dropout_rests_where_channels_are_dropped():
    model = crossmatch(dropout=(0.0, 0.0))
    head = model.students['unet'].decode_head
    head.dropout = nn.Dropout2d(0.9)
    batch = batch_of(model)
    x = batch['x_w']['unet']
    _, streams = model.streams('unet', x, x)
    with without_dropout(head):
        assert torch.allclose(streams['weak'], head(model.students['unet'].extract_feat(x)))
    assert head.dropout.training


def test_labels_are_those_of_the_mixed_image():
    """Inside each view's own box the label is the partner's, in every stream: their other fix."""
    model = crossmatch()
    batch = batch_of(model, n_u=2, side=8)
    batch['box'] = torch.tensor([[1, 2, 3, 2], [0, 0, 8, 8]])
    batch['box2'] = torch.tensor([[4, 0, 2, 8], [0, 0, 8, 8]])
    inside = {key: torch.zeros(1, 8, 8, dtype=torch.bool) for key in ('box', 'box2')}
    inside['box'][:, 2:4, 1:4] = True
    inside['box2'][:, :, 4:6] = True
    views, _ = model.prepare(batch, model.step)
    for view, key in (('u_s', 'box'), ('u_s2', 'box2')):
        u, partner = batch[view]['unet'].split(1)
        assert torch.equal(views[view]['unet'], paste(u, partner, inside[key][:, None]))
    model.unsup_criterion = Recorder()
    sure_of_0 = torch.stack([torch.full((1, 8, 8), 3.0), torch.zeros(1, 8, 8)], 1)
    streams = dict.fromkeys(('clean', 'weak', 'strong'), sure_of_0)
    logits = {'unet': {'u_w': streams, 'u_s': sure_of_0, 'u_s2': streams}}
    unsure_of_1 = torch.full((1, 8, 8), 0.2), torch.ones(1, 8, 8, dtype=torch.long)
    partners = {'unet': dict.fromkeys(streams, unsure_of_1)}
    model.unsup_loss(batch, logits, partners, model.step)
    none = torch.zeros(1, 8, 8, dtype=torch.bool)
    # u_w by the clean stream twice, u_s2 by it twice, u_s2 by both streams, then the strong views
    boxes = [none, none, *4 * [inside['box2']], inside['box'], inside['box2']]
    seen = model.unsup_criterion.seen
    for (label, mask), box in zip(seen, boxes, strict=True):
        assert torch.equal(label, box.long()) and torch.equal(mask, (~box).float())


def test_each_stream_is_taught_by_its_own_label_too():
    """With eta=1 the clean labels play no part in the distillation."""
    model = crossmatch(eta=1.0, weights=dict(distil=1.0))
    model.unsup_criterion = Recorder(1.0)
    one, other = (torch.zeros(1, 2, 8, 8).index_fill(1, torch.tensor(i), 5.0) for i in (0, 1))
    streams = dict(clean=one, weak=other, strong=other)
    logits = {'unet': {'u_w': streams, 'u_s': one, 'u_s2': streams}}
    batch = batch_of(model, n_u=2, side=8)
    sure = {k: (torch.ones(1, 8, 8), z.argmax(1)) for k, z in streams.items()}
    terms, _ = model.unsup_loss(batch, logits, {'unet': sure}, model.step)
    assert terms['distil_unet'].item() == pytest.approx(1.0)
    labels = [int(label.float().mean()) for label, _ in model.unsup_criterion.seen]
    assert labels == [0, 0, 0, 0, 1, 1, 0, 0]


def test_rates_and_weights_are_checked():
    with pytest.raises(ValueError, match='needs a rate for each of'):
        crossmatch(dropout=(0.5,))
    with pytest.raises(ValueError, match=r"\['feature'\]; known are \['sup', 'image', 'distil'\]"):
        crossmatch(weights=dict(feature=1.0))
