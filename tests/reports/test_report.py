"""The page of a report: its numbers are those of the files, its texts are text."""

import csv
import html
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from reports.fake_runs import DOMAINS, results, write_cases, write_training

from mmssl.evaluation.statistics import calibration
from mmssl.reports import entries, find_scores, gather, write_report
from mmssl.reports.cases import entropy, find_cases, overlap

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """Collects the tables of scores, the data and all text of a page."""

    def __init__(self, path):
        super().__init__()
        self.scores, self.text, self.data = {}, '', ''
        self._metric = self._script = None
        self.feed(path.read_text())
        self.data = json.loads(self.data)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == 'table':
            self._metric = attributes.get('data-metric')
        if tag == 'script':
            self._script = attributes.get('id', 'code')
        if tag == 'tr' and self._metric:
            self.scores.setdefault(self._metric, []).append([])
        if tag == 'td' and self._metric:
            self.scores[self._metric][-1].append([attributes.get('data-v'), ''])

    def handle_endtag(self, tag):
        if tag == 'script':
            self._script = None
        if tag == 'table':
            self._metric = None

    def handle_data(self, data):
        if self._script == 'data':
            self.data += data
        elif self._script is None:
            self.text += data
            if self._metric and self.scores.get(self._metric) and self.scores[self._metric][-1]:
                self.scores[self._metric][-1][-1][1] += data


@pytest.fixture(scope='module')
def two(tmp_path_factory):
    """Two methods on three domains with names that try to be markup, the last without masks."""
    folder = tmp_path_factory.mktemp('two')
    contents = [
        write_cases(folder / name, seed, error, unmasked=DOMAINS[2:], slices=2)
        for name, seed, error in (('good', 1, 0.02), ('bad "x" <i>', 1, 0.2))
    ]
    write_report([folder / 'good', folder / 'bad "x" <i>'], folder / 'page.html')
    return folder, contents, Page(folder / 'page.html')


def test_every_number_of_the_tables_is_that_of_the_file(two):
    _, contents, page = two
    assert {*page.scores} == {'DSC', 'Jaccard', 'HD95', 'ASD'}
    for metric, rows in page.scores.items():
        rows = [row for row in rows if row]
        assert len(rows) == 2
        for row, content in zip(rows, contents, strict=True):
            table = content['students']['unet']
            known = [
                table['mean'],
                *(one['mean'] for one in table['domains'].values()),
                *table['parts'].values(),
            ]
            cells = row[2:]
            assert [float(exact) for exact, _ in cells] == [one[metric] for one in known]
            for (_, text), one in zip(cells, known, strict=True):
                assert text.startswith(f'{one[metric]:.2f}')


def test_every_number_of_the_cases_is_that_of_the_file(two):
    _, contents, page = two
    seen = 0
    for content, row in zip(contents, page.data['rows'], strict=True):
        known = {(i['domain'], i['name']): i['scores']['unet'] for i in content['images']}
        for case in page.data['cases']:
            for one in case['slices']:
                found = one['rows'][row]['scores']
                if case['truth']:
                    assert found == known[case['domain'], one['name']]
                    seen += 1
                else:
                    assert found is None and case['domain'] == DOMAINS[2]
    assert seen == 2 * 2 * 4 * 2


def test_csv_and_latex_have_the_same_numbers(two):
    folder, contents, page = two
    lines = list(csv.DictReader(io.StringIO((folder / 'page.csv').read_text())))
    names = list(dict.fromkeys(line['row'] for line in lines))
    for name, content in zip(names, contents, strict=True):
        mine = {
            (x['metric'], x['domain'], x['part']): float(x['mean'])
            for x in lines
            if x['row'] == name
        }
        table = content['students']['unet']
        assert mine['HD95', 'all', 'all'] == table['mean']['HD95']
        for domain, one in table['domains'].items():
            assert mine['DSC', domain, 'cup'] == one['parts']['cup']['DSC']
    latex = (folder / 'page.tex').read_text()
    best = max(one['students']['unet']['mean']['DSC'] for one in contents)
    assert rf'\textbf{{{best:.2f}}}' in latex and r'disc \textless{}b\textgreater{}\&' in latex
    assert (
        latex.count(r'\toprule') == 4
        and 'data:text/csv;base64' in (folder / 'page.html').read_text()
    )


