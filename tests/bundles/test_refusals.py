"""What is in a file that is no bundle is neither run nor believed."""

import hashlib
import json
import pickle
import struct
import sys
import zipfile

import pytest
from bundle_parts import mean_teacher, write_checkpoint

from mmssl.apis import init_model, publish
from mmssl.bundles import BundleError

STUDENT = ('model', 'students', 'unet')
DATASET = ('test_dataloader', 'dataset')


class Evil:
    """Leaves a file where it is unpickled."""

    def __reduce__(self):
        return open, ('harmed', 'w')


@pytest.fixture(scope='module')
def good(tmp_path_factory):
    """Publish one model for all tests; return name to content of its members."""
    folder = tmp_path_factory.mktemp('good')
    cfg = write_checkpoint(mean_teacher(), folder / 'model.pth')
    publish(cfg, folder / 'model.pth', folder / 'x.mmssl', with_data=False)
    with zipfile.ZipFile(folder / 'x.mmssl') as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def bad(good, tmp_path, monkeypatch):
    """Return a function that writes a file with other members and the checksums that they have."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(changes=None, honest=True, compression=zipfile.ZIP_STORED):
        members = {**good, **(changes or {})}
        if honest:
            manifest = json.loads(good['manifest.json'])
            for name in manifest['members']:
                digest = hashlib.sha256(members[name]).hexdigest()
                manifest['members'][name] = dict(size=len(members[name]), sha256=digest)
            members['manifest.json'] = json.dumps(manifest).encode()
        path = tmp_path / 'x.mmssl'
        with zipfile.ZipFile(path, 'w', compression) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path

    return write


def refused(path, words):
    before = set(sys.modules)
    with pytest.raises(BundleError, match=words) as caught:
        init_model(path)
    assert len(str(caught.value).splitlines()) == 1 and 'refused' in str(caught.value)
    assert not (path.parent / 'harmed').exists()
    assert not {name for name in set(sys.modules) - before if name.startswith('bad_')}


def test_the_members_themselves_are_a_bundle(bad):
    assert init_model(bad()).bundle['method'] == 'MeanTeacher'


@pytest.mark.parametrize(
    'changes, words',
    [
        ({'tensors.safetensors': pickle.dumps(Evil())}, 'no tensors in the format of safetensors'),
        ({'config.json': pickle.dumps(Evil())}, 'config.json is no JSON'),
        ({'code.py': b"open('harmed', 'w')"}, "nothing else, this file holds 'code.py' too"),
        ({'../card.json': b'{}'}, r"'\.\./card.json' too"),
        ({'card.json': b'[1]'}, 'card.json holds no object'),
        ({'card.json': b'[' * 100_000}, 'card.json is no JSON'),
    ],
)
def test_other_members(bad, changes, words):
    refused(bad(changes), words)


def test_a_pickle_in_place_of_the_file(bad, tmp_path):
    path = tmp_path / 'x.mmssl'
    path.write_bytes(pickle.dumps(Evil()))
    refused(path, 'is no bundle of mmssl or damaged')


def test_a_changed_byte(bad, good):
    data = bytearray(good['tensors.safetensors'])
    data[-1] ^= 1
    refused(bad({'tensors.safetensors': bytes(data)}, honest=False), 'its SHA-256 differs')
    path = bad()
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    refused(path, 'damaged|SHA-256')


def test_a_member_twice_and_one_that_is_missing(bad, good, tmp_path):
    path = bad()
    with zipfile.ZipFile(path, 'a') as archive, pytest.warns(UserWarning, match='Duplicate'):
        archive.writestr('card.json', good['card.json'])
    refused(path, 'a member twice')
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('card.json', good['card.json'])
    refused(path, 'lacks config.json')


def test_something_beside_the_members(bad):
    path = bad()
    path.write_bytes(pickle.dumps(Evil()) + path.read_bytes())
    refused(path, 'holds something beside them')


def test_a_zip_bomb_is_not_unpacked(bad):
    path = bad({'card.json': b' ' * 10**7 + b'{}'}, compression=zipfile.ZIP_DEFLATED)
    refused(path, 'compressed or encrypted')


@pytest.mark.parametrize('field', [20, 24])
def test_an_announced_size_larger_than_the_file(bad, field):
    """Sizes in the directory of a zip file, compressed and not, stand behind its signature."""
    path = bad()
    whole = bytearray(path.read_bytes())
    entry = whole.index(b'PK\x01\x02')
    for offset in {20, 24} if field == 20 else {24}:
        struct.pack_into('<I', whole, entry + offset, 2**31 - 5)
    path.write_bytes(whole)
    refused(path, 'announces 2,147,483,643 bytes' if field == 20 else 'compressed')


def test_tensors_that_announce_more_than_there_is(bad):
    header = json.dumps({'a': dict(dtype='F32', shape=[2**40], data_offsets=[0, 2**42])}).encode()
    refused(
        bad({'tensors.safetensors': struct.pack('<Q', len(header)) + header}),
        'no tensors in the format of safetensors',
    )


def put(config, where, value):
    *path, last = where
    node = config
    for key in path:
        node = node[key]
    node[last] = value
    return config


@pytest.mark.parametrize(
    'where, value, words',
    [
        (('model', 'type'), 'os.system', r'model.type is .os.system.'),
        (('model', 'type'), 'bad_module.Net', 'model.type is'),
        (('model', 'type'), ['SemiSegmentor'], 'model.type is'),
        ((*STUDENT, 'backbone', 'type'), 'subprocess.Popen', 'students.unet.backbone.type'),
        ((*STUDENT, 'decode_head', 'loss_decode'), [dict(type='builtins.eval')], 'loss_decode.0'),
        ((*STUDENT, 'backbone', 'base_channels'), 10**6, 'networks that need more than'),
        ((*DATASET, 'prepare', 0, 'type'), 'bad_module.f', 'dataset.prepare.0.type'),
        ((*DATASET, 'prepare', 0, 'type'), 'mmseg.LoadBiomedicalData', 'prepare.0.type'),
        ((*DATASET, 'pipeline', 0), dict(type='shutil.rmtree', path='x'), 'pipeline.0.type'),
        ((*DATASET, 'type'), 'mmengine.Config', 'must be a MixedDomainDataset'),
        ((*DATASET, 'data_root'), '/etc', 'data_root'),
        (('custom_imports',), dict(imports=['bad_module']), "has 'custom_imports'"),
        (('default_scope',), 'bad_scope', 'scope is .bad_scope.'),
        (('model', '_scope_'), 'bad_scope', '_scope_'),
        ((*STUDENT, '_delete_'), True, '_delete_'),
        ((*STUDENT, 'pretrained'), 'evil', 'unet.pretrained is .evil.'),
        ((*STUDENT, 'pretrained'), True, 'pretrained is True'),
        ((*STUDENT, 'backbone', 'init_cfg'), dict(type='Pretrained', checkpoint='x'), 'init_cfg'),
        ((*STUDENT, 'backbone', 'checkpoint'), 'evil', 'backbone.checkpoint'),
        (('model', 'neck'), dict(model='unet'), 'neck.model is .unet.'),
        (('model', 'label_space'), dict(type='OtherModel', config='x'), 'label_space.config'),
        ((*STUDENT, 'decode_head', 'loss_decode'), dict(class_weight='w'), 'class_weight'),
        ((*STUDENT, 'backbone', 'norm_cfg'), dict(type='BN', name='a/b.pkl'), 'names no file'),
        ((*STUDENT, 'decode_head', 'type'), 'none', 'decode_head.type is .none.'),
        ((*STUDENT, 'backbone', 'name'), 'weights.pkl', 'names no file'),
        (('test_cfg', 'fp16'), dict(type='os.system'), 'test_cfg.fp16.type'),
    ],
)
def test_a_config_that_would_run_or_open_something(bad, good, where, value, words, tmp_path):
    (tmp_path / 'bad_module.py').write_text("open('harmed', 'w')")
    config = put(json.loads(good['config.json']), where, value)
    refused(bad({'config.json': json.dumps(config).encode()}), words)


def test_a_newer_format(bad, good):
    manifest = {**json.loads(good['manifest.json']), 'format': 99}
    refused(bad({'manifest.json': json.dumps(manifest).encode()}, honest=False), 'its format is 99')
