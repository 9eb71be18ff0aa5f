"""From an image to its mask: which networks are asked, how often, and what is made of it."""

import threading
import time

import nibabel
import numpy as np
import pytest
import torch
from identity import GREY, IdentityModel, config, labels
from PIL import Image

from mmssl.apis import inference_model, init_model, predict
from mmssl.apis.prediction import Chosen, Predictor, Size, Wishes
from mmssl.apis.prediction.background import ahead
from mmssl.apis.prediction.cleaning import Cleaning
from mmssl.apis.prediction.networks import (
    TURNS,
    Network,
    choose_networks,
    disagreement,
    entropy,
    turn,
    turn_back,
)
from tests import tiny

CLASSES = labels((12, 10))


@pytest.fixture
def volume(tmp_path):
    classes = labels((6, 5, 7))
    image = nibabel.Nifti1Image(classes * GREY, np.diag([0.5, 0.5, 4, 1]))
    nibabel.save(image, tmp_path / 'v.nii.gz')
    return str(tmp_path / 'v.nii.gz'), classes


def test_only_the_network_that_is_asked_for_runs():
    model = IdentityModel()
    found = predict(model, CLASSES * GREY)
    assert (found.classes == CLASSES).all() and found.classes.dtype == np.uint8
    assert model.asked == [('a', False, 1)]
    for options, asked in (
        (dict(student='b'), [('b', False, 1)]),
        (dict(teacher=True), [('a', True, 1)]),
        (dict(ensemble=True), [('a', False, 1), ('b', False, 1)]),
        (dict(uncertainty=True), [('a', False, 1), ('b', False, 1), ('a', True, 1)]),
        (dict(tta='flips'), [('a', False, 1)] * 4),
    ):
        model.asked.clear()
        predict(model, CLASSES * GREY, **options)
        assert model.asked == asked, options


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(student='c'), r'no student "c" \(students: a, b; teachers: a\)'),
        (dict(student='b', teacher=True), 'Student "b" has no teacher'),
        (dict(student='b', ensemble=True), 'leave out student'),
        (dict(teacher=True, ensemble=True), 'no two networks'),
        (dict(tta='some'), 'known: none, flips, turns, all'),
        (dict(batch_size=0), 'at least 1'),
        (dict(cleaning=Cleaning(largest=['lung'])), 'no part "lung".*liver, tumour'),
        (dict(tta='turns'), 'not square.*flips'),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        predict(IdentityModel(), CLASSES * GREY, **options)


def test_a_model_without_teachers_has_none_to_ask():
    model = IdentityModel()
    model.teachers = {}
    with pytest.raises(ValueError, match='no teacher.*ask its student'):
        choose_networks(model, teacher=True)


def test_slices_of_all_images_share_the_batches(volume):
    model = IdentityModel(config(8))
    path, classes = volume
    images = [CLASSES * GREY, path, path]
    found = [one for _, one in Predictor(model, Wishes(batch_size=4)).stream(images)]
    assert [n for _, _, n in model.asked] == [4, 4, 4, 3]
    assert found[0].classes.shape == CLASSES.shape
    for one in found[1:]:
        assert (one.file.restore(one.classes) == classes).all()


def test_images_of_different_sizes_are_no_batch(volume):
    path, classes = volume
    found = [one for _, one in Predictor(IdentityModel(), Wishes()).stream([CLASSES * GREY, path])]
    assert (found[0].classes == CLASSES).all()
    assert (found[1].file.restore(found[1].classes) == classes).all()


def test_one_bad_image_does_not_stop_the_others(volume, tmp_path):
    path, _ = volume
    (tmp_path / 'bad.nii.gz').write_bytes(b'nothing')
    images = [path, str(tmp_path / 'bad.nii.gz'), str(tmp_path / 'gone.png'), CLASSES * GREY]
    found = [one for _, one in Predictor(IdentityModel(), Wishes(batch_size=3)).stream(images)]
    assert [isinstance(one, Exception) for one in found] == [False, True, True, False]
    assert 'bad.nii.gz' in str(found[1]) and 'gone.png' in str(found[2])
    with pytest.raises(FileNotFoundError, match='gone.png'):
        predict(IdentityModel(), tmp_path / 'gone.png')


def test_a_volume_that_breaks_half_way_gives_no_mask(volume, monkeypatch):
    path, _ = volume
    predictor = Predictor(IdentityModel(), Wishes(batch_size=2))
    prepared = type(predictor.pipeline).__call__

    def breaks(self, results):
        if results['index'] == 3:
            raise OSError('cut short')
        return prepared(self, results)

    monkeypatch.setattr(type(predictor.pipeline), '__call__', breaks)
    [(_, found), (_, other)] = predictor.stream([path, CLASSES * GREY])
    assert isinstance(found, OSError) and (other.classes == CLASSES).all()


