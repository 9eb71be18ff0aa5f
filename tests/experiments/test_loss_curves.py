"""Curves with and without a lever are compared by the spread of the seeds."""

import argparse
import shutil

import pytest

from mmssl.experiments.speed import add_curves, curves


def parse(*words):
    parser = argparse.ArgumentParser()
    add_curves(parser.add_subparsers())
    return parser.parse_args(['curves', *words])


def test_a_lever_inside_and_one_outside_the_spread():
    plain = {0: [1.0, 0.5] * 5, 1: [1.2, 0.7] * 5}
    near = {0: [1.01, 0.51] * 5, 1: [1.21, 0.71] * 5}
    far = {0: [2.0, 1.5] * 5, 1: [2.2, 1.7] * 5}
    assert curves.report(plain, near)[-1] == (
        'with and without, same seed: 0.0100 apart (root mean square); two seeds: 0.2000; '
        'the mean with lies in the spread in 10 of 10 parts'
    )
    last = curves.report(plain, far)[-1]
    assert 'same seed: 1.0000' in last and 'in 0 of 10 parts' in last


def test_something_has_to_differ_and_to_spread():
    with pytest.raises(ValueError, match='--seeds needs two'):
        curves.run_curves(parse('--seeds', '0', '--amp'))
    with pytest.raises(ValueError, match='--amp or --against-cfg-options'):
        curves.run_curves(parse())


@pytest.mark.slow
def test_trainings_are_run_with_and_without(capsys):
    words = ['sup_only/lite_phantom.py', '--iters', '10', '--seeds', '0,1']
    curves.run_curves(parse(*words, '--against-cfg-options', 'speed.channels_last=True'))
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 + 1 + 10 + 1
    apart = float(said[-1].split('same seed: ')[1].split()[0])
    between = float(said[-1].split('two seeds: ')[1].split(';')[0])
    assert apart < 0.01 < between, 'rounding against other images'


def test_a_training_that_fails_ends_the_command_with_its_status(tmp_path, monkeypatch):
    monkeypatch.setattr(curves.sys, 'executable', shutil.which('false'))
    with pytest.raises(SystemExit) as found:
        curves.curve('sup_only/lite_phantom.py', tmp_path / 'run', {})
    assert found.value.code == 1
