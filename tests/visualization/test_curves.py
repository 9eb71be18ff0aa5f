"""Curves: the log of a run and its resumptions, sorted into panels, as one PNG."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from mmssl.visualization import plot_training, read_scalars
from mmssl.visualization.curves import group_curves


def write_log(work_dir, stamp, steps, offset=0.0, torn=False):
    folder = work_dir / stamp / 'vis_data'
    folder.mkdir(parents=True)
    lines = []
    for step in steps:
        lines.append(
            json.dumps(
                {
                    'sam.lr': 1e-4,
                    'unet.lr': 0.03,
                    'loss': 1 / step + offset,
                    'sup_sam': 0.5,
                    'alpha': 0.1 * step,
                    'self_conf': 0.5,
                    'weight': 0.01,
                    'time': 0.1,
                    'memory': 5,
                    'iter': step,
                    'step': step,
                }
            )
        )
        lines.append(
            json.dumps(
                {
                    'sam/DSC': 60.0 + step,
                    'unet/DSC': 50.0 + step,
                    'sam/A/disc/DSC': 1.0,
                    'sam/HD95': float('nan'),
                    'step': step,
                }
            )
        )
        lines.append(json.dumps({'diagnostic/ensemble': 0.6, 'step': step}))
    (folder / 'scalars.json').write_text('\n'.join(lines) + ('\n{"loss": 0.1, "st' * torn))


def test_resumed_runs_are_joined_and_torn_lines_left_out(tmp_path):
    write_log(tmp_path, '20260101_000000', (1, 2, 3, 4), torn=True)
    write_log(tmp_path, '20260102_000000', (3, 5), offset=10)
    late = tmp_path / '20260103_000000' / 'vis_data'
    late.mkdir(parents=True)
    (late / 'scalars.json').write_text('{"sam/DSC": 1.0, "step": 0}\n')  # a validation alone
    curves = read_scalars(tmp_path)
    assert curves['loss'] == {1: 1, 2: 0.5, 3: pytest.approx(10 + 1 / 3), 5: 10.2}
    assert 'sam/HD95' not in curves


def test_a_clock_that_goes_back_loses_nothing(tmp_path):
    write_log(tmp_path, '20260102_000000', (1, 2, 3))
    write_log(tmp_path, '20260101_000000', (3, 4, 5), offset=10)  # resumed, an earlier date
    write_log(tmp_path, '20251231_000000', (5, 6), offset=20)
    assert {k: v >= 10 for k, v in read_scalars(tmp_path)['loss'].items()} == {
        1: False,
        2: False,
        3: True,
        4: True,
        5: True,
        6: True,
    }


def test_a_run_started_anew_replaces_the_old_one(tmp_path):
    write_log(tmp_path, '20260101_000000', (1, 2, 3))
    write_log(tmp_path, '20260102_000000', (1, 2), offset=10)
    assert list(read_scalars(tmp_path)['loss']) == [1, 2]


def test_every_curve_finds_its_panel(tmp_path):
    write_log(tmp_path, 'a', (1, 2))
    panels = {title: set(lines) for title, lines in group_curves(read_scalars(tmp_path)).items()}
    assert panels == {
        'Losses': {'loss', 'sup_sam'},
        'Confidences and weights': {'alpha', 'self_conf', 'weight'},
        'Learning rate': {'sam.lr', 'unet.lr'},
        'DSC of the students (%)': {'sam', 'unet'},
        'Diagnostic: Dice against the truth': {'ensemble'},
    }


def test_one_png(tmp_path):
    write_log(tmp_path, 'a', (1, 2))
    out = plot_training(tmp_path)
    assert out == tmp_path / 'curves.png'
    height, width, _ = cv2.imread(str(out)).shape
    assert height > 900 and width > 1200


def test_no_log_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='has no training log'):
        plot_training(tmp_path)


@pytest.mark.slow
def test_the_tool_writes_where_it_is_told(tmp_path):
    write_log(tmp_path, 'a', (1, 2))
    tool = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'plot_curves.py'
    out = tmp_path / 'sub' / 'x.png'
    subprocess.run([sys.executable, tool, tmp_path, '--out', out], check=True)
    assert out.stat().st_size > 5000
    failed = subprocess.run([sys.executable, tool, tmp_path / 'none'], capture_output=True)
    assert failed.returncode == 1 and b'has no training log' in failed.stderr
