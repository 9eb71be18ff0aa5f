import itertools

import cv2
import pytest

from mmssl.experiments import plot as sweep_plot
from mmssl.experiments.plot import plot_sweep
from mmssl.experiments.table import Row


def row(labels, *values):
    runs = {}
    for seed, value in enumerate(values):
        mean = {'DSC': value, 'HD95': 10.0}
        entry = {'mean': mean, 'parts': {'cup': mean, 'disc': {'DSC': value + 1, 'HD95': 9.0}}}
        runs[f'seed {seed}'] = {**entry, 'domains': {'A': entry}}
    return Row(labels, runs, 2)


@pytest.fixture
def axes(monkeypatch):
    """The axes that are drawn, as they were before the file was written."""
    found = []

    def spy(draw):
        def drawn(figure, axes, *args):
            draw(figure, axes, *args)
            found.append(axes)

        return drawn

    for name in ('_lines', '_heat_map', '_bars'):
        monkeypatch.setattr(sweep_plot, name, spy(getattr(sweep_plot, name)))
    return found


def test_one_key_gives_error_bars_in_the_order_of_the_numbers(axes, tmp_path):
    rows = [row(('50',), 84.0, 86.0), row(('10',), 80.0, 84.0), row(('30',))]
    assert cv2.imread(str(plot_sweep(rows, ['out_dim'], 'DSC', tmp_path / 'a.png'))) is not None
    assert {c.get_label() for c in axes[0].containers} == {'cup', 'disc', 'mean'}
    line = next(c for c in axes[0].containers if c.get_label() == 'mean')
    assert line[0].get_xdata().tolist() == [10.0, 50.0]
    assert line[0].get_ydata().tolist() == [82.0, 85.0]
    low, high = line[2][0].get_segments()[0][:, 1]
    assert high - low == pytest.approx(2 * 8**0.5)
    assert axes[0].get_ylabel() == 'DSC (%)' and axes[0].get_xlabel() == 'out_dim'


def test_values_that_are_no_numbers_stand_side_by_side_and_unjoined(axes, tmp_path):
    plot_sweep([row(('[2,4,6]',), 80.0), row(('[5,6]',), 81.0)], ['k'], 'DSC', tmp_path / 'a.png')
    assert [text.get_text() for text in axes[0].get_xticklabels()] == ['[2,4,6]', '[5,6]']
    assert {c[0].get_linestyle() for c in axes[0].containers} == {'None'}


def test_values_over_decades_have_a_logarithmic_axis(axes, tmp_path):
    plot_sweep([row((v,), 80.0) for v in ('0.001', '0.1')], ['lr'], 'DSC', tmp_path / 'a.png')
    plot_sweep([row((v,), 80.0) for v in ('0.9', '0.95')], ['tau'], 'DSC', tmp_path / 'b.png')
    assert [one.get_xscale() for one in axes] == ['log', 'linear']


def test_two_keys_give_a_map_with_the_numbers_written_in(axes, tmp_path):
    rows = [
        row(labels, 80.0 + i, 84.0 + i)
        for i, labels in enumerate(itertools.product('ab', ('1', '2', '3')))
    ]
    plot_sweep(rows, ['x', 'y'], 'DSC', tmp_path / 'a.png')
    assert axes[0].images[0].get_array().tolist() == [[82.0, 83.0, 84.0], [85.0, 86.0, 87.0]]
    assert [text.get_text() for text in axes[0].texts][0] == '82.00\n± 2.83'


def test_three_keys_give_bars(axes, tmp_path):
    rows = [row(labels, 80.0) for labels in itertools.product('ab', 'cd', 'ef')]
    plot_sweep(rows, ['x', 'y', 'z'], 'HD95', tmp_path / 'a.png')
    assert axes[0].get_yticklabels()[0].get_text() == 'a, c, e'
    assert [bar.get_width() for bar in axes[0].patches] == [10.0] * 8


def test_nothing_done_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='no finished run'):
        plot_sweep([row(('1',))], ['k'], 'DSC', tmp_path / 'a.png')
