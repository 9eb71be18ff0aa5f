"""Install mmssl; the dependencies stand in `requirements/`."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """Return the requirement lines of `requirements/<name>.txt`."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def version() -> str:
    """Return the version written in the package, without importing it."""
    text = (ROOT / 'mmssl' / '__init__.py').read_text()
    return re.search(r"__version__ = '([^']+)'", text).group(1)


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


setup(
    name='mmssl',
    version=version(),
    description='Semi-supervised medical image segmentation on OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    keywords='semi-supervised learning, medical image segmentation, OpenMMLab, SAM, MedSAM',
    license='Apache-2.0',
    classifiers=[
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3 :: Only',
        'Topic :: Scientific/Engineering :: Medical Science Apps.',
    ],
    python_requires='>=3.11',
    packages=find_packages(include=['mmssl', 'mmssl.*']),
    include_package_data=True,
    install_requires=requirements('runtime'),
    extras_require={name: requirements(name) for name in ('optional', 'experiments', 'tests')},
    cmdclass={'build_py': BuildWithConfigs},
)
