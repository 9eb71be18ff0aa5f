"""From the file of a bundle to what builds a model, checked."""

from pathlib import Path

from torch import nn

from mmssl.bundles.archive import Contents, read_archive
from mmssl.bundles.check import check_config
from mmssl.bundles.networks import fill_trunks
from mmssl.engine.checkpoints.weights import load_weights


def open_bundle(path: str | Path) -> Contents:
    """Read a bundle and check that building its model runs and opens nothing else.

    Raises:
        FileNotFoundError: there is no such file.
        BundleError: it is refused; the message says what of it.
    """
    contents = read_archive(path)
    plug_ins = contents.card.get('plug_ins')
    name = Path(path).name
    check_config(contents.config, name, plug_ins if isinstance(plug_ins, dict) else {})
    return contents


def fill_model(model: nn.Module, contents: Contents) -> None:
    """Give a model that was built from a bundle's config its tensors.

    Raises:
        FileNotFoundError: LoRA is apart from a trunk whose file is missing.
        ValueError: the tensors are not the model's.
    """
    rest = fill_trunks(model, contents.tensors, 'the bundle')
    load_weights(model, {'state_dict': rest}, 'the bundle', strict=True)
