"""The docs are true: what they name exists, their options exist, marked blocks run.

`<!-- run -->` before a bash block runs it as typed in a scratch folder that has the repository's
`tools`, `configs` and `docs`, `<!-- run on NAME -->` in one that has a small download of that data
set, too; `<!-- config NAME -->` before a python block writes it there as NAME, builds its data sets
on a small phantom and its model.
"""

import contextlib
import doctest
import functools
import inspect
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from fake_files import ACDC_PATIENTS, write_acdc, write_nifti
from mmengine.config import Config, DictAction
from raw_downloads import DOWNLOADS

from mmssl.engine.data_facts import build_model
from mmssl.utils.packaged import COMMANDS
from mmssl.utils.setup import load_config

ROOT = Path(__file__).parents[1]
PAGES = ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')
DOCS = sorted(
    [
        *(ROOT / name for name in PAGES),
        *ROOT.glob('docs/en/**/*.md'),
        *ROOT.glob('configs/*/README.md'),
    ]
)
BLOCK = re.compile(r'(?:<!-- (.+?) -->\n)?```(\w*)\n(.*?)```', re.S)


def blocks(language):
    """Return (document, marker or None, text) of the fenced blocks in a language."""
    found = []
    for doc in DOCS:
        for marker, kind, text in BLOCK.findall(doc.read_text()):
            if kind == language:
                found.append((doc, marker or None, text))
    return found


def commands():
    """Return (document, words) of every command line in the bash blocks."""
    found = []
    for doc, _, text in blocks('bash'):
        for line in text.replace('\\\n', ' ').splitlines():
            words = shlex.split(line, comments=True)
            if words:
                found.append((doc, words))
    return found


def ids(items):
    return [f'{item[0].parent.name}/{item[0].stem}-{index}' for index, item in enumerate(items)]


@functools.cache
def help_text(tool):
    """Return what a tool prints for `--help`; one of Python is run here, where all is imported."""
    if tool.endswith('.py'):
        printed = io.StringIO()
        argv = mock.patch.object(sys, 'argv', [str(ROOT / tool), '--help'])
        with argv, mock.patch.dict(os.environ), contextlib.redirect_stdout(printed):
            with pytest.raises(SystemExit) as end:
                runpy.run_path(sys.argv[0], run_name='__main__')
        assert not end.value.code, f'{tool} --help ends with {end.value.code}'
        return printed.getvalue()
    done = subprocess.run(
        ['bash', tool, '--help'],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
        env=dict(os.environ, VIRTUAL_ENV=sys.prefix),  # as if activated
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize('doc', DOCS, ids=lambda doc: f'{doc.parent.name}/{doc.stem}')
def test_links_lead_somewhere(doc):
    text = BLOCK.sub('', doc.read_text())
    for target in re.findall(r'\]\(([^)#\s]+)[^)]*\)', text):
        if not target.startswith(('http:', 'https:', 'mailto:')):
            assert (doc.parent / target).exists(), f'{doc.name} links to {target}'


@pytest.mark.parametrize('doc', DOCS, ids=lambda doc: f'{doc.parent.name}/{doc.stem}')
def test_anchors_are_headings(doc):
    for target, anchor in re.findall(r'\]\(([^)#\s]*)#([^)]+)\)', doc.read_text()):
        if target.startswith('http'):
            continue
        page = (doc.parent / target if target else doc).read_text()
        headings = [
            re.sub(r'[^\w\- ]', '', h.lower()).replace(' ', '-')
            for h in re.findall(r'^#+ (.+)$', page, re.M)
        ]
        assert anchor in headings, f'{doc.name} links to {target}#{anchor}'


@pytest.mark.parametrize('doc', DOCS, ids=lambda doc: f'{doc.parent.name}/{doc.stem}')
def test_named_files_exist(doc):
    names = re.findall(r'(?<![\w/.])(?:tools|configs|tests|docs|mmssl)/[\w./-]+', doc.read_text())
    for name in names:
        assert (ROOT / name.rstrip('./')).exists(), f'{doc.name} names {name}'


def test_every_tool_named_has_help():
    tools = {w for _, words in commands() for w in words if re.fullmatch(r'tools/\S+\.py', w)}
    assert tools
    for tool in sorted(tools):
        assert 'usage' in help_text(tool)


def test_commands_of_mmssl_exist():
    named = {words[1] for _, words in commands() if words[0] == 'mmssl'}
    assert 'train' in named and named <= set(COMMANDS)


def parameters(name):
    """Return the options of a registered component."""
    from mmengine.registry import init_default_scope

    from mmssl import registry

    init_default_scope('mmssl')
    found = (r.get(name) for r in vars(registry).values() if isinstance(r, registry.Registry))
    return {key for cls in found if cls for key in inspect.signature(cls).parameters}


@pytest.mark.parametrize('item', commands(), ids=ids(commands()))
def test_options_exist(item):
    """Every --option of a tool is in its help; every value set is one that the config has."""
    _, words = item
    tool = next((w for w in words if re.fullmatch(r'tools/\S+\.(py|sh)', w)), None)
    if tool is None:
        return
    known = help_text(tool)
    if 'dist_' in tool or 'slurm_' in tool:
        known += help_text('tools/test.py' if 'test' in Path(tool).name else 'tools/train.py')
    for option in (w for w in words if w.startswith('--')):
        assert re.search(rf'{option}\b', known), f'{tool} has no {option}'
    if '--cfg-options' not in words:
        return
    config = next((w for w in words if w.startswith('configs/')), None)
    if config is None:  # a config that the page itself writes
        return
    cfg = Config.fromfile(ROOT / config)
    for word in words[words.index('--cfg-options') + 1 :]:
        if word.startswith('--'):
            break
        node = cfg
        *path, last = word.split('=')[0].split('.')
        for part in path:
            left_out = isinstance(node, dict) and part not in node
            if left_out and part in parameters(node.get('type', '')):
                break  # the config leaves it at its default
            assert isinstance(node, list) or part in node, f'the config has no {word}'
            node = node[int(part) if isinstance(node, list) else part]
        else:
            known = last in node or last in parameters(node.get('type', ''))
            assert known, f'neither the config nor the component has {word}'
        DictAction._parse_iterable(word.split('=', 1)[1])


@pytest.fixture
def scratch(tmp_path):
    """Make a folder where the commands can be typed as in the repository."""
    for name in ('tools', 'configs', 'docs'):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


RUN = [(doc, text, m[7:]) for doc, m, text in blocks('bash') if (m or '').startswith('run')]


@pytest.mark.parametrize('item', RUN, ids=ids(RUN))
def test_marked_commands_run(item, scratch):
    if item[2]:
        folder, write = DOWNLOADS[item[2]]
        write(scratch / 'downloads' / folder)
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT))
    env['PATH'] = f'{Path(sys.executable).parent}{os.pathsep}{env["PATH"]}'
    done = subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', item[1]],
        cwd=scratch, env=env, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f'{done.stdout[-3000:]}\n{done.stderr[-3000:]}'


