"""Whole volumes: masks lie on their files, however these are stored, and every option works."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
import torch
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from PIL import Image
from volume_parts import volume_config as config

from mmssl.apis import inference_model, init_model, predict
from mmssl.apis.prediction import Chosen, Predictor, Wishes
from mmssl.apis.prediction.cleaning import Cleaning
from mmssl.apis.prediction.networks import MIRRORS

HIPPOCAMPUS = Path(os.environ.get('MMSSL_DATA') or '/nowhere') / 'hippocampus' / 'imagesTr'


def model_of(cfg=None, seed=0):
    """Return a model whose networks, teacher and student, say different things."""
    torch.manual_seed(seed)
    model = init_model(cfg or config())
    with torch.no_grad():
        for number, net in enumerate([*model.students.values(), *model.teachers.values()]):
            net.net[2].weight.add_(0.05 * number)
    return model


AFFINE = np.array([[0.9, 0, 0, 3], [0, 1.2, 0, -40], [0, 0, 2.5, 7], [0, 0, 0, 1.0]])


@pytest.fixture
def scan(tmp_path):
    rng = np.random.default_rng(0)
    image = nibabel.Nifti1Image(rng.normal(100, 30, (17, 14, 12)).astype(np.float32), AFFINE)
    nibabel.save(image, tmp_path / 'scan.nii.gz')
    return str(tmp_path / 'scan.nii.gz'), image


def stored(mask_path) -> np.ndarray:
    return np.asarray(nibabel.load(mask_path).dataobj)


def test_the_mask_is_what_the_windows_say_in_the_canonical_frame(scan, tmp_path):
    path, image = scan
    model = model_of()
    found = predict(model, path)
    grey = image.get_fdata().transpose(2, 1, 0).astype(np.float32)
    grey = (grey - grey.mean()) / grey.std()
    inputs = {'net': torch.from_numpy(grey.copy())[None, None]}
    wanted = model.predict_logits(inputs, 'net')[0].argmax(0).numpy()
    assert (found.classes == wanted).mean() > 0.999 and len(np.unique(found.classes)) == 3
    assert np.allclose(found.spacing, (2.5, 1.2, 0.9))
    found.save(tmp_path / 'mask.nii.gz')
    mask = nibabel.load(tmp_path / 'mask.nii.gz')
    assert np.allclose(mask.affine, image.affine)
    assert (found.file.turn.apply(stored(tmp_path / 'mask.nii.gz')) == found.classes).all()
    size = found.sizes()['outer']
    assert size.voxels == (found.classes > 0).sum()
    assert size.volume_ml == pytest.approx(size.voxels * 2.7 / 1000)
    [sample] = inference_model(model, path)
    assert (sample.pred_sem_seg.data[0].numpy() == found.classes).all()


def check_turned(model, path, tmp_path):
    """Predict copies of an image whose axes are stored in another order or obliquely."""
    image = nibabel.load(path)
    predict(model, path).save(tmp_path / 'mask.nii.gz')
    wanted = stored(tmp_path / 'mask.nii.gz')
    assert len(np.unique(wanted)) > 1
    for codes in ('LPS', 'SAR', 'PIR', 'ASL', 'IRP'):
        there = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
        other = image.as_reoriented(there)
        nibabel.save(other, tmp_path / 'other.nii.gz')
        predict(model, tmp_path / 'other.nii.gz').save(tmp_path / 'turned.nii.gz')
        turned = nibabel.load(tmp_path / 'turned.nii.gz')
        assert nibabel.aff2axcodes(turned.affine) == tuple(codes)
        assert np.allclose(turned.affine, other.affine, atol=1e-5)
        back = ornt_transform(io_orientation(turned.affine), io_orientation(image.affine))
        assert (np.asarray(turned.as_reoriented(back).dataobj) == wanted).all(), codes
    cos, sin = np.cos(0.3), np.sin(0.3)
    tilt = np.array([[cos, -sin, 0, 5], [sin, cos, 0, 2], [0, 0, 1, 0], [0, 0, 0, 1]])
    oblique = nibabel.Nifti1Image(np.asarray(image.dataobj), tilt @ image.affine)
    nibabel.save(oblique, tmp_path / 'oblique.nii.gz')
    predict(model, tmp_path / 'oblique.nii.gz').save(tmp_path / 'turned.nii.gz')
    assert np.allclose(nibabel.load(tmp_path / 'turned.nii.gz').affine, oblique.affine, atol=1e-5)
    assert (stored(tmp_path / 'turned.nii.gz') == wanted).all()


def test_axes_and_an_oblique_affine_change_nothing(scan, tmp_path):
    check_turned(model_of(), scan[0], tmp_path)


@pytest.mark.skipif(not HIPPOCAMPUS.is_dir(), reason='MMSSL_DATA names no folder with hippocampus')
def test_axes_of_real_volumes(tmp_path):
    for path in sorted(HIPPOCAMPUS.glob('[!.]*.nii.gz'))[:2]:
        check_turned(model_of(), path, tmp_path)


def test_other_formats_hold_the_same_volume(scan, tmp_path):
    path, image = scan
    model = model_of()
    wanted = predict(model, path).classes
    itk = SimpleITK.ReadImage(path)
    for key in itk.GetMetaDataKeys():
        itk.EraseMetaData(key)
    for name in ('a.nrrd', 'a.mha'):
        SimpleITK.WriteImage(itk, str(tmp_path / name))
        found = predict(model, tmp_path / name)
        assert (found.classes == wanted).all()
        found.save(tmp_path / f'mask_{name}')
        mask = SimpleITK.ReadImage(str(tmp_path / f'mask_{name}'))
        assert np.allclose(mask.GetOrigin(), itk.GetOrigin())
        assert (SimpleITK.GetArrayFromImage(mask) == found.file.restore(found.classes).T).all()
    seen = image.get_fdata().transpose(2, 1, 0).astype(np.float32)
    assert (predict(model, seen).classes == wanted).all(), 'an array'
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['image'] = seen
    assert (predict(model, tmp_path / 'a.h5').classes == wanted).all(), 'as it is stored'
    tifffile.imwrite(tmp_path / 'a.tif', seen, photometric='minisblack')
    assert (predict(model, tmp_path / 'a.tif').classes == wanted).all()


def test_a_resampled_volume_comes_back_to_its_voxels(scan, tmp_path):
    path, image = scan
    model = model_of(config([dict(type='Resample', spacing=1.5)]))
    found = predict(model, path, probabilities=True)
    seen = []
    scores = model.scores
    model.scores = lambda inputs, *rest: seen.append(inputs['net'].shape) or scores(inputs, *rest)
    plain = predict(model, path)
    assert seen == [(1, 1, 20, 11, 10)]
    assert plain.classes.shape == (12, 14, 17) == found.classes.shape
    assert np.allclose(plain.spacing, (2.5, 1.2, 0.9))
    assert (plain.classes == found.classes).mean() > 0.999
    assert (found.probabilities.argmax(0) == found.classes).mean() > 0.99
    plain.save(tmp_path / 'm.nii.gz')
    assert np.allclose(nibabel.load(tmp_path / 'm.nii.gz').affine, image.affine)


def test_mirrored_passes_ensemble_and_uncertainty(scan):
    path, _ = scan
    model = model_of(config(students=['other']))
    asked = []
    scores = model.scores
    model.scores = lambda *a: asked.append(a[2:]) or scores(*a)
    found = predict(model, path, tta='flips', probabilities=True)
    assert asked == [('net', False)] * len(MIRRORS) and len({*MIRRORS}) == 8
    grey = np.asarray(nibabel.load(path).dataobj, np.float32)
    x = found.file.turn.apply(grey)
    x = torch.from_numpy(((x - x.mean()) / x.std()).copy())[None, None]
    probs = [
        torch.flip(model.predict_logits({'net': torch.flip(x, axes)}, 'net').softmax(1), axes)
        for axes in MIRRORS
    ]
    mean = torch.stack(probs).mean(0)[0].numpy()
    assert np.abs(found.probabilities - mean).max() < 2e-3, 'of half precision'
    both = predict(model, path, ensemble=True, uncertainty=True)
    a, b = (model.predict_logits({n: x}, n).softmax(1)[0].numpy() for n in ('net', 'other'))
    assert ((a + b).argmax(0) == both.classes).mean() > 0.999
    assert both.disagreement.shape == both.entropy.shape == both.classes.shape
    assert both.disagreement.max() > 0 and predict(model, path, teacher=True).classes.any()


def test_components_are_cleaned_in_three_axes(scan):
    whole = predict(model_of(), scan[0], cleaning=Cleaning(largest=['inner']))
    from scipy import ndimage

    assert ndimage.label(whole.classes == 2, np.ones((3, 3, 3)))[1] == 1


def test_what_is_no_volume_is_one_sentence(tmp_path):
    model = model_of()
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / 'x.png')
    for name, shape in (('4d', (9, 9, 9, 3)), ('flat', (9, 9))):
        nibabel.save(nibabel.Nifti1Image(np.zeros(shape), AFFINE), tmp_path / f'{name}.nii.gz')
    for name, text in (
        ('x.png', 'is a picture, but the model takes whole volumes'),
        ('flat.nii.gz', 'is a picture, but the model takes whole volumes'),
        ('4d.nii.gz', 'holds 3 frames of one volume. Choose one'),
    ):
        with pytest.raises(ValueError, match=text):
            predict(model, tmp_path / name)
    assert predict(model, tmp_path / '4d.nii.gz', frame=2).classes.shape == (9, 9, 9)
    for array in (np.zeros((9, 9)), np.full((9, 9, 9), np.nan), np.zeros((9, 9, 9, 2))):
        with pytest.raises(ValueError, match=r'takes finite real numbers \(D, H, W, 1\)'):
            predict(model, array)
    for options, text in (
        (dict(tta='turns'), 'whole volumes are not: use tta="flips"'),
        (dict(value_range='volume'), 'NormaliseIntensity of its config'),
    ):
        with pytest.raises(ValueError, match=text):
            predict(model, np.zeros((9, 9, 9)), **options)


def test_frames_are_channels(tmp_path):
    values = np.random.default_rng(0).random((9, 8, 7, 3)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), tmp_path / '4d.nii.gz')
    model = model_of(config(channels=2, frame=(2, 0)))
    found = predict(model, tmp_path / '4d.nii.gz')
    turned = np.stack([found.file.turn.apply(values[..., n]) for n in (2, 0)], -1)
    assert (predict(model, turned).classes == found.classes).all()
    with pytest.raises(ValueError, match=r'takes the frames \[2, 0\] of a file'):
        predict(model, tmp_path / '4d.nii.gz', frame=1)


def test_volumes_of_a_stream_go_one_by_one(scan, tmp_path):
    predictor = Predictor(model_of(), Wishes(batch_size=8))
    bad = tmp_path / 'bad.nii.gz'
    bad.write_bytes(b'no image')
    sizes = []
    scores = predictor.model.scores
    predictor.model.scores = lambda x, *a: sizes.append(len(x['net'])) or scores(x, *a)
    found = [one for _, one in predictor.stream([Chosen(scan[0]), Chosen(str(bad)), scan[0]])]
    assert sizes == [1, 1] and isinstance(found[1], Exception)
    assert (found[0].classes == found[2].classes).all()


def test_a_folder_with_truth_pictures_and_maps(scan, tmp_path):
    """The command on a bundle-less model: masks, tables, Dice with the truth, three planes."""
    images, truth, out = tmp_path / 'in', tmp_path / 'truth', tmp_path / 'out'
    images.mkdir(), truth.mkdir()
    cfg, weights = tmp_path / 'c.py', tmp_path / 'w.pth'
    config().dump(cfg)
    model = model_of()
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, weights)
    Path(scan[0]).rename(images / 'one.nii.gz')
    predict(model, images / 'one.nii.gz').save(truth / 'one.nii.gz')
    code = (
        f'import sys; sys.path[:0] = [{str(Path(__file__).parents[1])!r}]; import volume_parts; '
        'from mmssl.__main__ import main; main()'
    )
    words = ['predict', cfg, weights, images, out, '--truth', truth, '--overlay', '--uncertainty']
    done = subprocess.run(
        [sys.executable, '-c', code, *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = (out / 'volumes.csv').read_text().splitlines()
    assert [row.split(',')[5] for row in rows[1:]] == ['1', '1'], 'Dice with itself'
    assert (stored(out / 'one.nii.gz') == stored(truth / 'one.nii.gz')).all()
    assert stored(out / '_entropy' / 'one.nii.gz').shape == (17, 14, 12)
    picture = np.asarray(Image.open(out / '_overlays' / 'one.png'))
    assert picture.shape[0] == 3 * (320 + 22) + 22
