"""What a bundle says of its model, of the data it has learnt from, and of what it needs."""

import importlib
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from bundle_parts import config, mean_teacher, synfoc, write_checkpoint
from mmengine.config import ConfigDict

from mmssl.__main__ import main
from mmssl.apis import init_model, publish
from mmssl.bundles import BundleError, channels_of, describe, far_from_training, read_card
from mmssl.bundles.card import About
from mmssl.bundles.data import summarise, training_dataset
from mmssl.bundles.networks import Choice
from mmssl.datasets.phantom.slices import PhantomSettings, write_phantom
from mmssl.registry import MODELS
from mmssl.utils import packaged
from mmssl.utils.errors import SettingError
from tests import tiny

PLUG_IN = """
from mmseg.models.backbones import UNet

from mmssl.registry import MODELS


@MODELS.register_module()
class NetFromOutside(UNet):
    pass
"""


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Write two domains; return the config of a training on them, 3 images labelled."""
    root = tmp_path_factory.mktemp('data') / 'phantom'
    domains = ('ScannerA', 'ScannerB')
    sizes = dict(train_cases=2, train_slices=4, test_cases=1, test_slices=2)
    write_phantom(root, PhantomSettings(domains=domains, size=48, **sizes), progress=False)
    return ConfigDict(
        type='MixedDomainDataset',
        data_root=str(root),
        domains=list(domains),
        label_map={0: 0, 255: 1},
        case_pattern=r'(?P<case>\d+)_(?P<slice>\d+)',
        spacing=(0.5, 0.6),
        labelled=dict(domain='ScannerA', num=3),
        prepare=[dict(type='LoadImage')],
        pipeline=[dict(type='PackSemiInputs')],
    )


@pytest.fixture(scope='module')
def measured(data):
    return summarise(training_dataset(dict(train_dataloader=dict(dataset=data))), show=False)


def test_the_training_data_are_measured(measured):
    assert list(measured['domains']) == ['ScannerA', 'ScannerB'] and measured['channels'] == [1]
    one, two = measured['domains'].values()
    assert (one['images'], one['labelled'], one['cases']) == (8, 3, 2) and two['labelled'] == 0
    assert one['height'] == one['width'] == [48, 48, 48]
    assert one['spacing'] == [[0.5] * 3, [0.6] * 3]
    low, high = one['intensity']['p1'], one['intensity']['p99']
    assert 0 <= low[0] <= low[1] <= low[2] < high[0] <= high[2] <= 255


@pytest.mark.parametrize(
    'change, words',
    [
        ({}, None),
        (dict(spacing=None, intensities=None, channels=None), None),
        (dict(spacing=(3.0, 0.5, 0.6), shape=(10, 48, 48)), None),  # the slices of a volume
        (dict(shape=(200, 48)), 'its height is 200 px (there 48 to 48)'),
        (dict(shape=(48, 20)), 'its width is 20 px'),
        (dict(spacing=(0.5, 2.0)), 'its pixels are 2 mm (there 0.5 to 0.6)'),
        (dict(intensities=np.linspace(-1000, 1000, 99)), 'its intensities are -980'),
        (dict(intensities=np.linspace(0, 1, 99)), 'its intensities are 0.01 to 0.99'),
        (dict(channels=3), 'it has 3 channels (there 1)'),
        (dict(shape=(200, 48), channels=3), '(there 48 to 48); it has 3'),
    ],
)
def test_an_input_far_from_the_training_is_said(measured, change, words):
    image = np.linspace(10, 200, 48 * 48).reshape(48, 48)
    near = dict(spacing=(0.5, 0.5), shape=image.shape, intensities=image, channels=1)
    said = far_from_training(dict(data=measured), **{**near, **change})
    assert said is None if words is None else words in said and '\n' not in said


def test_nothing_is_far_from_what_is_not_known(measured):
    assert far_from_training(dict(data=None), (9, 9), (9, 9), None, 3) is None
    per_file = dict(data={**measured, 'per_file': True})
    assert far_from_training(per_file, None, (48, 48), np.linspace(0, 1, 9), 1) is None


def test_equal_channels_are_grey():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert [channels_of(x) for x in (grey, grey[..., None], np.stack([grey] * 3, -1))] == [1] * 3
    assert channels_of(np.arange(36).reshape(3, 4, 3)) == 3


def test_card_and_file_say_everything_but_where_it_was_trained(data, tmp_path):
    cfg = config(synfoc())
    write_checkpoint(synfoc(), tmp_path / 'model.pth')
    cfg.train_dataloader = dict(dataset=data)
    entry = dict(mean=dict(DSC=81.5), domains=dict(siteA=dict(mean=dict(DSC=81.5))))
    images = [dict(key='/some/where/1.png')]
    results = dict(students=dict(unet=entry), protocol=dict(per='slice'), images=images)
    (tmp_path / 'scores.json').write_text(json.dumps(results))
    about = About('Mine', 'For nothing.', 'CC-BY-4.0', 'Me, 2026')
    publish(
        cfg, tmp_path / 'model.pth', tmp_path / 'x.mmssl', Choice('unet'), about,
        scores=tmp_path / 'scores.json',
    )  # fmt: skip
    card = read_card(tmp_path / 'x.mmssl')
    assert card['name'] == 'Mine' and card['method'] == 'SynFoC' and card['lora'] is None
    (network,) = card['networks']
    assert network['student'] == 'unet' and not network['teacher'] and network['parameters'] > 100
    assert card['parts'] == {'organ': [1]} and card['palette'][1] == [9, 8, 7]
    assert card['data']['domains']['ScannerB']['images'] == 8
    assert card['scores']['test']['students']['unet']['mean'] == {'DSC': 81.5}
    assert card['scores']['validation'] == {'iteration': 5, 'metrics': {'unet/DSC': 80.0}}
    assert card['training']['iterations'] == 6 and card['training']['seed'] == 3
    with zipfile.ZipFile(tmp_path / 'x.mmssl') as archive:
        text = b''.join(archive.read(name) for name in archive.namelist() if 'json' in name)
    for secret in ('some/where', str(tmp_path), data.data_root, 'secret', 'students.sam'):
        assert secret.encode() not in text
    words = describe(card, 'abc')
    for one in ('Mine', 'For nothing.', 'UNet + FCNHead', 'CC-BY-4.0', 'Me, 2026', '#090807',
                'ScannerA', '0.5 x 0.6', '81.50', '80.00', 'ResizeSquare', 'abc'):  # fmt: skip
        assert one in words


def test_commands(tmp_path, monkeypatch, capsys):
    cfg = write_checkpoint(mean_teacher(), tmp_path / 'model.pth')
    cfg.dump(tmp_path / 'cfg.py')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packaged, '_started', [])

    def mmssl(*words):
        monkeypatch.setattr(sys, 'argv', [])
        main(words)
        return capsys.readouterr().out

    said = mmssl('publish', 'cfg.py', 'model.pth', 'a b.mmssl', '--teacher', '--name', 'Nice')
    assert said.splitlines()[-1].startswith('Wrote a b.mmssl (')
    shown = mmssl('info', 'a b.mmssl')
    assert shown.startswith('Nice\n====\n') and 'teacher unet' in shown
    assert json.loads(mmssl('info', 'a b.mmssl', '--json')) == read_card('a b.mmssl')
    with pytest.raises(SystemExit, match='1'):
        mmssl('publish', 'cfg.py', 'model.pth', 'b.mmssl', '--student', 'sam')
    assert 'has no student "sam"' in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob('*.mmssl')] == ['a b.mmssl']


def test_a_card_of_others_steers_no_terminal(trained, tmp_path):
    cfg, path = trained(mean_teacher())
    card = publish(cfg, path, tmp_path / 'x.mmssl', about=About('\x1b[2J'), with_data=False)
    assert describe(card, 'abc').startswith('?[2J\n')
    with pytest.raises(BundleError, match="not as mmssl publish writes it .*'networks'"):
        describe({'method': 'x'}, 'abc')


def test_info_needs_no_network():
    code = 'import sys, mmssl.bundles; assert not {"torch", "mmengine"} & set(sys.modules)'
    subprocess.run([sys.executable, '-c', code], check=True)


def test_a_network_from_outside_is_imported_by_the_user(tmp_path, monkeypatch):
    (tmp_path / 'net_from_outside.py').write_text(PLUG_IN)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module('net_from_outside')
    model = mean_teacher()
    model['students']['unet'] = tiny.segmentor(norm=tiny.GN)
    model['students']['unet']['backbone'].update(type='NetFromOutside')
    cfg = write_checkpoint(model, tmp_path / 'model.pth')
    publish(cfg, tmp_path / 'model.pth', tmp_path / 'x.mmssl', with_data=False)
    del sys.modules['net_from_outside'], MODELS.module_dict['NetFromOutside']
    with pytest.raises(BundleError, match='"net_from_outside".*import that module first'):
        init_model(tmp_path / 'x.mmssl')
    assert 'net_from_outside' not in sys.modules
    try:
        importlib.import_module('net_from_outside')
        net = init_model(tmp_path / 'x.mmssl').students['unet'].backbone
        assert type(net).__name__ == 'NetFromOutside'
    finally:
        MODELS.module_dict.pop('NetFromOutside', None)


def test_what_cannot_be_published_is_said(trained, tmp_path):
    cfg, path = trained(synfoc())
    out = tmp_path / 'x.mmssl'

    def fails(words, choice, name=out, **options):
        with pytest.raises(SettingError, match=words):
            publish(cfg, path, name, choice, with_data=False, **options)
        assert not out.exists() and not list(tmp_path.glob('.*'))

    fails('x.zip', None, name=tmp_path / 'x.zip')
    fails('has no student "net".*sam, unet', Choice('net'))
    fails('names one network', Choice('sam', everything=True))
    fails('share one trunk', Choice(teacher=True, everything=True))
    fails('lora is "both"', Choice(lora='both'))
    fails('no file of tools/test.py --out', None, scores=path)
