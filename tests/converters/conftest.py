"""What the tests of the converters share."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from bad_input import tool

from mmssl.utils import cli

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs the tool and gives its exit code, errors and report."""
    monkeypatch.delenv('MMSSL_DEBUG', raising=False)

    def convert(*words) -> SimpleNamespace:
        monkeypatch.setattr(sys, 'argv', ['convert.py', *map(str, words)])
        capsys.readouterr()
        try:
            cli.run(tool('dataset_converters/convert.py'))
            code = 0
        except SystemExit as end:
            code = end.code or 0
        done = capsys.readouterr()
        return SimpleNamespace(code=code, errors=done.err, report=done.out)

    return convert


@pytest.fixture
def data_sets(tmp_path, monkeypatch):
    """Return a function that builds the data sets of the config in a report, by part."""
    from mmengine.registry import init_default_scope

    from mmssl.registry import DATASETS
    from mmssl.utils.setup import load_config, register_all_modules

    register_all_modules()

    def build(report: str, **options) -> SimpleNamespace:
        text = report.partition('The config to train with, for a file in this folder:')[2]
        path = tmp_path / f'config_{len(list(tmp_path.glob("config_*.py")))}.py'
        path.write_text(re.sub(r"'(configs/.+?)'", lambda m: repr(str(ROOT / m[1])), text))
        cfg = load_config(path)
        init_default_scope('mmssl')
        parts = {}
        for part in ('train', 'val', 'test'):
            data = cfg[f'{part}_dataloader'].dataset
            data.update(cache=False, **options)
            parts[part] = DATASETS.build(data)
        return SimpleNamespace(**parts)

    return build
