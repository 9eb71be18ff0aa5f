import csv
import io
import re

import pytest

from mmssl.experiments.table import (
    Row,
    Spread,
    columns,
    detail,
    mark,
    markdown,
    overview,
    to_csv,
)


def scores(dsc, **domains):
    """Scores of a student: DSC of two parts around `dsc`, HD95 its complement, no ASD."""

    def one(value):
        return {'DSC': value, 'Jaccard': value / 2, 'HD95': 100 - value, 'ASD': None}

    def entry(value):
        return {'mean': one(value), 'parts': {'cup': one(value - 1), 'disc': one(value + 1)}}

    domains = domains or {'A': dsc}
    return {**entry(dsc), 'domains': {d: {**entry(v), 'count': 1} for d, v in domains.items()}}


def row(label, *values, wanted=2):
    return Row((label,), {f'seed {i}': scores(v) for i, v in enumerate(values)}, wanted)


def test_spread_is_the_sample_standard_deviation():
    spread = Spread.of([80.0, 82.0, 87.0])
    assert spread.mean == 83.0 and spread.sd == pytest.approx(13**0.5)


def test_best_is_bold_and_second_underlined_by_the_direction_of_the_metric():
    column = [Spread.of([v]) for v in (1.0, 3.0, None, 2.0, 3.001)]
    assert mark(column, 'DSC') == ['1.00', '**3.00**', '-', '<u>2.00</u>', '**3.00**']
    assert mark(column, 'ASD') == ['**1.00**', '3.00', '-', '<u>2.00</u>', '3.00']
    assert mark(column[:1], 'DSC') == ['1.00'], 'nothing to compare with'


def test_overview_has_all_metrics_and_names_missing_runs():
    table = overview([row('x', 80.0, 84.0), row('y', 90.0), row('z')], ['key'])
    assert table[0] == ['key', 'runs', 'DSC (%)', 'Jaccard (%)', 'HD95', 'ASD']
    assert table[1] == ['x', '2', '82.00 ± 2.83', '41.00 ± 1.41', '18.00 ± 2.83', '-']
    assert table[2] == ['y', '1 of 2', '90.00', '45.00', '10.00', '-']
    assert table[3] == ['z', '0 of 2', '-', '-', '-', '-']


def test_detail_has_parts_domains_and_mean():
    rows = [Row(('x',), {'seed 0': scores(80.0, A=70.0, B=90.0)}, 1)]
    assert detail(rows, ['key'], 'DSC') == [
        ['key', 'runs', 'cup', 'disc', 'A', 'B', 'mean'],
        ['x', '1', '79.00', '81.00', '70.00', '90.00', '80.00'],
    ]
    assert columns([row('x', 80.0)]) == [('mean', 'cup'), ('mean', 'disc'), ('mean', 'mean')]


def test_markdown_has_a_table_for_each_metric():
    text = markdown([row('[2,4]', 80.0, 84.0), row('a|b', 90.0, 90.0)], ['neck.blocks'])
    assert len({len(line) for line in text.split('\n\n')[1].splitlines()}) == 1, 'laid out'
    text = re.sub(' +', ' ', text)
    assert [line for line in text.splitlines() if line.startswith('###')] == [
        '### Mean over parts and domains',
        '### DSC (%)',
        '### Jaccard (%)',
        '### HD95',
        '### ASD',
    ]
    assert '| [2,4] | 2 | <u>82.00 ± 2.83</u> |' in text
    assert r'| a\|b | 2 | **90.00 ± 0.00** |' in text
    widths = {line.replace(r'\|', '').count('|') for line in text.splitlines() if '**' in line}
    assert widths == {7, 6}


def test_csv_has_every_number():
    lines = list(csv.DictReader(io.StringIO(to_csv([row('x', 80.0, 84.0)], ['key']))))
    assert len(lines) == 2 * 3 * 4
    line = next(x for x in lines if (x['domain'], x['part'], x['metric']) == ('A', 'cup', 'DSC'))
    assert (line['key'], line['mean'], line['sd']) == ('x', '81.0000', '2.8284')
    assert (line['seed 0'], line['seed 1']) == ('79.0000', '83.0000')
    assert next(x for x in lines if x['metric'] == 'ASD')['mean'] == ''