def test_sizes_say_how_many_times_too_large_a_part_is_predicted(two):
    """Images in which nothing is predicted are failures, and no size."""
    folder, contents, page = two
    lines = list(csv.DictReader(io.StringIO((folder / 'page.csv').read_text())))
    found = [x for x in lines if x['metric'] == 'size ratio']
    names = list(dict.fromkeys(x['row'] for x in found))
    assert len(found) == 2 * 2 * 2
    for name, content in zip(names, contents, strict=True):
        for line in (x for x in found if x['row'] == name):
            ratios = [
                image['sizes']['unet'][line['part']] / image['sizes']['truth'][line['part']]
                for image in content['images']
                if image['domain'] == line['domain'] and image['sizes']['unet'][line['part']]
            ]
            assert float(line['mean']) == pytest.approx(np.exp(np.mean(np.log(ratios))))
            assert f'{float(line["mean"]):.2f}' in page.text
    assert {len(content['images']) for content in contents} == {16}  # of 8 in a domain
    assert f'cup, {DOMAINS[1]}' in page.text


def test_texts_are_text_and_the_page_is_alone(two):
    folder, _, page = two
    source = (folder / 'page.html').read_text()
    without_code = re.sub(r'<script.*?</script>', '', source, flags=re.S)
    assert '<script>alert' not in source and '<i>' not in without_code.replace('<i style', '')
    assert html.escape(DOMAINS[1]) in source and DOMAINS[1] in page.text
    assert not re.search(r'(?:src|href)="(?!data:|#)', without_code)
    assert "default-src 'none'" in source
    assert source.count('</script>') == 3, 'no text ends a script'


def test_worst_case_first_and_uncertainty_is_measured(two):
    _, contents, page = two
    scores = [
        min(np.mean([p['DSC'] for p in one['rows'][row]['scores'].values()])
            for one in case['slices'] for row in page.data['rows'])
        for case in page.data['cases'] if case['truth']
    ]  # fmt: skip
    assert scores == sorted(scores) and scores[0] == 0
    assert [c['domain'] for c in page.data['cases'][-4:]] == [DOMAINS[2]] * 4, 'without truth last'
    first = page.data['cases'][0]
    assert first['aspect'] == 1.5 and first['slices'][0]['image'].startswith('data:image/jpeg')
    assert {*first['slices'][0]['rows'][page.data['rows'][0]]} == {
        'scores', 'pred', 'error', 'apart', 'doubt',
    }  # fmt: skip
    assert f'{DOMAINS[2]} has no masks' in page.text and 'agreement with teacher' in page.text


def test_plots_are_valid_and_come_from_the_files(two):
    graph_objects = pytest.importorskip('plotly.graph_objects')
    _, contents, page = two
    for spec in page.data['plots']:
        graph_objects.Figure(data=spec['data'], layout=spec['layout'])
    violins = next(s for s in page.data['plots'] if s['data'][0]['type'] in ('violin', 'box'))
    for trace, content in zip(violins['data'], contents, strict=True):
        expected = [
            np.mean([p['DSC'] for p in image['scores']['unet'].values()])
            for image in content['images']
        ]
        assert trace['y'] == pytest.approx(expected)


def test_calibration_is_that_of_the_saved_probabilities(two):
    folder, _, _ = two
    rows = entries(gather([folder / 'good']))
    found = find_cases(rows)
    confidence, right = [], []
    for path in (folder / 'good').glob('0_*.npz'):
        with np.load(path) as case:
            confidence.append(case['prob_unet'].max(0).ravel() / 255)
            right.append((case['pred_unet'] == case['truth']).ravel())
    expected = calibration(np.concatenate(confidence), np.concatenate(right))
    sums = found.reliability['unet', DOMAINS[0], False]
    assert sums[0].tolist() == expected.pixels.tolist()
    assert sums[2] / np.maximum(sums[0], 1) == pytest.approx(np.nan_to_num(expected.accuracy))


def test_entropy_and_overlap_by_hand():
    prob = np.array([[[255, 0], [128, 127], [0, 255]]], np.uint8)
    assert entropy(prob)[0] == pytest.approx([0, 1, 0], abs=1e-4)
    one, other = np.array([[1, 1, 0]]), np.array([[1, 0, 0]])
    assert overlap([(one, other)], {'x': [1], 'never': [2]}) == pytest.approx((200 / 3 + 100) / 2)


