"""What a method's losses return, checked in words before it trains on something else."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

Views = dict[str, dict[str, Tensor]]
"""View to student to images (N, C, H, W)."""

Logits = Mapping[str, Mapping[str, Any]]
"""Student to view to logits (N, C, H, W), or to what the student's `forward_views` returns."""

Terms = dict[str, Tensor]
"""Summands of the loss by name, scalars with a gradient."""

Curves = dict[str, Tensor]
"""Scalars that are logged beside the terms."""

Losses = Terms | tuple[Terms, Curves]
"""What `sup_loss` and `unsup_loss` return: terms, with curves behind them where there are any."""

RESERVED = ('loss', 'weight')
"""Names under which the total and the ramp are logged."""


def split_curves(returned: Any) -> tuple[Terms, Curves]:
    """Return terms and curves of what a loss of a method returned: terms, or both.

    Raises:
        ValueError: it is neither.

    Example:
        >>> split_curves({'a': 1}), split_curves(({'a': 1}, {'mask': 2}))
        (({'a': 1}, {}), ({'a': 1}, {'mask': 2}))
    """
    if isinstance(returned, Mapping):
        return dict(returned), {}
    if isinstance(returned, tuple) and len(returned) == 2:
        terms, curves = returned
        if isinstance(terms, Mapping) and isinstance(curves, Mapping):
            return dict(terms), dict(curves)
    raise ValueError(
        'A loss of a method is a dict of terms by name, or a tuple of that and a dict of curves; '
        f'here it is {_in_words(returned)}.'
    )


def check_terms(method: str, sup: Terms, unsup: Terms, curves: Curves) -> None:
    """Compare names, types and gradients of what a method returned.

    Args:
        method: name of its class, for the error.
        sup: supervised terms.
        unsup: unsupervised terms.
        curves: what is logged beside them.

    Raises:
        ValueError: a name is reserved or there twice, a value is no scalar tensor, or a term has
            no gradient where others have one, so that nothing would learn from it.
    """
    seen: dict[str, str] = {}
    for where, values in (('sup_loss', sup), ('unsup_loss', unsup), ('the curves', curves)):
        for name, value in values.items():
            if name in RESERVED or name in seen:
                also = 'the total and the ramp' if name in RESERVED else seen[name]
                raise ValueError(
                    f'{where} of {method} has "{name}", the name of an entry of {also}: choose '
                    'another one.'
                )
            seen[name] = where
            if not isinstance(value, Tensor) or value.dim():
                raise ValueError(
                    f'"{name}" of {where} of {method} must be a tensor of one value, found '
                    f'{_in_words(value)}: take its mean or its sum.'
                )
    learning = {name: value.requires_grad for name, value in {**sup, **unsup}.items()}
    if any(learning.values()) and not all(learning.values()):
        idle = next(name for name, learns in learning.items() if not learns)
        raise ValueError(
            f'"{idle}" of {seen[idle]} of {method} has no gradient, so that no network would learn '
            'from it: compute it from `logits` outside of torch.no_grad(), without detach() and '
            'argmax(), or return it as a curve.'
        )


def _in_words(value: Any) -> str:
    if isinstance(value, Tensor):
        return f'a tensor of shape {tuple(value.shape)}'
    return f'{type(value).__name__} {value!r}'[:80]