@pytest.mark.parametrize('size', [16, 24, 31])
def test_a_resized_image_is_undone_exactly(size):
    """A network of a larger grid gives the mask back to the pixel, on the grid it was made on."""
    model = IdentityModel(config(size, 'zoom'))
    assert (predict(model, CLASSES * GREY).classes == CLASSES).all()
    assert (predict(model, CLASSES * GREY, tta='all').classes == CLASSES).all()


def test_smooth_edges_come_of_probabilities():
    blob = np.zeros((64, 64), np.uint8)
    blob[16:48, 16:48] = 1
    small = IdentityModel(config(8))
    stepped, smooth = (predict(small, blob * GREY, smooth=s).classes for s in (False, True))
    wrong = [int((one != blob).sum()) for one in (stepped, smooth)]
    assert wrong[1] < wrong[0]


def test_sizes_parts_and_place(volume):
    path, classes = volume
    found = predict(IdentityModel(), path)
    assert found.spacing == (4, 0.5, 0.5)
    tumour, liver = (classes == 2).sum(), (classes > 0).sum()
    assert found.sizes()['tumour'] == Size(int(tumour), None, tumour / 1000)
    assert found.sizes()['liver'].volume_ml == liver / 1000
    assert (found.parts['liver'] == (found.classes > 0)).all()
    for z, y, x in np.argwhere(found.classes == 2)[:5]:
        at = found.affine @ [x, y, z, 1]
        index = np.linalg.inv(np.diag([0.5, 0.5, 4, 1])) @ at
        assert classes[tuple(np.rint(index[:3]).astype(int))] == 2
    flat = predict(IdentityModel(), CLASSES * GREY)
    assert flat.sizes()['tumour'] == Size(int((CLASSES == 2).sum()), None, None)


def test_uncertainty_is_where_the_networks_differ():
    found = predict(IdentityModel(), CLASSES * GREY, uncertainty=True, probabilities=True)
    assert found.probabilities.shape == (3, *CLASSES.shape)
    assert np.allclose(found.probabilities.astype(float).sum(0), 1, atol=2e-3)
    inside = CLASSES > 0
    assert found.disagreement[inside].min() > 0.1 > 0.01 > found.disagreement[~inside].max()
    assert 0 <= found.entropy.min() and found.entropy.max() < 0.1
    alone = IdentityModel()
    alone.image_students, alone.teachers = ['a'], {}
    assert predict(alone, CLASSES * GREY, uncertainty=True).disagreement is None


def test_measures_of_uncertainty():
    sure = torch.eye(3)[:2, :, None, None]
    assert entropy(torch.full((3, 1, 1), 1 / 3)).item() == pytest.approx(1)
    assert entropy(sure[0]).item() == 0
    assert disagreement([*sure]).item() == pytest.approx(1)
    assert disagreement([sure[0], sure[0]]).item() == 0


@pytest.mark.parametrize('name', TURNS)
def test_turns_are_undone_and_all_different(name):
    x = torch.arange(16.0).view(1, 1, 4, 4)
    turned = [turn(x, *way) for way in TURNS[name]]
    assert all(
        torch.equal(turn_back(t, *way), x) for t, way in zip(turned, TURNS[name], strict=True)
    )
    assert len({tuple(t.flatten().tolist()) for t in turned}) == len(TURNS[name])


def test_cleaning_of_parts_within_each_other():
    mask = np.zeros((12, 12), np.uint8)
    mask[1:8, 1:8] = 1
    mask[2:5, 2:5] = 2
    mask[6, 6] = 0  # a hole
    mask[6, 2] = 2  # a speck of tumour in the liver
    mask[10, 10] = 2  # and one outside
    parts = {'liver': [1, 2], 'tumour': [2]}
    largest = Cleaning(largest=['all'])(mask, parts, None)
    assert largest[6, 2] == 1 and largest[10, 10] == 0 and largest[6, 6] == 0
    filled = Cleaning(fill_holes=['liver'])(mask, parts, None)
    assert filled[6, 6] == 1 and filled[10, 10] == 2 and (filled != mask).sum() == 1
    sized = Cleaning(min_size={'tumour': 4.0})(mask, parts, (2.0, 1.5))
    assert sized[10, 10] == sized[6, 2] == 1 and (sized == 2).sum() == 9, 'it stays liver'
    assert (Cleaning(min_size={'tumour': 3.0})(mask, parts, (2.0, 1.5)) == mask).all()
    assert not (Cleaning(min_size={'all': 1e6})(mask, parts, (2.0, 1.5))).any()


def test_the_largest_component_is_of_the_volume(volume, tmp_path):
    classes = np.zeros((6, 6, 6), np.uint8)
    classes[1:3, 1:3, :] = 1  # thin in each slice, long across them
    classes[4:6, 3:6, 2] = 1
    nibabel.save(nibabel.Nifti1Image(classes * GREY, np.eye(4)), tmp_path / 'c.nii')
    found = predict(IdentityModel(), str(tmp_path / 'c.nii'), cleaning=Cleaning(largest=['liver']))
    kept = found.file.restore(found.classes)
    assert kept[1:3, 1:3].all() and not kept[4:6, 3:6, 2].any()


