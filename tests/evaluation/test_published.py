"""Published numbers: complete, consistent with their own averages, absent without error."""

import numpy as np
import pytest
from mmengine.logging import MessageHub

from mmssl.evaluation import load_published, published, published_dsc

TABLES = [('prostate', 20), ('fundus', 20), ('mnms', 5), ('busi', 64), ('busi', 129)]


@pytest.mark.parametrize(('dataset', 'labels'), TABLES)
def test_means_of_the_labelled_domains_are_the_published_means(dataset, labels):
    table = load_published('synfoc', dataset, labels)
    assert set(table) == {'sam', 'unet'}
    for entry in table.values():
        values = [
            np.mean(list(v.values())) if isinstance(v, dict) else v
            for v in entry['labelled'].values()
        ]
        assert np.mean(values) == pytest.approx(entry['mean']['DSC'], abs=0.0051)
        assert entry['labels'] == labels


def test_values_of_one_labelled_domain():
    found = published_dsc(dict(method='synfoc', labels=20, labelled_domain='Domain1'), 'fundus')
    assert found['unet']['dsc'] == 88.52
    assert found['sam']['parts'] == {'cup': 85.44, 'disc': 93.29}
    bidmc = dict(method='synfoc', dataset='prostate', labels=20, labelled_domain='BIDMC')
    assert published_dsc(bidmc)['sam']['dsc'] == 87.92


def test_labels_of_the_run_go_before_the_option():
    hub = MessageHub.get_instance('published')
    hub.update_info('labelled', dict(domain='malignant', count=129))
    spec = dict(method='synfoc', labels=64, labelled_domain='benign')
    assert published_dsc(spec, 'busi')['sam']['dsc'] == 75.75
    hub.update_info('labelled', dict(domain='malignant', count=40))
    assert published_dsc(spec, 'busi') == {}


def test_absent_numbers_are_no_error(monkeypatch, tmp_path):
    assert load_published('no_such_method', 'prostate') == {}
    assert load_published('synfoc', 'prostate', labels=7) == {}
    assert set(load_published('synfoc', 'prostate')) == {'sam', 'unet'}
    assert load_published('synfoc', 'busi') == {}  # 64 or 129 labels?
    assert published_dsc(None) == {}
    spec = dict(method='synfoc', dataset='prostate', labels=20, labelled_domain='BIDMC')
    monkeypatch.setattr(published, '__file__', str(tmp_path / 'a' / 'b' / 'published.py'))
    assert published_dsc(spec) == {}


def test_metafile_of_an_installed_package_is_found(monkeypatch, tmp_path):
    folder = tmp_path / 'mmssl' / '.mim' / 'configs' / 'other'
    folder.mkdir(parents=True)
    (folder / 'metafile.yml').write_text(
        'Models:\n- Name: a\n  Results:\n  - {Dataset: d, Student: net, Labelled Images: 3,\n'
        '     Metrics: {DSC: 50.0}, Labelled Domain DSC: {X: 51.5}}\n'
    )
    monkeypatch.setattr(
        published, '__file__', str(tmp_path / 'mmssl' / 'evaluation' / 'published.py')
    )
    found = published_dsc(dict(method='other', labels=3, labelled_domain='X'), 'd')
    assert found == {'net': {'dsc': 51.5, 'parts': {}, 'labelled_domain': 'X', 'labels': 3}}
