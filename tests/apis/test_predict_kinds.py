"""A prediction of every kind of model, from every kind of file, is what the test loop predicts."""

import copy

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
import torch
from bundles import bundle_parts
from bundles.bundle_parts import medsam, synfoc
from fake_dicom import write_series
from PIL import Image
from sam_parts import ARCH

from mmssl.apis import inference_model, init_model, predict, publish
from mmssl.apis.prediction import Predictor, Wishes
from mmssl.bundles.networks import Choice
from mmssl.testing import MethodTester
from mmssl.testing.phantoms import SIDE
from tests import tiny
from tests.models.methods import test_all_methods as methods  # and a neck for MCSD

METHODS = {
    name: entry
    for name, entry in vars(methods).items()
    if isinstance(entry, type) and issubclass(entry, MethodTester) and hasattr(entry, 'config')
    if entry.axes == 2  # volumes have files of their own
}
SHAPE = (20, 28, 3)  # (x, y, z)
AFFINE = np.array([[-0.9, 0.1, 0, 5], [0.1, 0.9, 0, -7], [0, 0, 4.0, 9], [0, 0, 0, 1]])


def config(model: dict):
    """Return the config of a training on sites that are read alike."""
    cfg = bundle_parts.config(model)
    cfg.test_dataloader.dataset.pop('overrides')
    return cfg


def moved(cfg) -> torch.nn.Module:
    """Build a model all of whose networks differ."""
    torch.manual_seed(0)
    model = init_model(copy.deepcopy(cfg))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.requires_grad or 'teachers.' in name:
                value += 0.3 * torch.randn_like(value)
    return model


@pytest.mark.parametrize('name', METHODS)
def test_each_network_of_each_method_says_what_the_test_loop_says(name):
    cfg = METHODS[name].model_cfg()
    cfg.test_dataloader.dataset.update(image_size=SIDE, box_size=SIDE, channels=1)
    model = moved(cfg)
    image = np.random.default_rng(0).integers(0, 255, (40, 36), dtype=np.uint8)
    expected = inference_model(model, image)[0]
    for output in model.outputs:
        found = predict(model, image, student=output).classes
        assert (found == expected.get(f'pred_{output}').data[0].numpy()).all(), output
    assert (predict(model, image).classes == expected.pred_sem_seg.data[0].numpy()).all()
    taught = {
        teacher: predict(model, image, student=teacher, teacher=True).classes
        for teacher in model.teachers
    }
    for teacher, network in model.teachers.items():
        model.students[teacher] = network
    told = inference_model(model, image)[0]
    for teacher, found in taught.items():
        assert (found == told.get(f'pred_{teacher}').data[0].numpy()).all(), f'teacher {teacher}'


@pytest.mark.parametrize('teacher', [False, True])
def test_an_ensemble_is_the_mean_of_networks_of_two_sizes(teacher):
    cfg = config(tiny.synfoc())
    model = moved(cfg)
    image = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)  # the larger size
    one, two = (
        predict(model, image, student=name, teacher=teacher, probabilities=True).probabilities
        for name in ('sam', 'unet')
    )
    both = predict(model, image, ensemble=True, teacher=teacher, probabilities=True)
    mean = (one.astype(float) + two) / 2
    assert np.abs(one.astype(float) - two).max() > 0.01
    assert np.abs(both.probabilities - mean).max() < 1e-3
    sure = np.abs(mean[0] - mean[1]) > 4e-3  # of float16
    assert sure.mean() > 0.9 and (both.classes == mean.argmax(0))[sure].all()


def write_files(folder) -> list[str]:
    """Write a picture, and the same volume as TIFF, NIfTI, DICOM and NRRD; return the paths."""
    voxels = np.random.default_rng(1).integers(0, 1000, SHAPE).astype(np.int16)
    Image.fromarray((voxels[..., 0].T // 4).astype(np.uint8)).save(folder / 'a.png')
    tifffile.imwrite(folder / 'b.tif', voxels.T.astype(np.uint16), photometric='minisblack')
    nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), folder / 'c.nii.gz')
    write_series(folder / 'd', voxels, AFFINE)
    image = SimpleITK.GetImageFromArray(voxels.T)
    image.SetSpacing((0.9, 0.9, 4.0))
    SimpleITK.WriteImage(image, str(folder / 'e.nrrd'))
    return [str(folder / name) for name in ('a.png', 'b.tif', 'c.nii.gz', 'd', 'e.nrrd')]


