"""Many images into a folder: names, tables, what is done, what failed."""

import csv
import json

import cv2
import nibabel
import numpy as np
import pytest
from fake_dicom import write_series
from identity import GREY, IdentityModel, labels
from PIL import Image

from mmssl.apis.prediction import Predictor, Wishes
from mmssl.apis.prediction.folder import (
    Extras,
    PredictionFolder,
    output_names,
    overlap,
    signature,
)
from mmssl.apis.prediction.inputs import find_items

FLAT, SOLID = labels((12, 10)), labels((6, 5, 4))


@pytest.fixture
def scans(tmp_path):
    """Write a picture, a nested volume, a series, a file that is none and a broken one."""
    root = tmp_path / 'scans'
    (root / 'deep' / 'er').mkdir(parents=True)
    Image.fromarray(FLAT * GREY).save(root / 'a.png')
    image = nibabel.Nifti1Image(SOLID * GREY, np.diag([1.0, 1, 2, 1]))
    nibabel.save(image, root / 'deep' / 'er' / 'v.nii.gz')
    write_series(root / 'mr', SOLID.astype(np.int16) * GREY, np.diag([-1.0, -1, 2, 1]))
    (root / 'notes.pdf').write_bytes(b'%PDF')
    return root


def folder(scans, out, model=None, extras=None, **wishes):
    items = find_items(scans, out)
    predictor = Predictor(model or IdentityModel(), Wishes(**wishes))
    return PredictionFolder(out, predictor, items, extras or Extras(), {'model': 'm'})


def rows(out):
    return list(csv.DictReader((out / 'volumes.csv').open()))


def test_a_folder_with_all_that_is_in_it(scans, tmp_path):
    out = tmp_path / 'out'
    work = folder(scans, out)
    assert [item.name for item in work.items] == ['a.png', 'deep/er/v.nii.gz', 'mr']
    seen = []
    assert work.run(seen.append) == {} and sum(seen) == 1 + 4 + 4
    assert (np.asarray(Image.open(out / 'a.png')) == FLAT).all()
    mask = nibabel.load(out / 'deep/er/v.nii.gz')
    assert (np.asarray(mask.dataobj) == SOLID).all()
    assert (out / 'mr.dcm').exists() and (out / 'labels.json').exists()
    assert 'tumour' in (out / 'labels.txt').read_text()
    found = {(row['image'], row['part']): row for row in rows(out)}
    tumour = found['deep/er/v.nii.gz', 'tumour']
    assert float(tumour['volume_ml']) == pytest.approx((SOLID == 2).sum() * 2 / 1000)
    assert tumour['spacing_mm'] == '2x1x1' and found['a.png', 'liver']['volume_ml'] == ''
    assert '3 of 3' in work.summary()


def test_what_is_done_is_not_done_again(scans, tmp_path):
    out = tmp_path / 'out'
    folder(scans, out).run()
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*.*') if path.suffix != '.csv'}
    model = IdentityModel()
    again = folder(scans, out, model)
    assert again.waiting() == [] and again.run() == {} and model.asked == []
    for path, when in before.items():
        assert path.stat().st_mtime_ns == when or path.name in ('labels.json', 'labels.txt')
    assert len(rows(out)) == 6
    Image.fromarray(np.rot90(FLAT) * GREY).save(scans / 'a.png')
    (out / 'deep/er/v.nii.gz').unlink()
    assert [item.name for item in folder(scans, out).waiting()] == ['a.png', 'deep/er/v.nii.gz']


def test_an_interrupted_run_goes_on(scans, tmp_path):
    out = tmp_path / 'out'

    class Stops(IdentityModel):
        def scores(self, *args):
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().scores(*args)

    with pytest.raises(KeyboardInterrupt):
        folder(scans, out, Stops(), batch_size=2).run()
    record = out / 'predictions.jsonl'
    assert len(record.read_text().splitlines()) == 2, 'the settings and one image'
    with record.open('a') as file:
        file.write('{"name": "deep/er/v.nii.gz", "signa')  # killed half-way through a line
    work = folder(scans, out)
    assert [item.name for item in work.waiting()] == ['deep/er/v.nii.gz', 'mr']
    assert work.run() == {} and folder(scans, out).waiting() == []
    assert len(rows(out)) == 6


def test_other_settings_are_refused_or_thrown_away(scans, tmp_path):
    out = tmp_path / 'out'
    folder(scans, out).run()
    with pytest.raises(ValueError, match="with tta 'none', now it is 'flips'.*--overwrite"):
        folder(scans, out, tta='flips')
    folder(scans, out, batch_size=2)
    anew = folder(scans, out, extras=Extras(overwrite=True), tta='flips')
    assert len(anew.waiting()) == 3 and anew.run() == {}


