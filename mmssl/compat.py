"""The one place for shims around torch, numpy, mmcv and mmsegmentation."""

import importlib.util
import sys
import types
import warnings


class _MissingOps(types.ModuleType):
    """Stand in for `mmcv.ops`: importing a name works, using it says what is missing."""

    def __getattr__(self, name: str):
        if name.startswith('__'):
            raise AttributeError(name)

        class Missing:
            def __init__(self, *args, **kwargs):
                raise ImportError(
                    f'mmcv.ops.{name} needs the compiled operators of mmcv, which are not '
                    'installed; mmssl needs none of them, so choose another component or '
                    'install an mmcv build with operators.'
                )

        Missing.__name__ = name
        return Missing


def import_mmseg() -> None:
    """Make mmsegmentation importable where mmcv has no compiled operators.

    mmsegmentation imports `mmcv.ops` at module level although few of its parts use it. A
    placeholder takes its place unless the compiled extension is there.
    """
    if 'mmcv.ops' not in sys.modules and importlib.util.find_spec('mmcv._ext') is None:
        sys.modules['mmcv.ops'] = _MissingOps('mmcv.ops')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        import mmseg.models  # noqa: F401
        import mmseg.structures  # noqa: F401
