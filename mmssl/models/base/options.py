"""The options that all methods have, by name and type."""

from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict


class Options(TypedDict, total=False):
    """What `SemiSegmentor` takes; a method takes it as `**options: Unpack[Options]`."""

    students: Required[Mapping[str, dict[str, Any] | None]]
    teachers: Sequence[str]
    sup_loss: dict[str, Any] | None
    ramp: dict[str, Any] | None
    primary: str | None
    parts: Sequence[Sequence[int]] | None
    label_space: dict[str, Any] | None
    data_preprocessor: dict[str, Any] | None
    inferer: dict[str, Any] | None
    init_cfg: dict[str, Any] | None