def mcsd(**options) -> dict:
    """Return network A, which sees images, and B, which sees features of them."""
    students = dict(
        unet=tiny.segmentor(norm=tiny.GN), feature_unet=tiny.segmentor(norm=tiny.GN, channels=3)
    )
    threshold = dict(type='FixedThreshold', value=0.5, strict=False)
    neck = dict(type='StandInNeck')
    return dict(type='MCSD', students=students, neck=neck, threshold=threshold, **options)


def zero_shot(folder) -> dict:
    """Return a SAM whose boxes are of another model, which is a bundle."""
    other = config(dict(type='SupOnly', students=dict(unet=tiny.segmentor(norm=tiny.GN))))
    torch.save(dict(state_dict=moved(other).state_dict(), meta={}), folder / 'other.pth')
    publish(other, folder / 'other.pth', folder / 'other.mmssl', with_data=False, say=str)
    sam = dict(type='PromptedSAM', arch=ARCH, img_size=64, random_trunk_seed=0)
    source = dict(config=str(folder / 'other.mmssl'), checkpoint=None)
    return dict(type='ZeroShotSAM', sam=sam, source=source)


KINDS = {
    'slice U-Net': lambda folder: dict(
        type='SupOnly',
        students=dict(
            unet=dict(
                type='EncoderDecoder',
                backbone=dict(type='UNetEncoder', in_channels=1, widths=(4, 4, 8, 8, 8)),
                decode_head=dict(
                    type='UNetDecoderHead', in_channels=(4, 4, 8, 8, 8), num_classes=2
                ),
            )
        ),
    ),
    'stock mmsegmentation': lambda folder: dict(
        type='MeanTeacher', students=dict(unet=tiny.segmentor(norm=tiny.GN)), teachers=['unet']
    ),
    'SynFoC': lambda folder: synfoc(),
    'MCSD': lambda folder: mcsd(),
    'SAM with LoRA': lambda folder: dict(type='SAMed', students=dict(sam=medsam())),
    'SC-SSL': lambda folder: dict(
        type='SCSSL', students={n: tiny.segmentor(norm=tiny.GN) for n in ('one', 'two')}
    ),
    'zero-shot SAM': zero_shot,
}


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_of_model_predicts_every_kind_of_file(kind, tmp_path):
    files, cfg = write_files(tmp_path), config(KINDS[kind](tmp_path))
    dataset = cfg.test_dataloader.dataset
    if kind == 'zero-shot SAM':  # it prepares its images itself
        dataset.prepare = [step for step in dataset.prepare if step.type != 'ResizeSquare']
    trained = moved(cfg)
    torch.save(dict(state_dict=trained.state_dict(), meta={}), tmp_path / 'w.pth')
    cfg.dump(tmp_path / 'c.py')
    model = init_model(tmp_path / 'c.py', tmp_path / 'w.pth')
    models = [model]
    if kind != 'zero-shot SAM':  # which has nothing trained to publish
        every = Choice(everything=True)
        publish(cfg, tmp_path / 'w.pth', tmp_path / 'x.mmssl', every, with_data=False, say=str)
        models.append(init_model(tmp_path / 'x.mmssl'))
    expected = [one.pred_sem_seg.data.numpy() for one in inference_model(model, files)]
    assert any(0 < mask.mean() < 1 for mask in expected), 'the mask says nothing'
    for one in models:
        for (path, found), mask in zip(
            Predictor(one, Wishes(batch_size=3)).stream(files), expected, strict=True
        ):
            assert not isinstance(found, Exception), (path, found)
            assert (found.classes.reshape(mask.shape) == mask).all(), path
            flips = predict(one, path, tta='flips')
            assert flips.classes.shape == found.classes.shape


@pytest.mark.parametrize('inference', ['a', 'b', 'mean'])
def test_the_networks_of_mcsd(inference):
    """B, and the mean with it, are asked where the config asks; B is no student of an ensemble."""
    model = moved(config(mcsd(inference=inference)))
    image = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
    expected = inference_model(model, image)[0].pred_sem_seg.data[0].numpy()
    assert (predict(model, image).classes == expected).all()
    of_a = predict(model, image, student='unet', probabilities=True).probabilities
    first = predict(model, image, probabilities=True).probabilities
    assert (first == of_a).all() == (inference == 'a')
    if inference == 'a':
        with pytest.raises(ValueError, match='no student "feature_unet"'):
            predict(model, image, student='feature_unet')
    with pytest.raises(ValueError, match='no two networks'):
        predict(model, image, ensemble=True)
