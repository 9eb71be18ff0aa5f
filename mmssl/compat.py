"""The one place for shims around torch, numpy, mmcv and mmsegmentation."""

import contextlib
import importlib.metadata
import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any


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


def replace_missing_ops() -> None:
    """Put a placeholder in place of `mmcv.ops` unless mmcv has its compiled operators.

    mmsegmentation imports `mmcv.ops` at module level although few of its parts use it.
    """
    if 'mmcv.ops' not in sys.modules and importlib.util.find_spec('mmcv._ext') is None:
        sys.modules['mmcv.ops'] = _MissingOps('mmcv.ops')


class _Later(types.ModuleType):
    """Stand in for a package: what is taken from it imports the package when it is called."""

    def __getattr__(self, name: str):
        if name.startswith('__'):
            raise AttributeError(name)

        def call(*args, **options):
            return getattr(importlib.import_module(self.__name__), name)(*args, **options)

        call.__name__ = name
        return call

    @property
    def __version__(self) -> str:
        return importlib.metadata.version(self.__name__)


@contextlib.contextmanager
def later(name: str) -> Iterator[None]:
    """Let modules that are imported here import a package only when they call it."""
    if name in sys.modules or importlib.util.find_spec(name) is None:
        yield
        return
    sys.modules[name] = _Later(name)
    try:
        yield
    finally:
        del sys.modules[name]


def import_optimisers() -> None:
    """Import mmengine's optimisers without transformers, of which they take one, `Adafactor`.

    That package takes as long as PyTorch itself.
    """
    with later('transformers'):
        import mmengine.optim  # noqa: F401


def import_mmseg() -> None:
    """Import mmsegmentation's models and structures, with or without compiled operators.

    timm, which a single backbone uses, would bring torchvision with it.
    """
    replace_missing_ops()
    import_optimisers()
    with warnings.catch_warnings(), later('timm'):
        warnings.simplefilter('ignore')
        import mmseg.models
        import mmseg.structures  # noqa: F401


def read_yaml_as_data() -> None:
    """Let mmengine read YAML as data: a tag that makes an object of Python is an error.

    Its own loader would run code for `!!python/object/apply`. Tuples, which a dumped config has,
    stay allowed.
    """
    import yaml
    from mmengine.fileio.handlers import yaml_handler

    # A class of its own: a constructor added to the safe loader would be there for all.
    loader: Any = type('DataLoader', (getattr(yaml, 'CSafeLoader', yaml.SafeLoader),), {})
    loader.add_constructor(
        'tag:yaml.org,2002:python/tuple',
        lambda loader, node: tuple(loader.construct_sequence(node, deep=True)),
    )
    yaml_handler.Loader = loader


def find_own_bases(configs: Path) -> None:
    """Let `_base_` name a config of the package from everywhere: `mmssl::synfoc/lite_phantom.py`.

    mmengine knows that form for the packages of OpenMMLab alone.

    Args:
        configs: folder of the package's configs.
    """
    from mmengine.config import Config

    known = Config._get_cfg_path
    if hasattr(known, 'of_mmssl'):
        return

    def get(cfg_path: str, filename: str) -> tuple[str, str | None]:
        own = cfg_path.removeprefix('mmssl::')
        return (str(configs / own), None) if own != cfg_path else known(cfg_path, filename)

    get.of_mmssl = True  # type: ignore[attr-defined]  # once is enough
    Config._get_cfg_path = staticmethod(get)


def format_entries_once() -> None:
    """Let mmengine lay out each entry of a config once in a process.

    A run asks for the text of its config six times, and its formatter takes a tenth of a second.
    """
    from mmengine.config import Config

    lay_out = Config.pretty_text.fget
    if hasattr(lay_out, 'known'):
        return
    known: dict[tuple[str, str], str] = {}

    def pretty_text(self: Any) -> str:
        """Return the text of the config, as a file of Python."""
        entries = self.to_dict()
        if not (self._format_python_code and all(str(name).isidentifier() for name in entries)):
            return lay_out(self)
        keys = {name: (str(name), repr(entries[name])) for name in sorted(entries, key=str)}
        if len(known) > 1000:
            known.clear()
        for name, key in keys.items():
            if key not in known:
                known[key] = lay_out(Config({name: entries[name]}))
        return ''.join(known[key] for key in keys.values())

    pretty_text.known = known  # type: ignore[attr-defined]  # once is enough
    Config.pretty_text = property(pretty_text)


@contextlib.contextmanager
def whole_sizes() -> Iterator[None]:
    """Let networks of mmsegmentation be exported for any number of images and any size.

    It computes some sizes with real numbers, `int(2.0 * height)`, which a graph cannot follow: the
    example's size would be written down. Here they are whole numbers, the same ones.
    """
    import_mmseg()
    from mmseg.models.backbones.swin import ShiftWindowMSA
    from mmseg.models.utils.wrappers import Upsample
    from torch.nn.functional import interpolate

    reverse, enlarge = ShiftWindowMSA.window_reverse, Upsample.forward

    def window_reverse(self: Any, windows: Any, H: int, W: int) -> Any:
        """Put windows (windows x N, side, side, C) together to (N, H, W, C)."""
        side = self.window_size
        rows, columns = H // side, W // side
        x = windows.view(windows.shape[0] // (rows * columns), rows, columns, side, side, -1)
        return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(x.shape[0], H, W, -1)

    def forward(self: Any, x: Any) -> Any:
        """Enlarge x by a whole number of times, as configs of U-Nets do."""
        factor = self.scale_factor
        if self.size or not isinstance(factor, float) or not factor.is_integer():
            return enlarge(self, x)
        size = [side * int(factor) for side in x.shape[-2:]]
        return interpolate(x, size, mode=self.mode, align_corners=self.align_corners)

    ShiftWindowMSA.window_reverse, Upsample.forward = window_reverse, forward
    try:
        yield
    finally:
        ShiftWindowMSA.window_reverse, Upsample.forward = reverse, enlarge
