"""A model whose networks say of every pixel the class that its grey value stands for."""

import numpy as np
import torch
from mmengine.config import Config

from mmssl.engine.precision import Precision
from mmssl.models.base import ExclusiveClasses, SemiDataPreprocessor

GREY = 80  # class c is painted as c x GREY
CLASSES = ('background', 'liver', 'tumour')


def config(size: int | None = None, interpolation: str = 'nearest', **layout) -> Config:
    """Return a config whose test images are taken as they are, or resized to a square."""
    resize = [] if size is None else [dict(type='ResizeSquare', size=size)]
    for step in resize:
        step['interpolation'] = interpolation
    dataset = dict(
        type='MixedDomainDataset',
        data_root='nowhere',
        mode='test',
        domains=['site'],
        label_map={0: 0, GREY: 1, 2 * GREY: 2},
        value_range=(0, 255),
        metainfo=dict(classes=CLASSES, parts=dict(liver=[1, 2], tumour=[2])),
        prepare=[dict(type='LoadImage'), *resize],
        pipeline=[dict(type='PackTestInputs')],
        **layout,
    )
    return Config(dict(default_scope='mmssl', test_dataloader=dict(dataset=dataset)))


class IdentityModel(torch.nn.Module):
    """Two students and a teacher; `b` is sure of nothing where the image is not background.

    `asked` lists who was asked, with the number of images.
    """

    outputs = ['a', 'b']
    image_students = ['a', 'b']
    teachers = {'a': None}
    bundle = None

    def __init__(self, cfg: Config | None = None) -> None:
        super().__init__()
        self.cfg = cfg or config()
        self.data_preprocessor = SemiDataPreprocessor(students=['a', 'b'])
        self.label_space = ExclusiveClasses([[1, 2], [2]], 3)
        self.precision = Precision('float32', 'as ever', None, 'cpu')
        self.asked: list[tuple[str, bool, int]] = []

    def scores(self, inputs, data_samples, name, teacher=False):
        x = inputs[name]
        self.asked.append((name, teacher, len(x)))
        classes = torch.round(x[:, 0] * 255 / GREY).long().clamp(0, 2)
        scores = torch.nn.functional.one_hot(classes, 3).permute(0, 3, 1, 2) * 8.0
        return [*(scores * (classes == 0)[:, None] if name == 'b' else scores)]


def labels(shape=(9, 8, 7), seed: int = 0) -> np.ndarray:
    """Return class ids without any symmetry."""
    return np.random.default_rng(seed).integers(0, 3, shape).astype(np.uint8)
