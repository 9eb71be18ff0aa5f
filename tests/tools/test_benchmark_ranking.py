"""Ranked against random choice, in rounds; with pretended training and ranking."""

import functools
import importlib.util
import json
import sys
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tests' / 'utils'))
from stub_tools import write_stubs  # noqa: E402

from mmssl.experiments.runs import run_jobs  # noqa: E402
from tests.fake_files import write_prostate  # noqa: E402

DATA = """
_base_ = ['{base}']
_fake = dict(x=1)
part = dict(data_root='{root}', domains=['A', 'B'], label_map={{0: 1, 255: 0}},
            case_pattern=r'(?P<case>\\d+)_(?P<slice>\\d+)')
train_dataloader = dict(dataset=dict(**part, labelled=dict(domain='A', num=2)))
test_dataloader = dict(dataset=part)
val_dataloader = test_dataloader
"""


@pytest.fixture
def simulate(tmp_path, monkeypatch):
    path = ROOT / 'tools/analysis_tools/benchmark_ranking.py'
    spec = importlib.util.spec_from_file_location('benchmark_ranking', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    write_stubs(tmp_path)
    root = write_prostate(tmp_path / 'data', domains=('A', 'B'), cases=5, per_case=2)
    base = ROOT / 'configs/sup_only/lite_phantom.py'
    (tmp_path / 'mine.py').write_text(DATA.format(base=base, root=root))
    monkeypatch.setattr(tool, 'run_jobs', functools.partial(run_jobs, poll=0.01))

    def ranked(self, earlier):
        """Take the last cases in place of a ranking."""
        pool = self._pool(earlier)
        assert earlier.state() == 'done' and earlier.weights().name == 'iter_9.pth'
        last = pool.waiting()[-2 * self.args.step :]
        return [one.listed for one in pool.images if one.labelled] + [one.listed for one in last]

    monkeypatch.setattr(tool.Simulation, '_ranked', ranked)

    def call(*words):
        out = ['--work-dir', str(tmp_path / 'out'), '--start', '2', '--step', '1']
        tool.main([str(tmp_path / 'mine.py'), *out, *words], tools=tmp_path)
        return tmp_path / 'out'

    call.tool = tool
    return call


def cases(path):
    return [line.partition('_')[0] for line in path.read_text().splitlines()[::2]]


def test_rounds_label_more_in_two_ways_from_one_start(simulate, capsys):
    out = simulate('--rounds', '2', '--seeds', '0,1')
    start = cases(out / 'start_2/seed0.list')
    assert len(set(start)) == 2 and all(case.startswith('A/') for case in start)
    assert len({tuple(cases(out / f'start_2/seed{n}.list')) for n in range(2)}) > 1
    for choice in ('random', 'ranked'):
        first, second = (cases(out / f'{choice}_{n}/seed0.list') for n in (3, 4))
        assert set(start) < set(first) < set(second) and len(second) == 4
    assert cases(out / 'ranked_4/seed0.list')[2:] == ['B/04', 'B/03']
    table = (out / 'table.md').read_text()
    assert table.count('| random |') == 10 and table.count('| start ') == 5, 'in five tables'
    # Pretended scores know the seed alone, so that neither is ahead.
    assert '+0.00 | +0.00 to +0.00' in table and 'mean of the rounds' in table
    results = json.loads((out / 'results.json').read_text())
    assert results['budgets'] == [2, 3, 4] and results['differences'][-1][1:3] == ['2', '+0.00']
    assert cv2.imread(str(out / 'DSC.png')) is not None
    capsys.readouterr()
    simulate('--rounds', '2', '--seeds', '0,1')
    said = capsys.readouterr().out
    assert ', 0 to start' in said and 'started' not in said


def test_a_run_that_fails_stops_what_stands_on_it_and_nothing_else(simulate, tmp_path, capsys):
    train = tmp_path / 'train.py'
    text = train.read_text()
    train.write_text("import sys\nif 'ranked_3' in ' '.join(sys.argv):\n    sys.exit(1)\n" + text)
    with pytest.raises(SystemExit):
        simulate('--rounds', '2', '--seeds', '0')
    said = capsys.readouterr().out
    assert '2 of 5 runs failed' in said and '"ranked, 3 cases, seed 0" is not done' not in said
    assert (tmp_path / 'out/random_4/seed0/result_last.json').exists()
    assert not (tmp_path / 'out/ranked_4/seed0.list').exists()
    train.write_text(text)
    simulate('--rounds', '2', '--seeds', '0')
    assert (tmp_path / 'out/ranked_4/seed0/result_last.json').exists()


def test_the_interval_is_students(simulate):
    """Mean 2, deviation 1 of three values: 4.3027 / sqrt(3) to either side."""
    assert simulate.tool._interval([1.0, 2.0, 3.0]) == ['3', '+2.00', '-0.48 to +4.48']
    assert simulate.tool._interval([1.0]) == ['1', '+1.00', '-']
    assert simulate.tool._interval([]) == ['0', '-', '-']
