"""A written file gives what the network gives, and one that does not is not left behind."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from denoiser_parts import OPTIONS, write_model
from export_parts import SIDE, dinov2, kinds, one, sam, trained, unet
from onnx import numpy_helper

from mmssl.datasets.phantom import PhantomSettings, write_phantom
from mmssl.export import deploy, export_model
from mmssl.export.check import phantom_images
from mmssl.export.facts import KEY
from mmssl.export.network import ExportedNetwork
from mmssl.utils.errors import SettingError
from tests import tiny

SLOW = ('unet_two_decoders', 'unet_pyramid', 'fused', 'swin', 'h_sam', 'cross_prompt')
KINDS = [pytest.param(kind, marks=pytest.mark.slow if kind in SLOW else ()) for kind in kinds()]


def quiet(_):
    """Say nothing."""


def run(path, image):
    """Run a file with onnxruntime alone."""
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return session.run(None, {'image': image})[0]


def facts_of(path):
    found = {p.key: p.value for p in onnx.load(path).metadata_props}
    return json.loads(found[KEY])


@torch.no_grad()
def scores(model, image, name=None, teacher=False):
    """Return what a model says of grey values, by its own preprocessor."""
    inputs = model.data_preprocessor.image_views(torch.from_numpy(image))
    return model.predict_logits(inputs, name or model.outputs[0], teacher).numpy()


@pytest.fixture
def small():
    """Return a small network that takes any size, with a teacher that differs from it."""
    return trained(
        dict(type='MeanTeacher', students=dict(net=tiny.segmentor(norm=tiny.GN)), teachers=['net'])
    )


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_of_network(kind, tmp_path):
    model, out = trained(kinds()[kind]), tmp_path / 'x.onnx'
    export_model(model, out, say=quiet)
    image = phantom_images(5, 1, (SIDE, SIDE))  # another number than it was traced with
    found, wanted = run(out, image), scores(model, image)
    assert found.shape == (5, 2, SIDE, SIDE) and np.ptp(wanted) > 1e-2
    np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize('kind', kinds())
def test_copy_is_the_network_and_has_no_other(kind):
    model = trained(kinds()[kind])
    network = ExportedNetwork(model).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    copy = network.alone_and_merged()
    assert not any('lora_' in name for name, _ in copy.named_parameters())
    image = torch.from_numpy(phantom_images(2, 1, (SIDE, SIDE)))
    with torch.no_grad():
        torch.testing.assert_close(copy(image), network(image), atol=1e-4, rtol=0)
        np.testing.assert_array_equal(network(image).numpy(), scores(model, image.numpy()))
    assert len(copy.model.students) == (2 if kind == 'fused' else 1) and not copy.model.teachers
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), f'{name} of the model was changed'


@pytest.mark.slow
@pytest.mark.parametrize('upsample', ['transposed', 'nearest', 'bicubic'])
def test_every_way_of_scaling_up(upsample, tmp_path):
    model = trained(one(unet(upsample=upsample)))
    export_model(model, tmp_path / 'x.onnx', say=quiet)
    image = phantom_images(1, 1, (SIDE, SIDE))
    np.testing.assert_allclose(
        run(tmp_path / 'x.onnx', image), scores(model, image), atol=1e-4, rtol=0
    )


@pytest.mark.slow
def test_network_of_diffusion_features_brings_the_denoiser(tmp_path):
    """B of MCSD sees no image but what a frozen denoiser makes of it, which the file then holds."""
    networks = dict(
        unet=tiny.segmentor(norm=tiny.GN), feature_unet=tiny.segmentor(norm=tiny.GN, channels=4)
    )
    neck = dict(type='DiffusionFeatureNeck', model=write_model(tmp_path / 'unet'), **OPTIONS)
    model = trained(dict(type='MCSD', students=networks, neck=neck, inference='mean'), side=16)
    image = phantom_images(3, 1, (16, 16))
    for name in ('mean', 'feature_unet'):
        export_model(model, tmp_path / 'x.onnx', student=name, say=quiet)
        wanted = scores(model, image, name)
        np.testing.assert_allclose(run(tmp_path / 'x.onnx', image), wanted, atol=1e-4, rtol=0)


def test_the_student_or_teacher_that_is_asked_for(tmp_path):
    model = trained(tiny.synfoc(primary='unet'))
    image = phantom_images(1, 1, (24, 24))
    export_model(model, tmp_path / 'x.onnx', student='unet', teacher=True, say=quiet)
    found, wanted = run(tmp_path / 'x.onnx', image), scores(model, image, 'unet', True)
    np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=0)
    assert np.abs(found - scores(model, image, 'unet')).max() > 1e-2
    facts = facts_of(tmp_path / 'x.onnx')
    assert (facts['network'], facts['teacher']) == ('unet', True)
    assert facts['input']['shape'] == ['batch', 1, 24, 24]
    other = scores(model, phantom_images(1, 1, (32, 32)), 'sam')
    export_model(model, tmp_path / 'x.onnx', student='sam', say=quiet)
    found = run(tmp_path / 'x.onnx', phantom_images(1, 1, (32, 32)))
    np.testing.assert_allclose(found, other, atol=1e-4, rtol=0)


@pytest.mark.parametrize('dynamic', ['none', 'batch', 'size'])
def test_axes_of_any_length(dynamic, small, tmp_path):
    out = tmp_path / 'x.onnx'
    facts = export_model(small, out, dynamic=dynamic, say=quiet)
    assert len(facts['input']['dynamic']) == {'none': 0, 'batch': 1, 'size': 3}[dynamic]
    shapes = {'none': (1, SIDE, SIDE), 'batch': (4, SIDE, SIDE), 'size': (3, 48, 80)}
    for name, (count, *size) in shapes.items():
        image = phantom_images(count, 1, tuple(size))
        if list(shapes).index(name) <= list(shapes).index(dynamic):
            np.testing.assert_allclose(run(out, image), scores(small, image), atol=1e-4, rtol=0)
        else:
            with pytest.raises(Exception, match='INVALID_ARGUMENT'):
                run(out, image)


def test_facts_say_how_to_prepare_an_image(tmp_path):
    ranges = dict(value_range=(0, 1000))
    steps = [dict(type='LoadImage'), dict(type='ResizeSquare', size=48, interpolation='bicubic')]
    sizes = dict(sizes=dict(net=dict(image=24)), mean=10.0, std=20.0)
    model = trained(
        one(tiny.segmentor(norm=tiny.GN), data_preprocessor=sizes), prepare=steps, **ranges
    )
    returned = export_model(model, tmp_path / 'x.onnx', say=quiet)
    facts = facts_of(tmp_path / 'x.onnx')
    assert facts == json.loads(json.dumps(returned))
    assert facts['preparation'] == [
        {'resize': 'bicubic', 'size': [48, 48]},
        {'resize': 'corner-aligned nearest', 'size': [24, 24]},
    ]
    assert facts['input']['shape'] == ['batch', 1, 24, 24]
    assert facts['input']['grey_values'] == [0, 255] and facts['value_range'] == [0, 1000]
    assert facts['normalisation'] == {'inside': True, 'mean': 10.0, 'std': 20.0}
    assert facts['classes'] == ['background', 'organ'] and facts['parts'] == {'organ': [1]}
    assert len(facts['colours']) == 2 and facts['versions']['opset'] >= 18


def test_opset_is_that_which_is_asked_for(small, tmp_path):
    export_model(small, tmp_path / 'x.onnx', opset=18, say=quiet)
    versions = {
        entry.domain: entry.version for entry in onnx.load(tmp_path / 'x.onnx').opset_import
    }
    assert versions[''] == 18 == facts_of(tmp_path / 'x.onnx')['versions']['opset']


def test_program_of_torch_instead_of_onnx(small, tmp_path):
    facts = export_model(small, tmp_path / 'x.pt2', teacher=True, say=quiet)
    extra = {f'{KEY}.json': ''}
    program = torch.export.load(tmp_path / 'x.pt2', extra_files=extra).module()
    assert json.loads(extra[f'{KEY}.json']) == json.loads(json.dumps(facts))
    image = phantom_images(3, 1, (SIDE, SIDE))
    found = program(torch.from_numpy(image)).detach().numpy()
    np.testing.assert_allclose(found, scores(small, image, teacher=True), atol=1e-5, rtol=0)


def test_file_that_differs_is_not_left_behind(small, tmp_path, monkeypatch):
    write = deploy.write_onnx

    def spoiled(program, path, *args):
        write(program, path, *args)
        model = onnx.load(path)
        weight = max(model.graph.initializer, key=lambda one: np.prod(one.dims))
        wrong = numpy_helper.to_array(weight)
        wrong = wrong + 1e-3 * np.arange(wrong.size, dtype=np.float32).reshape(wrong.shape)
        weight.CopyFrom(numpy_helper.from_array(wrong, weight.name))
        onnx.save(model, path)

    monkeypatch.setattr(deploy, 'write_onnx', spoiled)
    (tmp_path / 'x.onnx').write_text('of before')
    said = []
    with pytest.raises(SettingError, match='x.onnx is not the network'):
        export_model(small, tmp_path / 'x.onnx', say=said.append)
    assert 'logits differ by' in said[0]
    assert [path.name for path in tmp_path.iterdir()] == ['x.onnx']
    assert (tmp_path / 'x.onnx').read_text() == 'of before'


def test_network_of_one_size_says_so(tmp_path):
    model = trained(one(sam()))
    with pytest.raises(SettingError, match='"net" works at 32 x 32 px alone.*--dynamic batch'):
        export_model(model, tmp_path / 'x.onnx', dynamic='size', say=quiet)
    assert not list(tmp_path.iterdir())


def test_network_whose_size_is_a_number_in_the_file_says_so(tmp_path):
    """DINOv2's positions are interpolated by a scale that the file holds as a constant."""
    model, out = trained(one(dinov2()), side=28), tmp_path / 'x.onnx'
    with pytest.raises(SettingError, match='runs at 28 x 28 px alone, not at 56 x 28 .*dynamic ba'):
        export_model(model, out, dynamic='size', say=quiet)
    assert not out.exists()
    export_model(model, out, say=quiet)
    image = phantom_images(5, 1, (28, 28))
    np.testing.assert_allclose(run(out, image), scores(model, image), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(out='x.bin'), '"x.bin" must end in one of .onnx, .pt2'),
        (dict(out='no/x.onnx'), 'does not exist: make it'),
        (dict(student='nat'), '--student is "nat", but the model has net'),
        (dict(out='x.pt2', int8=True), '--int8 is for ONNX'),
        (dict(out='x.pt2', opset=18), '--opset is for ONNX'),
        (dict(size=31), '"net" takes no images of 31 x 31 px'),
        (dict(opset=3), '--opset 3'),
    ],
)
def test_options_that_do_not_fit(options, words, small, tmp_path):
    out = tmp_path / options.pop('out', 'x.onnx')
    with pytest.raises(SettingError, match=words):
        export_model(small, out, say=quiet, **options)
    assert not list(tmp_path.iterdir())


