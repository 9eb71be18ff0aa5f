"""Make the weights of an ONNX file whole numbers of 8 bit, and say what Dice that costs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmssl.export.check import phantom_images
from mmssl.export.facts import test_dataset
from mmssl.export.files import Runner, quiet, requirement
from mmssl.registry import DATASETS
from mmssl.utils.errors import SettingError
from mmssl.utils.resize import resize_nearest

MOST_IMAGES = 100
"""Images of the test data on which the cost is measured, evenly over all."""

GENERATED = 8


class Cost(NamedTuple):
    """What a file of 8 bit loses.

    Attributes:
        images: those that it was measured on, in words.
        parts: name of each part to Dice of the float file and of that of 8 bit.
    """

    images: str
    parts: dict[str, tuple[float, float]]

    def __str__(self) -> str:
        """Return it in words."""
        found = ', '.join(
            f'{name} {100 * exact:.2f} -> {100 * rounded:.2f} ({100 * (rounded - exact):+.2f})'
            for name, (exact, rounded) in self.parts.items()
        )
        return f'Dice (%) on {self.images}: {found}'


def quantise(source: Path, target: Path) -> None:
    """Write an ONNX file anew with weights of 8 bit; activations are scaled when it is run.

    Raises:
        SettingError: onnxruntime cannot.
    """
    requirement('onnxruntime')
    from onnxruntime.quantization import QuantType, quantize_dynamic

    try:
        with quiet():
            # signed weights of convolutions are not implemented on the CPU
            quantize_dynamic(str(source), str(target), weight_type=QuantType.QUInt8)
    except Exception as error:
        words = ' '.join(str(error).split())[:300]
        raise SettingError(
            f'onnxruntime cannot quantise the network ({type(error).__name__}: {words}): leave '
            '--int8 out'
        ) from error


def cost(exact: Runner, rounded: Runner, facts: Mapping[str, Any], cfg: Mapping[str, Any]) -> Cost:
    """Return the Dice of both files on the config's test data, where there are some.

    Else the labels of the float file on slices of the phantom take the place of the truth. The Dice
    of a part is that of all pixels of all images together.

    Args:
        exact: runs the float file.
        rounded: runs that of 8 bit.
        facts: of the file.
        cfg: the model's config.
    """
    size = tuple(facts['input']['shape'][2:])
    parts = facts['parts'] or {
        name: [number] for number, name in enumerate(facts['classes']) if number
    }
    pairs = list(labelled_images(cfg))
    where = f'{len(pairs)} images of the test data'
    if not pairs:
        where = f'{GENERATED} generated images, against the float file (there are no test data)'
    sums = {name: np.zeros((2, 2)) for name in parts}
    images = [x for x, _ in pairs] or list(
        torch.from_numpy(phantom_images(GENERATED, facts['input']['shape'][1], size))
    )
    for number, image in enumerate(images):
        x = resize_nearest(image[None].float(), size).numpy()
        labels = [torch.from_numpy(run(x).argmax(1)) for run in (exact, rounded)]
        truth = pairs[number][1] if pairs else labels[0]
        labels = [resize_nearest(label, truth.shape[-2:]) for label in labels]
        for name, ids in parts.items():
            ours = np.isin(truth.numpy(), ids)
            for row, label in enumerate(labels):
                theirs = np.isin(label.numpy(), ids)
                sums[name][row] += 2 * (ours & theirs).sum(), ours.sum() + theirs.sum()
    dice = {
        name: [float(both / total) if total else 1.0 for both, total in rows]
        for name, rows in sums.items()
    }
    return Cost(
        where, {name: (of_exact, of_rounded) for name, (of_exact, of_rounded) in dice.items()}
    )


def labelled_images(cfg: Mapping[str, Any]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images (C, H, W), grey values, and labels (1, h, w) of the test data, if any."""
    test_dataset(cfg)
    try:
        dataset = DATASETS.build({**cfg['test_dataloader']['dataset'], 'cache': False})
    except FileNotFoundError:
        return
    last = len(dataset) - 1
    for index in sorted({int(i) for i in np.linspace(0, last, MOST_IMAGES)}):
        sample = dataset[index]
        yield sample['inputs'], sample['data_samples'].gt_sem_seg.data