def test_seeds_of_one_setting_are_one_row(tmp_path):
    folders = []
    for seed in (0, 1, 2):
        folder = write_training(tmp_path / f'seed{seed}', seed=seed)
        write_cases(folder / 'cases', seed)
        folders.append(folder)
    (method,) = gather(folders)
    assert [run.name for run in method.runs] == ['seed 0', 'seed 1', 'seed 2']
    scores = find_scores(entries([method]))
    runs = [run.result['students']['unet']['mean']['DSC'] for run in method.runs]
    value = scores.get('DSC', 'unet')
    assert value.runs == runs and value.mean == pytest.approx(np.mean(runs))
    assert value.sd == pytest.approx(np.std(runs, ddof=1)) and value.low < value.mean < value.high
    other = write_training(tmp_path / 'other', method='CPS')
    write_cases(other / 'cases', 3)
    assert [m.name for m in gather([*folders, other])] == [
        f'MeanTeacher: {tmp_path.name}',
        'CPS: other',
    ]


def test_a_training_without_test_shows_curves_and_says_what_is_missing(tmp_path):
    folder = write_training(tmp_path / 'run', steps=20, max_iters=40, nan_at=20)
    (folder / 'train.log').write_text('something\nerror: the disk is full\n')
    write_report([folder], tmp_path / 'page.html')
    page = Page(tmp_path / 'page.html')
    assert 'It stands at iteration 20 of 40' in page.text
    assert 'loss is no number at iteration 20' in page.text
    assert 'train.log ends with: error: the disk is full' in page.text
    assert 'No test is there' in page.text and not page.scores
    losses = next(s for s in page.data['plots'] if s['smooth'])
    assert losses['data'][0]['x'] == [10] and losses['data'][0]['y'] == [0.1]
    assert '40' in page.text and 'mmssl train x/y.py' in page.text and 'abc1234' in page.text
    assert not (tmp_path / 'page.csv').exists()


def test_a_finished_training_marks_last_mean_and_chosen(tmp_path):
    folder = write_training(tmp_path / 'run')
    write_report([folder], tmp_path / 'page.html')
    page = Page(tmp_path / 'page.html')
    names = [t['name'] for s in page.data['plots'] for t in s['data']]
    assert {'last of unet', 'chosen of unet', 'mean of the last 2 of unet'} <= {*names}
    assert 'the chosen checkpoint (best evaluation on the TEST set' in page.text
    assert '95.50, the last 90.00' in page.text


