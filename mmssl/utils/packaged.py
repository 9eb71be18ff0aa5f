"""What comes with the package: its configs, and its tools under the names of the command `mmssl`.

An installed package has both in `.mim`; in the repository they lie beside it.
"""

import importlib
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from mmssl.utils.errors import SettingError, did_you_mean

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE / '.mim' if (PACKAGE / '.mim').is_dir() else PACKAGE.parent
CONFIGS, TOOLS = ROOT / 'configs', ROOT / 'tools'

COMMANDS = {
    'train': 'train.py',
    'test': 'test.py',
    'predict': 'predict.py',
    'dist-train': 'dist_train.sh',
    'dist-test': 'dist_test.sh',
    'slurm-train': 'slurm_train.sh',
    'slurm-test': 'slurm_test.sh',
    'publish': 'deployment/publish.py',
    'info': 'deployment/info.py',
    'quickstart': 'quickstart.py',
    'download': 'download_weights.py',
    'convert': 'dataset_converters/convert.py',
    'phantom': 'dataset_converters/make_phantom.py',
    'pack': 'dataset_converters/pack_volumes.py',
    'browse': 'analysis_tools/browse_dataset.py',
    'inspect': 'analysis_tools/inspect_data.py',
    'plan': 'analysis_tools/plan_network.py',
    'orders': 'analysis_tools/compare_orders.py',
    'curves': 'analysis_tools/plot_curves.py',
    'rank': 'analysis_tools/rank_cases.py',
    'sweep': 'analysis_tools/sweep.py',
    'compare': 'analysis_tools/benchmark_methods.py',
    'across': 'analysis_tools/compare_across.py',
    'report': 'analysis_tools/report.py',
    'average': 'analysis_tools/average_checkpoints.py',
    'selection-study': 'analysis_tools/selection_study.py',
    'benchmark': 'analysis_tools/benchmark.py',
    'benchmark-step': 'analysis_tools/benchmark_step.py',
    'benchmark-levers': 'analysis_tools/benchmark_levers.py',
    'benchmark-ranking': 'analysis_tools/benchmark_ranking.py',
    'benchmark-metrics': 'analysis_tools/benchmark_metrics.py',
    'features': 'extract_diffusion_features.py',
    'export': 'deployment/export.py',
    'convert-synfoc': 'model_converters/synfoc_to_mmssl.py',
    'convert-vnet': 'model_converters/vnet_to_mmssl.py',
    'convert-diffusion': 'model_converters/guided_diffusion_to_diffusers.py',
}
"""The sub-commands of `mmssl`, and the files below `tools` that they run."""


_started: list[str] = []


def start_as(name: str) -> None:
    """Keep that `mmssl NAME` started this process."""
    _started[:] = ['mmssl', name]


def typed_command() -> list[str]:
    """Return `['mmssl', NAME]` if that started this process; nothing if a file of `tools` did."""
    return list(_started)


def as_typed(text: str) -> str:
    """Name the tools in a text as the user does, who may have no folder `tools`.

    Below `mmssl train`, `python tools/test.py CONFIG` becomes `mmssl test CONFIG`.
    """
    if not _started:
        return text
    names = {file: name for name, file in COMMANDS.items()}
    return re.sub(
        r'(?:\b(?:python|bash) )?(?<![\w/.])tools/([\w/]+\.(?:py|sh))',
        lambda found: f'mmssl {names[found[1]]}' if found[1] in names else found[0],
        text,
    )


def find_config_file(path: str | Path) -> Path:
    """Return a config file: the path itself, or one of the package's own that has this name.

    So `synfoc/prostate.py` and `configs/synfoc/prostate.py` are found from every folder.

    Raises:
        FileNotFoundError: there is neither; the message names the nearest of the package's.
    """
    found = own_or_given(path)
    if found.exists() or found.is_absolute():
        if found != Path(path):
            _say_where(path, found)
        return found
    name = _below_configs(found).as_posix()
    known = {own.relative_to(CONFIGS).as_posix() for own in CONFIGS.glob('*/*.py')}
    hint = did_you_mean(name, known) if '/' in name else ''
    hint = f'; {hint}' if hint.startswith('did') else ''
    raise FileNotFoundError(f'Config "{path}" does not exist, here or in {CONFIGS}{hint}')


def own_or_given(path: str | Path) -> Path:
    """Return the package's config of this name if there is no such file; else the path as it is."""
    path = Path(path)
    own = CONFIGS / _below_configs(path)
    return own if not path.exists() and '..' not in path.parts and own.is_file() else path


def _below_configs(path: Path) -> Path:
    return Path(*path.parts[1:]) if path.parts[:1] == ('configs',) else path


@cache
def _say_where(path: str | Path, own: Path) -> None:
    if os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0':
        print(f'Config "{path}" is taken from {own}', file=sys.stderr)


def from_extra(name: str, extra: str, what: str, error: type[Exception] = SettingError) -> Any:
    """Import a module that only an extra of the package installs.

    Args:
        name: of the module.
        extra: as in `pip install 'mmssl[extra]'`.
        what: what needs it, as a message begins.
        error: what is raised.

    Raises:
        SettingError: it cannot be imported; or `error`.
    """
    try:
        return importlib.import_module(name)
    except ImportError as failed:
        raise error(
            f'{what} needs {name.partition(".")[0]}, which cannot be imported ({failed}). Run: pip '
            f"install 'mmssl[{extra}]'."
        ) from None
