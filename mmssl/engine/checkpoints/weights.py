"""Parameters of a file in a model: what fits, what is left, and when to stop."""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

PREFIX = ((r'^module\.', ''),)
HOLDERS = ('state_dict', 'model')


class State(OrderedDict[str, Tensor]):
    """Tensors by name, with what torch notes beside them: the versions of the modules."""

    _metadata: Mapping[str, Any]


def load_weights(
    model: nn.Module,
    checkpoint: Any,
    name: str,
    strict: bool,
    revise_keys: Sequence[tuple[str, str]] = PREFIX,
    skip_mismatched: bool = False,
) -> str:
    """Put the parameters of a loaded checkpoint into a model.

    Args:
        model: the model.
        checkpoint: what `load_checkpoint_file` returned.
        name: file name, for messages.
        strict: whether the names must be those of the model.
        revise_keys: pairs of pattern and replacement applied to the names.
        skip_mismatched: without `strict`, leave tensors out that have another shape.

    Returns:
        One line: what was loaded and what was not.

    Raises:
        ValueError: there are no parameters, none is the model's, one is not a number, or one has
            another shape or kind; with `strict`, also if a name is missing or too much.
    """
    state = parameters_by_name(checkpoint, name, revise_keys)
    own = model.state_dict()
    if not strict:
        _drop_run_state(model, state)
    shared = [key for key in state if key in own]
    _check_values({key: state[key] for key in shared}, own, name)
    if strict:
        _load_strictly(model, state, name)
        return f'Loaded all {len(own)} tensors of {name}'
    sizes = [
        key
        for key in shared
        if state[key].is_floating_point() and state[key].shape != own[key].shape
    ]
    if sizes and not skip_mismatched:
        raise ValueError(
            f'Checkpoint "{name}" does not fit the model: {_sizes(sizes[0], state, own)}'
            f'{f", and {len(sizes) - 1} more" if len(sizes) > 1 else ""}. If they are to keep '
            'their first weights (other classes), set --cfg-options skip_mismatched=True'
        )
    fitting = [key for key in shared if key not in sizes and state[key].is_floating_point()]
    if not fitting:
        raise ValueError(
            f'Checkpoint "{name}" has none of the model\'s {len(own)} tensors: it has '
            f'{_some(state)}, the model {_some(own)}. Name the checkpoint of such a model, or '
            'leave load_from out'
        )
    rest = State((key, value) for key, value in state.items() if key not in sizes)
    rest._metadata = state._metadata
    try:
        missing, unexpected = model.load_state_dict(rest, strict=False)
    except RuntimeError as error:
        raise _no_fit(name, error) from None
    missing = [key for key in missing if not key.endswith('num_batches_tracked')]
    words = [f'Loaded {len(own) - len(missing)} of {len(own)} tensors of {name}']
    if missing:
        words.append(f'{len(missing)} of the model keep their first weights ({_some(missing)})')
    if unexpected:
        words.append(f'{len(unexpected)} of the file have no place ({_some(unexpected)})')
    return '; '.join(words)


def parameters_by_name(
    checkpoint: Any, name: str, revise_keys: Sequence[tuple[str, str]] = PREFIX
) -> State:
    """Return the tensors of a checkpoint under their revised names.

    Raises:
        ValueError: the file holds none.
    """
    if not isinstance(checkpoint, Mapping):
        kind = type(checkpoint).__name__
        raise ValueError(f'Checkpoint "{name}" holds a {kind}, not parameters by name')
    state = next(
        (checkpoint[key] for key in HOLDERS if isinstance(checkpoint.get(key), Mapping)), checkpoint
    )
    found = State()
    for key, value in state.items():
        if isinstance(key, str) and isinstance(value, Tensor):
            for pattern, other in revise_keys:
                key = re.sub(pattern, other, key)
            found[key] = value
        elif state is not checkpoint:
            raise ValueError(
                f'Checkpoint "{name}" has "{key}" as a {type(value).__name__}, not as a tensor'
            )
    if not found:
        raise ValueError(f'Checkpoint "{name}" holds no parameters by name; it has {_some(state)}')
    found._metadata = getattr(state, '_metadata', {})
    return found


def _drop_run_state(model: nn.Module, state: State) -> None:
    """Leave out what modules with `of_run` hold: images of a training that another has not seen."""
    modules = [name for name, module in model.named_modules() if getattr(module, 'of_run', False)]
    for key in [key for key in state if key.startswith(tuple(f'{name}.' for name in modules))]:
        del state[key]


def check_precision(model: nn.Module, checkpoint: Any, name: str) -> None:
    """Refuse to go on from weights that somebody has shortened since the training wrote them.

    Raises:
        ValueError: a parameter is of another precision than the model's.
    """
    own = model.state_dict()
    for key, value in parameters_by_name(checkpoint, name).items():
        there, here = value.dtype, own[key].dtype if key in own else value.dtype
        if value.is_floating_point() and here.is_floating_point and there != here:
            short, full = (str(kind).removeprefix('torch.') for kind in (there, here))
            raise ValueError(
                f'Checkpoint "{name}" has {key} in {short}, and the training goes on in {full}: '
                'resume from the file that the training wrote, or begin anew from these weights '
                'with load_from and without resume'
            )


def _check_values(state: Mapping[str, Tensor], own: Mapping[str, Tensor], name: str) -> None:
    for key, value in state.items():
        kinds = [(t.is_complex(), t.is_floating_point()) for t in (value, own[key])]
        if kinds[0] != kinds[1]:
            raise ValueError(
                f'Checkpoint "{name}" does not fit the model: {key} is {value.dtype} there and '
                f'{own[key].dtype} here'
            )
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            kind = 'quantized' if value.is_quantized else str(value.layout).split('.')[-1]
            raise ValueError(
                f'Checkpoint "{name}" does not fit the model: {key} is stored as '
                f'{"nothing but its shape" if value.is_meta else kind}; save its dense values'
            )
    broken = [
        key
        for key, value in state.items()
        if value.is_floating_point() and not torch.isfinite(value).all()
    ]
    if broken:
        raise ValueError(
            f'Checkpoint "{name}" holds NaN or infinite values in {len(broken)} tensors '
            f'({_some(broken)}), as after a training that diverged: take an earlier file'
        )


def _load_strictly(model: nn.Module, state: OrderedDict, name: str) -> None:
    from mmengine.runner.checkpoint import load_state_dict

    try:
        load_state_dict(model, state, strict=True)
    except RuntimeError as error:
        raise _no_fit(name, error) from None


def _no_fit(name: str, error: RuntimeError) -> ValueError:
    text = ' '.join(str(error).split())
    text = text if len(text) < 400 else text[:400] + ' ...'
    return ValueError(f'Checkpoint "{name}" does not fit the model: {text}')


def _sizes(key: str, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    return f'{key} is {tuple(state[key].shape)} there and {tuple(own[key].shape)} here'


def _some(names) -> str:
    names = [str(name) for name in names]
    return ', '.join(names[:2]) + ', ...' * (len(names) > 2) if names else 'nothing'