def test_failed_images_are_named_and_tried_again(scans, tmp_path):
    (scans / 'b.png').write_bytes(b'no picture')
    out = tmp_path / 'out'
    failed = folder(scans, out).run()
    assert list(failed) == ['b.png'] and 'b.png' in failed['b.png']
    assert (out / 'a.png').exists() and not (out / 'b.png').exists()
    assert [item.name for item in folder(scans, out).waiting()] == ['b.png']


def test_a_mask_never_overwrites_an_image(scans):
    before = signature(str(scans / 'a.png'))
    items = find_items(scans / 'a.png')
    work = PredictionFolder(scans, Predictor(IdentityModel(), Wishes()), items, Extras(), {})
    failed = work.run()
    assert 'would overwrite the image' in failed['a.png']
    assert signature(str(scans / 'a.png')) == before


def test_the_output_folder_is_no_input(scans):
    folder(scans, scans / 'masks').run()
    names = [item.name for item in find_items(scans, scans / 'masks')]
    assert names == ['a.png', 'deep/er/v.nii.gz', 'mr']


def test_masks_beside_are_compared(scans, tmp_path):
    truth = tmp_path / 'truth'
    (truth / 'deep' / 'er').mkdir(parents=True)
    wrong = FLAT.copy()
    wrong[FLAT == 2] = 1
    Image.fromarray(wrong * GREY).save(truth / 'a.png')
    mirrored = np.diag([-1.0, 1, 2, 1])
    mirrored[0, 3] = SOLID.shape[0] - 1
    nibabel.save(
        nibabel.Nifti1Image(SOLID[::-1].copy() * GREY, mirrored), truth / 'deep' / 'er' / 'v.nii'
    )
    out = tmp_path / 'out'
    failed = folder(scans, out, extras=Extras(truth=truth)).run()
    assert list(failed) == ['mr'] and 'no mask for "mr"' in failed['mr']
    found = {(row['image'], row['part']): row['dice'] for row in rows(out)}
    assert found['a.png', 'liver'] == '1' and found['a.png', 'tumour'] == '0'
    assert found['deep/er/v.nii.gz', 'tumour'] == '1', 'by geometry, not by the order of voxels'
    assert overlap(np.zeros(3, bool), np.zeros(3, bool)) is None


def test_maps_and_pictures(scans, tmp_path):
    out = tmp_path / 'out'
    work = folder(scans, out, extras=Extras(overlay=True), probabilities=True, uncertainty=True)
    assert work.run() == {}
    for kind in ('probabilities', 'entropy', 'disagreement'):
        assert (out / f'_{kind}' / 'a.tif').exists()
        assert (out / f'_{kind}' / 'deep' / 'er' / 'v.nii.gz').exists()
    picture = cv2.imread(str(out / '_overlays' / 'deep' / 'er' / 'v.png'))
    assert picture.shape[0] > 2 * 320, 'four slices in two rows'
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
    assert cv2.imread(str(out / '_overlays' / 'mr.png')) is not None


def test_names_stay_apart(tmp_path):
    for name in ('a.png', 'a.jpg', 'A.bmp', 'x y.png'):
        Image.fromarray(FLAT * GREY).save(tmp_path / name)
    names = output_names(find_items(tmp_path))
    assert len({name.casefold() for name in names.values()}) == 4
    assert names['x y.png'] == 'x%20y' and names['a.png'] == 'a.png'


def test_lists_are_relative_to_themselves_and_stay_in_the_folder(scans, tmp_path):
    lists = tmp_path / 'lists'
    lists.mkdir()
    (lists / 'some.txt').write_text('# two\n../scans/a.png\n\n../scans/mr\n')
    items = find_items(lists / 'some.txt')
    assert [item.name for item in items] == ['../scans/a.png', '../scans/mr/mr']
    assert list(output_names(items).values()) == ['scans/a', 'scans/mr/mr']
    (lists / 'bad.txt').write_text('a.png\n')
    with pytest.raises(FileNotFoundError, match='line 1 of'):
        find_items(lists / 'bad.txt')
    with pytest.raises(FileNotFoundError, match='does not exist'):
        find_items(tmp_path / 'nowhere')
    with pytest.raises(ValueError, match='holds no image'):
        find_items(lists)


def test_the_record_is_plain_json(scans, tmp_path):
    out = tmp_path / 'out'
    folder(scans, out).run()
    first, *others = (json.loads(line) for line in (out / 'predictions.jsonl').open())
    assert first['model'] == 'm' and first['tta'] == 'none' and 'batch_size' not in first
    assert {entry['name'] for entry in others} == {'a.png', 'deep/er/v.nii.gz', 'mr'}