def test_series_of_a_folder_are_chosen_one_by_one(tmp_path):
    from fake_dicom import write_series

    (tmp_path / 'study').mkdir()
    for number, seed in ((3, 1), (4, 2)):
        painted = labels((5, 6, 4), seed).astype(np.int16) * GREY
        folder = write_series(
            tmp_path / f'{number}', painted, np.diag([-1.0, -1, 1, 1]), SeriesNumber=number,
            SeriesDescription=f'scan {number}', SeriesInstanceUID=f'1.2.{number}',
        )  # fmt: skip
        for file in folder.iterdir():
            file.rename(tmp_path / 'study' / f'{number}_{file.name}')
    predictor = Predictor(IdentityModel(), Wishes())
    both = [Chosen(str(tmp_path / 'study'), f'1.2.{number}') for number in (3, 4)]
    first, second = (found for _, found in predictor.stream(both))
    assert (first.classes.sum(), second.classes.sum()) == (
        labels((5, 6, 4), 1).sum(),
        labels((5, 6, 4), 2).sum(),
    )
    with pytest.raises(ValueError, match='scan 3'):
        predict(IdentityModel(), str(tmp_path / 'study'))


def test_real_networks_say_what_inference_model_says(tmp_path):
    cfg = config(32, 'bilinear')
    cfg.model = tiny.synfoc(primary='unet')
    dataset = cfg.test_dataloader.dataset
    dataset.label_map, dataset.metainfo = {0: 0, 255: 1}, dict(classes=('background', 'organ'))
    model = init_model(cfg)
    image = np.random.default_rng(0).integers(0, 255, (48, 40), dtype=np.uint8)
    expected = inference_model(model, image)[0]
    for name in ('unet', 'sam'):
        found = predict(model, image, student=name).classes
        assert (found == expected.get(f'pred_{name}').data[0].numpy()).all()
    weights = [m.weight for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    inner = [w.is_contiguous(memory_format=torch.channels_last) for w in weights]
    assert inner and all(inner), 'three times as fast in half precision on a CPU'
    networks = choose_networks(model, ensemble=True)
    assert {*networks} == {Network('unet'), Network('sam')}
    assert predict(model, image, ensemble=True, uncertainty=True).disagreement.max() > 0


def test_ahead_keeps_order_raises_and_ends():
    started = threading.active_count()

    def numbers():
        yield from range(5)
        raise KeyError('five')

    found = []
    with pytest.raises(KeyError, match='five'):
        for number in ahead(numbers(), 2):
            found.append(number)
    assert found == [0, 1, 2, 3, 4]
    endless = ahead(iter(int, 1), 2)
    assert next(endless) == 0
    endless.close()
    until = time.monotonic() + 5
    while threading.active_count() > started and time.monotonic() < until:
        time.sleep(0.02)
    assert threading.active_count() <= started


def test_raw_files_and_a_model_of_prepared_images(volume, tmp_path):
    path, classes = volume
    raw = nibabel.Nifti1Image(classes.astype(np.int16) * 500 - 300, np.diag([0.5, 0.5, 4, 1]))
    nibabel.save(raw, tmp_path / 'raw.nii.gz')
    model = IdentityModel()
    for value_range in ((-300, 255 * 500 / GREY - 300), 'volume'):
        model.cfg.test_dataloader.dataset.value_range = (0, 1)
        with pytest.raises(ValueError, match='value_range'):
            predict(model, str(tmp_path / 'raw.nii.gz'))
        found = predict(model, str(tmp_path / 'raw.nii.gz'), value_range=value_range)
        kept = found.file.restore(found.classes)
        assert (kept[classes == 0] == 0).all() and (kept[classes == 2] == 2).all()
    with pytest.raises(ValueError, match='low < high'):
        predict(model, path, value_range=(3, 1))


def test_what_is_far_from_the_training_data_is_noted(tmp_path):
    domain = dict(
        height=[12, 12, 12], width=[10, 10, 10], spacing=None, contrast=[100.0, 100.0, 100.0],
        intensity=dict(p1=[0.0, 0.0, 0.0], p99=[1.0, 1.0, 1.0]),
    )  # fmt: skip
    model = IdentityModel()
    model.bundle = {'data': dict(domains=dict(site=domain), channels=[1], per_file=False)}

    def notes(path, **options):
        return ' '.join(predict(model, path, **options).notes)

    path = str(tmp_path / 'a.png')
    Image.fromarray(CLASSES * GREY).save(path)
    assert 'far from the training data' in notes(path) and 'intensities' in notes(path)
    assert notes(path, value_range='volume') == '', 'those of raw files are others'
    Image.fromarray(np.kron(CLASSES * GREY, np.ones((9, 9), np.uint8))).save(path)
    assert 'its height is 108 px' in notes(path, value_range='volume')
    assert predict(model, CLASSES * GREY).notes == []
