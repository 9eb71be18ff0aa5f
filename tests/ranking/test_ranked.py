"""From a model and a pool to the ranking: what is measured, what is opened, what is listed."""

import csv
import shutil

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from mmssl.apis import init_model
from mmssl.ranking import Choice, of_config, of_folder, rank, write_page
from mmssl.registry import DATASETS
from tests import tiny
from tests.fake_files import noise, write_nifti, write_png
from tests.volume_parts import volume_config


def order(ranking):
    return [(one.case.domain, one.case.name) for one in ranking.ranked]


def case_of(ranking, domain, name):
    [case] = [
        one.case for one in ranking.ranked if (one.case.domain, one.case.name) == (domain, name)
    ]
    return case


def test_a_case_has_the_uncertainty_of_its_most_uncertain_quarter(model, cfg):
    found = rank(model, of_config(cfg), Choice(2), slices='mean', batch_size=3)
    assert sorted(order(found)) == [('A', '01'), ('A', '02'), *(('B', f'0{n}') for n in range(3))]
    case = case_of(found, 'A', '01')
    entropies, distances = [], []
    for image in case.images:
        data = model.data_preprocessor(pseudo_collate([image.read()]), False)
        with torch.no_grad():
            probs = [
                torch.nn.functional.interpolate(
                    model.predict_logits(data['inputs'], name, teacher).softmax(1),
                    size=(32, 32), mode='bilinear', align_corners=False,
                )[0]
                for name in ('sam', 'unet') for teacher in (False, True)
            ]  # fmt: skip
        mean = sum(probs) / 4
        h = [-(p * p.log()).sum(0).mean() / np.log(2) for p in (mean, *probs)]
        entropies.append(float(h[0]))
        distances.append(float(h[0] - sum(h[1:]) / 4))
    assert case.measures['entropy'] == pytest.approx(np.mean(entropies), rel=1e-5)
    assert case.measures['disagreement'] == pytest.approx(np.mean(distances), rel=1e-3)
    top = rank(model, of_config(cfg), Choice(2), slices='max')
    case = case_of(top, 'A', '01')
    assert case.measures['entropy'] == pytest.approx(max(entropies), rel=1e-5)


def test_the_same_ranking_without_the_masks_of_the_pool(model, cfg, root):
    """And whatever the batch: nothing is drawn, nothing depends on neighbours."""
    before = rank(model, of_config(cfg), Choice(3, 2)).csv()
    for mask in root.rglob('train/mask/*.png'):
        if mask.stem not in ('00_00', '00_01') or mask.parts[-4] != 'A':
            mask.unlink()
    shutil.rmtree(root / 'B' / 'train' / 'mask')
    found = rank(model, of_config(cfg), Choice(3, 2))
    assert found.csv() == before
    assert order(rank(model, of_config(cfg), Choice(3, 2), batch_size=1)) == order(found)


def test_the_list_is_that_of_a_config(model, cfg):
    found = rank(model, of_config(cfg), Choice(2, balance=True))
    given = cfg.train_dataloader.dataset
    given.labelled = dict(domain='all', list=found.names())
    dataset = DATASETS.build(given)
    labelled = {(s.domain, s.case) for s in dataset.samples if s.labelled}
    assert labelled == {('A', '00'), *order(found)[:2]}
    assert dataset.labelled_indices.size == 6, 'all slices of each'
    assert [one.chosen for one in found.ranked] == [True, True, False, False, False]
    again = of_config(cfg)
    assert len(again.waiting()) == 6 and len(again.labelled_cases()) == 3


def test_a_case_that_is_labelled_in_part_is_waiting_with_its_other_images(model, cfg):
    cfg.train_dataloader.dataset.labelled.num = 1
    found = rank(model, of_config(cfg), Choice(1))
    case = case_of(found, 'A', '00')
    assert [image.name for image in case.images] == ['00_01']


def test_distance_is_to_the_nearest_labelled_case(model, cfg, root):
    """A copy of the labelled case is the nearest of all."""
    for index in (0, 1):
        folder = root / 'A' / 'train' / 'image'
        shutil.copy(folder / f'00_0{index}.png', root / 'B/train/image' / f'02_0{index}.png')
    found = rank(model, of_config(cfg), Choice(1), {'distance': 1.0})
    assert order(found)[-1] == ('B', '02')
    values = [one.case.measures['distance'] for one in found.ranked]
    assert values == sorted(values, reverse=True) and values[-1] == pytest.approx(0, abs=1e-4)


def test_an_image_that_cannot_be_read_costs_its_case_alone(model, cfg, root):
    (root / 'B/train/image/01_00.png').write_bytes(b'no image')
    found = rank(model, of_config(cfg), Choice(1))
    assert len(found.ranked) == 4 and [case.name for case in found.failed] == ['01']
    assert '01_00.png' in found.failed[0].error


def test_one_network_has_no_disagreement(cfg):
    cfg.model = dict(type='SupOnly', students=dict(unet=tiny.segmentor()))
    model = init_model(cfg)
    found = rank(model, of_config(cfg), Choice(1))
    assert list(found.weights) == ['entropy', 'distance']
    assert found.notes == ['The model has one network, so that there is no disagreement.']
    with pytest.raises(ValueError, match='one network.* Leave it out of the measures'):
        rank(model, of_config(cfg), Choice(1), {'disagreement': 1.0})


