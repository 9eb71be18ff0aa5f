"""`load_from`: one line says what was loaded, and nothing that does not fit is passed over."""

import torch
from engine_toy import config
from pytest import fixture, mark, raises
from torch import nn

from mmssl.engine.checkpoints.download import cached_file
from mmssl.engine.checkpoints.weights import load_weights
from mmssl.registry import RUNNERS


def model(classes=3, width=4):
    head = nn.Conv2d(width, classes, 1)
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), head)


@fixture
def state():
    return model().state_dict()


def test_what_fits_is_loaded_and_the_rest_is_named(state):
    del state['2.bias']
    state['neck.weight'] = torch.ones(2)
    own = model()
    said = load_weights(own, {'state_dict': state}, 'x.pth', strict=False)
    assert said == (
        'Loaded 8 of 9 tensors of x.pth; 1 of the model keep their first weights '
        '(2.bias); 1 of the file have no place (neck.weight)'
    )
    assert torch.equal(own[0].weight, state['0.weight'])


@mark.parametrize(
    'wrap',
    [
        lambda s: s,
        lambda s: {'state_dict': s},
        lambda s: {'model': s},
        lambda s: {'state_dict': {f'module.{k}': v for k, v in s.items()}},
    ],
)
def test_usual_forms_of_a_file(state, wrap):
    assert load_weights(model(), wrap(state), 'x', strict=False) == 'Loaded all 9 tensors of x' or (
        load_weights(model(), wrap(state), 'x', strict=False) == 'Loaded 9 of 9 tensors of x'
    )


@mark.parametrize(
    'content, said',
    [
        ([1, 2], 'holds a list'),
        (3.5, 'holds a float'),
        ({}, 'holds no parameters by name; it has nothing'),
        ({'epoch': 3, 'args': 'x'}, 'holds no parameters by name; it has epoch, args'),
        ({'state_dict': {}}, 'holds no parameters'),
        ({'state_dict': {'0.weight': 'text'}}, '"0.weight" as a str'),
        ({'a.weight': torch.ones(2), 'b': torch.ones(1)}, 'none of the model.s 9 tensors'),
        ({'0.weight': torch.ones(4, 1, 3, 3, dtype=torch.cdouble)}, '0.weight is torch.complex128'),
        ({'0.weight': torch.ones(4, 1, 3, 3, dtype=torch.uint8)}, '0.weight is torch.uint8'),
        ({'0.bias': torch.tensor([1.0, float('nan'), 0, 0])}, r'NaN.*1 tensors \(0.bias\)'),
        ({'0.bias': torch.tensor([1.0, float('inf'), 0, 0])}, 'take an earlier file'),
        ({'1.num_batches_tracked': torch.tensor(3)}, 'none of the model'),
    ],
)
def test_what_is_no_such_model_stops(content, said):
    with raises(ValueError, match=said):
        load_weights(model(), content, 'x.pth', strict=False)


def test_other_classes_stop_unless_they_are_left_out(state):
    own = model(classes=5)
    head = own[2].weight.clone()
    said = r'2.weight is \(3, 4, 1, 1\) there and \(5, 4, 1, 1\) here, and 1 more.*skip_mism'
    with raises(ValueError, match=said):
        load_weights(own, state, 'x.pth', strict=False)
    said = load_weights(own, state, 'x.pth', strict=False, skip_mismatched=True)
    assert 'Loaded 7 of 9' in said and '(2.weight, 2.bias)' in said
    assert torch.equal(own[2].weight, head) and torch.equal(own[0].weight, state['0.weight'])
    with raises(ValueError, match='none of the model'):
        load_weights(model(5, 8), {'2.weight': state['2.weight']}, 'x', False, (), True)


def test_nan_weights_are_refused_at_test(tmp_path):
    runner = RUNNERS.build(config(tmp_path / 'a'))
    state = {**runner.model.state_dict()}
    state['students.unet.0.bias'] = state['students.unet.0.bias'] * float('nan')
    torch.save(state, tmp_path / 'nan.pth')
    runner = RUNNERS.build(config(tmp_path / 'b', load_from=str(tmp_path / 'nan.pth')))
    with raises(ValueError, match='NaN or infinite values in 1 tensors .students.unet.0.bias'):
        runner.test()


def test_addresses_of_one_name_have_places_of_their_own(tmp_path):
    urls = [
        'https://a.org/model.pth',
        'https://b.org/model.pth',
        'https://a.org/v2/model.pth',
        'https://a.org/model.pth?version=2',
        'https://a.org/',
        'https://b.org/x/..%2Fmodel.pth',
    ]
    files = [cached_file(url, tmp_path) for url in urls]
    assert len(set(files)) == len(urls) and cached_file(urls[0], tmp_path) == files[0]
    assert all(file.parent.parent == tmp_path for file in files)


def test_one_host_does_not_get_the_file_of_another(tmp_path, monkeypatch):
    from mmengine.runner.checkpoint import CheckpointLoader

    def download(url, target, progress=False):
        torch.save({'host': url}, target)

    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    for url in ('https://a.org/model.pth', 'https://b.org/model.pth', 'https://a.org/model.pth'):
        assert CheckpointLoader.load_checkpoint(url)['host'] == url
    monkeypatch.setattr(torch.hub, 'download_url_to_file', lambda *a, **k: 1 / 0)
    CheckpointLoader.load_checkpoint('https://a.org/model.pth')  # fetched once
