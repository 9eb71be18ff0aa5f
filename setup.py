"""Put configs and tools into a built package; everything else stands in `pyproject.toml`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithConfigs(build_py):
    """Put configs and tools into a built package, where `mim` and mmengine look for them."""

    def run(self) -> None:
        """Copy them to `mmssl/.mim`; an editable installation uses the repository's own."""
        super().run()
        if getattr(self, 'editable_mode', False):
            return
        target = Path(self.build_lib) / 'mmssl' / '.mim'
        for name in ('configs', 'tools'):
            shutil.rmtree(target / name, ignore_errors=True)
            ignore = shutil.ignore_patterns('__pycache__')
            shutil.copytree(ROOT / name, target / name, ignore=ignore)
        shutil.copy(ROOT / 'model-index.yml', target)


setup(cmdclass={'build_py': BuildWithConfigs})