def test_a_config_without_a_pool_is_told(cfg):
    labelled = cfg.train_dataloader.dataset.labelled
    labelled.update(domain='all', num=12)
    with pytest.raises(ValueError, match='All training images of the config are labelled'):
        of_config(cfg)
    cfg.pop('train_dataloader')
    with pytest.raises(ValueError, match='name a folder as POOL'):
        of_config(cfg)


def test_a_folder_has_domains_volumes_and_patients(model, cfg, tmp_path):
    pool = tmp_path / 'pool'
    for number, name in enumerate(('x/p1_a', 'x/p1_b', 'x/p2_a', 'y/p3_a')):
        write_png(pool / f'{name}.png', noise(number))
        write_png(pool / f'{name}_mask.png', noise(number))
    pattern = r'(?P<case>p\d)_.*'
    found = rank(model, of_folder(cfg, pool, case_pattern=pattern), Choice(1))
    assert sorted(order(found)) == [('x', 'p1'), ('x', 'p2'), ('y', 'p3')]
    assert 'distance' not in found.weights and 'No labelled case' in found.notes[-1]
    assert '4 files are called masks' in found.notes[0]
    known = tmp_path / 'known'
    write_png(known / 'p0_a.png', noise(9))
    found = rank(model, of_folder(cfg, pool, known, pattern), Choice(1, 2))
    assert 'distance' in found.weights
    assert found.names()[0] == 'p0_a.png' and len(found.names()) in (2, 3)
    inside = of_folder(cfg, pool, pool / 'x', pattern)
    assert [image.case for image in inside.waiting()] == ['p3'], 'what is labelled is not asked for'
    with pytest.raises(ValueError, match='All images of .* are labelled'):
        of_folder(cfg, pool, pool)


def test_slices_of_a_volume_are_one_case(model, cfg, tmp_path):
    for number in (1, 2):
        volume = noise(number, (3, 20, 24)).astype(np.float32)
        write_nifti(tmp_path / 'pool' / f'scan{number}.nii.gz', volume)
    for layout in (cfg.train_dataloader.dataset, cfg.test_dataloader.dataset):
        layout.value_range = (0, 255)
    found = rank(model, of_folder(cfg, tmp_path / 'pool'), Choice(1), pictures=1)
    assert [len(one.case.images) for one in found.ranked] == [3, 3]
    assert found.names() == [found.ranked[0].case.name]
    assert ', slice ' in found.ranked[0].case.pictures[0].name


@pytest.mark.parametrize(
    'options, said',
    [
        (dict(case_pattern='('), 'is no regular expression'),
        (dict(case_pattern='.*'), 'has no group "case"'),
        (dict(case_pattern='(?P<case>q).*'), 'does not fit --case-pattern'),
        (dict(labelled='nowhere'), '"nowhere" is no folder'),
    ],
    ids=lambda value: '',
)
def test_what_is_wrong_with_a_folder_is_told(cfg, tmp_path, options, said):
    write_png(tmp_path / 'pool' / 'p1.png', noise(0))
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        of_folder(cfg, tmp_path / 'pool', **options)


def test_the_page_shows_names_as_text_in_the_order_of_the_ranking(model, cfg, tmp_path):
    odd = ['<b>&"é', "it's"]
    for number, name in enumerate(odd):
        write_png(tmp_path / 'pool' / f'{name}.png', noise(number))
    found = rank(model, of_folder(cfg, tmp_path / 'pool'), Choice(1), pictures=2)
    write_page(tmp_path / 'page.html', 'a <title>', found, 1)
    text = (tmp_path / 'page.html').read_text()
    assert text.count('<article class="next">') == 1 and text.count('<article') == 1
    assert text.count('data:image/jpeg;base64,') == 1 and 'src="http' not in text
    assert '<b>' not in text and 'a &lt;title&gt;' in text and '<script' not in text
    assert '&lt;b&gt;&amp;&quot;é.png' in text and 'it&#x27;s.png' in text
    rows = list(csv.DictReader(found.csv().splitlines()))
    assert [row['case'] for row in rows] == [name for _, name in order(found)]
    assert [row['next'] for row in rows] == ['yes', 'no']


def test_unlabelled_images_alone_are_the_pool_of_a_wrapped_set(cfg):
    inner = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=inner)
    assert len(of_config(cfg).waiting()) == 10
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[inner])
    with pytest.raises(ValueError, match='ConcatDataset; a MixedDomainDataset can be ranked'):
        of_config(cfg)


def test_whole_volumes_are_ranked_by_their_windows(tmp_path):
    torch.manual_seed(0)
    model = init_model(volume_config())
    for weight in model.teachers.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    for number, folder in enumerate(('known', 'pool', 'pool')):
        volume = noise(number, (9, 12, 11)).astype(np.float32)
        write_nifti(tmp_path / folder / f'scan{number}.nii.gz', volume)
    pool = of_folder(model.cfg, tmp_path / 'pool', tmp_path / 'known')
    found = rank(model, pool, Choice(1), pictures=1)
    assert list(found.weights) == ['disagreement', 'entropy', 'distance']
    assert [len(one.case.images) for one in found.ranked] == [1, 1]
    assert all(0 < value < 30 for one in found.ranked for value in one.case.measures.values())
    assert found.ranked[0].case.pictures[0].jpeg[:2] == b'\xff\xd8'
    assert found.names()[0] == 'scan0.nii.gz' and len(found.names()) == 2
