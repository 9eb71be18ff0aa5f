"""Install mmssl; the dependencies stand in `requirements/`."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """Return the requirement lines of `requirements/<name>.txt`."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def version() -> str:
    """Return the version written in the package, without importing it."""
    text = (ROOT / 'mmssl' / '__init__.py').read_text()
    return re.search(r"__version__ = '([^']+)'", text).group(1)


setup(
    name='mmssl',
    version=version(),
    description='Semi-supervised medical image segmentation on OpenMMLab',
    long_description=(ROOT / 'README.md').read_text() if (ROOT / 'README.md').exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11',
    packages=find_packages(include=['mmssl', 'mmssl.*']),
    include_package_data=True,
    install_requires=requirements('runtime'),
    extras_require={name: requirements(name) for name in ('optional', 'tests')},
)
