"""Results as JSON files that any reader takes and that are never half written."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from mmssl.utils.io import write_atomic


def write_json(path: str | Path, content: Any) -> None:
    """Write plain values as JSON, whole or not at all; NaN and infinity become null."""
    text = json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text + '\n')


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value
