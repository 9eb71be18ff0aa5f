"""Which unlabelled cases to label next: scored, chosen, shown, and listed for a config."""

from importlib import import_module
from typing import Any

WHERE = {
    'Choice': 'choosing',
    'Pool': 'pool',
    'Ranking': 'ranked',
    'choose': 'choosing',
    'of_config': 'pool',
    'of_folder': 'pool',
    'rank': 'ranked',
    'write_page': 'page',
}
"""The modules of what is public; they are heavy, and the help of a tool needs none of them."""

__all__ = [*WHERE]


def __getattr__(name: str) -> Any:
    if name not in WHERE:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'{__name__}.{WHERE[name]}'), name)