def test_scores_that_are_missing_and_one_domain_are_readable(tmp_path):
    content = write_cases(tmp_path / 'x', domains=DOMAINS[:1], patients=1)
    for image in content['images']:
        image['scores']['unet']['cup'] = dict.fromkeys(('DSC', 'Jaccard', 'HD95', 'ASD'), np.nan)
    content['students'] = results(content['images'])['students']
    text = json.dumps(content).replace('NaN', 'null')
    (tmp_path / 'x/results.json').write_text(text)
    write_report([tmp_path / 'x'], tmp_path / 'page.html')
    page = Page(tmp_path / 'page.html')
    row = [row for row in page.scores['DSC'] if row][0]
    assert row[3] == ['', '-'] and 'nan' not in page.text.lower().replace('nano', '')
    assert 'Single trainings: unet' in page.text


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        gather([tmp_path / 'none'])
    with pytest.raises(FileNotFoundError, match='has nothing of a run: no run.json'):
        gather([tmp_path])
    (tmp_path / 'x.json').write_text('{}')
    with pytest.raises(FileNotFoundError, match='is no file of `tools/test.py --out`'):
        gather([tmp_path / 'x.json'])


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('report', ROOT / 'tools/analysis_tools/report.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_comparison_is_read_from_its_folder(two, tool, tmp_path, capsys):
    """As `benchmark_methods` writes it: rows of labels with the file of each run."""
    folder, contents, _ = two
    rows = [
        {'labels': [label], 'runs': {'seed 0': {'file': f'../{path.name}/results.json'}}}
        for label, path in (('new', folder / 'good'), ('old', folder / 'bad "x" <i>'))
    ]
    grid = folder / 'grid'
    grid.mkdir(exist_ok=True)
    (grid / 'results.json').write_text(json.dumps({'student': 'unet', 'rows': rows}))
    tool.main([str(grid), '--published', '--title', 'mine & yours'])
    assert str(grid / 'report.html') in capsys.readouterr().out
    page = Page(grid / 'report.html')
    assert [row[0][1] for row in page.scores['DSC'] if row] == ['new', 'old']
    assert 'mine & yours' in page.text and page.data['rows'] == ['new', 'old']
    assert 'new is ahead of old by' in page.text
    with pytest.raises(ValueError, match='must end in .html'):
        tool.main([str(grid), '--out', str(tmp_path / 'x.pdf')])


def test_a_sweep_under_way_shows_what_has_begun(tmp_path):
    """Runs that its table does not have yet stand beside their seeds, trials do not."""
    with pytest.raises(FileNotFoundError, match='has nothing of a run'):
        gather([tmp_path])
    for place in ('k=1/seed0', 'k=1/seed1', 'k=2/seed0', 'k=1/tune/x'):
        write_training(tmp_path / place, steps=20)
    write_report([tmp_path], tmp_path / 'early.html')
    assert 'k=2, seed 0: It stands at iteration 20 of 40' in Page(tmp_path / 'early.html').text
    content = write_cases(tmp_path / 'k=1/seed0/cases')
    file = tmp_path / 'k=1/seed0/result_last.json'
    file.write_text(json.dumps(content))
    write_training(tmp_path / 'k=2/seed1')
    row = {'labels': ['1'], 'runs': {'seed 0': {'file': 'k=1/seed0/result_last.json'}}}
    grid = {'student': 'unet', 'grid': {'k': {}}, 'rows': [row, {'labels': ['2'], 'runs': {}}]}
    (tmp_path / 'results.json').write_text(json.dumps(grid))
    methods = gather([tmp_path])
    assert [(m.name, [r.name for r in m.runs]) for m in methods] == [
        ('k=1', ['seed 0', 'seed 1']),
        ('k=2', ['seed 0', 'seed 1']),
    ]
    write_report([tmp_path], tmp_path / 'page.html')
    page = Page(tmp_path / 'page.html')
    assert [row[0][1] for row in page.scores['DSC'] if row] == ['k=1']
    assert 'k=1, seed 1: It stands at iteration 20 of 40' in page.text
    assert 'k=2, seed 1: there is no test, so it is in no table' in page.text


def test_a_comparison_says_how_it_was_tuned_and_what_it_took(tmp_path):
    for name in ('new', 'old'):
        folder = write_training(tmp_path / name / 'seed0', method=name)
        content = write_cases(folder / 'cases')
        (folder / 'result_last.json').write_text(json.dumps({**content, 'cases': 'cases'}))
    tried = {'chosen': {'lr*': '3'}, 'tried': [], 'options': {}}
    grid = {
        'student': 'unet',
        'tuning': {'trials': 4, 'axes': [{'name': 'lr*'}], 'methods': {'new': tried}},
        'rows': [
            {'labels': [n], 'runs': {'seed 0': {'file': f'{n}/seed0/result_last.json'}}}
            for n in ('new', 'old')
        ],
    }
    (tmp_path / 'results.json').write_text(json.dumps(grid))
    write_report([tmp_path], tmp_path / 'page.html')
    text = Page(tmp_path / 'page.html').text
    assert 'Every method tried 4 settings of lr* on labelled cases' in text
    assert 'tunedlr* = 3' in text and 'same care' not in text
    assert 'new140502s900CPU' in re.sub(r'\s', '', text), 'runs, iterations, ms, time, memory'


def test_published_numbers_of_the_data_set_are_added(tmp_path):
    content = write_cases(tmp_path / 'x', domains=DOMAINS[:2])
    (tmp_path / 'x/results.json').write_text(json.dumps({**content, 'dataset': 'prostate'}))
    write_report([tmp_path / 'x'], tmp_path / 'page.html', published=True)
    page = Page(tmp_path / 'page.html')
    names = [row[0][1] for row in page.scores['DSC'] if row]
    assert any(name.startswith('synfoc, sam') for name in names) and names[0] == 'unet'
    assert 'synfoc, sam' in (tmp_path / 'page.csv').read_text()
    latex = (tmp_path / 'page.tex').read_text()
    assert re.search(r'\\midrule\nsynfoc, sam \(20 labels\) \(published\) & \d+\.\d\d & --', latex)
    (tmp_path / 'x/results.json').write_text(json.dumps({**content, 'dataset': 'mine'}))
    write_report([tmp_path / 'x'], tmp_path / 'page.html', published=True)
    assert 'No metafile has published numbers of this data set' in Page(tmp_path / 'page.html').text


def test_many_cases_stay_below_the_budget(tmp_path):
    folder = tmp_path / 'x'
    write_cases(folder, domains=DOMAINS[:2], patients=12)
    found = find_cases(entries(gather([folder])), budget=100_000)
    size = len(json.dumps(found.shown))
    assert 60_000 < size < 140_000 and found.left_out == 24 - len(found.shown) > 0
    assert (
        sum(one.size for one in found.levels.values())
        and len(found.sizes['unet'][DOMAINS[0]]) == 12
    )


def test_a_whole_volume_is_a_case_with_slices(tmp_path):
    """Scored as one, shown slice by slice, in the proportions of its voxels."""
    content = write_cases(tmp_path / 'x', domains=DOMAINS[:1], patients=2)
    content['protocol']['per'] = 'volume'
    for path in (tmp_path / 'x').glob('*.npz'):
        with np.load(path) as case:
            arrays = {name: case[name] for name in case.files}
        about = json.loads(str(arrays.pop('about')))
        about.update(ori_shape=[5, 32, 32], spacing=[3.0, 2.0, 1.0])
        whole = {
            name: np.stack([one] * 5, axis=1 if name.startswith('prob') else 0)
            for name, one in arrays.items()
        }
        whole['image'] = whole['image'][:3]  # the network saw another number of slices
        np.savez_compressed(path, about=np.array(json.dumps(about)), **whole)
    (tmp_path / 'x/results.json').write_text(json.dumps(content))
    found = find_cases(entries(gather([tmp_path / 'x'])))
    assert [len(case['slices']) for case in found.shown] == [5, 5]
    case = found.shown[0]
    assert case['slices'][3]['name'].endswith(', slice 3') and case['aspect'] == 0.5
    known = {i['volume']: i['scores']['unet'] for i in content['images']}
    assert case['slices'][0]['rows']['unet']['scores'] == known[case['name']]
    discs = sum(i['sizes']['unet']['cup'] for i in content['images'])
    known = 3.0 * 2.0 * 1.0 * 5 * discs
    assert found.unit == 'mm³'
    assert sum(s['cup'] for s in found.sizes['unet'][DOMAINS[0]]) == known


def test_cases_without_any_mask_or_score_have_a_page(tmp_path):
    write_cases(tmp_path / 'x', domains=DOMAINS[:2], unmasked=DOMAINS)
    (tmp_path / 'x/results.json').unlink()
    write_report([tmp_path / 'x'], tmp_path / 'page.html')
    page = Page(tmp_path / 'page.html')
    assert len(page.data['cases']) == 8 and page.data['rows'] == ['unet'] and not page.scores
    assert f'{DOMAINS[1]} has no masks. Student and teacher of unet agree there by' in page.text
    assert f'unet predicts nothing in 1 of 4 cases of {DOMAINS[1]}' in page.text
    assert 'networks can agree on what is wrong' in page.text
    kinds = [spec['data'][0]['type'] for spec in page.data['plots']]
    assert kinds == ['box', 'scatter'], 'predicted sizes, grey levels'


def test_an_open_page_follows_until_the_watch_ends(tmp_path):
    """Renewed while a run goes on; Ctrl-C leaves a whole page that does not reload any more."""
    run, page = tmp_path / 'run', tmp_path / 'page.html'
    write_training(run, steps=20)
    command = [sys.executable, ROOT / 'tools/analysis_tools/report.py', run, '--out', page]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    watch = subprocess.Popen(
        [*map(str, command), '--watch', '1'], env=environment, text=True, stdout=subprocess.PIPE
    )
    try:
        while 'Ctrl-C ends this' not in watch.stdout.readline():
            assert watch.poll() is None
        assert Page(page).data['refresh'] == 1 and 'iteration 20 of 40' in Page(page).text
        assert 'written anew every 1 s' in Page(page).text
        shutil.rmtree(run)  # gone for a moment: the next pass finds it again
        while 'not this time' not in watch.stdout.readline():
            assert watch.poll() is None
        write_training(run, steps=30)
        while 'iteration 30 of 40' not in Page(page).text:  # whole whenever it is looked at
            assert watch.poll() is None
            time.sleep(0.05)
        watch.send_signal(signal.SIGINT)
        assert watch.wait(60) == 0
    finally:
        watch.kill()
        watch.stdout.close()
    last = Page(page)
    assert last.data['refresh'] == 0 and 'written anew' not in last.text
    assert 'iteration 30 of 40' in last.text


@pytest.mark.slow
def test_two_hundred_cases_of_five_methods(tmp_path):
    for number in range(5):
        write_cases(tmp_path / f'm{number}', number, 0.03 * (number + 1), patients=67, side=192)
    begin = time.process_time()  # which others on the machine do not lengthen
    write_report([tmp_path / f'm{n}' for n in range(5)], tmp_path / 'page.html')
    assert time.process_time() - begin < 60
    assert (tmp_path / 'page.html').stat().st_size < 15e6
    assert len(Page(tmp_path / 'page.html').data['cases']) == 201