CONFIGS = [(doc, m[7:], t) for doc, m, t in blocks('python') if (m or '').startswith('config ')]


def write_raw_acdc(folder):
    """Write ten patients as ACDC distributes them."""
    volume = np.arange(2 * 8 * 6, dtype=np.int16).reshape(2, 8, 6)
    for patient in (f'patient{number:03d}' for number in range(1, 11)):
        name = folder / 'training' / patient / f'{patient}_frame01'
        write_nifti(name.with_name(f'{name.name}.nii.gz'), volume)
        write_nifti(name.with_name(f'{name.name}_gt.nii.gz'), (volume % 4).astype(np.uint8))
        write_nifti(name.with_name(f'{patient}_4d.nii.gz'), np.zeros((2, 2, 8, 6), np.int16))


@pytest.mark.parametrize(
    'config',
    sorted(
        path.relative_to(ROOT).as_posix()
        for path in (*ROOT.glob('configs/*/acdc*.py'), *ROOT.glob('configs/*/lite_acdc*.py'))
        if path.parent.name != 'medsam'
    ),
)  # which does not train
@pytest.mark.parametrize('extra', ['', '_delete_=True, '])
def test_raw_acdc_goes_with_every_config_for_acdc(config, extra, tmp_path):
    """A new data set never needs `_delete_`, and is not harmed by it."""
    text = next(text for _, name, text in CONFIGS if name == 'raw_acdc.py')
    text = text.replace('configs/sup_only/acdc.py', str(ROOT / config))
    for key in ('split', 'labelled'):
        text = text.replace(f'{key}=dict(', f'{key}=dict({extra}')
    (tmp_path / 'raw_acdc.py').write_text(text)
    cfg = load_config(tmp_path / 'raw_acdc.py')
    for part in ('train', 'val', 'test'):
        data = (cfg[f'{part}_dataloader'] or {}).get('dataset')
        if data is not None:
            assert data.labelled == dict(cases=7, seed=0)
            assert data.split == dict(type='case', val=0.1, test=0.2)


@pytest.mark.parametrize('item', CONFIGS, ids=ids(CONFIGS))
def test_marked_configs_build(item, scratch, monkeypatch):
    from mmengine.registry import init_default_scope

    from mmssl.datasets.phantom import (
        PhantomSettings,
        WholeSettings,
        write_phantom,
        write_phantom_whole,
    )
    from mmssl.registry import DATASETS

    _, name, text = item
    settings = PhantomSettings(size=32, train_cases=6, train_slices=4, test_cases=1, test_slices=2)
    write_phantom(scratch / 'data/phantom', settings, progress=False)
    (scratch / 'data/mine').mkdir()
    for site, scanner in (('siteA', 'ScannerA'), ('siteB', 'ScannerC')):
        (scratch / 'data/mine' / site).symlink_to(scratch / 'data/phantom' / scanner)
    whole = WholeSettings(('ScannerA', 'ScannerC'), train_cases=8, slices=8)
    write_phantom_whole(scratch / 'data/my_volumes', whole, progress=False)
    write_raw_acdc(scratch / 'data/acdc')
    write_acdc(scratch / 'data/acdc', all_patients={**ACDC_PATIENTS, 'train': range(1, 8)})
    (scratch / name).write_text(text)
    monkeypatch.chdir(scratch)
    cfg = load_config(name)
    init_default_scope('mmssl')
    for part in ('train', 'val', 'test'):
        dataset = DATASETS.build(cfg[f'{part}_dataloader'].dataset)
        assert dataset[0]['inputs'] is not None
    build_model(cfg)


EXAMPLES = [(doc, text) for doc, _, text in blocks('python') if '>>>' in text]


@pytest.mark.parametrize('item', EXAMPLES, ids=ids(EXAMPLES))
def test_python_examples_give_what_they_show(item):
    doc, text = item
    test = doctest.DocTestParser().get_doctest(text, {}, doc.name, str(doc), 0)
    report = []
    assert not doctest.DocTestRunner().run(test, out=report.append).failed, ''.join(report)
