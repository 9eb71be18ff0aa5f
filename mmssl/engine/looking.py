"""What students and teachers say about an image, without leaving a trace in the model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from mmssl.utils.resize import best_class

if TYPE_CHECKING:
    from mmssl.models.base.semi_segmentor import SemiSegmentor


@contextmanager
def untouched(model: nn.Module, training: bool = False) -> Iterator[None]:
    """Run the model without gradients and put back all that a forward pass may change.

    Modes of all modules, buffers (statistics of normalisation) and torch's random states are
    afterwards as they were, so that looking at a training does not change it.

    Args:
        model: the model.
        training: whether it runs in train mode, i.e. with the batch's own statistics.
    """
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()] if training else []
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.no_grad(), torch.random.fork_rng(devices):
        model.train(training)
        try:
            yield
        finally:
            for buffer, value in buffers:
                buffer.copy_(value)
            for module, mode in modes:
                module.training = mode


def prepare_inputs(model: 'SemiSegmentor', samples: Sequence[dict]) -> dict:
    """Return the networks' inputs of test samples `dict(inputs, data_samples)`."""
    batch = dict(
        inputs=[s['inputs'] for s in samples], data_samples=[s['data_samples'] for s in samples]
    )
    return model.data_preprocessor(batch, False)['inputs']


def class_maps(
    model: 'SemiSegmentor', sample: dict, students: bool = True, teachers: bool = True
) -> dict[str, np.ndarray]:
    """Return title to class map of every prediction and teacher for one test sample.

    Maps come at the size of each network's own output.
    """
    inputs = prepare_inputs(model, [sample])
    asked = [(name, False) for name in model.outputs] if students else []
    if teachers:
        asked += [(name, True) for name in model.teachers]
    maps = {}
    for name, teacher in asked:
        logits = model.predict_logits(inputs, name, teacher=teacher)
        kind = 'teacher' if teacher else 'student' if name in model.students else 'prediction'
        title = f'{name} {kind}'
        maps[title] = best_class(logits)[0].cpu().numpy()
    return maps


def spread_over_domains(dataset, num: int) -> list[int]:
    """Return `num` indices, the first images of each domain in turn.

    Example:
        >>> class Some:
        ...     def __init__(self, domain): self.domain = domain
        >>> class Dataset(list):
        ...     samples = [Some('A'), Some('A'), Some('A'), Some('B')]
        >>> spread_over_domains(Dataset(range(4)), 3)
        [0, 3, 1]
    """
    samples = getattr(dataset, 'samples', None)
    if not samples:
        return list(range(min(num, len(dataset))))
    domains: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        domains.setdefault(sample.domain, []).append(index)
    rounds = max(len(indices) for indices in domains.values())
    order = [indices[i] for i in range(rounds) for indices in domains.values() if i < len(indices)]
    return order[:num]
