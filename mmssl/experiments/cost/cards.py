"""What a device computes at most, by which the work of an iteration is measured."""

import time
from functools import cache

import torch

# Dense peak in TFLOP/s: (16 bit on tensor cores with 32 bit sums, float32 without TF32), from the
# makers' data sheets. Part of the name that PyTorch gives; the first that fits counts.
PEAKS = {
    'B200': (2250, 75),
    'GH200': (989, 67),
    'H200': (989, 67),
    'H100 PCIe': (756, 51),
    'H100': (989, 67),
    'A100': (312, 19.5),
    'A40': (150, 37),
    'A10': (125, 31),
    'L40S': (362, 92),
    'L4': (121, 30),
    'RTX 6000 Ada': (364, 91),
    'RTX A6000': (155, 39),
    'RTX 4090': (165, 83),
    'RTX 3090': (71, 36),
    'V100': (125, 15.7),
    'T4': (65, 8.1),
}


def card_peak(name: str, half: bool) -> float | None:
    """Return the dense peak of a card in FLOP/s, None of one that is not known.

    Args:
        name: as `torch.cuda.get_device_name` gives it.
        half: in 16 bits, else in float32.
    """
    words = name.replace('-', ' ')
    for card, peaks in PEAKS.items():
        if f' {card} ' in f' {words} ':
            return 1e12 * peaks[0 if half else 1]
    return None


@cache
def product_speed(dtype: torch.dtype) -> float:
    """Measure the FLOP/s of a large matrix product on this CPU, with PyTorch's threads.

    The best of five products of 1536 x 1536 numbers, a yardstick and no limit.
    """
    side, best = 1536, float('inf')
    a = torch.linspace(-1, 1, side * side).reshape(side, side).to(dtype)
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def yardstick(device: str, dtype: torch.dtype | None) -> tuple[float, str] | None:
    """Return a device's FLOP/s and where the number comes from; None where there is none."""
    if device == 'cuda':
        peak = card_peak(torch.cuda.get_device_name(), dtype is not None)
        return (peak, "the card's dense peak, by its data sheet") if peak else None
    if device == 'cpu':
        return product_speed(dtype or torch.float32), 'a matrix product on this CPU, measured'
    return None
