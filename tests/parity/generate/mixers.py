"""Recompute the reference of the mixers (FMix e5991dc, FDA b9a0cdf and MiDSS fd76f81).

    git clone https://github.com/ecs-vlc/FMix /tmp/mixers/FMix
    git -C /tmp/mixers/FMix checkout e5991dc
    git clone https://github.com/YanchaoYang/FDA /tmp/mixers/FDA
    git -C /tmp/mixers/FDA checkout b9a0cdf
    git clone https://github.com/MQinghe/MiDSS /tmp/mixers/MiDSS
    git -C /tmp/mixers/MiDSS checkout fd76f81
    python -m tests.parity.generate.mixers /tmp/mixers [--check]

FMix's masks and the mixed amplitudes on the images, noise, part and degrees of
`tests/parity/data/mixers.npz`, which stand in place of drawn ones.
"""

import random
from pathlib import Path
from unittest import mock

import numpy as np

from tests.parity.generate import cli, released
from tests.parity.generate.symgd import STUBS

LOW = 0.1  # part of the spectrum that is mixed
DRAWN = (0.1, 0.9, 0.9)  # numbers after which FMix rounds its count of pixels down, up and up


def fmix(folder: Path, arrays: dict) -> np.ndarray:
    """Return a mask of FMix for each image's noise."""
    code, masks = released.load_script(folder / 'fmix.py'), []
    code.sample_lam = lambda *args: float(arrays['fmix_part'])
    for noise, drawn in zip(arrays['fmix_noise'], DRAWN, strict=True):
        with (
            mock.patch.object(np.random, 'randn', lambda *shape, n=noise: n.reshape(shape)),
            mock.patch.object(random, 'random', lambda d=drawn: d),
        ):
            masks.append(code.sample_mask(1, 3.0, arrays['fmix'].shape[1:])[1][0])
    return np.stack(masks).astype(np.uint8)


def amplitudes(fda: Path, midss: Path, arrays: dict) -> dict[str, np.ndarray]:
    """Return the images with their styles' low amplitudes, swapped and by a degree."""
    swap = released.load_script(fda / 'utils' / '__init__.py').FDA_source_to_target_np
    with released.checkout(midss / 'code', STUBS) as code:
        train = released.load_script(code / 'train.py')
    swapped, mixed = [], []
    for image, style, degree in zip(
        *(arrays[k] for k in ('image', 'style', 'degree')), strict=True
    ):
        swapped.append(swap(image, style, LOW))
        with mock.patch.object(random, 'uniform', lambda low, high, d=degree: d):
            mixed.append(train.source_to_target_freq(image, train.extract_amp_spectrum(style), LOW))
    return dict(fda=np.stack(swapped).astype(np.float32), ram=np.stack(mixed).astype(np.float32))


def main() -> None:
    """Recompute the reference."""
    args = cli.parse(__doc__)
    folder, arrays = Path(args.checkout), dict(np.load(released.DATA / 'mixers.npz'))
    results = amplitudes(folder / 'FDA', folder / 'MiDSS', arrays)
    released.save('mixers', results | dict(fmix=fmix(folder / 'FMix', arrays)), args.check)


if __name__ == '__main__':
    main()
