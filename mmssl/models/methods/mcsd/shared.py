"""One network for images and for features."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmssl.models.unet.feature_noise import drop_channels
from mmssl.models.unet.two_stem_encoder import TwoStemUNetEncoder


def has_two_stems(student: Any) -> bool:
    """Return whether a network takes features in place of an image."""
    return isinstance(getattr(student, 'backbone', None), TwoStemUNetEncoder)


def joint_logits(
    student: Any, weak: Mapping[str, Tensor], phi: Mapping[str, Tensor], dropout: float | None
) -> dict[str, Tensor]:
    """Return the logits of weak images and of features, one batch behind the two stems.

    Args:
        student: a network with two stems.
        weak: x_w and u_w.
        phi: the features, by the name of their view.
        dropout: rate of the dropped channels of another stream, `u_f`, of the images alone (as
            UniMatch drops them, x_w with them); None leaves it out.
    """
    x = torch.cat(list(weak.values()))
    features = student.extract_feat([x, *phi.values()])
    counts = {view: len(images) for view, images in {**weak, **phi}.items()}
    if dropout is not None:
        features = [torch.cat([f, drop_channels(f[: len(x)], dropout)]) for f in features]
        counts.update(x_f=len(weak['x_w']), u_f=len(weak['u_w']))
    parts = student.decode_head(features).split(list(counts.values()))
    return {view: z for view, z in zip(counts, parts, strict=True) if view != 'x_f'}