def test_teacher_that_does_not_exist(tmp_path):
    model = trained(one(tiny.segmentor()))
    with pytest.raises(SettingError, match='"net" has no teacher .those with one: none.'):
        export_model(model, tmp_path / 'x.onnx', teacher=True, say=quiet)


def test_model_without_a_student(tmp_path):
    with pytest.raises(SettingError, match='Linear has no student'):
        export_model(torch.nn.Linear(1, 1), tmp_path / 'x.onnx', say=quiet)


def test_size_that_nothing_states(tmp_path):
    model = trained(one(tiny.segmentor(norm=tiny.GN)), prepare=[dict(type='LoadImage')])
    with pytest.raises(SettingError, match='give --size PIXELS'):
        export_model(model, tmp_path / 'x.onnx', say=quiet)
    facts = export_model(model, tmp_path / 'x.onnx', size=48, say=quiet)
    assert facts['preparation'] == [{'resize': 'corner-aligned nearest', 'size': [48, 48]}]


def dice(labels, truths):
    both = sum((a & b).sum() for a, b in zip(labels, truths, strict=True))
    return 2 * both / sum(a.sum() + b.sum() for a, b in zip(labels, truths, strict=True))


def test_dice_that_8_bit_costs_on_the_test_data(tmp_path):
    settings = PhantomSettings(
        domains=('ScannerA',), size=SIDE, train_cases=1, test_cases=2, test_slices=3
    )
    write_phantom(tmp_path / 'data', settings, progress=False)
    model, said = trained(one(unet()), data_root=str(tmp_path / 'data')), []
    export_model(model, tmp_path / 'x.onnx', int8=True, say=said.append)
    images = sorted((tmp_path / 'data/ScannerA/test/image').glob('*.png'))
    truths = [np.asarray(open_grey(str(p).replace('image', 'mask'))) > 0 for p in images]
    cost = next(line for line in said if line.startswith('Dice'))
    assert 'on 6 images of the test data: organ ' in cost
    shown = []
    for name in ('x.onnx', 'x.int8.onnx'):
        grey = np.stack([np.float32(open_grey(path)) for path in images])[:, None]
        labels = run(tmp_path / name, grey).argmax(1) == 1
        shown.append(f'{100 * dice(labels, truths):.2f}')
    assert f'organ {shown[0]} -> {shown[1]} (' in cost
    size = {p.name: p.stat().st_size for p in tmp_path.glob('*.onnx')}
    assert size['x.int8.onnx'] < size['x.onnx']


def test_dice_that_8_bit_costs_without_data(small, tmp_path):
    said = []
    export_model(small, tmp_path / 'x.onnx', int8=True, say=said.append)
    cost = next(line for line in said if line.startswith('Dice'))
    assert '8 generated images, against the float file' in cost and 'organ 100.00 -> ' in cost


def open_grey(path):
    from PIL import Image

    with Image.open(path) as file:
        return np.asarray(file.convert('L'))
