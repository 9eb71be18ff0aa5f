"""Publish a trained model as a bundle, and try it before it is written."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmssl.apis.inference import init_model
from mmssl.utils.errors import SettingError

if TYPE_CHECKING:
    from mmssl.bundles.archive import Contents
    from mmssl.bundles.card import About
    from mmssl.bundles.networks import Choice
    from mmssl.models.base.semi_segmentor import SemiSegmentor

CLOSE = 1e-4
"""Difference of logits, in units of the largest, that merging LoRA may make."""

SIDE = 64
"""Side in pixels of the image that a bundle is tried on where nothing says one."""


def publish(
    config: Any,
    checkpoint: str | Path,
    out: str | Path,
    choice: 'Choice | None' = None,
    about: 'About | None' = None,
    scores: str | Path | None = None,
    with_data: bool = True,
    cfg_options: dict[str, Any] | None = None,
    say: Callable[[str], object] = print,
) -> dict[str, Any]:
    """Write a bundle, which `init_model` opens without config, checkpoint or code.

    Before it takes its place it is opened, and what it predicts for one image compared.

    Args:
        config: config file or object.
        checkpoint: the weights.
        out: the bundle, `NAME.mmssl`.
        choice: which networks; by default that of the model's own prediction.
        about: name, description, licence and citation.
        scores: file of `tools/test.py --out`.
        with_data: measure the training data, where they are there.
        cfg_options: values that override the config's, by dotted name.
        say: is given what a person should know.

    Returns:
        The card.

    Raises:
        SettingError: the model has no such network, or needs a file that a bundle cannot hold.
        BundleError: the same, of a part of its config.
    """
    from mmssl.bundles.archive import SUFFIX, write_archive
    from mmssl.bundles.card import About, make_card
    from mmssl.bundles.networks import Choice
    from mmssl.engine.checkpoints.io import load_checkpoint_file
    from mmssl.models.base.semi_segmentor import SemiSegmentor

    out, choice, about = Path(out), choice or Choice(), about or About()
    if out.suffix != SUFFIX:
        raise SettingError(f'A bundle is a file NAME{SUFFIX}, and not "{out}"')
    model = init_model(config, checkpoint, cfg_options=cfg_options)
    if not isinstance(model, SemiSegmentor):
        raise SettingError(
            f'{type(model).__name__} has no students that segment, so there is nothing to publish'
        )
    results, bundle = _results(scores), _smallest(model, choice)
    card = make_card(
        model,
        bundle.config,
        choice,
        about._replace(name=about.name or out.stem),
        load_checkpoint_file(str(checkpoint)),
        results,
        _measured(model.cfg, say) if with_data else None,
    )
    write_archive(out, bundle._replace(card=card), lambda path: _try_file(path, model, choice))
    return card


def _smallest(model: 'SemiSegmentor', choice: 'Choice') -> 'Contents':
    """Return a plain model with the chosen networks, or the method's own if it predicts more.

    Raises:
        SettingError: the chosen networks alone predict something else.
    """
    from mmssl.bundles.archive import Contents
    from mmssl.bundles.check import check_config
    from mmssl.bundles.config import prediction_config
    from mmssl.bundles.networks import small_model, whole_model
    from mmssl.bundles.plain import modules_from_outside

    makers = (small_model, whole_model) if choice.everything else (small_model,)
    for make in makers:
        plain, state = make(model.cfg.model, model, choice)
        config = prediction_config(model.cfg, plain)
        check_config(config, 'The bundle', modules_from_outside(config))
        contents = Contents(state, config, {})
        difference = _difference(model, init_model(contents), choice)
        if difference is None:
            return contents
    raise SettingError(difference)


def _try_file(path: Path, model: 'SemiSegmentor', choice: 'Choice') -> None:
    """Open a finished bundle as anyone would, and compare its predictions.

    Raises:
        SettingError: they are others.
    """
    from mmssl.bundles.opening import open_bundle

    difference = _difference(model, init_model(open_bundle(path)), choice)
    if difference is not None:
        raise SettingError(difference)


def _difference(model: 'SemiSegmentor', other: Any, choice: 'Choice') -> str | None:
    """Say which prediction of a bundle is not that of the model; None if all are the same."""
    from mmssl.bundles.networks import has_adapters

    wanted, found = _logits(model, choice, published=False), _logits(other, choice, published=True)
    if choice.everything and other.outputs != model.outputs:
        return (
            f'The bundle would predict {", ".join(other.outputs)}, the model predicts '
            f'{", ".join(model.outputs)}'
        )
    exact = choice.lora != 'merged' or not has_adapters(model)
    for name, one in wanted.items():
        largest = float(one.abs().max())
        apart = float((one - found[name]).abs().max())
        if not apart <= (0.0 if exact else CLOSE * max(largest, 1.0)):
            return (
                f'The bundle would predict something else than the model for "{name}" (logits '
                f'differ by {apart:.3g}): its prediction needs more than this network, publish it '
                'with --all'
            )
    return None


@torch.no_grad()
def _logits(model: 'SemiSegmentor', choice: 'Choice', published: bool) -> dict[str, Tensor]:
    """Return what the chosen networks say of a made-up image, by name.

    Args:
        model: the trained model, or that of the bundle.
        choice: the networks of the trained model.
        published: whether the model is that of the bundle, where one teacher is a student.
    """
    inputs = model.data_preprocessor({'inputs': [_made_up(model)]}, False)['inputs']
    if not choice.everything:
        name = choice.student or (model.primary if published else model.outputs[0])
        teacher = choice.teacher and not published
        return {name: model.predict_logits(inputs, name, teacher=teacher)}
    found = {name: model.predict_logits(inputs, name) for name in model.outputs}
    teachers = model.teachers if choice.teacher else ()
    for name in teachers:
        found[f'{name} (teacher)'] = model.predict_logits(inputs, name, teacher=True)
    return found


def _made_up(model: 'SemiSegmentor') -> Tensor:
    """Return noise of the kind that the model takes: grey values, or a volume of one window."""
    from mmssl.bundles.config import test_dataset

    dataset = test_dataset(model.cfg)
    layout = next(iter(dataset.layouts.values()))
    generator = torch.Generator().manual_seed(0)
    if dataset.sample == 'volume':
        size = model.inferer.size if model.inferer else (SIDE,) * 3
        return torch.randn((max(1, len(layout.frames)), *size), generator=generator)
    sides = (getattr(part, 'img_size', None) for part in model.modules())
    side = dataset.sizes['image'] or next((s for s in sides if isinstance(s, int)), SIDE)
    size = (layout.channels, side, side)
    return torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)


def _measured(cfg: Mapping[str, Any], say: Callable[[str], object]) -> dict[str, Any] | None:
    """Return the summary of the training data; say so where they are not there."""
    from mmssl.bundles.data import summarise, training_dataset

    try:
        dataset = training_dataset(cfg)
    except OSError as error:
        say(f'The card is without the training data: {error}')
        return None
    return None if dataset is None else summarise(dataset)


def _results(scores: str | Path | None) -> dict[str, Any] | None:
    """Read a file of results.

    Raises:
        FileNotFoundError: there is no such file.
        SettingError: it is none.
    """
    if scores is None:
        return None
    if not Path(scores).is_file():
        raise FileNotFoundError(f'There is no file {scores}; tools/test.py --out writes one')
    try:
        found = json.loads(Path(scores).read_text())
    except ValueError as error:
        raise SettingError(f'{scores} is no file of tools/test.py --out: {error}') from None
    if not isinstance(found, dict):
        raise SettingError(f'{scores} is no file of tools/test.py --out: it holds no object')
    return found
