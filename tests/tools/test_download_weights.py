"""Downloading weights from a server on this machine."""

import hashlib
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools'))
import download_weights

from mmssl.models.weights import WEIGHTS, WeightFile

CONTENT = b'weights' * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    (tmp_path / 'www').mkdir()
    (tmp_path / 'www' / 'a.pth').write_bytes(CONTENT)
    handler = partial(Quiet, directory=str(tmp_path / 'www'))
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


def run(monkeypatch, tmp_path, url, sha256=SHA256):
    entry = WeightFile('a', 'a.pth', len(CONTENT), sha256, 'https://example.org', url)
    monkeypatch.setitem(WEIGHTS, 'a', entry)
    return download_weights.main(['a', '--out-dir', str(tmp_path / 'out')])


def test_a_file_arrives_whole_and_once(server, monkeypatch, tmp_path, capsys):
    assert run(monkeypatch, tmp_path, f'{server}/a.pth') == 0
    assert (tmp_path / 'out' / 'a.pth').read_bytes() == CONTENT
    assert run(monkeypatch, tmp_path, 'http://127.0.0.1:9/gone') == 0
    assert 'already there' in capsys.readouterr().out


@pytest.mark.parametrize(
    'path, sha256, message',
    [
        ('a.pth', '0' * 64, 'not the published 0000'),
        ('b.pth', '0' * 64, 'cannot reach'),
    ],
)
def test_a_wrong_file_is_not_kept(server, monkeypatch, tmp_path, capsys, path, sha256, message):
    assert run(monkeypatch, tmp_path, f'{server}/{path}', sha256) == 1
    assert message in capsys.readouterr().err
    assert list((tmp_path / 'out').iterdir()) == []


def test_without_internet_it_says_what_to_do(monkeypatch, tmp_path, capsys):
    assert run(monkeypatch, tmp_path, 'http://127.0.0.1:9/a.pth') == 1
    assert 'on a machine with internet (page https://example.org)' in capsys.readouterr().err


def test_list_and_unknown_names(capsys):
    assert download_weights.main(['--list']) == 0
    out = capsys.readouterr().out
    assert all(entry.file in out and entry.page in out for entry in WEIGHTS.values())
    with pytest.raises(SystemExit):
        download_weights.main(['nothing'])
    assert 'unknown name "nothing"' in capsys.readouterr().err
