"""The command that ranks: its words, its files, and what it says."""

import csv
import importlib.util
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmssl.apis import init_model
from tests import tiny
from tests.fake_files import TEST_PIPELINE, noise, prostate, write_png, write_prostate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def tool():
    path = ROOT / 'tools/analysis_tools/rank_cases.py'
    spec = importlib.util.spec_from_file_location('rank_cases', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def words(tmp_path, monkeypatch):
    """A config with its checkpoint, in a working directory of their own."""
    monkeypatch.chdir(tmp_path)
    root = write_prostate(tmp_path / 'data', domains=('A', 'B'), cases=3, per_case=2)
    test = dict(prepare=[dict(type='LoadImage'), dict(type='ResizeSquare', size=32)],
                pipeline=TEST_PIPELINE, mode='test', domains=['A', 'B'])  # fmt: skip
    cfg = Config(
        dict(
            default_scope='mmssl',
            model=tiny.synfoc(),
            train_dataloader=dict(dataset=prostate(root, domains=['A', 'B'])),
            test_dataloader=dict(dataset=prostate(root, **test)),
        )
    )
    Path('mine.py').write_text(cfg.pretty_text)
    torch.save({'state_dict': init_model(cfg).state_dict()}, 'mine.pth')
    return ['mine.py', 'mine.pth']


def test_the_training_pool_of_a_config(tool, words, capsys):
    assert tool.main([*words, '--number', '2', '--balance', '--pictures', '3']) == 0
    out = Path('work_dirs/ranking/mine')
    rows = list(csv.DictReader((out / 'ranking.csv').open()))
    assert [row['place'] for row in rows] == list('12345')
    assert [row['next'] for row in rows] == ['yes', 'yes', 'no', 'no', 'no']
    assert [row['domain'] for row in rows[:2]] == ['B', 'A'], 'A has the labelled case'
    listed = (out / 'labelled.list').read_text().split()
    assert listed[:2] == ['A/00_00', 'A/00_01'] and len(listed) == 6
    assert listed[2:4] == [f'B/{rows[0]["case"]}_0{n}' for n in (0, 1)]
    page = (out / 'ranking.html').read_text()
    assert page.count('<article') == 3 and page.count('data:image/jpeg') == 6
    said = capsys.readouterr()
    assert 'Label these 2 of 5 cases next' in said.out and '12/12' in said.err
    options = said.out.split('--cfg-options ')[1].split()
    first = (out / 'ranking.csv').read_bytes(), (out / 'ranking.html').read_bytes()
    tool.main([*words, '--number', '2', '--balance', '--pictures', '3'])
    assert first == ((out / 'ranking.csv').read_bytes(), (out / 'ranking.html').read_bytes())
    # The options that it prints are those of the next training, and of the next ranking.
    tool.main([*words, '--cfg-options', *options])
    assert len(list(csv.DictReader((out / 'ranking.csv').open()))) == 3


def test_a_folder_with_a_file_that_is_broken(tool, words, capsys):
    for number in range(3):
        write_png(Path('pool', f'p{number}.png'), noise(number))
    Path('pool/p1.png').write_bytes(b'')
    assert tool.main([*words, 'pool', '--number', '1', '--out', 'out']) == 1
    said = capsys.readouterr()
    assert 'error: pool/p1.png is left out: ' in said.err
    assert 'Label these 1 of 2 cases next' in said.out and 'cfg-options' not in said.out
    assert len(Path('out/labelled.list').read_text().split()) == 1


@pytest.mark.parametrize(
    'more, said',
    [
        (['--measures', 'entropie'], 'There is no measure "entropie" (known: disagreement,'),
        (['--measures', 'entropy=-1'], '--measures "entropy=-1" must be NAME=NUMBER'),
        (['pool', 'more'], 'may be followed by one POOL, found 4 words'),
        (['--labelled', 'x'], '--labelled is about a folder: name one as POOL'),
        (['nowhere'], '"nowhere" is no folder; name the one that holds the images'),
    ],
    ids=lambda value: '',
)
def test_what_is_wrong_is_said_in_one_line(tool, words, capsys, more, said):
    with pytest.raises((ValueError, FileNotFoundError, SystemExit)) as raised:
        tool.main([*words, *more])
    assert said in f'{raised.value}{capsys.readouterr().err}'
